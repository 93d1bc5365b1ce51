"""Beside one engine: turns shards into committed rows, whatever happens to the engine.

All shards of an engine share its admission gate. A `ShardRunner` lives in one event loop; the local executor has one,
an actor of the Ray pool has one.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from t2s.admission import AdmissionGate
from t2s.answering import AliveEngine, Answered, Answerer, measurement, prediction
from t2s.engine import Engine, EngineConfig, EngineInfo, open_engine
from t2s.engine_account import EngineAccount, TokenCost, token_cost
from t2s.errors import EngineDead, EngineError
from t2s.ledger import Attempt, ShardLedger
from t2s.model_folder import resolve_model
from t2s.predict_config import PredictConfig
from t2s.prediction import Measurement, Prediction
from t2s.shard import Shard
from t2s.storage import open_store

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

MAX_STARTS = 3
"""Starts of an engine in a row; each takes up to minutes."""


class ShardResult(NamedTuple):
    """A shard (with its halves, if it was taken apart) is committed; counts are of rows that this runner answered."""

    shard_name: str
    num_turns: int
    num_errors: int


class ShardRunner:
    """Commits shards with one engine. `run` returns only when the shard is committed, whatever it takes.

    Args:
        config: The run's settings.
        plan_digest: Digest of the plan that the shards belong to.
        driver_id: Unique to this start of the driver (see `ledger`).
        on_turn: Called with each answered turn's measurement, for progress; must be quick.
        make_engine: From the engine's config and the local folders of model and adapter.
    """

    def __init__(
        self,
        config: PredictConfig,
        plan_digest: str,
        driver_id: str,
        on_turn: Callable[[Measurement], None] = lambda measurement: None,
        make_engine: Callable[[EngineConfig, str | None, str | None], Engine] = open_engine,
    ) -> None:
        self._config = config
        self._make_engine = make_engine
        self._on_turn = on_turn
        self._store = open_store(config.run_uri)
        self._ledger = ShardLedger(self._store, plan_digest, driver_id)
        self._answerer = Answerer(config, on_turn)
        self._alive: AliveEngine | None = None
        self._account: EngineAccount | None = None
        self._starting = asyncio.Lock()
        self._quarantine = _Quarantine()
        self._was_alive = False
        self._num_arriving = 0
        self._all_arrived = asyncio.Event()
        self._all_arrived.set()

    async def start(self) -> EngineInfo:
        """Start the engine if it is not running; safe to call from several coroutines."""
        async with self._starting:
            if self._alive is None:
                began = time.monotonic()
                engine, info, cost = await self._start_engine()
                self._account = EngineAccount(self._store, info, time.monotonic() - began, cost)
                gate = AdmissionGate(info, self._config.max_interactions)
                self._alive = AliveEngine(self._account.metered(engine), info, gate)
                await self._account.write()
                logger.info(
                    "engine %s %s ready: context %d tokens, KV cache %s tokens, at most %d interactions at once",
                    info.name, info.version, info.max_model_len_tokens, info.kv_cache_tokens,
                    self._alive.gate.max_interactions,
                )  # fmt: skip
            return self._alive.info

    async def _start_engine(self) -> tuple[Engine, EngineInfo, TokenCost | None]:
        model, adapter = await asyncio.to_thread(self._resolve)
        cost = None if model is None else await asyncio.to_thread(token_cost, Path(model), self._config.engine.vllm)
        for start in itertools.count(1):
            engine = self._make_engine(self._config.engine, model, adapter)
            try:
                info = await engine.start()
            except BaseException as error:
                await engine.close()
                # An engine that is killed while it starts can start again; one that never started will not.
                again = isinstance(error, EngineDead) or (isinstance(error, EngineError) and self._was_alive)
                if not again or start == MAX_STARTS:
                    raise
                logger.warning("the engine died while it started, trying again: %s", error)
            else:
                self._was_alive = True
                return engine, info, cost
        raise AssertionError("unreachable: the last start returns or raises")

    def _resolve(self) -> tuple[str | None, str | None]:
        config = self._config
        if config.engine.kind == "scripted":
            return None, None
        adapter = config.engine.adapter_uri
        return (
            str(
                resolve_model(config.engine.model_uri, config.models_dir, config.cache_dir, config.cache_max_bytes).path
            ),
            None
            if adapter is None
            else str(resolve_model(adapter, config.models_dir, config.cache_dir, config.cache_max_bytes).path),
        )

    async def close(self) -> None:
        """Stop the engine; the runner can be started again."""
        async with self._starting:
            alive, self._alive = self._alive, None
            if alive is not None:
                await self._end(alive)

    async def room(self) -> None:
        """Wait until the engine has room for another shard's interactions and none waits, or is on its way, for it."""
        while True:
            await self._all_arrived.wait()
            alive = self._alive
            if alive is None:
                return
            await alive.gate.room()
            if self._num_arriving == 0:
                return

    def _arriving(self, number: int) -> None:
        self._num_arriving += number
        if self._num_arriving == 0:
            self._all_arrived.set()
        else:
            self._all_arrived.clear()

    async def run(self, shard: Shard) -> ShardResult:
        """Answer and commit a shard, as often as it takes; a shard that keeps killing its engine is taken apart.

        Raises:
            StorageError: The store failed for longer than its retries.
            T2SError: The engine cannot be started (again).
        """
        while True:
            on_the_way = _Arrivals(self._arriving, len(shard.interactions))
            try:
                attempt = await asyncio.to_thread(self._ledger.open_attempt, shard)
                if attempt is None:
                    return ShardResult(shard.name, 0, 0)
                if attempt.num_deaths >= self._config.max_attempts:
                    break
                answered = await self._try(shard, attempt, on_the_way)
            finally:
                on_the_way.all()
            if answered is not None:
                rows = [row for one in answered for row in one.rows]
                measurements = [measurement for one in answered for measurement in one.measurements]
                return await self._commit(shard, attempt, rows, measurements)
        return await self._take_apart(shard, attempt)

    async def _try(self, shard: Shard, attempt: Attempt, on_the_way: _Arrivals) -> list[Answered] | None:
        """All interactions answered, or None if the engine died."""
        # A shard under suspicion runs alone, or it would get its neighbours counted for the deaths that it causes.
        async with self._quarantine.alone() if attempt.num_deaths else self._quarantine.together():
            await self.start()
            alive = self._alive
            assert alive is not None
            for db_id in dict.fromkeys(one.db_id for one in shard.interactions):
                await self._answerer.schema(
                    db_id
                )  # all here before the first asks, so that they reach the gate in plan order
            try:
                return await _gather(
                    [self._answerer.answer(alive, one, attempt.number, on_the_way.one) for one in shard.interactions]
                )
            except EngineDead as error:
                # Ctrl-C reaches the engine's processes too. Our own stop comes a moment later and cancels us here; else
                # the user's hand would count as a death under this shard.
                await asyncio.sleep(0.3)
                logger.warning("%s: engine died in attempt %d: %s", shard.name, attempt.number, error)
                await asyncio.to_thread(self._ledger.record_death, attempt, str(error))
                await self._bury(alive)
                return None

    async def _bury(self, dead: AliveEngine) -> None:
        async with self._starting:
            if self._alive is dead:
                self._alive = None
                await self._end(dead)

    async def _end(self, alive: AliveEngine) -> None:
        try:
            await alive.engine.close()
        finally:
            if self._account is not None:
                await self._account.write()

    async def _take_apart(self, shard: Shard, attempt: Attempt) -> ShardResult:
        if len(shard.interactions) == 1:
            [interaction] = shard.interactions
            logger.error("%s: interaction %s kills the engine", shard.name, interaction.interaction_id)
            reason = f"EngineDead: the engine died each time this interaction was tried ({self._config.max_attempts})"
            rows = [prediction(interaction, index, turn, error=reason) for index, turn in enumerate(interaction.turns)]
            measurements = [measurement(interaction, turn, attempt.number) for turn in interaction.turns]
            for one in measurements:
                self._on_turn(one)
            return await self._commit(shard, attempt, rows, measurements)
        logger.warning("%s: the engine died in %d attempts, halving the shard", shard.name, attempt.num_deaths)
        if not await asyncio.to_thread(self._ledger.commit_split, shard, attempt):
            return ShardResult(shard.name, 0, 0)
        results = [await self.run(half) for half in shard.halves()]
        return ShardResult(
            shard.name, sum(result.num_turns for result in results), sum(result.num_errors for result in results)
        )

    async def _commit(
        self, shard: Shard, attempt: Attempt, rows: list[Prediction], measurements: list[Measurement]
    ) -> ShardResult:
        wanted = [(one.db_id, turn.question_id) for one in shard.interactions for turn in one.turns]
        assert [(row.db_id, row.question_id) for row in rows] == wanted, "rows in must equal rows out"
        won = await asyncio.to_thread(self._ledger.commit, attempt, rows, measurements)
        if self._account is not None:
            await self._account.write()
        num_errors = sum(row.error is not None for row in rows)
        if won:
            logger.info("%s: %d turns committed, %d errors", shard.name, len(rows), num_errors)
        else:
            logger.info("%s: another attempt was first, rows dropped", shard.name)
        return ShardResult(shard.name, len(rows), num_errors)


