"""Evaluate: predictions against gold SQL, both run in the sandbox, into `report.json` and `report.html`.

    gold_uri        [{"db_list": ["购书平台"], "interaction": [{"question_id": "h83oa", "question": …, "query": …}, …]}]
    predictions_uri [[{"question_id": "h83oa", "question": …, "db_id": "购书平台", "query": " select …"}, …], …]

A prediction belongs to the question with its `question_id` and `db_id`; where it has no `db_id`, to the one question
with its `question_id`. By position only in the text format, which has no keys. A question without a prediction counts
as wrong and is listed. A turn whose gold does not run is left out and listed, and its interaction left out of the
interaction match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from t2s.dataset import default_databases_uri, find_databases, read_interactions
from t2s.dataset.location import split_uri
from t2s.dataset.text_format import is_text_name, read_text_gold
from t2s.errors import DatasetError
from t2s.execution import Executed, Key, ScoredTurn, execute
from t2s.interaction import Interaction
from t2s.manifest import Manifest, package_versions, read_manifest
from t2s.predicted_turns import PredictedTurn, read_predictions
from t2s.report import PAGE_KEY, REPORT_KEY, TURNS_KEY, Report, TurnDetail
from t2s.report.page import render_page
from t2s.report.record import History
from t2s.scores import Judged, make_report
from t2s.sql.sandbox import Limits, Sandbox
from t2s.storage import Store, open_store
from t2s.text_scorer import TextScorer
from t2s.text_scores import Sizes, TextPair, TextScores
from t2s.usage import read_usage

_PREDICTIONS_NAME = "predictions.json"


class DatabaseFolder(Protocol):
    """What evaluate needs of `t2s.dataset.Databases`."""

    def path(self, db_id: str) -> Path:
        """A local file of the database."""

    def digest(self, db_id: str) -> str:
        """Its sha256."""


class Evaluation(NamedTuple):
    """A scored run: the report, and what it says of each turn, in gold's order."""

    report: Report
    turns: list[TurnDetail]


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
    cache_max_bytes: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Score predictions and write `report.json`, `report.html` and `evaluate/turns.jsonl` into the run.

    Args:
        gold_uri: Dataset with gold SQL: a JSON file, a folder that holds exactly one, or a text file.
        run_uri: Where the report goes.
        databases_uri: Folder of SQLite databases; None: `database/` beside the gold file.
        predictions_uri: None: `<run_uri>/predictions.json`.
        limit: Only the first so many interactions of the gold; None: all.
        history: Which earlier SQL the model saw; None: what the manifest of the run's predict job says, if it has one.
        num_workers: Processes that run queries, and that compare texts; None: one for each CPU.
        limits: What one query may take.
        cache_dir: Where databases from a store are kept on this node.
        cache_max_bytes: Most that may be kept there; null: no limit.
        on_progress: Called with the turns judged and all turns.

    Raises:
        DatasetError: Gold, predictions or databases cannot be used; nothing was run.
        StorageError: A store failed or refused.
        SandboxError: Worker processes cannot be started.
    """
    own_predictions = f"{run_uri.rstrip('/')}/{_PREDICTIONS_NAME}"
    predictions_uri = predictions_uri or own_predictions
    gold = read_gold(gold_uri, limit=limit)
    predictions = read_predictions(predictions_uri, gold, whole_gold=limit is None)
    databases = find_databases(databases_uri or default_databases_uri(gold_uri), cache_dir, cache_max_bytes)
    databases.check(interaction.db_id for interaction in gold)
    store = open_store(run_uri)
    manifest = read_manifest(store, "predict") if predictions_uri.startswith(run_uri.rstrip("/")) else None
    if history is None and manifest is not None:
        history = cast("History | None", manifest.settings.get("history"))
    evaluation = evaluate(
        gold,
        predictions,
        databases,
        history=history,
        num_workers=num_workers,
        limits=limits,
        on_progress=on_progress,
    )
    if manifest is not None:
        usage = read_usage(store, manifest.settings)
        evaluation = evaluation._replace(report=evaluation.report.model_copy(update={"usage": usage}))
    _write(store, evaluation, _facts(run_uri, gold_uri, predictions_uri, manifest))
    return evaluation.report


def read_gold(gold_uri: str, *, limit: int | None = None) -> list[Interaction]:
    """Read gold in any form: a dataset of `t2s.dataset`, or the field's text format.

    Raises:
        DatasetError: No such file, or a file that is not right; the message says where.
        StorageError: The store failed or refused.
    """
    if is_text_name(gold_uri):
        return read_text_gold(gold_uri, limit=limit)
    return read_interactions(gold_uri, limit=limit)


def evaluate(
    gold: Sequence[Interaction],
    predictions: Iterable[PredictedTurn],
    databases: DatabaseFolder,
    *,
    history: History | None = None,
    num_workers: int | None = None,
    limits: Limits | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score predictions.

    Args:
        gold: Every turn with its `gold_sql`.
        predictions: In any order.
        databases: Of the gold's `db_id`s, checked.
        history: Printed with the score.
        num_workers: Processes that run queries, and that compare texts; None: one for each CPU.
        limits: What one query may take.
        on_progress: Called with the turns judged and all turns, in the calling thread.

    Raises:
        DatasetError: Gold has turns without SQL, a question has two predictions, or none has any.
        SandboxError: Worker processes cannot be started.
    """
    _check_gold(gold)
    predicted, unknown = _pair(gold, predictions)
    turns = [
        ScoredTurn(
            key,
            index,
            turn_index,
            turn.question,
            turn.gold_sql or "",
            predicted[key].sql.strip() if key in predicted else None,
            predicted[key].error if key in predicted else None,
        )
        for index, interaction in enumerate(gold)
        for turn_index, turn in enumerate(interaction.turns)
        for key in [Key(interaction.db_id, turn.question_id)]
    ]
    executed, texts = _judge(turns, databases, num_workers, limits, on_progress)
    judged = [
        Judged(
            turn,
            executed[turn.key],
            texts.get(turn.key),
            predicted[turn.key].measurement if turn.key in predicted else None,
        )
        for turn in turns
    ]
    return Evaluation(*make_report(judged, unknown, history))


