from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from t2s.engine import Completion, Engine, EngineConfig, Message, open_engine
from t2s.engine.scripted_process import ScriptedProcessEngine
from t2s.errors import EngineDead, EngineError, PromptTooLong, SettingsError

SYSTEM = "CREATE TABLE 城市 (名称 TEXT);"


def engine(process: bool = False, max_tokens: int = 256, **scripted: Any) -> Engine:
    return open_engine(
        EngineConfig.model_validate(
            {
                "kind": "scripted",
                "scripted": {"process": process, **scripted},
                "generation": {"max_tokens": max_tokens},
            }
        ),
        None,
    )


def prompt(question: str, *history: str, system: str = SYSTEM) -> list[Message]:
    messages: list[Message] = [{"role": "system", "content": system}]
    for index, text in enumerate(history):
        messages.append({"role": "assistant" if index % 2 else "user", "content": text})
    return [*messages, {"role": "user", "content": question}]


async def answers(one: Engine, prompts: list[list[Message]]) -> list[Completion | BaseException]:
    await one.start()
    try:
        return await asyncio.gather(*(one.generate(messages) for messages in prompts), return_exceptions=True)
    finally:
        await one.close()


def run(one: Engine, *prompts: list[Message]) -> list[Any]:
    return asyncio.run(answers(one, list(prompts)))


@pytest.mark.parametrize("process", [False, True])
def test_any_change_of_schema_history_or_question_changes_the_answer(process: bool) -> None:
    prompts = [
        prompt("几个？"),
        prompt("几个?"),
        prompt("几个？", system=SYSTEM + " "),
        prompt("几个？", "哪些？", "select 1"),
        prompt("几个？", "哪些？", "select 2"),
        prompt("几个？"),
    ]
    texts = [completion.text for completion in run(engine(process), *prompts)]
    assert texts[0] == texts[5] and len(set(texts)) == 5
    assert all(text.startswith("SELECT '") for text in texts)
    assert texts == [completion.text for completion in run(engine(), *prompts)]


def test_the_schema_is_counted_as_cached_once_it_was_seen() -> None:
    first, second, other = run(engine(), prompt("一"), prompt("二"), prompt("三", system="另一个"))
    assert (first.cached_tokens, other.cached_tokens) == (0, 0)
    assert 0 < second.cached_tokens < second.prompt_tokens


def test_a_table_answers_and_a_question_that_it_lacks_fails_alone(tmp_path: Path) -> None:
    table = tmp_path / "answers.json"
    table.write_text(json.dumps({"有几个城市？": "select count(*) from 城市"}, ensure_ascii=False), encoding="utf-8")
    known, wrapped, unknown = run(
        engine(answers_uri=str(table)), prompt("有几个城市？"), prompt("问题:\n有几个城市？\n"), prompt("别的")
    )
    assert known.text == wrapped.text == "select count(*) from 城市"
    assert type(unknown) is EngineError and "别的" in str(unknown)


@pytest.mark.parametrize("content", [None, "no json", '["a"]', '{"a": 1}'])
def test_a_table_that_cannot_be_used_is_a_wrong_setting(tmp_path: Path, content: str | None) -> None:
    table = tmp_path / "answers.json"
    if content is not None:
        table.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match="answers_uri"):
        run(engine(answers_uri=str(table)))


@pytest.mark.parametrize("process", [False, True])
def test_what_fails_fails_alone_and_what_dies_takes_all_that_wait_with_it(process: bool) -> None:
    one = engine(process, delay_s=0.3, fail_on="坏", die_on="死")

    async def scenario() -> list[Any]:
        await one.start()
        try:
            good, bad = await asyncio.gather(
                one.generate(prompt("好")), one.generate(prompt("坏")), return_exceptions=True
            )
            doomed = [asyncio.create_task(one.generate(prompt("好"))) for _ in range(3)]
            await asyncio.sleep(0.05)
            doomed.append(asyncio.create_task(one.generate(prompt("死"))))
            died = await asyncio.gather(*doomed, return_exceptions=True)
            later = await asyncio.gather(one.generate(prompt("好")), return_exceptions=True)
            return [good, bad, *died, *later]
        finally:
            await one.close()

    good, bad, *dead = asyncio.run(scenario())
    assert isinstance(good, Completion) and good.latency_s >= 0.3
    assert type(bad) is EngineError
    assert len(dead) == 5 and all(isinstance(error, EngineDead) for error in dead)


@pytest.mark.parametrize("process", [False, True])
def test_a_prompt_that_does_not_fit_is_refused(process: bool) -> None:
    fits, too_long = run(engine(process, max_model_len_tokens=300), prompt("短"), prompt("长" * 200))
    assert isinstance(fits, Completion)
    assert isinstance(too_long, PromptTooLong) and "at most 44" in str(too_long)


def test_an_answer_ends_at_max_tokens() -> None:
    [completion] = run(engine(max_tokens=5), prompt("几个？"))
    assert completion.finish_reason == "length" and len(completion.text) == 10


def test_counting_agrees_with_the_prompt_tokens_of_the_answer() -> None:
    one = engine()
    [completion] = run(one, prompt("几个？"))
    assert completion.prompt_tokens == one.count_tokens(prompt("几个？"))


def test_a_hundred_thousand_turns_take_seconds() -> None:
    one = engine()
    system = SYSTEM * 100
    prompts = [prompt(f"第{index}个", "哪些？", "select 1", system=system) for index in range(1000)]

    async def many() -> float:
        await one.start()
        started = time.process_time()
        for _ in range(20):
            await asyncio.gather(*(one.generate(messages) for messages in prompts))
        return (time.process_time() - started) / 20_000

    assert asyncio.run(many()) < 60e-6  # 13 us on an idle core


def on_process(scenario: Any) -> Any:
    one = engine(process=True, delay_s=5)
    assert isinstance(one, ScriptedProcessEngine)

    async def whole() -> Any:
        await one.start()
        try:
            return await scenario(one)
        finally:
            await one.close()
            await one.close()

    return asyncio.run(whole())


def test_killing_the_process_is_death_for_everybody_who_waits_and_comes() -> None:
    async def scenario(one: ScriptedProcessEngine) -> list[Any]:
        waiting = [asyncio.create_task(one.generate(prompt("几个？"))) for _ in range(3)]
        await asyncio.sleep(0.1)
        os.kill(one.pid, signal.SIGKILL)
        died = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 4)
        return [*died, *await asyncio.gather(one.generate(prompt("几个？")), return_exceptions=True)]

    dead = on_process(scenario)
    assert len(dead) == 4 and all(isinstance(error, EngineDead) for error in dead)


def test_close_leaves_no_process_also_while_requests_wait() -> None:
    async def scenario(one: ScriptedProcessEngine) -> int:
        waiting = asyncio.create_task(one.generate(prompt("几个？")))
        await asyncio.sleep(0.05)
        pid = one.pid
        await one.close()
        [error] = await asyncio.gather(waiting, return_exceptions=True)
        assert isinstance(error, EngineDead)
        return pid

    with pytest.raises(ProcessLookupError):
        os.kill(on_process(scenario), 0)
