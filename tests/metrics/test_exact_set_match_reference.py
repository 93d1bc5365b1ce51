"""Official exact set match on real data: as the official evaluator says, question by question, and gold against itself.

official_differences.json lists, by folder, each question that differs and why: {"question_id": "reason"}. It is checked
exactly: a new difference fails, and so does one that is no more.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from scripts.make_sample import build_sample
from t2s.dataset.sqlite_schema import read_schema
from t2s.metrics.exact_set_match import exact_set_match
from t2s.metrics.interaction_match import interaction_match
from t2s.sql.official.schema import OfficialSchema

DIFFERENCES: dict[str, dict[str, str]] = json.loads(
    Path(__file__).with_name("official_differences.json").read_text(encoding="utf-8")
)
FOLDERS = ("spider_dev__dail_gpt4", "spider_dev__chatgpt", "sparc_dev__chatgpt")


class Gold(NamedTuple):
    """A question's gold."""

    question_id: str
    sql: str
    db_path: Path


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@cache
def schema_of(db_path: Path) -> OfficialSchema:
    return OfficialSchema.from_schema(read_schema(db_path, db_path.stem, num_examples=0))


def interactions(gold: Path, databases: Path) -> Iterator[list[Gold]]:
    for entry in load(gold):
        db_path = databases / f"{entry['db_list'][0]}.sqlite"
        yield [Gold(turn["question_id"], turn["query"], db_path) for turn in entry["interaction"]]


@pytest.mark.parametrize("folder", FOLDERS)
def test_verdicts_and_levels_are_the_official_ones(folder: str, shared: Path) -> None:
    where = shared / "reference" / folder
    expected = load(where / "expected.json")
    predicted = {turn["question_id"]: turn["query"] for turns in load(where / "predictions.json") for turn in turns}
    verdicts = []
    differences = set()
    for turns in interactions(where / "gold.json", shared / "reference" / "databases"):
        found = {
            turn.question_id: exact_set_match(turn.sql, predicted[turn.question_id], schema_of(turn.db_path))
            for turn in turns
        }
        for question_id, match in found.items():
            wanted = expected["per_question"][question_id]
            if (match.em, match.hardness) != (bool(wanted["em"]), wanted["hardness"]):
                differences.add(question_id)
        verdicts.append([match.em for match in found.values()])
    assert sum(map(len, verdicts)) == len(expected["per_question"]) == expected["num_turns"]
    assert differences == set(DIFFERENCES[folder])
    if not differences:
        right = sum(sum(map(bool, turns)) for turns in verdicts)
        assert right / expected["num_turns"] == pytest.approx(expected["exact_set_match"], abs=1e-12)
        num_right, num_interactions = interaction_match(verdicts)
        assert num_right / num_interactions == pytest.approx(expected["interaction_match_em"], abs=1e-12)


def test_at_most_one_question_in_two_hundred_differs(shared: Path) -> None:
    assert set(DIFFERENCES) == set(FOLDERS)
    for folder, differences in DIFFERENCES.items():
        num_turns = load(shared / "reference" / folder / "expected.json")["num_turns"]
        assert len(differences) <= 0.005 * num_turns
        assert all(differences.values())


def rejections(golds: Iterator[list[Gold]]) -> tuple[int, Counter[str]]:
    """How many golds there are, and why the grammar does not take the others; each that it takes must match itself."""
    num_golds, reasons = 0, Counter[str]()
    for turns in golds:
        for turn in turns:
            match = exact_set_match(turn.sql, turn.sql, schema_of(turn.db_path))
            num_golds += 1
            if match.gold_rejected:
                reasons[match.gold_rejected] += 1
                assert match.em is None and match.hardness == "unknown"
            else:
                assert match.em is True and match.hardness != "unknown", turn.sql
    return num_golds, reasons


@pytest.mark.parametrize("folder", FOLDERS)
def test_reference_gold_matches_itself(folder: str, shared: Path) -> None:
    num_golds, reasons = rejections(
        interactions(shared / "reference" / folder / "gold.json", shared / "reference" / "databases")
    )
    assert num_golds > 900
    assert reasons == {}


@pytest.mark.parametrize(
    ("gold", "num_golds"),
    [("train_data/train.json", 2774), ("dev_data/dev_gold.json", 863)],
)
def test_chase_gold_matches_itself(gold: str, num_golds: int, shared: Path) -> None:
    path = shared / "data" / "chase_c" / gold
    assert rejections(interactions(path, path.parent / "database")) == (num_golds, {})


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "sample"
    build_sample(folder)
    return folder


def test_the_samples_gold_matches_itself_or_says_what_the_official_grammar_lacks(sample: Path) -> None:
    reasons = Counter[str]()
    num_golds = 0
    for gold in ("train_data/train.json", "dev_data/dev_gold.json", "test_data/test_gold.json"):
        found, why = rejections(interactions(sample / gold, (sample / gold).parent / "database"))
        num_golds += found
        reasons += why
    assert num_golds == 2221
    assert reasons == {"IS NULL": 43, "<>": 38, "list of values": 27, "OFFSET": 9, "alias of two tables": 4}
