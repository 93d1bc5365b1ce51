from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from t2s.engine import EngineConfig, Message, open_engine
from t2s.errors import SettingsError

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

PROMPT: list[Message] = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "What is the capital of France?"},
]


def adapter(folder: Path, strength: float) -> Path:
    """A LoRA adapter of rank 4 on every layer's queries and values, with weights that mean nothing."""
    import numpy as np
    from safetensors.numpy import save_file

    random = np.random.default_rng(0)
    weights: dict[str, Any] = {}
    for layer in range(30):
        for module, width in (("q_proj", 576), ("v_proj", 192)):
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            weights[f"{name}.lora_A.weight"] = random.normal(0, 0.05, (4, 576)).astype("float32")
            weights[f"{name}.lora_B.weight"] = random.normal(0, strength, (width, 4)).astype("float32")
    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_vllm_applies_the_adapter(sample_model: Path, tmp_path: Path) -> None:
    config = EngineConfig.model_validate(
        {"vllm": {"kv_cache_memory_bytes": 512 << 20}, "generation": {"max_tokens": 12}}
    )

    async def answer(adapter_path: Path) -> str:
        engine = open_engine(config, str(sample_model), str(adapter_path))
        try:
            await engine.start()
            return (await engine.generate(PROMPT)).text
        finally:
            await engine.close()

    assert "Paris" in asyncio.run(answer(adapter(tmp_path / "without-effect", 0.0)))
    assert "Paris" not in asyncio.run(answer(adapter(tmp_path / "strong", 0.2)))


def test_the_transformers_engine_refuses_an_adapter_and_says_what_to_do(sample_model: Path) -> None:
    with pytest.raises(SettingsError, match="vllm"):
        open_engine(EngineConfig(kind="transformers"), str(sample_model), "adapter")
