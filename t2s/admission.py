"""Who may run now: one gate per engine, sized by the KV cache that the engine really has.

Each active database reserves its prefix (the schema, shared by all its interactions) once. An interaction's tail, its
own part of the prompt and its answers, grows from turn to turn and is gone with its last: what counts is the most that
all tails will need at one moment, not the sum of what each will need at its end. The gate looks ahead for that moment
and lets in, in plan order, whoever still fits; the rest waits. Without the gate an engine given everything at once
throws prefixes out of its cache and reads schemas again: with an A10's cache (36k tokens) 256 interactions at once
reach 19 to 21 interactions/s where 96 reach 27 (DESIGN.md's table).

Looking ahead instead of adding up ends lets a third more in and brings 7 to 16 % with such a cache on an H100, 2 to 5 %
on an A10, where computing takes longer (simulated: scripts/bench/gpu_simulated.py). Planning with future memory is the
idea of Gong et al., "Past-Future Scheduler for LLM Serving under SLA Guarantees", ASPLOS 2025.

Counts are tokens, rounded up to the engine's cache blocks.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from t2s.engine import EngineInfo

FIRST_GUESS_TOKENS = 64
"""Length of a completion before any was seen; the first answers correct it, also for a base model that rambles."""

SAFETY = 1.25
"""On the observed mean length of completions: tails are sums over turns and interactions, so the mean counts, not the
worst; a quarter more keeps preemptions rare while the mean is still moving."""

PLANNED_SHARE = 0.95
"""Of the cache. The rest keeps the history of a turn that waits to be scheduled: while it waits, its blocks are the
engine's to give away. Simulated: 1.0 loses up to 17 % where answers are short, 0.9 up to 3 % where they are long."""


@dataclass(eq=False)
class Ticket:
    """One interaction's place in the engine: what it has of its tail by now, and what it will have at its end."""

    prefix: str
    prefix_tokens: int
    used_tokens: int
    tail_tokens: int
    admitted: asyncio.Future[None] = field(repr=False)

    @property
    def growth(self) -> tuple[int, int]:
        """(tokens that are still to come, tokens that are there)."""
        return self.tail_tokens - self.used_tokens, self.used_tokens


class CompletionLength:
    """Running mean of completion lengths, in tokens, as a guess for the next ones."""

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        # The first guess counts as eight observations: one odd answer moves it, but does not make it.
        self._count = 8
        self._sum = 8.0 * min(FIRST_GUESS_TOKENS, max_tokens)

    def observe(self, completion_tokens: int) -> None:
        """Take one more completion into the mean."""
        self._count += 1
        self._sum += completion_tokens

    @property
    def expected_tokens(self) -> int:
        """What to reserve for one completion that is still to come."""
        return min(self._max_tokens, int(SAFETY * self._sum / self._count) + 1)


