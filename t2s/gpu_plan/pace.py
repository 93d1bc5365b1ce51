"""An engine's steps in simulated time: how long a test set takes, and how many interactions run at once.

Interactions come through the real `AdmissionGate`. A step computes one token for each request that is answering, and
new tokens of prompts up to vLLM's budget; it takes as long as reading the weights or computing its tokens, whichever is
more, and reading the cache of all that are answering, and a constant for scheduling and launching, and one for each
request. What was computed of a prompt is never computed again: the gate sees to that (no preemption in any measured
pass of predict).

The four constants below are shares of what a data sheet promises, and seconds, fitted to one H100, vLLM 0.26, the shape
of Llama-3-8B in bf16 (scripts/bench/RESULTS.md; the same test sets, token by token). Interactions/s, measured and here:

    predict, whole GPU, 1,200     41.8    41.6    -1 %        window 384, whole GPU    40.2    41.5    +3 %
    predict, 36k tokens, probe    29.1    29.4    +1 %        window 64, probe         26.2    25.6    -2 %
    predict, 36k tokens, short    36.5    40.8   +12 %        window 96, short         37.0    37.6    +2 %
    predict, 36k tokens, long     18.9    17.7    -6 %        window 56, long          18.2    17.4    -4 %

and 182,000 prompt tokens/s measured with the whole GPU, 180,900 here. Of any other GPU, quantisation or number of GPUs
there is no measurement: what comes out is a projection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from t2s.admission import AdmissionGate, CompletionLength
from t2s.engine import EngineInfo
from t2s.gpu_plan.devices import Device
from t2s.gpu_plan.memory import Options, weight_bytes
from t2s.gpu_plan.served_model import ServedModel

COMPUTE_SHARE = 0.66
BANDWIDTH_SHARE = 0.90
STEP_S = 0.0020
REQUEST_S = 0.000_02

_SETTLE = 4  # passes of the event loop until every coroutine that an answer wakes has asked again


class TurnWork(NamedTuple):
    """Tokens that a turn adds to its interaction: question with headers, and answer."""

    question: int
    answer: int


class Work(NamedTuple):
    """One interaction: the prefix that it shares with others of its name, and its turns."""

    prefix: str
    prefix_tokens: int
    turns: tuple[TurnWork, ...]


class StepCost(NamedTuple):
    """What a step takes, in seconds: reading the weights, each FLOP, each token of cache that is read, the rest."""

    weights_s: float
    flop_s: float
    cache_token_s: float
    step_s: float = STEP_S
    request_s: float = REQUEST_S


def step_cost(device: Device, model: ServedModel, options: Options) -> StepCost:
    """Of an engine on so many GPUs of a kind; what they say to each other is not counted."""
    parallel = options.tensor_parallel_size
    bandwidth = BANDWIDTH_SHARE * device.bandwidth
    eight_bits = "fp8" in (options.quantization, model.quantised)
    flops = device.fp8_flops if eight_bits and device.fp8_flops else device.bf16_flops
    return StepCost(
        weights_s=weight_bytes(model, options) / parallel / bandwidth,
        flop_s=1 / (COMPUTE_SHARE * flops * parallel),
        cache_token_s=model.kv_bytes(options.kv_cache_dtype, parallel) / bandwidth,
    )


class Pace(NamedTuple):
    """What a simulated run took.

    Attributes:
        seconds: From the first question to the last answer.
        steps: Of the engine.
        running: Interactions at once, mean over time.
        peak_running: And at most.
        prompt_tokens, cached_tokens, output_tokens: Sums over all turns.
    """

    seconds: float
    steps: int
    running: float
    peak_running: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int


class _Request:
    __slots__ = ("answer", "context", "done", "to_compute")

    def __init__(self, to_compute: int, context: int, answer: int) -> None:
        self.to_compute, self.context, self.answer = to_compute, context, answer
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class PacedEngine:
    """One engine with a clock of its own; whoever drives it calls `step` while it is `busy`.

    Args:
        cost: Of a step.
        model: What is served.
        info: What the engine has: its KV cache sizes the gate.
        max_num_batched_tokens: Of a step.
        max_tokens: Longest answer that the settings allow.
        max_interactions: The settings' own limit, or None.
        speed: 1 for what the cost says, 0.5 for a machine that takes twice as long.
    """

    def __init__(
        self,
        cost: StepCost,
        model: ServedModel,
        info: EngineInfo,
        max_num_batched_tokens: int,
        max_tokens: int = 256,
        speed: float = 1.0,
        max_interactions: int | None = None,
    ) -> None:
        self._cost, self._model, self._block, self._speed = cost, model, info.block_size_tokens, speed
        self._max_batch = max_num_batched_tokens
        self.gate = AdmissionGate(info, max_interactions)
        self._length = CompletionLength(max_tokens)
        self.now = 0.0
        self.steps = 0
        self.busy_requests_s = 0.0
        self.prompt_tokens = self.cached_tokens = self.output_tokens = 0
        self._arriving: list[_Request] = []
        self._reading: deque[_Request] = deque()
        self._ends: dict[int, list[_Request]] = {}
        self._answering = self._answering_context = 0
        self._prefixes: set[str] = set()

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._arriving or self._reading or self._answering)

    async def answer(self, work: Work) -> None:
        """One interaction, turn by turn, as `t2s.answering` does it."""
        to_come = sum(turn.question for turn in work.turns)
        tail = to_come + len(work.turns) * self._length.expected_tokens
        async with self.gate.admit(work.prefix, work.prefix_tokens, tail, work.turns[0].question) as ticket:
            context, known = work.prefix_tokens, self._known(work)
            for index, turn in enumerate(work.turns):
                prompt = context + turn.question
                cached = min(known, prompt - 1) // self._block * self._block
                self.prompt_tokens += prompt
                self.cached_tokens += cached
                await self._ask(_Request(prompt - cached, prompt, turn.answer))
                self.output_tokens += turn.answer
                self._length.observe(turn.answer)
                context = prompt + turn.answer
                known = context - 1  # the last token was sampled, not computed
                to_come -= turn.question
                used = context - work.prefix_tokens
                left = len(work.turns) - index - 1
                next_question = work.turns[index + 1].question if left else 0
                self.gate.resize(ticket, used + to_come + left * self._length.expected_tokens, used + next_question)

    def _known(self, work: Work) -> int:
        """Tokens of the first prompt that another interaction has left in the cache."""
        if work.prefix in self._prefixes:
            return work.prefix_tokens
        self._prefixes.add(work.prefix)
        return 0

    async def _ask(self, request: _Request) -> None:
        self._arriving.append(request)
        await request.done

    def step(self) -> bool:
        """Let one step go by; returns whether anything was answered."""
        seen, self._arriving = self._arriving, []  # the engine looks for new requests between two steps
        flops, begun = self._read_prompts()
        cost = self._cost
        sampled = self._answering + len(begun)
        answering_flops = self._answering * self._model.token_flops + sampled * self._model.head_flops
        duration = 0.0
        if sampled or flops:
            duration = max(cost.weights_s, (flops + answering_flops) * cost.flop_s) + cost.step_s
            duration += self._answering_context * cost.cache_token_s + (sampled + len(self._reading)) * cost.request_s
        duration /= self._speed
        self.now += duration
        self.busy_requests_s += (sampled + len(self._reading)) * duration
        self.steps += 1
        self._answering_context += self._answering
        for request in begun:
            self._answering += 1
            self._answering_context += request.context + 1
            self._ends.setdefault(self.steps + request.answer - 1, []).append(request)
        ended = self._ends.pop(self.steps, [])
        for request in ended:
            self._answering -= 1
            self._answering_context -= request.context + request.answer
            if not request.done.cancelled():
                request.done.set_result(None)
        self._reading += seen
        return bool(ended)

    def _read_prompts(self) -> tuple[float, list[_Request]]:
        """Compute new tokens of prompts, first come first served; returns the FLOP, and who begins to answer."""
        flops, begun = 0.0, []
        budget = self._max_batch - self._answering
        while self._reading and budget > 0:
            request = self._reading[0]
            number = min(request.to_compute, budget)
            before = request.context - request.to_compute + number / 2
            flops += number * (self._model.token_flops + self._model.attention_flops(before))
            request.to_compute -= number
            budget -= number
            if request.to_compute == 0:
                begun.append(self._reading.popleft())
        return flops, begun


async def settle() -> None:
    """Let all coroutines that were woken ask again."""
    for _ in range(_SETTLE):
        await asyncio.sleep(0)


def simulate(works: Sequence[Work], make_engine: Callable[[], PacedEngine]) -> Pace:
    """Run a test set, in plan order, through one engine."""
    return asyncio.run(_simulate(works, make_engine))


async def _simulate(works: Sequence[Work], make_engine: Callable[[], PacedEngine]) -> Pace:
    engine = make_engine()
    tasks = [asyncio.create_task(engine.answer(work)) for work in works]
    await settle()
    while engine.busy:
        if engine.step():
            await settle()
    await asyncio.gather(*tasks)
    return Pace(
        seconds=engine.now,
        steps=engine.steps,
        running=engine.busy_requests_s / engine.now,
        peak_running=engine.gate.peak_running,
        prompt_tokens=engine.prompt_tokens,
        cached_tokens=engine.cached_tokens,
        output_tokens=engine.output_tokens,
    )
