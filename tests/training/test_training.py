"""A training from its settings to what it publishes, through stops and restarts, without Ray around it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.training.conftest import Train
from tests.training.tiny import PROMPT_DIGEST

pytestmark = [pytest.mark.train, pytest.mark.timeout(600)]


def test_an_adapter_is_published_with_all_that_predict_must_know(
    train: Train, training_settings: dict[str, Any], tmp_path: Path
) -> None:
    trained = train(training_settings)
    assert (trained.error, trained.message) == ("", ""), trained

    losses = trained.losses()
    assert list(losses) == list(range(1, 13))
    assert losses[12] < losses[1] - 0.3
    adapter = tmp_path / "run" / "adapter"
    assert sorted(path.name for path in adapter.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "manifest.json",
    ]
    manifest = json.loads((adapter / "manifest.json").read_bytes())
    assert (manifest["kind"], manifest["template"], manifest["prompt_digest"]) == ("adapter", "chatml", PROMPT_DIGEST)
    assert manifest["base_model"]["uri"] == training_settings["model_uri"]
    assert manifest["metrics"]["steps"] == 12
    assert manifest["metrics"]["loss"] == pytest.approx(losses[12])
    assert 0 < manifest["metrics"]["eval_loss"] < losses[1]
    config = json.loads((adapter / "adapter_config.json").read_bytes())
    assert config["base_model_name_or_path"] == training_settings["model_uri"]
    run = tmp_path / "run" / "train"
    assert [path.name for path in sorted(run.glob("checkpoints/*.done"))] == [
        "step-00000010.done",
        "step-00000012.done",
    ]
    assert list(run.glob("tensorboard/events*"))
    assert not list((tmp_path / "cache" / "train").glob("*/*")), "the worker's own files are gone"


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_a_stop_saves_at_once_and_the_next_start_repeats_nothing(
    train: Train, training_settings: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    training_settings["llamafactory"]["finetuning_type"] = kind
    whole = train(training_settings).losses()
    training_settings |= {"run_uri": str(tmp_path / "other"), "adapter_uri": str(tmp_path / "other-adapter")}
    stopped = train(training_settings, stop_at=7)
    assert stopped.error == "Stopped" and "step 7 of 12" in stopped.message
    assert not (tmp_path / "other-adapter").exists()

    resumed = train(training_settings)
    assert resumed.error == "", resumed.message
    assert list(resumed.losses()) == [8, 9, 10, 11, 12]
    assert {**stopped.losses(), **resumed.losses()} == pytest.approx(whole, abs=1e-6)
    history = json.loads((tmp_path / "other" / "train" / "history.json").read_bytes())
    assert [entry["step"] for entry in history if "loss" in entry] == list(range(1, 13))


def test_the_held_out_loss_is_measured_once_at_the_end_also_where_a_start_finds_nothing_left_to_train(
    train: Train, training_settings: dict[str, Any], tmp_path: Path
) -> None:
    training_settings["llamafactory"]["eval_on_start"] = True
    whole = train(training_settings)
    measured = [(report["step"], report["values"]["eval_loss"]) for report in whole.reports if _is_evaluation(report)]
    assert [step for step, _ in measured] == [0, 12]
    history = tmp_path / "run" / "train" / "history.json"
    found = [(entry["step"], entry["eval_loss"]) for entry in json.loads(history.read_bytes()) if "eval_loss" in entry]
    assert found == measured

    # As if killed while it measured: the last step's checkpoint is there, and no adapter.
    shutil.rmtree(training_settings["adapter_uri"])
    training_settings["llamafactory"]["eval_on_start"] = False
    again = train(training_settings)
    assert again.error == "", again.message
    assert [report["step"] for report in again.reports if _is_evaluation(report)] == [12]
    found = [(entry["step"], entry["eval_loss"]) for entry in json.loads(history.read_bytes()) if "eval_loss" in entry]
    assert found[0] == measured[0] and found[-1] == pytest.approx(measured[-1], abs=1e-6)
    manifest = json.loads((Path(training_settings["adapter_uri"]) / "manifest.json").read_bytes())
    assert manifest["metrics"]["eval_loss"] == pytest.approx(measured[-1][1], abs=1e-6)


def _is_evaluation(report: dict[str, Any]) -> bool:
    return "eval_loss" in report["values"]


def test_the_best_of_all_checkpoints_is_published_also_after_a_restart(
    train: Train, training_settings: dict[str, Any], tmp_path: Path
) -> None:
    # Upside down, so that the best is the first of all.
    best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "greater_is_better": True}
    best |= {"eval_strategy": "steps", "eval_steps": 5, "save_steps": 5, "save_total_limit": 1}
    training_settings["llamafactory"] |= {**best, "max_steps": 15}
    stopped = train(training_settings, stop_at=12)
    assert stopped.error == "Stopped", stopped.message
    checkpoints = tmp_path / "run" / "train" / "checkpoints"
    assert sorted(path.stem for path in checkpoints.glob("*.done")) == ["step-00000005", "step-00000012"]
    weights = next(checkpoints.glob("step-00000005.*/adapter_model.safetensors")).read_bytes()

    resumed = train(training_settings)
    assert resumed.error == "", resumed.message
    assert (Path(training_settings["adapter_uri"]) / "adapter_model.safetensors").read_bytes() == weights


def test_packed_examples_are_trained_on_and_their_tokens_counted(
    train: Train, training_settings: dict[str, Any]
) -> None:
    training_settings["llamafactory"] |= {"neat_packing": True, "cutoff_len": 1024, "max_steps": 2, "report_to": "none"}
    trained = train(training_settings)
    assert trained.error == "", trained.message
    assert trained.reports[-1]["values"]["num_input_tokens_seen"] <= 2 * 2 * 1024 + 64


def test_a_loss_that_is_no_number_ends_the_training_at_its_step_and_is_in_no_checkpoint(
    train: Train, training_settings: dict[str, Any], tmp_path: Path
) -> None:
    training_settings["llamafactory"] |= {
        "learning_rate": 1e30,
        "warmup_steps": 6,
        "save_steps": 1,
        "lr_scheduler_type": "constant_with_warmup",
    }
    trained = train(training_settings)
    assert trained.error == "TrainError", trained.message
    last = max(trained.losses(), default=0)
    assert f"at step {last + 1}:" in trained.message and "learning_rate" in trained.message
    steps = [int(path.stem.partition("-")[2]) for path in (tmp_path / "run").rglob("*.done")]
    assert max(steps, default=0) <= last


def test_full_fine_tuning_leaves_a_model_with_its_base_models_own_tokenizer(
    train: Train, training_settings: dict[str, Any], tiny_model: Path, tmp_path: Path
) -> None:
    training_settings["llamafactory"] |= {"finetuning_type": "full", "max_steps": 2, "learning_rate": 1e-3}
    trained = train(training_settings)
    assert trained.error == "", trained.message
    model = tmp_path / "run" / "adapter"
    manifest = json.loads((model / "manifest.json").read_bytes())
    assert manifest["kind"] == "model"
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (model / name).read_bytes() == (tiny_model / name).read_bytes()
    assert (model / "model.safetensors").read_bytes() != (tiny_model / "model.safetensors").read_bytes()
    assert not list(model.glob("*.bin"))


def test_the_last_checkpoint_that_is_whole_counts(
    train: Train, training_settings: dict[str, Any], tmp_path: Path
) -> None:
    assert train(training_settings, stop_at=7).error == "Stopped"
    checkpoints = tmp_path / "run" / "train" / "checkpoints"
    shutil.rmtree(next(checkpoints.glob("step-00000007.*/")))
    (checkpoints / "step-00000007.done").unlink()  # as if the worker had died before it was committed
    resumed = train(training_settings)
    assert resumed.error == "", resumed.message
    assert min(resumed.losses()) == 6


def test_a_checkpoint_with_other_bytes_than_were_stored_is_refused(
    train: Train, training_settings: dict[str, Any], tmp_path: Path
) -> None:
    assert train(training_settings, stop_at=7).error == "Stopped"
    weights = next((tmp_path / "run" / "train" / "checkpoints").glob("step-00000007.*/adapter_model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    refused = train(training_settings)
    assert refused.error == "DigestMismatch" and "step-00000007" in refused.message
