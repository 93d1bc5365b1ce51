"""McNemar's exact test: are two runs, scored on the same questions, equally good?

    question   base   other
    1          right  right
    2          wrong  right
    3          wrong  right        only_base 0, only_other 3: p = 2 · (1/2)³ = 0.25
    4          wrong  right

Questions on which both are right, or both wrong, say nothing. Of the others each run should win half, if the two are
equally good; `p_value` is how likely a split at least as uneven is then. McNemar 1947, "Note on the sampling error of
the difference between correlated proportions or percentages"; here with the binomial distribution itself, two-sided
(the exact conditional test of Fagerland, Lydersen and Laake 2013, "The McNemar test for binary matched-pairs data"),
which never claims more than it may.

The questions must be independent of each other. Turns of an interaction are not, so for turns p comes out too small;
for interactions it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class McNemar(NamedTuple):
    """The table of a pair of runs, and what the test says of it.

    Attributes:
        only_a, only_b: Where one of the two is right.
        both, neither: Where both are, or none is.
        p_value: 0..1; 1.0 where there is no difference.
    """

    only_a: int
    only_b: int
    both: int
    neither: int
    p_value: float


def mcnemar(a: Sequence[bool], b: Sequence[bool]) -> McNemar:
    """Compare two runs.

    Args:
        a: Whether each question is right in one run.
        b: The same of the other run, in the same order.
    """
    assert len(a) == len(b), f"{len(a)} and {len(b)} questions: they cannot be the same"
    pairs = list(zip(a, b, strict=True))
    only_a = sum(one and not other for one, other in pairs)
    only_b = sum(other and not one for one, other in pairs)
    both = sum(one and other for one, other in pairs)
    return McNemar(only_a, only_b, both, len(pairs) - only_a - only_b - both, two_sided_p(only_a, only_b))


def two_sided_p(one: int, other: int) -> float:
    """How likely a fair coin, thrown `one + other` times, falls at least as unevenly.

    In whole numbers to the end: 10,000 throws take 10 ms, and a p below 1e-308 is 0.0.
    """
    num_throws, fewer = one + other, min(one, other)
    ways = total = 1
    for heads in range(1, fewer + 1):
        ways = ways * (num_throws - heads + 1) // heads
        total += ways
    return min(1.0, float(2 * total / 2**num_throws))
