from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from rich.console import Console

import t2s.report
from t2s.report import VERDICTS, QuestionResult, Report, Score, print_report, report_schema

SCHEMA_FILE = Path(t2s.report.__file__).with_name("report.schema.json")


def score(num_turns: int, accurate: float | None) -> Score:
    return Score(
        num_turns=num_turns,
        execution_accuracy=accurate,
        execution_accuracy_keep_distinct=accurate,
        valid_sql_rate=1.0 if num_turns else None,
    )


def make_report(**changes: Any) -> Report:
    groups = {"1": score(3, 2 / 3), "2": score(1, 1.0), "3": score(0, None), "4": score(0, None), ">4": score(0, None)}
    values: dict[str, Any] = {
        **dict(score(4, 0.75)),
        "num_interactions": 3,
        "num_gold_failed": 0,
        "interaction_match_ex": 2 / 3,
        "history": "predicted",
        "by_turn": groups,
        "by_db": {"中国城市": score(4, 0.75)},
        "verdicts": {kind: 0 for kind in VERDICTS} | {"right": 3, "timeout": 1},
        "missing_predictions": (),
        "unknown_predictions": (),
        "gold_failed": {},
        "per_question": {
            "a": QuestionResult(ex=1, ex_keep_distinct=0, verdict="right"),
            "b": QuestionResult(ex=None, ex_keep_distinct=None, verdict="gold_failed"),
        },
    }
    return Report(**{**values, **changes})


def printed(report: Report) -> str:
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=160))
    return stream.getvalue()


def test_the_schema_file_is_the_schema_of_the_record() -> None:
    wanted = json.dumps(report_schema(), ensure_ascii=False, indent=1) + "\n"
    assert SCHEMA_FILE.read_text(encoding="utf-8") == wanted, f"write report_schema() to {SCHEMA_FILE.name}"


def test_a_report_obeys_the_schema_and_comes_back_from_its_file() -> None:
    report = make_report()
    text = report.model_dump_json()
    jsonschema.Draft202012Validator(report_schema()).validate(json.loads(text))
    assert Report.model_validate_json(text) == report


@pytest.mark.parametrize(
    "change",
    [
        {"execution_accuracy": "0.5"},
        {"verdicts": {"perfect": 1}},
        {"exact_set_match": 0.5},
        {"history": "all"},
        {"unheard_of": 1},
    ],
)
def test_the_schema_refuses_what_is_no_report(change: dict[str, Any]) -> None:
    content = json.loads(make_report().model_dump_json()) | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(report_schema()).validate(content)


def test_the_keys_that_users_were_promised_are_there() -> None:
    content = json.loads(make_report().model_dump_json())
    promised = "num_interactions num_turns num_gold_failed execution_accuracy execution_accuracy_keep_distinct"
    promised += (
        " exact_set_match interaction_match_ex interaction_match_em by_turn by_hardness by_db verdicts per_question"
    )
    assert set(promised.split()) <= content.keys()
    assert list(content["by_turn"]) == ["1", "2", "3", "4", ">4"]
    assert set(content["per_question"]["a"]) == {"ex", "ex_keep_distinct", "em", "hardness", "verdict"}


def test_the_table_shows_each_turn_and_the_whole() -> None:
    lines = [line.replace("│", " ").split() for line in printed(make_report()).splitlines()]
    assert ["1", "3", "66.7", "%", "66.7", "%", "100.0", "%"] in lines
    assert [">4", "0", "-", "-", "-"] in lines
    assert ["all", "4", "75.0", "%", "75.0", "%", "100.0", "%"] in lines


def test_the_print_says_history_interactions_and_verdicts_and_warns_of_nothing() -> None:
    text = printed(make_report())
    assert "history: predicted" in text
    assert "Interactions with every turn right: 2 of 3 (66.7 %)" in text
    assert "Verdicts: right 3, timeout 1\n" in text
    assert "warning" not in text
    assert "history: unknown" in printed(make_report(history=None))


def test_what_makes_the_score_less_than_it_seems_is_told() -> None:
    missing = tuple(f"问题{n}" for n in range(7))
    text = printed(
        make_report(
            num_gold_failed=1,
            gold_failed={"[b]": "error: no such table: 城市"},
            missing_predictions=missing,
            unknown_predictions=("z",),
        )
    )
    assert "1 turns are not scored, since their gold SQL does not run: [b] (error: no such table: 城市)" in text
    assert "7 questions have no prediction and count as wrong: 问题0, 问题1, 问题2, 问题3, 问题4, …" in text
    assert "1 predictions are for questions that gold does not have: z" in text
