"""What t2s plan says of GPUs: held against what was measured, and what it says where something does not fit."""

from __future__ import annotations

import dataclasses
import io
import json
import random
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from t2s.engine import EngineInfo, Message
from t2s.errors import ModelError, SettingsError
from t2s.gpu_plan.devices import DEVICES, known_device
from t2s.gpu_plan.forecast import Job, forecast
from t2s.gpu_plan.memory import advice, fits, options_of, predict_memory
from t2s.gpu_plan.pace import Pace, PacedEngine, TurnWork, Work, simulate, step_cost
from t2s.gpu_plan.served_model import ServedModel, read_served_model
from t2s.gpu_plan.table import show_gpus
from t2s.gpu_plan.works import MAX_INTERACTIONS, sampled
from t2s.interaction import Interaction, Turn
from t2s.plan import make_plan
from t2s.settings import PredictSettings
from tests.small_dataset import write_dataset

LLAMA3 = {
    "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 8192, "torch_dtype": "bfloat16",
    "tie_word_embeddings": False,
}  # fmt: skip


def write_config(folder: Path, **changes: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**LLAMA3, **changes}), encoding="utf-8")
    return folder


def write_weights(folder: Path, shapes: dict[str, list[int]], dtype: str, number: int) -> None:
    header: dict[str, object] = {}
    end = 0
    for name, shape in shapes.items():
        size = number
        for side in shape:
            size *= side
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))


@pytest.fixture
def llama3(tmp_path: Path) -> ServedModel:
    return read_served_model(write_config(tmp_path / "llama3"))


def works(median: float, sigma: float, most: int, number: int) -> list[Work]:
    """Lengths as those of the benchmark's test sets (scripts/bench/gpu_workload.py)."""
    rng = random.Random(0)
    found: list[Work] = []
    while len(found) < number:
        prefix = min(most, int(median * rng.lognormvariate(0, sigma)))
        for _ in range(10):
            turns = [
                TurnWork(rng.randint(15, 45) + 10, max(12, min(150, int(rng.lognormvariate(3.7, 0.5)))))
                for _ in range(4)
            ]
            found.append(Work(f"database {len(found) // 10}", prefix, tuple(turns)))
    return found[:number]


def paced(model: ServedModel, found: Sequence[Work], kv_tokens: int, at_most: int) -> Pace:
    cost = step_cost(DEVICES["H100"], model, options_of({"max_num_seqs": at_most}, model))
    info = EngineInfo("simulated", "1", 8192, kv_tokens, at_most, 16)
    return simulate(found, lambda: PacedEngine(cost, model, info, 2048))


def test_the_shape_of_llama_3_8b_has_eight_billion_parameters(llama3: ServedModel) -> None:
    assert llama3.num_parameters == 8_030_261_248
    assert llama3.kv_bytes() == 131_072 and llama3.kv_bytes("fp8") == 65_536
    assert llama3.kv_bytes(parallel=4) == 32_768 and llama3.kv_bytes(parallel=16) == 16_384, "a head is not split"


def test_headers_and_configuration_tell_the_same_size(tmp_path: Path) -> None:
    config = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    folder = write_config(tmp_path / "small", **config, intermediate_size=24, vocab_size=32, tie_word_embeddings=True)
    by_config = read_served_model(folder)
    assert by_config.stored_bytes == 0
    shapes = {"model.embed_tokens.weight": [32, 8], "model.norm.weight": [8]}
    for layer in range(2):
        name = f"model.layers.{layer}"
        shapes |= {f"{name}.self_attn.q_proj.weight": [8, 8], f"{name}.self_attn.o_proj.weight": [8, 8]}
        shapes |= {f"{name}.self_attn.k_proj.weight": [4, 8], f"{name}.self_attn.v_proj.weight": [4, 8]}
        shapes |= {f"{name}.mlp.gate_proj.weight": [24, 8], f"{name}.mlp.up_proj.weight": [24, 8]}
        shapes |= {f"{name}.mlp.down_proj.weight": [8, 24], f"{name}.input_layernorm.weight": [8]}
        shapes |= {f"{name}.post_attention_layernorm.weight": [8]}
    write_weights(folder, shapes, "BF16", 2)
    by_header = read_served_model(folder)
    assert by_header._replace(stored_bytes=0) == by_config
    assert by_header.stored_bytes == 2 * by_header.num_parameters


def test_a_checkpoint_that_is_quantised_takes_what_its_files_hold(tmp_path: Path) -> None:
    folder = write_config(tmp_path / "awq", quantization_config={"quant_method": "awq"})
    write_weights(folder, {"model.layers.0.mlp.up_proj.qweight": [16, 16]}, "I32", 4)
    model = read_served_model(folder)
    assert model.num_linear == read_served_model(write_config(tmp_path / "whole")).num_linear
    memory = predict_memory(DEVICES["A10"], model, options_of({}, model))
    assert memory.weights * 2**30 == pytest.approx(1024)


