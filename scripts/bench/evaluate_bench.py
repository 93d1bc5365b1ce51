"""How fast evaluate is, beside a plain evaluation: one process, gold and prediction run for each turn and comparison.

    .venvs/dev/bin/python scripts/bench/evaluate_bench.py FOLDER=DATABASES [FOLDER=DATABASES ...]

Each FOLDER holds gold.json and predictions.json, DATABASES the SQLite files. The plain one keeps nothing from one turn
to the next, as the official program: it opens the database for every query, runs gold and prediction anew for each of
the four comparisons, reads the schema for every turn, and compares the texts in the same process; it has no deadline
and no sandbox. Both compute the same metrics; their verdicts are compared. Imports and jieba's dictionary are loaded
before; t2s's processes beside this one, which it starts from 1,000 turns on, load their own. So each folder is timed
by itself, and all of them as one evaluation.
"""

from __future__ import annotations

import argparse
import json
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from t2s import text_scores
from t2s.dataset import find_databases, read_interactions
from t2s.evaluate import evaluate
from t2s.interaction import Interaction
from t2s.metrics import rouge
from t2s.metrics.bird_execution import bird_same_result
from t2s.metrics.execution_accuracy import official_comparison
from t2s.metrics.strict_execution import strict_same_result
from t2s.predicted_turns import PredictedTurn, read_predictions
from t2s.sql.compare import same_result
from t2s.sql.sandbox import Outcome
from t2s.sql.worker import open_readonly
from t2s.text_scores import TextPair, score_texts


class Pass(NamedTuple):
    """One evaluation: seconds, and (ex, ex_keep_distinct, em) of every question."""

    seconds: float
    verdicts: dict[str, tuple[object, ...]]


class Case(NamedTuple):
    """What is evaluated at once."""

    name: str
    gold: list[Interaction]
    predictions: list[PredictedTurn]
    databases: Path


def read_case(folder: Path, databases: Path) -> Case:
    """A folder with gold.json and predictions.json."""
    gold = read_interactions(str(folder / "gold.json"))
    return Case(folder.name, gold, list(read_predictions(str(folder / "predictions.json"), gold)), databases)


def together(cases: list[Case], databases: Path) -> Case:
    """All in one, with links to their databases in a new folder; questions get the name of their case before theirs."""
    databases.mkdir()
    for path in (path for case in cases for path in case.databases.rglob("*.sqlite")):
        if not (databases / path.name).exists():
            (databases / path.name).symlink_to(path.resolve())
    gold = [
        one.model_copy(
            update={
                "turns": tuple(
                    turn.model_copy(update={"question_id": _named(turn.question_id, case)}) for turn in one.turns
                )
            }
        )
        for case in cases
        for one in case.gold
    ]
    predictions = [
        turn._replace(question_id=_named(turn.question_id, case)) for case in cases for turn in case.predictions
    ]
    return Case("all in one evaluation", gold, predictions, databases)


def _named(question_id: str, case: Case) -> str:
    return f"{case.name}-{question_id}"


def plain(gold: list[Interaction], sql: dict[tuple[str, str], str], folder: Path) -> Pass:
    """Evaluate as one would write it down first."""
    started = time.perf_counter()
    verdicts: dict[str, tuple[object, ...]] = {}
    for db_id, question_id, gold_sql in _turns(gold):
        predicted_sql, path = sql.get((db_id, question_id), ""), folder / f"{db_id}.sqlite"
        right = []
        for keep_distinct in (False, True):
            one = official_comparison(gold_sql, predicted_sql, keep_distinct=keep_distinct)
            outcomes = run(path, one.gold_sql), run(path, one.predicted_sql)
            right.append(same_result(*outcomes, ordered=one.ordered))
        strict_same_result(run(path, gold_sql), run(path, predicted_sql), gold_sql=gold_sql)
        bird_same_result(run(path, gold_sql), run(path, predicted_sql))
        for remembered in (text_scores._schema, text_scores._official_schema, rouge._piece_words):
            remembered.cache_clear()
        (texts,) = score_texts([TextPair(path, db_id, gold_sql, predicted_sql, None)])
        verdicts[f"{question_id}@{db_id}"] = (*map(int, right), None if texts.em is None else int(texts.em))
    return Pass(time.perf_counter() - started, verdicts)


def run(path: Path, sql: str) -> Outcome:
    """Run a query in this process; the progress handler alone stops it, after ten seconds."""
    with closing(open_readonly(str(path))) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        deadline = time.monotonic() + 10
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        try:
            cursor = connection.execute(sql)
            return Outcome("rows", tuple(cursor.fetchall()), tuple(one[0] for one in cursor.description or ()))
        except (sqlite3.Error, sqlite3.Warning) as error:
            return Outcome("error", message=str(error))


def ours(one: Case, cache: Path) -> Pass:
    """Evaluate with t2s, as its job does."""
    started = time.perf_counter()
    evaluation = evaluate(one.gold, one.predictions, find_databases(str(one.databases), cache))
    results = {f"{_question(turn.name)}@{turn.db_id}": turn.result for turn in evaluation.turns}
    return Pass(
        time.perf_counter() - started,
        {name: (one.ex, one.ex_keep_distinct, one.em) for name, one in results.items()},
    )


def _question(name: str) -> str:
    return name.rpartition("@")[0] if "@" in name else name


def _turns(gold: list[Interaction]) -> Iterator[tuple[str, str, str]]:
    for one in gold:
        for turn in one.turns:
            yield one.db_id, turn.question_id, turn.gold_sql or ""


def main() -> None:
    """Time both on every folder, one after the other, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="FOLDER=DATABASES")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    rows: list[tuple[str, int, float, float, int]] = []
    with tempfile.TemporaryDirectory() as work:
        cases = [read_case(*map(Path, word.split("=", 1))) for word in arguments.folders]
        if len(cases) > 1:
            cases.append(together(cases, Path(work) / "databases"))
        db_id = cases[0].gold[0].db_id
        score_texts([TextPair(cases[0].databases / f"{db_id}.sqlite", db_id, "SELECT 1", "SELECT 1", None)])
        for case in cases:
            for remembered in (text_scores._schema, text_scores._official_schema):  # what was read hangs on them
                remembered.cache_clear()
            first = ours(case, Path(work) / "cache")
            sql = {(turn.db_id or "", turn.question_id): turn.sql for turn in case.predictions}
            second = plain(case.gold, sql, case.databases)
            differ = sum(second.verdicts[name] != verdict for name, verdict in first.verdicts.items())
            rows.append((case.name, len(first.verdicts), first.seconds, second.seconds, differ))
            print(
                f"{case.name:30} {rows[-1][1]:6} turns  t2s {first.seconds:6.2f} s  plain {second.seconds:6.2f} s  "
                f"ratio {second.seconds / first.seconds:5.2f}  verdicts that differ {differ}",
                flush=True,
            )
    if arguments.output:
        record = {
            "date": datetime.now(UTC).isoformat(),
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "rows": [dict(zip(("folder", "turns", "t2s_s", "plain_s", "differ"), row, strict=True)) for row in rows],
        }
        arguments.output.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
