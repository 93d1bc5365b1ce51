"""Where a download goes: files one by one, each remembered with its digest; the manifest last.

    on a disk     <models>/<name>/.t2s-incoming-<revision>/…        renamed to <revision> when it is whole
                     .parts/…  .incoming/<file>.json                what is not whole; what is
    in a bucket   <models>/<name>/<revision>/…  + .incoming/…       the manifest makes it whole; before, readers refuse
                  parts wait in the staging folder of this node, each until it is uploaded

An earlier run's files are taken as they are when the store still lists them with the size and version of then.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from t2s.download.origins import RemoteFile
from t2s.errors import ModelError, StorageError
from t2s.interaction import Record
from t2s.storage import Store, open_store
from t2s.storage.keys import OWN_PREFIX
from t2s.storage.local import LocalStore
from t2s.storage.os_errors import told
from t2s.storage.published import INCOMING_PREFIX, Checked, Kind, Published, manifest_key, read_published
from t2s.storage.ranges import OnBytes

logger = logging.getLogger(__name__)

_PARTS = ".parts"


class Weights(Record):
    """What a safetensors file holds: names of its tensors, and how many values of each type."""

    names: tuple[str, ...]
    parameters: dict[str, int]


class KeptFile(Record):
    """A file that is whole and checked.

    Attributes:
        name, size, sha256, checked: As in the manifest.
        weights: Of a safetensors file.
        version: The store's, right after it was put there.
    """

    name: str
    size: int
    sha256: str
    checked: Checked
    weights: Weights | None = None
    version: str = ""


class Place(NamedTuple):
    """Where a model or dataset is published: below `uri`, as `<name>/<revision>`."""

    uri: str
    name: str
    revision: str
    kind: Kind

    @property
    def folder_uri(self) -> str:
        """The folder itself."""
        return f"{self.uri.rstrip('/')}/{self.name}/{self.revision}"


class Target:
    """The folder that is being filled.

    Args:
        place: Where it will be.
        staging: Folder of this node for parts, where the store is no disk of this node.
    """

    def __init__(self, place: Place, staging: Path) -> None:
        self.uri = place.folder_uri
        self._manifest_key = manifest_key(place.kind)
        self._lock_path = staging / "locks" / hashlib.sha256(self.uri.encode()).hexdigest()[:20]
        self._final = open_store(self.uri)
        self._store: Store = self._final
        self.is_local = isinstance(self._final, LocalStore)
        self._incoming = staging / hashlib.sha256(self._final.uri.encode()).hexdigest()[:20]
        if isinstance(self._final, LocalStore):
            final = Path(self._final.uri)
            self._incoming = final.parent / f"{OWN_PREFIX}incoming-{final.name}"
            self._store = LocalStore(self._incoming)
        self.parts = self._incoming / _PARTS

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes of this node from filling it at the same time; they wait."""
        with told("write", self._lock_path):
            self._lock_path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock_path.open("ab") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    logger.info("waiting for another process of this node that downloads %s", self.uri)
                    fcntl.flock(file, fcntl.LOCK_EX)
                yield

    def published(self) -> Published | None:
        """The manifest of what is there and whole; None where nothing is.

        Raises:
            StorageError: Something is there that is not whole any more, or not of this job's making.
        """
        sizes = {info.key: info.size for info in self._final.list()}
        if self._manifest_key not in sizes:
            if self.is_local and sizes:
                raise StorageError(f"{self.uri}: wanted room for a download, found other files; move them away")
            return None
        published = read_published(self._final.read(self._manifest_key))
        if published is None:
            raise StorageError(
                f"{self.uri}: wanted a {self._manifest_key} of this version, found another; move the folder away"
            )
        for file in published.files:
            if sizes.get(file.name) != file.size:
                found = f"{sizes[file.name]} bytes" if file.name in sizes else "nothing"
                raise StorageError(
                    f"{self.uri}/{file.name}: wanted {file.size} bytes, as its {self._manifest_key} says, found "
                    f"{found}; it was changed after it had been published: delete the folder and run again"
                )
        return published

    def kept(self, wanted: Collection[str]) -> dict[str, KeptFile]:
        """What earlier runs have brought and is still as it was; what is no longer wanted goes."""
        listed = {info.key: info for info in self._store.list()}
        found = {}
        for key in sorted(key for key in listed if key.startswith(INCOMING_PREFIX) and key.endswith(".json")):
            try:
                file = KeptFile.model_validate_json(self._store.read(key))
            except ValueError:  # half a record, of a disk that was full
                self._store.delete(key)
                continue
            info = listed.get(file.name)
            if file.name not in wanted:
                self._store.delete(file.name)
                self._store.delete(key)
            elif info is not None and (info.size, info.version) == (file.size, file.version):
                found[file.name] = file
        return found

    def begin(self) -> None:
        """Say, before the first file comes, that this folder is not whole."""
        self._store.write(f"{INCOMING_PREFIX}begun", b"{}")

    def keep(self, file: KeptFile, path: Path, on_bytes: OnBytes) -> KeptFile:
        """Take a whole, checked file in; one that lay in `parts` is gone from there then."""
        owned = path.is_relative_to(self.parts)
        if self.is_local and owned:
            final = self._incoming / file.name
            with told("write", final):
                final.parent.mkdir(parents=True, exist_ok=True)
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
                os.replace(path, final)
        else:
            digest = self._store.upload(path, file.name, on_bytes)
            if digest != file.sha256:
                raise StorageError(f"{path}: its bytes changed between the check and the upload; look at this disk")
            if owned:
                path.unlink()
        info = next((info for info in self._store.list(file.name) if info.key == file.name), None)
        if info is None or info.size != file.size:
            raise StorageError(f"{self._store.uri}/{file.name}: wanted {file.size} bytes stored, found {info}")
        kept = file.model_copy(update={"version": info.version})
        key = f"{INCOMING_PREFIX}{hashlib.sha256(file.name.encode()).hexdigest()[:20]}.json"
        self._store.write(key, kept.model_dump_json().encode())
        return kept

    def read(self, name: str) -> bytes:
        """A kept file's bytes; for small ones."""
        return self._store.read(name)

    def publish(self, manifest: Published) -> None:
        """Make it whole: from now on readers take it."""
        names = {file.name for file in manifest.files}
        others = [
            info.key
            for info in self._store.list()
            if info.key not in names and not info.key.startswith((INCOMING_PREFIX, f"{_PARTS}/"))
        ]
        if others:
            raise StorageError(
                f"{self.uri}: wanted only what was downloaded, found {', '.join(others[:5])}; move that away and run "
                "again"
            )
        text = json.dumps(manifest.model_dump(mode="json"), ensure_ascii=False, indent=1)
        self._store.write(self._manifest_key, f"{text}\n".encode())
        if isinstance(self._final, LocalStore):
            with told("write", Path(self._final.uri)):
                os.rename(self._incoming, self._final.uri)
        self.tidy()

    def tidy(self) -> None:
        """Take away what only a download needs; nothing that is published."""
        for key in [info.key for info in self._final.list(INCOMING_PREFIX)]:
            self._final.delete(key)
        folders = [self.parts]
        if isinstance(self._final, LocalStore):
            folders += [Path(self._final.uri) / _PARTS, Path(self._final.uri) / INCOMING_PREFIX.rstrip("/")]
        else:
            folders.append(self._incoming)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def check_room(self, sizes: list[int], num_at_once: int) -> int:
        """How many files may come at once; sizes of what is still to come, in bytes.

        Raises:
            StorageError: This node's disk has not even room for one at a time.
        """
        folder = next(parent for parent in (self.parts, *self.parts.parents) if parent.is_dir())
        free = shutil.disk_usage(folder).free
        come = sum(path.stat().st_size for path in self.parts.rglob("*") if path.is_file())
        if self.is_local:
            if sum(sizes) > free + come:
                raise _no_room(folder, sum(sizes), free)
            return num_at_once
        biggest = sorted(sizes, reverse=True)
        fitting = [number for number in range(1, num_at_once + 1) if sum(biggest[:number]) <= free + come]
        if biggest and not fitting:
            raise _no_room(folder, biggest[0], free)
        return max(fitting, default=num_at_once)


def refuse_other(where: str, published: Published, wanted: Sequence[RemoteFile]) -> None:
    """Raise unless what is published is what was asked for, wherever that came from.

    Raises:
        ModelError: Names a file that is not in it, or with other bytes.
    """
    there = {file.name: file for file in published.files}
    lacking = [file.name for file in wanted if file.name not in there]
    other = [
        file.name
        for file in wanted
        if file.name not in lacking
        and (file.size != there[file.name].size or file.sha256 not in ("", there[file.name].sha256))
    ]
    if lacking or other:
        how = f"without {', '.join(lacking[:5])}" if lacking else f"with other bytes of {', '.join(other[:5])}"
        raise ModelError(
            f"{where}: published {how} (from {published.origin}), and nothing that is published is written to; give "
            "what you want now another name, or delete that folder first"
        )


def _no_room(folder: Path, wanted: int, free: int) -> StorageError:
    return StorageError(
        f"{folder}: wanted room for {wanted / 2**20:,.0f} MiB, found {free / 2**20:,.0f} MiB free; make room there, or "
        "set models_uri (staging_dir, where models go to object storage) to another disk"
    )
