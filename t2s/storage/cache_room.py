"""The node cache's bookkeeping: what is known, who fetches, who uses it, and what goes when there is no room.

    root/known/<identity>.json        what is known of a thing; its date is when it was last used
    root/locks/<identity>.lock        held while one process of the node fetches or hashes it
    root/locks/gate.lock              shared by who takes something into use, exclusive while something is thrown out
    root/in-use/<pid>-<random>        identities that a process uses, a line each; locked as long as the process lives

All locks are the kernel's and go with their holder, however it dies: nothing is ever left to be cleaned by hand.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from t2s.errors import ObjectMissing, StorageError
from t2s.storage.local import LocalStore
from t2s.storage.os_errors import told

logger = logging.getLogger(__name__)

_GATE = "gate"


class _Use(NamedTuple):
    descriptor: int
    marked: set[str]


_USES: dict[tuple[int, Path], _Use] = {}
"""This process's files in in-use/, by process (a forked child writes its own) and cache."""


class _Entry(NamedTuple):
    identity: str
    used_ns: int
    digests: frozenset[str]
    is_folder: bool


class CacheRoom:
    """Notes, locks and room of one cache.

    Args:
        root: The cache's folder.
        max_bytes: Most that files/ may hold; None: as much as the disk does.
    """

    def __init__(self, root: Path, max_bytes: int | None) -> None:
        self._root, self._max_bytes = root, max_bytes

    def known(self, subject: str) -> dict[str, Any]:
        """What was remembered of `subject`; nothing where that is not there or spoilt by a crash or a full disk."""
        return self._note(f"{identity(subject)}.json")

    def remember(self, subject: str, facts: dict[str, Any]) -> None:
        """Keep what is known of `subject`."""
        store = LocalStore(self._root / "known")
        store.write(f"{identity(subject)}.json", json.dumps(facts, ensure_ascii=False).encode())

    @contextlib.contextmanager
    def locked(self, subject: str, shown: str) -> Iterator[None]:
        """Hold the subject's lock against every other process and thread of this node."""
        with contextlib.ExitStack() as held:
            file = self._open_lock(identity(subject), held)
            with told("write", self._root / "locks"):
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    logger.info("waiting for another process of this node that fetches or hashes %s", shown)
                    fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def taking(self) -> Iterator[None]:
        """While inside, nothing is thrown out: between seeing that a thing is there and `use`."""
        with self._gate(fcntl.LOCK_SH):
            yield

    def use(self, subject: str) -> None:
        """Keep `subject` until this process ends, and count it as used now; inside `taking`."""
        name = identity(subject)
        note = self._root / "known" / f"{name}.json"
        with told("write", note), contextlib.suppress(FileNotFoundError):
            os.utime(note)
        key = (os.getpid(), self._root)
        mine = _USES.get(key)
        if mine is None:
            path = self._root / "in-use" / f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
            with told("write", path):
                path.parent.mkdir(parents=True, exist_ok=True)
                # Never closed: the lock on it says that this process lives.
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o666)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            mine = _USES.setdefault(key, _Use(descriptor, set()))
        if name not in mine.marked:
            with told("write", self._root / "in-use"):
                os.write(mine.descriptor, f"{name}\n".encode())
            mine.marked.add(name)

    def make(self, num_bytes: int, shown: str) -> None:
        """Make room for `num_bytes`: what was used longest ago goes first, never what a living process uses.

        Raises:
            StorageError: What may go is not enough.
        """
        if num_bytes == 0 or (self._max_bytes is None and num_bytes < self._free_bytes()):
            self._forget_the_dead()
            return
        with self._gate(fcntl.LOCK_EX):
            used = self._in_use()
            entries = sorted(self._entries(), key=lambda entry: entry.used_ns)
            self._drop_unknown(entries)
            holders = Counter(digest for entry in entries for digest in entry.digests)
            held = self._held_bytes()
            for entry in entries:
                if self._fits(held, num_bytes):
                    return
                if entry.identity not in used:
                    held -= self._drop(entry, holders)
            if not self._fits(held, num_bytes):
                self._refuse(held, num_bytes, shown)

    def _refuse(self, held: int, num_bytes: int, shown: str) -> None:
        if self._max_bytes is not None and held + num_bytes > self._max_bytes:
            raise StorageError(
                f"{self._root}: no room for {shown}: it takes {num_bytes / 2**20:,.0f} MiB, processes of this node use "
                f"{held / 2**20:,.0f} MiB, the limit is {self._max_bytes / 2**20:,.0f} MiB (cache_max_bytes); raise it"
            )
        raise StorageError(
            f"{self._root}: no room for {shown}: it takes {num_bytes / 2**20:,.0f} MiB, the disk has "
            f"{self._free_bytes() / 2**20:,.0f} MiB free; make room there, or set cache_dir to another disk"
        )

    def _fits(self, held: int, num_bytes: int) -> bool:
        within = self._max_bytes is None or held + num_bytes <= self._max_bytes
        return within and num_bytes < self._free_bytes()

    def _free_bytes(self) -> int:
        with told("write", self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            return shutil.disk_usage(self._root).free

    def _held_bytes(self) -> int:
        with told("read", self._root / "files"):
            blobs = sum(path.stat().st_size for path in (self._root / "files").glob("*/*"))
            # Where the file system has no hard links, folders hold copies.
            copies = (path.stat() for path in (self._root / "folders").rglob("*") if path.is_file())
            return blobs + sum(status.st_size for status in copies if status.st_nlink == 1)

    def _entries(self) -> Iterator[_Entry]:
        for path in sorted((self._root / "known").glob("*.json")):
            note = self._note(path.name)
            digests = frozenset(map(str, note.get("blobs", ())))
            if digests:  # else the digest of a file outside of the cache
                with contextlib.suppress(FileNotFoundError):
                    yield _Entry(path.stem, path.stat().st_mtime_ns, digests, "folder" in note)

    def _drop(self, entry: _Entry, holders: Counter[str]) -> int:
        """Throw one entry out; returns the bytes that this gave back: other entries may hold the same file."""
        logger.info("throwing %s out of %s to make room", self._note(f"{entry.identity}.json").get("uri"), self._root)
        freed = 0
        with told("delete", self._root):
            # The note first: what a crash leaves then is bytes that nobody knows, which the next one throws out.
            (self._root / "known" / f"{entry.identity}.json").unlink(missing_ok=True)
            if entry.is_folder:
                shutil.rmtree(self._root / "folders" / entry.identity, ignore_errors=True)
            holders.subtract(entry.digests)
            for digest in entry.digests:
                if not holders[digest]:
                    for path in (self._root / "files" / digest[:2]).glob(f"{digest}*"):
                        freed += path.stat().st_size
                        path.unlink()
        return freed

    def _drop_unknown(self, entries: list[_Entry]) -> None:
        """Delete what processes left that were killed while they fetched or threw out."""
        kept = frozenset().union(*(entry.digests for entry in entries))
        folders = {entry.identity for entry in entries}
        with told("delete", self._root / "files"):
            for path in (self._root / "files").glob("*/*"):
                if path.name.partition(".")[0] not in kept:
                    path.unlink(missing_ok=True)
        for folder in (self._root / "folders").glob("*"):
            if folder.name not in folders:
                shutil.rmtree(folder, ignore_errors=True)
        for folder in (self._root / "incoming").glob("*"):
            with contextlib.ExitStack() as held:
                try:
                    fcntl.flock(self._open_lock(folder.name, held), fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:  # its process lives
                    continue
                shutil.rmtree(folder, ignore_errors=True)

    def _forget_the_dead(self) -> None:
        """Take away what dead processes have left in in-use/, unless somebody is busy there."""
        with contextlib.ExitStack() as held:
            try:
                fcntl.flock(self._open_lock(_GATE, held), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            self._in_use()

    def _in_use(self) -> set[str]:
        """Identities that living processes use; the files of dead ones go."""
        found: set[str] = set()
        for path in (self._root / "in-use").glob("*"):
            with told("read", path), path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink(missing_ok=True)
                except BlockingIOError:
                    found |= set(file.read().decode().split())
        return found

    def _note(self, name: str) -> dict[str, Any]:
        path = self._root / "known" / name
        try:
            with told("read", path):
                note = json.loads(path.read_bytes())
        except (ObjectMissing, ValueError):
            return {}
        return note if isinstance(note, dict) else {}

    @contextlib.contextmanager
    def _gate(self, kind: int) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            file = self._open_lock(_GATE, held)
            with told("write", self._root / "locks"):
                fcntl.flock(file, kind)
            yield

    def _open_lock(self, name: str, held: contextlib.ExitStack) -> Any:
        path = self._root / "locks" / f"{name}.lock"
        with told("write", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # The file stays behind: deleting it would let two holders in, one on the old file and one on the new.
            return held.enter_context(path.open("ab"))


def identity(subject: str) -> str:
    """A file name for `subject`, a text of any length."""
    return hashlib.sha256(subject.encode()).hexdigest()[:40]
