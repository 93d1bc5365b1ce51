"""`t2s plan train` and `--dry-run`: what a training would do, without starting a worker or writing anything."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from t2s.environments import nvidia_smi
from t2s.plan_claim import is_claimed
from t2s.settings.train import TrainSettings
from t2s.storage import open_store
from t2s.train import plan_training
from t2s.training.checkpoints import Checkpoints
from t2s.training.train_plan import PLAN_KEY, TrainPlan

if TYPE_CHECKING:
    from rich.console import Console


def show_train_plan(settings: TrainSettings, console: Console) -> None:
    """Print what a training with these settings would do; starts nothing, writes nothing.

    Raises:
        InputError: As the training itself would.
    """
    from rich.table import Table

    plan = plan_training(settings)
    args = plan.task.args
    table = Table(title="train: plan", show_header=False, title_justify="left")
    examined = plan.examined
    rows = [
        ("examples", f"{examined.num_examples} of {settings.dataset_uri}, {examined.num_tokens:,} tokens"),
        ("longest", f"{examined.longest_tokens} tokens, cutoff_len {args['cutoff_len']}, {examined.num_cut} cut"),
        ("parity", "token by token as predict renders them"),
        ("model", f"{settings.model_uri}, {plan.shape.num_parameters / 1e6:,.0f} M parameters"),
        ("kind", f"{args['finetuning_type']}, template {args.get('template') or 'of the model itself'}"),
        ("steps", _steps(plan)),
        ("workers", f"{settings.ray.num_workers}, {'a GPU' if plan.task.use_gpu else 'CPU'} each"),
        ("memory", _memory(plan)),
        ("state", _state(settings, plan)),
        ("writes", f"{settings.adapter_uri}/, {settings.run_uri}/train/"),
        ("plan digest", plan.digest[:16]),
    ]
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)
    keys = Table("llamafactory", "", title="LLaMA-Factory's own settings", title_justify="left")
    for key, value in sorted(args.items()):
        keys.add_row(key, _yaml(value))
    console.print(keys)


def _steps(plan: TrainPlan) -> str:
    args = plan.task.args
    if args.get("packing") or args.get("neat_packing"):
        return f"{plan.global_batch} packs a step"
    per_epoch = math.ceil(plan.examined.num_examples / plan.global_batch)
    maximum = int(args.get("max_steps", -1))
    total = maximum if maximum > 0 else math.ceil(per_epoch * float(args["num_train_epochs"]))
    return f"{total}, {plan.global_batch} examples in each, {per_epoch} an epoch"


def _memory(plan: TrainPlan) -> str:
    if not plan.task.use_gpu:
        return "no GPU"
    lines = nvidia_smi("--query-gpu=name,memory.total", "--format=csv,noheader")
    return f"{plan.memory or 'not estimated'} of a GPU by estimate; here: {', '.join(lines) or 'none'}"


def _state(settings: TrainSettings, plan: TrainPlan) -> str:
    if plan.published is not None:
        return f"done already: {plan.published.kind} {plan.published.digest[:12]}"
    store = open_store(settings.run_uri)
    if not is_claimed(store, PLAN_KEY, plan.parts):
        return "a new run_uri"
    latest = Checkpoints(store, plan.digest).latest()
    return f"goes on from the checkpoint of step {latest.step}" if latest else "begun, no checkpoint yet"


def _yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
