"""What a model is trained on is, message by message, what predict will send it."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from t2s.dataset import find_databases, read_interactions
from t2s.engine import Completion, Engine, EngineConfig, Message
from t2s.engine.scripted import ScriptedEngine
from t2s.interaction import Interaction, Turn
from t2s.ledger import ShardLedger
from t2s.plan import make_plan
from t2s.predict_config import PredictConfig
from t2s.prompt import History, PromptConfig, PromptTemplate
from t2s.runner import ShardRunner
from t2s.storage import open_store
from t2s.training.sft import Example, ExampleMaker, UsersWriter, dataset_info, llamafactory_keys
from tests.small_dataset import write_dataset

CONTEXTS = (8192, 520, 300, 200)
"""Of the scripted engine, 32 of them for the answer: all fits; tables go; the oldest turns go; both go."""


class Listening(ScriptedEngine):
    """The scripted engine, with what it was sent."""

    sent: list[list[Message]]

    async def generate(self, messages: Sequence[Message]) -> Completion:
        self.sent.append(list(messages))
        return await super().generate(messages)


def sent_by_predict(
    dataset: Path, history: History, context: int, run: str
) -> tuple[list[list[Message]], dict[tuple[str, str], str]]:
    """What predict sends for a dataset, and the SQL that it takes from the answers."""
    config = PredictConfig.model_validate(
        {
            "dataset_uri": str(dataset),
            "databases_uri": str(dataset.parent / "database"),
            "run_uri": str(dataset.parent.parent / run),
            "cache_dir": str(dataset.parent.parent / "cache"),
            "history": history,
            "engine": {
                "kind": "scripted",
                "generation": {"max_tokens": 32},
                "scripted": {"max_model_len_tokens": context, "fail_on": "第2组第1问"},
            },
        }
    )
    plan = make_plan(config)
    sent: list[list[Message]] = []

    def listening(engine: EngineConfig, model: str | None, adapter: str | None) -> Engine:
        made = Listening(engine)
        made.sent = sent
        return made

    async def answer() -> None:
        runner = ShardRunner(config, plan.digest, "driver", make_engine=listening)
        try:
            for shard in plan.shards:
                await runner.run(shard)
        finally:
            await runner.close()

    asyncio.run(answer())
    ledger = ShardLedger(open_store(config.run_uri), plan.digest, "reader")
    names = ledger.done_names()
    rows = [row for shard in plan.shards for row in ledger.read_rows(shard.name, names)]
    return sent, {(row.db_id, row.question_id): row.predicted_sql for row in rows}


def maker(dataset: Path, form: Any, context: int) -> ExampleMaker:
    databases = find_databases(str(dataset.parent / "database"), cache_dir=dataset.parent.parent / "cache")
    counter = ScriptedEngine(EngineConfig(kind="scripted")).count_tokens
    return ExampleMaker(PromptTemplate(PromptConfig()), databases, form, counter, context - 32)


def as_set(messages: Sequence[Sequence[Message]]) -> set[str]:
    return {json.dumps(one, ensure_ascii=False) for one in messages}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three databases with three tables each, some interactions of five turns over them."""
    import sqlite3

    path = write_dataset(tmp_path / "data", interactions_per_database=3, num_turns=5)
    for database in (tmp_path / "data" / "database").glob("*.sqlite"):
        connection = sqlite3.connect(database)
        connection.executescript(
            "CREATE TABLE 省份 (编号 INTEGER, 名称 TEXT); CREATE TABLE 日志 (内容 TEXT, 时间 TEXT);"
        )
        connection.close()
    return path


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("history", ["gold", "none", "predicted"])
def test_the_prompt_of_each_turns_example_is_the_one_that_predict_sends(
    dataset: Path, history: History, context: int
) -> None:
    sent, predicted = sent_by_predict(dataset, history, context, "run")
    make = maker(dataset, "turn", context)
    examples: list[Example] = []
    for one in read_interactions(str(dataset)):
        past = [
            predicted[one.db_id, turn.question_id] if history == "predicted" else turn.gold_sql for turn in one.turns
        ]
        examples += make.examples(one, history, [sql or "" for sql in past])
    assert as_set([example.messages[:-1] for example in examples]) == as_set(sent)
    assert len(examples) == len(sent) > 0
    answers = {turn.question_id: turn.gold_sql for one in read_interactions(str(dataset)) for turn in one.turns}
    for example in examples:
        [question_id] = example.question_ids
        assert example.messages[-1] == {"role": "assistant", "content": answers[question_id]}
    if history == "predicted" and context == CONTEXTS[0]:
        assert any("（本轮没有得到 SQL）" in str(example.messages) for example in examples), (
            "failed turns stand in it, too"
        )


