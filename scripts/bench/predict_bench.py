"""How near predict comes to the bare engine, and how far ahead of one question at a time it is, in one run.

    .venvs/predict-cpu/bin/python scripts/bench/predict_bench.py --interactions 24 --max-tokens 48
    (after `make demo-predict`, which makes the environment, the sample and the small model)

1. predict: the real `ShardRunner` (prompt, admission gate, extraction, commit to disk) with the real engine. What it
   sends, token ids and lengths of the answers, is recorded for each interaction.
2. bare engine: the same ids to the same engine, each interaction's turns one after the other, windows of so many
   interactions at once; answers of exactly the recorded lengths. Nothing of ours in between.
3. `transformers`, one question at a time: what the team's notebooks do.

Passes of 1 and 2 take turns, with an empty prefix cache each, so that a machine that changes its speed changes both;
the ratio is the median of those of neighbouring passes. Model loading is not counted anywhere.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from t2s.dataset import default_databases_uri, read_interactions
from t2s.engine import Completion, Engine, EngineConfig, EngineInfo, Message, open_engine
from t2s.engine.vllm_engine import VllmEngine
from t2s.model_folder import resolve_model
from t2s.predict_config import PredictConfig
from t2s.runner import ShardRunner
from t2s.shard import cut, plan_order


class Sent(NamedTuple):
    """One recorded request."""

    ids: list[int]
    completion_tokens: int


class Recorder:
    """An engine that writes down what goes through it, by the coroutine (that is, the interaction) that asks."""

    def __init__(self, engine: VllmEngine) -> None:
        self.engine = engine
        self.chains: dict[object, list[Sent]] = {}
        self.cached_tokens = self.prompt_tokens = 0

    async def start(self) -> EngineInfo:
        """Start the engine once; later runners find it started."""
        return await self.engine.start()

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """The engine's own."""
        return self.engine.count_tokens(messages)

    async def generate(self, messages: Sequence[Message]) -> Completion:
        """The engine's own, recorded."""
        completion = await self.engine.generate(messages)
        ids = self.engine._tokenizer.encode(messages)  # type: ignore[union-attr]
        self.chains.setdefault(asyncio.current_task(), []).append(Sent(ids, completion.completion_tokens))
        self.cached_tokens += completion.cached_tokens
        self.prompt_tokens += completion.prompt_tokens
        return completion

    async def close(self) -> None:
        """Left to the end of the benchmark."""


class Pass(NamedTuple):
    """One timed pass."""

    seconds: float
    turns: int
    completion_tokens: int
    cached_share: float


async def predict_pass(config: PredictConfig, recorder: Recorder, info: EngineInfo) -> Pass:
    """All interactions through the real runner, into a fresh run."""

    class Started(Recorder):
        async def start(self) -> EngineInfo:
            return info

    recording = Started(recorder.engine)
    with tempfile.TemporaryDirectory(prefix="t2s-bench-") as folder:
        fresh = config.model_copy(update={"run_uri": folder})
        interactions = read_interactions(config.dataset_uri, limit=config.limit)
        shards = cut(plan_order(interactions), config.shard_turns)
        runner = ShardRunner(fresh, "bench", "bench", make_engine=lambda *_: recording)
        await runner.start()
        await recorder.engine._client.reset_prefix_cache()
        began = time.perf_counter()
        results = await asyncio.gather(*(runner.run(shard) for shard in shards))
        seconds = time.perf_counter() - began
        await runner.close()
    recorder.chains = recording.chains
    tokens = sum(sent.completion_tokens for chain in recording.chains.values() for sent in chain)
    turns = sum(result.num_turns for result in results)
    return Pass(seconds, turns, tokens, recording.cached_tokens / recording.prompt_tokens)


async def bare_pass(engine: VllmEngine, chains: list[list[Sent]], window: int) -> Pass:
    """The recorded requests to the engine's own client."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    client = engine._client
    await client.reset_prefix_cache()
    places = asyncio.Semaphore(window)
    cached = 0

    async def chain(number: int, requests: list[Sent]) -> None:
        nonlocal cached
        async with places:
            for turn, sent in enumerate(requests):
                sampling = SamplingParams(
                    temperature=0.0,
                    max_tokens=sent.completion_tokens,
                    ignore_eos=True,
                    output_kind=RequestOutputKind.FINAL_ONLY,
                )
                async for output in client.generate(
                    {"prompt_token_ids": sent.ids}, sampling, f"bare-{window}-{number}-{turn}-{time.time_ns()}"
                ):
                    result = output
                cached += result.num_cached_tokens or 0

    began = time.perf_counter()
    await asyncio.gather(*(chain(number, requests) for number, requests in enumerate(chains)))
    seconds = time.perf_counter() - began
    sent = [one for requests in chains for one in requests]
    prompt_tokens = sum(len(one.ids) for one in sent)
    return Pass(seconds, len(sent), sum(one.completion_tokens for one in sent), cached / prompt_tokens)


async def one_by_one(config: PredictConfig, num_interactions: int) -> Pass:
    """The notebooks' loop: transformers, a question at a time, no prefix cache, the same prompts and history."""
    engine_config = config.engine.model_copy(update={"kind": "transformers", "transformers_batch_size": 1})
    engine: Engine = open_engine(engine_config, _model_path(config))
    info = await engine.start()

    class Started:
        chains_tokens = 0

        async def start(self) -> EngineInfo:
            return info._replace(max_num_seqs=1)

        def count_tokens(self, messages: Sequence[Message]) -> int:
            return engine.count_tokens(messages)

        async def generate(self, messages: Sequence[Message]) -> Completion:
            completion = await engine.generate(messages)
            Started.chains_tokens += completion.completion_tokens
            return completion

        async def close(self) -> None:
            pass

    with tempfile.TemporaryDirectory(prefix="t2s-bench-") as folder:
        fresh = config.model_copy(update={"run_uri": folder, "limit": num_interactions})
        interactions = read_interactions(config.dataset_uri, limit=num_interactions)
        shards = cut(plan_order(interactions), 1_000_000)
        runner = ShardRunner(fresh, "bench", "bench", make_engine=lambda *_: Started())
        await runner.start()
        began = time.perf_counter()
        results = [await runner.run(shard) for shard in shards]
        seconds = time.perf_counter() - began
    await engine.close()
    return Pass(seconds, sum(result.num_turns for result in results), Started.chains_tokens, 0.0)


