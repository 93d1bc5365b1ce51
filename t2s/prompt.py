"""From (schema, history, question) to chat messages; the same for training and for predicting.

    system     CREATE TABLE 城市 (
               城市id TEXT PRIMARY KEY, -- 例: 'c1', 'c2'
               名称 TEXT -- 例: '北京', '上海'
               );
               …and the rules: SQLite, one statement, single quotes for strings
    user       哪个城市的人口最多？
    assistant  select 名称 from 城市 order by 人口 desc limit 1
    user       它位于哪个省份？

The schema stands first and is byte for byte the same for all questions to a database, so that the engine reads it
once. Whose SQL stands in the history, `history` says. The words are macros in `prompts/<language>.jinja`; users can put
their own in their place. What does not fit the model's context is left out: tables once, before an interaction's first
turn; later only the oldest turns; the question never.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from t2s.dataset.sqlite_schema import MAX_EXAMPLE_CHARS, read_schema
from t2s.engine import Message
from t2s.errors import PromptTooLong, SettingsError
from t2s.interaction import Interaction
from t2s.prompts.ranking import TableRanking
from t2s.prompts.schema_text import render_schema
from t2s.prompts.words import load_words
from t2s.schema import Column, ForeignKey, Schema, Table, quote_identifier

__all__ = [
    "CountTokens",
    "Exchange",
    "History",
    "InteractionPrompt",
    "Prompt",
    "PromptConfig",
    "PromptTemplate",
    "SchemaPrompt",
    "quote_identifier",
]

History = Literal["predicted", "gold", "none"]
"""Which SQL of earlier turns the model sees: its own, the annotated one, or no earlier turn at all."""

CountTokens = Callable[[Sequence[Message]], int]
"""Tokens of a rendered prompt; `Engine.count_tokens`."""

# Room kept for each earlier SQL when tables are chosen. 3 in 4 of CHASE-C's gold queries are not longer.
_TYPICAL_SQL = (
    "select T1.名称, T2.名称, T2.面积 from 城市 as T1 join 省份 as T2 on T1.省份id = T2.省份id "
    "where T2.面积 > 100000 order by T1.人口 desc limit 1"
)
# Turns for which there must be room, the question's own included; CHASE's longest interactions have six.
_NUM_TURNS_IN_VIEW = 6
# Bound on what a chat template adds to a message (Llama 3: 5 tokens, ChatML: 5).
_MAX_HEADER_TOKENS = 32


class PromptConfig(BaseModel):
    """How the prompt is worded.

    Attributes:
        language: Of the rules and labels.
        template_uri: A Jinja template of one's own: a `.jinja` file, or a folder with `<language>.jinja`; null: ours.
        examples_per_column: Most sample values that a column shows.
        example_max_chars: Longest sample value; longer ones are cut, ending in "…".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    language: Literal["zh", "en"] = "zh"
    template_uri: str | None = None
    examples_per_column: int = Field(3, ge=0)
    example_max_chars: int = Field(40, gt=0, le=MAX_EXAMPLE_CHARS)


class Exchange(NamedTuple):
    """An earlier turn as the model sees it; `sql` is "" where there is none."""

    question: str
    sql: str


class Prompt(NamedTuple):
    """A rendered prompt; `pruned` is what was left out: `table:日志`, … in the database's order, then `turn:0`, …."""

    messages: list[Message]
    pruned: tuple[str, ...]


