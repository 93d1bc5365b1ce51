"""The scripted engine: answers without a model, at once or after a delay, with faults that can be set.

Answers come from a table {question: completion}, or are made from a digest of all messages, so that any change of
schema, history or question shows:

    [system, "哪个城市的人口最多？"]  ->  "SELECT '9d1c0f5a77e2' AS answer"

Tests and rehearsals use it; 100,000s of turns take seconds. `scripted_process.py` runs it in a process that can be
killed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from t2s.engine import Completion, EngineConfig, EngineInfo, Message
from t2s.errors import EngineDead, EngineError, PromptTooLong, SettingsError, StorageError
from t2s.storage import open_store


class ScriptedEngine:
    """Answers in this process.

    Args:
        config: `config.scripted` and `config.generation.max_tokens` count.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config.scripted
        self._max_tokens = config.generation.max_tokens
        self._answers: dict[str, str] | None = None
        self._systems: dict[str, Any] = {}
        self._waiting: set[asyncio.Future[None]] = set()
        self._dead: str | None = None

    async def start(self) -> EngineInfo:
        """Read the table of answers, if there is one."""
        if self._config.answers_uri is not None:
            self._answers = await asyncio.to_thread(_read_answers, self._config.answers_uri)
        return EngineInfo(
            name="scripted",
            version="1",
            max_model_len_tokens=self._config.max_model_len_tokens,
            kv_cache_tokens=self._config.kv_cache_tokens,
            max_num_seqs=self._config.max_num_seqs,
        )

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Half the characters, and four for each header, the answer's included."""
        return sum([len(message["content"]) // 2 + 4 for message in messages]) + 4

    async def generate(self, messages: Sequence[Message]) -> Completion:
        """Answer one prompt."""
        if self._dead is not None:
            raise EngineDead(self._dead)
        question = messages[-1]["content"]
        if self._config.die_on is not None and self._config.die_on in question:
            self.die(f"scripted engine: scripted.die_on is in the question {question!r}")
            raise EngineDead(self._dead)
        prompt_tokens = self.count_tokens(messages)
        longest = self._config.max_model_len_tokens - self._max_tokens
        if prompt_tokens > longest:
            raise PromptTooLong(f"scripted engine: wanted a prompt of at most {longest} tokens, found {prompt_tokens}")
        clock = asyncio.get_running_loop().time
        started = clock()
        if self._config.delay_s:
            await self._delay()
        else:
            await asyncio.sleep(0)  # others get their turn, as with an engine that takes time
            if self._dead is not None:
                raise EngineDead(self._dead)
        if self._config.fail_on is not None and self._config.fail_on in question:
            raise EngineError(f"scripted engine: scripted.fail_on is in the question {question!r}")
        text, cached_tokens = self._answer(messages)
        completion_tokens = len(text) // 2 + 1
        finish_reason = "stop"
        if completion_tokens > self._max_tokens:
            text, completion_tokens, finish_reason = text[: 2 * self._max_tokens], self._max_tokens, "length"
        return Completion(text, finish_reason, prompt_tokens, cached_tokens, completion_tokens, clock() - started)

    def _answer(self, messages: Sequence[Message]) -> tuple[str, int]:
        """The completion, and how many tokens a prefix cache would have had."""
        system = messages[0]["content"]
        digest = self._systems.get(system)
        cached_tokens = 0 if digest is None else len(system) // 2 + 4
        if digest is None:
            digest = self._systems[system] = hashlib.sha256(system.encode())
        if self._answers is not None:
            return self._look_up(messages[-1]["content"]), cached_tokens
        digest = digest.copy()
        for message in messages[1:]:
            digest.update(f"\0{message['role']}\0{message['content']}".encode())
        return f"SELECT '{digest.hexdigest()[:12]}' AS answer", cached_tokens

    def _look_up(self, question: str) -> str:
        assert self._answers is not None
        # Users' own wording may put lines round the question.
        for text in (question.strip(), *question.splitlines()):
            if text in self._answers:
                return self._answers[text]
        raise EngineError(f"scripted engine: {self._config.answers_uri} has no answer for the question {question!r}")

    async def _delay(self) -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(self._config.delay_s, _finish, done)
        self._waiting.add(done)
        try:
            await done
        finally:
            self._waiting.discard(done)
            timer.cancel()

    def die(self, reason: str) -> None:
        """Be dead: everybody who waits and everybody who comes gets `EngineDead`."""
        self._dead = reason
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(EngineDead(reason))

    async def close(self) -> None:
        """Answer nothing more."""
        self.die("scripted engine: closed")


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _read_answers(uri: str) -> dict[str, str]:
    folder, slash, name = uri.rpartition("/")
    try:
        answers = json.loads(open_store(folder or slash or ".").read(name))
    except (StorageError, ValueError) as error:
        raise SettingsError(f"scripted.answers_uri: wanted a JSON file at {uri}, found: {error}") from error
    if not isinstance(answers, dict) or not all(isinstance(text, str) for text in answers.values()):
        raise SettingsError(
            f'scripted.answers_uri: wanted {{"question": "completion", ...}}, found another form in {uri}'
        )
    return answers
