"""Verdicts on real data: mutations of Chinese gold, and what models of other people predicted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from t2s.dataset.sqlite_schema import read_schema
from t2s.metrics.execution_accuracy import official_comparison
from t2s.metrics.verdict import error_verdict, wrong_result_verdict
from t2s.sql.clauses import ClauseReader
from t2s.sql.sandbox import Sandbox
from t2s.verdict import Verdict


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def wrong_turns(where: Path) -> Iterator[tuple[str, str, str, str]]:
    """Database, gold, prediction and, on the Chinese folder, mutation of the turns whose result is wrong."""
    expected = load(where / "expected.json")["per_question"]
    for entry, turns in zip(load(where / "gold.json"), load(where / "predictions.json"), strict=True):
        for gold, predicted in zip(entry["interaction"], turns, strict=True):
            one = expected[gold["question_id"]]
            if not one["ex"]:
                yield entry["db_list"][0], gold["query"], predicted["query"], one.get("mutation", "")


def verdicts_of(where: Path, databases: Path) -> Counter[tuple[str, Verdict]]:
    counts: Counter[tuple[str, Verdict]] = Counter()
    readers: dict[str, ClauseReader] = {}
    with Sandbox(num_workers=1) as sandbox:
        for db_id, gold_sql, predicted_sql, mutation in wrong_turns(where):
            path = databases / f"{db_id}.sqlite"
            if db_id not in readers:
                readers[db_id] = ClauseReader(read_schema(path, db_id, num_examples=0))
            runs = official_comparison(gold_sql, predicted_sql, keep_distinct=True)
            gold, predicted = sandbox.run(path, runs.gold_sql), sandbox.run(path, runs.predicted_sql)
            assert gold.rows is not None
            if predicted.rows is None:
                counts[mutation, error_verdict(predicted.message)] += 1
                continue
            verdict = wrong_result_verdict(
                readers[db_id].read(gold_sql),
                readers[db_id].read(predicted_sql),
                gold_num_rows=len(gold.rows),
                predicted_num_rows=len(predicted.rows),
                gold_num_columns=len(gold.names),
                predicted_num_columns=len(predicted.names),
            )
            counts[mutation, verdict] += 1
    return counts


def test_a_mutation_of_chinese_gold_is_recognised(shared: Path) -> None:
    where = shared / "reference" / "chase_c_dev__mutated"
    counts = verdicts_of(where, shared / "data" / "chase_c" / "dev_data" / "database")
    by_mutation: dict[str, Counter[Verdict]] = {}
    for (mutation, verdict), count in counts.items():
        by_mutation.setdefault(mutation, Counter())[verdict] += count
    assert by_mutation == {
        "bad_table": {"no_such_table": 61},
        "bad_value": {"wrong_value": 20},
        "drop_order": {"wrong_order_or_limit": 11},
        "drop_where": {"wrong_condition": 24, "wrong_structure": 2, "wrong_table": 1},  # some hold a subquery
        "empty": {"syntax_error": 43},
        "extra_col": {"extra_or_missing_column": 47, "other_error": 1},  # in one half of a UNION
        "flip_order": {"wrong_order_or_limit": 12},
    }


@pytest.mark.parametrize("folder", ["spider_dev__dail_gpt4", "spider_dev__chatgpt", "sparc_dev__chatgpt"])
def test_hardly_a_wrong_turn_of_a_real_model_stays_unexplained(folder: str, shared: Path) -> None:
    counts = verdicts_of(shared / "reference" / folder, shared / "reference" / "databases")
    assert counts.total() > 150
    unexplained = sum(counts["", verdict] for verdict in ("unexplained", "empty_result", "other_error"))
    assert unexplained <= 0.01 * counts.total()
