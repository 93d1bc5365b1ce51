"""A folder, or a prefix of object storage, as the origin of a download.

There is no commit: the revision is a digest. Of a folder it is one of its bytes, of objects one of their names, sizes
and ETags, since bytes would have to be read for it; a folder that was published has its revision in its manifest, and
is held against it.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from t2s.download.origins import Listing, RemoteFile
from t2s.errors import InputError, ModelError, ObjectMissing
from t2s.storage import Store, open_store
from t2s.storage.cache import NodeCache, folder_digest
from t2s.storage.local import LocalStore
from t2s.storage.os_errors import told
from t2s.storage.published import (
    DATASET_MANIFEST_KEY,
    MANIFEST_KEY,
    Checked,
    Published,
    check_digest,
    hold_against,
    promised,
    read_published,
    refuse_unfinished,
)
from t2s.storage.ranges import OnBytes

_MANIFESTS = (MANIFEST_KEY, DATASET_MANIFEST_KEY)


class FolderOrigin:
    """A folder of this machine.

    Args:
        path: Where it is.
        cache_dir: The node cache, which remembers digests.
    """

    def __init__(self, path: str, cache_dir: Path) -> None:
        self._store = LocalStore(Path(path))
        self._cache = NodeCache(cache_dir)

    def listing(self) -> Listing:
        """What there is now, with the sha256 of every file.

        Raises:
            ModelError: Names a symbolic link, or something else that is no file.
            DigestMismatch: Names a file that its own manifest promises otherwise.
        """
        root = Path(self._store.uri)
        with told("list", root):
            names = sorted(_plain_files(root, ""))
        refuse_unfinished(self._store.uri, names)
        if not names:
            raise ObjectMissing(f"{root}: wanted a folder with files in it, found none; look at the path")
        digests = {name: self._cache.file(self._store, name).digest for name in names if name not in _MANIFESTS}
        manifest = _manifest(self._store, names, digests)
        files = tuple(
            RemoteFile(name, (root / name).stat().st_size, sha256=digest, ref=name, checked=manifest.checked(name))
            for name, digest in digests.items()
        )
        revision = manifest.published.revision if manifest.published else folder_digest(digests)[:16]
        return Listing(revision, files, manifest.licence, manifest.name)

    def fetch(self, file: RemoteFile, folder: Path, on_bytes: OnBytes, cancelled: threading.Event) -> Path:
        """The file is here already."""
        on_bytes(file.size)
        return self._store.path(file.name)

    def close(self) -> None:
        """Nothing is open."""


class ObjectsOrigin:
    """Objects below a prefix of object storage.

    Args:
        uri: Where they are.
    """

    def __init__(self, uri: str) -> None:
        self._store = open_store(uri)

    def listing(self) -> Listing:
        """What there is now."""
        found = list(self._store.list())
        names = [info.key for info in found]
        refuse_unfinished(self._store.uri, names)
        if not names:
            raise ObjectMissing(f"{self._store.uri}: wanted a folder with files in it, found none; look at the path")
        manifest = _manifest(self._store, names, None)
        files = tuple(
            RemoteFile(
                info.key, info.size, sha256=manifest.wanted.get(info.key, ""), ref=info.version,
                checked=manifest.checked(info.key),
            )
            for info in found
            if info.key not in _MANIFESTS
        )  # fmt: skip
        listed = json.dumps([(file.name, file.size, file.ref) for file in files], ensure_ascii=False)
        revision = f"list-{hashlib.sha256(listed.encode()).hexdigest()[:16]}"
        if manifest.published:
            revision = manifest.published.revision
        return Listing(revision, files, manifest.licence, manifest.name)

    def fetch(self, file: RemoteFile, folder: Path, on_bytes: OnBytes, cancelled: threading.Event) -> Path:
        """Bring a file whole to this machine; see `Origin`."""
        path = folder / file.name
        digest = self._store.download(file.name, path, on_bytes)
        if file.sha256:
            check_digest(self._store.uri, file.name, digest, file.sha256)
        return path

    def close(self) -> None:
        """Nothing is open that its store does not keep."""


class _Manifest:
    """What the origin's own manifest says, if it has one."""

    def __init__(self, published: Published | None, wanted: dict[str, str]) -> None:
        self.published, self.wanted = published, wanted
        self.licence = published.licence if published else None
        self.name = published.name if published else ""

    def checked(self, name: str) -> Checked:
        return "record" if name in self.wanted else "nothing"


def _manifest(store: Store, names: list[str], digests: dict[str, str] | None) -> _Manifest:
    key = next((key for key in _MANIFESTS if key in names), None)
    if key is None:
        return _Manifest(None, {})
    data = store.read(key)
    wanted = promised(data)
    # Without digests only what is missing shows now; the bytes are held against it when they have come.
    hold_against(store.uri, digests or {name: wanted.get(name, "") for name in names}, wanted)
    return _Manifest(read_published(data), wanted)


def _plain_files(root: Path, prefix: str) -> Iterator[str]:
    """Names of all files below a folder; whatever is no plain file or folder is refused, by its name."""
    with os.scandir(root / prefix) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = f"{prefix}{entry.name}"
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                yield from _plain_files(root, f"{name}/")
            elif stat.S_ISREG(mode):
                yield name
            else:
                raise _not_plain(root, name, mode)


def _not_plain(root: Path, name: str, mode: int) -> InputError:
    if stat.S_ISLNK(mode):
        target = os.readlink(root / name)
        return ModelError(
            f"{root}: wanted plain files and folders, found the symbolic link {name} -> {target}; copy the folder with "
            "cp -rL, which puts the files themselves in the place of links"
        )
    return ModelError(f"{root}: wanted plain files and folders, found {name}, which is neither; take it away")
