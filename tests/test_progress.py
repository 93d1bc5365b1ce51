from __future__ import annotations

import io
import logging
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from t2s.prediction import Measurement
from t2s.progress import Progress, Snapshot, duration


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_counts_rates_and_time_left_are_those_of_what_was_answered() -> None:
    clock = Clock()
    progress = Progress(total_turns=100, done_turns=20, clock=clock)
    assert progress.snapshot() == Snapshot(100, 20, 0.0, 0.0, 0.0, None, None)
    clock.now += 300  # loading weights
    progress.update()  # the rate counts from here on
    for _ in range(10):
        clock.now += 1
        progress.turn(Measurement(db_id="d", question_id="q", prompt_tokens=100, cached_tokens=80, completion_tokens=7))
    assert progress.snapshot() == Snapshot(100, 30, 1.0, 100.0, 7.0, 0.8, 70.0)


def test_the_first_answer_alone_gives_no_rate() -> None:
    clock = Clock()
    progress = Progress(10, clock=clock)
    progress.update(turns=3)
    assert progress.snapshot().turns_per_s == 0.0
    clock.now += 2
    progress.update(turns=4)
    assert progress.snapshot().turns_per_s == 2.0


def test_rates_forget_what_is_older_than_a_minute() -> None:
    clock = Clock()
    progress = Progress(10_000, clock=clock)
    progress.update()
    for _ in range(120):
        clock.now += 1
        progress.update(turns=10)
        progress.snapshot()
    assert progress.snapshot().turns_per_s == pytest.approx(10.0)
    for _ in range(70):
        clock.now += 1
        progress.update(turns=1)
        progress.snapshot()
    assert progress.snapshot().turns_per_s == pytest.approx(1.0)


def test_done_never_exceeds_the_total_when_a_shard_is_answered_twice() -> None:
    progress = Progress(total_turns=5)
    progress.update(turns=8)
    assert progress.snapshot().done_turns == 5


def test_a_line_says_it_all() -> None:
    line = Snapshot(632, 120, 1.234, 850.4, 95.2, 0.71, 420.0).line()
    assert line == (
        "120/632 turns (19.0 %), 1.23 turns/s, 850 prompt + 95.2 output tokens/s, "
        "71% of the prompt from the cache, 7 min left"
    )


def test_while_the_engine_starts_a_line_says_that_there_is_no_answer_yet() -> None:
    assert Progress(total_turns=4).snapshot().line() == "0/4 turns (0.0 %), no answer yet"


@pytest.mark.parametrize(("seconds", "text"), [(4.6, "5 s"), (89, "89 s"), (420, "7 min"), (11_100, "3 h 05 min")])
def test_a_duration_is_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_in_a_log_the_last_line_is_written_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="t2s.progress")
    with Progress(total_turns=4) as progress:
        progress.update(turns=4)
    assert [record.message.partition(",")[0] for record in caplog.records] == ["4/4 turns (100.0 %)"]


def test_a_run_with_nothing_to_do_logs_no_progress(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="t2s.progress")
    with Progress(total_turns=4, done_turns=4):
        pass
    assert caplog.records == []


def test_on_a_terminal_there_is_a_bar_and_log_lines_stand_above_it() -> None:
    code = """
import logging, time
from t2s.job import Redactor, configure_logging
from t2s.progress import Progress
configure_logging("INFO", Redactor(()))
with Progress(total_turns=2) as progress:
    progress.update(turns=1)
    logging.getLogger("t2s.test").info("shard done")
    time.sleep(0.7)
    progress.update(turns=1)
"""
    ours, theirs = pty.openpty()
    root = Path(__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=theirs,
        env={**os.environ, "PYTHONPATH": str(root), "TERM": "xterm", "COLUMNS": "160"},
    )
    os.close(theirs)
    shown = io.BytesIO()
    try:
        while chunk := os.read(ours, 4096):
            shown.write(chunk)
    except OSError:
        pass  # how Linux says that the other end of a terminal is closed
    finally:
        os.close(ours)
        process.kill() if process.poll() is None else None
    assert process.wait(30) == 0
    text = shown.getvalue().decode()
    assert "shard done" in text
    assert "2/2 turns (100.0 %)" in text.splitlines()[-2] + text.splitlines()[-1]