@pytest.mark.parametrize("context", CONTEXTS)
def test_every_beginning_of_an_interactions_example_is_a_prompt_that_predict_sends(dataset: Path, context: int) -> None:
    sent, _ = sent_by_predict(dataset, "gold", context, "run")
    make = maker(dataset, "interaction", context)
    for one in read_interactions(str(dataset)):
        examples = list(make.examples(one, "gold", [turn.gold_sql or "" for turn in one.turns]))
        assert len(examples) <= 1
        for example in examples:
            assert example.question_ids == tuple(turn.question_id for turn in one.turns[: len(example.question_ids)])
            ends = [index for index, message in enumerate(example.messages) if message["role"] == "assistant"]
            assert len(ends) == len(example.question_ids)
            assert as_set([example.messages[:end] for end in ends]) <= as_set(sent)
            assert not any(name.startswith("turn:") for name in example.pruned)


def test_the_contexts_of_these_tests_prune_turns_and_tables(dataset: Path) -> None:
    pruned = {}
    for context in CONTEXTS:
        make = maker(dataset, "turn", context)
        found = [
            example
            for one in read_interactions(str(dataset))
            for example in make.examples(one, "gold", [turn.gold_sql or "" for turn in one.turns])
        ]
        pruned[context] = {name.partition(":")[0] for example in found for name in example.pruned}
    assert pruned == {8192: set(), 520: {"table"}, 300: {"turn"}, 200: {"table", "turn"}}


def test_an_interaction_that_outgrows_the_context_ends_where_its_first_turn_would_have_to_go(dataset: Path) -> None:
    one = read_interactions(str(dataset))[0]
    gold = [turn.gold_sql or "" for turn in one.turns]
    [whole] = maker(dataset, "interaction", 8192).examples(one, "gold", gold)
    [part] = maker(dataset, "interaction", 300).examples(one, "gold", gold)
    assert len(whole.question_ids) == 5
    assert 0 < len(part.question_ids) < 5
    assert part.messages == whole.messages[: len(part.messages)]


def test_a_question_that_fits_no_context_is_in_no_example(dataset: Path) -> None:
    one = read_interactions(str(dataset))[0]
    long = one.model_copy(update={"turns": (one.turns[0], one.turns[1].model_copy(update={"question": "问" * 20_000}))})
    for form in ("turn", "interaction"):
        found = list(maker(dataset, form, 8192).examples(long, "gold", ["select 1", "select 1"]))
        assert [example.question_ids for example in found] == [(one.turns[0].question_id,)]


def test_gold_with_blanks_around_it_is_the_same_as_answer_and_as_history(dataset: Path) -> None:
    turns = [Turn(question_id=key, question=f"问{key}", gold_sql=f" select {key}\n") for key in "12"]
    one = Interaction(db_id="城市0", turns=tuple(turns))
    gold = [turn.gold_sql or "" for turn in turns]
    [whole] = maker(dataset, "interaction", 8192).examples(one, "gold", gold)
    first, second = maker(dataset, "turn", 8192).examples(one, "gold", gold)
    assert whole.messages == second.messages
    assert first.messages[-1]["content"] == second.messages[2]["content"] == "select 1"


def test_a_line_is_one_json_object_with_chinese_as_it_is() -> None:
    messages: list[Message] = [
        {"role": "system", "content": "表\n城市"},
        {"role": "assistant", "content": "select 名称"},
    ]
    line = Example("城市0", ("a", "b"), messages, ()).line()
    assert line.count(b"\n") == 1 and line.endswith(b"\n") and "城市".encode() in line
    assert json.loads(line) == {"db_id": "城市0", "question_ids": ["a", "b"], "messages": messages}


def test_the_history_is_masked_where_each_turn_has_an_example_of_its_own_and_nowhere_else() -> None:
    assert llamafactory_keys("turn", ("train", "test"), 1024) == {
        "dataset": "t2s_train",
        "eval_dataset": "t2s_test",
        "mask_history": True,
        "train_on_prompt": False,
        "cutoff_len": 1024,
    }
    assert llamafactory_keys("interaction", ("train",), None) == {
        "dataset": "t2s_train",
        "mask_history": False,
        "train_on_prompt": False,
    }


def test_dataset_info_is_ascii_since_llamafactory_opens_it_in_the_machines_own_encoding() -> None:
    assert json.dumps(dataset_info(("train", "test")), ensure_ascii=False).isascii()


def test_users_layout_is_written_as_it_was_read_also_over_several_databases(tmp_path: Path) -> None:
    entries = [
        {
            "db_list": ["甲", "乙"],
            "interaction": [{"question_id": "1", "question": "问“一”\n", "query": "select '甲'"}],
        },
        {"db_list": ["甲"], "interaction": [{"question_id": "2", "question": "问二", "query": "select 2"}]},
    ]
    (tmp_path / "data.json").write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    file = io.BytesIO()
    writer = UsersWriter(file)
    for one in read_interactions(str(tmp_path / "data.json")):
        writer.add(one)
    writer.close()
    assert json.loads(file.getvalue()) == entries
    assert "问二".encode() in file.getvalue()


def test_users_layout_without_interactions_is_an_empty_list() -> None:
    file = io.BytesIO()
    UsersWriter(file).close()
    assert json.loads(file.getvalue()) == []
