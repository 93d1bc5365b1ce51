from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from t2s.errors import SettingsError
from t2s.training.memory_estimate import advice, demand_room, estimate
from t2s.training.model_shape import ModelShape, read_shape

HIDDEN, WIDE, LAYERS, WORDS, KEYS = 4096, 14336, 32, 128_256, 1024
LINEAR = LAYERS * (2 * HIDDEN * HIDDEN + 2 * HIDDEN * KEYS + 3 * HIDDEN * WIDE)
WIDTH = 2 * 2 * HIDDEN + 2 * (HIDDEN + KEYS) + 3 * (HIDDEN + WIDE)
LLAMA3 = ModelShape(LINEAR + 2 * WORDS * HIDDEN, LINEAR, HIDDEN, WIDE, LAYERS, WORDS, WIDTH, 2)
A10_GIB = 22.2


def args(**changes: Any) -> dict[str, Any]:
    return {
        "finetuning_type": "lora",
        "lora_rank": 16,
        "bf16": True,
        "cutoff_len": 2048,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 16,
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "measured_gib"),
    [  # one H100, plain transformers and peft, bf16, SDPA
        ({"per_device_train_batch_size": 4, "cutoff_len": 1024, "disable_gradient_checkpointing": True}, 48),
        ({"per_device_train_batch_size": 16, "cutoff_len": 1024}, 43),
    ],
)
def test_the_estimate_is_within_a_gib_of_what_was_measured(changes: dict[str, Any], measured_gib: float) -> None:
    found = estimate(args(**changes), LLAMA3, 4096)
    assert found is not None and found.total == pytest.approx(measured_gib, abs=1)


def test_what_did_not_fit_80_gb_does_not_fit_by_estimate() -> None:
    found = estimate(
        args(per_device_train_batch_size=4, disable_gradient_checkpointing=True), LLAMA3, longest_tokens=2048
    )
    assert found is not None and found.total > 79


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({}, True),
        ({"cutoff_len": 4096}, False),
        ({"cutoff_len": 4096, "quantization_bit": 4}, True),
        ({"cutoff_len": 4096, "enable_liger_kernel": True}, True),
        ({"disable_gradient_checkpointing": True}, False),
        ({"finetuning_type": "full"}, False),
        ({"finetuning_type": "full", "pure_bf16": True}, False),
        ({"bf16": False}, False),
        ({"cutoff_len": 4096, "packing": True}, False),
    ],
)
def test_what_fits_an_a10_with_an_8b_model(changes: dict[str, Any], fits: bool) -> None:
    found = estimate(args(**changes), LLAMA3, longest_tokens=4096)
    assert found is not None and (found.total < A10_GIB) == fits


def test_short_examples_need_less_than_the_cutoff_but_packs_are_always_full() -> None:
    short = estimate(args(cutoff_len=4096), LLAMA3, longest_tokens=500)
    packed = estimate(args(cutoff_len=4096, packing=True), LLAMA3, longest_tokens=500)
    assert short is not None and packed is not None
    assert short.total < A10_GIB < packed.total


def test_looking_at_held_out_examples_eight_at_a_time_needs_more_than_training_on_one() -> None:
    alone = estimate(args(), LLAMA3, 2048)
    one, eight = (
        estimate(args(eval_dataset="t2s_test", per_device_eval_batch_size=number), LLAMA3, 2048) for number in (1, 8)
    )
    assert alone is not None and one is not None and eight is not None
    assert alone.total == one.total < A10_GIB < eight.total


def test_advice_names_changes_that_fit_and_only_those() -> None:
    settings = args(cutoff_len=4096)
    found = advice(settings, LLAMA3, 4096, A10_GIB)
    assert [line.partition(" (")[0] for line in found] == [
        "llamafactory.enable_liger_kernel=true",
        "llamafactory.finetuning_type=lora llamafactory.quantization_bit=4",
        "llamafactory.cutoff_len=2048",
    ]
    together = advice(args(per_device_train_batch_size=8, cutoff_len=8192), LLAMA3, 8192, A10_GIB)
    assert (
        len(together) == 1
        and "per_device_train_batch_size=1 llamafactory.gradient_accumulation_steps=128" in together[0]
    )
    assert advice(settings, LLAMA3, 4096, 4.0) == []


def test_settings_that_do_not_fit_are_refused_with_what_would_or_only_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = args(cutoff_len=4096)
    with pytest.raises(
        SettingsError, match=r"NVIDIA A10: the settings need about 23\.3 GiB .*it has 22\.2 GiB; what"
    ) as refusal:
        demand_room(settings, LLAMA3, 4096, A10_GIB, "NVIDIA A10", refuse=True)
    assert "llamafactory.cutoff_len=2048 (19.8 GiB). memory_check: warn tries it" in str(refusal.value)
    with caplog.at_level("WARNING"):
        demand_room(settings, LLAMA3, 4096, A10_GIB, "NVIDIA A10", refuse=False)
        demand_room(args(), LLAMA3, 4096, A10_GIB, "NVIDIA A10", refuse=True)
        demand_room(args(deepspeed="ds.json", cutoff_len=4096), LLAMA3, 4096, A10_GIB, "NVIDIA A10", refuse=True)
    assert len(caplog.records) == 1
    with pytest.raises(SettingsError, match="no setting makes it fit: take a bigger GPU"):
        demand_room(settings, LLAMA3, 4096, 4.0, "NVIDIA GeForce GTX 1050", refuse=True)


@pytest.mark.parametrize("key", ["deepspeed", "fsdp", "use_galore"])
def test_what_is_spread_over_workers_is_not_estimated(key: str) -> None:
    assert estimate(args(**{key: "ds.json"}), LLAMA3, 2048) is None


def test_a_models_shape_is_read_from_its_headers(tmp_path: Path) -> None:
    def tensor(*shape: int) -> dict[str, Any]:
        return {"dtype": "BF16", "shape": list(shape), "data_offsets": [0, 0]}

    tensors = {
        "__metadata__": {"format": "pt"},
        "model.embed_tokens.weight": tensor(100, 8),
        "model.layers.0.self_attn.q_proj.weight": tensor(8, 8),
        "model.layers.0.mlp.down_proj.weight": tensor(8, 32),
        "model.layers.0.input_layernorm.weight": tensor(8),
    }
    header = json.dumps(tensors).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    config = {"hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 32, "vocab_size": 100}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert read_shape(tmp_path) == ModelShape(800 + 64 + 256 + 8, 320, 8, 32, 1, 100, 16 + 40, 2)
