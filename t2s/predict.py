"""The job predict: from a dataset and its databases to committed shards and `predictions.json`.

`predict` plans, claims the `run_uri`, lets an executor run what is not committed yet, and merges. The work itself is in
`runner`, the commit in `ledger`; the two executors differ only in where runners live.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import logging
import uuid
from collections.abc import Callable, Sequence
from typing import Protocol

from t2s.errors import Stopped, TooManyErrors
from t2s.ledger import ShardLedger
from t2s.merge import PREDICTIONS_KEY, Merged, merge
from t2s.plan import Plan, claim_plan, make_plan, retries, unfinished
from t2s.predict_config import PredictConfig
from t2s.prediction import Measurement
from t2s.runner import ShardRunner
from t2s.shard import Shard
from t2s.storage import Store, open_store
from t2s.usage import write_usage

logger = logging.getLogger(__name__)

MERGED_KEY = "predict/merged.json"


class Stop(Protocol):
    """A request to stop, from a signal."""

    @property
    def requested(self) -> bool:
        """Whether it came."""

    def add_callback(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        """Have `callback` called in `loop` when it comes (at once if it has come)."""


OnTurn = Callable[[Measurement], None]
Executor = Callable[[PredictConfig, Sequence[Shard], str, str, OnTurn, Stop], None]
"""Runs shards until all are committed: (config, shards, plan digest, driver id, on_turn, stop)."""


class Watcher(Protocol):
    """Shows how far a run is."""

    def begin(self, total_turns: int, done_turns: int) -> None:
        """Work starts; `done_turns` of `total_turns` were committed before."""

    def turn(self, measurement: Measurement) -> None:
        """One more turn is answered."""

    def end(self) -> None:
        """Work is over, well or not."""


def predict(config: PredictConfig, execute: Executor, stop: Stop, watcher: Watcher) -> Merged:
    """Run the job to its end; a second call with the same settings resumes or does nothing.

    Raises:
        InputError: Settings or input are wrong, or the run_uri belongs to another plan; nothing was started.
        Stopped: A stop was requested; complete shards are committed.
        TooManyErrors: All is written, but more rows failed than `max_error_rate` allows.
    """
    store = open_store(config.run_uri)
    plan = make_plan(config)
    # 100,000 interactions are two million objects that stay: without this each full collection walks them all, which
    # was 15 % of the run's CPU time.
    gc.freeze()
    store.probe()
    claim_plan(store, plan)
    driver_id = uuid.uuid4().hex
    ledger = ShardLedger(store, plan.digest, driver_id)
    pending = unfinished(ledger, plan.shards)
    if config.retry_errors and not pending:
        pending = retries(ledger, plan.shards)
    num_pending = sum(shard.num_turns for shard in pending)
    logger.info(
        "%d interactions, %d turns over %d databases in %d shards; %d turns to do",
        len(plan.interactions), plan.num_turns, len({one.db_id for one in plan.interactions}), len(plan.shards),
        num_pending,
    )  # fmt: skip
    watcher.begin(max(plan.num_turns, num_pending), plan.num_turns - min(num_pending, plan.num_turns))
    try:
        while pending:
            execute(config, pending, plan.digest, driver_id, watcher.turn, stop)
            # Another driver on the same run may have taken a shard apart and died: then its halves are still to do.
            pending = unfinished(ledger, plan.shards)
    finally:
        watcher.end()
    merged = _merge_once(store, ledger, plan, config)
    usage = write_usage(store, config.gpu_price_per_hour, config.price_currency)
    if usage is not None:
        logger.info("%s", usage.line())
    rate = merged.num_errors / max(merged.num_turns, 1)
    logger.info("%s/%s: %d turns, %d with an error", store.uri, PREDICTIONS_KEY, merged.num_turns, merged.num_errors)
    if rate > config.max_error_rate:
        raise TooManyErrors(
            f"{merged.num_errors} of {merged.num_turns} turns have an error ({rate:.2%}), max_error_rate allows "
            f"{config.max_error_rate:.2%}; all predictions are written; the rows in {store.uri}/predictions say why, "
            "retry_errors=true runs them again"
        )
    return merged


def _merge_once(store: Store, ledger: ShardLedger, plan: Plan, config: PredictConfig) -> Merged:
    """Merge unless the file there was made from exactly these commits."""
    source = hashlib.sha256(
        json.dumps([plan.digest, sorted(ledger.done_names()), config.predictions.leading_space]).encode()
    ).hexdigest()
    if store.exists(MERGED_KEY) and store.exists(PREDICTIONS_KEY):
        found = json.loads(store.read(MERGED_KEY))
        if found.get("source") == source:
            logger.info("nothing to do: %s/%s is complete", store.uri, PREDICTIONS_KEY)
            return Merged(found["num_turns"], found["num_errors"], found["sha256"])
    merged = merge(store, ledger, plan.interactions, plan.shards, config.predictions.leading_space)
    store.write(MERGED_KEY, json.dumps({"source": source, **merged._asdict()}).encode())
    return merged


def run_shards_local(
    config: PredictConfig, shards: Sequence[Shard], plan_digest: str, driver_id: str, on_turn: OnTurn, stop: Stop
) -> None:
    """Executor `local`: one engine, in this process's event loop."""
    asyncio.run(_run_local(ShardRunner(config, plan_digest, driver_id, on_turn), shards, stop))


async def _run_local(runner: ShardRunner, shards: Sequence[Shard], stop: Stop) -> None:
    work = asyncio.create_task(_feed(runner, shards))
    stop.add_callback(asyncio.get_running_loop(), work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        if not stop.requested:
            raise
        raise Stopped("stopped as asked; complete shards are committed, the same command goes on from here") from None
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group
    finally:
        await runner.close()


async def _feed(runner: ShardRunner, shards: Sequence[Shard]) -> None:
    """Bring shards in order, the next one whenever the engine has room and nobody waits for it."""
    await runner.start()
    async with asyncio.TaskGroup() as group:
        for shard in shards:
            await runner.room()
            group.create_task(runner.run(shard))
            await asyncio.sleep(0)  # let it announce itself before the next question for room
