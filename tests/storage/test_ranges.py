"""Ranged reads into one file: every byte in its place, the digest of what is there, failures told at once."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from t2s.storage.ranges import PART_BYTES, fetch, unchanged


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES - 7])
def test_the_file_holds_the_object_and_the_digest_is_its_sha256(size: int, tmp_path: Path) -> None:
    data = os.urandom(size)
    told: list[int] = []

    def read_range(start: int, end: int) -> Iterator[bytes]:
        step = 700_001  # blocks as a network gives them, never those of the parts
        for at in range(start, end, step):
            yield data[at : min(at + step, end)]

    assert fetch(read_range, size, tmp_path / "object", told.append) == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "object").read_bytes() == data
    assert sum(told) == size


def test_a_part_that_fails_fails_the_whole_and_the_others_stop(tmp_path: Path) -> None:
    served: list[int] = []
    failing = threading.Event()

    def read_range(start: int, end: int) -> Iterator[bytes]:
        if start == PART_BYTES:
            failing.set()
            raise ConnectionError("part 1 is lost")
        for at in range(start, end, 1 << 20):
            failing.wait(10)
            served.append(1 << 20)
            yield bytes(min(1 << 20, end - at))

    with pytest.raises(ConnectionError, match="part 1 is lost"):
        fetch(read_range, 100 * PART_BYTES, tmp_path / "object")
    assert sum(served) < 50 * PART_BYTES


def test_a_part_that_is_too_short_is_never_taken_for_whole(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="9 instead of 10"):
        fetch(lambda start, end: iter([b"123456789"]), 10, tmp_path / "object")


def test_a_file_that_changes_while_it_is_stored_is_told(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"1")
    with unchanged(path):
        path.read_bytes()
    with pytest.raises(OSError, match="changed while"), unchanged(path):
        path.write_bytes(b"22")
