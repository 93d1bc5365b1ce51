"""Reading a dataset file of any known layout into `Interaction`s, once it is known to be right."""

from __future__ import annotations

import gc
import hashlib
import json
import re
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from t2s.dataset import chase, sparc, users
from t2s.dataset.location import Location, is_json_name, locate_dataset, split_uri
from t2s.dataset.problems import Problems, describe
from t2s.dataset.turns import Layout, Placed
from t2s.errors import DatasetError
from t2s.interaction import Interaction

_LAYOUTS: tuple[Layout, ...] = (users, sparc, chase)
_WANTED = "db_list and interaction (the users' layout), or database_id and interaction (CHASE, SParC)"
_UTF8_BOM = b"\xef\xbb\xbf"
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


class Dataset(NamedTuple):
    """A dataset, read and checked.

    Attributes:
        interactions: In the file's order; an entry with several databases is several interactions.
        digest: sha256 (hex) of the file's bytes.
        uri: The JSON file itself, also where a folder was given.
        layout: `users`, `chase` or `sparc`.
    """

    interactions: list[Interaction]
    digest: str
    uri: str
    layout: str


def read_dataset(dataset_uri: str, *, limit: int | None = None) -> Dataset:
    """Read a dataset.

    Args:
        dataset_uri: A JSON file, or a folder that holds exactly one: a path, `file://` or `s3://`.
        limit: Return only the first so many interactions; the whole file is checked all the same.

    Raises:
        DatasetError: No such file, or a file that is not right; the message says where.
        StorageError: The store failed or refused.
    """
    location = locate_dataset(dataset_uri)
    data = location.store.read(location.key)
    digest = hashlib.sha256(data).hexdigest()
    has_surrogates = _SURROGATE_ESCAPE.search(data) is not None
    with _gc_paused():
        text = _decode(data, location.uri)
        del data
        entries = _parse(text, location.uri)
        del text
        layout = _detect(entries, location.uri)
        interactions = _read_entries(layout, entries, location, has_surrogates)
    return Dataset(interactions[:limit], digest, location.uri, layout.NAME)


def read_interactions(dataset_uri: str, *, limit: int | None = None) -> list[Interaction]:
    """Read a dataset's interactions; see `read_dataset`."""
    return read_dataset(dataset_uri, limit=limit).interactions


def default_databases_uri(dataset_uri: str) -> str:
    """Where the databases are if nobody says: `database/` beside the dataset file (or in the dataset's folder)."""
    folder, name = split_uri(dataset_uri)
    return f"{(folder if is_json_name(name) else dataset_uri).rstrip('/')}/database"


@contextmanager
def _gc_paused() -> Iterator[None]:
    # 400,000 turns hold no cycle, and looking for one takes longer than making them (3.8 s instead of 1.8 s).
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _decode(data: bytes, uri: str) -> str:
    try:
        return str(memoryview(data)[len(_UTF8_BOM) :] if data.startswith(_UTF8_BOM) else data, "utf-8")
    except UnicodeDecodeError as error:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            found = "a UTF-16 file"
        else:
            line = data.count(b"\n", 0, error.start) + 1
            found = f"the byte 0x{data[error.start]:02x} at offset {error.start}, line {line}"
        raise DatasetError(f"{uri}: wanted UTF-8, found {found}; convert it, e.g. iconv -f GB18030 -t UTF-8") from error


def _parse(text: str, uri: str) -> list[Any]:
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{uri}, line {error.lineno}, column {error.colno}: malformed JSON: {error.msg}") from error
    except RecursionError as error:
        raise DatasetError(f"{uri}: JSON nested too deep; wanted a list of objects with {_WANTED}") from error
    if type(entries) is not list:
        raise DatasetError(f"{uri}: wanted a list of objects with {_WANTED}, found {describe(entries)}")
    if not entries:
        raise DatasetError(f"{uri}: holds no interactions (an empty list)")
    return entries


def _detect(entries: Sequence[Any], uri: str) -> Layout:
    for entry in entries:
        if type(entry) is dict:
            for layout in _LAYOUTS:
                if layout.matches(entry):
                    return layout
            break
    raise DatasetError(f"{uri}: [0]: wanted an object with {_WANTED}, found {describe(entries[0])}")


def _read_entries(layout: Layout, entries: list[Any], location: Location, has_surrogates: bool) -> list[Interaction]:
    problems = Problems(location.uri)
    interactions: list[Interaction] = []
    entry_indexes = array("L")
    seen: dict[str, set[str]] = {}
    for placed in layout.read(entries, location.stem, problems):
        _, interaction = placed
        seen_ids = seen.setdefault(interaction.db_id, set())
        for turn_index, turn in enumerate(interaction.turns):
            if turn.question_id in seen_ids:
                everything = [*interactions, interaction], [*entry_indexes, placed.entry_index]
                first = _find(turn.question_id, interaction.db_id, *everything)
                problems.add(
                    f"[{placed.entry_index}].interaction[{turn_index}].question_id",
                    f"wanted an id of its own in the database {interaction.db_id}, found {turn.question_id!r}, which "
                    f"{first} has",
                )
            seen_ids.add(turn.question_id)
        if has_surrogates:
            _check_surrogates(placed, problems)
        interactions.append(interaction)
        entry_indexes.append(placed.entry_index)
    problems.raise_if_any()
    return interactions


def _find(question_id: str, db_id: str, interactions: Sequence[Interaction], indexes: Sequence[int]) -> str:
    """Where a question_id stands first."""
    return next(
        f"[{index}].interaction[{turn_index}]"
        for index, interaction in zip(indexes, interactions, strict=True)
        if interaction.db_id == db_id
        for turn_index, turn in enumerate(interaction.turns)
        if turn.question_id == question_id
    )


def _check_surrogates(placed: Placed, problems: Problems) -> None:
    r"""Refuse half characters (`"\ud83d"` without its other half), which cannot be written as UTF-8 again."""
    for turn_index, turn in enumerate(placed.interaction.turns):
        for text in (placed.interaction.db_id, turn.question_id, turn.question, turn.gold_sql or ""):
            if any("\ud800" <= sign <= "\udfff" for sign in text):
                problems.add(f"[{placed.entry_index}].interaction[{turn_index}]", f"half a character in {text!a}")
