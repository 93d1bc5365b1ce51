"""What a test set takes on a kind of GPU: memory, interactions at once, time, GPU-hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from t2s.engine import EngineInfo
from t2s.gpu_plan.devices import Device
from t2s.gpu_plan.memory import Memory, Options, advice, fits, options_of, predict_memory
from t2s.gpu_plan.pace import Pace, PacedEngine, Work, simulate, step_cost
from t2s.gpu_plan.served_model import ServedModel
from t2s.gpu_plan.works import longest_context


class Job(NamedTuple):
    """What is to be done, whatever the GPU.

    Attributes:
        model: What is served.
        vllm: The settings' block of that name.
        lora_rank: Of the adapter; 0 for none.
        works: The test set, or stretches of it.
        num_interactions: Of the whole test set.
        max_tokens: Longest answer.
        max_interactions: The settings' own limit, or None.
    """

    model: ServedModel
    vllm: Mapping[str, Any]
    lora_rank: int
    works: Sequence[Work]
    num_interactions: int
    max_tokens: int
    max_interactions: int | None = None


class Forecast(NamedTuple):
    """One kind of GPU.

    Attributes:
        device: Which.
        options: Those of the engine.
        memory: Of each of its GPUs.
        pace: Of the simulated stretches; None where it does not fit.
        seconds: For the whole set in one engine, without the model's load; None where it does not fit.
        changes: Where it does not fit: what to change, each alone enough.
    """

    device: Device
    options: Options
    memory: Memory
    pace: Pace | None
    seconds: float | None
    changes: list[str]

    @property
    def gpu_hours(self) -> float | None:
        """Of all GPUs together, however many engines share the work."""
        return None if self.seconds is None else self.seconds * self.options.num_gpus / 3600


def forecast(device: Device, job: Job) -> Forecast:
    """Predict one kind of GPU."""
    options = options_of(job.vllm, job.model)
    memory = predict_memory(device, job.model, options, job.lora_rank)
    if not fits(memory, options):
        longest = longest_context(job.works, job.max_tokens)
        changes = advice(device, job.model, job.vllm, job.lora_rank, longest)
        return Forecast(device, options, memory, None, None, changes)
    pace = simulate(job.works, lambda: paced_engine(device, job, options, memory.kv_tokens))
    seconds = pace.seconds
    if job.num_interactions > len(job.works):
        # The engine fills and drains once, however long the set is: what more of the same takes is what counts.
        again = [*job.works, *(work._replace(prefix=f"{work.prefix}, again") for work in job.works)]
        twice = simulate(again, lambda: paced_engine(device, job, options, memory.kv_tokens))
        rest = job.num_interactions - len(job.works)
        seconds += rest * (twice.seconds - pace.seconds) / len(job.works)
    return Forecast(device, options, memory, pace, seconds, [])


def paced_engine(device: Device, job: Job, options: Options, kv_tokens: int, speed: float = 1.0) -> PacedEngine:
    """The engine that would run there, with nothing in it."""
    info = EngineInfo(
        "simulated", "1", options.max_model_len, kv_tokens, options.max_num_seqs, options.block_size
    )  # fmt: skip
    return PacedEngine(
        step_cost(device, job.model, options),
        job.model,
        info,
        options.max_num_batched_tokens,
        max_tokens=job.max_tokens,
        speed=speed,
        max_interactions=job.max_interactions,
    )
