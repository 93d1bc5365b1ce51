"""What every layout has: a list `interaction` of objects, one a turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from t2s.dataset.problems import Problems, describe
from t2s.interaction import Interaction, Turn

# Shared by all turns: a set of its own for each costs 216 bytes, 86 MB for 400,000 turns.
_ALL_FIELDS = {"question_id", "question", "gold_sql"}


class Placed(NamedTuple):
    """An interaction and the 0-based position of its entry in the file."""

    entry_index: int
    interaction: Interaction


class Layout(Protocol):
    """A module of this folder that reads one file format."""

    NAME: str

    def matches(self, entry: dict[str, Any]) -> bool:
        """Whether a file whose first object is `entry` has this layout."""

    def read(self, entries: list[Any], stem: str, problems: Problems) -> Iterator[Placed]:
        """Turn entries into interactions, emptying the list on the way (100,000 entries are 300 MB of dicts).

        What is wrong goes to `problems`; an entry with a problem may be left out.
        """


def read_turns(
    entry: dict[str, Any], index: int, problems: Problems, *, question_key: str, id_key: str | None, stem: str
) -> tuple[Turn, ...]:
    """Read `entry["interaction"]`.

    Args:
        entry: One entry of the file.
        index: Its position, 0-based.
        problems: Told what is wrong; the turns in question are left out.
        question_key: Where the question stands.
        id_key: Where its id stands; None where the layout has no ids: then it is `<stem>-<index>-<turn_index>`.
        stem: The file's name without `.json`.
    """
    items = entry.get("interaction")
    if type(items) is not list:
        found = "none" if "interaction" not in entry else describe(items)
        problems.add(f"[{index}].interaction", f"wanted a list of turns, found {found}")
        return ()
    if not items:
        problems.add(f"[{index}].interaction", "empty; wanted at least one turn")
        return ()
    turns = []
    for turn_index, item in enumerate(items):
        if type(item) is not dict:
            problems.add(f"[{index}].interaction[{turn_index}]", f"wanted an object, found {describe(item)}")
            continue
        question = item.get(question_key)
        question_id = f"{stem}-{index}-{turn_index}" if id_key is None else item.get(id_key)
        query = item.get("query")
        if (
            type(question) is str
            and type(question_id) is str
            and question_id
            and (query is None or type(query) is str)
            # Gold files of others leave the question out where only the SQL is scored; `predict` refuses those.
            and (question.strip() or query)
        ):
            # "" stands for "not annotated": test files have the key and leave it blank.
            gold_sql = query if query and query.strip() else None
            turn = Turn(question_id=question_id, question=question, gold_sql=gold_sql)
            object.__setattr__(turn, "__pydantic_fields_set__", _ALL_FIELDS)
            turns.append(turn)
            continue
        place = f"[{index}].interaction[{turn_index}]"
        for key in (question_key, *([] if id_key is None else [id_key])):
            check_text(item, key, place, problems)
        if query is not None and type(query) is not str:
            problems.add(f"{place}.query", f"wanted SQL or null, found {describe(query)}")
    return tuple(turns)


def check_text(item: dict[str, Any], key: str, place: str, problems: Problems) -> str | None:
    """Return `item[key]` if it is a text with something in it; else tell `problems`."""
    value = item.get(key)
    if type(value) is str and value.strip():
        return value
    if key not in item:
        problems.add(f"{place}.{key}", f"missing; the keys here are {', '.join(item) or 'none'}")
    elif type(value) is str:
        problems.add(f"{place}.{key}", "empty; wanted a text")
    else:
        problems.add(f"{place}.{key}", f"wanted a text, found {describe(value)}")
    return None