def _judge(
    turns: Sequence[ScoredTurn],
    databases: DatabaseFolder,
    num_workers: int | None,
    limits: Limits | None,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[dict[Key, Executed], dict[Key, TextScores]]:
    """Run all SQL and compare all texts; a batch of texts begins as soon as its queries have run."""
    tasks: dict[tuple[str, str], list[ScoredTurn]] = {}
    for turn in turns:
        tasks.setdefault((databases.digest(turn.key.db_id), turn.gold_sql), []).append(turn)
    by_key = {turn.key: turn for turn in turns}
    executed: dict[Key, Executed] = {}
    texts: dict[Key, TextScores] = {}
    compared: dict[Future[list[TextScores]], Sequence[Key]] = {}
    with (
        Sandbox(num_workers, limits) as sandbox,
        TextScorer(sandbox.num_workers, len(turns)) as scorer,
        ThreadPoolExecutor(sandbox.num_workers) as threads,
    ):
        pending = [threads.submit(execute, sandbox, databases.path(task[0].key.db_id), task) for task in tasks.values()]
        try:
            waiting: list[Key] = []
            for number, done in enumerate(as_completed(pending), 1):
                executed |= done.result()
                waiting += [key for key, one in done.result().items() if one.verdict != "gold_failed"]
                if len(waiting) >= scorer.batch_turns or number == len(pending):
                    pairs = [_text_pair(by_key[key], executed[key], databases) for key in waiting]
                    for future, keys in scorer.submit(pairs, waiting):
                        compared[future] = keys
                    waiting = []
                    # Texts here would hold the lock that the threads with queries need: 8.3 s became 5.3.
                    if not scorer.pids:
                        scorer.help()
                _tell(on_progress, len(turns), executed, compared)
            while scorer.help():
                _tell(on_progress, len(turns), executed, compared)
            for future in as_completed(compared):
                texts |= zip(compared[future], future.result(), strict=True)
                _tell(on_progress, len(turns), executed, compared)
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            scorer.kill()
            sandbox.close()  # what runs now ends now, not at its deadline
            raise
    return executed, texts


def _tell(
    on_progress: Callable[[int, int], None] | None,
    num_turns: int,
    executed: dict[Key, Executed],
    compared: dict[Future[list[TextScores]], Sequence[Key]],
) -> None:
    if on_progress is not None:
        failed = sum(one.verdict == "gold_failed" for one in executed.values())
        on_progress(failed + sum(len(keys) for future, keys in compared.items() if future.done()), num_turns)


def _text_pair(turn: ScoredTurn, executed: Executed, databases: DatabaseFolder) -> TextPair:
    sizes = None
    if executed.verdict is None and executed.gold is not None and executed.predicted is not None:
        gold, predicted = executed.gold, executed.predicted
        sizes = Sizes(gold.num_rows, predicted.num_rows, gold.num_columns, predicted.num_columns)
    elif executed.verdict is None:
        sizes = Sizes(0, 0, 0, 0)  # it runs only as the official program rewrites it
    path = databases.path(turn.key.db_id)
    return TextPair(path, turn.key.db_id, turn.gold_sql, turn.predicted_sql or "", sizes)


def _check_gold(gold: Sequence[Interaction]) -> None:
    without = [turn.question_id for interaction in gold for turn in interaction.turns if not turn.gold_sql]
    if not gold or without:
        count = sum(len(interaction.turns) for interaction in gold)
        raise DatasetError(
            f"gold: wanted SQL (query) for each of {count} turns, found {len(without)} without"
            + (f"; first: {without[0]}" if without else "")
        )


def _pair(
    gold: Sequence[Interaction], predictions: Iterable[PredictedTurn]
) -> tuple[dict[Key, PredictedTurn], list[str]]:
    """Give each prediction to its question; also name the predictions whose question gold does not have."""
    db_ids: dict[str, list[str]] = {}
    for interaction in gold:
        for turn in interaction.turns:
            db_ids.setdefault(turn.question_id, []).append(interaction.db_id)
    paired: dict[Key, PredictedTurn] = {}
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
        key = Key(prediction.db_id if prediction.db_id is not None else candidates[0], prediction.question_id)
        if key in paired:
            raise DatasetError(f"predictions: wanted one for {key.question_id} of {key.db_id}, found two")
        paired[key] = prediction
    if not paired:
        example = f"; the first is for {unknown[0]}" if unknown else ""
        raise DatasetError(
            f"predictions: none of {len(unknown)} is for one of the {len(db_ids)} questions of gold{example}; "
            "do predictions_uri and gold_uri belong together?"
        )
    return paired, unknown


def _write(store: Store, evaluation: Evaluation, facts: dict[str, str]) -> None:
    report, turns = evaluation
    lines = b"".join(turn.model_dump_json().encode() + b"\n" for turn in turns)
    store.write(TURNS_KEY, lines)
    page = render_page(report, turns, title=split_uri(facts["run"].rstrip("/")).name or facts["run"], facts=facts)
    store.write(PAGE_KEY, page.encode())
    store.write(REPORT_KEY, (report.model_dump_json(indent=1) + "\n").encode())  # last: who sees it sees all


def _facts(run_uri: str, gold_uri: str, predictions_uri: str, manifest: Manifest | None) -> dict[str, str]:
    """What the page says in its head, by label."""
    facts = {
        "run": run_uri,
        "gold": gold_uri,
        "predictions": predictions_uri,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "t2s": package_versions().get("t2s", ""),
    }
    if manifest is not None:
        engine = manifest.settings.get("engine", {})
        for key in ("kind", "model_uri", "adapter_uri"):
            if isinstance(engine, dict) and engine.get(key):
                facts[key.removesuffix("_uri")] = str(engine[key])
    return facts
