"""What is shown while a download runs."""

from __future__ import annotations

import logging
import time

import pytest

from t2s.download import TransferProgress

GB = 10**9


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_line_tells_files_bytes_speed_and_time_left() -> None:
    clock = Clock()
    progress = TransferProgress(clock)
    progress.plan({"a": 2 * GB, "b": 6 * GB, "c": 2 * GB}, {"c": 2 * GB}, uploads=False)
    progress.starts("a", 0)
    progress.starts("b", GB)  # left there by an earlier run
    progress.came("a", 0)
    clock.now += 10
    progress.came("a", GB)
    progress.came("b", GB)
    assert progress.line() == "1 of 3 files, 5.0 of 10.0 GB fetched, 200.0 MB/s, 25 s left; a 50%, b 33%"
    assert progress.snapshot().time_left_s == 25.0


def test_a_file_that_has_to_come_again_is_counted_again() -> None:
    progress = TransferProgress(Clock())
    progress.plan({"a": 1000}, {}, uploads=False)
    progress.starts("a", 0)
    progress.came("a", 1000)
    progress.again("a")
    assert progress.snapshot().fetched_bytes == 0
    progress.came("a", 600)
    progress.came("a", -600)  # a client that begins anew by itself
    progress.came("a", 1000)
    progress.stores("a")
    progress.done("a")
    assert (progress.snapshot().fetched_bytes, progress.snapshot().done_files) == (1000, 1)
    assert progress.files() == {}


def test_what_goes_on_into_object_storage_counts_as_work_too() -> None:
    clock = Clock()
    progress = TransferProgress(clock)
    progress.plan({"a": GB}, {}, uploads=True)
    progress.starts("a", 0)
    progress.came("a", 0)
    clock.now += 5
    progress.came("a", GB)
    progress.stores("a")
    assert progress.line() == "0 of 1 files, 1.0 of 1.0 GB fetched, 0.0 GB stored, 200.0 MB/s, 5 s left; a 0%"
    progress.stored("a", GB)
    progress.done("a")
    assert progress.snapshot().stored_bytes == GB


def test_in_a_log_there_is_a_line_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    progress = TransferProgress(interval_s=0.05)
    progress.plan({"a": 10}, {}, uploads=False)
    with caplog.at_level(logging.INFO, "t2s"):
        progress.begin()
        try:
            time.sleep(0.2)
            assert caplog.text == "", "nothing is on its way yet"
            progress.starts("a", 5)
            time.sleep(0.3)
        finally:
            progress.end()
        assert "0 of 1 files, 0.0 of 0.0 MB fetched; a 50%" in caplog.text
