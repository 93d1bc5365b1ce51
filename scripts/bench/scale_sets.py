"""What scale_simulation.py puts through its engines: test sets as token counts, and engines of different speed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from scripts.bench.gpu_workload import ANSWER_TOKENS, NUM_TURNS, QUESTION_TOKENS
from t2s.gpu_plan.devices import DEVICES
from t2s.gpu_plan.forecast import Job, paced_engine
from t2s.gpu_plan.memory import options_of, predict_memory
from t2s.gpu_plan.pace import PacedEngine, TurnWork, Work
from t2s.gpu_plan.served_model import ServedModel
from t2s.interaction import Interaction, Turn

_HEADER_TOKENS = 10

LLAMA3 = ServedModel(
    num_linear=6_979_321_856, num_rest=1_050_939_392, stored_bytes=0, quantised="", dtype="bfloat16", layers=32,
    hidden=4096, intermediate=14336, vocabulary=128256, heads=32, kv_heads=8, head_dim=128, max_positions=8192,
    lora_width=81920,
)  # fmt: skip


def make_set(number: int, *, skewed: bool, seed: int = 0) -> tuple[list[Interaction], dict[str, Work]]:
    """Interactions of four turns, in no order, and their tokens; lengths as in gpu_workload.py."""
    rng = random.Random(f"{seed}/{skewed}")
    interactions: list[Interaction] = []
    works: dict[str, Work] = {}
    while len(works) < number:
        rank = len({one.db_id for one in interactions[-1:]}) and int(interactions[-1].db_id[1:]) + 1
        size = max(1, int(2000 / (rank + 1) ** 0.8)) if skewed else 10
        median = 2200 if skewed and rng.random() < 0.1 else 812
        prefix = min(4500, int(median * rng.lognormvariate(0, 0.5)))
        for _ in range(min(size, number - len(works))):
            turns = tuple(
                TurnWork(
                    rng.randint(*QUESTION_TOKENS) + _HEADER_TOKENS,
                    max(ANSWER_TOKENS[0], min(ANSWER_TOKENS[1], int(rng.lognormvariate(3.7, 0.5)))),
                )
                for _ in range(NUM_TURNS)
            )
            name = f"q{len(works)}"
            works[name] = Work(f"d{rank}", prefix, turns)
            asked = tuple(
                Turn(question_id=f"{name}{'abcd'[index]}" if index else name, question="?") for index in range(4)
            )
            interactions.append(Interaction(db_id=f"d{rank}", turns=asked))
    rng.shuffle(interactions)
    return interactions, works


def speeds_of(number: int, scenario: str, seed: int) -> list[float]:
    """Of each engine."""
    if scenario in ("even", "skewed", "one lost") or number == 1:
        return [1.0] * number
    rng = random.Random(f"speeds {seed}")
    speeds = [rng.uniform(0.95, 1.05) for _ in range(number)]
    for slow in rng.sample(range(number), max(1, round(number / 20))):
        speeds[slow] = 0.5
    return speeds


def engine_maker(device: str, vllm: dict[str, Any]) -> Callable[[float], PacedEngine]:
    """Of one kind of GPU, with the 8B shape in bf16."""
    job = Job(LLAMA3, vllm, 0, [], 0, 256)
    options = options_of(vllm, LLAMA3)
    kv_tokens = predict_memory(DEVICES[device], LLAMA3, options).kv_tokens
    return lambda speed: paced_engine(DEVICES[device], job, options, kv_tokens, speed)
