"""The parent's side of a worker process: start it, ask it, read its answer by a deadline, kill and bury it."""

from __future__ import annotations

import json
import os
import select
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from t2s.errors import SandboxError

_START_TIMEOUT_S = 60.0  # 50 ms on an idle machine
_CHUNK_BYTES = 1 << 20


class WorkerDied(Exception):
    """The process ended, or answered nonsense, while it was asked."""


class WorkerProcess:
    """The parent's side of one worker process."""

    def __init__(self, settings: str) -> None:
        # By path, isolated and without site-packages; with an empty environment, since that is where credentials are.
        program = Path(__file__).with_name("worker.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", str(program), settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={},
            cwd="/",
        )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Wait until it takes requests; `SandboxError` if it never does."""
        try:
            self._read_answer(time.monotonic() + _START_TIMEOUT_S)
        except TimeoutError as error:
            raise SandboxError(f"a worker process did not come up in {_START_TIMEOUT_S:.0f} s") from error
        except WorkerDied as error:
            raise SandboxError(str(error)) from error

    def ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Send a request and wait for the answer; `TimeoutError` or `WorkerDied` leave the worker unusable."""
        give_up_at = time.monotonic() + timeout_s
        body = json.dumps(request).encode()
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(struct.pack(">I", len(body)) + body)
            self._process.stdin.flush()
        except OSError as error:
            raise WorkerDied(f"its process was gone: {error.strerror}") from error
        return self._read_answer(give_up_at)

    def kill(self) -> None:
        """End it at once; whoever waits for its answer gets `WorkerDied`."""
        self._process.kill()

    def bury(self) -> None:
        """Wait for a killed process and close the pipes to it, which nobody may be using any more."""
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            try:
                pipe.close()
            except OSError:  # stdin still held a part of a request that nobody reads now
                continue

    def _read_answer(self, give_up_at: float) -> dict[str, Any]:
        (length,) = struct.unpack(">I", self._read(4, give_up_at))
        try:
            answer: dict[str, Any] = json.loads(self._read(length, give_up_at), object_hook=_decode_blob)
        except ValueError as error:
            raise WorkerDied(f"its process answered nonsense: {error}") from error
        return answer

    def _read(self, size: int, give_up_at: float) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        chunks: list[bytes] = []
        while size > 0:
            left_s = give_up_at - time.monotonic()
            if left_s <= 0 or not poller.poll(left_s * 1000):
                raise TimeoutError
            chunk = os.read(descriptor, min(size, _CHUNK_BYTES))
            if not chunk:
                raise WorkerDied(self._last_words())
            chunks.append(chunk)
            size -= len(chunk)
        return b"".join(chunks)

    def _last_words(self) -> str:
        self._process.kill()  # stdout is closed: if it is not dead yet, it is of no use any more
        code = self._process.wait()
        assert self._process.stderr is not None
        words = self._process.stderr.read().decode("utf-8", "replace").strip().splitlines()
        return f"its process ended with {code}" + (f": {words[-1]}" if words else "")


def _decode_blob(value: dict[str, Any]) -> Any:
    return bytes.fromhex(value["blob"]) if value.keys() == {"blob"} else value
