"""One timed pass over a test set: through t2s predict, or the same requests to the bare engine.

`predict_pass` is the job itself, from settings to the merged `predictions.json`; only the engine is one that runs
already. A `Recorder` stands between the job and that engine, a `Tap` between the engine and vLLM's client: they give
each answer its fixed length and write down which token ids were sent, by interaction. `replay` sends exactly those
again, each interaction's turns one after the other, a fixed number of interactions at once, with nothing of t2s in
between.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

from t2s.engine import Completion, Engine, EngineInfo, Message
from t2s.engine.vllm_engine import VllmEngine
from t2s.plan import PLAN_KEY
from t2s.predict import OnTurn, Stop, _run_local, predict
from t2s.predict_config import PredictConfig
from t2s.run_record import RunRecord
from t2s.runner import ShardRunner
from t2s.settings import PredictSettings
from t2s.shard import Shard


class Request:
    """One prompt that t2s sent.

    Attributes:
        messages: As the engine got them.
        num_tokens: Length of the answer.
        ids: As vLLM got them; empty for an engine without token ids.
        prompt_tokens: How many there are.
    """

    __slots__ = ("ids", "messages", "num_tokens", "prompt_tokens")

    def __init__(self, messages: Sequence[Message], num_tokens: int) -> None:
        self.messages = messages
        self.num_tokens = num_tokens
        self.ids: list[int] = []
        self.prompt_tokens = 0


Chain = list[Request]
"""The requests of one interaction, in order."""

Ask = Callable[[Request], Awaitable[int]]
"""Sends one request to the bare engine and returns how many tokens of the prompt came from its cache."""

Clock = Callable[[], float]
"""Seconds; a simulated engine has its own."""


class Pass(NamedTuple):
    """One timed pass.

    Attributes:
        seconds: Of all of it.
        interactions, turns, prompt_tokens, output_tokens, cached_tokens: Sums.
        running: Requests in the engine at once, mean over time.
        peak_running: And at most.
        preemptions: Of the engine, or None where it does not count them.
        plan_s, merge_s: Of `seconds`, before the first shard and after the last; 0 for a replay.
    """

    seconds: float
    interactions: int
    turns: int
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int
    running: float
    peak_running: int
    preemptions: int | None = None
    plan_s: float = 0.0
    merge_s: float = 0.0

    def figures(self) -> dict[str, float | int | None]:
        """For the JSON file: the fields, and the rates that follow from them."""
        per_s = {
            "interactions_per_s": self.interactions / self.seconds,
            "turns_per_s": self.turns / self.seconds,
            "prompt_tokens_per_s": self.prompt_tokens / self.seconds,
            "output_tokens_per_s": self.output_tokens / self.seconds,
            "cached_share": self.cached_tokens / max(self.prompt_tokens, 1),
        }
        return {
            name: round(value, 4) if isinstance(value, float) else value for name, value in self._asdict().items()
        } | {name: round(value, 4) for name, value in per_s.items()}


class Load:
    """Counts what runs at once and for how long; a context manager round each request."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._running = 0
        self._since = clock()
        self.busy_s = 0.0
        self.peak = 0

    def _change(self, by: int) -> None:
        now = self.clock()
        self.busy_s += self._running * (now - self._since)
        self._since = now
        self._running += by
        self.peak = max(self.peak, self._running)

    def __enter__(self) -> None:
        self._change(1)

    def __exit__(self, *_: object) -> None:
        self._change(-1)


_current: ContextVar[Request | None] = ContextVar("current", default=None)


class Tap:
    """vLLM's client with answers of fixed length; everything else is the client's own."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def generate(self, prompt: Mapping[str, Any], sampling: Any, request_id: str, **options: Any) -> AsyncIterator[Any]:
        """The client's own, with the length of the request that the recorder has announced."""
        request = _current.get()
        assert request is not None, "only what comes through the recorder is sent"
        request.ids = prompt["prompt_token_ids"]
        stream: AsyncIterator[Any] = self._client.generate(
            prompt, fixed_length(request.num_tokens, detokenize=True), request_id, **options
        )
        return stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def fixed_length(num_tokens: int, detokenize: bool) -> Any:
    """Greedy sampling of exactly so many tokens, delivered whole."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=0.0,
        max_tokens=num_tokens,
        ignore_eos=True,
        detokenize=detokenize,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


class Recorder:
    """An engine that runs already, for any number of runs; writes down what goes through it.

    Args:
        engine: Started.
        info: What its start gave.
        answers: question -> tokens of its answer.
        clock: For the time that the run takes.
    """

    def __init__(
        self, engine: Engine, info: EngineInfo, answers: Mapping[str, int], clock: Clock = time.perf_counter
    ) -> None:
        self._engine = engine
        self._info = info
        self._answers = answers
        self._chains: dict[object, Chain] = {}
        self.load = Load(clock)
        self.cached_tokens = 0

    async def start(self) -> EngineInfo:
        """Runs already."""
        return self._info

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """The engine's own."""
        return self._engine.count_tokens(messages)

    async def generate(self, messages: Sequence[Message]) -> Completion:
        """The engine's own, recorded under the coroutine (that is, the interaction) that asks."""
        request = Request(messages, self._answers[messages[-1]["content"].strip()])
        _current.set(request)
        with self.load:
            completion = await self._engine.generate(messages)
        request.prompt_tokens = completion.prompt_tokens
        if request.ids and completion.completion_tokens != request.num_tokens:
            raise AssertionError(f"wanted {request.num_tokens} tokens, the engine gave {completion.completion_tokens}")
        request.num_tokens = completion.completion_tokens
        self.cached_tokens += completion.cached_tokens
        self._chains.setdefault(asyncio.current_task(), []).append(request)
        return completion

    async def close(self) -> None:
        """Left to the benchmark."""

    @property
    def chains(self) -> list[Chain]:
        """By interaction, in the order in which they came to their first answer."""
        return list(self._chains.values())


