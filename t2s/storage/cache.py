"""This node's cache: whatever must be a local file (a database, a model) comes through it, with its digest.

    root/files/ab/abcd….sqlite        bytes, by their sha256; read-only
    root/folders/<listing>/…          a folder of a store as it was listed, hard links into files/
    root/known/<identity>.json        what is known of a thing: its digest, and what it was when that was found out
    root/locks/<identity>.lock        held while one process of the node fetches or hashes it
    root/incoming/…                   not finished

A file or folder of a local store is used where it is, never copied and never written to; its digest is remembered, so
that 16 GB of weights are read once. An object of S3 is fetched once per version: one process fetches, the others wait
for it; the lock is the kernel's and goes when its holder dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from t2s.errors import ObjectMissing, StorageError
from t2s.storage import ObjectInfo, Store, open_store
from t2s.storage.local import LocalStore
from t2s.storage.os_errors import told

logger = logging.getLogger(__name__)

_MANIFEST = "manifest.json"
_MAX_FETCHES = 3
# A file changed less than this ago can change again within one tick of the file system's clock (4 ms on ext4, 2 s on
# FAT) and look the same: its digest is not remembered.
_SETTLED_S = 2.5
_LONG_BYTES = 2**30  # about a second to hash


class CachedFile(NamedTuple):
    """A file on this node, to be read only; `digest` is its sha256 (hex)."""

    path: Path
    digest: str


class CachedFolder(NamedTuple):
    """A folder on this node, to be read only; `digest` is its `folder_digest`."""

    path: Path
    digest: str


def folder_digest(digests: Mapping[str, str]) -> str:
    """Sha256 (hex) over a folder's names ("/" between folders) and their sha256, whatever their order or their dates.

    The folder's own `manifest.json`, which may hold this very digest, and hidden names do not count.
    """
    lines = [f"{json.dumps(name, ensure_ascii=False)} {digests[name]}\n" for name in sorted(digests) if _counts(name)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class NodeCache:
    """The cache of this node, shared by all its processes.

    Args:
        root: Its folder on a local disk with room for models; made on first use.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.abspath(root.expanduser()))

    def file(self, store: Store, key: str) -> CachedFile:
        """Bring one object to this node.

        Raises:
            ObjectMissing: There is none.
            StorageError: The store failed or refused, or this node's disk did.
        """
        if isinstance(store, LocalStore):
            path = store.path(key)
            return CachedFile(path, self._digest_of_local(path))
        for _ in range(_MAX_FETCHES):
            if file := self._fetched(store, _info(store, key)):
                return file
        raise _keeps_changing(f"{store.uri}/{key}")

    def folder(self, uri: str) -> CachedFolder:
        """Bring a folder, such as a model, to this node; hidden files stay behind.

        Raises:
            ObjectMissing: There is none, or nothing is in it.
            StorageError: The store failed or refused, or this node's disk did.
        """
        store = open_store(uri)
        if isinstance(store, LocalStore):
            return self._local_folder(store)
        with self._locked(f"folder {store.uri}", store.uri):
            for _ in range(_MAX_FETCHES):
                listed = _listing(store)
                if folder := self._known_folder(store, listed) or self._assembled(store, listed):
                    return folder
        raise _keeps_changing(store.uri)

    def _local_folder(self, store: LocalStore) -> CachedFolder:
        folder = Path(store.uri)
        names = [info.key for info in _listing(store) if _counts(info.key)]
        return CachedFolder(folder, folder_digest({name: self._digest_of_local(folder / name) for name in names}))

    def _digest_of_local(self, path: Path) -> str:
        """Sha256 of a file outside the cache, remembered as long as the file is the same one, untouched."""
        subject = f"file {os.path.realpath(path)}"
        state = _state(path)
        known = self._known(subject)
        if known.get("state") == state:
            return str(known["digest"])
        with self._locked(subject, str(path)):
            known = self._known(subject)
            state = _state(path)
            if known.get("state") == state:
                return str(known["digest"])
            if state["size"] > _LONG_BYTES:
                logger.info("hashing %s, %.1f GiB, once", path, state["size"] / 2**30)
            digest = _sha256(path)
            if _state(path) != state:
                raise _keeps_changing(str(path))
            if time.time_ns() - state["mtime_ns"] > _SETTLED_S * 1e9:
                self._remember(subject, {"path": str(path), "state": state, "digest": digest})
        return digest

    def _fetched(self, store: Store, info: ObjectInfo) -> CachedFile | None:
        """The object's bytes in files/; None if it is no longer what was listed."""
        uri = f"{store.uri}/{info.key}"
        subject = f"version {info.version} of {uri}, {info.size} bytes"
        with self._locked(f"object {uri}", uri):
            known = self._known(subject)
            if known and _has_size(path := self._path_of(known["digest"], info.key), info.size):
                return CachedFile(path, known["digest"])
            logger.info("fetching %s, %.1f MiB", uri, info.size / 2**20)
            with self._incoming(f"object {uri}") as incoming:
                digest = store.download(info.key, incoming / "object")
                # A version that was replaced in between must not be remembered with the other one's digest.
                if not _has_size(incoming / "object", info.size) or _info(store, info.key).version != info.version:
                    return None
                path = self._path_of(digest, info.key)
                (incoming / "object").chmod(0o444)
                path.parent.mkdir(parents=True, exist_ok=True)
                os.replace(incoming / "object", path)
            self._remember(subject, {"uri": uri, "digest": digest})
        return CachedFile(path, digest)

    def _known_folder(self, store: Store, listed: tuple[ObjectInfo, ...]) -> CachedFolder | None:
        path = self._folder_path(store, listed)
        known = self._known(f"folder {path.name}")
        if known and all(_has_size(path / info.key, info.size) for info in listed):
            return CachedFolder(path, known["digest"])
        return None

    def _assembled(self, store: Store, listed: tuple[ObjectInfo, ...]) -> CachedFolder | None:
        """The listed objects as a folder of their own; None if the store's folder changed meanwhile."""
        path = self._folder_path(store, listed)
        files = {}
        for info in listed:
            file = self._fetched(store, info)
            if file is None:
                return None
            files[info.key] = file
        if _listing(store) != listed:
            return None
        digest = folder_digest({name: file.digest for name, file in files.items()})
        with self._incoming(f"folder {store.uri}") as incoming:
            for name, file in files.items():
                (incoming / name).parent.mkdir(parents=True, exist_ok=True)
                _link(file.path, incoming / name)
            if path.exists():  # not whole: somebody took files out of it
                shutil.rmtree(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(incoming, path)
        self._remember(f"folder {path.name}", {"uri": store.uri, "digest": digest})
        return CachedFolder(path, digest)

    def _folder_path(self, store: Store, listed: tuple[ObjectInfo, ...]) -> Path:
        return self._root / "folders" / _name(json.dumps([store.uri, listed], ensure_ascii=False))

    @contextlib.contextmanager
    def _incoming(self, subject: str) -> Iterator[Path]:
        """An empty folder for what is not finished; the caller holds the subject's lock."""
        folder = self._root / "incoming" / _name(subject)
        with told("write", folder):
            # Always the same one: what a killed process left of 16 GB goes with the next attempt.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def _path_of(self, digest: str, key: str) -> Path:
        # The ending stays: libraries choose by it how to read a file.
        return self._root / "files" / digest[:2] / f"{digest}{PurePosixPath(key).suffix}"

    def _known(self, subject: str) -> dict[str, Any]:
        path = self._root / "known" / f"{_name(subject)}.json"
        try:
            with told("read", path):
                known = json.loads(path.read_bytes())
        except (ObjectMissing, ValueError):  # not known yet, or a file that a full disk or a crash spoilt
            return {}
        return known if isinstance(known, dict) else {}

    def _remember(self, subject: str, facts: dict[str, Any]) -> None:
        store = LocalStore(self._root / "known")
        store.write(f"{_name(subject)}.json", json.dumps(facts, ensure_ascii=False).encode())

    @contextlib.contextmanager
    def _locked(self, subject: str, shown: str) -> Iterator[None]:
        """Hold the subject's lock against every other process and thread of this node."""
        path = self._root / "locks" / f"{_name(subject)}.lock"
        with contextlib.ExitStack() as held:
            with told("write", path):
                path.parent.mkdir(parents=True, exist_ok=True)
                # The file stays behind: deleting it would let two holders in, one on the old file and one on the new.
                file = held.enter_context(path.open("ab"))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    logger.info("waiting for another process of this node that fetches or hashes %s", shown)
                    fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _listing(store: Store) -> tuple[ObjectInfo, ...]:
    listed = tuple(info for info in store.list() if not _is_hidden(info.key))
    if not listed:
        raise ObjectMissing(f"{store.uri}: wanted a folder with files in it, found none; look at the path")
    return listed


def _info(store: Store, key: str) -> ObjectInfo:
    for info in store.list(key):
        if info.key == key:
            return info
    raise ObjectMissing(f"{store.uri}/{key}: wanted an object, found none; look at the path")


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _counts(name: str) -> bool:
    return name != _MANIFEST and not _is_hidden(name)


def _state(path: Path) -> dict[str, int]:
    """What tells whether a file is the same and untouched. `ctime_ns` sees also a change whose date was set back."""
    with told("read", path):
        status = path.stat()
        if path.is_dir():
            raise ObjectMissing(f"{path}: wanted a file, found a folder; name a file in it")
    return {
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
        "inode": status.st_ino,
    }


def _sha256(path: Path) -> str:
    with told("read", path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # no hard links here: a copy costs room, and nothing else
        shutil.copyfile(source, target)
        target.chmod(0o444)


def _name(subject: str) -> str:
    return hashlib.sha256(subject.encode()).hexdigest()


def _keeps_changing(what: str) -> StorageError:
    return StorageError(f"{what}: changes while it is being read; wait until whoever writes it is done, and run again")
