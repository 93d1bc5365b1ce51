from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Literal

import jsonschema  # type: ignore[import-untyped]
import pytest
from rich.console import Console

import t2s.report
from t2s.report import QuestionResult, Report, Score, print_report, report_schema
from t2s.verdict import HARDNESSES, VERDICTS, WARNINGS, Verdict

SCHEMA_FILE = Path(t2s.report.__file__).with_name("report.schema.json")


def score(num_turns: int, accurate: float | None) -> Score:
    return Score(
        num_turns=num_turns,
        num_turns_em=num_turns,
        execution_accuracy=accurate,
        execution_accuracy_keep_distinct=accurate,
        execution_accuracy_strict=accurate,
        execution_accuracy_bird=accurate,
        exact_set_match=accurate,
        exact_set_match_own=accurate,
        valid_sql_rate=1.0 if num_turns else None,
        bleu_4=accurate,
        rouge_l=accurate,
        intervals={} if accurate is None else {"execution_accuracy": (accurate / 2, 1.0)},
    )


def result(ex: Literal[0, 1] | None, verdict: Verdict) -> QuestionResult:
    return QuestionResult(
        ex=ex,
        ex_keep_distinct=ex,
        ex_strict=ex,
        ex_bird=ex,
        em=ex,
        em_own=ex,
        hardness="easy",
        bleu_4=0.5,
        rouge_l=0.25,
        valid_sql=1,
        verdict=verdict,
    )


def make_report(**changes: Any) -> Report:
    groups = {"1": score(3, 2 / 3), "2": score(1, 1.0), "3": score(0, None), "4": score(0, None), ">4": score(0, None)}
    values: dict[str, Any] = {
        **dict(score(4, 0.75)),
        "num_interactions": 3,
        "num_gold_failed": 0,
        "num_gold_rejected": 0,
        "num_predictions_rejected": 0,
        "interaction_match_ex": 2 / 3,
        "interaction_match_em": 1 / 3,
        "interaction_match_em_own": 1 / 3,
        "history": "predicted",
        "by_turn": groups,
        "by_hardness": {level: score(4 if level == "easy" else 0, None) for level in HARDNESSES},
        "by_db": {"中国城市": score(4, 0.75)},
        "first_wrong_turn": {"1": 1, "2": 0, "3": 0, "4": 0, ">4": 0, "none": 2},
        "verdicts": {kind: 0 for kind in VERDICTS} | {"right": 3, "timeout": 1},
        "warnings": dict.fromkeys(WARNINGS, 0),
        "missing_predictions": (),
        "unknown_predictions": (),
        "gold_failed": {},
        "rejections": {},
        "per_question": {"a": result(1, "right"), "b": result(None, "gold_failed")},
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
        {"exact_set_match": "0.5"},
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
    assert {"ex", "ex_keep_distinct", "em", "hardness", "verdict"} <= set(content["per_question"]["a"])


def test_the_table_shows_each_turn_and_the_whole() -> None:
    lines = [line.replace("│", " ").split() for line in printed(make_report()).splitlines()]
    share = ["66.7", "%"]
    assert ["turn", "1", "3", *share, "(33.3-100.0)", *share * 4, "100.0", "%"] in lines
    assert ["turn", ">4", "0", *"------"] in lines
    assert ["easy", "4", *"-----", "100.0", "%"] in lines
    assert not any(line[:1] == ["hard"] for line in lines), "levels without turns are left out"
    share = ["75.0", "%"]
    assert ["all", "4", *share, "(37.5-100.0)", *share * 4, "100.0", "%"] in lines


def test_the_print_says_history_interactions_and_verdicts_and_warns_of_nothing() -> None:
    text = printed(make_report())
    assert "history: predicted" in text
    assert "Interactions with every turn right (IM by EX): 66.7 %\n" in text
    assert "Interactions with every turn an exact set match (IM by EM): 33.3 %\n" in text
    assert "BLEU-4 75.0 %, ROUGE-L 75.0 %" in text
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
