"""Keeps one engine's usage in the run's store while the engine runs; a store that fails costs the account, not the run.

account = EngineAccount(store, info, load_s, cost)      the engine is ready
engine = account.metered(engine)
await account.write()                                   with each shard, and at the end
"""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from t2s.engine import Engine, EngineInfo
from t2s.errors import ModelError, SettingsError, StorageError
from t2s.gpu_plan.memory import options_of, weight_bytes
from t2s.gpu_plan.served_model import read_served_model
from t2s.manifest import now
from t2s.meter import Meter, Metered, MeteredEngine
from t2s.storage import Store
from t2s.usage import EngineUsage, write_engine

logger = logging.getLogger(__name__)

WRITE_S = 3.0
"""What a write may hold up a shard or a stop; one that takes longer goes on by itself."""


class TokenCost(NamedTuple):
    """What a model's tokens cost.

    Attributes:
        token_flops: To compute a token, attention apart.
        head_flops: To sample one, beside that.
        attention_flops: For each token of context that one token looks at.
        kv_bytes: Of the cache, for one token, on all GPUs together.
        weight_bytes: Read in each step, on all GPUs together.
    """

    token_flops: float
    head_flops: float
    attention_flops: float
    kv_bytes: float
    weight_bytes: float


def token_cost(model_path: Path, vllm: Mapping[str, Any]) -> TokenCost | None:
    """Of a model folder; None where it does not say, or is of a form that we do not know."""
    try:
        model = read_served_model(model_path)
        options = options_of(vllm, model)
    except (ModelError, SettingsError) as error:
        logger.info("no share of the hardware's limit in the report: %s", error)
        return None
    return TokenCost(
        token_flops=model.token_flops,
        head_flops=model.head_flops,
        attention_flops=model.attention_flops(1.0),
        kv_bytes=model.kv_bytes(options.kv_cache_dtype),
        weight_bytes=weight_bytes(model, options),
    )


class EngineAccount:
    """One engine's.

    Args:
        store: Of the run.
        info: What the engine's start gave.
        load_s: How long that took.
        cost: Of the model's tokens, where it is known.
        meter: Begins now.
    """

    def __init__(
        self, store: Store, info: EngineInfo, load_s: float, cost: TokenCost | None, meter: Meter | None = None
    ) -> None:
        self._store, self._info, self._cost = store, info, cost
        self._load_s = load_s
        self._engine = uuid.uuid4().hex[:12]
        self._started_at = now()
        self._meter = meter or Meter()
        self._lock = threading.Lock()

    def metered(self, engine: Engine) -> MeteredEngine:
        """The engine, each answer of which goes into the account."""
        return MeteredEngine(engine, self._meter)

    def usage(self) -> EngineUsage:
        """The account up to now; to be called in the engine's event loop."""
        found = self._meter.read()
        flops, read_bytes = (None, None) if self._cost is None else _work(found, self._cost)
        return EngineUsage(
            engine=self._engine,
            device=self._info.device,
            num_gpus=self._info.num_gpus,
            started_at=self._started_at,
            load_s=round(self._load_s, 3),
            prefill_s=round(found.prefill_s, 3),
            decode_s=round(found.decode_s, 3),
            idle_s=round(found.idle_s, 3),
            num_requests=found.num_requests,
            prompt_tokens=found.prompt_tokens,
            cached_tokens=found.cached_tokens,
            completion_tokens=found.completion_tokens,
            flops=flops,
            read_bytes=read_bytes,
        )

    async def write(self) -> None:
        """Write the account; returns after `WRITE_S` at the latest, and never raises for the store."""
        # A daemon, not an executor's thread: the end of the process must not wait for a store that does not answer.
        writing = threading.Thread(target=self._write, args=(self.usage(),), name="usage", daemon=True)
        writing.start()
        await asyncio.to_thread(writing.join, WRITE_S)

    def _write(self, usage: EngineUsage) -> None:
        with self._lock:
            try:
                write_engine(self._store, usage)
            except StorageError as error:
                logger.warning("the engine's usage is not written, the run goes on: %s", error)


def _work(found: Metered, cost: TokenCost) -> tuple[float, float | None]:
    """FLOP and bytes; the bytes are null for an engine that does not say when its tokens came."""
    computed = found.prompt_tokens - found.cached_tokens + found.completion_tokens
    context = found.read_context_tokens + found.computed_context_tokens
    flops = computed * cost.token_flops + found.completion_tokens * cost.head_flops + context * cost.attention_flops
    if found.mean_step_s <= 0:
        return flops, None
    steps = (found.prefill_s + found.decode_s) / found.mean_step_s
    return flops, steps * cost.weight_bytes + found.read_context_tokens * cost.kv_bytes
