"""A model's size as an engine has it, from its configuration and the headers of its weights: nothing is loaded.

Where the headers hold no layers (a folder of a model's shape alone), the sizes follow from the configuration of a
Llama-like decoder: attention with grouped keys, a gated feed-forward part.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from t2s.errors import ModelError
from t2s.model_folder import read_header


class ServedModel(NamedTuple):
    """What memory and arithmetic of inference depend on.

    Attributes:
        num_linear: Numbers in the layers' linear maps: what is quantised, and what a token is computed with.
        num_rest: All others, tied ones once: embeddings, head, norms.
        stored_bytes: Bytes of all weights as they are in the files; 0 where the files hold none.
        quantised: The checkpoint's own `quant_method` ("awq", "gptq", "fp8", …); "" for none.
        dtype: Of the numbers, as the configuration says ("bfloat16").
        layers, hidden, intermediate, vocabulary: Counts and widths.
        heads, kv_heads, head_dim: Of the attention.
        max_positions: The longest context that the model knows; 0 where it does not say.
        lora_width: Sum of inputs and outputs of a layer's linear maps: LoRA of rank r adds r times this to each layer.
    """

    num_linear: int
    num_rest: int
    stored_bytes: int
    quantised: str
    dtype: str
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    heads: int
    kv_heads: int
    head_dim: int
    max_positions: int
    lora_width: int

    @property
    def num_parameters(self) -> int:
        """All of them, tied ones once."""
        return self.num_linear + self.num_rest

    @property
    def token_flops(self) -> float:
        """FLOP to compute one token, attention apart: the linear maps. The head is only for those that are sampled."""
        return 2.0 * self.num_linear

    @property
    def head_flops(self) -> float:
        """FLOP of the head, for one sampled token."""
        return 2.0 * self.hidden * self.vocabulary

    def attention_flops(self, context_tokens: float) -> float:
        """FLOP of one token's attention to so many tokens before it."""
        return 4.0 * self.layers * self.heads * self.head_dim * context_tokens

    def kv_bytes(self, cache_dtype: str = "auto", parallel: int = 1) -> float:
        """Bytes of KV cache for one token, on each of `parallel` GPUs."""
        number = 1 if cache_dtype.startswith("fp8") else dtype_bytes(self.dtype)
        return 2.0 * self.layers * max(1.0, self.kv_heads / parallel) * self.head_dim * number


def dtype_bytes(dtype: str) -> int:
    """Bytes of one number."""
    return 4 if dtype in ("float32", "float") else 2


def read_served_model(folder: Path) -> ServedModel:
    """Read a model folder.

    Raises:
        ModelError: Its configuration lacks what is needed; says what that is.
    """
    file = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: wanted the model's configuration, found: {error}") from error
    config = {**config, **config.get("text_config", {})}
    try:
        hidden, layers, heads = (int(config[key]) for key in _NEEDED[:3])
        vocabulary = int(config["vocab_size"])
        intermediate = int(config.get("intermediate_size") or 4 * hidden)
        kv_heads = int(config.get("num_key_value_heads") or heads)
        head_dim = int(config.get("head_dim") or hidden // heads)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{file}: wanted {', '.join(_NEEDED)}, found no usable {error}") from error
    entries = {
        name: entry for path in sorted(folder.glob("*.safetensors")) for name, entry in read_header(path).items()
    }
    shapes = {name: entry["shape"] for name, entry in entries.items()}
    stored = sum(end - begin for begin, end in (entry["data_offsets"] for entry in entries.values()))
    method = str((config.get("quantization_config") or {}).get("quant_method", ""))
    linear = {name: shape for name, shape in shapes.items() if ".layers." in name and len(shape) == 2}
    by_config = _layer_shapes(hidden, intermediate, heads * head_dim, kv_heads * head_dim)
    if linear and not method:
        num_linear = sum(math.prod(shape) for shape in linear.values())
        num_rest = sum(math.prod(shape) for shape in shapes.values()) - num_linear
        lora_width = sum(sum(shape) for shape in linear.values()) // max(layers, 1)
    else:  # packed numbers, or none: their shapes say nothing of the maps
        tied = bool(config.get("tie_word_embeddings", False))
        num_linear = layers * sum(wide * high for wide, high in by_config)
        num_rest = vocabulary * hidden * (1 if tied else 2) + (2 * layers + 1) * hidden
        lora_width = sum(wide + high for wide, high in by_config)
    return ServedModel(
        num_linear=num_linear,
        num_rest=num_rest,
        stored_bytes=stored if linear or method else 0,
        quantised=method if stored else "",
        dtype=str(config.get("torch_dtype") or config.get("dtype") or "bfloat16"),
        layers=layers,
        hidden=hidden,
        intermediate=intermediate,
        vocabulary=vocabulary,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        max_positions=int(config.get("max_position_embeddings") or 0),
        lora_width=lora_width,
    )


_NEEDED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")


def _layer_shapes(hidden: int, intermediate: int, queries: int, keys: int) -> list[tuple[int, int]]:
    attention = [(hidden, queries), (hidden, keys), (hidden, keys), (queries, hidden)]
    return [*attention, (hidden, intermediate), (hidden, intermediate), (intermediate, hidden)]


def adapter_rank_of(folder: Path) -> int:
    """The rank of a LoRA adapter.

    Raises:
        ModelError: The folder's adapter_config.json has none.
    """
    file = folder / "adapter_config.json"
    try:
        config: Mapping[str, Any] = json.loads(file.read_bytes())
        return max([int(config["r"]), *(int(rank) for rank in config.get("rank_pattern", {}).values())])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file}: wanted a LoRA adapter's rank (r), found: {error}") from error
