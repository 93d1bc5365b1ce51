"""What is wrong with settings, examples, model or store is one error that says so, before a step is done."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.training.conftest import ROOT, Train
from tests.training.tiny import example_messages, write_prepared

pytestmark = [pytest.mark.train, pytest.mark.timeout(900)]


def with_block(settings: dict[str, Any], **block: Any) -> dict[str, Any]:
    return {**settings, "llamafactory": {**settings["llamafactory"], **block}}


@pytest.mark.parametrize(
    ("block", "error", "told"),
    [
        ({"lora_rnak": 8, "foo": 1}, "SettingsError", ["llamafactory.lora_rnak: ", "did you mean lora_rank", ".foo: "]),
        ({"learning_rate": "fast"}, "SettingsError", ["llamafactory.learning_rate: wanted a valid number", "'fast'"]),
        ({"finetuning_type": "lore"}, "SettingsError", ["wanted 'lora'", "found 'lore'"]),
        ({"stage": "dpo", "output_dir": "x"}, "SettingsError", ["llamafactory.stage: ", "llamafactory.output_dir: "]),
        ({"dataset": "mine"}, "SettingsError", ["set dataset_uri to prepare's output"]),
        ({"train_on_prompt": True}, "SettingsError", ["belongs to these examples", "example_form"]),
        ({"template": "no such"}, "SettingsError", ["Template no such does not exist"]),
        ({"finetuning_type": "full", "quantization_bit": 8, "quantization_method": "hqq"}, "SettingsError", ["LoRA"]),
        (
            {"deepspeed": {"train_batch_size": 1}},
            "MissingExtra",
            ["deepspeed", "Install it there, or leave the key out"],
        ),
        ({"report_to": ["tensorboard", "wandb"]}, "MissingExtra", ["report_to=wandb", "uv pip install", "wandb)"]),
        ({"report_to": "nowhere"}, "MissingExtra", ["nowhere"]),
        ({"cutoff_len": 40}, "SettingsError", ["would cut 24 of 24 examples", "allow_cut=true"]),
        ({"template": "llama3"}, "ParityError", ["another beginning"]),
    ],
)
def test_wrong_settings_are_told_by_key(
    train: Train, training_settings: dict[str, Any], block: dict[str, Any], error: str, told: list[str]
) -> None:
    trained = train(with_block(training_settings, **block))
    assert trained.error == error, trained.message
    assert [text for text in told if text not in trained.message] == []
    assert not Path(training_settings["run_uri"]).exists()


def test_numbers_as_yaml_reads_them_from_llamafactorys_own_files_are_taken(
    train: Train, training_settings: dict[str, Any]
) -> None:
    block = yaml.safe_load("{learning_rate: 1e-2, max_steps: '1', lora_target: [q_proj, v_proj], warmup_steps: 0}")
    assert isinstance(block["learning_rate"], str)
    trained = train(with_block(training_settings, **block))
    assert trained.error == "", trained.message
    config = json.loads((Path(training_settings["adapter_uri"]) / "adapter_config.json").read_bytes())
    assert sorted(config["target_modules"]) == ["q_proj", "v_proj"]


def test_what_prepare_has_not_made_cannot_be_trained_on(
    train: Train, training_settings: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "train.json").write_text("[]", encoding="utf-8")
    trained = train({**training_settings, "dataset_uri": str(tmp_path / "some")})
    assert trained.error == "DatasetError" and "run prepare first" in trained.message


def test_examples_without_gold_are_refused(train: Train, training_settings: dict[str, Any], tmp_path: Path) -> None:
    questions_alone = [example_messages(0)[:-1]]
    prepared = write_prepared(tmp_path / "no-gold", examples=questions_alone, cutoff_len=None)
    trained = train({**training_settings, "dataset_uri": str(prepared)})
    assert trained.error == "DatasetError"
    assert "train.jsonl:1" in trained.message and "without gold SQL cannot be trained on" in trained.message
    empty = write_prepared(tmp_path / "empty", examples=[], cutoff_len=None)
    trained = train({**training_settings, "dataset_uri": str(empty)})
    assert trained.error == "DatasetError" and "found none" in trained.message


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("tokenizer.json", "wanted a tokenizer"),
        ("config.json", "no config.json"),
        ("model.safetensors", "wanted the weights"),
        ("chat_template", "wanted a chat template"),
    ],
)
def test_a_model_that_lacks_something_is_refused(
    train: Train, training_settings: dict[str, Any], tiny_model: Path, tmp_path: Path, missing: str, told: str
) -> None:
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    if missing == "chat_template":
        config = json.loads((model / "tokenizer_config.json").read_bytes())
        del config["chat_template"]
        (model / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    else:
        (model / missing).unlink()
    trained = train({**training_settings, "model_uri": str(model)})
    assert trained.error == "ModelError" and told in trained.message


def test_weights_that_are_a_pickle_are_refused(
    train: Train, training_settings: dict[str, Any], tiny_model: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    trained = train({**training_settings, "model_uri": str(model)})
    assert trained.error == "ModelError" and "pickles are never loaded" in trained.message


def test_settings_that_do_not_fit_the_gpu_of_this_machine_are_refused_before_anything_is_loaded(
    training_settings: dict[str, Any], tmp_path: Path
) -> None:
    program = tmp_path / "bin" / "nvidia-smi"  # says of a machine what the driver of a small GPU would
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\n[ "$1" = -L ] && echo "GPU 0: Tiny (UUID: x)" || echo "512, Tiny"\n', encoding="utf-8"
    )
    program.chmod(0o755)
    config = tmp_path / "train.yaml"
    config.write_text(yaml.safe_dump({**training_settings, "executor": {"kind": "process"}}), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "jobs/train.py", str(config)],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert "error: Tiny: the settings need about" in done.stderr and "it has 0.5 GiB" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("options", "told"), [("size=200k", "no room to write it"), ("ro", "Read-only file system")])
def test_a_store_that_is_full_or_read_only_is_told(
    training_settings: dict[str, Any], tmp_path: Path, options: str, told: str
) -> None:
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount a small disk of his own")
    run = tmp_path / "run"
    run.mkdir()
    config = tmp_path / "train.yaml"
    config.write_text(yaml.safe_dump({**training_settings, "executor": {"kind": "process"}}), encoding="utf-8")
    job = 'mount -t tmpfs -o "$1" none "$2" && exec "$3" jobs/train.py "$4"'
    done = subprocess.run(
        [*unshare, "sh", "-c", job, "sh", options, str(run), sys.executable, str(config)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert str(run) in line and told in line
