"""The split holds together what belongs together, whatever the order of the file."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2s.errors import DatasetError
from t2s.interaction import Interaction, Turn
from t2s.prepare_config import SplitConfig
from t2s.training.split import Split, split_interactions


def interaction(db_id: str, *questions: tuple[str, str]) -> Interaction:
    return Interaction(
        db_id=db_id,
        turns=tuple(Turn(question_id=key, question=text, gold_sql="select 1") for key, text in questions),
    )


def some(sizes: dict[str, int]) -> list[Interaction]:
    return [
        interaction(db_id, (f"{db_id}-{index}-0", f"第{index}问"), (f"{db_id}-{index}-1", "还有呢？"))
        for db_id, size in sizes.items()
        for index in range(size)
    ]


def split(interactions: Sequence[Interaction], digests: dict[str, str] | None = None, **options: Any) -> Split:
    digests = {one.db_id: f"bytes of {one.db_id}" for one in interactions} | (digests or {})
    return split_interactions(interactions, SplitConfig.model_validate(options), digests, "data.json")


def databases(interactions: Sequence[Interaction], found: Split, part: int) -> set[str]:
    return {one.db_id for one, test in zip(interactions, found.is_test, strict=True) if test == part}


EQUAL = {f"库{number}": 10 for number in range(10)}


def test_by_database_seven_of_ten_equal_databases_are_for_training() -> None:
    found = split(some(EQUAL))
    assert sum(found.is_test) == 30
    assert not databases(some(EQUAL), found, 0) & databases(some(EQUAL), found, 1)
    assert found.databases_in_both == ()


def test_the_split_is_this_one_on_every_machine_and_version() -> None:
    # Python's hash() or random would make it another one on another day.
    assert databases(some(EQUAL), split(some(EQUAL)), 1) == {"库0", "库4", "库7"}
    assert databases(some(EQUAL), split(some(EQUAL), seed=1), 1) == {"库0", "库2", "库4"}


@pytest.mark.parametrize("by", ["db_id", "interaction"])
def test_the_order_of_the_file_does_not_matter(by: str) -> None:
    interactions = some({"甲": 7, "乙": 3, "丙": 12, "丁": 5, "戊": 9})
    interactions += [interaction(db_id, (f"q{number}", "哪个？")) for number in range(20) for db_id in ("甲", "乙")]
    wanted = dict(zip((one.interaction_id for one in interactions), split(interactions, by=by).is_test, strict=True))
    random.Random(3).shuffle(interactions)
    found = split(interactions, by=by)
    assert dict(zip((one.interaction_id for one in interactions), found.is_test, strict=True)) == wanted


@given(st.dictionaries(st.text("甲乙丙丁ab", min_size=1, max_size=3), st.integers(1, 9), min_size=2), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_both_parts_have_something_and_the_test_part_is_as_near_its_size_as_one_database_lets_it(
    sizes: dict[str, int], seed: int
) -> None:
    interactions = some(sizes)
    found = split(interactions, seed=seed)
    num_test = sum(found.is_test)
    assert 0 < num_test < len(interactions)
    assert abs(num_test - 0.3 * len(interactions)) <= max(sizes.values())


def test_databases_that_share_a_question_go_the_same_way() -> None:
    shared = (("q1", "有几个？"), ("q2", "最大的呢？"))
    for seed in range(20):
        interactions = [*some(EQUAL), interaction("库3", *shared), interaction("库7", *shared)]
        found = split(interactions, seed=seed)
        together = [databases(interactions, found, part) & {"库3", "库7"} for part in (0, 1)]
        assert sorted(map(len, together)) == [0, 2]


def test_ids_that_begin_anew_for_each_database_tie_nothing_together() -> None:
    interactions = [interaction(f"库{n}", ("1", f"{n}号有几个？"), ("2", f"{n}号最大的呢？")) for n in range(10)]
    assert sum(split(interactions).is_test) == 3


def test_a_database_under_two_names_goes_one_way() -> None:
    for seed in range(20):
        interactions = some(EQUAL)
        found = split(interactions, {"库1": "the same bytes", "库2": "the same bytes"}, seed=seed)
        assert sorted(len(databases(interactions, found, part) & {"库1", "库2"}) for part in (0, 1)) == [0, 2]


def test_by_interaction_parts_share_databases_and_say_so() -> None:
    found = split(some(EQUAL), by="interaction")
    assert sum(found.is_test) == 30
    assert len(found.databases_in_both) > 5


def test_by_interaction_what_is_asked_twice_and_what_is_asked_over_two_databases_stays_together() -> None:
    for seed in range(20):
        same = [("甲-x", "有几个？"), ("甲-y", "有几个？")]
        interactions = [*some({"甲": 8, "乙": 8}), *(interaction("甲", one) for one in same)]
        interactions += [interaction(db_id, ("q", "哪个最大？")) for db_id in ("甲", "乙")]
        is_test = split(interactions, by="interaction", seed=seed).is_test
        assert is_test[-4] == is_test[-3] and is_test[-2] == is_test[-1]


def test_a_fraction_of_zero_holds_nothing_out() -> None:
    assert not any(split(some({"甲": 3}), test_fraction=0).is_test)


@pytest.mark.parametrize(
    ("interactions", "options", "said"),
    [
        (
            some({"甲": 5}),
            {},
            r"data\.json: wanted two parts, split by db_id, found 1 database.*split\.by: interaction",
        ),
        (
            [interaction(db_id, ("q", "有几个？")) for db_id in ("甲", "乙", "丙")],
            {},
            "found 3 that share questions or files database",
        ),
        ([interaction("甲", ("q", "有几个？"))], {"by": "interaction"}, "found one group of 1 interactions"),
    ],
)
def test_a_split_that_leaves_a_part_empty_is_refused(
    interactions: list[Interaction], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(DatasetError, match=said):
        split(interactions, **options)


@pytest.fixture
def listed(tmp_path: Path) -> Any:
    """Splits by a list with the given content."""

    def call(interactions: Sequence[Interaction], text: str, digests: dict[str, str] | None = None) -> Split:
        path = tmp_path / "list.txt"
        path.write_text(text, encoding="utf-8")
        return split(interactions, digests, by="list", list_uri=str(path))

    return call


@pytest.mark.parametrize("text", ["库2\n\n# 注释\n库5\n", '["库2", "库5"]', "\ufeff库2\r\n库5"])
def test_a_list_names_the_databases_of_the_test_part(listed: Any, text: str) -> None:
    interactions = some(EQUAL)
    assert databases(interactions, listed(interactions, text), 1) == {"库2", "库5"}


def test_a_list_of_question_ids_takes_their_whole_interactions(listed: Any) -> None:
    interactions = some({"甲": 4, "乙": 4})
    found = listed(interactions, "甲-1-1\n乙-3-0\n")
    assert [one.interaction_id for one, test in zip(interactions, found.is_test, strict=True) if test] == [
        "甲-1-0@甲",
        "乙-3-0@乙",
    ]
    assert found.databases_in_both == ("乙", "甲")


SHARED = [*some({"甲": 2, "乙": 2}), *(interaction(db_id, ("q", "哪个最大？")) for db_id in ("甲", "乙"))]


@pytest.mark.parametrize(
    ("interactions", "text", "said"),
    [
        (some(EQUAL), "库2\n库11\n库2-1-99", r"found 2 of 3 that it does not have: 库11, 库2-1-99"),
        (some(EQUAL), "# nothing\n", "found an empty list"),
        (some(EQUAL), '["库2", 5]', "wanted a JSON list of texts"),
        (some(EQUAL), '["库2"', r"list\.txt, line 1, column 6: malformed JSON"),
        (some({"甲": 2}), "甲", "names the whole dataset, nothing is left for training"),
        (SHARED, "甲", r"found q in both: it is asked over 甲.*and over 乙"),
    ],
)
def test_a_list_that_is_not_right_is_refused(
    listed: Any, interactions: list[Interaction], text: str, said: str
) -> None:
    with pytest.raises(DatasetError, match=said):
        listed(interactions, text)


def test_a_list_with_one_of_two_names_of_a_database_is_refused(listed: Any) -> None:
    with pytest.raises(DatasetError, match="found 库1 in the test part and 库2, whose file is the same"):
        listed(some(EQUAL), "库1", {"库1": "the same bytes", "库2": "the same bytes"})


def test_a_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"wanted a file of db_ids or question_ids, found none; set split\.list_uri"):
        split(some(EQUAL), by="list", list_uri=str(tmp_path / "no.txt"))


def test_chase_splits_near_seven_to_three_with_no_database_in_both(shared: Path) -> None:
    entries = json.loads((shared / "data" / "chase_c" / "train_data" / "train.json").read_text(encoding="utf-8"))
    interactions = [
        interaction(entry["db_list"][0], *((turn["question_id"], turn["question"]) for turn in entry["interaction"]))
        for entry in entries
    ]
    for seed in range(5):
        found = split(interactions, seed=seed)
        assert 0.28 < sum(found.is_test) / len(interactions) < 0.32
        assert found.databases_in_both == ()
