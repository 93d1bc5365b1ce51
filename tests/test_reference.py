"""Evaluate as a whole against the official evaluator's verdicts, question by question.

Exact set match is compared question by question in tests/metrics/test_exact_set_match.py, differences with reasons.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from t2s.dataset import find_databases, read_interactions
from t2s.evaluate import evaluate
from t2s.predicted_turns import PredictedTurn, read_predictions
from t2s.sql.sandbox import Limits

SHARED = Path(__file__).parents[1] / ".." / "shared"
CHASE = SHARED / "data" / "chase_c"

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/reference and ../shared/data")


@pytest.mark.parametrize(
    ("folder", "databases"),
    [
        ("spider_dev__dail_gpt4", "reference/databases"),
        ("spider_dev__chatgpt", "reference/databases"),
        ("sparc_dev__chatgpt", "reference/databases"),
        ("chase_c_dev__mutated", "data/chase_c/dev_data/database"),
    ],
)
def test_every_verdict_is_that_of_the_official_evaluator(folder: str, databases: str, tmp_path: Path) -> None:
    reference = SHARED / "reference" / folder
    gold = read_interactions(str(reference / "gold.json"))
    expected: dict[str, Any] = json.loads((reference / "expected.json").read_bytes())
    predictions = read_predictions(str(reference / "predictions.json"), gold)
    found = find_databases(str(SHARED / databases), cache_dir=tmp_path)
    report = evaluate(gold, predictions, found, limits=Limits(deadline_s=60)).report
    wanted = {key: (one["ex"], one["ex_keep_distinct"]) for key, one in expected["per_question"].items()}
    assert {key: (one.ex, one.ex_keep_distinct) for key, one in report.per_question.items()} == wanted
    for name in ("num_interactions", "num_turns", "execution_accuracy", "execution_accuracy_keep_distinct"):
        assert getattr(report, name) == pytest.approx(expected[name])
    assert report.interaction_match_ex == pytest.approx(expected["interaction_match_ex"], abs=5e-5)
    assert report.num_gold_failed == 0
    if expected.get("exact_set_match") is not None:
        assert report.exact_set_match == pytest.approx(expected["exact_set_match"], abs=0.005)
        assert report.interaction_match_em == pytest.approx(expected["interaction_match_em"], abs=0.01)
        levels = {key: one["hardness"] for key, one in expected["per_question"].items()}
        same = sum(one.hardness == levels[key] for key, one in report.per_question.items())
        assert same >= 0.995 * len(wanted)


@pytest.mark.parametrize(
    ("gold_file", "databases"),
    [
        (CHASE / "dev_data" / "dev_gold.json", CHASE / "dev_data" / "database"),
        (CHASE / "train_data" / "train.json", CHASE / "train_data" / "database"),
    ],
)
def test_gold_against_gold_is_right_by_every_measure(gold_file: Path, databases: Path, tmp_path: Path) -> None:
    gold = read_interactions(str(gold_file))
    predictions = [
        PredictedTurn(turn.question_id, one.db_id, turn.gold_sql or "") for one in gold for turn in one.turns
    ]
    report = evaluate(gold, predictions, find_databases(str(databases), cache_dir=tmp_path)).report
    assert report.num_gold_failed == 0
    for name in (
        "execution_accuracy",
        "execution_accuracy_keep_distinct",
        "execution_accuracy_strict",
        "execution_accuracy_bird",
        "exact_set_match",
        "exact_set_match_own",
        "valid_sql_rate",
        "rouge_l",
    ):
        # ROUGE's F adds 1e-8 below its bar.
        assert getattr(report, name) == pytest.approx(1.0, abs=1e-7 if name == "rouge_l" else 0), name
    assert report.interaction_match_ex == report.interaction_match_em == report.interaction_match_em_own == 1.0
    assert report.num_predictions_rejected == 0
    assert report.first_wrong_turn["none"] == report.num_interactions
