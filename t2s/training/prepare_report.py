"""What prepare says on a terminal: `t2s plan prepare` before (runs no SQL, writes nothing), what was counted after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from t2s.plan_claim import is_claimed
from t2s.prepare_config import PrepareConfig
from t2s.storage import open_store
from t2s.training.prepare_plan import PreparePlan, make_prepare_plan
from t2s.training.prepared import PLAN_KEY, find_prepared
from t2s.training.sft import Example, ExampleMaker
from t2s.training.statistics import LengthSummary, PartStatistics, Statistics, summary

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MAX_SAMPLED = 500
"""Interactions whose examples are measured for a plan; taken evenly from the set."""

_MAX_DATABASES = 30


def show_prepare_plan(config: PrepareConfig, console: Console) -> None:
    """Print what prepare would do with these settings.

    Raises:
        InputError: As prepare itself would.
    """
    from rich.panel import Panel
    from rich.text import Text

    plan = make_prepare_plan(config)
    store = open_store(config.output_uri)
    claimed = is_claimed(store, PLAN_KEY, plan.parts)
    state = "a new output_uri" if not claimed else "begun earlier" if find_prepared(store) is None else "done already"
    console.print(_work(config, plan, state))
    sampled = list(_sampled(config, plan))
    lengths = summary([plan.lengths.example(example.messages) for example in sampled])
    if lengths is not None:
        console.print(f"examples of at most {MAX_SAMPLED} interactions: {_length(lengths)} {plan.lengths.unit}")
        text = "\n".join(f"[{message['role']}]\n{message['content']}" for message in sampled[0].messages)
        console.print(Panel(Text(text), title=f"first example: {', '.join(sampled[0].question_ids)}"))


def print_statistics(statistics: Statistics, console: Console) -> None:
    """Print what was counted, the parts side by side."""
    from rich.table import Table

    table = Table(title="prepare", title_justify="left")
    table.add_column("")
    for part in statistics.parts:
        table.add_column(part, justify="right")
    for name, values in _rows(statistics):
        table.add_row(name, *values)
    console.print(table)
    console.print(_databases(statistics))
    for failure in statistics.gold_failures:
        console.print(
            f"gold fails: {failure.question_id} of {failure.db_id}: {failure.kind}: {failure.message}", markup=False
        )
    if statistics.num_rewritten:
        console.print(
            f"gold that predict would not take from a completion as it stands: {statistics.num_rewritten}, e.g. "
            f"{', '.join(statistics.rewritten)}",
            markup=False,
        )
    if statistics.databases_in_both:
        console.print(
            f"{len(statistics.databases_in_both)} databases are in both parts: the test part says nothing about new "
            "databases",
            markup=False,
        )


def _rows(statistics: Statistics) -> Iterator[tuple[str, list[str]]]:
    parts = list(statistics.parts.items())
    unit = statistics.unit

    def row(name: str, value: Callable[[PartStatistics], str]) -> tuple[str, list[str]]:
        return name, [value(part) for _, part in parts]

    yield row("databases", lambda part: f"{part.num_databases:,}")
    yield row("interactions", lambda part: f"{part.num_interactions:,}")
    yield row("turns", lambda part: f"{part.num_turns:,}")
    yield row("interactions by turns", lambda part: _counts(part.turns))
    yield row("turns by hardness", lambda part: _counts(part.hardness))
    yield row("gold returns nothing", lambda part: f"{part.num_empty_results:,}")
    yield row("left out: gold fails", lambda part: _counts(part.num_gold_failed) or "0")
    yield row("left out: turns after those", lambda part: f"{part.num_after_failed:,}")
    yield row("left out: whole interactions", lambda part: f"{part.num_interactions_lost:,}")
    yield f"examples ({statistics.example_form})", [f"{part.num_examples:,}" for _, part in parts]
    yield "history", [statistics.history[name] for name, _ in parts]
    yield row(f"{unit} per example", lambda part: _length(part.example_length))
    yield row(f"{unit} per answer", lambda part: _length(part.answer_length))
    yield row(f"{unit} in all", lambda part: f"{part.example_length.total if part.example_length else 0:,}")
    if unit == "characters":
        return
    yield row("answers longer than max_tokens", lambda part: f"{part.num_longer_answers:,}")
    yield row("prompts without some tables", lambda part: f"{part.num_tables_pruned:,}")
    yield row("prompts without some turns", lambda part: f"{part.num_turns_pruned:,}")
    yield row("turns too long for the context", lambda part: f"{part.num_too_long:,}")
    yield row(f"cut at cutoff_len {statistics.cutoff_len}", lambda part: f"{part.num_cut:,}")


def _length(lengths: LengthSummary | None) -> str:
    if lengths is None:
        return ""
    return f"{lengths.shortest:,} to {lengths.longest:,}, median {lengths.median:,}, 95 % up to {lengths.p95:,}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {number:,}" for name, number in counts.items() if number)


def _databases(statistics: Statistics) -> Table:
    from rich.table import Table

    table = Table("database", title="interactions by database", title_justify="left")
    for part in statistics.parts:
        table.add_column(part, justify="right")
    found = {part: counted.databases for part, counted in statistics.parts.items()}
    names = sorted({name for databases in found.values() for name in databases})
    names.sort(key=lambda name: -sum(databases.get(name, 0) for databases in found.values()))
    for name in names[:_MAX_DATABASES]:
        table.add_row(name, *(str(databases.get(name, "")) for databases in found.values()))
    if len(names) > _MAX_DATABASES:
        table.add_row(f"… {len(names) - _MAX_DATABASES} more", *("" for _ in found))
    return table


def _work(config: PrepareConfig, plan: PreparePlan, state: str) -> Table:
    from rich.table import Table

    table = Table(title="prepare: plan", show_header=False, title_justify="left")
    limit = "" if config.limit is None else f", first {config.limit}"
    rows = [
        ("dataset", f"{config.dataset_uri}{limit}: {len(plan.interactions)} interactions, {plan.num_turns} turns"),
        ("databases", f"{config.databases_uri}: {len({one.db_id for one in plan.interactions})}"),
        ("split", _split(config)),
        *((part, _part(plan, part == "test")) for part in plan.part_names),
        ("examples", f"one for each {config.example_form}"),
        ("history", ", ".join(f"{part}: {history}" for part, history in plan.history.items())),
        ("lengths", f"{plan.lengths.unit}{f' of {config.model_uri}' if config.model_uri else ''}"),
        ("prompts", _prompts(config, plan)),
        ("writes", f"{config.output_uri}/ ({state})"),
        ("plan digest", plan.digest[:16]),
    ]
    for name, value in rows:
        table.add_row(name, value)
    return table


def _split(config: PrepareConfig) -> str:
    split = config.split
    if split.by == "list":
        return f"test part: what {split.list_uri} names"
    return f"by {split.by}, {split.test_fraction:.0%} of the interactions held out, seed {split.seed}"


def _part(plan: PreparePlan, is_test: bool) -> str:
    found = [one for one, test in zip(plan.interactions, plan.split.is_test, strict=True) if test == is_test]
    databases = sorted({one.db_id for one in found})
    shown = ", ".join(databases[:8]) + (", …" if len(databases) > 8 else "")
    return f"{len(found)} interactions over {len(databases)} databases: {shown}"


def _prompts(config: PrepareConfig, plan: PreparePlan) -> str:
    if plan.max_model_len_tokens is None:
        return "not pruned (no model_uri)"
    return f"pruned to {plan.budget_tokens} tokens: {plan.max_model_len_tokens} less {config.max_tokens} for the answer"


def _sampled(config: PrepareConfig, plan: PreparePlan) -> Iterator[Example]:
    maker = ExampleMaker(plan.template, plan.databases, config.example_form, plan.lengths.prompt, plan.budget_tokens)
    step = -(-len(plan.interactions) // MAX_SAMPLED)
    for index in range(0, len(plan.interactions), step):
        interaction, history = plan.interactions[index], plan.history[plan.part(index)]
        yield from maker.examples(interaction, history, plan.past_sql(interaction, history))
