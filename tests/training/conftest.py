from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.training.tiny import write_model, write_prepared

ROOT = Path(__file__).resolve().parents[2]
DEV_PROGRAMS = ROOT / ".venvs" / "dev" / "bin"


class Trained(NamedTuple):
    """How a training in a process of its own went: the worker's reports by step, and its end."""

    reports: list[dict[str, Any]]
    error: str
    message: str

    def losses(self) -> dict[int, float]:
        """Training loss by step."""
        return {report["step"]: report["values"]["loss"] for report in self.reports if "loss" in report["values"]}


Train = Callable[..., Trained]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights."""
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What prepare leaves, of 24 examples and 4 held out."""
    return write_prepared(tmp_path_factory.mktemp("prepared") / "tiny")


@pytest.fixture
def training_settings(tiny_model: Path, prepared: Path, tmp_path: Path) -> dict[str, Any]:
    """Of the job train: twelve steps, a checkpoint every five."""
    return {
        "dataset_uri": str(prepared),
        "model_uri": str(tiny_model),
        "run_uri": str(tmp_path / "run"),
        "adapter_uri": str(tmp_path / "run" / "adapter"),
        "cache_dir": str(tmp_path / "cache"),
        "llamafactory": {
            "template": "chatml",
            "max_steps": 12,
            "save_steps": 5,
            "learning_rate": 1e-2,
            "gradient_accumulation_steps": 2,
        },
    }


@pytest.fixture(scope="session")
def worker_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """`tests.training.one_worker`, waiting for requests."""
    with (tmp_path_factory.mktemp("worker") / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.training.one_worker"],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None and process.stdin is not None
        try:
            assert process.stdout.readline() == "ready\n", Path(log.name).read_text(encoding="utf-8")
            yield process
        finally:
            process.stdin.close()
            process.kill()
            process.wait()
            process.stdout.close()


def ask(process: subprocess.Popen[str], request: dict[str, Any]) -> Trained:
    """Have one thing done, and read what came of it."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == "0\n"
    *reports, end = [json.loads(line) for line in Path(request["output"]).read_text(encoding="utf-8").splitlines()]
    return Trained(reports, end["error"], end["message"])


@pytest.fixture
def train(worker_process: subprocess.Popen[str], tmp_path: Path) -> Train:
    """Trains as settings say, in a process of its own, with one worker."""

    def run(settings: dict[str, Any], stop_at: int | None = None) -> Trained:
        request = {"settings": settings, "stop_at": stop_at, "output": str(tmp_path / "reports.jsonl")}
        return ask(worker_process, request)

    return run


@pytest.fixture
def merge(worker_process: subprocess.Popen[str], tmp_path: Path) -> Train:
    """Merges as settings say, in a process of its own."""

    def run(settings: dict[str, Any]) -> Trained:
        return ask(worker_process, {"merge": settings, "output": str(tmp_path / "merged.jsonl")})

    return run


@pytest.fixture
def publish(worker_process: subprocess.Popen[str], tmp_path: Path) -> Train:
    """Publishes as settings say, in a process of its own."""

    def run(settings: dict[str, Any]) -> Trained:
        return ask(worker_process, {"publish": settings, "output": str(tmp_path / "published.jsonl")})

    return run
