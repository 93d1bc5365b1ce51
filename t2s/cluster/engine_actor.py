"""The actor's side of the pool: an engine with its shards, and the desk that it reports to.

EngineActor (one per engine)                          Desk (beside the driver)
turns, log records ── every second ────────────────>  kept until the driver drains it
cancels its shards, closes its engine  <── "stop" ──  set by the driver
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import ray
from ray.exceptions import RayActorError

from t2s import process_env
from t2s.cluster.log_relay import LogRelay
from t2s.errors import T2SError
from t2s.predict import OnTurn
from t2s.predict_config import PredictConfig
from t2s.prediction import Measurement
from t2s.runner import ShardResult
from t2s.shard import Shard

logger = logging.getLogger(__name__)

REPORT_INTERVAL_S = 1.0
CLOSE_GRACE_S = 14.0
"""Of the 20 s that a stopped job has, what engines get to close; the rest is the driver's and the launcher's."""

SILENT_S = 600.0
"""An actor that has not reported for so long counts as gone."""


class Runner(Protocol):
    """What an actor drives; `ShardRunner` in earnest."""

    async def run(self, shard: Shard) -> ShardResult:
        """Commit a shard."""

    async def close(self) -> None:
        """Stop the engine."""


MakeRunner = Callable[[PredictConfig, str, str, OnTurn], Runner]


class Outcome(NamedTuple):
    """What came of one shard in an actor, as a row.

    Attributes:
        kind: `committed`, `stopped`, or the name of an error in `errors`.
        shard_name, num_turns, num_errors: Of a committed shard.
        message: Of an error.
    """

    kind: str
    shard_name: str
    num_turns: int = 0
    num_errors: int = 0
    message: str = ""


class Report(NamedTuple):
    """What an actor has to say since its last report: its turns and its log."""

    measurements: list[Measurement]
    records: list[logging.LogRecord]


class Desk:
    """Between the driver and its actors: takes their reports, tells them to stop. A Ray actor that takes no CPU."""

    def __init__(self) -> None:
        self._kept = Report([], [])
        self._open: dict[str, float] = {}
        self._stop = False

    def report(self, actor_id: str, report: Report) -> bool:
        """An actor is alive; returns whether it must stop."""
        self._keep(report)
        self._open[actor_id] = time.monotonic()
        return self._stop

    def closed(self, actor_id: str, report: Report) -> None:
        """An actor has closed its engine."""
        self._keep(report)
        self._open.pop(actor_id, None)

    def drain(self, stop: bool) -> tuple[Report, int]:
        """All reports since the last call, and how many actors have an engine; `stop` goes to all of them."""
        self._stop = self._stop or stop
        kept, self._kept = self._kept, Report([], [])
        return kept, sum(time.monotonic() - seen < SILENT_S for seen in self._open.values())

    def _keep(self, report: Report) -> None:
        self._kept.measurements.extend(report.measurements)
        self._kept.records.extend(report.records)


class EngineActor:
    """What Ray Data puts into each actor; `__call__` runs in the actor's one event loop, several at a time.

    Args:
        desk: The driver's `Desk`.
        variables: Environment variables that the driver carries along.
        log_level: Of the project's own log records.
        make_runner: Called in the event loop with `config`, `plan_digest`, `driver_id` and what takes each turn.
    """

    def __init__(
        self,
        desk: Any,
        variables: Mapping[str, str],
        log_level: str,
        make_runner: MakeRunner,
        config: PredictConfig,
        plan_digest: str,
        driver_id: str,
    ) -> None:
        process_env.adopt(variables)
        self._log = LogRelay(f"engine {ray.get_runtime_context().get_actor_id()[:6]}")
        self._log.install(log_level)
        self._make = lambda on_turn: make_runner(config, plan_digest, driver_id, on_turn)
        self._desk = desk
        self._side: _EngineSide | None = None

    async def __call__(self, batch: pa.Table) -> AsyncIterator[dict[str, list[str]]]:
        """Take one shard (a row with its JSON), yield what came of it (a row with the JSON of an `Outcome`)."""
        [shard_json] = batch["shard"].to_pylist()
        if self._side is None:
            self._side = _EngineSide(self._make, self._desk, self._log)
        outcome = await self._side.run(Shard.model_validate_json(shard_json))
        yield {"outcome": [json.dumps(outcome, ensure_ascii=False)]}

    def __del__(self) -> None:
        # Ray Data drops the object when the pool is given back; the event loop, in a thread of its own, still runs.
        if self._side is not None:
            self._side.close_from_outside()


class _EngineSide:
    """The part of an `EngineActor` that lives in its event loop, reporter included; made inside that loop.

    It holds no reference to the `EngineActor`, whose `__del__` would never come.
    """

    def __init__(self, make: Callable[[OnTurn], Runner], desk: Any, log: LogRelay) -> None:
        self._desk, self._log = desk, log
        self._measurements: list[Measurement] = []
        self._runner = make(self._measurements.append)
        self._running: set[asyncio.Task[ShardResult]] = set()
        self._stopping = False
        self._loop = asyncio.get_running_loop()
        self._id = ray.get_runtime_context().get_actor_id()
        self._reporter = self._loop.create_task(self._report())

    async def run(self, shard: Shard) -> Outcome:
        """Run one shard to its end, or to the stop."""
        if self._stopping:
            return Outcome("stopped", shard.name)
        task = self._loop.create_task(self._runner.run(shard))
        self._running.add(task)
        try:
            result = await task
            await self._must_stop()  # the driver hears of the last turns before it hears that the shard is done
            return Outcome("committed", *result)
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            await self._reporter  # it closes the engine: when this row is at the driver, no engine is left
            return Outcome("stopped", shard.name)
        except T2SError as error:
            return Outcome(type(error).__name__, shard.name, message=str(error))
        except Exception as error:  # carried to the driver, which raises; Ray Data would add forty lines and a hint
            logger.error("%s: unexpected %s", shard.name, type(error).__name__, exc_info=error)
            message = f"unexpected {type(error).__name__}: {error} (the traceback is in the log above)"
            return Outcome(T2SError.__name__, shard.name, message=message)
        finally:
            self._running.discard(task)

    async def _report(self) -> None:
        while not await self._must_stop():
            await asyncio.sleep(REPORT_INTERVAL_S)
        self._stopping = True
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._close()

    async def _must_stop(self) -> bool:
        try:
            return bool(await self._desk.report.remote(self._id, self._taken()))
        except RayActorError:
            return True  # the driver has gone: nobody waits for these shards

    def _taken(self) -> Report:
        taken = self._measurements.copy()
        self._measurements.clear()  # in place: the runner appends to this very list
        return Report(taken, self._log.take())

    async def _close(self) -> None:
        try:
            await self._runner.close()
        finally:
            with suppress(RayActorError):
                await self._desk.closed.remote(self._id, self._taken())

    def close_from_outside(self) -> None:
        """Close the engine, from another thread than the loop's, and wait for it."""
        if not self._stopping and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._reporter.cancel)
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(CLOSE_GRACE_S)
