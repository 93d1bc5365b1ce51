"""Interactions as the users' JSON files.

[{"db_list": ["连锁超市"], "interaction": [{"question_id": "k3b0x", "question": "…", "query": "SELECT …"}, …]}, …]
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from scripts.sample.interactions import SampleInteraction

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_NUM_IDS = 26 * 36**4
_STRIDE = (
    28629151  # 31**5, without a common factor with 26 * 36**4: every index gets an id of its own, neighbours far apart
)


def question_ids(prefix: str = "") -> Iterator[str]:
    """Different short ids, a letter and four letters or digits after the prefix: 43,670,016 of them."""
    for index in range(_NUM_IDS):
        left = (index * _STRIDE + 7919) % _NUM_IDS
        text = ""
        for _ in range(4):
            left, digit = divmod(left, 36)
            text = _DIGITS[digit] + text
        yield prefix + _DIGITS[10 + left] + text


def as_record(interaction: SampleInteraction, ids: Iterator[str]) -> dict[str, object]:
    """One entry of a JSON file, with gold."""
    turns = [
        {"question_id": next(ids), "question": turn.question, "query": turn.gold_sql} for turn in interaction.turns
    ]
    return {"db_list": [interaction.db_id], "interaction": turns}


def without_gold(record: dict[str, object]) -> dict[str, object]:
    """The same entry, questions only."""
    turns = record["interaction"]
    assert isinstance(turns, list)
    bare = [{key: value for key, value in turn.items() if key != "query"} for turn in turns]
    return {"db_list": record["db_list"], "interaction": bare}


def write_records(path: Path, records: list[dict[str, object]]) -> None:
    """Write a file that people read: one key a line."""
    path.write_text(json.dumps(records, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def stream_records(path: Path, records: Iterable[dict[str, object]]) -> None:
    """Write a big file, one entry a line, without holding it in memory."""
    with path.open("w", encoding="utf-8") as file:
        separator = "[\n"
        for record in records:
            file.write(separator + json.dumps(record, ensure_ascii=False))
            separator = ",\n"
        file.write("\n]\n")