def _model_path(config: PredictConfig) -> str:
    return str(resolve_model(config.engine.model_uri, config.models_dir, config.cache_dir).path)


async def main(arguments: argparse.Namespace) -> dict[str, Any]:
    config = PredictConfig(
        dataset_uri=arguments.dataset,
        databases_uri=default_databases_uri(arguments.dataset),
        run_uri="unused",
        limit=arguments.interactions,
        engine=EngineConfig.model_validate(
            {
                "kind": "vllm",
                "model_uri": arguments.model,
                "generation": {"max_tokens": arguments.max_tokens},
                "vllm": json.loads(arguments.vllm),
            }
        ),
    )
    recorder = Recorder(VllmEngine(config.engine, _model_path(config), None))
    began = time.perf_counter()
    info = await recorder.start()
    start_s = time.perf_counter() - began
    passes: dict[str, list[Pass]] = {}
    try:
        await predict_pass(config, recorder, info)  # warms up kernels, tokenizer and disk; not counted
        for number in range(arguments.passes):
            print(f"pass {number + 1} of {arguments.passes}", file=sys.stderr, flush=True)
            passes.setdefault("t2s predict", []).append(await predict_pass(config, recorder, info))
            chains = list(recorder.chains.values())
            for window in arguments.windows:
                window_pass = await bare_pass(recorder.engine, chains, window)
                passes.setdefault(f"bare engine, {window} at once", []).append(window_pass)
    finally:
        await recorder.engine.close()
    if arguments.one_by_one:
        passes["transformers, one by one"] = [await one_by_one(config, arguments.one_by_one)]
    rates = {name: statistics.median(one.turns / one.seconds for one in runs) for name, runs in passes.items()}
    predict_rate = rates["t2s predict"]
    best = max((name for name in rates if name.startswith("bare")), key=lambda name: rates[name])
    pairs = [bare.seconds / ours.seconds for ours, bare in zip(passes["t2s predict"], passes[best], strict=True)]
    return {
        "when": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "engine": f"{info.name} {info.version}",
        "start_s": round(start_s, 1),
        "interactions": arguments.interactions,
        "turns": passes["t2s predict"][0].turns,
        "rows": [
            {
                "what": name,
                "turns_per_s": round(rates[name], 3),
                "passes": [round(one.turns / one.seconds, 3) for one in runs],
                "output_tokens_per_s": round(statistics.median(one.completion_tokens / one.seconds for one in runs), 1),
                "cached_share": round(statistics.median(one.cached_share for one in runs), 3),
                "turns": runs[0].turns,
            }
            for name, runs in passes.items()
        ],
        "predict_over_best_bare": round(statistics.median(pairs), 3),
        "pairs": [round(pair, 3) for pair in pairs],
        "predict_over_one_by_one": round(predict_rate / rates["transformers, one by one"], 2)
        if arguments.one_by_one
        else None,
    }


def show(result: dict[str, Any]) -> None:
    print(f"\n{result['engine']}, {result['machine']}, {result['when']}: {result['turns']} turns a pass\n")
    print(f"{'':32}{'turns/s':>9}{'output tok/s':>14}{'from cache':>12}   passes (turns/s)")
    for row in result["rows"]:
        print(
            f"{row['what']:32}{row['turns_per_s']:9.3f}{row['output_tokens_per_s']:14.1f}{row['cached_share']:12.1%}"
            f"   {' '.join(str(rate) for rate in row['passes'])}"
        )
    print(f"\npredict / best bare engine: {result['predict_over_best_bare']} (pass by pass: {result['pairs']})")
    if result["predict_over_one_by_one"]:
        print(f"predict / transformers one by one: {result['predict_over_one_by_one']}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="data/sample/test_data/test.json")
    parser.add_argument("--model", default="sample", help="a model folder, or the word sample")
    parser.add_argument("--vllm", default="{}", help="vLLM's own options as JSON")
    parser.add_argument("--interactions", type=int, default=24)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--windows", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--one-by-one", type=int, default=8, help="interactions for transformers; 0: leave it out")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    parsed = parser.parse_args()
    figures = asyncio.run(main(parsed))
    show(figures)
    if parsed.output:
        parsed.output.write_text(json.dumps(figures, ensure_ascii=False, indent=1), encoding="utf-8")
