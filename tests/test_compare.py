from __future__ import annotations

import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from t2s.compare import INTERACTION_FIGURES, TURN_FIGURES, compare_runs
from t2s.errors import DatasetError, SettingsError
from t2s.evaluate import evaluate_run
from t2s.metrics.intervals import bootstrap_interval
from t2s.report.compare_terminal import print_comparison
from t2s.report.comparison import Comparison, PairedTest
from t2s.report.record import Report, Score
from tests.compared_runs import write_run
from tests.small_dataset import write_dataset

# Four interactions; the other run wins 0.1, 1.0 and 2.2 and loses 3.0.
BASE = ("RW", "W", "RRN", "RR")
OTHER = ("RR", "R", "RRR", "WR")


def compared(tmp_path: Path, base: tuple[str, ...] = BASE, other: tuple[str, ...] = OTHER) -> Comparison:
    return compare_runs([write_run(tmp_path / "base", base), write_run(tmp_path / "other", other)])


def printed(comparison: Comparison, *, show_all: bool = False, width: int = 120) -> str:
    stream = io.StringIO()
    print_comparison(comparison, Console(file=stream, width=width), show_all=show_all)
    return stream.getvalue()


def test_figures_stand_side_by_side_the_first_run_is_the_base(tmp_path: Path) -> None:
    comparison = compared(tmp_path)
    assert [run.run_uri for run in comparison.runs] == [str(tmp_path / "base"), str(tmp_path / "other")]
    assert (comparison.num_turns, comparison.num_interactions) == (8, 4)
    base, other = (run.means for run in comparison.runs)
    assert (base["execution_accuracy"].value, other["execution_accuracy"].value) == (5 / 8, 7 / 8)
    assert (base["interaction_match_ex"].value, other["interaction_match_ex"].value) == (1 / 4, 3 / 4)
    assert (base["interaction_match_ex"].count, base["execution_accuracy"].count) == (4, 8)
    (against,) = comparison.against_base
    assert against.differences["execution_accuracy"].value == 2 / 8
    assert against.differences["interaction_match_ex"].value == 2 / 4
    assert comparison.warnings == ()


def test_what_was_won_and_lost_is_listed_in_golds_order_with_both_sql_and_verdicts(tmp_path: Path) -> None:
    base = write_run(tmp_path / "base", BASE, sql="SELECT 旧")
    comparison = compare_runs([base, write_run(tmp_path / "other", OTHER, sql="SELECT 新")])
    (against,) = comparison.against_base
    assert [turn.name for turn in against.won] == ["0.1", "1.0", "2.2"]
    assert [turn.name for turn in against.lost] == ["3.0"]
    turn = against.won[2]
    assert (turn.base.verdict, turn.other.verdict) == ("no_such_column", "right")
    assert (turn.base.sql, turn.other.sql, turn.gold_sql, turn.question) == (
        "SELECT 旧",
        "SELECT 新",
        "SELECT 2, 2",
        "问2.2",
    )
    assert (turn.db_id, turn.interaction_index, turn.turn_index) == ("乙", 2, 2)
    assert turn.base.message == "no such column: 名称"
    assert turn.gold_result is not None and turn.gold_result.rows == (("1",),)


def test_turns_are_counted_by_verdict_by_place_and_by_database(tmp_path: Path) -> None:
    (against,) = compared(tmp_path).against_base
    assert against.verdicts == {
        "right": {"right": 4, "wrong_column": 1},
        "wrong_column": {"right": 2},
        "no_such_column": {"right": 1},
    }
    told = {
        turn: (change.num_turns, change.num_base_right, change.num_right, change.num_won, change.num_lost)
        for turn, change in against.by_turn.items()
    }
    assert told == {"1": (4, 3, 3, 1, 1), "2": (3, 2, 3, 1, 0), "3": (1, 0, 1, 1, 0)}
    assert {db_id: (change.num_won, change.num_lost) for db_id, change in against.by_db.items()} == {
        "乙": (2, 0),
        "甲": (1, 1),
    }
    assert [(level, change.num_turns) for level, change in against.by_hardness.items()] == [("unknown", 8)]


def test_mcnemar_is_over_turns_for_ex_and_over_interactions_for_im(tmp_path: Path) -> None:
    (against,) = compared(tmp_path).against_base
    ex, im = against.differences["execution_accuracy"].test, against.differences["interaction_match_ex"].test
    assert ex == PairedTest(num_won=3, num_lost=1, num_both=4, num_neither=0, p_value=0.625)
    assert im == PairedTest(num_won=3, num_lost=1, num_both=0, num_neither=0, p_value=0.625)
    assert against.differences["bleu_4"].test is None


