"""What an engine takes of a GPU's memory, what is left for the KV cache, and what to change where that is too little.

vLLM takes `gpu_memory_utilization` of the GPU, loads the weights, runs one step of the most tokens that a step may have
and samples for the most requests, captures CUDA graphs, and makes a KV cache of the rest (vllm-project/vllm,
v1/worker/gpu_worker.py at v0.26.0, determine_available_memory).

Held against what was measured (scripts/bench/RESULTS.md): one H100, the shape of Llama-3-8B in bf16, 0.9 of the
memory, 512 requests: 451,000 tokens measured. The constant below is from that one start: of any other arrangement only
the arithmetic was checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from t2s.errors import SettingsError
from t2s.gpu_plan.devices import Device
from t2s.gpu_plan.served_model import ServedModel, dtype_bytes

_GIB = 2**30
_GRAPHS_GIB = 0.40
"""CUDA graphs and the libraries' own buffers: what an H100's measured cache leaves when all else is counted."""

_LOGIT_BYTES = 10
"""Of each logit while sampling: as it comes, in fp32, and a copy to work on."""

_PACKED = {"awq": 0.52, "awq_marlin": 0.52, "gptq": 0.52, "gptq_marlin": 0.52, "bitsandbytes": 0.55, "fp8": 1.0}
"""Bytes of a quantised number: four bits, and a scale and a zero for each group of 128."""

# What t2s.engine.vllm_engine and vLLM itself take where the settings say nothing.
_DEFAULTS: Mapping[str, Any] = {
    "gpu_memory_utilization": 0.9,
    "max_num_seqs": 256,
    "max_num_batched_tokens": 2048,
    "tensor_parallel_size": 1,
    "pipeline_parallel_size": 1,
    "kv_cache_dtype": "auto",
    "quantization": None,
    "dtype": "auto",
    "block_size": 16,
    "enforce_eager": False,
    "max_loras": 1,
}
_MAX_MODEL_LEN = 8192


class Options(NamedTuple):
    """Those of vLLM's options that memory and speed depend on; names are vLLM's own."""

    gpu_memory_utilization: float
    max_num_seqs: int
    max_num_batched_tokens: int
    tensor_parallel_size: int
    pipeline_parallel_size: int
    kv_cache_dtype: str
    quantization: str | None
    dtype: str
    block_size: int
    enforce_eager: bool
    max_loras: int
    max_model_len: int
    num_gpu_blocks_override: int | None = None

    @property
    def num_gpus(self) -> int:
        """That one engine takes."""
        return self.tensor_parallel_size * self.pipeline_parallel_size


def options_of(vllm: Mapping[str, Any], model: ServedModel) -> Options:
    """The block `vllm:` of the settings over the defaults.

    Raises:
        SettingsError: A value that vLLM may know, but that nothing can be computed with.
    """
    longest = min(model.max_positions or _MAX_MODEL_LEN, _MAX_MODEL_LEN)
    defaults = {**_DEFAULTS, "max_model_len": longest, "num_gpu_blocks_override": None}
    return Options(**{key: _value(key, vllm.get(key), default) for key, default in defaults.items()})


def _value(key: str, found: Any, default: Any) -> Any:
    if found is None:
        return default
    wanted = str if key in ("kv_cache_dtype", "quantization", "dtype") else type(default)
    if key == "num_gpu_blocks_override":
        wanted = int
    if wanted is float and isinstance(found, int) and not isinstance(found, bool):
        found = float(found)
    if type(found) is not wanted or (not isinstance(found, str | bool) and found <= 0):
        raise SettingsError(f"vllm.{key}: wanted {_WANTED[wanted]} to plan with, found {found!r}")
    return found


_WANTED = {int: "a whole number above 0", float: "a number above 0", str: "a text", bool: "true or false"}


class Memory(NamedTuple):
    """GiB on each GPU.

    Attributes:
        budget: What the engine may take.
        weights, lora, activations, logits, graphs: What it needs beside the KV cache.
        kv_cache: The rest; negative where there is none.
        kv_tokens: Tokens that it holds, in whole blocks; 0 where there is no room.
    """

    budget: float
    weights: float
    lora: float
    activations: float
    logits: float
    graphs: float
    kv_cache: float
    kv_tokens: int


def predict_memory(device: Device, model: ServedModel, options: Options, lora_rank: int = 0) -> Memory:
    """What each GPU of an engine holds.

    Args:
        device: The kind of GPU.
        model: What is served.
        options: How.
        lora_rank: Of the adapter; 0 for none.
    """
    parallel, pipeline = options.tensor_parallel_size, options.pipeline_parallel_size
    number = dtype_bytes(model.dtype if options.dtype == "auto" else options.dtype)
    weights = weight_bytes(model, options) / parallel / pipeline
    lora = options.max_loras * lora_rank * model.lora_width * model.layers * number / parallel / pipeline
    # A layer's widest moment: gate and up beside each other, their product, and the residual twice and once normed.
    width = 3 * model.intermediate / parallel + 3 * model.hidden
    activations = options.max_num_batched_tokens * width * number
    logits = float(options.max_num_seqs * model.vocabulary * _LOGIT_BYTES)
    graphs = (0.15 if options.enforce_eager else _GRAPHS_GIB) * _GIB
    budget = options.gpu_memory_utilization * device.memory_gib * _GIB
    room = budget - weights - lora - activations - logits - graphs
    token = model.kv_bytes(options.kv_cache_dtype, parallel) / pipeline
    blocks = max(0, int(room / token) // options.block_size)
    if options.num_gpu_blocks_override is not None:
        blocks = options.num_gpu_blocks_override
    return Memory(
        budget=budget / _GIB,
        weights=weights / _GIB,
        lora=lora / _GIB,
        activations=activations / _GIB,
        logits=logits / _GIB,
        graphs=graphs / _GIB,
        kv_cache=room / _GIB,
        kv_tokens=blocks * options.block_size,
    )


def weight_bytes(model: ServedModel, options: Options) -> float:
    """Bytes of all weights in an engine's memory: what a step reads."""
    if model.quantised:
        return float(model.stored_bytes)  # packed in the files as in memory
    number = dtype_bytes(model.dtype if options.dtype == "auto" else options.dtype)
    packed = _PACKED.get(options.quantization or "")
    return model.num_linear * (number if packed is None else packed) + model.num_rest * number


