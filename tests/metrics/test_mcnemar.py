from __future__ import annotations

import itertools
import time
from fractions import Fraction

import pytest

from t2s.metrics.mcnemar import mcnemar, two_sided_p


def test_questions_are_counted_by_who_is_right() -> None:
    base = [True, False, False, False, True, False]
    other = [True, True, True, True, False, False]
    assert mcnemar(base, other) == (1, 3, 1, 1, 0.625)
    assert mcnemar(other, base) == (3, 1, 1, 1, 0.625)
    assert mcnemar([], []) == (0, 0, 0, 0, 1.0)


@pytest.mark.parametrize(
    ("one", "other", "p"),
    [
        (0, 0, 1.0),
        (0, 1, 1.0),
        (0, 3, 0.25),
        (0, 5, 0.0625),
        (0, 6, 0.03125),
        (1, 9, 2 * (1 + 10) / 1024),
        (5, 5, 1.0),
        (10, 20, 0.09873714670538902),  # as scipy.stats.binomtest(10, 30).pvalue
    ],
)
def test_p_is_that_of_a_fair_coin(one: int, other: int, p: float) -> None:
    assert two_sided_p(one, other) == pytest.approx(p, rel=1e-12)
    assert two_sided_p(other, one) == two_sided_p(one, other)


@pytest.mark.parametrize("num_throws", [1, 2, 5, 8, 11])
def test_p_is_the_share_of_all_throws_that_fall_at_least_as_unevenly(num_throws: int) -> None:
    splits = [sum(throws) for throws in itertools.product((0, 1), repeat=num_throws)]
    for one in range(num_throws + 1):
        fewer = min(one, num_throws - one)
        as_uneven = sum(min(heads, num_throws - heads) <= fewer for heads in splits)
        assert two_sided_p(one, num_throws - one) == float(Fraction(as_uneven, 2**num_throws))


def test_ten_thousand_differing_questions_are_no_trouble() -> None:
    started = time.perf_counter()
    assert two_sided_p(5_000, 5_000) == 1.0
    # The normal approximation with its correction for continuity: z = (200 - 1) / 100, p = 0.046593.
    assert two_sided_p(4_900, 5_100) == pytest.approx(0.046593, abs=2e-5)
    assert two_sided_p(4_000, 6_000) == pytest.approx(0.0, abs=1e-80)
    assert two_sided_p(0, 10_000) == 0.0
    assert time.perf_counter() - started < 5  # 0.03 s on one idle core
