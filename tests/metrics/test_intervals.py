from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from t2s.metrics.intervals import bootstrap_interval, bootstrap_intervals

Floats = NDArray[np.float64]


def floats(*numbers: float) -> Floats:
    return np.array(numbers, dtype=np.float64)


def test_an_interval_is_that_of_all_draws_of_interactions() -> None:
    sums, counts = floats(3, 1, 2, 0, 4), floats(4, 3, 2, 3, 4)
    draws = [list(draw) for draw in itertools.product(range(5), repeat=5)]
    shares = [sums[draw].sum() / counts[draw].sum() for draw in draws]
    low, high = np.percentile(shares, (2.5, 97.5))
    # 1,000 draws find the quantile of all 3,125 up to the next steps between them.
    interval = bootstrap_interval(sums, counts)
    assert interval is not None
    assert interval[0] == pytest.approx(low, abs=0.05)
    assert interval[1] == pytest.approx(high, abs=0.05)


def test_turns_that_fall_together_give_a_wider_interval_than_turns_alone() -> None:
    generator = np.random.default_rng(5)
    right = generator.random(200) < 0.6
    whole = bootstrap_interval(
        floats(*5.0 * right), np.full(200, 5.0)
    )  # 200 interactions, all five turns right or none
    alone = bootstrap_interval(np.repeat(right, 5).astype(np.float64), np.ones(1_000))
    assert whole is not None and alone is not None
    ratio = (whole[1] - whole[0]) / (alone[1] - alone[0])
    assert ratio == pytest.approx(5**0.5, rel=0.1)


def test_about_95_of_100_intervals_hold_the_truth() -> None:
    generator = np.random.default_rng(11)
    counts = np.full((300, 150), 3.0)
    sums = (3.0 * (generator.random((300, 150)) < 0.7)).astype(np.float64)
    inside = [low <= 0.7 <= high for low, high in filter(None, bootstrap_intervals(sums, counts))]
    assert len(inside) == 300
    assert 0.91 <= sum(inside) / 300 <= 0.98


def test_equal_figures_have_equal_intervals_alone_and_among_others_and_every_time() -> None:
    generator = np.random.default_rng(3)
    counts = generator.integers(0, 5, (7, 60)).astype(np.float64)
    sums = counts * generator.random((7, 60))
    together = bootstrap_intervals(sums, counts)
    assert together == [bootstrap_interval(*rows) for rows in zip(sums, counts, strict=True)]
    assert together == bootstrap_intervals(sums, counts)


def test_the_draws_are_the_same_on_every_machine() -> None:
    sums, counts = (np.arange(40) % 4).astype(np.float64), np.full(40, 4.0)
    assert bootstrap_interval(sums, counts) == (0.29375, 0.4625)


def test_a_difference_of_two_runs_may_lie_below_nothing() -> None:
    interval = bootstrap_interval(floats(-1, 0, -2, 0, 1, -1, -1, 0), np.full(8, 2.0))
    assert interval is not None
    assert interval[0] < interval[1] < 0.1 and interval[0] < -0.3


@pytest.mark.parametrize(
    ("sums", "counts", "expected"),
    [
        (floats(3), floats(4), None),
        (floats(3, 0, 0), floats(4, 0, 0), None),
        (floats(0, 0), floats(0, 0), None),
        (floats(), floats(), None),
        (floats(4, 2), floats(4, 2), (1.0, 1.0)),
        (floats(0, 0, 0), floats(4, 2, 0), (0.0, 0.0)),
        (floats(1, 0), floats(1, 1), (0.0, 1.0)),
    ],
)
def test_one_interaction_says_nothing_and_equal_ones_one_point(
    sums: Floats, counts: Floats, expected: tuple[float, float] | None
) -> None:
    assert bootstrap_interval(sums, counts) == expected


def test_a_group_of_two_among_thousands_has_an_interval() -> None:
    sums, counts = np.zeros(5_000), np.zeros(5_000)
    counts[[17, 4_000]] = 3
    sums[17] = 3
    assert bootstrap_interval(sums, counts) == (0.0, 1.0)


def test_all_groups_of_a_large_report_take_a_moment() -> None:
    generator = np.random.default_rng(0)
    counts = generator.integers(1, 6, (1, 10_000)) * (generator.random((20 * 9, 10_000)) < 0.2)
    sums = counts * (generator.random((20 * 9, 10_000)) < 0.7)
    started = time.perf_counter()
    bootstrap_intervals(sums.astype(np.float64), counts.astype(np.float64))
    assert time.perf_counter() - started < 60  # 0.5 s on two idle cores
