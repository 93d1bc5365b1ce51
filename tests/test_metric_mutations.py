"""Slips that evaluators are known for, made on purpose in a copy of the code: each must make tests fail.

Comparing names of columns for values, dropping row order, dropping duplicates, pairing by line: the first is premsql's
(premsql/executors/from_sqlite.py, where rows become dicts and only their keys are compared), the last hides in any
evaluator without keys.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]

OFFICIAL, STRICT, BIRD = "t2s/sql/compare.py", "t2s/metrics/strict_execution.py", "t2s/metrics/bird_execution.py"
ACCURACY, EVALUATE = "t2s/metrics/execution_accuracy.py", "t2s/evaluate.py"

RESULTS = "tests/sql/test_compare.py::test_two_results_are_the_same_or_not"
ODD_BYTES = "tests/sql/test_compare.py::test_odd_bytes_are_left_out_of_the_comparison"
ORDER_BY = "tests/metrics/test_execution_accuracy.py::test_row_order_counts_where_order_by_stands_in_the_gold"
STRICT_RESULTS = "tests/metrics/test_strict_execution.py::test_two_results_are_strictly_the_same_or_not"
STRICT_ORDER = "tests/metrics/test_strict_execution.py::test_row_order_counts_where_the_outer_query_orders"
BIRD_RESULTS = "tests/metrics/test_bird_execution.py::test_results_are_compared_as_sets_of_rows"
JUDGED = "tests/test_evaluate.py::test_a_turn_is_judged"
JUDGED_CASES = "not test_a_turn_is_judged or differ or twice or counts"  # each starts processes: not all of them
PAIRED = "tests/test_evaluate.py::test_pairing_is_by_id_never_by_position"


class Mutation(NamedTuple):
    """A slip: `old` stands in the file once and becomes `new`; then each of `tests` fails."""

    slip: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = [
    Mutation(
        "names are compared for values",
        OFFICIAL,
        "        gold.rows if gold.all_utf8 else _without_odd_bytes(gold.rows),\n"
        "        predicted.rows if predicted.all_utf8 else _without_odd_bytes(predicted.rows),\n",
        "        [gold.names for _ in gold.rows],\n        [predicted.names for _ in predicted.rows],\n",
        (ODD_BYTES, JUDGED),
    ),
    Mutation(
        "names are compared for values, strictly",
        STRICT,
        "    return _same_multiset(gold.rows, predicted.rows)\n",
        "    return gold.names == predicted.names\n",
        (STRICT_RESULTS,),
    ),
    Mutation(
        "names are compared for values, as sets",
        BIRD,
        "set(predicted.rows) == set(gold.rows)",
        "set(predicted.names) == set(gold.names)",
        (BIRD_RESULTS,),
    ),
    Mutation(
        "row order is dropped when results are compared",
        OFFICIAL,
        "    if not gold and not predicted:\n        return True\n",
        "    ordered = False\n    if not gold and not predicted:\n        return True\n",
        (RESULTS, JUDGED),
    ),
    Mutation(
        "ORDER BY is not looked for",
        ACCURACY,
        'ordered="order by" in gold.lower()',
        "ordered=False",
        (ORDER_BY,),
    ),
    Mutation(
        "row order always counts",
        ACCURACY,
        'ordered="order by" in gold.lower()',
        "ordered=True",
        (ORDER_BY,),
    ),
    Mutation(
        "row order is dropped, strictly",
        STRICT,
        "    if outer_query_orders(gold_sql):\n",
        "    if False:\n",
        (STRICT_RESULTS,),
    ),
    Mutation(
        "the ORDER BY of a subquery counts",
        STRICT,
        "            depth += 1\n",
        "            depth += 0\n",
        (STRICT_ORDER,),
    ),
    Mutation(
        "duplicates are dropped",
        OFFICIAL,
        "    if not gold and not predicted:\n        return True\n",
        "    gold, predicted = list(dict.fromkeys(gold)), list(dict.fromkeys(predicted))\n"
        "    if not gold and not predicted:\n        return True\n",
        (RESULTS, JUDGED),
    ),
    Mutation(
        "duplicates are dropped, strictly",
        STRICT,
        "    if Counter(gold) == Counter(predicted):\n",
        "    if set(gold) == set(predicted):\n",
        (STRICT_RESULTS,),
    ),
    Mutation(
        "predictions are paired by line",
        EVALUATE,
        "Key(prediction.db_id if prediction.db_id is not None else candidates[0], prediction.question_id)\n",
        "[Key(one.db_id, turn.question_id) for one in gold for turn in one.turns][len(paired)]\n",
        (PAIRED,),
    ),
]  # fmt: skip


class Copy(NamedTuple):
    """The library and its tests, elsewhere, and what the tests say before there is a slip."""

    folder: Path
    untouched: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    folder = tmp_path_factory.mktemp("copy")
    for name in ("t2s", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    tests = dict.fromkeys(test for mutation in MUTATIONS for test in mutation.tests)
    return Copy(folder, run_tests(folder, *tests, keep_bytecode=True))


def run_tests(folder: Path, *tests: str, keep_bytecode: bool = False) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "PYTHON"))}
    if not keep_bytecode:
        environment["PYTHONDONTWRITEBYTECODE"] = "1"  # what was compiled from a slip must not outlive it
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", JUDGED_CASES, *tests]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


def test_without_a_slip_the_copy_passes(copy: Copy) -> None:
    assert copy.untouched.returncode == 0, copy.untouched.stdout + copy.untouched.stderr


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.slip)
def test_a_slip_makes_tests_fail(mutation: Mutation, copy: Copy) -> None:
    path = copy.folder / mutation.path
    code = path.read_text(encoding="utf-8")
    assert code.count(mutation.old) == 1, f"{mutation.path} changed: write the slip anew for what it says now"
    before = path.stat()
    path.write_text(code.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        done = run_tests(copy.folder, *mutation.tests)
    finally:
        path.write_text(code, encoding="utf-8")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # what was compiled from it stays good
    assert done.returncode == 1, f"no test sees it:\n{done.stdout}{done.stderr}"  # 1: tests ran, and some failed
    for test in mutation.tests:
        assert f"FAILED {test}" in done.stdout, f"{test} does not see it:\n{done.stdout}"
