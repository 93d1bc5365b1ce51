"""`jobs/train.py` as a process, and the processes below it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.cluster.ray_cluster import command_of, parent_of, wait_for

ROOT = Path(__file__).resolve().parents[2]


class TrainJob:
    """One start of the job; its Ray and its workers end with it.

    Args:
        settings: As in a YAML file.
        folder: For that file and the log.
        environment: Laid over this process's own.
    """

    def __init__(self, settings: Mapping[str, Any], folder: Path, environment: Mapping[str, str] | None = None) -> None:
        config = folder / "train.yaml"
        config.write_text(yaml.safe_dump(dict(settings), allow_unicode=True), encoding="utf-8")
        self._log_file = folder / f"train-{time.monotonic_ns()}.log"
        with self._log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "jobs" / "train.py"), str(config)],
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        """What it has printed."""
        return self._log_file.read_text(encoding="utf-8", errors="replace")

    def processes(self) -> list[int]:
        """Ids of all processes below it."""
        parents = {pid: parent_of(pid) for pid in map(int, filter(str.isdecimal, os.listdir("/proc")))}
        found = [self.process.pid]
        for pid in found:  # grows while it is walked
            found += [child for child, parent in parents.items() if parent == pid]
        return found[1:]

    def workers(self) -> list[int]:
        """Ids of the training workers."""
        return [pid for pid in self.processes() if "RayTrainWorker" in command_of(pid)]

    def wait_for(self, condition: Callable[[], bool], what: str, timeout_s: float = 1000) -> None:
        """Wait for something while the job runs."""

        def holds() -> bool:
            assert self.process.poll() is None, f"the job ended before {what}:\n{self.log}"
            return condition()

        try:
            wait_for(holds, timeout_s, what)
        except TimeoutError as error:
            raise AssertionError(f"{error}; the job:\n{self.log}") from error

    def ended(self, timeout_s: float = 1000) -> int:
        """Its exit code."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"the job has not ended within {timeout_s:.0f} s:\n{self.log}") from error

    def error_line(self) -> str:
        """Its `error:` line, with what follows on more lines."""
        found: list[str] = re.findall(r"^error: .*(?:\n(?!\d{4}-).*)*", self.log, re.MULTILINE)
        assert len(found) == 1, self.log
        return found[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()


def losses(history: bytes) -> dict[int, float]:
    """Loss by step out of `train/history.json`; fails where a step is there twice."""
    entries = [entry for entry in json.loads(history) if "loss" in entry]
    found = {entry["step"]: entry["loss"] for entry in entries}
    assert len(found) == len(entries)
    return found
