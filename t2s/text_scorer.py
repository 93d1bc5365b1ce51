"""Score texts on every core: this process takes batches, and so do processes beside it, from one queue."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import NamedTuple, TypeVar

from t2s.errors import SandboxError
from t2s.text_scores import TextPair, TextScores, score_texts

_Key = TypeVar("_Key")

_TURNS_WORTH_A_PROCESS = 1_000
"""A process needs 1 s to start and to load its dictionary, 2 s beside busy ones: the time of so many turns."""
_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from t2s.text_scores import main; main(int(sys.argv[1]))"


class _Batch(NamedTuple):
    """Pairs, and the future that their scores come to."""

    pairs: Sequence[TextPair]
    scores: Future[list[TextScores]]


class TextScorer:
    """Scores batches of pairs, beside this process in others where there are enough turns to be worth it.

    An evaluation of 3,948 turns on two cores: 8.4 s with this process alone, 6.0 s with one beside it.

    Args:
        num_workers: Processes at most, with this one.
        num_turns: How many there will be.
    """

    batch_turns = 25
    """Turns in a batch: 40 ms of work, so that progress moves and processes end together."""

    def __init__(self, num_workers: int, num_turns: int) -> None:
        self._num_processes = min(num_workers - 1, num_turns // _TURNS_WORTH_A_PROCESS)
        self._batches: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> TextScorer:
        for _ in range(self._num_processes):
            process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(os.getpid()), *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            self._processes.append(process)
            thread = threading.Thread(target=self._serve, args=(process,), name="texts", daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    @property
    def pids(self) -> list[int]:
        """Of the processes beside this one."""
        return [process.pid for process in self._processes]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.kill()
        for _ in self._threads:
            self._batches.put(None)
        for thread in self._threads:
            thread.join()

    def kill(self) -> None:
        """End the processes at once; batches that they hold fail."""
        for process in self._processes:
            process.kill()

    def submit(
        self, pairs: Sequence[TextPair], keys: Sequence[_Key]
    ) -> Iterator[tuple[Future[list[TextScores]], Sequence[_Key]]]:
        """Queue pairs: a future for each batch of them, and the keys that the batch has."""
        for start in range(0, len(pairs), self.batch_turns):
            batch = _Batch(pairs[start : start + self.batch_turns], Future())
            self._batches.put(batch)
            yield batch.scores, keys[start : start + self.batch_turns]

    def help(self) -> bool:
        """Score one batch in the calling thread, if one waits; whether one did."""
        try:
            batch = self._batches.get_nowait()
        except queue.Empty:
            return False
        if batch is not None:
            batch.scores.set_result(score_texts(batch.pairs))
        return batch is not None

    def _serve(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None
        # Outermost: closing the pipe to a dead process flushes what it never read.
        with contextlib.suppress(BrokenPipeError), process.stdin, process.stdout:
            while (batch := self._batches.get()) is not None:
                try:
                    pickle.dump(batch.pairs, process.stdin)
                    process.stdin.flush()
                    batch.scores.set_result(pickle.load(process.stdout))
                except (OSError, EOFError, pickle.UnpicklingError):
                    code = process.wait()
                    batch.scores.set_exception(SandboxError(f"a process that compares texts ended with {code}"))
                    return
        process.wait()
