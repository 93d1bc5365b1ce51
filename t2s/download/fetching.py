"""One file, from its origin into the target: fetched whole, held against what is promised of it, looked into, kept."""

from __future__ import annotations

import hashlib
import logging
import random
import threading
from pathlib import Path
from typing import NamedTuple

from t2s.download.origins import PARTIAL_ENDING, Origin, RemoteFile, Unsettled
from t2s.download.progress import TransferProgress
from t2s.download.selection import is_pickle_name, looks_like_pickle
from t2s.download.target import KeptFile, Target, Weights
from t2s.errors import DigestMismatch, ModelError, StorageError
from t2s.model_folder import read_tensors
from t2s.storage.os_errors import told
from t2s.storage.patience import Patience
from t2s.storage.published import Kind

logger = logging.getLogger(__name__)

_MAX_FETCHES = 3
_BLOCK_BYTES = 1 << 20
_LONGEST_WAIT_S = 120.0  # however long a server asks to wait, whether a stop was asked for is looked at


class Cancelled(BaseException):
    """Another file failed, or a stop was asked for: this one ends too. No `Exception`: clients try those again."""


class Fetcher:
    """Brings files of one origin into one target; used by several threads at once.

    Args:
        where: The source, for messages.
        origin: Where they come from.
        target: Where they go.
        kind: A model's files are looked into.
        progress: Told of every byte.
        retry_budget_s: How long one file is tried again without a byte more.
    """

    def __init__(
        self,
        where: str,
        origin: Origin,
        target: Target,
        kind: Kind,
        progress: TransferProgress,
        retry_budget_s: float,
    ) -> None:
        self._where, self._origin, self._target, self._kind = where, origin, target, kind
        self._progress, self._retry_budget_s = progress, retry_budget_s
        self.cancelled = threading.Event()

    def bring(self, file: RemoteFile) -> KeptFile:
        """Bring one file, whole and checked. When that fails, `cancelled` is set before another file can be begun.

        Raises:
            Cancelled: Another file failed, or a stop was asked for.
            DigestMismatch: The bytes are not the promised ones, three times.
            ModelError: It is a pickle, or no whole safetensors file.
            StorageError: The hub or the store did not answer for too long, or refused; the disk is full.
        """
        try:
            return self._bring(file)
        except BaseException:
            self.cancelled.set()
            raise

    def _bring(self, file: RemoteFile) -> KeptFile:
        for attempt in range(1, _MAX_FETCHES + 1):
            path = self._fetch(file)
            digests = self._digests(file, path)
            if file.sha256 in ("", digests.sha256) and file.git_sha1 in ("", digests.git_sha1):
                break
            if not path.is_relative_to(self._target.parts):
                raise self._mismatch(file, digests.sha256)
            with told("delete", path):
                path.unlink()
            self._progress.again(file.name)
            if attempt == _MAX_FETCHES:
                raise self._mismatch(file, digests.sha256)
            logger.warning("%s: %s came with other bytes than promised, fetching it again", self._where, file.name)
        kept = KeptFile(
            name=file.name,
            size=file.size,
            sha256=digests.sha256,
            checked=file.checked,
            weights=self._looked_into(file.name, path) if self._kind == "model" else None,
        )
        self._progress.stores(file.name)
        kept = self._target.keep(kept, path, lambda count: self._stored(file.name, count))
        self._progress.done(file.name)
        return kept

    def _fetch(self, file: RemoteFile) -> Path:
        """The file, whole as to its size; tries again as long as bytes come, and for a while when none do."""
        folder = self._target.parts
        partial = folder / f"{file.name}{PARTIAL_ENDING}"
        patience = Patience(self._retry_budget_s)
        if _size(folder / file.name) == file.size and file.size:  # whole, and its upload did not end
            self._progress.starts(file.name, file.size)
            return folder / file.name
        known = _size(partial)
        self._progress.starts(file.name, known)
        while True:
            self._check_cancelled()
            try:
                path = self._origin.fetch(file, folder, lambda n: self._came(file.name, n), self.cancelled)
                if (size := _size(path)) == file.size:
                    return path
                path.unlink(missing_ok=True)
                raise Unsettled(f"{size} of {file.size} bytes came")
            except Unsettled as reason:
                here = _size(partial)
                if here > known:
                    patience = Patience(self._retry_budget_s)
                known = here
                self._progress.starts(file.name, known)
                self._wait(file, reason, patience)

    def _wait(self, file: RemoteFile, reason: Unsettled, patience: Patience) -> None:
        pause = patience.next_pause()
        asked = reason.retry_after_s
        if pause is None or (asked is not None and asked > max(patience.left_s, pause)):
            waits = f", and asks to wait {asked:.0f} s more" if asked is not None else ""
            here = _size(self._target.parts / f"{file.name}{PARTIAL_ENDING}")
            raise StorageError(
                f"{self._where}: {file.name} does not come, {reason}{waits}; tried for {patience.waited_s:.0f} s "
                f"without a byte more (retry_budget_s {self._retry_budget_s:.0f}); nothing was published; run it "
                f"again, it goes on at byte {here:,} of {file.size:,}"
            ) from reason
        if asked is not None:
            pause = max(pause, min(asked, _LONGEST_WAIT_S) * random.uniform(1.0, 1.1))
        logger.warning("%s: %s: %s; trying again in %.1f s", self._where, file.name, reason, pause)
        self.cancelled.wait(pause)

    def _digests(self, file: RemoteFile, path: Path) -> _Digests:
        hashers = [hashlib.sha256(), hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)]
        with told("read", path), path.open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                self._check_cancelled()
                for hasher in hashers[: 2 if file.git_sha1 else 1]:
                    hasher.update(block)
        return _Digests(*(hasher.hexdigest() for hasher in hashers))

    def _looked_into(self, name: str, path: Path) -> Weights | None:
        with told("read", path), path.open("rb") as stream:
            start = stream.read(8)
        if looks_like_pickle(start) and not is_pickle_name(name):
            raise ModelError(
                f"{self._where}: wanted {name} to be what its name says, found a pickle, which runs code when it is "
                "loaded; nothing was published"
            )
        if not name.endswith(".safetensors"):
            return None
        return Weights(**read_tensors(path)._asdict())

    def _mismatch(self, file: RemoteFile, found: str) -> DigestMismatch:
        wanted = f"sha256 {file.sha256[:12]}…" if file.sha256 else f"git's {file.git_sha1[:12]}…"
        return DigestMismatch(
            f"{self._where}: wanted {file.name} with the promised bytes ({wanted}), found others ({found[:12]}…) "
            f"{_MAX_FETCHES} times; nothing was published; try again later, or tell who keeps it"
        )

    def _came(self, name: str, count: int) -> None:
        self._check_cancelled()
        self._progress.came(name, count)

    def _stored(self, name: str, count: int) -> None:
        self._check_cancelled()
        self._progress.stored(name, count)

    def _check_cancelled(self) -> None:
        if self.cancelled.is_set():
            raise Cancelled


class _Digests(NamedTuple):
    """Of one file: its sha256, and what git would call it (where that was asked for)."""

    sha256: str
    git_sha1: str


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
