from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence

from t2s.admission import PLANNED_SHARE, AdmissionGate, CompletionLength
from t2s.engine import EngineInfo


def gate(
    planned_tokens: int | None, max_num_seqs: int = 100, block: int = 1, limit: int | None = None
) -> AdmissionGate:
    """A gate that plans with exactly so many tokens."""
    kv_cache_tokens = None if planned_tokens is None else math.ceil(planned_tokens / PLANNED_SHARE)
    return AdmissionGate(EngineInfo("test", "1", 8192, kv_cache_tokens, max_num_seqs, block), limit)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Visitor:
    """Holds a place until it is told to go."""

    def __init__(
        self, entered: AdmissionGate, prefix: str, prefix_tokens: int, tail_tokens: int, used_tokens: int = 0
    ) -> None:
        self.inside = False
        self.go = asyncio.Event()
        self.task = asyncio.create_task(self._visit(entered, prefix, prefix_tokens, tail_tokens, used_tokens))

    async def _visit(
        self, entered: AdmissionGate, prefix: str, prefix_tokens: int, tail_tokens: int, used_tokens: int
    ) -> None:
        async with entered.admit(prefix, prefix_tokens, tail_tokens, used_tokens):
            self.inside = True
            await self.go.wait()

    async def leave(self) -> None:
        self.go.set()
        await self.task


def test_a_prefix_is_reserved_once_for_all_interactions_of_a_database() -> None:
    async def scenario() -> None:
        entered = gate(1000)
        visitors = [Visitor(entered, "a", 700, 100) for _ in range(4)]
        await settle()
        assert [visitor.inside for visitor in visitors] == [True, True, True, False]
        assert entered.reserved_tokens == 1000
        await visitors[0].leave()
        await settle()
        assert visitors[3].inside
        for visitor in visitors[1:]:
            await visitor.leave()
        assert (entered.reserved_tokens, entered.num_running) == (0, 0)

    asyncio.run(scenario())


def test_who_comes_first_is_let_in_first_even_if_a_later_one_would_fit() -> None:
    async def scenario() -> None:
        entered = gate(1000)
        first = Visitor(entered, "a", 500, 100)
        big = Visitor(entered, "b", 600, 100)
        small = Visitor(entered, "a", 500, 10)
        await settle()
        assert (first.inside, big.inside, small.inside) == (True, False, False)
        await first.leave()
        await settle()
        assert big.inside and not small.inside
        await big.leave()
        await settle()
        assert small.inside
        await small.leave()

    asyncio.run(scenario())


def test_what_is_larger_than_the_whole_cache_runs_alone() -> None:
    async def scenario() -> None:
        entered = gate(100)
        giant, next_one = Visitor(entered, "a", 5000, 100), Visitor(entered, "b", 10, 10)
        await settle()
        assert giant.inside and not next_one.inside
        await giant.leave()
        await settle()
        assert next_one.inside
        await next_one.leave()

    asyncio.run(scenario())


def test_the_engines_number_of_sequences_and_the_users_limit_both_hold() -> None:
    async def scenario() -> None:
        for entered, wanted in [(gate(None, 3), 3), (gate(None, 3, limit=2), 2), (gate(None, 3, limit=9), 3)]:
            visitors = [Visitor(entered, "a", 1, 1) for _ in range(5)]
            await settle()
            assert sum(visitor.inside for visitor in visitors) == wanted == entered.peak_running
            for visitor in visitors:
                await visitor.leave()

    asyncio.run(scenario())


def test_reservations_are_whole_blocks() -> None:
    async def scenario() -> None:
        entered = gate(1000, block=16)
        visitor = Visitor(entered, "a", 17, 1)
        await settle()
        assert entered.reserved_tokens == 32 + 16
        await visitor.leave()

    asyncio.run(scenario())


def test_giving_back_a_part_of_the_tail_lets_the_next_one_in() -> None:
    async def scenario() -> None:
        entered = gate(1000)
        async with entered.admit("a", 500, 500) as ticket:
            waiting = Visitor(entered, "a", 500, 300)
            await settle()
            assert not waiting.inside
            entered.resize(ticket, 200)
            await settle()
            assert waiting.inside
            await waiting.leave()
        assert entered.reserved_tokens == 0

    asyncio.run(scenario())


