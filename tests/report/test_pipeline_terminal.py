from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from t2s.compare import compare_runs
from t2s.report.comparison import Comparison
from t2s.report.pipeline_terminal import Losses, losses_of, print_end
from tests.compared_runs import write_run

HISTORY = [
    {"step": 0, "eval_loss": 0.7},
    {"step": 1, "loss": 0.6},
    {"step": 8, "eval_loss": 0.3},
    {"step": 16, "eval_loss": 0.25},
]


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    base = write_run(tmp_path / "before", ["NN", "NW", "NR"], sql="SELECT [b]旧[/b]")
    return compare_runs([base, write_run(tmp_path / "after", ["RR", "RW", "NR"], sql="SELECT 新")])


def printed(comparison: Comparison, losses: Losses | None, paths: list[tuple[str, str]]) -> list[str]:
    stream = io.StringIO()
    print_end(comparison, losses, paths, Console(file=stream, width=160))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def row(lines: list[str], name: str) -> list[str]:
    (line,) = [line for line in lines if line.startswith(name)]
    return line.removeprefix(name).split()


def test_before_and_after_stand_in_one_table_with_interval_difference_and_p(comparison: Comparison) -> None:
    lines = printed(comparison, Losses(0.7066, 0.2217), [])
    assert row(lines, "held-out loss") == ["0.707", "0.222", "-0.485"]
    told = row(lines, "SQL that runs")
    assert (told[0], told[3]) == ("33.3", "83.3") and told[2].startswith("(0.0-") and "+50.0" in told
    told = row(lines, "EX")
    assert (told[0], told[3], told[-1]) == ("16.7", "66.7", "0.25")
    assert "6 turns of 3 interactions; 95 % intervals over interactions; history: predicted" in lines


def test_two_turns_that_were_won_are_shown_as_they_were_and_are(comparison: Comparison) -> None:
    lines = printed(comparison, None, [])
    assert [line.split(",")[0] for line in lines if line.startswith("won: ")] == ["won: 0.0", "won: 0.1"]
    assert "  base      SELECT [b]旧[/b]" in lines and "  now       SELECT 新" in lines
    assert not any(line.startswith("held-out loss") for line in lines)


def test_the_last_lines_are_the_paths(comparison: Comparison) -> None:
    lines = printed(comparison, None, [("report", "runs/a/report.html"), ("loss plot", "runs/a/train/loss.png")])
    assert lines[-2:] == ["report:    runs/a/report.html", "loss plot: runs/a/train/loss.png"]


def test_the_loss_before_is_the_one_before_the_first_step() -> None:
    assert losses_of(HISTORY) == Losses(0.7, 0.25)
    assert losses_of(HISTORY[1:]) == Losses(None, 0.25), "the first one that was measured is not that of the base"
    assert losses_of(HISTORY[1:2]) is None
    assert losses_of(HISTORY[:1]) == Losses(None, 0.7)
