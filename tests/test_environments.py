from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from t2s import environments
from t2s.errors import MissingExtra
from t2s.settings import BoardSettings, EvaluateSettings, JobSettings, PredictSettings, PublishSettings


def predict_settings(**changes: object) -> PredictSettings:
    values = {"dataset_uri": "d", "run_uri": "r", "engine": {"kind": "vllm", "model_uri": "m"}, **changes}
    return PredictSettings.model_validate(values)


EVALUATE = EvaluateSettings.model_validate({"gold_uri": "g", "run_uri": "r"})
BOARD = BoardSettings.model_validate({"dataset_uri": "d", "run_uri": "r", "model_uri": "m"})
PUBLISH = PublishSettings.model_validate({"folder_uri": "f", "adapter_uri": "a", "model_uri": "m", "dataset_uri": "d"})
SCRIPTED = predict_settings(engine={"kind": "scripted"})
ON_RAY = predict_settings(executor={"kind": "ray"})
PLAN_ON_RAY = predict_settings(executor={"kind": "ray"}, dry_run=True)


@pytest.mark.parametrize(
    ("settings", "has_gpu", "name"),
    [
        (EVALUATE, True, "core"),
        (SCRIPTED, True, "core"),
        (PUBLISH, False, "train"),
        (BOARD, True, "train"),
        (predict_settings(), True, "predict"),
        (predict_settings(), False, "predict-cpu"),
        (predict_settings(engine={"kind": "transformers", "model_uri": "m"}), False, "predict-cpu"),
        (ON_RAY, True, "core"),  # only launches
        (PLAN_ON_RAY, False, "predict-cpu"),  # counts tokens with the model's tokenizer
    ],
)
def test_a_job_needs_the_environment_of_its_kind_and_engine(settings: JobSettings, has_gpu: bool, name: str) -> None:
    assert environments.needed(settings, has_gpu) == name


def test_an_environment_in_the_checkout_is_used_by_its_own_interpreter(tmp_path: Path) -> None:
    python = tmp_path / ".venvs" / "predict-cpu" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert environments.find("predict-cpu", tmp_path) == ("predict-cpu", python, False)


def test_a_missing_environment_is_one_line_that_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(
        MissingExtra, match=r"needs the environment train, found no .*: make it with `make setup-train` in"
    ):
        environments.find("train", tmp_path)


def test_without_environments_of_the_checkout_the_light_jobs_run_where_t2s_runs(tmp_path: Path) -> None:
    assert environments.find("core", tmp_path) == ("core", Path(sys.executable), True)


def test_a_gpu_is_there_when_nvidia_smi_lists_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for script, expected in [
        ("echo 'GPU 0: NVIDIA A10 (UUID: x)'", True),
        ("echo broken; exit 9", False),
        ("true", False),
    ]:
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(0o755)
        assert environments.has_nvidia_gpu() is expected