def test_who_is_nearly_done_leaves_room_for_one_that_only_begins() -> None:
    async def scenario() -> None:
        entered = gate(1000)
        async with entered.admit("a", 100, 600, 100) as ticket:
            newcomer = Visitor(entered, "a", 100, 600, 100)
            await settle()
            assert not newcomer.inside, "both would end at once, with 1,200"
            entered.resize(ticket, 600, 500)
            await settle()
            assert newcomer.inside, "when the first ends with 600, the second has 200"
            assert entered.reserved_tokens == 100 + 600 + 200
            await newcomer.leave()

    asyncio.run(scenario())


def most_at_one_moment(growths: Sequence[tuple[int, int]]) -> int:
    """Step by step: every tail grows by one token until it is done, then it is gone."""
    most = sum(used for _, used in growths)
    for step in range(1, max((to_come for to_come, _ in growths), default=0) + 1):
        most = max(most, sum(used + step for to_come, used in growths if to_come >= step))
    return most


def test_what_is_reserved_is_the_most_that_all_need_at_one_moment() -> None:
    async def scenario() -> None:
        rng = random.Random(5)
        for _ in range(200):
            entered = gate(100_000)
            tails = [(rng.randint(0, 60), rng.randint(0, 60)) for _ in range(rng.randint(1, 12))]
            visitors = [Visitor(entered, "a", 7, to_come + used, used) for to_come, used in tails]
            await settle()
            assert entered.reserved_tokens == 7 + most_at_one_moment(tails)
            for visitor in visitors:
                await visitor.leave()
            assert entered.reserved_tokens == 0

    asyncio.run(scenario())


def test_one_that_gives_up_waiting_leaves_no_trace() -> None:
    async def scenario() -> None:
        entered = gate(100)
        inside, quitter, patient = (Visitor(entered, name, 60, 30) for name in "abc")
        await settle()
        quitter.task.cancel()
        await settle()
        await inside.leave()
        await settle()
        assert patient.inside and not quitter.inside
        await patient.leave()
        assert (entered.reserved_tokens, entered.num_running) == (0, 0)

    asyncio.run(scenario())


def test_room_is_reported_only_when_nobody_waits_and_one_more_fits() -> None:
    async def scenario() -> None:
        entered = gate(1000)
        visitors = [Visitor(entered, "a", 400, 200) for _ in range(4)]
        await settle()
        room = asyncio.create_task(entered.room())
        await settle()
        assert not room.done()
        await visitors[0].leave()  # the fourth takes its place: nobody waits, but the gate is full
        await settle()
        assert visitors[3].inside and not room.done()
        await visitors[1].leave()
        await settle()
        assert room.done()
        for visitor in visitors[2:]:
            await visitor.leave()

    asyncio.run(scenario())


def test_random_traffic_never_reserves_more_than_there_is_and_always_ends() -> None:
    async def scenario() -> None:
        rng = random.Random(3)
        entered = gate(5000, max_num_seqs=20, block=16)

        async def visit() -> None:
            async with entered.admit(rng.choice("abcdef"), 800, rng.randint(50, 600)) as ticket:
                for _ in range(rng.randint(1, 4)):
                    await asyncio.sleep(0)
                    assert entered.num_running <= 20
                    assert entered.reserved_tokens <= 5000 or entered.num_running == 1
                    tail = rng.randint(0, ticket.tail_tokens)
                    # Never more at one moment than before: what had been promised to others still holds.
                    entered.resize(ticket, tail, max(0, tail - (ticket.tail_tokens - ticket.used_tokens)))

        await asyncio.wait_for(asyncio.gather(*(visit() for _ in range(500))), 30)
        assert (entered.reserved_tokens, entered.num_running) == (0, 0)

    asyncio.run(scenario())


def test_expected_length_follows_what_is_seen_and_stays_under_max_tokens() -> None:
    length = CompletionLength(256)
    assert 64 <= length.expected_tokens <= 128
    for _ in range(1000):
        length.observe(20)
    assert 20 <= length.expected_tokens <= 32
    for _ in range(20_000):
        length.observe(256)
    assert length.expected_tokens == 256
