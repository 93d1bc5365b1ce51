"""What one engine's time goes into: loading, reading prompts, answering, waiting for work.

A request reads its prompt from when the engine takes it up to its first token, and answers from there to its last; the
engine's own timestamps say when that is (vLLM gives them with each answer; nothing is counted on its thread). A batch
does both at once, so its time is shared out by a rule: a request's new prompt tokens are spread evenly over its
reading, its output tokens over its answering, and each moment counts as reading and answering in proportion to the
tokens that all requests have at it. That is exact where one request runs alone, and where computing is what takes
time: each token of a step then costs the same. An engine without timestamps has its tokens spread over the whole
request. A moment without any request is idle.

    request 1   |--- 600 new prompt tokens ---|------ 40 output tokens ------|
    request 2                          |-- 20 --|------ 40 output tokens ------------|
                 reading                shared, by tokens        answering
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from t2s.engine import Completion, Engine, EngineInfo, Message


class Metered(NamedTuple):
    """An engine's account so far.

    Attributes:
        prefill_s, decode_s, idle_s: Seconds since it was ready; together all of them, but for the last moments.
        num_requests: Answered.
        prompt_tokens, cached_tokens, completion_tokens: Sums over them.
        read_context_tokens: Sum of cache tokens that computing each output token had to read.
        computed_context_tokens: The same for each computed token of a prompt.
        mean_step_s: Between two tokens of a request, mean over all; about the time of a step. 0 where unknown.
    """

    prefill_s: float = 0.0
    decode_s: float = 0.0
    idle_s: float = 0.0
    num_requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    read_context_tokens: float = 0.0
    computed_context_tokens: float = 0.0
    mean_step_s: float = 0.0


class _Span(NamedTuple):
    """Tokens per second of one kind, from `begin` to `end`."""

    begin: float
    end: float
    reading: float
    answering: float


class Meter:
    """Takes the requests of one engine, from the moment that it is ready.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._settled_to = clock()
        self._running: dict[int, float] = {}  # when each was sent, oldest first
        self._sent = 0
        self._spans: list[_Span] = []
        self._sum = Metered()
        self._answering_s = 0.0
        self._answering_tokens = 0

    @contextmanager
    def request(self) -> Iterator[Callable[[Completion], None]]:
        """Around one request; what it gives is called with the answer, if there is one."""
        number = self._sent
        self._sent += 1
        self._running[number] = self._clock()
        try:
            yield self._take
        finally:
            del self._running[number]

    def _take(self, answer: Completion) -> None:
        end = self._clock()
        begin = min(end, max(end - answer.latency_s + answer.waited_s, self._settled_to))
        new_tokens = max(answer.prompt_tokens - answer.cached_tokens, 0)
        if answer.prefill_s is None:
            self._add(begin, end, new_tokens, answer.completion_tokens)
        else:
            first = min(end, begin + answer.prefill_s)
            # The first token comes with the end of the prompt's reading.
            self._add(begin, first, new_tokens, 0)
            self._add(first, end, 0, max(answer.completion_tokens - 1, 0))
            self._answering_s += end - first
            self._answering_tokens += max(answer.completion_tokens - 1, 0)
        before = self._sum
        middle = answer.prompt_tokens + answer.completion_tokens / 2
        self._sum = before._replace(
            num_requests=before.num_requests + 1,
            prompt_tokens=before.prompt_tokens + answer.prompt_tokens,
            cached_tokens=before.cached_tokens + answer.cached_tokens,
            completion_tokens=before.completion_tokens + answer.completion_tokens,
            read_context_tokens=before.read_context_tokens + answer.completion_tokens * middle,
            computed_context_tokens=before.computed_context_tokens
            + new_tokens * (answer.prompt_tokens + answer.cached_tokens) / 2,
        )

    def _add(self, begin: float, end: float, reading: int, answering: int) -> None:
        if end > begin:
            self._spans.append(_Span(begin, end, reading / (end - begin), answering / (end - begin)))

    def read(self) -> Metered:
        """The account up to now; what runs at this moment is in it when it has ended."""
        now = self._clock()
        self._settle(min(self._running.values(), default=now))
        step_s = self._answering_s / self._answering_tokens if self._answering_tokens else 0.0
        return self._sum._replace(mean_step_s=step_s)

    def _settle(self, until: float) -> None:
        """Share out the time up to a moment before which no running request began."""
        begin = self._settled_to
        if until <= begin:
            return
        changes: list[tuple[float, int, float, float]] = []
        for span in self._spans:
            if span.begin < until:
                changes.append((max(span.begin, begin), 1, span.reading, span.answering))
                changes.append((min(span.end, until), -1, -span.reading, -span.answering))
        prefill, decode, idle = _shared_out(sorted(changes), begin, until)
        before = self._sum
        self._sum = before._replace(
            prefill_s=before.prefill_s + prefill, decode_s=before.decode_s + decode, idle_s=before.idle_s + idle
        )
        self._spans = [span for span in self._spans if span.end > until]
        self._settled_to = until


def _shared_out(
    changes: Sequence[tuple[float, int, float, float]], begin: float, until: float
) -> tuple[float, float, float]:
    """Seconds of reading, answering and neither; `changes`: (when, requests more, tokens/s of both kinds more)."""
    prefill = decode = idle = 0.0
    count, reading, answering = 0, 0.0, 0.0
    at = begin
    for when, more, more_reading, more_answering in [*changes, (until, 0, 0.0, 0.0)]:
        if count == 0:
            idle += when - at
            reading = answering = 0.0  # what adding and taking away has left behind the decimal point
        else:
            both = reading + answering
            share = reading / both if both > 1e-9 else 0.0
            prefill += share * (when - at)
            decode += (1 - share) * (when - at)
        at = when
        count += more
        reading = max(0.0, reading + more_reading)
        answering = max(0.0, answering + more_answering)
    return prefill, decode, idle


class MeteredEngine:
    """An engine whose requests are metered; all else is the engine's own.

    Args:
        engine: Started.
        meter: Takes each answer.
    """

    def __init__(self, engine: Engine, meter: Meter) -> None:
        self._engine, self._meter = engine, meter

    async def start(self) -> EngineInfo:
        """The engine's own."""
        return await self._engine.start()

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """The engine's own."""
        return self._engine.count_tokens(messages)

    async def generate(self, messages: Sequence[Message]) -> Completion:
        """The engine's own, metered."""
        with self._meter.request() as answered:
            completion = await self._engine.generate(messages)
            answered(completion)
        return completion

    async def close(self) -> None:
        """The engine's own."""
        await self._engine.close()
