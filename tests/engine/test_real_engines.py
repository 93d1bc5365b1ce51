"""Each engine is started once for all tests of this module, since vLLM takes half a minute on two cores."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from t2s.engine import Completion, Engine, EngineConfig, EngineInfo, Message, open_engine
from t2s.engine.lifeline_watch import marked
from t2s.engine.vllm_engine import VllmEngine
from t2s.errors import EngineDead, PromptTooLong, SettingsError

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning",
        # vLLM leaves its ZeroMQ context to the garbage collector, which closes it with a warning.
        "ignore:Unclosed context:ResourceWarning",
    ),
]  # fmt: skip

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "You are a helpful assistant. You answer in one short sentence, in plain words, and never add anything to it."
QUESTIONS = [
    "What is the capital of France?",
    "How many days does a week have?",
    "What do we call a doctor for animals?",
    "Write an SQL query that counts the rows of the table city.",
    "Which planet do we live on? Think of the one with oceans, and of nothing else but its name.",
    "What is the opposite of hot?",
]


def prompt(question: str, system: str = SYSTEM) -> list[Message]:
    return [{"role": "system", "content": system}, {"role": "user", "content": question}]


PROMPTS = [prompt(question) for question in QUESTIONS]


def config(kind: str, **options: Any) -> EngineConfig:
    vllm = {"kv_cache_memory_bytes": 512 << 20, **options.pop("vllm", {})}
    generation = {"max_tokens": 24, **options.pop("generation", {})}
    return EngineConfig.model_validate({"kind": kind, "vllm": vllm, "generation": generation, **options})


class Running:
    """A started engine and the event loop that it lives in."""

    def __init__(self, engine: Engine, runner: asyncio.Runner) -> None:
        self.engine, self._runner = engine, runner
        self.info: EngineInfo = runner.run(engine.start())

    def ask(self, *prompts: list[Message]) -> list[Any]:
        async def all_at_once() -> list[Any]:
            return await asyncio.gather(*map(self.engine.generate, prompts), return_exceptions=True)

        return self._runner.run(all_at_once())

    def close(self) -> None:
        self._runner.run(self.engine.close())


@pytest.fixture(autouse=True)
def garbage() -> Iterator[None]:
    """Collected within the test, where the filters above hold."""
    yield
    gc.collect()


def running(engine: Engine) -> Iterator[Running]:
    with asyncio.Runner() as runner:
        try:
            yield Running(engine, runner)
        finally:
            runner.run(engine.close())


@pytest.fixture(scope="module")
def vllm(sample_model: Path) -> Iterator[Running]:
    yield from running(open_engine(config("vllm"), str(sample_model)))


@pytest.fixture(scope="module")
def transformers(sample_model: Path) -> Iterator[Running]:
    yield from running(open_engine(config("transformers"), str(sample_model)))


@pytest.fixture(params=["vllm", "transformers"])
def each(request: pytest.FixtureRequest) -> Running:
    engine: Running = request.getfixturevalue(request.param)
    return engine


def test_an_engine_says_what_it_has(vllm: Running, transformers: Running) -> None:
    assert vllm.info._replace(version="", kv_cache_tokens=0) == EngineInfo("vllm", "", 8192, 0, 64, 32)
    assert "(cpu)" in vllm.info.version
    # 512 MiB, and 30 layers x 2 x 3 heads x 64 numbers of 4 bytes for each token.
    assert vllm.info.kv_cache_tokens == (512 << 20) // (30 * 2 * 3 * 64 * 4) // 32 * 32
    assert transformers.info._replace(version="") == EngineInfo("transformers", "", 8192, None, 8)


def test_answers_make_sense_and_end_by_themselves(each: Running) -> None:
    [answer] = each.ask(PROMPTS[0])
    assert "Paris" in answer.text and "<|" not in answer.text
    assert answer.finish_reason == "stop" and 5 < answer.completion_tokens < 24
    assert answer.latency_s > 0


def test_the_engine_gets_the_ids_of_the_template_and_no_other(each: Running, sample_model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(sample_model)
    answers = each.ask(*PROMPTS)
    for messages, answer in zip(PROMPTS, answers, strict=True):
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert answer.prompt_tokens == len(ids) == each.engine.count_tokens(messages)


def test_greedy_answers_repeat(each: Running) -> None:
    first, again = each.ask(PROMPTS[3]), each.ask(PROMPTS[3])
    assert first[0].text == again[0].text


def test_both_engines_begin_most_answers_alike(vllm: Running, transformers: Running) -> None:
    pairs = zip(vllm.ask(*PROMPTS), transformers.ask(*PROMPTS), strict=True)
    same = [left.text.split()[:3] == right.text.split()[:3] for left, right in pairs]
    assert sum(same) >= 5


def test_a_batch_with_prompts_of_different_lengths_answers_as_one_by_one(
    transformers: Running, sample_model: Path
) -> None:
    prompts = [*PROMPTS, prompt("Hi", system="x"), prompt(QUESTIONS[0], system=SYSTEM * 5)]
    together = transformers.ask(*prompts)
    for one_by_one in running(open_engine(config("transformers", transformers_batch_size=1), str(sample_model))):
        assert [one_by_one.ask(messages)[0].text for messages in prompts] == [answer.text for answer in together]


def test_a_shared_schema_comes_from_the_prefix_cache(vllm: Running) -> None:
    system = "CREATE TABLE 城市 (名称 TEXT, 人口 INTEGER);\n" * 20
    [first] = vllm.ask(prompt("一？", system))
    [second] = vllm.ask(prompt("二？", system))
    assert first.cached_tokens == 0
    assert second.prompt_tokens - 2 * 32 < second.cached_tokens < second.prompt_tokens
    assert second.preemptions == 0


def test_an_answer_ends_at_max_tokens(each: Running) -> None:
    [answer] = each.ask(prompt("Tell me a long story about a dragon.", system="You are a writer of long novels."))
    assert (answer.finish_reason, answer.completion_tokens) == ("length", 24)


def test_a_prompt_that_does_not_fit_fails_alone(each: Running) -> None:
    good, bad = each.ask(PROMPTS[0], prompt("word " * 8200))
    assert isinstance(good, Completion)
    assert isinstance(bad, PromptTooLong) and "at most 8168" in str(bad)


def test_a_cancelled_request_leaves_the_others_alone(each: Running) -> None:
    async def scenario() -> Completion:
        cancelled = asyncio.create_task(each.engine.generate(PROMPTS[3]))
        kept = asyncio.create_task(each.engine.generate(PROMPTS[0]))
        await asyncio.sleep(0.2)
        cancelled.cancel()
        return await kept

    assert "Paris" in each._runner.run(scenario()).text


def test_stop_texts_end_an_answer_and_are_not_in_it(sample_model: Path) -> None:
    stopping = open_engine(config("transformers", generation={"stop": ["France", "Paris"]}), str(sample_model))
    for engine in running(stopping):
        [answer] = engine.ask(PROMPTS[0])
        assert answer.finish_reason == "stop" and answer.text.strip() == "The capital of"


def test_an_unknown_option_of_vllm_is_refused_with_the_names_that_are_near(sample_model: Path) -> None:
    engine = open_engine(config("vllm", vllm={"max_model_length": 1, "model": "x"}), str(sample_model))
    with asyncio.Runner() as runner:
        with pytest.raises(SettingsError, match=r"max_model_len\b") as caught:
            runner.run(engine.start())
        runner.run(engine.close())
    assert "engine.model_uri" in str(caught.value)


def test_a_value_that_vllm_does_not_take_is_a_wrong_setting(sample_model: Path) -> None:
    engine = open_engine(config("vllm", vllm={"max_model_len": 10_000_000}), str(sample_model))
    with asyncio.Runner() as runner:
        with pytest.raises(SettingsError, match="max_model_len"):
            runner.run(engine.start())
        runner.run(engine.close())


def test_an_engine_that_is_still_starting_can_be_closed(sample_model: Path) -> None:
    engine = VllmEngine(config("vllm"), str(sample_model), None)

    async def scenario() -> float:
        start = asyncio.create_task(engine.start())
        while not engine._lifeline.processes():
            assert not start.done()
            await asyncio.sleep(0.05)
        started = time.monotonic()
        await engine.close()
        assert engine._lifeline.processes() == []
        with pytest.raises(Exception, match=r"did not start|closed"):
            await start
        return time.monotonic() - started

    assert asyncio.run(scenario()) < 15


def test_after_close_no_process_is_left_and_who_waits_learns_it(vllm: Running) -> None:
    assert isinstance(vllm.engine, VllmEngine)
    engine = vllm.engine

    async def scenario() -> list[Any]:
        waiting = asyncio.create_task(engine.generate(PROMPTS[3]))
        await asyncio.sleep(0.2)
        assert len(engine._lifeline.processes()) == 1
        await engine.close()
        return list(await asyncio.gather(waiting, engine.generate(PROMPTS[0]), return_exceptions=True))

    assert [type(error) for error in vllm._runner.run(scenario())] == [EngineDead, EngineDead]
    assert engine._lifeline.processes() == []


DRIVER = """
import asyncio, os, signal, sys
from t2s.engine import EngineConfig, open_engine
from t2s.errors import EngineDead