class PromptTemplate:
    """Renders schemas and messages as a `PromptConfig` says.

    Raises:
        SettingsError: The user's own template is absent or not right; names file and line.
        StorageError: The store that holds it failed or refused.
    """

    def __init__(self, config: PromptConfig) -> None:
        self._config = config
        self._words = load_words(config.language, config.template_uri)
        probe = self._probe()
        parts = {
            "sources": [source.text for source in self._words.sources],
            "options": config.model_dump(exclude={"template_uri"}),
            "probe": probe,
        }
        self._digest = hashlib.sha256(json.dumps(parts, ensure_ascii=False, sort_keys=True).encode()).hexdigest()

    @property
    def digest(self) -> str:
        """Sha256 (hex) of all that decides a prompt: the words, the options, a probe rendered by this code."""
        return self._digest

    def schema_text(self, schema: Schema, tables: Collection[str] | None = None) -> str:
        """Write a schema, or the given tables of it, as CREATE TABLE statements; see `prompts.schema_text`."""
        return render_schema(
            schema,
            self._words,
            tables,
            num_examples=self._config.examples_per_column,
            example_max_chars=self._config.example_max_chars,
        )

    def system(self, schema_text: str) -> str:
        """The system message for a schema's text: the schema first, then the rules."""
        return self._words.system(schema_text)

    def schema_prompt(self, path: Path, db_id: str) -> SchemaPrompt:
        """Read a database and render it, once for all its interactions."""
        return SchemaPrompt(self, read_schema(path, db_id, num_examples=self._config.examples_per_column))

    def messages(self, system: str, past: Sequence[Exchange], question: str) -> list[Message]:
        """Put a prompt together."""
        messages: list[Message] = [{"role": "system", "content": system}]
        for exchange in past:
            messages.append({"role": "user", "content": self._words.user(exchange.question)})
            messages.append({"role": "assistant", "content": exchange.sql.strip() or self._words.no_sql()})
        messages.append({"role": "user", "content": self._words.user(question)})
        return messages

    def _probe(self) -> list[Message]:
        """Render a fixed example: shows a broken template at once, and this code's own changes in the digest."""
        text = self.schema_text(_PROBE_SCHEMA)
        system = self.system(text)
        question = "它位于哪个省份？"
        messages = self.messages(system, [Exchange("人口?", "select 1"), Exchange("面积?", "")], question)
        for macro, wanted, found in (("system", text, system), ("user", question, messages[-1]["content"])):
            if wanted not in found:
                raise SettingsError(
                    f"{self._words.source_of(macro)}: wanted a macro {macro} whose text holds all of its argument, "
                    "found that it leaves some of it out"
                )
        return messages


class SchemaPrompt:
    """A database's part of the prompt, rendered once for all its interactions.

    Attributes:
        schema: The database.
        system: The system message with all tables.
    """

    def __init__(self, template: PromptTemplate, schema: Schema) -> None:
        self._template = template
        self.schema = schema
        self.system = template.system(template.schema_text(schema))
        self._counted: tuple[CountTokens, int] | None = None
        self._table_costs: tuple[CountTokens, dict[str, int]] | None = None

    @functools.cached_property
    def ranking(self) -> TableRanking:
        """Made when tables must be chosen, which is rare."""
        return TableRanking(self.schema)

    def system_tokens(self, count_tokens: CountTokens) -> int:
        """Tokens of the system message alone; counted once for a counter."""
        if self._counted is None or self._counted[0] != count_tokens:
            self._counted = (count_tokens, count_tokens([{"role": "system", "content": self.system}]))
        return self._counted[1]

    def table_costs(self, count_tokens: CountTokens) -> dict[str, int]:
        """About how many tokens each table adds; "" -> tokens of a system message without any."""
        if self._table_costs is None or self._table_costs[0] != count_tokens:
            costs = {"": self._count_with(count_tokens, [])}
            for table in self.schema.tables:
                costs[table.name] = self._count_with(count_tokens, [table.name]) - costs[""]
            self._table_costs = (count_tokens, costs)
        return self._table_costs[1]

    def system_with(self, tables: Collection[str]) -> str:
        """The system message with some tables only."""
        return self._template.system(self._template.schema_text(self.schema, tables))

    def _count_with(self, count_tokens: CountTokens, tables: Collection[str]) -> int:
        return count_tokens([{"role": "system", "content": self.system_with(tables)}])