class AdmissionGate:
    """Lets interactions in, first come first served, while their reservations fit the engine.

    Args:
        info: What the engine has.
        max_interactions: A limit beside the engine's own `max_num_seqs`, or None.
    """

    def __init__(self, info: EngineInfo, max_interactions: int | None = None) -> None:
        self._capacity_tokens = None if info.kv_cache_tokens is None else int(PLANNED_SHARE * info.kv_cache_tokens)
        self._block = info.block_size_tokens
        self.max_interactions = min(info.max_num_seqs, max_interactions or info.max_num_seqs)
        self._waiting: deque[Ticket] = deque()
        self._active_per_prefix: dict[str, int] = {}
        self._prefix_tokens = 0
        self._growths: list[tuple[int, int]] = []  # of all that run, sorted: the shortest to go first
        self._tail_tokens = 0
        self._num_running = 0
        self._last_growth = (0, 0)
        self._room_waiters: list[asyncio.Future[None]] = []
        self.peak_running = 0

    @property
    def reserved_tokens(self) -> int:
        """The most that all running interactions and their prefixes will need at one moment."""
        return self._prefix_tokens + self._peak_tokens()

    @property
    def num_running(self) -> int:
        """Interactions inside."""
        return self._num_running

    @asynccontextmanager
    async def admit(
        self, prefix: str, prefix_tokens: int, tail_tokens: int, used_tokens: int = 0
    ) -> AsyncIterator[Ticket]:
        """Wait for a place and hold it.

        Args:
            prefix: Names the shared beginning of the prompt; equal names share one reservation.
            prefix_tokens: Its length.
            tail_tokens: The longest that the rest will become.
            used_tokens: What the rest is to begin with.
        """
        ticket = Ticket(
            prefix,
            self._blocks(prefix_tokens),
            self._blocks(min(used_tokens, tail_tokens)),
            self._blocks(tail_tokens),
            asyncio.get_running_loop().create_future(),
        )
        self._waiting.append(ticket)
        self._let_in()
        try:
            await ticket.admitted
            yield ticket
        finally:
            self._leave(ticket)

    def resize(self, ticket: Ticket, tail_tokens: int, used_tokens: int = 0) -> None:
        """Set what an admitted interaction will need and has by now, once more is known about it."""
        self._forget(ticket)
        ticket.tail_tokens, ticket.used_tokens = self._blocks(tail_tokens), self._blocks(min(used_tokens, tail_tokens))
        self._note(ticket)
        self._let_in()

    async def room(self) -> None:
        """Wait until nobody waits and one more interaction like the last would fit: time to bring the next shard."""
        while self._waiting or not self._fits(0, self._last_growth):
            waiter = asyncio.get_running_loop().create_future()
            self._room_waiters.append(waiter)
            await waiter

    def _blocks(self, tokens: int) -> int:
        return -(-tokens // self._block) * self._block

    def _note(self, ticket: Ticket) -> None:
        insort(self._growths, ticket.growth)
        self._tail_tokens += ticket.tail_tokens

    def _forget(self, ticket: Ticket) -> None:
        del self._growths[bisect_left(self._growths, ticket.growth)]
        self._tail_tokens -= ticket.tail_tokens

    def _peak_tokens(self, newcomer: tuple[int, int] | None = None) -> int:
        """The most that all tails, and a newcomer's, will have at one moment if they grow at the same pace.

        Just before the k-th longest to go ends, the k longest are there, each grown by what the k-th had to go.
        """
        growths = self._growths
        if newcomer is not None:
            growths = growths.copy()
            insort(growths, newcomer)
        peak = used_by_all = 0
        for number, (to_come, used) in enumerate(reversed(growths), start=1):
            used_by_all += used
            peak = max(peak, used_by_all + number * to_come)
        return peak

    def _fits(self, prefix_tokens: int, growth: tuple[int, int]) -> bool:
        if self._num_running == 0:
            return True  # what is too big for an empty engine must still run: the engine preempts, it does not refuse
        if self._num_running >= self.max_interactions:
            return False
        if self._capacity_tokens is None:
            return True
        left = self._capacity_tokens - self._prefix_tokens - prefix_tokens
        # Where the ends of all fit together, as in the cache of a large GPU, nothing needs to be looked at.
        return self._tail_tokens + sum(growth) <= left or self._peak_tokens(growth) <= left

    def _let_in(self) -> None:
        # Strictly in order: letting a small one pass a big one would break up a database's run and could starve the
        # big one.
        while self._waiting:
            ticket = self._waiting[0]
            if ticket.admitted.cancelled():
                self._waiting.popleft()
                continue
            new_prefix = 0 if ticket.prefix in self._active_per_prefix else ticket.prefix_tokens
            if not self._fits(new_prefix, ticket.growth):
                break
            self._waiting.popleft()
            self._active_per_prefix[ticket.prefix] = self._active_per_prefix.get(ticket.prefix, 0) + 1
            self._prefix_tokens += new_prefix
            self._note(ticket)
            self._num_running += 1
            self._last_growth = ticket.growth
            self.peak_running = max(self.peak_running, self._num_running)
            ticket.admitted.set_result(None)
        if not self._waiting and self._fits(0, self._last_growth):
            waiters, self._room_waiters = self._room_waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _leave(self, ticket: Ticket) -> None:
        if not ticket.admitted.done() or ticket.admitted.cancelled():  # gave up while it waited
            if ticket in self._waiting:
                self._waiting.remove(ticket)
        else:
            self._num_running -= 1
            self._forget(ticket)
            self._active_per_prefix[ticket.prefix] -= 1
            if self._active_per_prefix[ticket.prefix] == 0:
                del self._active_per_prefix[ticket.prefix]
                self._prefix_tokens -= ticket.prefix_tokens
        self._let_in()
