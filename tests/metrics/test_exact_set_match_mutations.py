"""Chinese gold, changed with a known effect: official exact set match says what the change means."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

import pytest

from scripts.make_sample import build_sample
from t2s.dataset.sqlite_schema import read_schema
from t2s.metrics.exact_set_match import exact_set_match
from t2s.sql.official.schema import OfficialSchema
from tests.metrics.gold_mutations import CHANGING, KEEPING, Gold, Mutation, cut, read_database, select_a_joined_column

SEED = 3

Changeable = tuple[Gold, OfficialSchema]


@cache
def schema_of(db_path: Path) -> OfficialSchema:
    return OfficialSchema.from_schema(read_schema(db_path, db_path.stem, num_examples=0))


read_database = cache(read_database)


def golds(path: Path) -> Iterator[Changeable]:
    """The different golds of a file that the official grammar takes."""
    for entry in json.loads(path.read_text(encoding="utf-8")):
        db_path = path.parent / "database" / f"{entry['db_list'][0]}.sqlite"
        for sql in dict.fromkeys(turn["query"] for turn in entry["interaction"]):
            if exact_set_match(sql, sql, schema_of(db_path)).em is not None:
                yield cut(sql, read_database(db_path)), schema_of(db_path)


@pytest.fixture(scope="module")
def sample_golds(tmp_path_factory: pytest.TempPathFactory) -> list[Changeable]:
    folder = tmp_path_factory.mktemp("made") / "sample"
    build_sample(folder)
    found = [
        *golds(folder / "train_data/train.json"),
        *golds(folder / "dev_data/dev_gold.json"),
        *golds(folder / "test_data/test_gold.json"),
    ]
    return Random(SEED).sample(found, 800)


@pytest.fixture(scope="module")
def chase_golds() -> list[Changeable]:
    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "chase_c"
    if not folder.is_dir():
        pytest.skip("needs the data beside the checkout (../shared)")
    found = [*golds(folder / "train_data/train.json"), *golds(folder / "dev_data/dev_gold.json")]
    return Random(SEED).sample(found, 800)


def misjudged(golds: list[Changeable], mutation: Mutation, em: bool) -> tuple[int, list[str]]:
    """How many golds the change applies to, and those with another verdict than expected, one way or the other."""
    random = Random(f"{SEED} {mutation.__name__}")
    num_changed, wrong = 0, []
    for gold, schema in golds:
        changed = mutation(gold, random)
        if changed is None:
            continue
        num_changed += 1
        for one, other in ((gold.sql, changed), (changed, gold.sql)):
            match = exact_set_match(one, other, schema)
            if match.em is not em or match.predicted_rejected is not None:
                wrong.append(f"{match}\n  {one}\n  {other}")
    return num_changed, wrong


@pytest.mark.parametrize("mutation", [*KEEPING, *CHANGING], ids=lambda mutation: mutation.__name__)
def test_the_samples_gold_changed_is_judged_by_what_changed(mutation: Mutation, sample_golds: list[Changeable]) -> None:
    num_changed, wrong = misjudged(sample_golds, mutation, mutation in KEEPING)
    assert wrong == []
    assert num_changed >= 20


@pytest.mark.parametrize("mutation", [*KEEPING, *CHANGING], ids=lambda mutation: mutation.__name__)
def test_chase_gold_changed_is_judged_by_what_changed(mutation: Mutation, chase_golds: list[Changeable]) -> None:
    num_changed, wrong = misjudged(chase_golds, mutation, mutation in KEEPING)
    assert wrong == []
    assert num_changed >= 20


def joined_columns(golds: list[Changeable]) -> tuple[int, int]:
    """How many golds have joined columns that a key ties, and that none does; each is judged so."""
    seen = {True: 0, False: 0}
    for gold, schema in golds:
        found = select_a_joined_column(gold)
        if found is not None:
            one, other, tied = found
            seen[tied] += 1
            assert exact_set_match(one, other, schema).em is tied, (one, other)
    return seen[True], seen[False]


def test_joined_columns_of_the_sample_are_the_same_where_a_key_ties_them(sample_golds: list[Changeable]) -> None:
    num_tied, _ = joined_columns(sample_golds)
    assert num_tied >= 20


def test_joined_columns_of_chase_are_the_same_where_a_key_ties_them(chase_golds: list[Changeable]) -> None:
    num_tied, num_untied = joined_columns(chase_golds)
    assert num_tied >= 20
    assert num_untied >= 5
