"""Running gold and predicted SQL side by side: what evaluate learns from results.

A task is one gold query of one database with every prediction made for it. The gold runs once, each prediction once, in
one thread, and what is kept are verdicts and the first rows. So memory does not grow with the results, only with the
number of questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from t2s.metrics.bird_execution import bird_same_result
from t2s.metrics.execution_accuracy import official_comparison
from t2s.metrics.strict_execution import strict_same_result
from t2s.metrics.verdict import error_verdict
from t2s.report.turn_detail import MAX_CHARACTERS, MAX_COLUMNS, MAX_ROWS, ResultPreview
from t2s.sql.compare import same_result
from t2s.sql.sandbox import Outcome, Sandbox, Value
from t2s.verdict import Verdict


class Key(NamedTuple):
    """A question."""

    db_id: str
    question_id: str


class ScoredTurn(NamedTuple):
    """A turn to be scored; `predicted_sql` is None where there is no prediction, `error` why the engine gave none."""

    key: Key
    interaction_index: int
    turn_index: int
    question: str
    gold_sql: str
    predicted_sql: str | None
    error: str | None


class Executed(NamedTuple):
    """What running told of a turn.

    Attributes:
        verdict: None where it ran, and returned something else than gold: its text must say why.
        ex, ex_keep_distinct, ex_strict, ex_bird: None where gold fails.
        valid_sql: Whether the prediction, unchanged, runs.
        both_empty: Both results have no row.
        message: Why gold or prediction has no result.
        gold, predicted: The first rows of each, unchanged queries.
    """

    verdict: Verdict | None
    ex: bool | None = None
    ex_keep_distinct: bool | None = None
    ex_strict: bool | None = None
    ex_bird: bool | None = None
    valid_sql: bool = False
    both_empty: bool = False
    message: str = ""
    gold: ResultPreview | None = None
    predicted: ResultPreview | None = None


def execute(sandbox: Sandbox, database: Path, turns: Sequence[ScoredTurn]) -> dict[Key, Executed]:
    """Judge turns that share a database and a gold query; each distinct query runs once.

    Raises:
        SandboxError: The sandbox itself failed.
    """
    outcomes: dict[str, Outcome] = {}

    def run(sql: str) -> Outcome:
        if sql not in outcomes:
            outcomes[sql] = sandbox.run(database, sql)
        return outcomes[sql]

    return {turn.key: _execute(run, turn) for turn in turns}


def _execute(run: Callable[[str], Outcome], turn: ScoredTurn) -> Executed:
    predicted_sql = turn.predicted_sql or ""
    right: list[bool] = []
    outcomes: list[Outcome] = []
    for keep_distinct in (False, True):
        comparison = official_comparison(turn.gold_sql, predicted_sql, keep_distinct=keep_distinct)
        gold = run(comparison.gold_sql)
        if gold.rows is None:
            return Executed("gold_failed", message=f"{gold.kind}: {gold.message}")
        outcomes.append(run(comparison.predicted_sql))
        right.append(same_result(gold, outcomes[-1], ordered=comparison.ordered))
    gold, predicted = run(turn.gold_sql), run(predicted_sql)
    return Executed(
        verdict=_verdict(turn, outcomes[0], right[0]),
        ex=right[0],
        ex_keep_distinct=right[1],
        ex_strict=strict_same_result(gold, predicted, gold_sql=turn.gold_sql) if gold.rows is not None else None,
        ex_bird=bird_same_result(gold, predicted) if gold.rows is not None else None,
        valid_sql=predicted.rows is not None,
        both_empty=not gold.rows and not predicted.rows,
        message=turn.error or ("" if predicted.rows is not None else predicted.message),
        gold=_preview(gold),
        predicted=_preview(predicted),
    )


def _verdict(turn: ScoredTurn, outcome: Outcome, right: bool) -> Verdict | None:
    if right:
        return "right"
    if outcome.kind == "rows":
        return None
    if outcome.kind == "error":
        return error_verdict(outcome.message)
    if outcome.kind != "empty_sql":
        return outcome.kind
    if turn.predicted_sql is None:
        return "missing"
    return "engine_error" if turn.error is not None else "no_sql"


def _preview(outcome: Outcome) -> ResultPreview | None:
    if outcome.rows is None:
        return None
    return ResultPreview(
        columns=tuple(_shortened(name) for name in outcome.names[:MAX_COLUMNS]),
        rows=tuple(tuple(_texts(row)) for row in outcome.rows[:MAX_ROWS]),
        num_rows=len(outcome.rows),
        num_columns=len(outcome.names),
    )


def _texts(row: Sequence[Value]) -> Iterator[str | None]:
    for value in row[:MAX_COLUMNS]:
        if value is None:
            yield None
        elif isinstance(value, bytes):
            yield f"<{len(value):,} bytes>"
        else:
            yield _shortened(str(value))


def _shortened(text: str) -> str:
    # What is not UTF-8 stands in it as surrogate escapes, which no file can hold.
    cut = text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"
    return cut.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
