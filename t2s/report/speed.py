"""What answering took, summed up from the measurements of the turns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from t2s.prediction import Measurement
from t2s.report.record import TURN_GROUPS
from t2s.report.turn_detail import TurnDetail

MAX_BINS = 30


class Bin(NamedTuple):
    """Turns with a latency of `low` up to `high` seconds; the last bin holds all above `low` too."""

    low: float
    high: float
    num_turns: int
    is_last: bool


class TurnTokens(NamedTuple):
    """Mean prompt tokens of the turns of a group, and how many of these came from the cache."""

    group: str
    num_turns: int
    prompt: float
    cached: float


class Speed(NamedTuple):
    """Latencies in seconds, and sums over all measured turns.

    Attributes:
        num_turns: Measured turns.
        num_cut: Completions that ended at the length limit.
        num_retried: Turns that a second or later attempt on their shard answered.
    """

    num_turns: int
    median_s: float
    p90_s: float
    p99_s: float
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    preemptions: int
    num_cut: int
    num_retried: int
    bins: tuple[Bin, ...]
    by_turn: tuple[TurnTokens, ...]


def measured_speed(turns: Sequence[TurnDetail]) -> Speed | None:
    """Sum up; None where no turn has a measurement."""
    pairs = [(turn.turn_index, turn.measurement) for turn in turns if turn.measurement is not None]
    if not pairs:
        return None
    measurements = [measurement for _, measurement in pairs]
    # A turn that failed before it was sent has no latency of its own.
    latencies = sorted(m.latency_s for m in measurements if 0 < m.latency_s < math.inf) or [0.0]
    return Speed(
        num_turns=len(pairs),
        median_s=_quantile(latencies, 0.5),
        p90_s=_quantile(latencies, 0.9),
        p99_s=_quantile(latencies, 0.99),
        prompt_tokens=sum(m.prompt_tokens for m in measurements),
        cached_tokens=sum(m.cached_tokens for m in measurements),
        completion_tokens=sum(m.completion_tokens for m in measurements),
        preemptions=sum(m.preemptions for m in measurements),
        num_cut=sum(m.finish_reason == "length" for m in measurements),
        num_retried=sum(m.attempt > 1 for m in measurements),
        bins=_bins(latencies),
        by_turn=_tokens_by_turn(pairs),
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _bins(ordered: Sequence[float]) -> tuple[Bin, ...]:
    """Equal bins of a round width from 0 to the 99th percentile, the rest in the last: a tail must not squeeze them."""
    end = _quantile(ordered, 0.99)
    if end <= 0:
        return ()
    rough = end / MAX_BINS
    decade = 10.0 ** math.floor(math.log10(rough))
    width = next(step * decade for step in (1, 2, 2.5, 5, 10) if step * decade >= rough * (1 - 1e-9))
    count = max(1, math.ceil(end / width - 1e-9))
    numbers = [0] * count
    for value in ordered:
        numbers[min(int(value / width), count - 1)] += 1
    return tuple(
        Bin(round(n * width, 9), round((n + 1) * width, 9), number, n == count - 1) for n, number in enumerate(numbers)
    )


def _tokens_by_turn(pairs: Sequence[tuple[int, Measurement]]) -> tuple[TurnTokens, ...]:
    found = []
    for number, group in enumerate(TURN_GROUPS):
        mine = [m for index, m in pairs if min(index, len(TURN_GROUPS) - 1) == number and m.prompt_tokens]
        if mine:
            prompt, cached = sum(m.prompt_tokens for m in mine), sum(m.cached_tokens for m in mine)
            found.append(TurnTokens(group, len(mine), prompt / len(mine), cached / len(mine)))
    return tuple(found)
