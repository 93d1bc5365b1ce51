"""The operating system's errors, translated at one place for the local store, the node cache and S3's local files."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from t2s.errors import AccessRefused, ObjectMissing, StorageError

# EFBIG is a limit on the size of one file (ulimit -f, or FAT's 4 GiB): the same for whoever has to make room.
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_RIGHT = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def told(action: Literal["read", "list", "write", "delete"], path: Path) -> Iterator[None]:
    """Raise a `StorageError` that names `path` for any error of the operating system in the block.

    Raises:
        ObjectMissing: To be read, and not there, or a folder.
        AccessRefused: This user may not, or the file system is read-only.
        StorageError: Anything else; a full disk says how much is free where.
    """
    try:
        yield
    except OSError as error:
        if action == "list" and error.filename:  # the folder below `path` that stands in the way
            path = Path(os.fsdecode(error.filename))
        raise _translated(error, action, path) from error


def _translated(error: OSError, action: str, path: Path) -> StorageError:
    reason = error.strerror or str(error)
    if error.errno in _NO_SPACE:
        return StorageError(
            f"{path}: no room to write it ({reason}; {_free(path)} free); make room there, or choose another place"
        )
    if error.errno in _NO_RIGHT:
        return AccessRefused(
            f"{path}: may not {action} it ({reason}); give this user the right, or choose another place"
        )
    if action in ("read", "list") and isinstance(error, FileNotFoundError | NotADirectoryError):
        return ObjectMissing(f"{path}: wanted a file, found none; look at the path")
    if action in ("read", "list") and isinstance(error, IsADirectoryError):
        return ObjectMissing(f"{path}: wanted a file, found a folder; name a file in it")
    if isinstance(error, FileExistsError | NotADirectoryError):
        return StorageError(f"{path}: cannot {action} it, a file stands where its folder should be; move that away")
    return StorageError(f"{path}: cannot {action} it: {reason}")


def _free(path: Path) -> str:
    folder = next(parent for parent in path.parents if parent.is_dir())
    return f"{shutil.disk_usage(folder).free / 2**20:,.0f} MiB"
