"""GPU-seconds of a run by phase, how much of the hardware's limit they reached, and what they cost.

    <run_uri>/predict/usage/<engine>.json    one for each engine that was started, written by whoever runs it: when it
                                             is ready, with each shard, at its end
    <run_uri>/predict/usage.json             their sum, when the job is done: a RunUsage; the same is `usage` in
                                             report.json, whose schema (t2s/report/report.schema.json) has it in $defs

Runs that were stopped and resumed are summed up too, with the answers that were lost: they were paid for. An engine
whose node dies leaves what it had at its last shard.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from t2s.gpu_plan.devices import known_device
from t2s.interaction import Record
from t2s.storage import Store

logger = logging.getLogger(__name__)

FOLDER = "predict/usage"
USAGE_KEY = "predict/usage.json"


class EngineUsage(Record):
    """One engine, from its start to its end.

    Attributes:
        engine: Its id.
        device: As its driver calls it; "" on a CPU, or where the engine does not say.
        num_gpus: That it held.
        started_at: ISO 8601, UTC: when its load was over.
        load_s: From the start to the first question; the model's way to this node is in it.
        prefill_s, decode_s, idle_s: Of the time after that: reading prompts, answering, neither. `t2s.meter` says how a
            moment that had both is shared out.
        num_requests, prompt_tokens, cached_tokens, completion_tokens: Sums over answered requests.
        flops: Arithmetic that they needed; null where the model's size is not known.
        read_bytes: Bytes that it had to read from GPU memory: weights once a step, the cache of each answering request;
            steps are counted as busy time over the mean time between two tokens of a request. Null where not known.
    """

    engine: str
    device: str
    num_gpus: int
    started_at: str
    load_s: float
    prefill_s: float = 0.0
    decode_s: float = 0.0
    idle_s: float = 0.0
    num_requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    flops: float | None = None
    read_bytes: float | None = None


class PhaseSeconds(Record):
    """Seconds by phase, of all engines together; times the GPUs of each where they are GPU-seconds."""

    load: float
    prefill: float
    decode: float
    idle: float

    @property
    def total(self) -> float:
        """All four."""
        return self.load + self.prefill + self.decode + self.idle


class RunUsage(Record):
    """All engines of a run.

    Attributes:
        num_engines: That were started.
        gpus: How many engines' GPUs had which name.
        engine_seconds: By phase.
        gpu_seconds: The same times the GPUs of each engine; null where no engine had one.
        flops_share: Model FLOP over what the GPUs' bf16 units could have done in prefill and decode, 0..1; null where
            GPU or model are not known, and on a CPU.
        bandwidth_share: The same of bytes read from GPU memory; approximate.
        gpu_price_per_hour, price_currency: As the settings say.
        cost: Of all GPU-seconds; null without a price or without GPUs.
    """

    num_engines: int
    gpus: dict[str, int]
    engine_seconds: PhaseSeconds
    gpu_seconds: PhaseSeconds | None
    flops_share: float | None
    bandwidth_share: float | None
    gpu_price_per_hour: float | None = Field(None, ge=0)
    price_currency: str = "CNY"
    cost: float | None = None

    def line(self) -> str:
        """One line for people."""
        of = self.gpu_seconds or self.engine_seconds
        what = "GPU-seconds" if self.gpu_seconds else "engine-seconds"
        parts = f"load {of.load:,.0f}, prefill {of.prefill:,.0f}, decode {of.decode:,.0f}, idle {of.idle:,.0f}"
        text = f"{of.total:,.0f} {what} ({parts})"
        names = ", ".join(f"{count} x {name}" for name, count in sorted(self.gpus.items()))
        text += f" on {names}" if names else ""
        if self.flops_share is not None and self.bandwidth_share is not None:
            text += f"; {self.flops_share:.0%} of its arithmetic, {self.bandwidth_share:.0%} of its bandwidth"
        if self.cost is not None:
            text += f"; cost {self.cost:,.2f} {self.price_currency}"
        return text


def engine_key(engine: str) -> str:
    """Where an engine's usage goes."""
    return f"{FOLDER}/{engine}.json"


