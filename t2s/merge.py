"""From committed shards to `predictions.json`, the file that users exchange.

    [
     [{"question_id": "h83oa", "question": "我要图书。", "db_id": "购书平台", "query": " select * from 图书"}, ...],
     ...
    ]

A list of interactions in the dataset's order, each a list of turns; a turn that failed has `query` "".
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from t2s.errors import StorageError
from t2s.interaction import Interaction
from t2s.ledger import ShardLedger
from t2s.shard import Shard
from t2s.storage import Store

PREDICTIONS_KEY = "predictions.json"


class Merged(NamedTuple):
    """What the merge found: counts of rows, and the file's sha256."""

    num_turns: int
    num_errors: int
    sha256: str


def merge(
    store: Store,
    ledger: ShardLedger,
    interactions: Sequence[Interaction],
    shards: Iterable[Shard],
    leading_space: bool,
) -> Merged:
    """Write `predictions.json` from what is committed.

    Args:
        store: Opened on the `run_uri`.
        ledger: Of the same run.
        interactions: The dataset, in its order.
        shards: The plan's shards, all of them committed.
        leading_space: Put a space before each SQL.

    Raises:
        StorageError: A question has no row or two.
    """
    done_names = ledger.done_names()
    sql_by_key: dict[tuple[str, str], str] = {}
    num_errors = num_rows = 0
    for shard in shards:
        for row in ledger.read_rows(shard.name, done_names):
            num_rows += 1
            num_errors += row.error is not None
            sql_by_key[row.db_id, row.question_id] = row.predicted_sql
    num_turns = sum(len(interaction.turns) for interaction in interactions)
    missing = next(
        (
            f"{turn.question_id} of {one.db_id}"
            for one in interactions
            for turn in one.turns
            if (one.db_id, turn.question_id) not in sql_by_key
        ),
        None,
    )
    if missing is not None or num_rows != num_turns:
        raise StorageError(
            f"{store.uri}: wanted one row for each of {num_turns} turns, found {num_rows} rows; "
            f"first question without one: {missing}"
        )
    with tempfile.TemporaryDirectory(prefix="t2s-merge-") as folder:
        path = Path(folder) / PREDICTIONS_KEY
        _write(path, interactions, sql_by_key, " " if leading_space else "")
        sha256 = store.upload(path, PREDICTIONS_KEY)
    return Merged(num_turns, num_errors, sha256)


def _write(path: Path, interactions: Sequence[Interaction], sql_by_key: dict[tuple[str, str], str], space: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        separator = "[\n "
        for one in interactions:
            turns = []
            for turn in one.turns:
                sql = sql_by_key[one.db_id, turn.question_id]
                query = space + sql if sql else ""
                turns.append(
                    {"question_id": turn.question_id, "question": turn.question, "db_id": one.db_id, "query": query}
                )
            file.write(separator + json.dumps(turns, ensure_ascii=False))
            separator = ",\n "
        file.write("\n]\n" if interactions else "[]\n")
