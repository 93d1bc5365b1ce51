"""One interaction, turn by turn: ask, wait, take the SQL, append it to the history, ask again.

Each interaction is a coroutine of its own, so turns of different interactions share the engine's batch without a
barrier.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from t2s.admission import AdmissionGate, CompletionLength
from t2s.dataset import find_databases
from t2s.engine import Completion, Engine, EngineInfo, Message
from t2s.errors import EngineDead, EngineError
from t2s.interaction import Interaction, Turn
from t2s.predict_config import PredictConfig
from t2s.prediction import Measurement, Prediction
from t2s.prompt import Exchange, InteractionPrompt, PromptTemplate, SchemaPrompt
from t2s.sql.extract import extract_sql

logger = logging.getLogger(__name__)


class Answered(NamedTuple):
    """All rows of one interaction, in the order of its turns."""

    rows: list[Prediction]
    measurements: list[Measurement]


class AliveEngine(NamedTuple):
    """A started engine and what belongs to it; replaced as a whole when the engine dies."""

    engine: Engine
    info: EngineInfo
    gate: AdmissionGate


class Answerer:
    """Answers interactions with whatever engine it is given; knows databases, prompt and history.

    Args:
        config: The run's settings.
        on_turn: Called with each answered turn's measurement; must be quick.
    """

    def __init__(self, config: PredictConfig, on_turn: Callable[[Measurement], None]) -> None:
        self._config = config
        self._on_turn = on_turn
        self._template = PromptTemplate(config.prompt)
        self._databases = find_databases(config.databases_uri, Path(config.cache_dir), config.cache_max_bytes)
        self._schemas: dict[str, asyncio.Task[SchemaPrompt]] = {}
        self._length = CompletionLength(config.engine.generation.max_tokens)

    async def answer(
        self, alive: AliveEngine, interaction: Interaction, attempt_number: int, on_arrival: Callable[[], None]
    ) -> Answered:
        """Answer one interaction; a turn that fails is a row with an error, `EngineDead` is raised.

        Args:
            alive: The engine and its gate.
            interaction: What to answer.
            attempt_number: For the measurements.
            on_arrival: Called once when it stands at the gate.
        """
        engine, info, gate = alive
        clock = asyncio.get_running_loop().time
        budget = info.max_model_len_tokens - self._config.engine.generation.max_tokens
        prompt = InteractionPrompt(
            self._template, await self.schema(interaction.db_id), interaction, engine.count_tokens, budget
        )
        prefix_tokens = prompt.system_tokens
        question_tokens = _question_tokens(engine, interaction)
        num_turns = len(interaction.turns)
        answered = Answered([], [])
        past: list[Exchange] = []
        ready = clock()
        tail_tokens = sum(question_tokens) + num_turns * self._length.expected_tokens
        on_arrival()
        prefix = prompt.system_message["content"]
        async with gate.admit(prefix, prefix_tokens, tail_tokens, question_tokens[0]) as ticket:
            queued_s = clock() - ready
            for index, turn in enumerate(interaction.turns):
                row, completion = await self._ask(engine, prompt, past, interaction, index)
                if completion is not None:
                    self._length.observe(completion.completion_tokens)
                    used_tokens = completion.prompt_tokens - prefix_tokens + completion.completion_tokens
                    to_come = sum(question_tokens[index + 1 :])
                    to_come += (num_turns - index - 1) * self._length.expected_tokens
                    used_next = used_tokens + sum(question_tokens[index + 1 : index + 2])
                    gate.resize(ticket, max(used_tokens + to_come, 0), max(used_next, 0))
                measured = measurement(interaction, turn, attempt_number, completion, queued_s if index == 0 else 0.0)
                answered.rows.append(row)
                answered.measurements.append(measured)
                self._on_turn(measured)
                past = self._append(past, turn, row)
        return answered

    async def _ask(
        self, engine: Engine, prompt: InteractionPrompt, past: Sequence[Exchange], interaction: Interaction, index: int
    ) -> tuple[Prediction, Completion | None]:
        turn = interaction.turns[index]
        try:
            rendered = prompt.render(past, index)
            completion = await engine.generate(rendered.messages)
            sql = extract_sql(completion.text)
        except EngineDead:
            raise
        except EngineError as error:
            return prediction(interaction, index, turn, error=f"{type(error).__name__}: {error}"), None
        except Exception as error:  # one bad row must not cost the others; it is on the row and in the log
            logger.exception("%s turn %d failed", interaction.interaction_id, index)
            return prediction(interaction, index, turn, error=f"{type(error).__name__}: {error}"), None
        row = prediction(interaction, index, turn, sql, completion.text, pruned=rendered.pruned)
        return row, completion

    def _append(self, past: list[Exchange], turn: Turn, row: Prediction) -> list[Exchange]:
        if self._config.history == "none":
            return []
        sql = turn.gold_sql if self._config.history == "gold" else row.predicted_sql
        return [*past, Exchange(question=turn.question, sql=sql or "")]

    async def schema(self, db_id: str) -> SchemaPrompt:
        """The database's part of the prompt, read once; later calls return without a switch of coroutines."""
        task = self._schemas.get(db_id)
        if task is None:
            if len(self._schemas) > 256:  # plan order comes back to a database never; this only bounds the memory
                self._schemas.pop(next(iter(self._schemas)))
            task = self._schemas[db_id] = asyncio.create_task(asyncio.to_thread(self._read_schema, db_id))
        return await asyncio.shield(task)

    def _read_schema(self, db_id: str) -> SchemaPrompt:
        return self._template.schema_prompt(self._databases.path(db_id), db_id)


def _question_tokens(engine: Engine, interaction: Interaction) -> list[int]:
    """Tokens that each turn's question and its headers add to the prompt, about: a share by length of all together."""
    messages: list[Message] = [{"role": "system", "content": ""}]
    empty = engine.count_tokens(messages)
    for turn in interaction.turns:
        messages += [{"role": "user", "content": turn.question}, {"role": "assistant", "content": ""}]
    total = engine.count_tokens(messages) - empty
    num_chars = sum(len(turn.question) for turn in interaction.turns)
    return [-(-total * len(turn.question) // num_chars) for turn in interaction.turns]


def prediction(
    interaction: Interaction,
    index: int,
    turn: Turn,
    predicted_sql: str = "",
    completion: str = "",
    error: str | None = None,
    pruned: tuple[str, ...] = (),
) -> Prediction:
    """The row of one turn."""
    return Prediction(
        db_id=interaction.db_id,
        question_id=turn.question_id,
        interaction_id=interaction.interaction_id,
        turn_index=index,
        predicted_sql=predicted_sql,
        completion=completion,
        error=error,
        pruned=pruned,
    )


def measurement(
    interaction: Interaction,
    turn: Turn,
    attempt_number: int,
    completion: Completion | None = None,
    queued_s: float = 0.0,
) -> Measurement:
    """What one turn took; zeros where there is no completion."""
    if completion is None:
        return Measurement(db_id=interaction.db_id, question_id=turn.question_id, attempt=attempt_number)
    return Measurement(
        db_id=interaction.db_id,
        question_id=turn.question_id,
        prompt_tokens=completion.prompt_tokens,
        cached_tokens=completion.cached_tokens,
        completion_tokens=completion.completion_tokens,
        latency_s=round(completion.latency_s, 4),
        waited_s=round(completion.waited_s, 4),
        prefill_s=round(completion.prefill_s or 0.0, 4),
        queued_s=round(queued_s, 4),
        preemptions=completion.preemptions,
        finish_reason=completion.finish_reason,
        attempt=attempt_number,
    )