def test_a_configuration_without_widths_is_an_error_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"hidden_size": 8}', encoding="utf-8")
    with pytest.raises(ModelError, match="num_hidden_layers"):
        read_served_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "vllm", "measured"),
    [
        # RESULTS.md: the whole H100, 512 requests. The A10's is what its configuration was written for.
        ("H100", {"max_num_seqs": 512}, 451_000),
        ("A10", {"gpu_memory_utilization": 0.92}, 36_000),
    ],
)
def test_the_kv_cache_is_within_five_percent_of_what_was_found(
    name: str, vllm: dict[str, object], measured: int, llama3: ServedModel
) -> None:
    memory = predict_memory(DEVICES[name], llama3, options_of(vllm, llama3))
    assert memory.kv_tokens == pytest.approx(measured, rel=0.05)
    parts = memory.weights + memory.lora + memory.activations + memory.logits + memory.graphs + memory.kv_cache
    assert parts == pytest.approx(memory.budget)


def test_what_changes_memory_changes_it_by_as_much_as_it_should(llama3: ServedModel) -> None:
    def of(lora_rank: int = 0, **vllm: object) -> tuple[float, float, int]:
        memory = predict_memory(DEVICES["H100"], llama3, options_of(vllm, llama3), lora_rank)
        return memory.weights, memory.lora, memory.kv_tokens

    plain, _, tokens = of()
    gib = 2**30
    assert of(quantization="fp8")[0] == pytest.approx(plain - llama3.num_linear / gib)
    assert of(quantization="awq")[0] < 0.4 * plain
    assert of(tensor_parallel_size=2)[0] == pytest.approx(plain / 2)
    assert of(lora_rank=16)[1] == pytest.approx(16 * 81_920 * 32 * 2 / gib)
    assert of(kv_cache_dtype="fp8")[2] == pytest.approx(2 * tokens, rel=0.001)
    assert of(max_num_batched_tokens=16_384)[2] < tokens and of(max_num_seqs=1024)[2] < tokens
    assert of(num_gpu_blocks_override=2250)[2] == 36_000


def test_each_change_that_is_advised_makes_it_fit(llama3: ServedModel) -> None:
    tight = {"gpu_memory_utilization": 0.72}
    device = DEVICES["A10"]
    assert not fits(predict_memory(device, llama3, options_of(tight, llama3)), options_of(tight, llama3))
    found = advice(device, llama3, tight, 0, longest=4000)
    assert len(found) >= 3 and "vllm.tensor_parallel_size=2" in found
    for line in found:
        changed: dict[str, object] = dict(tight)
        for word in line.split():
            key, value = word.removeprefix("vllm.").split("=")
            changed[key] = value if value == "fp8" else json.loads(value)
        options = options_of(changed, llama3)
        assert fits(predict_memory(device, llama3, options), options), line
    assert not any("kv_cache_dtype" in line for line in found), "an A10 has no fp8 units"


def test_what_no_setting_helps_has_no_advice(tmp_path: Path) -> None:
    giant = read_served_model(write_config(tmp_path / "giant", num_hidden_layers=1200))
    assert advice(DEVICES["A10"], giant, {}, 0, longest=4000) == []


@pytest.mark.parametrize(
    ("shape", "number", "kv_tokens", "at_most", "measured"),
    [
        ((812, 0.5, 3000), 1200, 451_000, 512, 41.8),
        ((929, 0.5, 3000), 400, 36_000, 256, 29.05),
        ((403, 0.3, 1000), 400, 36_000, 256, 36.45),
        ((2340, 0.35, 4500), 200, 36_000, 256, 18.85),
    ],
    ids=["whole GPU", "probe", "short", "long"],
)
def test_interactions_per_second_are_within_a_quarter_of_what_was_measured(
    shape: tuple[float, float, int], number: int, kv_tokens: int, at_most: int, measured: float, llama3: ServedModel
) -> None:
    pace = paced(llama3, works(*shape, number), kv_tokens, at_most)
    assert number / pace.seconds == pytest.approx(measured, rel=0.25)
    assert 0.85 < pace.cached_tokens / pace.prompt_tokens < 0.97  # 85 to 94 % were measured


def test_the_gate_lets_in_what_the_cache_holds_and_every_token_is_answered(llama3: ServedModel) -> None:
    found = works(929, 0.5, 3000, 200)
    wide, narrow = paced(llama3, found, 451_000, 512), paced(llama3, found, 12_000, 512)
    assert narrow.peak_running < 60 < wide.peak_running == 200
    assert narrow.seconds > 1.5 * wide.seconds
    answers = sum(turn.answer for work in found for turn in work.turns)
    assert wide.output_tokens == narrow.output_tokens == answers


