"""Evaluate: predictions against gold SQL, both run in the sandbox, into `<run_uri>/report.json`.

    gold_uri           [{"db_list": ["购书平台"], "interaction": [{"question_id": "h83oa", "question": …, "query":
    gold}, …]}] predictions_uri    [[{"question_id": "h83oa", "question": …, "db_id": "购书平台", "query": " select …"},
    …], …]

A prediction belongs to the question with its `question_id` and `db_id`; where it has no `db_id`, to the one question
with its `question_id`. Never by position. A question without a prediction counts as wrong and is listed. A turn whose
gold does not run is left out and listed, and its interaction left out of the interaction match.

Work is cut by gold query: a task runs one (database digest, gold SQL) once, and every prediction made for it once, in
one thread, and keeps nothing but verdicts. So memory does not grow with the results, only with the number of questions.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, cast

from t2s.dataset import default_databases_uri, find_databases, read_interactions
from t2s.dataset.location import split_uri
from t2s.dataset.problems import Problems, describe
from t2s.errors import DatasetError
from t2s.interaction import Interaction
from t2s.manifest import read_manifest
from t2s.metrics.execution_accuracy import official_comparison
from t2s.metrics.interaction_match import interaction_match
from t2s.report import REPORT_KEY, TURN_GROUPS, VERDICTS, QuestionResult, Report, Score, Verdict
from t2s.sql.compare import same_result
from t2s.sql.sandbox import Limits, Outcome, Sandbox
from t2s.storage import open_store

logger = logging.getLogger(__name__)

History = Literal["predicted", "gold", "none"]
_PREDICTIONS_NAME = "predictions.json"


class DatabaseFolder(Protocol):
    """What evaluate needs of `t2s.dataset.Databases`."""

    def path(self, db_id: str) -> Path:
        """A local file of the database."""

    def digest(self, db_id: str) -> str:
        """Its sha256."""


class PredictedTurn(NamedTuple):
    """One entry of a predictions file; `db_id` is None where the file does not say."""

    question_id: str
    db_id: str | None
    sql: str


class _Key(NamedTuple):
    db_id: str
    question_id: str


class _Turn(NamedTuple):
    """A turn to be scored."""

    key: _Key
    turn_index: int
    gold_sql: str
    predicted_sql: str | None


class _Judged(NamedTuple):
    """What came of a turn; `gold_error` is set where it cannot be scored."""

    verdict: Verdict
    ex: bool | None
    ex_keep_distinct: bool | None
    is_valid: bool
    gold_error: str = ""


def evaluate_run(
    *,
    gold_uri: str,
    run_uri: str,
    databases_uri: str | None = None,
    predictions_uri: str | None = None,
    limit: int | None = None,
    history: History | None = None,
    num_workers: int | None = None,
    limits: Limits | None = None,
    cache_dir: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Score a predictions file and write `<run_uri>/report.json`.

    Args:
        gold_uri: Dataset with gold SQL: a JSON file, or a folder that holds exactly one.
        run_uri: Where the report goes.
        databases_uri: Folder of SQLite databases; None: `database/` beside the gold file.
        predictions_uri: None: `<run_uri>/predictions.json`.
        limit: Only the first so many interactions of the gold; None: all.
        history: Which earlier SQL the model saw; None: what the manifest of the run's predict job says, if it has one.
        num_workers: Queries that run at once; None: one for each CPU.
        limits: What one query may take.
        cache_dir: Where databases from a store are kept on this node.
        on_progress: Called with the turns judged and all turns.

    Raises:
        DatasetError: Gold, predictions or databases cannot be used; nothing was run.
        StorageError: A store failed or refused.
        SandboxError: Worker processes cannot be started.
    """
    gold = read_interactions(gold_uri, limit=limit)
    predictions = read_predictions(predictions_uri or f"{run_uri.rstrip('/')}/{_PREDICTIONS_NAME}")
    databases = find_databases(databases_uri or default_databases_uri(gold_uri), cache_dir=cache_dir)
    databases.check(interaction.db_id for interaction in gold)
    store = open_store(run_uri)
    if history is None and predictions_uri in (None, f"{run_uri.rstrip('/')}/{_PREDICTIONS_NAME}"):
        manifest = read_manifest(store, "predict")
        history = cast("History | None", manifest.settings.get("history")) if manifest else None
    report = evaluate(
        gold,
        predictions,
        databases,
        history=history,
        num_workers=num_workers,
        limits=limits,
        on_progress=on_progress,
    )
    store.write(REPORT_KEY, (report.model_dump_json(indent=1) + "\n").encode())
    return report


