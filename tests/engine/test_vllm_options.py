from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from t2s.engine import EngineConfig, Message
from t2s.engine.vllm_engine import VllmEngine, adapter_rank, check_options
from t2s.errors import EngineDead, ModelError, SettingsError

NAMES = {"model", "max_model_len", "max_num_seqs", "gpu_memory_utilization", "tensor_parallel_size"}
MESSAGES: list[Message] = [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}]


def test_options_that_vllm_has_pass() -> None:
    check_options({"max_model_len": 4096, "tensor_parallel_size": 2}, NAMES)


def test_all_wrong_options_are_named_at_once_with_what_is_near() -> None:
    with pytest.raises(SettingsError) as caught:
        check_options({"max_model_length": 1, "quite_another": 2, "model": "x", "enable_lora": True}, NAMES)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert "vllm.max_model_length" in lines[0] and "did you mean max_model_len" in lines[0]
    assert "quite_another" in lines[1] and "did you mean" not in lines[1]
    assert lines[2] == "vllm.model: set engine.model_uri instead"
    assert lines[3] == "vllm.enable_lora: set engine.adapter_uri instead"


@pytest.mark.parametrize(
    ("config", "rank"),
    [({"r": 8}, 8), ({"r": 9}, 16), ({"r": 4}, 8), ({"r": 8, "rank_pattern": {"q_proj": 60}}, 64), ({"r": 512}, 512)],
)
def test_an_adapter_gets_the_smallest_rank_that_vllm_has_for_it(
    tmp_path: Path, config: dict[str, object], rank: int
) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert adapter_rank(tmp_path) == rank


@pytest.mark.parametrize("content", [None, "no json", "{}", '{"r": 513}'])
def test_an_adapter_without_a_usable_rank_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "adapter_config.json").write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=r"adapter_config|rank"):
        adapter_rank(tmp_path)


def test_an_engine_that_was_never_started_or_is_closed_is_dead_and_can_be_closed_again() -> None:
    async def scenario() -> None:
        engine = VllmEngine(EngineConfig(), "nowhere", None)
        with pytest.raises(EngineDead, match="not started"):
            await engine.generate(MESSAGES)
        await engine.close()
        await engine.close()
        with pytest.raises(EngineDead, match="closed"):
            await engine.generate(MESSAGES)

    asyncio.run(scenario())