def write_engine(store: Store, usage: EngineUsage) -> None:
    """Write what an engine has used so far."""
    store.write(engine_key(usage.engine), (usage.model_dump_json(indent=1) + "\n").encode())


def read_engines(store: Store) -> list[EngineUsage]:
    """Every engine of the run, by the time of its start."""
    found = []
    for info in store.list(f"{FOLDER}/"):
        data = store.read(info.key)
        try:
            found.append(EngineUsage.model_validate_json(data))
        except ValueError as error:
            logger.warning("%s/%s: wanted an engine's usage, found another form: %s", store.uri, info.key, error)
    return sorted(found, key=lambda one: (one.started_at, one.engine))


def run_usage(engines: Sequence[EngineUsage], price: float | None = None, currency: str = "CNY") -> RunUsage | None:
    """Sum up; None where there are none."""
    if not engines:
        return None
    gpus: dict[str, int] = {}
    for one in engines:
        if one.num_gpus:
            gpus[one.device] = gpus.get(one.device, 0) + one.num_gpus
    gpu_seconds = _summed(engines, by_gpus=True) if gpus else None
    cost = None if price is None or gpu_seconds is None else round(gpu_seconds.total / 3600 * price, 4)
    flops_share, bandwidth_share = _shares(engines)
    return RunUsage(
        num_engines=len(engines),
        gpus=gpus,
        engine_seconds=_summed(engines, by_gpus=False),
        gpu_seconds=gpu_seconds,
        flops_share=flops_share,
        bandwidth_share=bandwidth_share,
        gpu_price_per_hour=price,
        price_currency=currency,
        cost=cost,
    )


def read_usage(store: Store, settings: dict[str, Any]) -> RunUsage | None:
    """What a run has used, at the price of its predict job's settings; None where nothing was written."""
    price = settings.get("gpu_price_per_hour")
    currency = str(settings.get("price_currency") or "CNY")
    return run_usage(read_engines(store), None if price is None else float(price), currency)


def write_usage(store: Store, price: float | None, currency: str) -> RunUsage | None:
    """Sum up a finished job and write it; None where that stands there already, or nothing was used."""
    usage = run_usage(read_engines(store), price, currency)
    if usage is None:
        return None
    data = (usage.model_dump_json(indent=1) + "\n").encode()
    if store.exists(USAGE_KEY) and store.read(USAGE_KEY) == data:
        return None
    store.write(USAGE_KEY, data)
    return usage


def _summed(engines: Sequence[EngineUsage], *, by_gpus: bool) -> PhaseSeconds:
    def total(field: str) -> float:
        seconds = [float(getattr(one, field)) * (one.num_gpus if by_gpus else 1) for one in engines]
        return round(sum(seconds), 3)

    return PhaseSeconds(
        load=total("load_s"), prefill=total("prefill_s"), decode=total("decode_s"), idle=total("idle_s")
    )


def _shares(engines: Sequence[EngineUsage]) -> tuple[float | None, float | None]:
    """Arithmetic and bytes over what the GPUs could have done while they were busy."""
    done, read, could_do, could_read = 0.0, 0.0, 0.0, 0.0
    for one in engines:
        device = known_device(one.device)
        busy_s = (one.prefill_s + one.decode_s) * one.num_gpus
        if one.num_gpus == 0 or (one.num_requests and (device is None or one.flops is None or one.read_bytes is None)):
            return None, None
        if device is None or one.flops is None or one.read_bytes is None:
            continue  # it never answered: nothing to divide
        done, read = done + one.flops, read + one.read_bytes
        could_do, could_read = could_do + device.bf16_flops * busy_s, could_read + device.bandwidth * busy_s
    if could_do <= 0:
        return None, None
    return round(done / could_do, 4), round(min(read / could_read, 1.0), 4)