def read_predictions(predictions_uri: str) -> list[PredictedTurn]:
    """Read a predictions file: a list of interactions, each a list of objects with `question_id`, `query`, `db_id`.

    Raises:
        DatasetError: No such file, malformed JSON (with the place), or entries of another form.
        StorageError: The store failed or refused.
    """
    folder, name = split_uri(predictions_uri)
    store = open_store(folder)
    if not name or not store.exists(name):
        raise DatasetError(f"{predictions_uri}: wanted a predictions file, found none; set predictions_uri")
    try:
        entries = json.loads(store.read(name).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DatasetError(f"{predictions_uri}: wanted UTF-8, found byte {error.start} is not") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise DatasetError(f"{predictions_uri}, {place}: malformed JSON: {error.msg}") from error
    problems = Problems(predictions_uri)
    if not isinstance(entries, list):
        problems.add("the file", f"wanted a list of interactions, found {describe(entries)}")
        entries = []
    turns = list(_read_turns(entries, problems))
    problems.raise_if_any()
    return turns


def _read_turns(entries: list[Any], problems: Problems) -> Iterator[PredictedTurn]:
    for index, interaction in enumerate(entries):
        if not isinstance(interaction, list):
            problems.add(f"[{index}]", f"wanted a list of turns, found {describe(interaction)}")
            continue
        for turn_index, item in enumerate(interaction):
            place = f"[{index}][{turn_index}]"
            if not isinstance(item, dict):
                problems.add(place, f"wanted an object with question_id and query, found {describe(item)}")
                continue
            question_id, db_id, sql = item.get("question_id"), item.get("db_id"), item.get("query")
            if isinstance(question_id, str) and isinstance(sql, str) and (db_id is None or isinstance(db_id, str)):
                yield PredictedTurn(question_id, db_id, sql)
                continue
            wanted = (("question_id", question_id, "a text"), ("query", sql, "SQL"))
            for key, value, what in wanted:
                if not isinstance(value, str):
                    problems.add(f"{place}.{key}", f"wanted {what}, found {describe(value)}")
            if db_id is not None and not isinstance(db_id, str):
                problems.add(f"{place}.db_id", f"wanted a text or null, found {describe(db_id)}")


def evaluate(
    gold: Sequence[Interaction],
    predictions: Iterable[PredictedTurn],
    databases: DatabaseFolder,
    *,
    history: History | None = None,
    num_workers: int | None = None,
    limits: Limits | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Score predictions.

    Args:
        gold: Every turn with its `gold_sql`.
        predictions: In any order.
        databases: Of the gold's `db_id`s, checked.
        history: Printed with the score.
        num_workers: Queries that run at once; None: one for each CPU.
        limits: What one query may take.
        on_progress: Called with the turns judged and all turns, in the calling thread.

    Raises:
        DatasetError: Gold has turns without SQL, a question has two predictions, or none has any.
        SandboxError: Worker processes cannot be started.
    """
    _check_gold(gold)
    predicted, unknown = _pair(gold, predictions)
    turns = [
        _Turn(key, turn_index, turn.gold_sql or "", predicted.get(key))
        for interaction in gold
        for turn_index, turn in enumerate(interaction.turns)
        for key in [_Key(interaction.db_id, turn.question_id)]
    ]
    tasks: dict[tuple[str, str], list[_Turn]] = {}
    for one in turns:
        tasks.setdefault((databases.digest(one.key.db_id), one.gold_sql), []).append(one)
    judged: dict[_Key, _Judged] = {}
    with Sandbox(num_workers, limits) as sandbox, ThreadPoolExecutor(sandbox.num_workers) as threads:
        pending = [
            threads.submit(_judge_all, sandbox, databases.path(task[0].key.db_id), task) for task in tasks.values()
        ]
        try:
            for done in as_completed(pending):
                judged |= done.result()
                if on_progress is not None:
                    on_progress(len(judged), len(turns))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            sandbox.close()  # what runs now ends now, not at its deadline
            raise
    return _report(gold, turns, judged, unknown, history)


def _check_gold(gold: Sequence[Interaction]) -> None:
    without = [turn.question_id for interaction in gold for turn in interaction.turns if not turn.gold_sql]
    if not gold or without:
        count = sum(len(interaction.turns) for interaction in gold)
        raise DatasetError(
            f"gold: wanted SQL (query) for each of {count} turns, found {len(without)} without"
            + (f"; first: {without[0]}" if without else "")
        )


def _pair(gold: Sequence[Interaction], predictions: Iterable[PredictedTurn]) -> tuple[dict[_Key, str], list[str]]:
    """Give each prediction to its question; also name the predictions whose question gold does not have."""
    db_ids: dict[str, list[str]] = {}
    for interaction in gold:
        for turn in interaction.turns:
            db_ids.setdefault(turn.question_id, []).append(interaction.db_id)
    paired: dict[_Key, str] = {}
    unknown: list[str] = []
    for prediction in predictions:
        candidates = db_ids.get(prediction.question_id, [])
        if prediction.db_id is None and len(candidates) > 1:
            raise DatasetError(
                f"predictions: {prediction.question_id} has no db_id, and gold has this question for "
                f"{len(candidates)} databases: {', '.join(candidates)}; give each prediction its db_id"
            )
        if not candidates or (prediction.db_id is not None and prediction.db_id not in candidates):
            unknown.append(prediction.question_id + (f"@{prediction.db_id}" if prediction.db_id else ""))
            continue
        key = _Key(prediction.db_id if prediction.db_id is not None else candidates[0], prediction.question_id)
        if key in paired:
            raise DatasetError(f"predictions: wanted one for {key.question_id} of {key.db_id}, found two")
        paired[key] = prediction.sql.strip()
    if not paired:
        example = f"; the first is for {unknown[0]}" if unknown else ""
        raise DatasetError(
            f"predictions: none of {len(unknown)} is for one of the {len(db_ids)} questions of gold{example}; "
            "do predictions_uri and gold_uri belong together?"
        )
    return paired, unknown


def _judge_all(sandbox: Sandbox, database: Path, turns: Sequence[_Turn]) -> dict[_Key, _Judged]:
    """Judge the turns that share a database and a gold query; each query runs once."""
    outcomes: dict[str, Outcome] = {}

    def run(sql: str) -> Outcome:
        if sql not in outcomes:
            outcomes[sql] = sandbox.run(database, sql)
        return outcomes[sql]

    return {turn.key: _judge(run, turn) for turn in turns}


def _judge(run: Callable[[str], Outcome], turn: _Turn) -> _Judged:
    right: list[bool] = []
    outcomes: list[Outcome] = []
    for keep_distinct in (False, True):
        comparison = official_comparison(turn.gold_sql, turn.predicted_sql or "", keep_distinct=keep_distinct)
        gold = run(comparison.gold_sql)
        if gold.rows is None:
            return _Judged("gold_failed", None, None, False, gold_error=f"{gold.kind}: {gold.message}")
        outcomes.append(run(comparison.predicted_sql))
        right.append(same_result(gold, outcomes[-1], ordered=comparison.ordered))
    verdict: Verdict
    if turn.predicted_sql is None:
        verdict = "missing"
    elif outcomes[0].kind == "empty_sql":
        verdict = "no_sql"
    elif outcomes[0].kind == "rows":
        verdict = "right" if right[0] else "wrong_result"
    else:
        verdict = outcomes[0].kind
    return _Judged(verdict, right[0], right[1], is_valid=run(turn.predicted_sql or "").kind == "rows")


def _report(
    gold: Sequence[Interaction],
    turns: Sequence[_Turn],
    judged: dict[_Key, _Judged],
    unknown: Sequence[str],
    history: History | None,
) -> Report:
    num_databases = Counter(turn.key.question_id for turn in turns)

    def name(key: _Key) -> str:
        return key.question_id if num_databases[key.question_id] == 1 else f"{key.question_id}@{key.db_id}"

    by_turn: dict[str, list[_Judged]] = {group: [] for group in TURN_GROUPS}
    by_db: dict[str, list[_Judged]] = {}
    for turn in turns:
        by_turn[TURN_GROUPS[min(turn.turn_index, len(TURN_GROUPS) - 1)]].append(judged[turn.key])
        by_db.setdefault(turn.key.db_id, []).append(judged[turn.key])
    num_right, num_interactions = interaction_match(
        [judged[_Key(interaction.db_id, turn.question_id)].ex for turn in interaction.turns] for interaction in gold
    )
    verdicts = Counter(one.verdict for one in judged.values())
    return Report(
        **dict(_score(judged.values())),
        num_interactions=num_interactions,
        num_gold_failed=verdicts["gold_failed"],
        interaction_match_ex=num_right / num_interactions if num_interactions else None,
        history=history,
        by_turn={group: _score(members) for group, members in by_turn.items()},
        by_db={db_id: _score(members) for db_id, members in by_db.items()},
        verdicts={kind: verdicts[kind] for kind in VERDICTS},
        missing_predictions=tuple(name(turn.key) for turn in turns if turn.predicted_sql is None),
        unknown_predictions=tuple(unknown),
        gold_failed={
            name(turn.key): judged[turn.key].gold_error for turn in turns if judged[turn.key].verdict == "gold_failed"
        },
        per_question={name(turn.key): _question_result(judged[turn.key]) for turn in turns},
    )


def _score(members: Iterable[_Judged]) -> Score:
    scored = [one for one in members if one.ex is not None]

    def share(flags: Iterable[bool | None]) -> float | None:
        return sum(map(bool, flags)) / len(scored) if scored else None

    return Score(
        num_turns=len(scored),
        execution_accuracy=share(one.ex for one in scored),
        execution_accuracy_keep_distinct=share(one.ex_keep_distinct for one in scored),
        valid_sql_rate=share(one.is_valid for one in scored),
    )


def _question_result(judged: _Judged) -> QuestionResult:
    def flag(right: bool | None) -> Literal[0, 1] | None:
        return None if right is None else 1 if right else 0

    return QuestionResult(ex=flag(judged.ex), ex_keep_distinct=flag(judged.ex_keep_distinct), verdict=judged.verdict)