def test_intervals_are_drawn_over_interactions_and_that_of_a_difference_is_paired(tmp_path: Path) -> None:
    base = tuple("RWR"[number % 3] * (1 + number % 4) for number in range(60))
    other = tuple("RWRR"[number % 4] * (1 + number % 4) for number in range(60))
    comparison = compared(tmp_path, base, other)
    counts = np.array([1.0 + number % 4 for number in range(60)])
    before = counts * [number % 3 != 1 for number in range(60)]
    after = counts * [number % 4 != 1 for number in range(60)]
    (against,) = comparison.against_base
    assert comparison.runs[0].means["execution_accuracy"].interval == bootstrap_interval(before, counts)
    assert comparison.runs[1].means["execution_accuracy"].interval == bootstrap_interval(after, counts)
    assert against.differences["execution_accuracy"].interval == bootstrap_interval(after - before, counts)
    matched = bootstrap_interval((after > 0).astype(np.float64), np.ones(60))
    assert comparison.runs[1].means["interaction_match_ex"].interval == matched


def test_a_run_against_one_that_is_the_same_has_no_difference_at_all(tmp_path: Path) -> None:
    (against,) = compared(tmp_path, BASE, BASE).against_base
    difference = against.differences["execution_accuracy"]
    assert (difference.value, difference.interval) == (0.0, (0.0, 0.0))
    assert difference.test is not None and difference.test.p_value == 1.0
    assert (against.won, against.lost) == ((), ())


def test_every_figure_of_the_report_is_compared() -> None:
    shares = {name for name, field in Report.model_fields.items() if field.annotation == float | None}
    assert set(TURN_FIGURES) | set(INTERACTION_FIGURES) == shares
    assert set(TURN_FIGURES) <= set(Score.model_fields)


def test_exact_set_match_is_compared_where_all_runs_have_it(tmp_path: Path) -> None:
    base = write_run(tmp_path / "base", ("RR", "R"), em={"0.0": 1, "0.1": 0, "1.0": 1})
    other = write_run(tmp_path / "other", ("RR", "R"), em={"0.0": 1, "0.1": 1})
    comparison = compare_runs([base, other])
    assert [run.means["exact_set_match"].value for run in comparison.runs] == [0.5, 1.0]
    assert comparison.runs[0].means["exact_set_match"].count == 2
    assert comparison.runs[0].means["interaction_match_em"].count == 1
    neither = compare_runs([write_run(tmp_path / "a", ("R",)), write_run(tmp_path / "b", ("R",))])
    assert "exact_set_match" not in neither.runs[0].means


def test_three_runs_are_each_held_against_the_first(tmp_path: Path) -> None:
    third = write_run(tmp_path / "third", ("WW", "W", "WWW", "WW"), overlap=0.25)
    uris = [write_run(tmp_path / "base", BASE), write_run(tmp_path / "other", OTHER), third]
    comparison = compare_runs(uris)
    assert [against.run_uri for against in comparison.against_base] == uris[1:]
    assert [len(against.lost) for against in comparison.against_base] == [1, 5]
    assert comparison.against_base[1].differences["bleu_4"].value == -0.25
    assert "third against" in printed(comparison)


def test_questions_that_not_all_runs_have_are_left_out_with_a_warning(tmp_path: Path) -> None:
    base = write_run(tmp_path / "base", BASE)
    comparison = compare_runs([base, write_run(tmp_path / "other", OTHER[:2])])
    assert (comparison.num_turns, comparison.num_interactions) == (3, 2)
    assert comparison.runs[0].means["execution_accuracy"].value == 1 / 3
    assert comparison.warnings == (f"{base}: 5 of 8 questions are not in all runs: 2.0, 2.1, 2.2, …",)


def test_an_interaction_of_which_turns_are_left_out_has_no_interaction_match(tmp_path: Path) -> None:
    comparison = compare_runs([write_run(tmp_path / "a", ("RR", "RR")), write_run(tmp_path / "b", ("RR", "R"))])
    assert comparison.runs[0].means["interaction_match_ex"].count == 1
    assert comparison.runs[0].means["execution_accuracy"].count == 3


def test_a_turn_whose_gold_failed_in_one_run_is_left_out_with_a_warning(tmp_path: Path) -> None:
    comparison = compared(tmp_path, ("RR", "R"), ("R-", "R"))
    assert comparison.num_turns == 2
    assert comparison.runs[0].means["execution_accuracy"].count == 2
    assert comparison.runs[0].means["valid_sql_rate"].count == 2
    assert comparison.runs[0].means["interaction_match_ex"].count == 1
    assert comparison.warnings == ("1 questions are left out, since their gold failed in some run: 0.1",)


