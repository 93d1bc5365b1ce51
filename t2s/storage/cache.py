"""This node's cache: whatever must be a local file (a database, a model, an adapter) comes through it, with its digest.

    root/files/ab/abcd….sqlite        bytes, by their sha256; read-only
    root/folders/<identity>/…         a folder of a store as it was listed, hard links into files/
    root/incoming/<identity>/…        not finished
    root/known, root/locks, root/in-use        see cache_room

A file or folder of a local store is used where it is, never copied and never written to; its digest is remembered, so
that 16 GB of weights are read once. An object of S3 is fetched once per version, however many workers ask: one process
fetches, the others wait for it. A folder with a manifest is held against it: what it promises is there, byte for byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from t2s.errors import ObjectMissing, StorageError
from t2s.storage import ObjectInfo, Store, open_store
from t2s.storage.cache_room import CacheRoom, identity
from t2s.storage.local import LocalStore
from t2s.storage.os_errors import told
from t2s.storage.published import MANIFEST_KEY, check_digest, hold_against, promised, refuse_unfinished
from t2s.storage.ranges import OnBytes, sha256_of

logger = logging.getLogger(__name__)

_MAX_FETCHES = 3
# A file changed less than this ago can change again within one tick of the file system's clock (4 ms on ext4, 2 s on
# FAT) and look the same: its digest is not remembered.
_SETTLED_S = 2.5
_LONG_BYTES = 2**30  # about a second to hash
_TELL_EVERY_S = 10.0


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

    What a process was given stays where it is until that process ends, whatever the limit.

    Args:
        root: Its folder on a local disk with room for models; made on first use.
        max_bytes: Most that it may hold; what was used longest ago goes first. None: as much as the disk does.
    """

    def __init__(self, root: Path, max_bytes: int | None = None) -> None:
        self._root = Path(os.path.abspath(root.expanduser()))
        self._room = CacheRoom(self._root, max_bytes)

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
            ObjectMissing: There is none, or nothing is in it, or what its manifest promises is not.
            DigestMismatch: A file has other bytes than its manifest promises.
            StorageError: The store failed or refused, or this node's disk did.
        """
        store = open_store(uri)
        if isinstance(store, LocalStore):
            return self._local_folder(store)
        listed = _listing(store)
        if folder := self._known_folder(store, listed):
            return folder
        with self._room.locked(f"folder {store.uri}", store.uri):
            for _ in range(_MAX_FETCHES):
                # Who has waited finds what it had listed: ten workers ask the store ten times, side by side.
                if folder := self._known_folder(store, listed) or self._assembled(store, listed):
                    return folder
                listed = _listing(store)
        raise _keeps_changing(store.uri)

    def _local_folder(self, store: LocalStore) -> CachedFolder:
        folder = Path(store.uri)
        names = [info.key for info in _listing(store)]
        digests = {name: self._digest_of_local(folder / name) for name in names if _counts(name)}
        if MANIFEST_KEY in names:
            hold_against(store.uri, digests, promised(store.read(MANIFEST_KEY)))
        return CachedFolder(folder, folder_digest(digests))

    def _digest_of_local(self, path: Path) -> str:
        """Sha256 of a file outside the cache, remembered as long as the file is the same one, untouched."""
        subject = f"file {os.path.realpath(path)}"
        state = _state(path)
        known = self._room.known(subject)
        if known.get("state") == state:
            return str(known["digest"])
        with self._room.locked(subject, str(path)):
            known = self._room.known(subject)
            state = _state(path)
            if known.get("state") == state:
                return str(known["digest"])
            if state["size"] > _LONG_BYTES:
                logger.info("hashing %s, %.1f GiB, once", path, state["size"] / 2**30)
            with told("read", path):
                digest = sha256_of(path)
            if _state(path) != state:
                raise _keeps_changing(str(path))
            if time.time_ns() - state["mtime_ns"] > _SETTLED_S * 1e9:
                self._room.remember(subject, {"path": str(path), "state": state, "digest": digest})
        return digest

    def _fetched(self, store: Store, info: ObjectInfo, wanted: str | None = None) -> CachedFile | None:
        """The object's bytes in files/; None if it is no longer what was listed.

        Args:
            store: Where it is.
            info: As it was listed.
            wanted: Sha256 that a manifest promises for it.
        """
        uri = f"{store.uri}/{info.key}"
        subject = f"version {info.version} of {uri}, {info.size} bytes"
        with self._room.locked(f"object {uri}", uri):
            known = self._room.known(subject)
            digest = str(known["digest"]) if known else wanted
            if digest is not None and (file := self._kept(subject, uri, info, digest)):
                return self._checked(store, info, file, wanted)
            self._room.make(info.size, uri)
            with self._incoming(f"object {uri}") as incoming:
                with _told_now_and_then(uri, info.size) as on_bytes:
                    digest = store.download(info.key, incoming / "object", on_bytes)
                # A version that was replaced in between must not be remembered with the other one's digest.
                if not _has_size(incoming / "object", info.size) or _info(store, info.key).version != info.version:
                    return None
                path = self._path_of(digest, info.key)
                (incoming / "object").chmod(0o444)
                with self._room.taking():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(incoming / "object", path)
                    self._room.remember(subject, {"uri": uri, "digest": digest, "blobs": [digest]})
                    self._room.use(subject)
        return self._checked(store, info, CachedFile(path, digest), wanted)

    def _kept(self, subject: str, uri: str, info: ObjectInfo, digest: str) -> CachedFile | None:
        """The file of this digest, if it is here: as this object, or as another of the same bytes."""
        path = self._path_of(digest, info.key)
        with self._room.taking():
            if not _has_size(path, info.size):
                return None
            if not self._room.known(subject):
                self._room.remember(subject, {"uri": uri, "digest": digest, "blobs": [digest]})
            self._room.use(subject)
        return CachedFile(path, digest)

    def _checked(self, store: Store, info: ObjectInfo, file: CachedFile, wanted: str | None) -> CachedFile:
        if wanted is not None:
            check_digest(store.uri, info.key, file.digest, wanted)
        return file

    def _known_folder(self, store: Store, listed: tuple[ObjectInfo, ...]) -> CachedFolder | None:
        subject = _folder_subject(store, listed)
        path = self._folder_path(subject)
        with self._room.taking():
            known = self._room.known(subject)
            if known and all(_has_size(path / info.key, info.size) for info in listed):
                self._room.use(subject)
                return CachedFolder(path, str(known["digest"]))
        return None

    def _assembled(self, store: Store, listed: tuple[ObjectInfo, ...]) -> CachedFolder | None:
        """The listed objects as a folder of their own; None if the store's folder changed meanwhile."""
        subject = _folder_subject(store, listed)
        path = self._folder_path(subject)
        wanted = promised(store.read(MANIFEST_KEY)) if any(info.key == MANIFEST_KEY for info in listed) else {}
        files: dict[str, CachedFile] = {}
        for info in listed:
            file = self._fetched(store, info, wanted.get(info.key))
            if file is None:
                return None
            files[info.key] = file
        if _listing(store) != listed:
            return None
        digests = {name: file.digest for name, file in files.items()}
        hold_against(store.uri, digests, wanted)
        digest = folder_digest(digests)
        with self._incoming(f"folder {store.uri}") as incoming:
            for name, file in files.items():
                (incoming / name).parent.mkdir(parents=True, exist_ok=True)
                _link(file.path, incoming / name)
            with self._room.taking():
                if path.exists():  # not whole: somebody took files out of it
                    shutil.rmtree(path)
                path.parent.mkdir(parents=True, exist_ok=True)
                os.replace(incoming, path)
                blobs = sorted(set(digests.values()))
                self._room.remember(subject, {"uri": store.uri, "digest": digest, "blobs": blobs, "folder": True})
                self._room.use(subject)
        return CachedFolder(path, digest)

    def _folder_path(self, subject: str) -> Path:
        return self._root / "folders" / identity(subject)

    @contextlib.contextmanager
    def _incoming(self, subject: str) -> Iterator[Path]:
        """An empty folder for what is not finished; the caller holds the subject's lock."""
        folder = self._root / "incoming" / identity(subject)
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


