"""A driver for the pool's tests: runs shards through `ray_executor` with a runner that commits files into a folder.

    python tests/cluster/pool_driver.py FOLDER NUM_SHARDS key.path=value ...

A shard has two turns. FOLDER gets `<shard>.try-<n>` when a shard is begun (holding the process id and how many shards
that process had in hand), `<shard>.done` when it is committed, `<pid>.closed` when a runner is closed. A file
`FOLDER/fault` that names a shard and an error makes that shard fail. At the end `turns.json` holds what `on_turn` saw.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import ray

from t2s import errors
from t2s.cluster.shard_pool import ray_executor
from t2s.interaction import Interaction, Turn
from t2s.job import StopSignal, run_job
from t2s.predict import OnTurn
from t2s.predict_config import PredictConfig
from t2s.prediction import Measurement
from t2s.runner import ShardResult
from t2s.settings import PredictSettings
from t2s.shard import Shard


class FileRunner:
    """Takes `engine.scripted.delay_s` a turn; never sees an engine."""

    def __init__(self, config: PredictConfig, plan_digest: str, driver_id: str, on_turn: OnTurn) -> None:
        self._folder = Path(config.run_uri)
        self._delay_s = config.engine.scripted.delay_s
        self._on_turn = on_turn
        self._num_running = 0

    async def run(self, shard: Shard) -> ShardResult:
        self._num_running += 1
        try:
            number = len(list(self._folder.glob(f"{shard.name}.try-*"))) + 1
            self._write(f"{shard.name}.try-{number}", f"{os.getpid()} {self._num_running}")
            self._fail_if_told(shard)
            for turn in shard.interactions[0].turns:
                await asyncio.sleep(self._delay_s)
                self._on_turn(Measurement(db_id="城市", question_id=turn.question_id, completion_tokens=1))
            self._write(f"{shard.name}.done", str(os.getpid()))
            return ShardResult(shard.name, shard.num_turns, 0)
        finally:
            self._num_running -= 1

    async def close(self) -> None:
        self._write(f"{os.getpid()}.closed", "")

    def _fail_if_told(self, shard: Shard) -> None:
        fault = self._folder / "fault"
        if fault.exists():
            name, kind = fault.read_text(encoding="utf-8").split()
            if name == shard.name:
                raise getattr(errors, kind, AssertionError)(f"{shard.name} fails as told: 存储坏了")

    def _write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text, encoding="utf-8")


def shards(number: int) -> list[Shard]:
    """Shards of one interaction of two turns each."""
    return [
        Shard(
            name=f"shard-{index:05d}-of-{number:05d}",
            interactions=(
                Interaction(
                    db_id="城市",
                    turns=(
                        Turn(question_id=f"{index}-0", question="有多少城市？"),
                        Turn(question_id=f"{index}-1", question="最大的呢？"),
                    ),
                ),
            ),
        )
        for index in range(number)
    ]


def main(settings: PredictSettings, stop: StopSignal) -> None:
    """Run the pool; `limit` is the number of shards."""
    ray.init(address="auto", log_to_driver=False, logging_level="WARNING")
    stop.install()
    others = ray.util.placement_group([{"CPU": 1.5}, {"CPU": 1.5}], strategy="STRICT_SPREAD")
    assert others.wait(60), "other jobs leave half a CPU on each node: nothing but engines may want one"
    turns: list[str] = []
    assert settings.limit is not None
    execute = ray_executor(settings, FileRunner)
    execute(settings, shards(settings.limit), "plan", "driver", lambda one: turns.append(one.question_id), stop)
    (Path(settings.run_uri) / "turns.json").write_text(json.dumps(sorted(set(turns))), encoding="utf-8")


if __name__ == "__main__":
    folder, number, *overrides = sys.argv[1:]
    words = [f"run_uri={folder}", f"limit={number}", "dataset_uri=none.json", "engine.kind=scripted", *overrides]
    run_job(PredictSettings, main, [*words, "executor.kind=ray"])
