"""An adapter into its model: the weights are base plus adapter, everything else is the base model's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from t2s.engine.chat import ChatTokenizer
from t2s.training.probe import probe
from tests.training.conftest import Train
from tests.training.tiny import write_model

pytestmark = [
    pytest.mark.train,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


@pytest.fixture
def adapter(train: Train, training_settings: dict[str, Any]) -> Path:
    """Trained for three steps."""
    training_settings["llamafactory"] |= {"max_steps": 3, "report_to": "none", "eval_strategy": "no"}
    trained = train(training_settings)
    assert trained.error == "", trained.message
    return Path(training_settings["adapter_uri"])


@pytest.fixture
def merge_settings(adapter: Path, tmp_path: Path) -> dict[str, Any]:
    return {"adapter_uri": str(adapter), "output_uri": str(tmp_path / "merged"), "cache_dir": str(tmp_path / "cache")}


def test_a_merged_model_is_the_base_model_with_the_adapter_added(
    merge: Train, merge_settings: dict[str, Any], adapter: Path, tiny_model: Path, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file

    done = merge(merge_settings)
    assert done.error == "", done.message
    merged = tmp_path / "merged"
    base, delta, found = (
        load_file(folder / name)
        for folder, name in (
            (tiny_model, "model.safetensors"),
            (adapter, "adapter_model.safetensors"),
            (merged, "model.safetensors"),
        )
    )
    config = json.loads((adapter / "adapter_config.json").read_bytes())
    name = "model.layers.1.mlp.down_proj"
    down, up = (delta[f"base_model.model.{name}.lora_{side}.weight"] for side in "AB")
    wanted = base[f"{name}.weight"] + config["lora_alpha"] / config["r"] * up @ down
    assert abs(up @ down).max() > 1e-4
    assert found[f"{name}.weight"] == pytest.approx(wanted, abs=1e-6)
    assert found.keys() == base.keys()

    for file in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (merged / file).read_bytes() == (tiny_model / file).read_bytes()
    manifest, before = (json.loads((folder / "manifest.json").read_bytes()) for folder in (merged, adapter))
    assert (manifest["kind"], manifest["merged_from"]) == ("model", before["digest"])
    assert manifest["probe_digest"] == before["probe_digest"] == probe(ChatTokenizer(str(merged))).digest
    assert manifest["prompt_digest"] == before["prompt_digest"]
    assert not any((tmp_path / "cache" / "merge").iterdir()), "what it was put together in is gone"

    again = merge(merge_settings)
    assert again.error == "", again.message


def test_a_model_that_is_not_the_adapters_own_is_refused(
    merge: Train, merge_settings: dict[str, Any], tmp_path: Path
) -> None:
    other = write_model(tmp_path / "other", seed=1)
    done = merge({**merge_settings, "model_uri": str(other)})
    assert done.error == "ModelError" and f"{other}: wanted the folder with digest" in done.message
    assert not (tmp_path / "merged").exists()


def test_an_adapter_without_its_manifest_or_with_other_files_is_refused(
    merge: Train, merge_settings: dict[str, Any], adapter: Path
) -> None:
    config = adapter / "adapter_config.json"
    config.write_text(config.read_text(encoding="utf-8") + " ", encoding="utf-8")
    done = merge(merge_settings)
    assert done.error == "ModelError" and "wanted the folder with digest" in done.message
    (adapter / "manifest.json").unlink()
    done = merge(merge_settings)
    assert done.error == "ModelError" and "wanted an adapter with the manifest.json" in done.message


def test_a_merged_model_cannot_be_merged_again_but_trained_on(
    merge: Train, train: Train, merge_settings: dict[str, Any], training_settings: dict[str, Any], tmp_path: Path
) -> None:
    assert merge(merge_settings).error == ""
    merged = str(tmp_path / "merged")
    done = merge({**merge_settings, "adapter_uri": merged, "output_uri": str(tmp_path / "twice")})
    assert done.error == "ModelError" and "found a whole model" in done.message
    shutil.rmtree(training_settings["run_uri"])
    trained = train({**training_settings, "model_uri": merged})
    assert trained.error == "", trained.message
    manifest = json.loads((Path(training_settings["adapter_uri"]) / "manifest.json").read_bytes())
    assert manifest["base_model"]["uri"] == merged
