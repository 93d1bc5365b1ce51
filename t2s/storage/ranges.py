"""One big object into a local file: several readers at once, hashed on the way, the memory flat.

    readers    [part 3][part 1][part 2][part 5]   each writes its bytes where they belong, a block at a time
    hasher     [part 0]───>                       follows the first part that is not complete

The sha256 costs no time of its own: while it is taken of one part, the readers bring the next ones. What is hashed is
what the file holds, read back from the page cache, so a disk that does not keep what it was given is noticed too.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PART_BYTES = 16 << 20
NUM_READERS = 8
# Blocks of 1 MB took 1.2 to 2.1 s of CPU for 512 MB, these 0.6: from eight threads, each bigger one was mapped anew.
BLOCK_BYTES = 256 << 10

OnBytes = Callable[[int], None]
"""Told of each piece that has come or gone, in bytes; called from several threads."""

ReadRange = Callable[[int, int], Iterator[bytes]]
"""The object's bytes from the first offset up to the second, in blocks."""

# File systems that cannot reserve room say so by these; then a full disk is noticed while writing.
_CANNOT_RESERVE = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


def fetch(read_range: ReadRange, size: int, path: Path, on_bytes: OnBytes | None = None) -> str:
    """Write an object of `size` bytes to `path`, which must not exist; returns its sha256 (hex).

    Raises:
        OSError: This node's disk failed; before anything is read where it has no room.
        Exception: What `read_range` raises; the other readers then stop after their current block.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666)
    try:
        _reserve(descriptor, size)
        digest = _fetch_parts(read_range, size, descriptor, on_bytes)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return digest


def _fetch_parts(read_range: ReadRange, size: int, descriptor: int, on_bytes: OnBytes | None) -> str:
    failed = threading.Event()

    def bring(start: int, end: int) -> None:
        at = start
        for block in read_range(start, end):
            if failed.is_set():
                return
            written = 0
            while written < len(block):  # a disk that fills up takes a part of a block
                written += os.pwrite(descriptor, block[written:] if written else block, at + written)
            at += len(block)
            if on_bytes is not None:
                on_bytes(len(block))
        assert at == end, f"{at} instead of {end}: read_range raises where it cannot give all"

    parts = [(start, min(start + PART_BYTES, size)) for start in range(0, size, PART_BYTES)]
    hasher, buffer = hashlib.sha256(), memoryview(bytearray(min(BLOCK_BYTES, size)))
    with ThreadPoolExecutor(min(NUM_READERS, max(len(parts), 1)), "range") as pool:
        futures = [pool.submit(bring, start, end) for start, end in parts]
        try:
            for (start, end), future in zip(parts, futures, strict=True):
                future.result()
                at = start
                while at < end:
                    count = os.preadv(descriptor, [buffer[: min(len(buffer), end - at)]], at)
                    if count == 0:
                        raise OSError(errno.EIO, f"the file ends at {at} bytes, {size} were written")
                    hasher.update(buffer[:count])
                    at += count
        except BaseException:
            failed.set()
            pool.shutdown(cancel_futures=True)
            raise
    return hasher.hexdigest()


def _reserve(descriptor: int, size: int) -> None:
    if size == 0:
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in _CANNOT_RESERVE:
            raise


def sha256_of(path: Path) -> str:
    """Sha256 (hex) of a local file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Raise `OSError` unless the file is the same one, untouched, after the block."""
    before = path.stat()
    yield
    after = path.stat()
    if (before.st_ino, before.st_size, before.st_mtime_ns) != (after.st_ino, after.st_size, after.st_mtime_ns):
        raise OSError(errno.ESTALE, "it was changed while it was being stored")
