"""Running prepare in tests: a small dataset, settings for it, what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from t2s.predict import predict, run_shards_local
from t2s.predict_config import PredictConfig
from t2s.prediction import Measurement
from t2s.prepare import Outcome, prepare
from t2s.prepare_config import PrepareConfig
from t2s.storage import open_store
from tests.training.byte_tokenizer import write_byte_tokenizer

Entries = list[dict[str, Any]]


class Never:
    """A stop that nobody asks for."""

    requested = False

    def add_callback(self, loop: object, callback: object) -> None:
        """Nothing will come."""


class Watch:
    """Notes how far the job is; may end it."""

    def __init__(self, on_turn: Callable[[int], None] | None = None) -> None:
        self.begun: tuple[int, int] | None = None
        self.done = 0
        self.ended = False
        self._on_turn = on_turn

    def begin(self, total_turns: int, done_turns: int) -> None:
        self.begun = (total_turns, done_turns)

    def turn(self, measurement: Measurement) -> None:
        """Predict's way of telling."""

    def advance(self, done_turns: int, total_turns: int) -> None:
        self.done = done_turns
        if self._on_turn:
            self._on_turn(done_turns)

    def end(self) -> None:
        self.ended = True


def config(dataset: Path, output: str = "prepared", **changes: Any) -> PrepareConfig:
    root = dataset.parent.parent
    values: dict[str, Any] = {
        "dataset_uri": str(dataset),
        "databases_uri": str(dataset.parent / "database"),
        "output_uri": str(root / output),
        "num_workers": 2,
        "cache_dir": str(root / "cache"),
    }
    return PrepareConfig.model_validate({**values, **changes})


def run(settings: PrepareConfig, watch: Watch | None = None) -> Outcome:
    return prepare(settings, watch or Watch())


def rewrite(dataset: Path, change: Callable[[Entries], object]) -> None:
    entries = json.loads(dataset.read_text(encoding="utf-8"))
    change(entries)
    dataset.write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")


def objects(uri: str) -> dict[str, bytes]:
    store = open_store(uri)
    return {info.key: store.read(info.key) for info in store.list()}


def lines(settings: PrepareConfig, part: str) -> Entries:
    data = open_store(settings.output_uri).read(f"sft/{part}.jsonl")
    return [json.loads(line) for line in data.splitlines()]


def predicted(dataset: Path, run_uri: str) -> PredictConfig:
    """An earlier predict run on a dataset."""
    settings = PredictConfig.model_validate(
        {
            "dataset_uri": str(dataset),
            "databases_uri": str(Path(run_uri).parent / "data" / "database"),
            "run_uri": run_uri,
            "cache_dir": str(Path(run_uri).parent / "cache"),
            "engine": {"kind": "scripted"},
        }
    )
    predict(settings, run_shards_local, Never(), Watch())
    return settings


def model(dataset: Path, context_tokens: int = 4096) -> str:
    pytest.importorskip("tokenizers", reason="the package tokenizers is not in this environment")
    folder = dataset.parent.parent / f"model-{context_tokens}"
    return str(folder if folder.is_dir() else write_byte_tokenizer(folder, context_tokens))
