"""`t2s plan predict` and `--dry-run`: what a run would do, without starting an engine or writing anything."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from t2s.engine import Message, open_counter
from t2s.errors import ModelError
from t2s.gpu_plan.table import NEEDED, show_gpus
from t2s.interaction import Interaction
from t2s.ledger import ShardLedger
from t2s.plan import Plan, check_plan, make_plan, unfinished
from t2s.predict_config import PredictConfig
from t2s.prompt import Exchange, InteractionPrompt, PromptTemplate, SchemaPrompt
from t2s.storage import open_store

MAX_SAMPLED = 500
"""Interactions whose prompt lengths are counted; taken evenly from the set, so that 100,000 take seconds."""


def show_plan(config: PredictConfig, console: Console) -> None:
    """Print what a run with these settings would do.

    Raises:
        InputError: As the run itself would.
    """
    try:
        plan = make_plan(config)
    except ModelError:
        console.print(NEEDED, markup=False, highlight=False)
        raise
    store = open_store(config.run_uri)
    ledger = ShardLedger(store, plan.digest, "plan")
    claimed = check_plan(store, plan)
    pending = unfinished(ledger, plan.shards) if claimed else plan.shards
    console.print(_work(config, plan, sum(shard.num_turns for shard in pending), claimed))
    console.print(_databases(plan))
    model_path = None if plan.model_path is None else str(plan.model_path)
    count_tokens = open_counter(config.engine, model_path)
    console.print(_prompts(config, plan, count_tokens))
    show_gpus(config, plan, count_tokens, console)


def _work(config: PredictConfig, plan: Plan, pending_turns: int, claimed: bool) -> Table:
    table = Table(title="predict: plan", show_header=False, title_justify="left")
    turns = Counter(len(one.turns) for one in plan.interactions)
    lengths = ", ".join(f"{count} of {length}" for length, count in sorted(turns.items()))
    rows = [
        ("dataset", f"{config.dataset_uri}{'' if config.limit is None else f', first {config.limit}'}"),
        ("interactions", f"{len(plan.interactions)} ({plan.num_turns} turns: {lengths})"),
        ("shards", f"{len(plan.shards)} of about {config.shard_turns} turns"),
        ("to do", f"{pending_turns} turns" if claimed else f"{pending_turns} turns (a new run_uri)"),
        ("engine", f"{config.engine.kind} {config.engine.model_uri or ''} {config.engine.adapter_uri or ''}".strip()),
        ("generation", ", ".join(f"{key} {value}" for key, value in config.engine.generation)),
        ("history", config.history),
        ("executor", config.executor.kind),
        ("writes", f"{config.run_uri}/predictions/, {config.run_uri}/predictions.json, {config.run_uri}/predict/"),
        ("plan digest", plan.digest[:16]),
    ]
    for name, value in rows:
        table.add_row(name, value)
    return table


def _databases(plan: Plan) -> Table:
    interactions = Counter(one.db_id for one in plan.interactions)
    turns: Counter[str] = Counter()
    for one in plan.interactions:
        turns[one.db_id] += len(one.turns)
    table = Table("database", title=f"{len(interactions)} databases", title_justify="left")
    table.add_column("interactions", justify="right")
    table.add_column("turns", justify="right")
    for db_id, count in interactions.most_common(20):
        table.add_row(db_id, str(count), str(turns[db_id]))
    if len(interactions) > 20:
        table.add_row(f"… {len(interactions) - 20} more", "", "")
    return table


def _prompts(config: PredictConfig, plan: Plan, count_tokens: Callable[[Sequence[Message]], int]) -> Group:
    template = PromptTemplate(config.prompt)
    step = -(-len(plan.interactions) // MAX_SAMPLED)
    sampled = plan.interactions[::step]
    schemas: dict[str, SchemaPrompt] = {}
    for one in sampled:
        if one.db_id not in schemas:
            schemas[one.db_id] = template.schema_prompt(plan.databases.path(one.db_id), one.db_id)
    lengths = [count_tokens(_longest(template, schemas[one.db_id], one)) for one in sampled]
    table = Table("prompt, in tokens", title="prompt lengths, nothing pruned", title_justify="left")
    for name in ("shortest", "median", "longest"):
        table.add_column(name, justify="right")
    for name, values in [
        ("schema and rules, per database", [schema.system_tokens(count_tokens) for schema in schemas.values()]),
        (f"last turn of {len(sampled)} interactions", lengths),
    ]:
        if values:
            table.add_row(name, str(min(values)), f"{statistics.median(values):.0f}", str(max(values)))
    example = plan.interactions[0]
    prompt = InteractionPrompt(template, schemas[example.db_id], example, count_tokens, 1 << 40)
    rendered = prompt.render([], 0)
    text = "\n".join(f"[{message['role']}]\n{message['content']}" for message in rendered.messages)
    return Group(table, Panel(Text(text), title=f"first prompt: question {example.turns[0].question_id}"))


def _longest(template: PromptTemplate, schema: SchemaPrompt, interaction: Interaction) -> list[Message]:
    """The last turn's prompt, with gold SQL in the history where there is some."""
    past = [Exchange(turn.question, turn.gold_sql or "select 1") for turn in interaction.turns[:-1]]
    return template.messages(schema.system, past, interaction.turns[-1].question)