@contextlib.contextmanager
def _told_now_and_then(uri: str, size: int) -> Iterator[OnBytes]:
    """Say that `uri` is being fetched, how far it is every ten seconds, and how fast it was where that took long."""
    logger.info("fetching %s, %.1f MiB", uri, size / 2**20)
    began = told_at = time.monotonic()
    come = 0

    def on_bytes(count: int) -> None:
        nonlocal come, told_at
        come += count  # of several threads: a line of a log may miss a block
        now = time.monotonic()
        if now - told_at >= _TELL_EVERY_S:
            told_at = now
            speed = come / (now - began)
            logger.info(
                "fetching %s: %.1f of %.1f MiB, %.1f MiB/s, %.0f s left",
                uri, come / 2**20, size / 2**20, speed / 2**20, max(size - come, 0) / max(speed, 1),
            )  # fmt: skip

    yield on_bytes
    if told_at != began:
        seconds = time.monotonic() - began
        logger.info("fetched %s in %.0f s, %.1f MiB/s", uri, seconds, size / 2**20 / seconds)


def _listing(store: Store) -> tuple[ObjectInfo, ...]:
    found = list(store.list())
    refuse_unfinished(store.uri, (info.key for info in found))
    listed = tuple(info for info in found if not _is_hidden(info.key))
    if not listed:
        raise ObjectMissing(f"{store.uri}: wanted a folder with files in it, found none; look at the path")
    return listed


def _info(store: Store, key: str) -> ObjectInfo:
    for info in store.list(key):
        if info.key == key:
            return info
    raise ObjectMissing(f"{store.uri}/{key}: wanted an object, found none; look at the path")


def _folder_subject(store: Store, listed: tuple[ObjectInfo, ...]) -> str:
    return f"folder {json.dumps([store.uri, listed], ensure_ascii=False)}"


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _counts(name: str) -> bool:
    return name != MANIFEST_KEY and not _is_hidden(name)


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


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # no hard links here: a copy costs room, and nothing else
        shutil.copyfile(source, target)
        target.chmod(0o444)


def _keeps_changing(what: str) -> StorageError:
    return StorageError(f"{what}: changes while it is being read; wait until whoever writes it is done, and run again")
