"""Who may run now: one gate per engine, sized by the KV cache that the engine really has.

Each active database reserves its prefix (the schema, shared by all its interactions) once; each interaction reserves
its tail, the longest that its own part of the prompt and its answers will become. What fits runs, in plan order; the
rest waits. Without the gate an engine given everything at once throws prefixes out of its cache and reads schemas
again: with an A10's cache (36k tokens) 256 interactions at once reach 19 to 21 interactions/s where 96 reach 27
(DESIGN.md's table).

Counts are tokens, rounded up to the engine's cache blocks.
"""

from __future__ import annotations

import asyncio
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


@dataclass(eq=False)
class Ticket:
    """One interaction's place in the engine; `tail_tokens` is what it reserves beside its prefix."""

    prefix: str
    prefix_tokens: int
    tail_tokens: int
    admitted: asyncio.Future[None] = field(repr=False)


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
        self._capacity_tokens = info.kv_cache_tokens
        self._block = info.block_size_tokens
        self.max_interactions = min(info.max_num_seqs, max_interactions or info.max_num_seqs)
        self._waiting: deque[Ticket] = deque()
        self._active_per_prefix: dict[str, int] = {}
        self._reserved_tokens = 0
        self._num_running = 0
        self._last_tail_tokens = 0
        self._room_waiters: list[asyncio.Future[None]] = []
        self.peak_running = 0

    @property
    def reserved_tokens(self) -> int:
        """Tokens reserved by all running interactions and their prefixes."""
        return self._reserved_tokens

    @property
    def num_running(self) -> int:
        """Interactions inside."""
        return self._num_running

    @asynccontextmanager
    async def admit(self, prefix: str, prefix_tokens: int, tail_tokens: int) -> AsyncIterator[Ticket]:
        """Wait for a place and hold it.

        Args:
            prefix: Names the shared beginning of the prompt; equal names share one reservation.
            prefix_tokens: Its length.
            tail_tokens: The longest that the rest will become.
        """
        ticket = Ticket(
            prefix,
            self._blocks(prefix_tokens),
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

    def resize(self, ticket: Ticket, tail_tokens: int) -> None:
        """Set what an admitted interaction still reserves, once more is known about it."""
        tail = self._blocks(tail_tokens)
        self._reserved_tokens += tail - ticket.tail_tokens
        ticket.tail_tokens = tail
        self._let_in()

    async def room(self) -> None:
        """Wait until nobody waits and one more interaction like the last would fit: time to bring the next shard."""
        while self._waiting or not self._fits(0, self._last_tail_tokens):
            waiter = asyncio.get_running_loop().create_future()
            self._room_waiters.append(waiter)
            await waiter

    def _blocks(self, tokens: int) -> int:
        return -(-tokens // self._block) * self._block

    def _fits(self, prefix_tokens: int, tail_tokens: int) -> bool:
        if self._num_running == 0:
            return True  # what is too big for an empty engine must still run: the engine preempts, it does not refuse
        if self._num_running >= self.max_interactions:
            return False
        if self._capacity_tokens is None:
            return True
        return self._reserved_tokens + prefix_tokens + tail_tokens <= self._capacity_tokens

    def _let_in(self) -> None:
        # Strictly in order: letting a small one pass a big one would break up a database's run and could starve the
        # big one.
        while self._waiting:
            ticket = self._waiting[0]
            if ticket.admitted.cancelled():
                self._waiting.popleft()
                continue
            new_prefix = 0 if ticket.prefix in self._active_per_prefix else ticket.prefix_tokens
            if not self._fits(new_prefix, ticket.tail_tokens):
                break
            self._waiting.popleft()
            self._active_per_prefix[ticket.prefix] = self._active_per_prefix.get(ticket.prefix, 0) + 1
            self._reserved_tokens += new_prefix + ticket.tail_tokens
            self._num_running += 1
            self._last_tail_tokens = ticket.tail_tokens
            self.peak_running = max(self.peak_running, self._num_running)
            ticket.admitted.set_result(None)
        if not self._waiting and self._fits(0, self._last_tail_tokens):
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
            self._reserved_tokens -= ticket.tail_tokens
            self._active_per_prefix[ticket.prefix] -= 1
            if self._active_per_prefix[ticket.prefix] == 0:
                del self._active_per_prefix[ticket.prefix]
                self._reserved_tokens -= ticket.prefix_tokens
        self._let_in()
