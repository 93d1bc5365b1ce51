"""The users' own layout.

    {"db_list": ["购书平台"],
     "interaction": [{"question_id": "h83oa", "question": "我需要图书的信息。", "query": "select * from 图书"}, ...]}

becomes one `Interaction` for each database of `db_list`, in that order. `query` (the gold SQL) may be missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from t2s.dataset.problems import Problems, describe
from t2s.dataset.turns import Placed, read_turns
from t2s.interaction import Interaction

NAME = "users"


def matches(entry: dict[str, Any]) -> bool:
    """Whether a file whose first object is `entry` has this layout."""
    return "db_list" in entry


def read(entries: list[Any], stem: str, problems: Problems) -> Iterator[Placed]:
    """See `Layout.read`."""
    for index, entry in enumerate(entries):
        entries[index] = None
        if type(entry) is not dict:
            problems.add(f"[{index}]", f"wanted an object with db_list and interaction, found {describe(entry)}")
            continue
        db_ids = _read_db_list(entry, index, problems)
        turns = read_turns(entry, index, problems, question_key="question", id_key="question_id", stem=stem)
        if turns:
            for db_id in db_ids:
                yield Placed(index, Interaction(db_id=db_id, turns=turns))


def _read_db_list(entry: dict[str, Any], index: int, problems: Problems) -> list[str]:
    place = f"[{index}].db_list"
    db_ids = entry.get("db_list")
    if type(db_ids) is not list or not db_ids:
        found = "none" if "db_list" not in entry else describe(db_ids)
        problems.add(place, f"wanted a list of databases' names, found {found}")
        return []
    for position, db_id in enumerate(db_ids):
        if type(db_id) is not str or not db_id.strip():
            problems.add(f"{place}[{position}]", f"wanted a database's name, found {describe(db_id)}")
            return []
        if db_id in db_ids[:position]:
            problems.add(f"{place}[{position}]", f"names {db_id} twice")
            return []
    return db_ids
