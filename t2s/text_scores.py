"""What the texts of gold and predicted SQL tell without being run: exact set match, overlap, why a result is wrong.

Pure Python and slow beside SQLite (milliseconds a turn), so it runs in processes of its own, batch by batch.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, TypeVar

from t2s.dataset import read_schema
from t2s.metrics.bleu import bleu_4
from t2s.metrics.exact_set_match import exact_set_match
from t2s.metrics.own_set_match import own_set_match
from t2s.metrics.rouge import rouge_l
from t2s.metrics.verdict import quoted_strings, wrong_result_verdict
from t2s.schema import Schema
from t2s.sql.clauses import read_clauses
from t2s.sql.official.schema import OfficialSchema
from t2s.sql.worker import die_with_parent
from t2s.verdict import Hardness, Verdict

_Key = TypeVar("_Key")

_TURNS_WORTH_A_PROCESS = 2_000
"""A process takes about 1.5 s to start and load its dictionary: as long as it takes for so many turns."""


class Sizes(NamedTuple):
    """Of two results, of which the predicted one is wrong."""

    gold_num_rows: int
    predicted_num_rows: int
    gold_num_columns: int
    predicted_num_columns: int


class TextPair(NamedTuple):
    """Two texts to be compared; `sizes` where the prediction ran to a wrong result, so that it wants a verdict."""

    database: Path
    db_id: str
    gold_sql: str
    predicted_sql: str
    sizes: Sizes | None


class TextScores(NamedTuple):
    """Fields as in `QuestionResult`; `*_rejected`: why the official grammar does not take a text."""

    em: bool | None
    em_own: bool | None
    hardness: Hardness
    gold_rejected: str | None
    predicted_rejected: str | None
    bleu_4: float
    rouge_l: float
    has_quoted_string: bool
    verdict: Verdict | None


class TextScorer:
    """Scores batches of pairs, in other processes where there are enough to be worth it.

    Args:
        num_workers: Processes at most.
        num_turns: How many there will be.
    """

    batch_turns = 50
    """Turns in a batch: 0.3 s of work, so that progress moves and processes end together."""

    def __init__(self, num_workers: int, num_turns: int) -> None:
        self._num_processes = min(num_workers, num_turns // _TURNS_WORTH_A_PROCESS)
        self._pool: Executor | None = None

    def __enter__(self) -> TextScorer:
        if self._num_processes > 1:
            context = multiprocessing.get_context("spawn")  # this process has threads: a fork of it may hang
            self._pool = ProcessPoolExecutor(self._num_processes, context, _start_worker, (os.getpid(),))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=error is None, cancel_futures=True)

    def submit(
        self, pairs: Sequence[TextPair], keys: Sequence[_Key]
    ) -> Iterator[tuple[Future[list[TextScores]], Sequence[_Key]]]:
        """Score pairs: a future for each batch of them, and the keys that the batch has."""
        for start in range(0, len(pairs), self.batch_turns):
            batch = pairs[start : start + self.batch_turns]
            if self._pool is not None:
                future = self._pool.submit(score_texts, batch)
            else:
                future = Future[list[TextScores]]()
                future.set_result(score_texts(batch))
            yield future, keys[start : start + self.batch_turns]


def score_texts(pairs: Sequence[TextPair]) -> list[TextScores]:
    """Score a batch."""
    return [_score(pair) for pair in pairs]


def _score(pair: TextPair) -> TextScores:
    schema = _schema(pair.database, pair.db_id)
    match = exact_set_match(pair.gold_sql, pair.predicted_sql, _official_schema(pair.database, pair.db_id))
    verdict = None
    if pair.sizes is not None:
        clauses = [read_clauses(sql, schema) for sql in (pair.gold_sql, pair.predicted_sql)]
        verdict = wrong_result_verdict(*clauses, **pair.sizes._asdict())
    return TextScores(
        em=match.em,
        em_own=own_set_match(pair.gold_sql, pair.predicted_sql, schema),
        hardness=match.hardness,
        gold_rejected=match.gold_rejected,
        predicted_rejected=match.predicted_rejected if pair.predicted_sql.strip() else None,
        bleu_4=bleu_4(pair.gold_sql, pair.predicted_sql),
        rouge_l=rouge_l(pair.gold_sql, pair.predicted_sql),
        has_quoted_string=bool(quoted_strings(pair.predicted_sql, schema)),
        verdict=verdict,
    )


@lru_cache(maxsize=64)
def _schema(database: Path, db_id: str) -> Schema:
    return read_schema(database, db_id, num_examples=0)


@lru_cache(maxsize=64)
def _official_schema(database: Path, db_id: str) -> OfficialSchema:
    return OfficialSchema.from_schema(_schema(database, db_id))


def _start_worker(parent_pid: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    die_with_parent(parent_pid)