def test_questions_with_other_gold_are_not_the_same_questions(tmp_path: Path) -> None:
    base = write_run(tmp_path / "base", BASE)
    comparison = compare_runs([base, write_run(tmp_path / "other", OTHER, gold_sql={"1.0": "SELECT 9"})])
    assert comparison.num_turns == 7
    assert comparison.warnings == (
        "1 of 8 questions have other gold SQL in another run and are left out: 1.0",
    )  # fmt: skip
    with pytest.raises(DatasetError, match=r"found none that all have; 1 questions have other gold SQL .*: 0\.0"):
        compare_runs(
            [write_run(tmp_path / "c", ("R",)), write_run(tmp_path / "d", ("R",), gold_sql={"0.0": "SELECT 9"})]
        )


@pytest.mark.parametrize(
    ("gold", "is_same"),
    [
        ("select  名称\nfrom 城市 where A='x' ; -- all", True),
        ("SELECT 名称 FROM 城市 WHERE a = 'X'", False),
        ("SELECT 名称 FROM 城市 WHERE b = 'x'", False),
    ],
)
def test_gold_that_is_only_written_in_another_way_is_the_same(gold: str, is_same: bool, tmp_path: Path) -> None:
    written = "SELECT 名称 FROM 城市 WHERE a = 'x'"
    base = write_run(tmp_path / "base", ("RR",), gold_sql={"0.0": written})
    comparison = compare_runs([base, write_run(tmp_path / "other", ("RR",), gold_sql={"0.0": gold})])
    assert comparison.num_turns == (2 if is_same else 1)


def test_runs_without_a_common_question_are_refused_and_say_what_they_have(tmp_path: Path) -> None:
    uris = [write_run(tmp_path / "base", BASE), write_run(tmp_path / "other", OTHER, first=7)]
    with pytest.raises(DatasetError, match=r"base has 0\.0, 0\.1, 1\.0, ….*other has 7\.0, 7\.1, 8\.0, …"):
        compare_runs(uris)


def test_runs_that_saw_other_histories_are_compared_with_a_warning(tmp_path: Path) -> None:
    uris = [write_run(tmp_path / "base", BASE), write_run(tmp_path / "other", OTHER, history="gold")]
    (warning,) = compare_runs(uris).warnings
    assert "base: predicted" in warning and "other: gold" in warning


def test_without_turns_jsonl_turns_are_compared_and_the_rest_is_said_to_be_missing(tmp_path: Path) -> None:
    uris = [
        write_run(tmp_path / "base", BASE, with_turns=False),
        write_run(tmp_path / "other", OTHER, with_turns=False),
    ]
    comparison = compare_runs(uris)
    (against,) = comparison.against_base
    assert comparison.num_interactions is None
    assert comparison.runs[1].means["execution_accuracy"].value == 7 / 8
    assert comparison.runs[1].means["execution_accuracy"].interval is None
    assert "interaction_match_ex" not in comparison.runs[1].means
    assert against.differences["execution_accuracy"].test is not None
    assert [(turn.name, turn.base.sql, turn.question) for turn in against.lost] == [("3.0", None, None)]
    assert "evaluate/turns.jsonl" in comparison.warnings[0]
    assert "won: 2.2: no_such_column -> right" in printed(comparison)


def test_one_runs_turns_jsonl_tells_the_interactions_of_all(tmp_path: Path) -> None:
    base = write_run(tmp_path / "base", BASE, with_turns=False)
    comparison = compare_runs([base, write_run(tmp_path / "other", OTHER)])
    assert comparison.warnings == ()
    assert comparison.runs[0].means["interaction_match_ex"].value == 1 / 4
    assert comparison.against_base[0].lost[0].question == "问3.0"


def test_turns_of_another_evaluation_are_left_alone(tmp_path: Path) -> None:
    base, other = write_run(tmp_path / "base", BASE), write_run(tmp_path / "other", OTHER)
    stale = Path(other) / "evaluate" / "turns.jsonl"
    stale.write_text("".join(stale.read_text(encoding="utf-8").splitlines(keepends=True)[:3]), encoding="utf-8")
    comparison = compare_runs([base, other])
    assert comparison.warnings == (
        f"{other}: evaluate/turns.jsonl is of another evaluation than report.json and is left alone",
    )
    assert comparison.num_turns == 8


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "found no report.json"),
        ("[1", "Invalid JSON"),
        ('{"num_turns": 3}', "num_turns_em: Field required"),
    ],
)
def test_a_run_that_is_not_scored_is_refused(text: str | None, found: str, tmp_path: Path) -> None:
    base = write_run(tmp_path / "base", BASE)
    (tmp_path / "other").mkdir()
    if text is not None:
        (tmp_path / "other" / "report.json").write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=found):
        compare_runs([base, str(tmp_path / "other")])


