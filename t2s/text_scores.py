"""What the texts of gold and predicted SQL tell without being run: exact set match, overlap, why a result is wrong.

Pure Python and slow beside SQLite (milliseconds a turn). `main` is what a process of `text_scorer` does: batches of
`TextPair`s come in by standard input, lists of `TextScores` go out, both as pickles; it ends with its input.
"""

from __future__ import annotations

import pickle
import signal
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

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


def main(parent_pid: int) -> None:
    """Score what comes, until nothing comes any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    die_with_parent(parent_pid)
    rouge_l("a", "b")  # loads its dictionary, 0.6 s, while the parent works on
    read_clauses("SELECT 1", Schema(db_id="", tables=()))
    while True:
        try:
            pairs = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(score_texts(pairs), sys.stdout.buffer)
        sys.stdout.buffer.flush()
