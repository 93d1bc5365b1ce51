"""What an engine's seconds are counted as, by hand."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.engine import Completion
from t2s.meter import Meter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def answer(
    latency_s: float, prefill_s: float | None, new: int, output: int, waited_s: float = 0.0, cached: int = 0
) -> Completion:
    return Completion(
        "x", "stop", new + cached, cached, output, latency_s, waited_s=waited_s, prefill_s=prefill_s
    )  # fmt: skip


def test_one_request_alone_is_split_at_its_first_token() -> None:
    clock = Clock()
    meter = Meter(clock)
    clock.now += 5  # nobody asks
    with meter.request() as answered:
        clock.now += 10
        answered(answer(10, prefill_s=3, new=900, output=61, waited_s=1, cached=100))
    found = meter.read()
    assert (found.prefill_s, found.decode_s, found.idle_s) == pytest.approx((3, 6, 6))
    assert (found.num_requests, found.prompt_tokens, found.cached_tokens, found.completion_tokens) == (1, 1000, 100, 61)
    assert found.mean_step_s == pytest.approx(6 / 60)
    assert found.read_context_tokens == pytest.approx(61 * (1000 + 30.5))
    assert found.computed_context_tokens == pytest.approx(900 * 550)


def test_a_moment_of_both_kinds_is_shared_out_by_tokens() -> None:
    clock = Clock()
    meter = Meter(clock)
    with meter.request() as first:
        clock.now = 104.0
        with meter.request() as second:
            clock.now = 110.0
            # From 100 to 102 it reads 200 tokens, then it answers 81: one token at its start, 10 a second after that.
            first(answer(10, prefill_s=2, new=200, output=81))
            # From 104 to 106 it reads 60 tokens, 30 a second; from 106 to 110 it answers, beside the first.
            second(answer(6, prefill_s=2, new=60, output=5))
    found = meter.read()
    shared = 2 * 30 / (30 + 10)
    assert found.prefill_s == pytest.approx(2 + shared)
    assert found.decode_s == pytest.approx(2 + (2 - shared) + 4)
    assert found.idle_s == pytest.approx(0)


def test_an_engine_without_timestamps_is_split_by_tokens() -> None:
    clock = Clock()
    meter = Meter(clock)
    with meter.request() as answered:
        clock.now += 8
        answered(answer(8, prefill_s=None, new=300, output=100))
    found = meter.read()
    assert (found.prefill_s, found.decode_s, found.idle_s) == pytest.approx((6, 2, 0))
    assert found.mean_step_s == 0, "nothing says how long a step was"


def test_what_still_runs_counts_when_it_has_ended_and_is_never_idle() -> None:
    clock = Clock()
    meter = Meter(clock)
    clock.now += 2
    with meter.request() as answered:
        clock.now += 20
        early = meter.read()
        assert (early.prefill_s, early.decode_s, early.idle_s) == pytest.approx((0, 0, 2))
        clock.now += 20
        answered(answer(40, prefill_s=4, new=10, output=10))
    found = meter.read()
    assert (found.prefill_s, found.decode_s, found.idle_s) == pytest.approx((4, 36, 2))


def test_a_request_that_fails_has_no_tokens_and_leaves_the_clock_going() -> None:
    clock = Clock()
    meter = Meter(clock)
    with pytest.raises(RuntimeError), meter.request():
        clock.now += 3
        raise RuntimeError("the engine died")
    assert meter.read().idle_s == pytest.approx(3)
    assert meter.read().num_requests == 0


Times = st.tuples(st.floats(0, 50), st.floats(0.001, 20), st.floats(0, 1), st.floats(0, 1), st.booleans())


@given(st.lists(Times, max_size=20), st.lists(st.floats(0, 80), max_size=4))
def test_every_second_is_counted_once_whenever_the_account_is_read(
    times: list[tuple[float, float, float, float, bool]], looks: list[float]
) -> None:
    clock = Clock()
    meter = Meter(clock)

    async def run() -> None:
        opened = []
        events: list[tuple[float, int, int]] = [(look, 2, 0) for look in looks]
        for number, (begin, length, *_rest) in enumerate(times):
            events += [(begin, 0, number), (begin + length, 1, number)]
            opened.append(meter.request())
        takers = {}
        for at, kind, number in sorted(events):
            clock.now = 100 + at
            if kind == 0:
                takers[number] = opened[number].__enter__()
            elif kind == 1:
                _, length, waited, prefill, timed = times[number]
                waited_s = waited * length
                prefill_s = prefill * (length - waited_s) if timed else None
                takers[number](answer(length, prefill_s, new=50, output=20, waited_s=waited_s))
                opened[number].__exit__(None, None, None)
            else:
                meter.read()

    asyncio.run(run())
    found = meter.read()
    assert found.prefill_s + found.decode_s + found.idle_s == pytest.approx(clock.now - 100, abs=1e-6)
    assert min(found.prefill_s, found.decode_s, found.idle_s) >= -1e-9
    assert found.num_requests == len(times)
