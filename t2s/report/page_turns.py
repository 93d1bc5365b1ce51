"""The turns as the page carries them: one list a turn, names written once, so that 5,000 turns stay a few megabytes.

    {"fields": ["name", "db", …], "dbs": ["购书平台", …], "verdicts": ["right", …], "hardness": […], "warnings": […],
     "turns": [["h83oa", 0, 0, 0, "我需要图书的详细信息。", "SELECT …", …], …]}

`db`, `hardness`, `verdict` and `warnings` are positions in these lists; a result is [columns, rows, num_rows,
num_columns], null where there is none, and 1 where the prediction's looks as the gold's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from t2s.prediction import Measurement
from t2s.report.turn_detail import ResultPreview, TurnDetail
from t2s.verdict import HARDNESSES, VERDICTS, WARNINGS

FIELDS = (
    "name",
    "db",
    "interaction",
    "turn",
    "question",
    "gold",
    "predicted",
    "message",
    "goldResult",
    "predictedResult",
    "ex",
    "keepDistinct",
    "strict",
    "bird",
    "em",
    "emOwn",
    "bleu4",
    "rougeL",
    "validSql",
    "hardness",
    "verdict",
    "warnings",
    "measurement",
)
MEASURED = ("prompt", "cached", "completion", "latency", "finish", "attempt")

# A model may write 100 kB of SQL for one turn; nobody reads that here, and 5,000 of them would be 500 MB.
MAX_SQL_CHARACTERS = 4000
MAX_QUESTION_CHARACTERS = 2000
MAX_MESSAGE_CHARACTERS = 600


def turns_content(turns: Sequence[TurnDetail]) -> dict[str, Any]:
    """What the page's script reads, ready to be written as JSON."""
    dbs = {db: number for number, db in enumerate(dict.fromkeys(turn.db_id for turn in turns))}
    return {
        "fields": FIELDS,
        "measured": MEASURED,
        "dbs": list(dbs),
        "verdicts": VERDICTS,
        "hardness": HARDNESSES,
        "warnings": WARNINGS,
        "turns": [_row(turn, dbs[turn.db_id]) for turn in turns],
    }


def _row(turn: TurnDetail, db: int) -> list[Any]:
    result = turn.result
    return [
        turn.name,
        db,
        turn.interaction_index,
        turn.turn_index,
        _cut(turn.question, MAX_QUESTION_CHARACTERS),
        _cut(turn.gold_sql, MAX_SQL_CHARACTERS),
        None if turn.predicted_sql is None else _cut(turn.predicted_sql, MAX_SQL_CHARACTERS),
        _cut(turn.message, MAX_MESSAGE_CHARACTERS),
        _result(turn.gold_result),
        1 if turn.gold_result and turn.gold_result == turn.predicted_result else _result(turn.predicted_result),
        result.ex,
        result.ex_keep_distinct,
        result.ex_strict,
        result.ex_bird,
        result.em,
        result.em_own,
        _rounded(result.bleu_4),
        _rounded(result.rouge_l),
        result.valid_sql,
        HARDNESSES.index(result.hardness),
        VERDICTS.index(result.verdict),
        [WARNINGS.index(warning) for warning in result.warnings],
        _measured(turn.measurement),
    ]


def _cut(text: str, most: int) -> str | list[str | int]:
    """The text, or [its beginning, how many characters more] where it is too long."""
    return text if len(text) <= most else [text[:most], len(text) - most]


def _result(result: ResultPreview | None) -> list[Any] | None:
    return None if result is None else [result.columns, result.rows, result.num_rows, result.num_columns]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _measured(m: Measurement | None) -> list[Any] | None:
    if m is None:
        return None
    latency_s = round(m.latency_s, 3) if math.isfinite(m.latency_s) else None  # JSON has no number for the others
    return [m.prompt_tokens, m.cached_tokens, m.completion_tokens, latency_s, m.finish_reason, m.attempt]
