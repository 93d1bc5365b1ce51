"""95 % bootstrap intervals over interactions.

    interaction     right turns (sums)   turns (counts)
    A               3                    4
    B               1                    3
    C               2                    2
    share 6 of 9 = 0.667; 1,000 times three interactions are drawn with repetition (A A C, B A C, …), each draw has a
    share of its own, and 95 % of these lie in the interval

Turns of an interaction stand or fall together (turn 3 is asked on the strength of turn 2), so interactions are drawn,
whole, not turns: the cluster bootstrap of Field and Welsh 2007, "Bootstrapping clustered data", section 3; the interval
is the percentile one of Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13. Two of its limits:
where every turn is right (or wrong) it is one point, however few turns there are, and for less than some twenty
interactions it is too narrow.

The same seed is used every time: equal verdicts give equal intervals, on every machine. All groups of a report use the
same draws, so a group (a database, the fourth turns) is drawn with the frequency that its interactions have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Interval = tuple[float, float]

NUM_RESAMPLES = 1_000
LEVEL_PERCENT = 95
_SEED = 20_040_101
_DRAWS_AT_ONCE = 1_000_000  # 8 MB of positions, 8 MB of weights
_DIGITS = 6  # sums of fractions (BLEU) may differ in the sixteenth from one processor to another


def bootstrap_intervals(sums: Floats, counts: Floats) -> list[Interval | None]:
    """Compute an interval for each of several means, all over the same interactions.

    Args:
        sums: Figures × interactions: what the members of an interaction (turns; or itself, for the interaction match)
            add up to. A difference of two runs may be below 0.
        counts: The same shape: how many members it has; 0 where the figure is not about it.

    Returns:
        For each figure (low, high), to six digits; None where fewer than two interactions have a member, since one
        interaction says nothing of how others vary.
    """
    import numpy as np

    num_figures, num_interactions = sums.shape
    enough = (counts > 0).sum(axis=1) >= 2
    if not enough.any():
        return [None] * num_figures
    kept_sums, kept_counts = sums[enough].T, counts[enough].T
    generator = np.random.Generator(np.random.PCG64(_SEED))
    means = np.full((NUM_RESAMPLES, kept_sums.shape[1]), np.nan)
    at_once = max(1, _DRAWS_AT_ONCE // num_interactions)
    for start in range(0, NUM_RESAMPLES, at_once):
        num_rows = min(at_once, NUM_RESAMPLES - start)
        drawn = generator.integers(0, num_interactions, size=(num_rows, num_interactions))
        drawn += np.arange(num_rows)[:, None] * num_interactions
        weights = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
        num_members = weights @ kept_counts
        rows = means[start : start + num_rows]
        np.divide(weights @ kept_sums, num_members, out=rows, where=num_members > 0)
    tail = (100 - LEVEL_PERCENT) / 2
    # A draw without any member of a small group has no mean and is left out.
    low, high = np.nanpercentile(means, (tail, 100 - tail), axis=0)
    found = iter(zip(low.tolist(), high.tolist(), strict=True))
    return [_rounded(*next(found)) if one else None for one in enough.tolist()]


def bootstrap_interval(sums: Floats, counts: Floats) -> Interval | None:
    """Compute one interval; arrays of one number for each interaction, else as `bootstrap_intervals`."""
    return bootstrap_intervals(sums[None, :], counts[None, :])[0]


def _rounded(low: float, high: float) -> Interval:
    return round(low, _DIGITS), round(high, _DIGITS)
