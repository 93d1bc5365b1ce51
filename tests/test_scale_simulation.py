"""The simulation of scale-out: nothing is lost or done twice, and its clock tells what it should."""

from __future__ import annotations

import asyncio

import pytest

from scripts.bench.scale_sets import engine_maker, make_set, speeds_of
from scripts.bench.scale_simulation import RELOAD_S, Outcome, Pool, table
from t2s.gpu_plan.pace import Work
from t2s.interaction import Interaction
from t2s.shard import cut, plan_order

MAKE_ENGINE = engine_maker("H100", {"max_num_seqs": 512})
NEVER = float("inf")


@pytest.fixture(scope="module", params=[False, True], ids=["even", "skewed"])
def test_set(request: pytest.FixtureRequest) -> tuple[list[Interaction], dict[str, Work]]:
    return make_set(1500, skewed=request.param)


def run(
    test_set: tuple[list[Interaction], dict[str, Work]], speeds: list[float], losses: list[float] | None = None
) -> Outcome:
    interactions, works = test_set
    shards = cut(plan_order(interactions), 100)
    return asyncio.run(Pool(shards, works, speeds, MAKE_ENGINE, 8, losses or []).run())  # it checks every commit


def test_four_engines_take_a_good_quarter_of_the_time_of_one(
    test_set: tuple[list[Interaction], dict[str, Work]],
) -> None:
    one, four = run(test_set, [1.0]), run(test_set, [1.0] * 4)
    assert 1 / 4 < four.seconds / one.seconds < 1 / 2.5
    assert one.answered == four.answered == 1500


def test_an_engine_of_half_the_speed_takes_twice_as_long(test_set: tuple[list[Interaction], dict[str, Work]]) -> None:
    assert run(test_set, [0.5]).seconds == pytest.approx(2 * run(test_set, [1.0]).seconds)


def test_a_lost_node_costs_its_next_start_and_what_it_had_not_committed(
    test_set: tuple[list[Interaction], dict[str, Work]],
) -> None:
    whole = run(test_set, [1.0, 1.0])
    broken = run(test_set, [1.0, 1.0], [whole.seconds / 2, NEVER])
    assert broken.lost == 1
    assert whole.seconds / 2 + RELOAD_S < broken.seconds < whole.seconds * 2 + RELOAD_S
    assert broken.answered == 1500, "what was answered twice is committed once"


def test_stragglers_are_one_in_twenty_and_at_least_one() -> None:
    assert [speeds_of(number, "stragglers", 0).count(0.5) for number in (1, 2, 8, 64)] == [0, 1, 1, 3]
    assert speeds_of(64, "skewed", 0) == [1.0] * 64


def test_the_table_has_a_column_for_each_number_of_gpus() -> None:
    rows = [
        {"scenario": "even", "gpus": number, "efficiency": 0.9, "seconds": 100.0 / number} for number in (1, 8)
    ]  # fmt: skip
    assert table(rows).split() == ["1", "8", "even", "0.900", "(100", "s)", "0.900", "(12", "s)"]
