"""The small real model, trained on the sample: its adapter as it is and merged answer with the same SQL.

About 20 minutes on two idle cores, most of it training.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE, TRAIN = (ROOT / ".venvs" / name / "bin" / "python" for name in ("core", "train"))
NUM_TURNS = 30

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(3 * 3600)]


def run(python: Path | str, job: str, *words: str) -> str:
    done = subprocess.run(
        [python, f"jobs/{job}.py", *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"} if job == "train" else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def answers(run_uri: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """(db_id, question_id) -> (SQL, completion)."""
    rows = []
    for done in sorted(run_uri.glob("predictions/*.done")):
        attempt = json.loads(done.read_bytes())["attempt"]
        text = done.with_suffix(f".attempt-{attempt}").read_text(encoding="utf-8")
        rows += [json.loads(line) for line in text.splitlines()]
    return {(row["db_id"], row["question_id"]): (row["predicted_sql"], row["completion"]) for row in rows}


@pytest.fixture(scope="module")
def runs(sample_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an adapter, a merged model, and a run of each over the held-out part of the sample."""
    for python in (CORE, TRAIN):
        if not python.exists():
            pytest.skip(f"needs {python}: make setup setup-train")
    folder, data = tmp_path_factory.mktemp("runs"), ROOT / "data" / "sample" / "train_data"
    if not data.is_dir():
        pytest.skip("needs data/sample: python scripts/make_sample.py")
    cache = f"cache_dir={folder}/cache"
    run(CORE, "prepare", "configs/prepare_sample.yaml", f"output_uri={folder}/prepared", cache)
    places = (f"dataset_uri={folder}/prepared", f"run_uri={folder}/trained", f"adapter_uri={folder}/adapter", cache)
    short = ("llamafactory.max_steps=24", "llamafactory.gradient_accumulation_steps=2")
    unmeasured = ("llamafactory.eval_strategy=no", "llamafactory.eval_on_start=false")
    run(TRAIN, "train", "configs/train_sample.yaml", *places, *short, *unmeasured, "executor.kind=process")
    run(TRAIN, "merge", f"adapter_uri={folder}/adapter", f"output_uri={folder}/merged", cache)
    common = [f"dataset_uri={folder}/prepared/test.json", f"databases_uri={data}/database", "limit=12", cache]
    common += ["engine.generation.max_tokens=96"]
    adapter, merged = (f"engine.adapter_uri={folder}/adapter",), (f"engine.model_uri={folder}/merged",)
    for name, words in (("with_adapter", adapter), ("with_merged", merged)):
        run(sys.executable, "predict", "configs/predict_sample.yaml", *common, *words, f"run_uri={folder}/{name}")
    return folder


def test_merged_and_unmerged_give_the_same_sql(runs: Path) -> None:
    unmerged, merged = answers(runs / "with_adapter"), answers(runs / "with_merged")
    assert unmerged.keys() == merged.keys() and len(merged) >= NUM_TURNS
    assert {key: sql for key, (sql, _) in unmerged.items()} == {key: sql for key, (sql, _) in merged.items()}
    assert sum(bool(sql) for sql, _ in merged.values()) >= NUM_TURNS / 2, "it has learnt to write SQL"


def test_another_prompt_than_it_was_trained_with_is_refused(runs: Path) -> None:
    for words in ((f"engine.adapter_uri={runs}/adapter",), (f"engine.model_uri={runs}/merged",)):
        refused = subprocess.run(
            [
                *(sys.executable, "jobs/predict.py", "configs/predict_sample.yaml", *words),
                *(f"run_uri={runs}/refused", f"cache_dir={runs}/cache", "prompt.language=en"),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert refused.returncode == 2
        assert "it was trained with another prompt" in refused.stderr