QUESTION = {"role": "user", "content": "What is the capital of France?"}
PROMPT = [{"role": "system", "content": "You are helpful."}, QUESTION]
config = EngineConfig.model_validate(
    {"vllm": {"kv_cache_memory_bytes": 512 << 20}, "generation": {"max_tokens": 250, "stop": ["Paris"]}}
)

async def main():
    first = open_engine(config, sys.argv[1])
    await first.start()
    print((await first.generate(PROMPT)).text, flush=True)
    waiting = [asyncio.create_task(first.generate(PROMPT)) for _ in range(3)]
    await asyncio.sleep(0.1)
    [process] = first._lifeline.processes()
    os.kill(process, signal.SIGKILL)
    died = await asyncio.gather(*waiting, first.generate(PROMPT), return_exceptions=True)
    print(*(type(error).__name__ for error in died), flush=True)
    await first.close()
    second = open_engine(config, sys.argv[1])
    await second.start()
    print(second._lifeline._marker, (await second.generate(PROMPT)).finish_reason, flush=True)
    await asyncio.sleep(600)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_a_killed_engine_is_death_for_all_a_new_one_works_and_dies_with_its_driver(
    sample_model: Path, tmp_path: Path
) -> None:
    script = tmp_path / "driver.py"  # a file: vLLM's process imports the main module again
    script.write_text(DRIVER, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), str(sample_model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as driver:
        assert driver.stdout is not None
        try:
            assert driver.stdout.readline().strip() == "The capital of France is"
            assert driver.stdout.readline().split() == ["EngineDead"] * 4
            marker, finish_reason = driver.stdout.readline().split()
            assert finish_reason == "stop" and len(marked(marker)) == 1
            os.kill(driver.pid, signal.SIGKILL)
            driver.wait(10)
            deadline = time.monotonic() + 5
            while marked(marker) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert marked(marker) == []
        finally:
            driver.kill()