class NeverStop:
    """Nobody asks the job to stop."""

    requested = False

    def add_callback(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        """Never called."""


async def predict_pass(words: Sequence[str], recorder: Recorder) -> Pass:
    """Run the job predict in a thread, its engine in this loop, into a folder that is thrown away.

    Args:
        words: Settings as on the command line, without run_uri and cache_dir.
        recorder: The engine.
    """
    loop = asyncio.get_running_loop()
    marks: list[float] = []
    clock = recorder.load.clock

    def execute(
        config: PredictConfig, shards: Sequence[Shard], plan_digest: str, driver_id: str, on_turn: OnTurn, stop: Stop
    ) -> None:
        marks.append(clock())
        runner = ShardRunner(config, plan_digest, driver_id, on_turn, make_engine=lambda *_: recorder)
        asyncio.run_coroutine_threadsafe(_run_local(runner, shards, stop), loop).result()
        marks.append(clock())

    def job(folder: str) -> tuple[float, float, int]:
        began = clock()
        settings = PredictSettings.load([*words, f"run_uri={folder}/run", f"cache_dir={folder}/cache"])
        with RunRecord(settings, settings.run_uri, plan_key=PLAN_KEY) as record:
            merged = predict(settings, execute, NeverStop(), record)
        return began, clock(), merged.num_turns

    gc.unfreeze()  # what the pass before has frozen
    gc.collect()
    with tempfile.TemporaryDirectory(prefix="t2s-bench-") as folder:
        began, ended, num_turns = await asyncio.to_thread(job, folder)
        written = sum(len(one) for one in json.loads(Path(folder, "run", "predictions.json").read_bytes()))
    requests = [request for chain in recorder.chains for request in chain]
    if not len(requests) == num_turns == written:
        raise AssertionError(f"{len(requests)} requests, {num_turns} turns, {written} in predictions.json")
    first, last = marks
    seconds = ended - began
    return _pass(recorder.chains, seconds, recorder.load, recorder.cached_tokens)._replace(
        plan_s=first - began, merge_s=ended - last
    )


async def replay(ask: Ask, chains: Sequence[Chain], window: int, clock: Clock = time.perf_counter) -> Pass:
    """Send recorded requests, `window` interactions at once, each one's turns one after the other."""
    load = Load(clock)
    cached_tokens = 0
    waiting = iter(chains)

    async def place() -> None:
        """One of the window's places: takes the next interaction whenever its own is done."""
        nonlocal cached_tokens
        for chain in waiting:
            for request in chain:
                with load:
                    cached = await ask(request)
                cached_tokens += cached  # not in one line: others add to it during the wait

    gc.collect()
    began = clock()
    await asyncio.gather(*(place() for _ in range(min(window, len(chains)))))
    return _pass(chains, clock() - began, load, cached_tokens)


def _pass(chains: Sequence[Chain], seconds: float, load: Load, cached_tokens: int) -> Pass:
    requests = [request for chain in chains for request in chain]
    return Pass(
        seconds=seconds,
        interactions=len(chains),
        turns=len(requests),
        prompt_tokens=sum(request.prompt_tokens for request in requests),
        output_tokens=sum(request.num_tokens for request in requests),
        cached_tokens=cached_tokens,
        running=load.busy_s / seconds,
        peak_running=load.peak,
    )


class SharedVllm:
    """A vLLM engine of t2s that serves predict and replays; used in one event loop.

    Args:
        settings: Its `engine` says model and options.
        model_path: Model folder.
    """

    def __init__(self, settings: PredictSettings, model_path: str) -> None:
        self.engine = VllmEngine(settings.engine, model_path, None)
        self._ids = itertools.count()
        self._client: Any = None
        self.info: EngineInfo | None = None
        self.start_s = 0.0

    async def start(self) -> EngineInfo:
        """Start it and put the tap in."""
        began = time.perf_counter()
        self.info = await self.engine.start()
        self.start_s = time.perf_counter() - began
        self._client = self.engine._client
        self.engine._client = Tap(self._client)
        return self.info

    async def close(self) -> None:
        """End it."""
        if self._client is not None:
            self.engine._client = self._client
        await self.engine.close()

    async def forget(self) -> None:
        """Empty the prefix cache, and what t2s's tokenizer keeps: each pass begins as a run does."""
        assert self.engine._tokenizer is not None, "start comes first"
        self.engine._tokenizer._prefixes.clear()
        for _ in range(50):
            if await self._client.reset_prefix_cache() is not False:
                return
            await asyncio.sleep(0.1)  # blocks of the last requests are still being given back
        raise AssertionError("the engine does not empty its prefix cache: something runs in it")

    async def ask(self, request: Request) -> int:
        """The bare engine: token ids in, token ids out."""
        result: Any = None
        async for output in self._client.generate(
            {"prompt_token_ids": request.ids}, fixed_length(request.num_tokens, False), f"bare-{next(self._ids)}"
        ):
            result = output
        if len(result.outputs[0].token_ids) != request.num_tokens:
            raise AssertionError(f"wanted {request.num_tokens} tokens, found {len(result.outputs[0].token_ids)}")
        return result.num_cached_tokens or 0

    def preemptions(self) -> int:
        """Of all engines of this process so far, as vLLM counts them."""
        from vllm.v1.metrics.reader import get_metrics_snapshot

        return sum(int(one.value) for one in get_metrics_snapshot() if one.name == "vllm:num_preemptions")
