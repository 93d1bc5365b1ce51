"""vLLM's scheduler in simulated time: what the gate brings on a GPU that is not here, on any machine.

    .venvs/dev/bin/python scripts/bench/gpu_simulated.py            (two minutes; a table as gpu_bench.py's)

`SimulatedVllm` has the parts of vLLM that decide how many interactions are good: a pool of cache blocks that are shared
by content and given away in order of last use, chunked prefill under one budget of tokens a step with those that run
first, preemption of the youngest when blocks run out (vllm-project/vllm, v1/core/sched/scheduler.py and
v1/core/block_pool.py at v0.26.0), and a step of delay before an answered interaction's next turn is seen. A step takes
as long as reading the weights or computing its tokens, whichever is more, and reading the cache of all that run. With
an H100's figures and the probe's own lengths it gave 26 interactions/s at a window of 96 where 27.0 were measured, 23
at 64 (24.8), 17 at 256 (19 to 21), 11 shuffled (13). Predict itself is the real job, gate and all.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench.gpu_replay import Chain, Pass, Recorder, Request, predict_pass, replay
from scripts.bench.gpu_report import Figures
from scripts.bench.gpu_sweep import SHUFFLED, Sweep
from scripts.bench.gpu_workload import SHAPES, Workload, write_workload
from t2s.engine import Completion, EngineInfo, Message


class Device(NamedTuple):
    """What a step costs: seconds to read the weights, per token of cache that is read, per token that is computed."""

    weights_s: float
    cache_token_s: float
    token_s: float


_CACHE_BYTES, _TOKEN_FLOP = 131_072, 16e9  # Llama-3-8B, bf16
DEVICES = {
    "H100": Device(0.0065, _CACHE_BYTES / 2.6e12, _TOKEN_FLOP / 5.5e14),
    "A10": Device(0.0270, _CACHE_BYTES / 5.5e11, _TOKEN_FLOP / 7e13),
}
_STEP_S = 0.002  # scheduling and launching
_SETTLE = 6  # passes of the event loop until every coroutine that an answer wakes has asked again


def count_text(text: str) -> int:
    """Tokens of a text, about."""
    return len(text) // 2


class _Run:
    """A request in the engine. Blocks of its prompt are named by their content: (whose text, number of the block)."""

    __slots__ = (
        "answer",
        "blocks",
        "cached",
        "computed",
        "made",
        "names",
        "num_tokens",
        "preempted",
        "prompt",
        "target",
    )

    def __init__(self, prompt: int, num_tokens: int, names: list[tuple[object, int]]) -> None:
        self.prompt, self.num_tokens, self.names = prompt, num_tokens, names
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.blocks: list[int] = []
        self.computed = self.made = self.preempted = 0
        self.cached: int | None = None
        self.target = prompt


class _Pool:
    """Cache blocks; free ones stand in the order in which they will be given away, and keep their content till then."""

    def __init__(self, num_blocks: int) -> None:
        self._free: dict[int, None] = dict.fromkeys(range(num_blocks))
        self._users = [0] * num_blocks
        self._name: list[tuple[object, int] | None] = [None] * num_blocks
        self._by_name: dict[tuple[object, int], int] = {}

    def found(self, names: Sequence[tuple[object, int]]) -> list[int]:
        """The blocks that hold the beginning."""
        blocks = []
        for name in names:
            block = self._by_name.get(name)
            if block is None:
                break
            blocks.append(block)
        return blocks

    def has(self, number: int, beside: Sequence[int] = ()) -> bool:
        """Whether so many are free when those `beside` are in use."""
        return number <= len(self._free) - sum(self._users[block] == 0 for block in beside)

    def share(self, blocks: Sequence[int]) -> None:
        """Use blocks that hold something."""
        for block in blocks:
            self._free.pop(block, None)
            self._users[block] += 1

    def take(self) -> int:
        """An empty block."""
        block = next(iter(self._free))
        del self._free[block]
        name, self._name[block] = self._name[block], None
        if name is not None:
            del self._by_name[name]
        self._users[block] = 1
        return block

    def keep(self, block: int, name: tuple[object, int]) -> None:
        """The block holds this now, unless another does."""
        if self._name[block] is None and name not in self._by_name:
            self._name[block] = name
            self._by_name[name] = block

    def give_back(self, blocks: Sequence[int]) -> None:
        """The end of a text is given away before its beginning."""
        for block in reversed(blocks):
            self._users[block] -= 1
            if self._users[block] == 0:
                self._free[block] = None

    def forget(self) -> None:
        """Hold nothing."""
        assert not any(self._users)
        self._by_name.clear()
        self._name = [None] * len(self._name)


class SimulatedVllm:
    """An engine whose clock is `now`, in simulated seconds.

    Args:
        device: What a step costs.
        kv_cache_tokens: Size of the cache.
        answers: question -> tokens of its answer.
    """

    def __init__(
        self,
        device: Device,
        kv_cache_tokens: int,
        answers: Mapping[str, int],
        *,
        block_size: int = 16,
        max_num_seqs: int = 256,
        max_num_batched_tokens: int = 2048,
    ) -> None:
        self._device, self._answers = device, answers
        self._block, self._max_seqs, self._max_batch = block_size, max_num_seqs, max_num_batched_tokens
        self._pool = _Pool(kv_cache_tokens // block_size)
        self.info = EngineInfo("simulated", "1", 8192, kv_cache_tokens, max_num_seqs, block_size)
        self.now = 0.0
        self.preemptions = 0
        self._arriving: list[_Run] = []
        self._waiting: list[_Run] = []
        self._running: list[_Run] = []
        self._work: asyncio.Task[None] | None = None

    def clock(self) -> float:
        """Simulated seconds."""
        return self.now

    async def start(self) -> EngineInfo:
        """Runs at once."""
        return self.info

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """As `count_text`, and four for each header, the answer's included."""
        return sum(count_text(message["content"]) + 4 for message in messages) + 4

    async def generate(self, messages: Sequence[Message]) -> Completion:
        """Answer when the simulation has got that far."""
        began = self.now
        prompt = self.count_tokens(messages)
        system = messages[0]["content"]
        shared = (count_text(system) + 4) // self._block
        names: list[tuple[object, int]] = [(system, number) for number in range(shared)]
        names += [(messages[1]["content"], number) for number in range(shared, prompt // self._block)]
        run = _Run(prompt, self._answers[messages[-1]["content"].strip()], names)
        self._arriving.append(run)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._steps())
        await run.answer
        return Completion(
            "select 1", "length", prompt, run.cached or 0, run.num_tokens, self.now - began, run.preempted
        )

    async def ask(self, request: Request) -> int:
        """For replays."""
        return (await self.generate(request.messages)).cached_tokens

    async def close(self) -> None:
        """Nothing is held."""

    async def forget(self) -> None:
        """Empty the prefix cache, once the last step is over."""
        if self._work is not None:
            await self._work
        self._pool.forget()

    async def _steps(self) -> None:
        while self._arriving or self._waiting or self._running:
            for _ in range(_SETTLE):
                await asyncio.sleep(0)
            seen, self._arriving = self._arriving, []
            self._step()
            self._waiting += seen

    def _step(self) -> None:
        budget = self._max_batch
        scheduled: list[tuple[_Run, int]] = []
        preempted = False
        for run in list(self._running):
            number = min(run.target - run.computed, budget)
            if run not in self._running or number == 0:
                continue
            while not self._pool.has(self._lacking(run, number)):
                victim = self._running.pop()
                self._preempt(victim)
                preempted = True
                budget += sum(tokens for one, tokens in scheduled if one is victim)
                scheduled = [(one, tokens) for one, tokens in scheduled if one is not victim]
                if victim is run:
                    break
            else:
                self._schedule(run, number)
                scheduled.append((run, number))
                budget -= number
        while self._waiting and budget and len(self._running) < self._max_seqs and not preempted:
            run = self._waiting[0]
            found = self._pool.found(run.names)
            found = found[: (run.target - 1) // self._block]  # at least one token is computed
            number = min(run.target - len(found) * self._block, budget)
            run.blocks, run.computed = found, len(found) * self._block
            if not self._pool.has(self._lacking(run, number), found):
                run.blocks, run.computed = [], 0
                break
            del self._waiting[0]
            self._pool.share(found)
            if run.cached is None:
                run.cached = run.computed
            self._schedule(run, number)
            self._running.append(run)
            scheduled.append((run, number))
            budget -= number
        self._pass(scheduled)

    def _lacking(self, run: _Run, number: int) -> int:
        return max(0, -(-(run.computed + number) // self._block) - len(run.blocks))

    def _preempt(self, run: _Run) -> None:
        self._pool.give_back(run.blocks)
        run.blocks, run.computed, run.target = [], 0, run.prompt + run.made
        run.preempted += 1
        self.preemptions += 1
        self._waiting.insert(0, run)

    def _schedule(self, run: _Run, number: int) -> None:
        """Give it the blocks; those that it fills can be shared at once, by others of the same step too."""
        run.blocks += [self._pool.take() for _ in range(self._lacking(run, number))]
        for index in range(run.computed // self._block, (run.computed + number) // self._block):
            if index < len(run.names):
                self._pool.keep(run.blocks[index], run.names[index])

    def _pass(self, scheduled: Sequence[tuple[_Run, int]]) -> None:
        """Time goes by; whoever has its last token is answered."""
        tokens = read = 0
        for run, number in scheduled:
            tokens += number
            run.computed += number
            read += run.computed
            if run.computed == run.target:
                run.made += 1
                run.target += 1
                if run.made == run.num_tokens:
                    self._running.remove(run)
                    self._pool.give_back(run.blocks)
                    run.answer.set_result(None)
        device = self._device
        self.now += max(device.weights_s, tokens * device.token_s) + read * device.cache_token_s + _STEP_S


async def simulate(workload: Workload, device: Device, kv_cache_tokens: int, windows: Sequence[int] = ()) -> Sweep:
    """Predict and windows over a test set that was counted with `count_text`."""
    engine = SimulatedVllm(device, kv_cache_tokens, workload.answers)
    # One shard: what the job does in threads takes no simulated time, but the engine would run on meanwhile.
    words = [f"dataset_uri={workload.dataset}", "history=gold", "engine.kind=scripted", "shard_turns=1000000"]
    chains: list[Chain] = []

    async def measure(what: str, window: int | None) -> Pass:
        nonlocal chains
        await engine.forget()
        before = engine.preemptions
        if window is None:
            recorder = Recorder(engine, engine.info, workload.answers, engine.clock)
            one = await predict_pass(words, recorder)
            chains = chains or recorder.chains
        else:
            one = await replay(
                engine.ask, chains[1::2] + chains[::2] if what == SHUFFLED else chains, window, engine.clock
            )
        return one._replace(preemptions=engine.preemptions - before)

    sweep = Sweep(measure, workload.num_interactions, 0, float("inf"), windows)
    await sweep.run()
    return sweep


def main() -> None:
    """Three lengths of schemas, an A10's cache, on both devices."""
    with tempfile.TemporaryDirectory(prefix="t2s-bench-sets-") as folder:
        figures = Figures(Path(folder), {"simulated": "Llama-3-8B, a KV cache of 36,000 tokens"})
        began = time.monotonic()
        for name, shape in SHAPES.items():
            number = 200 if name == "long" else 400
            workload = write_workload(Path(folder) / name, shape, number, count_text)
            for device_name, device in DEVICES.items():
                sweep = asyncio.run(simulate(workload, device, 36_000))
                for what, passes in sweep.passes.items():
                    figures.add(device_name, name, what, passes[0])
                figures.ratios[f"{device_name} / {name}"] = sweep.ratios()
        print(figures.table())
        print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
