"""What prepare counts, says and draws."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from t2s.interaction import Interaction, Turn
from t2s.training.chart import statistics_png
from t2s.training.gold import Checked, Ran
from t2s.training.prepare_report import print_statistics, show_prepare_plan
from t2s.training.sft import Example
from t2s.training.statistics import PartCounter, PartStatistics, Statistics, bin_width, summary, what_is_cut
from tests.preparing import Watch, config, model, objects, run
from tests.small_dataset import write_dataset


def interaction(db_id: str, number: int, num_turns: int) -> Interaction:
    turns = [
        Turn(question_id=f"{db_id}{number}-{turn}", question="有几个？", gold_sql="select 1")
        for turn in range(num_turns)
    ]
    return Interaction(db_id=db_id, turns=tuple(turns))


def example(question_id: str, *pruned: str) -> Example:
    return Example("甲", (question_id,), [], pruned)


def counted(cut_above: int | None = 100) -> PartStatistics:
    counter = PartCounter("train", max_answer=20, cut_above=cut_above)
    whole, shorter, lost = interaction("甲", 0, 3), interaction("乙", 1, 4), interaction("乙", 2, 2)
    failed = Ran("error", False, "no such table")
    counter.checked(whole, Checked(whole, 2, None))
    counter.checked(shorter, Checked(shorter.model_copy(update={"turns": shorter.turns[:1]}), 0, failed))
    counter.checked(lost, Checked(None, 0, Ran("timeout", False, "the deadline")))
    counter.hardness(["easy", "easy", "extra", "unknown"])
    for name, length, pruned in (
        ("a", 40, ()),
        ("b", 100, ("table:日志", "table:省份", "turn:0")),
        ("c", 101, ("turn:0", "turn:1")),
        ("d", 250, ()),
    ):
        counter.example(example(name, *pruned), length, [length // 5, 1])
    counter.too_long(2)
    return counter.finish(50)


def test_each_turn_left_out_is_counted_once_for_its_reason() -> None:
    part = counted()
    assert (part.num_databases, part.num_interactions, part.num_turns) == (2, 2, 4)
    assert part.num_gold_failed == {"error": 1, "timeout": 1}
    assert (part.num_after_failed, part.num_interactions_lost, part.num_too_long) == (2 + 1, 1, 2)
    assert part.turns == {"1": 1, "3": 1}
    assert part.databases == {"乙": 1, "甲": 1}
    assert part.num_empty_results == 2
    assert part.hardness == {"easy": 2, "medium": 0, "hard": 0, "extra": 1, "unknown": 1}


def test_lengths_cuts_and_pruning_are_counted_by_example() -> None:
    part = counted()
    assert part.num_examples == 4
    assert part.example_length is not None and part.example_length.longest == 250
    assert part.histogram == (1, 0, 2, 0, 0, 1)
    assert (part.num_cut, part.cut) == (2, ("c", "d"))
    assert (part.num_tables_pruned, part.num_turns_pruned) == (1, 2)
    assert part.num_longer_answers == 1 + 0
    assert counted(cut_above=None).num_cut == 0


def test_what_is_cut_is_summed_up_over_the_parts() -> None:
    cut = what_is_cut({"train": counted(), "test": counted(99)})
    assert (cut.num_cut, cut.num_examples, cut.longest) == (2 + 3, 8, 250)
    assert cut.first == ("c", "d", "b", "c", "d")


@pytest.mark.parametrize(
    ("lengths", "wanted"),
    [
        ([7], (7, 7, 7, 7, 7)),
        ([3, 1, 2], (1, 2, 3, 3, 6)),
        (list(range(1, 101)), (1, 50, 95, 100, 5050)),
    ],
)
def test_a_summary_is_that_of_the_sorted_lengths(lengths: list[int], wanted: tuple[int, ...]) -> None:
    found = summary(lengths)
    assert found is not None
    assert (found.shortest, found.median, found.p95, found.longest, found.total) == wanted


def test_no_lengths_have_no_summary() -> None:
    assert summary([]) is None


@given(st.integers(0, 10**9))
def test_a_histogram_has_at_most_forty_bins_of_a_round_width_and_no_wider_than_needed(longest: int) -> None:
    width = bin_width(longest)
    assert re.fullmatch(r"[125]0*", str(width))
    assert longest // width < 40
    assert width == 1 or longest // (width / 2.5) >= 39


def statistics(parts: dict[Any, PartStatistics], **changes: Any) -> Statistics:
    values: dict[str, Any] = {
        "dataset_uri": "data.json",
        "model_uri": "sample",
        "example_form": "turn",
        "history": {part: "gold" for part in parts},
        "unit": "tokens",
        "max_model_len_tokens": 8192,
        "cutoff_len": 256,
        "bin_width": 50,
        "databases_in_both": (),
        "num_rewritten": 0,
        "rewritten": (),
        "gold_failures": (),
        "parts": parts,
    }
    return Statistics.model_validate({**values, **changes})


@pytest.mark.parametrize("parts", [("train", "test"), ("train",)])
@pytest.mark.parametrize("cutoff_len", [256, None])
def test_the_picture_is_a_png_of_readable_size(parts: tuple[str, ...], cutoff_len: int | None) -> None:
    png = statistics_png(statistics({part: counted() for part in parts}, cutoff_len=cutoff_len))
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    assert 1000 < width < 2500 and 600 < height < 2000


def test_equal_statistics_give_an_equal_picture_and_others_another() -> None:
    one = statistics({"train": counted()})
    assert statistics_png(one) == statistics_png(statistics({"train": counted()}))
    assert statistics_png(one) != statistics_png(statistics({"train": counted(99)}))


def printed(show: Any) -> str:
    console = Console(width=200, record=True, file=Path("/dev/null").open("w", encoding="utf-8"))
    show(console)
    console.file.close()
    return console.export_text()


def row(text: str, name: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.strip(" │┃").startswith(name))
    return [cell.strip() for cell in re.split("[│┃]", line) if cell.strip()][1:]


def test_the_report_says_what_was_counted_with_the_parts_side_by_side() -> None:
    failure = {
        "part": "train",
        "db_id": "乙",
        "question_id": "乙1-1",
        "kind": "error",
        "message": "no such table: [没有]",
    }
    found = statistics(
        {"train": counted(), "test": counted(99)},
        gold_failures=(failure,),
        databases_in_both=("甲", "乙"),
        num_rewritten=3,
        rewritten=("x", "y", "z"),
    )
    text = printed(lambda console: print_statistics(found, console))
    assert row(text, "turns") == ["4", "4"]
    assert row(text, "left out: gold fails") == ["error: 1, timeout: 1"] * 2
    assert row(text, "left out: turns after those") == ["3", "3"]
    assert row(text, "tokens per example") == ["40 to 250, median 100, 95 % up to 250"] * 2
    assert row(text, "cut at cutoff_len 256") == ["2", "3"]
    assert row(text, "甲") == ["1", "1"]
    assert "gold fails: 乙1-1 of 乙: error: no such table: [没有]" in text
    assert "as it stands: 3, e.g. x, y, z" in text
    assert "2 databases are in both parts" in text


def test_without_a_tokenizer_the_report_speaks_of_characters_and_of_no_cut() -> None:
    text = printed(lambda console: print_statistics(statistics({"train": counted(None)}, unit="characters"), console))
    assert "characters per example" in text and "cut at" not in text


def test_a_plan_tells_the_split_and_shows_an_example_and_writes_nothing(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", num_databases=10, interactions_per_database=4)
    settings = config(dataset)
    text = printed(lambda console: show_prepare_plan(settings, console))
    assert "40 interactions, 120 turns" in text
    assert row(text, "split") == ["by db_id, 30% of the interactions held out, seed 0"]
    [test] = row(text, "test")
    assert test.startswith("12 interactions over 3 databases: 城市")
    assert "(a new output_uri)" in text and "[assistant]" in text and "CREATE TABLE 城市" in text
    assert objects(settings.output_uri) == {}
    run(settings, Watch())
    assert "(done already)" in printed(lambda console: show_prepare_plan(settings, console))


def test_a_plan_with_a_tokenizer_tells_how_long_examples_are(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data")
    settings = config(dataset, model_uri=model(dataset))
    text = printed(lambda console: show_prepare_plan(settings, console))
    assert "pruned to 3840 tokens: 4096 less 256 for the answer" in text
    assert re.search(r"examples of at most 500 interactions: [\d,]+ to [\d,]+, median [\d,]+, .* tokens", text)
