"""What `t2s plan predict` says of GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from t2s.admission import FIRST_GUESS_TOKENS
from t2s.errors import ModelError, SettingsError
from t2s.gpu_plan.devices import DEVICES
from t2s.gpu_plan.forecast import Forecast, Job, forecast
from t2s.gpu_plan.memory import options_of
from t2s.gpu_plan.served_model import adapter_rank_of, read_served_model
from t2s.gpu_plan.works import CountTokens, count_works
from t2s.model_folder import resolve_model
from t2s.plan import Plan
from t2s.predict_config import PredictConfig
from t2s.progress import duration
from t2s.prompt import PromptTemplate

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MEASURED_ON = "H100"
NEEDED = (
    "GPUs are planned for from the model's folder: config.json (hidden_size, num_hidden_layers, num_attention_heads, "
    "num_key_value_heads, vocab_size), the headers of *.safetensors, the tokenizer; bring it with the job download, or "
    "give engine.model_uri a folder that has them"
)


def show_gpus(config: PredictConfig, plan: Plan, count_tokens: CountTokens, console: Console) -> None:
    """Print memory, pace and cost on each kind of GPU; or what is missing to say that."""
    if config.engine.kind != "vllm" or plan.model_path is None:
        console.print(f"GPUs: planned for engine.kind vllm alone, this is {config.engine.kind}")
        return
    try:
        job = _job(config, plan, plan.model_path, count_tokens)
    except ModelError as error:
        console.print(f"GPUs: {error}. {NEEDED}", markup=False, highlight=False)
        return
    except SettingsError as error:
        console.print(f"GPUs: not planned for: {error}", markup=False, highlight=False)
        return
    found = [forecast(device, job) for device in DEVICES.values()]
    console.print(_table(config, job, found))
    for line in _notes(config, job, found):
        console.print(line, markup=False, highlight=False)
    if not any(turn.gold_sql for one in plan.interactions for turn in one.turns):
        console.print(f"No gold SQL here: answers are taken to have {FIRST_GUESS_TOKENS} tokens.", highlight=False)


def _job(config: PredictConfig, plan: Plan, model_path: Path, count_tokens: CountTokens) -> Job:
    model = read_served_model(model_path)
    lora_rank = 0
    if config.engine.adapter_uri is not None:
        adapter = resolve_model(config.engine.adapter_uri, config.models_dir, config.cache_dir, config.cache_max_bytes)
        lora_rank = adapter_rank_of(adapter.path)
    max_tokens = config.engine.generation.max_tokens
    longest_prompt = options_of(config.engine.vllm, model).max_model_len - max_tokens
    return Job(
        model=model,
        vllm=config.engine.vllm,
        lora_rank=lora_rank,
        works=count_works(plan, PromptTemplate(config.prompt), count_tokens, max_tokens, longest_prompt),
        num_interactions=len(plan.interactions),
        max_tokens=max_tokens,
        max_interactions=config.max_interactions,
    )


def _table(config: PredictConfig, job: Job, found: Sequence[Forecast]) -> Table:
    from rich.table import Table

    options = found[0].options
    engine = "one engine on one GPU" if options.num_gpus == 1 else f"one engine on {options.num_gpus} GPUs"
    table = Table(
        title=f"GPUs: GiB of each, {options.gpu_memory_utilization:g} of its memory used; {engine}",
        title_justify="left",
    )
    names = ["GPU", "weights", "LoRA", "activations", "logits", "graphs", "KV cache", "KV tokens", "at once"]
    names += ["interactions/s", "time", "GPU-hours"]
    if config.gpu_price_per_hour is not None:
        names.append(config.price_currency)
    for name in names:
        table.add_column(name, justify="left" if name == "GPU" else "right", no_wrap=True)
    for one in found:
        table.add_row(*_cells(config, job, one))
    return table


def _cells(config: PredictConfig, job: Job, one: Forecast) -> list[str]:
    memory = one.memory
    parts = (memory.weights, memory.lora, memory.activations, memory.logits, memory.graphs, memory.kv_cache)
    cells = [one.device.name, *(f"{part:.1f}" for part in parts), f"{memory.kv_tokens:,}"]
    hours = one.gpu_hours
    if one.pace is None or one.seconds is None or hours is None:
        return [*cells, "-"]
    cells += [
        f"{one.pace.running:.0f}",
        f"{job.num_interactions / one.seconds:.1f}",
        duration(one.seconds),
        f"{hours:.3g}",
    ]
    if config.gpu_price_per_hour is not None:
        cells.append(f"{hours * config.gpu_price_per_hour:.2f}")
    return cells


def _notes(config: PredictConfig, job: Job, found: Sequence[Forecast]) -> list[str]:
    of_all = "" if len(job.works) == job.num_interactions else f", {len(job.works)} of them simulated"
    lines = [
        f"Time is for {job.num_interactions} interactions{of_all}, without the model's load (H100: 88 s, with warm "
        "caches 25 s)."
    ]
    if config.executor.num_engines is not None and config.executor.num_engines > 1:
        lines.append(f"Divide it by the {config.executor.num_engines} engines of executor.num_engines.")
    lines.append(
        f"{MEASURED_ON}: held against runs of Llama-3-8B's shape in bf16, KV tokens within 1 %, interactions/s within "
        "-6 to +12 %. All others, and other quantisations, are projections from data sheets, not measured."
    )
    for one in found:
        if one.pace is None:
            what = ", or ".join(one.changes) or "no setting makes it fit"
            lines.append(
                f"{one.device.name} does not fit: {one.memory.kv_tokens:,} tokens of KV cache, a request may have "
                f"{one.options.max_model_len:,}; what would fit: {what}"
            )
    return lines
