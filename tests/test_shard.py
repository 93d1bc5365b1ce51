from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.interaction import Interaction, Turn
from t2s.shard import Shard, cut, plan_order


def make(db_id: str, first_question: int, num_turns: int) -> Interaction:
    turns = tuple(Turn(question_id=f"q{first_question}-{i}", question="？") for i in range(num_turns))
    return Interaction(db_id=db_id, turns=turns)


interaction_lists = st.lists(st.tuples(st.sampled_from("甲乙丙丁"), st.integers(1, 6)), min_size=1, max_size=60).map(
    lambda items: [make(db_id, number, num_turns) for number, (db_id, num_turns) in enumerate(items)]
)


@given(interaction_lists)
def test_plan_order_keeps_databases_together_and_the_datasets_order_inside(interactions: list[Interaction]) -> None:
    ordered = plan_order(interactions)
    assert sorted(one.interaction_id for one in ordered) == sorted(one.interaction_id for one in interactions)
    databases = [one.db_id for one in ordered]
    changes = sum(a != b for a, b in itertools.pairwise(databases))
    assert changes == len(set(databases)) - 1
    for db_id in set(databases):
        assert [one for one in ordered if one.db_id == db_id] == [one for one in interactions if one.db_id == db_id]


@given(interaction_lists, st.integers(1, 30))
def test_every_interaction_is_in_one_shard_and_shards_are_as_long_as_asked(
    interactions: list[Interaction], shard_turns: int
) -> None:
    shards = cut(interactions, shard_turns)
    assert [one for shard in shards for one in shard.interactions] == interactions
    for shard, following in itertools.pairwise(shards):
        ends_with_its_database = shard.interactions[-1].db_id != following.interactions[0].db_id
        least = 0.75 * shard_turns if ends_with_its_database else shard_turns
        assert least <= shard.num_turns < shard_turns + 6
    assert all(shard.name == f"shard-{i:05d}-of-{len(shards):05d}" for i, shard in enumerate(shards))


def test_a_shard_ends_with_its_database_where_that_is_near() -> None:
    interactions = [make(db_id, number, 4) for db_id in "甲乙丙" for number in range(10)]
    assert [shard.num_turns for shard in cut(interactions, 50)] == [40, 40, 40], "and not 52, 52, 16"
    assert [shard.num_turns for shard in cut(interactions, 56)] == [56, 56, 8], "40 is too early"


def test_no_interactions_are_no_shards() -> None:
    assert cut([], 10) == []


def test_halves_hold_the_whole_down_to_single_interactions() -> None:
    interactions = tuple(make("甲", number, 2) for number in range(5))
    pieces = [Shard(name="shard-00000-of-00001", interactions=interactions)]
    while any(len(piece.interactions) > 1 for piece in pieces):
        pieces = [half for p in pieces for half in (p.halves() if len(p.interactions) > 1 else (p,))]
    assert tuple(one for piece in pieces for one in piece.interactions) == interactions
    assert len({piece.name for piece in pieces}) == 5
    with pytest.raises(AssertionError):
        pieces[0].halves()