def test_a_forecast_of_a_part_is_stretched_to_the_whole_set(llama3: ServedModel) -> None:
    found = works(812, 0.5, 3000, 300)
    part = forecast(DEVICES["A10"], Job(llama3, {"gpu_memory_utilization": 0.92}, 0, found, 300, 256))
    whole = forecast(DEVICES["A10"], Job(llama3, {"gpu_memory_utilization": 0.92}, 0, found, 3000, 256))
    assert part.seconds is not None and whole.seconds is not None
    assert 8 * part.seconds < whole.seconds < 10 * part.seconds, "it fills and drains once"
    assert whole.gpu_hours == pytest.approx(whole.seconds / 3600)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA A10", "A10"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA A100-SXM4-40GB", None),
        ("NVIDIA L40S", None),
        ("NVIDIA A10G", None),
        ("", None),
    ],
)
def test_a_gpu_is_known_by_what_its_driver_calls_it(said: str, found: str | None) -> None:
    device = known_device(said)
    assert (device.name if device else None) == found


def test_what_is_sampled_keeps_neighbours_together() -> None:
    turns = [Turn(question_id=str(number), question="有几个？") for number in range(3000)]
    many = [Interaction(db_id=f"库{number % 300}", turns=(turn,)) for number, turn in enumerate(turns)]
    found = sampled(many)
    assert len(found) == MAX_INTERACTIONS == len({one.turns[0].question_id for one in found})
    assert len({one.db_id for one in found}) < 70, "ten of a database, but where a stretch begins or ends"
    assert {"库0", "库299"} <= {one.db_id for one in found}
    assert len(sampled(many[:50])) == 50


def count_characters(messages: Sequence[Message]) -> int:
    return sum(len(message["content"]) // 2 + 5 for message in messages)


def shown(tmp_path: Path, model: Path | None, vllm: dict[str, object] | None = None, **changes: object) -> str:
    dataset = write_dataset(tmp_path / "data")
    values: dict[str, Any] = {"dataset_uri": str(dataset), "run_uri": str(tmp_path / "run"), **changes}
    plan = make_plan(PredictSettings(**values, engine={"kind": "scripted"}))
    config = PredictSettings(**values, engine={"kind": "vllm", "model_uri": "x", "vllm": vllm or {}})
    console = Console(file=io.StringIO(), width=220)
    show_gpus(config, dataclasses.replace(plan, model_path=model), count_characters, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_plan_lists_every_gpu_and_says_what_is_measured(tmp_path: Path) -> None:
    text = shown(tmp_path, write_config(tmp_path / "model"))
    for name in DEVICES:
        assert f"│ {name} " in text
    assert "24 interactions" in text and "projections" in text and "CNY" not in text


def test_the_plan_tells_a_cost_where_there_is_a_price(tmp_path: Path) -> None:
    text = shown(tmp_path, write_config(tmp_path / "model"), gpu_price_per_hour=3600.0, price_currency="USD")
    assert "USD" in text
    row = next(line for line in text.splitlines() if line.startswith("│ A10 "))
    cells = [cell.strip() for cell in row.split("│")]
    hours, cost = float(cells[-3]), float(cells[-2])
    assert cost == pytest.approx(3600 * hours, rel=0.02) and cost > 0


def test_the_plan_says_what_would_make_it_fit(tmp_path: Path) -> None:
    text = shown(tmp_path, write_config(tmp_path / "model", num_hidden_layers=80, hidden_size=8192))
    assert "A10 does not fit" in text and "vllm.tensor_parallel_size=" in text


def test_an_option_that_nothing_can_be_computed_with_leaves_the_rest_of_the_plan(tmp_path: Path) -> None:
    text = shown(tmp_path, write_config(tmp_path / "model"), vllm={"max_num_seqs": "many"})
    assert "not planned for: vllm.max_num_seqs: wanted a whole number above 0" in text


@pytest.mark.parametrize(
    ("key", "value"),
    [("max_model_len", "8k"), ("gpu_memory_utilization", -1), ("enforce_eager", "yes"), ("tensor_parallel_size", True)],
)
def test_options_are_numbers_where_numbers_are_wanted(key: str, value: object, llama3: ServedModel) -> None:
    with pytest.raises(SettingsError, match=f"vllm.{key}: wanted"):
        options_of({key: value}, llama3)
    assert options_of({"gpu_memory_utilization": 1}, llama3).gpu_memory_utilization == 1.0


def test_the_plan_says_what_it_needs_of_a_model_folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}", encoding="utf-8")
    text = shown(tmp_path, tmp_path / "model")
    assert "num_key_value_heads" in text and "the job download" in text
