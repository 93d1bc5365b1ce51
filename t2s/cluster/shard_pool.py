"""Executor `ray`: a pool of actors on Ray Data, one engine in each, one shard a row.

    driver                    Ray Data's actor pool                       the store
    shards as JSON, a block ──> EngineActor (2 shards in one event loop) ──> predictions/<shard>.done
           ^ results ──────────────┘   └──── turns, every second ──> Desk (actor) ──> driver: progress
           └── stop ─────────────────────────────────────────────────> Desk ──> EngineActor

Rows hold no predictions: those are in the store, committed, before a shard's result comes back. An actor that is killed
is started again by Ray and its shards run again; how often, the ledger counts. An engine that dies alone is replaced
inside its actor (`ShardRunner`), so Ray Data never sees an exception for it (ray#59522: one can end the whole job).
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from t2s import process_env
from t2s.cluster.engine_actor import CLOSE_GRACE_S, REPORT_INTERVAL_S, Desk, EngineActor, MakeRunner, Outcome
from t2s.cluster.log_relay import say_again
from t2s.cluster.ray_errors import named, told
from t2s.cluster.resources import RESOURCE_SHARE, num_places, wait_until_placeable
from t2s.errors import ClusterError, Stopped, T2SError
from t2s.predict import Executor, OnTurn, Stop
from t2s.predict_config import PredictConfig
from t2s.runner import ShardRunner
from t2s.settings import PredictSettings
from t2s.shard import Shard

logger = logging.getLogger(__name__)


def ray_executor(settings: PredictSettings, make_runner: MakeRunner = ShardRunner) -> Executor:
    """The executor for `predict`: reserves what `settings.ray` says for each engine. Ray must be connected."""

    def execute(
        config: PredictConfig, shards: Sequence[Shard], plan_digest: str, driver_id: str, on_turn: OnTurn, stop: Stop
    ) -> None:
        wanted = {
            settings.ray.resource: RESOURCE_SHARE,
            "GPU": settings.num_gpus_per_engine,
            "CPU": settings.ray.num_cpus_per_engine,
        }
        wanted = {name: amount for name, amount in wanted.items() if amount > 0}
        wait_until_placeable(wanted, "an engine of predict", settings.ray.wait_for_resources_s, stop)
        num_engines = config.executor.num_engines or (num_places(wanted) if "GPU" in wanted else 1)
        pool = _Pool(wanted, max(1, min(num_engines, len(shards))), config.executor.shards_per_engine)
        engine_args = {
            "desk": pool.desk,
            "variables": process_env.carried(),
            "log_level": settings.log_level,
            "make_runner": make_runner,
            "config": config,
            "plan_digest": plan_digest,
            "driver_id": driver_id,
        }
        try:
            asyncio.run(pool.run(shards, engine_args, on_turn, stop))
        except RayError as error:
            raise ClusterError(f"the pool of engines failed: {told(error)}") from error

    return execute


class _Pool:
    """One pass of shards through the actors, seen from the driver."""

    def __init__(self, wanted: Mapping[str, float], num_engines: int, shards_per_engine: int) -> None:
        self._wanted, self._num_engines, self._shards_per_engine = wanted, num_engines, shards_per_engine
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.desk = ray.remote(num_cpus=0, scheduling_strategy=here)(Desk).remote()
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._read_to_end: Future[None] = Future()
        self._given_up = threading.Event()

    async def run(self, shards: Sequence[Shard], engine_args: Mapping[str, Any], on_turn: OnTurn, stop: Stop) -> None:
        """Return when all shards are committed."""
        logger.info(
            "%d shards on %d engines, %d in each at a time; an engine takes %s",
            len(shards), self._num_engines, self._shards_per_engine,
            ", ".join(f"{name} {amount:g}" for name, amount in self._wanted.items()),
        )  # fmt: skip
        stopping = asyncio.Event()
        stop.add_callback(asyncio.get_running_loop(), stopping.set)
        # A daemon, not an executor's thread: waiting for Ray Data's next row cannot be interrupted.
        threading.Thread(target=self._read, args=(shards, engine_args), name="outcomes", daemon=True).start()
        try:
            await self._watch(len(shards), on_turn, stopping)
        finally:
            self._given_up.set()
            ray.kill(self.desk)

    async def _watch(self, num_shards: int, on_turn: OnTurn, stopping: asyncio.Event) -> None:
        num_committed, give_up_at = 0, math.inf
        failure: T2SError | None = None
        while True:
            ended = self._read_to_end.done()  # asked before the rows are taken: then none can come after them
            broken = ended and self._read_to_end.exception() is not None
            stop = stopping.is_set() or failure is not None or broken
            report, num_open = await self.desk.drain.remote(stop)
            say_again(report.records)
            for measurement in report.measurements:
                on_turn(measurement)
            for outcome in self._take_outcomes():
                num_committed += outcome.kind == "committed"
                if outcome.kind not in ("committed", "stopped"):
                    failure = failure or named(outcome.kind, outcome.message)
                logger.debug("%s: %s (%d of %d shards)", outcome.shard_name, outcome.kind, num_committed, num_shards)
            if stop or ended:
                give_up_at = min(give_up_at, time.monotonic() + CLOSE_GRACE_S)
                if num_open == 0 or time.monotonic() > give_up_at:
                    break
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), REPORT_INTERVAL_S / 4)
        if num_open:
            logger.warning("%d engines had not closed after %.0f s; Ray ends them", num_open, CLOSE_GRACE_S)
        if failure is not None:
            raise failure
        if ended:
            self._check_end()
        if num_committed < num_shards:
            assert stop, f"{num_shards} shards went in, {num_committed} came out"
            raise Stopped("stopped as asked; complete shards are committed, the same command goes on from here")

    def _check_end(self) -> None:
        error = self._read_to_end.exception()
        if error is not None:
            raise ClusterError(f"the pool of engines ended: {told(error)}") from error

    def _take_outcomes(self) -> Iterator[Outcome]:
        with suppress(queue.Empty):
            while True:
                yield self._outcomes.get_nowait()

    def _read(self, shards: Sequence[Shard], engine_args: Mapping[str, Any]) -> None:
        """Pull rows out of Ray Data until there are no more."""
        try:
            for row in self._dataset(shards, engine_args).iter_rows():
                self._outcomes.put(Outcome(*json.loads(row["outcome"])))
                if self._given_up.is_set():
                    break
        except Exception as error:  # carried to the thread that waits, which raises
            self._read_to_end.set_exception(error)
        else:
            self._read_to_end.set_result(None)

    def _dataset(self, shards: Sequence[Shard], engine_args: Mapping[str, Any]) -> ray.data.Dataset:
        _quieten_ray_data()
        # One block a shard, so that a task is one shard. Not from_arrow_refs: for each block it starts a task of one
        # whole CPU, to look at its schema, which never runs where other jobs hold all CPUs.
        rows = [{"shard": shard.model_dump_json()} for shard in shards]
        return ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            EngineActor,
            fn_constructor_kwargs=dict(engine_args),
            batch_size=1,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(
                size=self._num_engines,
                max_tasks_in_flight_per_actor=self._shards_per_engine,
                max_concurrent_calls_per_actor=self._shards_per_engine,
            ),
            num_cpus=self._wanted.get("CPU", 0),
            num_gpus=self._wanted.get("GPU", 0),
            resources={name: amount for name, amount in self._wanted.items() if name not in ("CPU", "GPU")},
        )


def _quieten_ray_data() -> None:
    """Leave its warnings; its file ray-data.log keeps all."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # warns that progress bars are off
    for handler in logging.getLogger("ray.data").handlers:
        if handler.name == "console":
            handler.setLevel(logging.WARNING)
