"""The scripted engine in a process of its own: for rehearsing what happens when an engine is killed or orphaned.

Messages and answers cross two pipes, one JSON object a line:

    {"id": 7, "messages": [{"role": "system", "content": "…"}, …]}
    {"id": 7, "completion": ["SELECT …", "stop", 812, 790, 11, 0.05, 0]}     or {"id": 7, "error": ["EngineError", "…"]}

Like vLLM's engine process, the child lives on when its driver dies (for two minutes): only the lifeline ends it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from t2s import errors, process_env
from t2s.engine import Completion, EngineConfig, EngineInfo, Message
from t2s.engine.lifeline import Lifeline
from t2s.engine.scripted import ScriptedEngine
from t2s.errors import EngineDead, EngineError, PromptTooLong

_ORPHANED_S = 120
_MAX_LINE_BYTES = 64 << 20


class ScriptedProcessEngine:
    """The driver's side; takes what `ScriptedEngine` takes."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._counting = ScriptedEngine(config)
        self._lifeline = Lifeline()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Completion]] = {}
        self._ids = itertools.count()
        self._dead = "scripted engine: not started"

    @property
    def pid(self) -> int:
        """Process id of the engine, so that it can be killed."""
        assert self._process is not None, "start comes first"
        return self._process.pid

    async def start(self) -> EngineInfo:
        """Start the process; returns when it answers."""
        self._lifeline.start()
        root = str(Path(__file__).resolve().parents[2])
        with self._lifeline.marking():
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "t2s.engine.scripted_process", self._config.model_dump_json(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=process_env.with_carried({"PYTHONPATH": root}),
                limit=_MAX_LINE_BYTES,
                start_new_session=True,  # Ctrl-C is for the driver alone
            )  # fmt: skip
        self._dead = ""
        self._reader = asyncio.create_task(self._read())
        info = await self._counting.start()
        await self._ask({"hello": True})
        return info

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """As `ScriptedEngine` counts."""
        return self._counting.count_tokens(messages)

    async def generate(self, messages: Sequence[Message]) -> Completion:
        """Send one prompt and wait for its answer."""
        return await self._ask({"messages": list(messages)})

    async def _ask(self, request: dict[str, Any]) -> Completion:
        if self._dead:
            raise EngineDead(self._dead)
        assert self._process is not None and self._process.stdin is not None
        number = next(self._ids)
        answer: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            with suppress(ConnectionError):  # the reader sees the same death and tells everybody
                self._process.stdin.write(_line({"id": number, **request}))
                await self._process.stdin.drain()
            return await answer
        finally:
            del self._waiting[number]

    async def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        while line := await self._process.stdout.readline():
            message = json.loads(line)
            answer = self._waiting.get(message["id"])
            if answer is None or answer.done():
                continue
            if "error" in message:
                name, text = message["error"]
                answer.set_exception({"PromptTooLong": PromptTooLong}.get(name, EngineError)(text))
            else:
                answer.set_result(Completion(*message["completion"]))
        self._dead = f"scripted engine: its process {self._process.pid} ended with {await self._process.wait()}"
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(EngineDead(self._dead))

    async def close(self) -> None:
        """Kill the process and the watcher."""
        await asyncio.to_thread(self._lifeline.kill)
        if self._reader is not None:
            await self._reader
        self._lifeline.stop()


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode() + b"\n"


async def _serve(config: EngineConfig) -> None:
    engine = ScriptedEngine(config)
    await engine.start()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_MAX_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tasks: set[asyncio.Task[None]] = set()
    while line := await reader.readline():
        task = asyncio.create_task(_answer(engine, json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.sleep(_ORPHANED_S)


async def _answer(engine: ScriptedEngine, request: dict[str, Any]) -> None:
    reply: dict[str, Any] = {"id": request["id"]}
    try:
        completion = await engine.generate(request["messages"]) if "messages" in request else _HELLO
        reply["completion"] = list(completion)
    except EngineDead:
        os.kill(os.getpid(), signal.SIGKILL)
    except errors.T2SError as error:
        reply["error"] = [type(error).__name__, str(error)]
    with suppress(BrokenPipeError):  # the driver is gone
        sys.stdout.buffer.write(_line(reply))
        sys.stdout.buffer.flush()


_HELLO = Completion("", "stop", 0, 0, 0, 0.0)

if __name__ == "__main__":
    asyncio.run(_serve(EngineConfig.model_validate_json(sys.argv[1])))