class InteractionPrompt:
    """Prompts for the turns of one interaction. Which tables they show is decided here, before the first turn.

    Tables are left out only if the whole schema and the interaction's questions (with room for the SQL between them) do
    not fit; then those that the questions are most about stay. `gold_sql` is never looked at.

    Args:
        template: Words and options.
        schema: The database; a `SchemaPrompt` where several interactions share it.
        interaction: Whose turns will be asked.
        count_tokens: The engine's counter.
        budget_tokens: Longest prompt: the model's context less the longest completion.
    """

    def __init__(
        self,
        template: PromptTemplate,
        schema: Schema | SchemaPrompt,
        interaction: Interaction,
        count_tokens: CountTokens,
        budget_tokens: int,
    ) -> None:
        self._template = template
        self._schema = schema if isinstance(schema, SchemaPrompt) else SchemaPrompt(template, schema)
        self._interaction = interaction
        self._count_tokens = count_tokens
        self._budget = budget_tokens
        tables = self._choose_tables()
        if tables is None:
            self._system = self._schema.system
            self._system_tokens = self._schema.system_tokens(count_tokens)
            self._pruned_tables: tuple[str, ...] = ()
        else:
            self._system = self._schema.system_with(tables)
            self._system_tokens = count_tokens([self.system_message])
            self._pruned_tables = tuple(
                f"table:{table.name}" for table in self._schema.schema.tables if table.name not in tables
            )

    @property
    def system_message(self) -> Message:
        """The first message of all turns."""
        return {"role": "system", "content": self._system}

    @property
    def system_tokens(self) -> int:
        """Tokens of the system message alone."""
        return self._system_tokens

    def render(self, past: Sequence[Exchange], turn_index: int) -> Prompt:
        """Make the prompt of a turn.

        Args:
            past: Earlier turns, oldest first; none under `history: none`.
            turn_index: Which question is asked.

        Raises:
            PromptTooLong: The question does not fit, even alone with the tables that were chosen.
        """
        turn = self._interaction.turns[turn_index]
        num_tokens = 0
        for start in range(len(past) + 1):
            messages = self._template.messages(self._system, past[start:], turn.question)
            if self._surely_fits(messages):
                break
            num_tokens = self._count_tokens(messages)
            if num_tokens <= self._budget:
                break
        else:
            num_tables = len(self._schema.schema.tables)
            raise PromptTooLong(
                f"question {turn.question_id} of {self._interaction.db_id}: wanted a prompt of at most {self._budget} "
                f"tokens, found {num_tokens} with {num_tables - len(self._pruned_tables)} of {num_tables} tables and "
                "no earlier turn; use a longer context or a smaller prompt.examples_per_column"
            )
        first = turn_index - len(past)
        return Prompt(messages, self._pruned_tables + tuple(f"turn:{first + index}" for index in range(start)))

    def _surely_fits(self, messages: Sequence[Message]) -> bool:
        """Whether a prompt fits without counting it: a tokenizer makes at most one token of each byte."""
        rest = messages[1:]
        bound = sum(len(message["content"].encode()) + _MAX_HEADER_TOKENS for message in rest)
        return self._system_tokens + bound <= self._budget

    def _choose_tables(self) -> set[str] | None:
        """The tables to show, or None for all."""
        schema, count_tokens = self._schema, self._count_tokens
        self._system = schema.system
        self._system_tokens = schema.system_tokens(count_tokens)
        whole = self._needed_turns()
        messages = self._template.messages(schema.system, whole[:-1], whole[-1].question)
        if self._surely_fits(messages) or count_tokens(messages) <= self._budget:
            return None
        order = schema.ranking.order(turn.question for turn in self._interaction.turns)
        longest = max(self._interaction.turns, key=lambda turn: len(turn.question)).question
        for needed in (whole, [Exchange(longest, "")]):
            if tables := self._fitting(order, needed):
                return None if len(tables) == len(order) else tables
        return set(order[:1])

    def _needed_turns(self) -> list[Exchange]:
        """The longest stretch of turns that should fit beside the schema, with typical SQL for answers."""
        turns = self._interaction.turns
        starts = range(max(1, len(turns) - _NUM_TURNS_IN_VIEW + 1))
        stretches = [turns[start : start + _NUM_TURNS_IN_VIEW] for start in starts]
        longest = max(stretches, key=lambda stretch: sum(len(turn.question) for turn in stretch))
        return [Exchange(turn.question, _TYPICAL_SQL) for turn in longest]

    def _fitting(self, order: Sequence[str], needed: Sequence[Exchange]) -> set[str]:
        """Of the tables, best first, as many as fit beside the needed turns."""
        costs = self._schema.table_costs(self._count_tokens)
        chosen: list[str] = []
        used = self._count_with(chosen, needed)
        for name in order:
            if used + costs[name] <= self._budget:
                chosen.append(name)
                used += costs[name]
        # Tokens of parts need not add up to those of the whole.
        while chosen and self._count_with(chosen, needed) > self._budget:
            chosen.pop()
        return set(chosen)

    def _count_with(self, tables: Collection[str], needed: Sequence[Exchange]) -> int:
        system = self._schema.system_with(tables)
        return self._count_tokens(self._template.messages(system, needed[:-1], needed[-1].question))


_PROBE_SCHEMA = Schema(
    db_id="probe",
    tables=(
        Table(
            name="省份",
            comment="各省",
            columns=(
                Column(name="省份id", type="INTEGER", primary_key=1, examples=(1, 2)),
                Column(name="注册资本（万）", type="DECIMAL(10,2)", comment="万元", examples=(1.5,)),
                Column(name="order", type="", examples=("it's", "长" * 50)),
            ),
        ),
        Table(
            name="城市",
            columns=(
                Column(name="城市id", type="TEXT", primary_key=2, examples=("c1",)),
                Column(name="省份id", type="ODD,TYPE", primary_key=1, examples=(1,)),
            ),
            foreign_keys=(ForeignKey(columns=("省份id",), other_table="省份", other_columns=("省份id",)),),
        ),
        Table(name="大城市", kind="view", columns=(Column(name="名称", type="TEXT"),)),
    ),
)
