"""Which interactions are for training and which are held out: a pure function of the dataset, the settings and a seed.

    split.by      what stays together                                      db_list ["A", "B"]
    db_id         all interactions of a database                           A and B go the same way
    interaction   an interaction, and those that ask the very same         its two interactions go the same way
    list          an interaction; a file names the test part               both or neither, or it is refused

A question may be asked over several databases, and a database may lie under two names in the folder: split by
database, those that share a question (id and text) or a file's bytes are one group, or the test part would hold what
training saw.

Groups are put into an order by a digest of seed and name, so that neither the file's order nor Python's own random
numbers count; in that order each is held out that brings the test part nearer to its size.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from t2s.dataset.location import split_uri
from t2s.errors import DatasetError
from t2s.interaction import Interaction
from t2s.prepare_config import SplitConfig
from t2s.storage import open_store

_NUM_NAMED = 5


class Split(NamedTuple):
    """The outcome of a split.

    Attributes:
        is_test: For each interaction, in the dataset's order, 1 where it is held out.
        databases_in_both: `db_id`s with interactions in both parts; empty after a split by database.
    """

    is_test: bytearray
    databases_in_both: tuple[str, ...]


def split_interactions(
    interactions: Sequence[Interaction], config: SplitConfig, digests: Mapping[str, str], dataset_uri: str
) -> Split:
    """Decide for each interaction.

    Args:
        interactions: In the dataset's order.
        config: How.
        digests: For each `db_id` the sha256 of its file.
        dataset_uri: For messages.

    Raises:
        DatasetError: A part would be empty, or hold what the other one holds; or the list is not right.
        StorageError: The store that holds the list failed or refused.
    """
    if config.by == "list":
        assert config.list_uri is not None, "settings demand list_uri"
        is_test = _listed(interactions, config.list_uri)
        _refuse_shared(interactions, is_test, digests, config.list_uri)
    elif config.test_fraction == 0:
        is_test = bytearray(len(interactions))
    else:
        names = _database_groups(interactions, digests) if config.by == "db_id" else _same_asked(interactions, digests)
        chosen = _choose(Counter(names), config)
        is_test = bytearray(name in chosen for name in names)
    _refuse_empty(is_test, config, interactions, dataset_uri)
    parts = {(one.db_id, test) for one, test in zip(interactions, is_test, strict=True)}
    return Split(is_test, tuple(sorted(db_id for db_id, test in parts if test and (db_id, 0) in parts)))


def read_list(list_uri: str) -> tuple[str, ...]:
    """The entries of a list: a JSON list of texts, or one a line (blank ones and those that begin with # do not count).

    Raises:
        DatasetError: No such file, or not such a list.
    """
    folder, name = split_uri(list_uri)
    store = open_store(folder)
    if not name or not store.exists(name):
        raise DatasetError(f"{list_uri}: wanted a file of db_ids or question_ids, found none; set split.list_uri")
    try:
        text = store.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{list_uri}: wanted UTF-8, found byte {error.start} is not") from error
    if text.lstrip().startswith("["):
        try:
            entries = json.loads(text)
        except json.JSONDecodeError as error:
            place = f"line {error.lineno}, column {error.colno}"
            raise DatasetError(f"{list_uri}, {place}: malformed JSON: {error.msg}") from error
        if not all(isinstance(entry, str) for entry in entries):
            raise DatasetError(f"{list_uri}: wanted a JSON list of texts, found other things in it")
    else:
        lines = [line.strip() for line in text.splitlines()]
        entries = [line for line in lines if line and not line.startswith("#")]
    if not entries:
        raise DatasetError(f"{list_uri}: wanted db_ids or question_ids, found an empty list")
    return tuple(dict.fromkeys(entries))


_Key = TypeVar("_Key", str, int)


class _Groups(Generic[_Key]):
    """Union-find: things that were joined have the same name, the smallest of them."""

    def __init__(self, keys: Iterable[_Key]) -> None:
        self._above: dict[_Key, _Key] = {key: key for key in keys}

    def name(self, key: _Key) -> _Key:
        while (above := self._above[key]) != key:
            self._above[key] = key = self._above[above]
        return key

    def join(self, one: _Key, other: _Key) -> None:
        low, high = sorted((self.name(one), self.name(other)))
        self._above[high] = low


def _database_groups(interactions: Sequence[Interaction], digests: Mapping[str, str]) -> list[str]:
    """For each interaction the name of its database's group."""
    groups = _Groups(one.db_id for one in interactions)
    first: dict[str, str] = {}
    for db_id in sorted({one.db_id for one in interactions}):
        groups.join(db_id, first.setdefault(digests[db_id], db_id))
    for one, other in _pairs_with_a_question(interactions):
        groups.join(interactions[one].db_id, interactions[other].db_id)
    return [groups.name(one.db_id) for one in interactions]


def _same_asked(interactions: Sequence[Interaction], digests: Mapping[str, str]) -> list[str]:
    """For each interaction the name of its group: those that share a question, or ask the same of the same database."""
    groups = _Groups(range(len(interactions)))
    first: dict[bytes, int] = {}
    for index, one in enumerate(interactions):
        asked = "\0".join([digests[one.db_id], *(turn.question for turn in one.turns)])
        key = hashlib.blake2b(asked.encode(), digest_size=16).digest()
        groups.join(index, first.setdefault(key, index))
    for index, other in _pairs_with_a_question(interactions):
        groups.join(index, other)
    names: dict[int, str] = {}
    for index, one in enumerate(interactions):
        group = groups.name(index)
        # The smallest id and not the first in the file: another order of the file is the same split.
        names[group] = min(names.get(group, one.interaction_id), one.interaction_id)
    return [names[groups.name(index)] for index in range(len(interactions))]


def _pairs_with_a_question(interactions: Sequence[Interaction]) -> Iterator[tuple[int, int]]:
    """Pairs of interactions (their positions) that share a question, each with the first that has it.

    Ids alone would not do: some number their questions anew for each database.
    """
    seen: set[str] = set()
    repeated: set[str] = set()
    for one in interactions:
        for turn in one.turns:
            (repeated if turn.question_id in seen else seen).add(turn.question_id)
    del seen
    first: dict[tuple[str, str], int] = {}
    for index, one in enumerate(interactions):
        for turn in one.turns:
            if turn.question_id in repeated:
                other = first.setdefault((turn.question_id, turn.question), index)
                if other != index:
                    yield index, other


def _choose(sizes: Mapping[str, int], config: SplitConfig) -> set[str]:
    """The groups that are held out: about `test_fraction` of all interactions, and at least one group."""
    order = sorted(sizes, key=lambda name: hashlib.sha256(f"{config.seed}\0{name}".encode()).digest())
    wanted = config.test_fraction * sum(sizes.values())
    chosen: set[str] = set()
    num_chosen = 0
    for name in order:
        is_last = len(chosen) + 1 == len(order)
        if not is_last and abs(num_chosen + sizes[name] - wanted) < abs(num_chosen - wanted):
            chosen.add(name)
            num_chosen += sizes[name]
    if not chosen:
        chosen.add(min(order, key=lambda name: sizes[name]))
    return chosen


def _listed(interactions: Sequence[Interaction], list_uri: str) -> bytearray:
    entries = set(read_list(list_uri))
    db_ids = {one.db_id for one in interactions}
    unknown = entries - db_ids
    is_test = bytearray(len(interactions))
    for index, one in enumerate(interactions):
        named = {turn.question_id for turn in one.turns} & entries
        unknown -= named
        is_test[index] = bool(named) or one.db_id in entries
    if unknown:
        raise DatasetError(
            f"{list_uri}: wanted db_ids or question_ids of the dataset, found {len(unknown)} of {len(entries)} that it "
            f"does not have: {_some(unknown)}"
        )
    return is_test


def _refuse_shared(
    interactions: Sequence[Interaction], is_test: bytearray, digests: Mapping[str, str], list_uri: str
) -> None:
    """Refuse a list that puts a question into both parts, or a database under two names."""
    for index, other in _pairs_with_a_question(interactions):
        if is_test[index] != is_test[other]:
            test, train = (index, other) if is_test[index] else (other, index)
            shared = {turn.question_id for turn in interactions[test].turns}
            ids = [turn.question_id for turn in interactions[train].turns if turn.question_id in shared]
            raise DatasetError(
                f"{list_uri}: wanted each question in one part, found {ids[0]} in both: it is asked over "
                f"{interactions[test].db_id}, which is in the test part, and over {interactions[train].db_id}, which "
                "is not; list both databases or neither"
            )
    whole: dict[str, dict[str, set[int]]] = {}
    for one, test in zip(interactions, is_test, strict=True):
        whole.setdefault(digests[one.db_id], {}).setdefault(one.db_id, set()).add(test)
    for names in whole.values():
        test_names = [db_id for db_id, parts in names.items() if parts == {1}]
        train_names = [db_id for db_id, parts in names.items() if parts == {0}]
        if test_names and train_names:
            raise DatasetError(
                f"{list_uri}: wanted each database in one part, found {test_names[0]} in the test part and "
                f"{train_names[0]}, whose file is the same, in the other; list both or neither"
            )


def _refuse_empty(
    is_test: bytearray, config: SplitConfig, interactions: Sequence[Interaction], dataset_uri: str
) -> None:
    num_test = sum(is_test)
    if num_test == len(is_test):
        if config.by == "list":
            raise DatasetError(f"{config.list_uri}: names the whole dataset, nothing is left for training")
        num_databases = len({one.db_id for one in interactions})
        what, hint = f"one group of {len(is_test)} interactions", "split.test_fraction: 0 holds none out"
        if config.by == "db_id":
            what = f"{num_databases} that share questions or files" if num_databases > 1 else "1"
            what, hint = f"{what} database(s)", "split.by: interaction, or split.test_fraction: 0"
        raise DatasetError(f"{dataset_uri}: wanted two parts, split by {config.by}, found {what}; use {hint}")
    assert num_test or config.test_fraction == 0 or config.by == "list", "a group is always chosen"


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    rest = len(ordered) - _NUM_NAMED
    return ", ".join(ordered[:_NUM_NAMED]) + (f" and {rest} more" if rest > 0 else "")
