"""LLaMA-Factory's own loader reads prepare's `sft/` folder: every example, its length, loss on the right SQL alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

from t2s.dataset import find_databases, read_interactions
from t2s.prompt import PromptConfig, PromptTemplate
from t2s.training.sft import (
    DATASET_INFO_NAME,
    LLAMAFACTORY_NAME,
    PARTS,
    Example,
    ExampleMaker,
    Part,
    dataset_info,
    file_name,
    llamafactory_keys,
)
from t2s.training.tokens import open_lengths
from tests.small_dataset import write_dataset
from tests.training.byte_tokenizer import write_byte_tokenizer

ROOT = Path(__file__).resolve().parents[2]
ENDING = "<|im_end|>\n"

pytestmark = [pytest.mark.train, pytest.mark.timeout(600)]


def read_by_llamafactory(sft: Path, model: Path, work: Path) -> dict[str, list[dict[str, Any]]]:
    """In a process of its own: it sets up logging, warns a lot, and reads its settings from the environment."""
    output = work / "read.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.llamafactory_reader", str(sft), str(model), str(output)],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(work / "hub"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, list[dict[str, Any]]] = json.loads(output.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("form", ["interaction", "turn"])
def test_llamafactory_reads_every_example_with_loss_on_its_sql_alone(
    tmp_path: Path, form: Literal["interaction", "turn"]
) -> None:
    dataset = write_dataset(tmp_path / "data", num_databases=2, interactions_per_database=3)
    model = write_byte_tokenizer(tmp_path / "model")
    lengths = open_lengths(str(model), "models", str(tmp_path / "cache"))
    databases = find_databases(str(dataset.parent / "database"), cache_dir=tmp_path / "cache")
    maker = ExampleMaker(PromptTemplate(PromptConfig()), databases, form, lengths.prompt, 3000)
    sft = tmp_path / "sft"
    sft.mkdir()
    written: dict[Part, list[Example]] = {}
    for part, db_id in zip(PARTS, ("城市0", "城市1"), strict=True):
        written[part] = [
            example
            for one in read_interactions(str(dataset))
            if one.db_id == db_id
            for example in maker.examples(one, "gold", [turn.gold_sql or "" for turn in one.turns])
        ]
        (sft / file_name(part)).write_bytes(b"".join(example.line() for example in written[part]))
    (sft / DATASET_INFO_NAME).write_text(json.dumps(dataset_info(PARTS)), encoding="utf-8")
    (sft / LLAMAFACTORY_NAME).write_text(json.dumps(llamafactory_keys(form, PARTS, 4000)), encoding="utf-8")

    read = read_by_llamafactory(sft, model, tmp_path)

    for part, examples in written.items():
        assert len(read[part]) == len(examples) == (9 if form == "turn" else 3)
        for found, example in zip(read[part], examples, strict=True):
            assert found["length"] == lengths.example(example.messages)
            answers = [message["content"] for message in example.messages if message["role"] == "assistant"]
            wanted = answers[-1:] if form == "turn" else answers
            assert found["loss"] == [answer + ENDING for answer in wanted]