class _Arrivals:
    """Counts a shard's interactions until they stand at the gate, each once however the attempt ends."""

    def __init__(self, arriving: Callable[[int], None], number: int) -> None:
        self._arriving, self._left = arriving, number
        arriving(number)

    def one(self) -> None:
        self._left -= 1
        self._arriving(-1)

    def all(self) -> None:
        self._arriving(-self._left)
        self._left = 0


class _Quarantine:
    """Shards run together, or one alone."""

    def __init__(self) -> None:
        self._condition = asyncio.Condition()
        self._num_together = 0
        self._alone = False

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        async with self._condition:
            await self._condition.wait_for(lambda: not self._alone)
            self._num_together += 1
        try:
            yield
        finally:
            await self._leave(together=1)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        async with self._condition:
            await self._condition.wait_for(lambda: not self._alone)
            self._alone = True  # newcomers wait from here on; those inside finish first
            try:
                await self._condition.wait_for(lambda: self._num_together == 0)
            except BaseException:
                self._alone = False
                self._condition.notify_all()
                raise
        try:
            yield
        finally:
            await self._leave(together=0)

    async def _leave(self, together: int) -> None:
        async with self._condition:
            self._num_together -= together
            if not together:
                self._alone = False
            self._condition.notify_all()


async def _gather(coroutines: Sequence[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Run all; on the first failure cancel the rest, wait for them, and raise it."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
