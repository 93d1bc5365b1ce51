"""CHASE's own layout (https://github.com/xjtu-intsoft/chase, branch `page`, data/).

    {"database_id": "party_host",
     "interaction": [{"utterance": "主办方都有谁？", "utterance_toks": [...],
                      "query": "select 姓名 from 主办方", "sql": {...}}, ...]}

in `train.json` becomes

    Interaction(db_id="party_host", turns=(Turn(question_id="train-0-0", question="主办方都有谁？", gold_sql="…"), ...))

Tokens and parsed SQL are not read; there are no ids, so the file's name and the two positions make one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from t2s.dataset.problems import Problems, describe
from t2s.dataset.turns import Placed, check_text, read_turns
from t2s.interaction import Interaction

NAME = "chase"


def matches(entry: dict[str, Any]) -> bool:
    """Whether a file whose first object is `entry` has this layout."""
    return "database_id" in entry and "final" not in entry


def read(entries: list[Any], stem: str, problems: Problems) -> Iterator[Placed]:
    """See `Layout.read`."""
    db_ids: dict[str, str] = {}  # one string for a database, not one for each of its interactions
    for index, entry in enumerate(entries):
        entries[index] = None
        if type(entry) is not dict:
            problems.add(f"[{index}]", f"wanted an object with database_id and interaction, found {describe(entry)}")
            continue
        db_id = check_text(entry, "database_id", f"[{index}]", problems)
        turns = read_turns(entry, index, problems, question_key="utterance", id_key=None, stem=stem)
        if turns and db_id is not None:
            yield Placed(index, Interaction(db_id=db_ids.setdefault(db_id, db_id), turns=turns))
