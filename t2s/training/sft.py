"""Interactions as examples for LLaMA-Factory, rendered by the same `prompt.py` that predict uses.

    {"db_id": "购书平台", "question_ids": ["h83oa", "xs02e"], "messages": [
      {"role": "system", "content": "CREATE TABLE 图书 (…"}, {"role": "user", "content": "我需要图书的信息。"},
      {"role": "assistant", "content": "select * from 图书"}, {"role": "user", "content": "…"}, …]}

All but the last message is, message by message, the prompt that predict sends for the last of `question_ids`; what
stands before it is the prompt of the turn before. In the form `interaction` every assistant message is trained on, so
the questions are all of the interaction's. In the form `turn` only the last one is, which LLaMA-Factory does under
`mask_history: true` alone (data/processor/supervised.py, 0.9.5): `llamafactory_keys` says so, and train lays it over
its own settings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import IO, Any, Literal, NamedTuple

from t2s.dataset import Databases
from t2s.engine import Message
from t2s.errors import PromptTooLong
from t2s.interaction import Interaction
from t2s.prepare_config import ExampleForm
from t2s.prompt import CountTokens, Exchange, History, InteractionPrompt, PromptTemplate, SchemaPrompt

Part = Literal["train", "test"]
PARTS: tuple[Part, Part] = ("train", "test")

DATASET_INFO_NAME = "dataset_info.json"
LLAMAFACTORY_NAME = "llamafactory.json"

_MAX_SCHEMAS = 256  # of about 100 KB each


class Example(NamedTuple):
    """One example: a prompt, and behind it the answer.

    Attributes:
        db_id: Its database.
        question_ids: Of the questions whose SQL is trained on.
        messages: The last one is the answer.
        pruned: What the prompt of the last question leaves out, as in `Prompt.pruned`.
    """

    db_id: str
    question_ids: tuple[str, ...]
    messages: list[Message]
    pruned: tuple[str, ...]

    def line(self) -> bytes:
        """As a line of a JSONL file; LLaMA-Factory reads `messages` alone."""
        record = {"db_id": self.db_id, "question_ids": self.question_ids, "messages": self.messages}
        return json.dumps(record, ensure_ascii=False).encode() + b"\n"


class ExampleMaker:
    """Makes the examples of one interaction after the other.

    Args:
        template: The words.
        databases: Checked.
        form: What one example is.
        count_tokens: Of prompts; decides together with `budget_tokens` what is pruned.
        budget_tokens: Longest prompt: predict's context less its longest completion.
    """

    def __init__(
        self,
        template: PromptTemplate,
        databases: Databases,
        form: ExampleForm,
        count_tokens: CountTokens,
        budget_tokens: int,
    ) -> None:
        self._template, self._databases, self._form = template, databases, form
        self._count_tokens, self._budget = count_tokens, budget_tokens
        self._schemas: dict[str, SchemaPrompt] = {}

    def schema(self, db_id: str) -> SchemaPrompt:
        """The database's part of the prompt, read once."""
        if db_id not in self._schemas:
            if len(self._schemas) >= _MAX_SCHEMAS:
                self._schemas.pop(next(iter(self._schemas)))
            self._schemas[db_id] = self._template.schema_prompt(self._databases.path(db_id), db_id)
        return self._schemas[db_id]

    def examples(self, interaction: Interaction, history: History, past_sql: Sequence[str]) -> Iterator[Example]:
        """The examples of an interaction; turns whose prompt does not fit are in none of them.

        Args:
            interaction: Every turn with its gold SQL.
            history: Which earlier turns the model sees.
            past_sql: The SQL that stands for each turn in the history, as far as it is seen.
        """
        schema = self.schema(interaction.db_id)
        prompt = InteractionPrompt(self._template, schema, interaction, self._count_tokens, self._budget)
        exchanges = [Exchange(turn.question, sql) for turn, sql in zip(interaction.turns, past_sql, strict=True)]
        if self._form == "turn":
            for index in range(len(interaction.turns)):
                past = [] if history == "none" else exchanges[:index]
                example = self._example(prompt, interaction, past, index)
                if example is not None:
                    yield example
            return
        # Where the oldest turns would have to go, the example would show SQL whose question refers to what is not
        # there: the turns from there on are left out instead.
        for index in reversed(range(len(interaction.turns))):
            example = self._example(prompt, interaction, exchanges[:index], index)
            if example is not None and not any(name.startswith("turn:") for name in example.pruned):
                yield example._replace(question_ids=tuple(turn.question_id for turn in interaction.turns[: index + 1]))
                return

    def _example(
        self, prompt: InteractionPrompt, interaction: Interaction, past: Sequence[Exchange], index: int
    ) -> Example | None:
        turn = interaction.turns[index]
        try:
            messages, pruned = prompt.render(past, index)
        except PromptTooLong:
            return None
        assert turn.gold_sql is not None, "checked before work starts"
        answer: Message = {"role": "assistant", "content": turn.gold_sql.strip()}
        return Example(interaction.db_id, (turn.question_id,), [*messages, answer], pruned)


def dataset_name(part: Part) -> str:
    """What LLaMA-Factory calls a part: in `dataset`, `eval_dataset`, and on its web page."""
    return f"t2s_{part}"


def file_name(part: Part) -> str:
    """A part's file; a line is an example, so that neither side holds all of them."""
    return f"{part}.jsonl"


def dataset_info(parts: Sequence[Part]) -> dict[str, Any]:
    """LLaMA-Factory's `dataset_info.json`: how to read each part.

    The system message stands first among the messages, as predict sends it (SharegptDatasetConverter takes it from
    there); where tags are given, those that are not become None (data/parser.py), so all that occur are named.
    """
    tags = {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    }
    return {
        dataset_name(part): {
            "file_name": file_name(part),
            "formatting": "sharegpt",
            "columns": {"messages": "messages"},
            "tags": tags,
        }
        for part in parts
    }


def llamafactory_keys(form: ExampleForm, parts: Sequence[Part], cutoff_len: int | None) -> dict[str, Any]:
    """The upstream keys that must go with these examples; without `mask_history` the history is trained on, too."""
    keys: dict[str, Any] = {
        "dataset": dataset_name("train"),
        "mask_history": form == "turn",
        "train_on_prompt": False,
    }
    if "test" in parts:
        keys["eval_dataset"] = dataset_name("test")
    if cutoff_len is not None:
        keys["cutoff_len"] = cutoff_len
    return keys


class UsersWriter:
    """Writes interactions in the users' layout, one after the other, with nothing kept but the last one.

    Interactions that follow each other with the very same turns were one entry with several databases, and are again.

    Args:
        file: Opened for writing bytes.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._db_ids: list[str] = []
        self._last: Interaction | None = None
        self._is_first = True

    def add(self, interaction: Interaction) -> None:
        """Add one."""
        if self._last is not None and self._last.turns == interaction.turns:
            self._db_ids.append(interaction.db_id)
            return
        self._flush()
        self._last, self._db_ids = interaction, [interaction.db_id]

    def close(self) -> None:
        """Write what is left, and the end of the list."""
        self._flush()
        self._file.write(b"[]\n" if self._is_first else b"\n]\n")

    def _flush(self) -> None:
        if self._last is None:
            return
        turns = [
            {"question_id": turn.question_id, "question": turn.question, "query": turn.gold_sql}
            for turn in self._last.turns
        ]
        entry = json.dumps({"db_list": self._db_ids, "interaction": turns}, ensure_ascii=False)
        self._file.write((b"[\n" if self._is_first else b",\n") + entry.encode())
        self._is_first = False
        self._last = None
