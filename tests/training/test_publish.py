"""An adapter from LLaMA-Factory's web page or command becomes one that predict takes, if it is what it should be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.training.conftest import Train
from tests.training.tiny import PROMPT_DIGEST, write_model, write_prepared

pytestmark = [pytest.mark.train, pytest.mark.timeout(600)]


@pytest.fixture
def saved(train: Train, training_settings: dict[str, Any], tmp_path: Path) -> Path:
    """A folder as LLaMA Board leaves it."""
    training_settings["llamafactory"] |= {"max_steps": 2, "report_to": "none", "eval_strategy": "no"}
    trained = train(training_settings)
    assert trained.error == "", trained.message
    folder = Path(shutil.copytree(training_settings["adapter_uri"], tmp_path / "saves"))
    (folder / "manifest.json").unlink()
    (folder / "training_args.bin").write_bytes(b"a pickle that nobody opens")
    said = {"template": "chatml", "dataset": "t2s_train", "cutoff_len": 256, "learning_rate": 5e-5}
    (folder / "training_args.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    (folder / "all_results.json").write_text('{"train_loss": 5.5, "epoch": 1.0}', encoding="utf-8")
    return folder


@pytest.fixture
def settings(saved: Path, training_settings: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    names = ("model_uri", "dataset_uri", "cache_dir")
    return {
        "folder_uri": str(saved),
        "adapter_uri": str(tmp_path / "published"),
        **{name: training_settings[name] for name in names},
    }


def test_it_is_published_with_what_its_own_settings_say(
    publish: Train, settings: dict[str, Any], saved: Path, tmp_path: Path
) -> None:
    for _ in range(2):  # the second time nothing is left to do
        done = publish(settings)
        assert done.error == "", done.message
    names = sorted(path.name for path in (tmp_path / "published").iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors", "manifest.json"]
    manifest = json.loads((tmp_path / "published" / "manifest.json").read_bytes())
    assert (manifest["kind"], manifest["template"], manifest["prompt_digest"]) == ("adapter", "chatml", PROMPT_DIGEST)
    assert manifest["base_model"]["uri"] == settings["model_uri"]
    assert manifest["metrics"] == {"train_loss": 5.5, "epoch": 1.0}
    assert manifest["settings"]["training_args.yaml"]["learning_rate"] == 5e-5

    before = (tmp_path / "published" / "adapter_model.safetensors").read_bytes()
    weights = saved / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    done = publish(settings)
    assert done.error == "PlanMismatch" and "use another adapter_uri" in done.message
    assert (tmp_path / "published" / "adapter_model.safetensors").read_bytes() == before


def test_one_that_was_trained_with_another_template_is_not_published(
    publish: Train, settings: dict[str, Any], tmp_path: Path
) -> None:
    done = publish({**settings, "template": "llama3"})
    assert done.error == "ParityError" and "another beginning" in done.message
    assert not (tmp_path / "published").exists()


def test_one_that_was_trained_on_what_is_masked_otherwise_is_not_published(
    publish: Train, settings: dict[str, Any], saved: Path, tmp_path: Path
) -> None:
    turns = write_prepared(tmp_path / "turns", 4, form="turn")  # loss on the last answer alone
    said = {"template": "chatml", "dataset": "t2s_train"}  # mask_history is off by default
    (saved / "training_args.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    done = publish({**settings, "dataset_uri": str(turns)})
    assert done.error == "SettingsError" and "mask_history" in done.message


def test_one_of_another_dataset_or_model_is_not_published(
    publish: Train, settings: dict[str, Any], saved: Path, tmp_path: Path
) -> None:
    wider = write_model(tmp_path / "wider", hidden_size=64)
    done = publish({**settings, "model_uri": str(wider)})
    assert done.error == "ModelError" and "set model_uri to its own base model" in done.message
    (saved / "training_args.yaml").write_text("{dataset: identity}", encoding="utf-8")
    done = publish(settings)
    assert done.error == "SettingsError" and "the dataset identity, wanted t2s_train" in done.message


def test_a_pickle_is_not_published(publish: Train, settings: dict[str, Any], saved: Path) -> None:
    (saved / "adapter_model.safetensors").rename(saved / "adapter_model.bin")
    done = publish(settings)
    assert done.error == "ModelError" and "pickles are never loaded" in done.message