def fits(memory: Memory, options: Options) -> bool:
    """Whether vLLM would start: the cache holds one request of the longest context."""
    return memory.kv_tokens >= options.max_model_len


def advice(device: Device, model: ServedModel, vllm: Mapping[str, Any], lora_rank: int, longest: int) -> list[str]:
    """Changes of settings that, each alone, make it fit; where none does, all together; empty where nothing helps.

    Args:
        device: The kind of GPU.
        model: What is served.
        vllm: The block of the settings.
        lora_rank: Of the adapter; 0 for none.
        longest: Tokens of the longest prompt and its answer: the context cannot be shorter.
    """
    changes = list(_changes(device, model, options_of(vllm, model), longest))
    fitting = [change for change in changes if _fits_with(device, model, {**vllm, **change}, lora_rank)]
    if fitting:  # of the numbers of GPUs the smallest
        split = [change for change in fitting if "tensor_parallel_size" in change]
        return [_written(change) for change in fitting if change not in split[1:]]
    together: dict[str, Any] = {}
    for change in changes:
        together |= change
        if _fits_with(device, model, {**vllm, **together}, lora_rank):
            return [_written(together)]
    return []


def _changes(device: Device, model: ServedModel, options: Options, longest: int) -> Iterator[dict[str, Any]]:
    if options.gpu_memory_utilization < 0.95:
        yield {"gpu_memory_utilization": 0.95}
    if longest < options.max_model_len:
        yield {"max_model_len": -(-longest // 256) * 256}
    if options.max_num_seqs > 64:
        yield {"max_num_seqs": 64}
    if device.sm >= 89 and not options.kv_cache_dtype.startswith("fp8"):
        yield {"kv_cache_dtype": "fp8"}
    if options.quantization is None and not model.quantised:
        yield {"quantization": "fp8"}
    for parallel in (2, 4, 8):
        if parallel > options.tensor_parallel_size and model.heads % parallel == 0:
            yield {"tensor_parallel_size": parallel}


def _fits_with(device: Device, model: ServedModel, vllm: Mapping[str, Any], lora_rank: int) -> bool:
    options = options_of(vllm, model)
    return fits(predict_memory(device, model, options, lora_rank), options)


def _written(change: Mapping[str, Any]) -> str:
    return " ".join(f"vllm.{key}={value}" for key, value in change.items())
