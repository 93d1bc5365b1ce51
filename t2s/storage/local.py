"""A folder as a store.

    root/predictions/shard-00003-of-00016.done    is the object    predictions/shard-00003-of-00016.done

A write goes into a temporary file in the object's own folder, is flushed to the disk, and then takes the object's name
in one step: a reader, a crash or a full disk never leaves half an object under a key. `create` takes the name by a hard
link, which the file system gives to one caller only.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from t2s.errors import StorageError
from t2s.storage import ObjectInfo
from t2s.storage.keys import check_key, check_prefix, is_own, own_name
from t2s.storage.os_errors import told
from t2s.storage.ranges import BLOCK_BYTES, OnBytes

# What file systems without hard links answer (FAT, some network and FUSE mounts).
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES}


class LocalStore:
    """A folder of objects; made when the first one is written.

    Args:
        root: The folder, relative to the working directory or absolute; `~` is the user's home.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.abspath(root.expanduser()))

    @property
    def uri(self) -> str:
        """The absolute path."""
        return str(self._root)

    def path(self, key: str) -> Path:
        """Where the object lies, whether it is there or not."""
        return self._root / check_key(key, self.uri)

    def read(self, key: str) -> bytes:
        """Return the object's bytes; `ObjectMissing` if there is none."""
        path = self.path(key)
        with told("read", path):
            return path.read_bytes()

    def write(self, key: str, data: bytes) -> None:
        """Create or replace an object."""
        path = self.path(key)
        with self._new_file(path) as (temporary, file):
            file.write(data)
            _flush(file)
            os.replace(temporary, path)

    def create(self, key: str, data: bytes) -> bool:
        """Create an object only if there is none; True when it then holds `data`."""
        return self._create(self.path(key), data)

    def _create(self, path: Path, data: bytes) -> bool:
        with self._new_file(path) as (temporary, file):
            file.write(data)
            _flush(file)
            try:
                os.link(temporary, path)
            except FileExistsError:
                return self._holds(path, data)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return self._create_in_place(path, data)
        return True

    def _create_in_place(self, path: Path, data: bytes) -> bool:
        """`create` where the file system has no hard links: one winner too, but a reader may see it half written."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            return self._holds(path, data)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                _flush(file)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return True

    def _holds(self, path: Path, data: bytes) -> bool:
        # The same answer as S3's after a lost reply, and NFS may carry out a link and say that it exists.
        return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data

    def exists(self, key: str) -> bool:
        """Whether the object exists."""
        path = self.path(key)
        with told("read", path):
            return path.is_file()

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects whose key begins with `prefix`, sorted by key; nothing for a folder that is not there."""
        folder, _, start = check_prefix(prefix, self.uri).rpartition("/")
        top = self._root / folder
        with told("list", top):
            found = sorted(_walk(top, f"{folder}/" if folder else "", start, ()))
        return iter(found)

    def delete(self, key: str) -> None:
        """Delete an object; nothing happens if there is none."""
        path = self.path(key)
        with told("delete", path):
            if path.is_file() or path.is_symlink():
                path.unlink(missing_ok=True)

    def upload(self, path: Path, key: str, on_bytes: OnBytes | None = None) -> str:
        """Store a local file, of any size; returns its sha256 (hex)."""
        target = self.path(key)
        with told("read", path), path.open("rb") as source, self._new_file(target) as (temporary, file):
            digest = _copy(source, file, on_bytes)
            _flush(file)
            os.replace(temporary, target)
        return digest

    def download(self, key: str, path: Path, on_bytes: OnBytes | None = None) -> str:
        """Fetch an object into a local file, whole or not at all; returns its sha256 (hex)."""
        origin = self.path(key)
        with told("read", origin), origin.open("rb") as source, self._new_file(path) as (temporary, file):
            digest = _copy(source, file, on_bytes)
            _flush(file)
            os.replace(temporary, path)
        return digest

    def probe(self) -> None:
        """Find out that the folder can be written and that `create` has one winner; `StorageError` if not."""
        path = self._root / own_name("probe")
        try:
            won = [self._create(path, data) for data in (b"1", b"2")]
        finally:
            with told("delete", path):
                path.unlink(missing_ok=True)
        if won != [True, False]:
            raise StorageError(
                f"{self.uri}: wanted a folder where of two that create one file only one wins, found that both did; "
                "this file system cannot hold a run: use another run_uri"
            )

    @contextlib.contextmanager
    def _new_file(self, path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
        """A temporary file beside `path`, open for writing, gone afterwards unless it was renamed."""
        temporary = path.parent / own_name("tmp")
        with told("write", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not tempfile: its files are for their owner alone, and colleagues read these.
            with temporary.open("xb") as file:
                try:
                    yield temporary, file
                finally:
                    temporary.unlink(missing_ok=True)
            _flush_folder(path.parent)


def _walk(folder: Path, prefix: str, start: str, above: tuple[tuple[int, int], ...]) -> Iterator[ObjectInfo]:
    """Objects below `folder`, in no order; at the first level only names that begin with `start`."""
    try:
        status = folder.stat()
        with os.scandir(folder) as entries:
            names = [entry for entry in entries if entry.name.startswith(start) and not is_own(entry.name)]
    except (FileNotFoundError, NotADirectoryError):  # no such folder, or one that went away since its listing
        return
    here = (status.st_dev, status.st_ino)
    if here in above:  # a symbolic link to a folder that it stands in
        return
    for entry in names:
        path = folder / entry.name
        # Path says no to a link that leads nowhere or to itself, where DirEntry raises; for the others it costs a call.
        if path.is_dir() if entry.is_symlink() else entry.is_dir():
            yield from _walk(path, f"{prefix}{entry.name}/", "", (*above, here))
        elif path.is_file() if entry.is_symlink() else entry.is_file():
            with contextlib.suppress(FileNotFoundError):  # deleted since the listing
                status = path.stat()
                yield ObjectInfo(prefix + entry.name, status.st_size, f"{status.st_size}-{status.st_mtime_ns}")


def _copy(source: IO[bytes], target: IO[bytes], on_bytes: OnBytes | None) -> str:
    digest = hashlib.sha256()
    while block := source.read(BLOCK_BYTES):
        digest.update(block)
        target.write(block)
        if on_bytes is not None:
            on_bytes(len(block))
    return digest.hexdigest()


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make a new name survive a power cut, where the file system lets folders be flushed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)
