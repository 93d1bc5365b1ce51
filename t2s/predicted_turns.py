"""Reading what is to be scored, in any of the forms that people have.

    predictions.json    [[{"question_id": "h83oa", "question": …, "db_id": "购书平台", "query": " select …"}, …], …]
    run_uri or run_uri/predictions     the committed shards of a predict run
    predictions.jsonl   {"question_id": "h83oa", "db_id": "购书平台", "predicted_sql": "select …", …} a line
    predictions.txt     one SQL a line, a blank line between interactions; by position

Where `predictions.json` lies beside the shards that it was merged from, they tell what it cannot: which turns failed,
and what answering took.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from t2s.dataset.location import split_uri
from t2s.dataset.problems import Problems, describe
from t2s.dataset.text_format import is_text_name, read_text_predictions
from t2s.errors import DatasetError
from t2s.interaction import Interaction
from t2s.ledger import FOLDER, ShardLedger
from t2s.merge import PREDICTIONS_KEY
from t2s.prediction import Measurement
from t2s.storage import Store, open_store

logger = logging.getLogger(__name__)

_SHARD = re.compile(r"shard-\d+-of-(\d+)")


class PredictedTurn(NamedTuple):
    """One answer; `db_id` is None where the file does not say, `error` says why the engine gave none."""

    question_id: str
    db_id: str | None
    sql: str
    error: str | None = None
    measurement: Measurement | None = None


def read_predictions(
    predictions_uri: str, gold: Sequence[Interaction], *, whole_gold: bool = True
) -> list[PredictedTurn]:
    """Read predictions; which form it is, the name says.

    Args:
        predictions_uri: A `.json`, `.jsonl`, `.txt` or `.sql` file, or the folder of a run.
        gold: What they answer; only the text format needs it, which has no keys.
        whole_gold: Whether gold is all there is; False: predictions may go on behind it.

    Raises:
        DatasetError: No such file, malformed JSON (with the place), entries of another form, or counts that do not fit.
        StorageError: The store failed or refused.
    """
    if is_text_name(predictions_uri):
        sql = iter(read_text_predictions(predictions_uri, gold, whole_gold=whole_gold))
        return [
            PredictedTurn(turn.question_id, one.db_id, next(sql)) for one in gold for turn in one.turns
        ]  # fmt: skip
    if predictions_uri.lower().endswith(".jsonl"):
        return _read_jsonl(predictions_uri)
    folder, name = split_uri(predictions_uri)
    if not predictions_uri.lower().endswith(".json"):
        run_uri = folder if name == FOLDER else predictions_uri
        turns = list(_read_run(open_store(run_uri)))
        if not turns:
            raise DatasetError(
                f"{predictions_uri}: wanted a file of predictions (.json, .jsonl, .txt) or the folder of a run, found "
                "no committed shard; set predictions_uri"
            )
        return turns
    turns = _read_json(predictions_uri)
    return _with_rows(turns, folder) if name == PREDICTIONS_KEY else turns


def _read_text(uri: str) -> str:
    folder, name = split_uri(uri)
    store = open_store(folder)
    if not name or not store.exists(name):
        raise DatasetError(f"{uri}: wanted a predictions file, found none; set predictions_uri")
    try:
        return store.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{uri}: wanted UTF-8, found byte {error.start} is not") from error


def _parse(text: str, uri: str, line: int | None = None) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {line or error.lineno}, column {error.colno}"
        raise DatasetError(f"{uri}, {place}: malformed JSON: {error.msg}") from error
    except RecursionError as error:
        raise DatasetError(f"{uri}: wanted a list of interactions, found JSON nested too deep") from error


def _read_json(uri: str) -> list[PredictedTurn]:
    entries = _parse(_read_text(uri), uri)
    problems = Problems(uri)
    if not isinstance(entries, list):
        problems.add("the file", f"wanted a list of interactions, found {describe(entries)}")
        entries = []
    turns: list[PredictedTurn] = []
    for index, interaction in enumerate(entries):
        if not isinstance(interaction, list):
            problems.add(f"[{index}]", f"wanted a list of turns, found {describe(interaction)}")
            continue
        for turn_index, item in enumerate(interaction):
            turns += _read_turn(item, "query", f"[{index}][{turn_index}]", problems)
    problems.raise_if_any()
    return turns


def _read_jsonl(uri: str) -> list[PredictedTurn]:
    problems = Problems(uri)
    turns: list[PredictedTurn] = []
    for number, line in enumerate(_read_text(uri).split("\n"), 1):
        if line.strip():
            turns += _read_turn(_parse(line, uri, number), "predicted_sql", f"line {number}", problems)
    problems.raise_if_any()
    return turns


def _read_turn(item: Any, sql_key: str, place: str, problems: Problems) -> Iterator[PredictedTurn]:
    if not isinstance(item, dict):
        problems.add(place, f"wanted an object with question_id and {sql_key}, found {describe(item)}")
        return
    question_id, db_id, sql, error = (item.get(key) for key in ("question_id", "db_id", sql_key, "error"))
    wrong = [(key, value, "a text") for key, value in (("question_id", question_id), (sql_key, sql))]
    wrong += [
        (key, value, "a text or null") for key, value in (("db_id", db_id), ("error", error)) if value is not None
    ]
    wrong = [one for one in wrong if not isinstance(one[1], str)]
    for key, value, wanted in wrong:
        problems.add(f"{place}.{key}", f"wanted {wanted}, found {describe(value)}")
    if isinstance(question_id, str) and isinstance(sql, str) and not wrong:
        yield PredictedTurn(question_id, db_id, sql, error)


def _read_run(store: Store) -> Iterator[PredictedTurn]:
    """Every committed row of a run, retries in the place of what they did again; with its measurement."""
    names = ShardLedger(store, "", "").done_names()
    shards = sorted(name for name in names if _SHARD.fullmatch(name))
    if not shards:
        return
    ledger = ShardLedger(store, ShardLedger.plan_of(store, shards[0]), "")
    total = {match.group(1) for name in shards if (match := _SHARD.fullmatch(name))}
    if len(total) == 1 and len(shards) < int(next(iter(total))):
        logger.warning("%s: only %d of %d shards are committed", store.uri, len(shards), int(next(iter(total))))
    measured: dict[tuple[str, str], Measurement] = {}
    for name in sorted(names, key=lambda name: ("-retry-" in name, len(name), name)):
        for one in () if ledger.done(name).split else ledger.read_measurements(name):
            measured[one.db_id, one.question_id] = one
    for name in shards:
        for row in ledger.read_rows(name, names):
            measurement = measured.get((row.db_id, row.question_id))
            yield PredictedTurn(row.question_id, row.db_id, row.predicted_sql, row.error, measurement)


def _with_rows(turns: Sequence[PredictedTurn], run_uri: str) -> list[PredictedTurn]:
    rows = {(row.db_id, row.question_id): row for row in _read_run(open_store(run_uri))}
    result = []
    for turn in turns:
        row = rows.get((turn.db_id, turn.question_id))
        if row is None or row.sql.strip() != turn.sql.strip():
            result.append(turn)  # the file was edited: its shards do not tell of this answer
        else:
            result.append(turn._replace(error=row.error, measurement=row.measurement))
    return result