def test_one_run_or_the_same_run_twice_is_no_comparison(tmp_path: Path) -> None:
    base = write_run(tmp_path / "base", BASE)
    with pytest.raises(SettingsError, match="two or more runs to compare, found 1"):
        compare_runs([base])
    with pytest.raises(SettingsError, match="twice"):
        compare_runs([base, f"{base}/"])


def test_a_comparison_goes_through_json_unchanged(tmp_path: Path) -> None:
    comparison = compared(tmp_path)
    text = comparison.model_dump_json(indent=1)
    assert Comparison.model_validate_json(text) == comparison
    assert "问2.2" in text and json.loads(text)["against_base"][0]["verdicts"]["right"]["right"] == 4


def test_the_terminal_shows_figures_differences_and_the_first_turns_of_each_list(tmp_path: Path) -> None:
    base, other = tuple("W" for _ in range(14)), tuple("R" for _ in range(14))
    comparison = compared(tmp_path, base, other)
    text = printed(comparison)
    assert "14 turns of 14 interactions" in text
    assert "+100.0 (+100.0 to +100.0)" in text and "0.00012" in text
    assert "IM by EX" in text and "safer" in text
    assert "wrong_column -> right 14" in text
    assert text.count("won: ") == 11 and "won: 4 turns more; --all lists them" in text
    assert printed(comparison, show_all=True).count("won: ") == 14
    assert "won: 0.0, 乙, turn 1: wrong_column -> right" in text
    assert max(map(len, printed(comparison, width=80).splitlines())) <= 80


def test_sql_that_a_model_wrote_does_not_steer_the_terminal(tmp_path: Path) -> None:
    uris = [
        write_run(tmp_path / "[red]base[/nothing]", BASE, sql="SELECT [bold]'a'\x1b[2J\x07\nFROM t"),
        write_run(tmp_path / "other", OTHER),
    ]
    text = printed(compare_runs(uris), width=300)
    assert "SELECT [bold]'a'�[2J� FROM t" in text
    assert "\x1b" not in text and "\x07" not in text
    assert "[red]base[/nothing]" in text


def test_runs_that_evaluate_scored_have_the_figures_and_intervals_of_their_own_reports(tmp_path: Path) -> None:
    gold_file = write_dataset(tmp_path / "data", num_databases=2, interactions_per_database=3)
    uris = []
    for run, wrong in (("base", {0, 4, 5, 9}), ("other", {0, 5, 17})):
        entries = json.loads(gold_file.read_text(encoding="utf-8"))
        turns = [turn for entry in entries for turn in entry["interaction"]]
        for place, turn in enumerate(turns):
            turn["query"] = "SELECT 9" if place in wrong else turn["query"]
        (tmp_path / run).mkdir()
        predictions = json.dumps([entry["interaction"] for entry in entries], ensure_ascii=False)
        (tmp_path / run / "predictions.json").write_text(predictions, encoding="utf-8")
        evaluate_run(gold_uri=str(gold_file), run_uri=str(tmp_path / run), num_workers=1)
        uris.append(str(tmp_path / run))
    comparison = compare_runs(uris)
    for uri, run_means in zip(uris, comparison.runs, strict=True):
        report = Report.model_validate_json((Path(uri) / "report.json").read_bytes())
        assert report.execution_accuracy in (14 / 18, 15 / 18)
        for figure, mean in run_means.means.items():
            assert mean.value == pytest.approx(getattr(report, figure), rel=1e-12), figure
            assert mean.interval == report.intervals[figure], figure
        assert run_means.means.keys() >= {"exact_set_match", "interaction_match_em", "bleu_4"}
    (against,) = comparison.against_base
    assert [len(against.won), len(against.lost)] == [2, 1]
    assert against.lost[0].other.result is not None and against.lost[0].other.result.rows == (("9",),)
    assert "SELECT 9" in printed(comparison)


def test_runs_of_5000_turns_are_compared_in_a_moment(tmp_path: Path) -> None:
    base = tuple("RWNR"[number % 4] * 4 for number in range(1_250))
    other = tuple("RRNW"[number % 3] * 4 for number in range(1_250))
    uris = [write_run(tmp_path / "base", base), write_run(tmp_path / "other", other)]
    started = time.perf_counter()
    comparison = compare_runs(uris)
    assert comparison.num_turns == 5_000
    assert time.perf_counter() - started < 20  # 1 s on one idle core
