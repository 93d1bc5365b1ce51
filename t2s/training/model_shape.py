"""A model's size, from its configuration and the headers of its weights: nothing is loaded."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

from t2s.errors import ModelError
from t2s.model_folder import read_header


class ModelShape(NamedTuple):
    """What memory and arithmetic depend on.

    Attributes:
        num_parameters: All of them, tied ones once.
        num_linear: Those of the layers' linear maps, which LoRA's `all` is put on.
        hidden, intermediate, layers, vocabulary: Widths and counts.
        lora_width: Sum of inputs and outputs of a layer's linear maps: LoRA of rank r adds r times this to each layer.
        weight_bytes: Bytes of one stored number (2 for bf16, 4 for fp32).
    """

    num_parameters: int
    num_linear: int
    hidden: int
    intermediate: int
    layers: int
    vocabulary: int
    lora_width: int
    weight_bytes: int


def read_shape(folder: Path) -> ModelShape:
    """Read a model folder.

    Raises:
        ModelError: Its configuration lacks what is needed, as that of a model of another family may.
    """
    config = json.loads((folder / "config.json").read_bytes())
    config = {**config, **config.get("text_config", {})}
    tensors = [entry for file in sorted(folder.glob("*.safetensors")) for entry in read_header(file).items()]
    try:
        hidden, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
        intermediate = int(config.get("intermediate_size", 4 * hidden))
        vocabulary = int(config["vocab_size"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder / 'config.json'}: wanted the model's widths, found no usable {error}") from error
    shapes = {name: entry["shape"] for name, entry in tensors}
    linear = [shape for name, shape in shapes.items() if ".layers." in name and len(shape) == 2]
    width = sum(sum(shape) for shape in linear) // max(layers, 1)
    sizes = {"F32": 4, "F64": 8, "BF16": 2, "F16": 2}
    weight_bytes = max((sizes.get(entry["dtype"], 1) for _, entry in tensors), default=2)
    return ModelShape(
        num_parameters=sum(math.prod(shape) for shape in shapes.values()),
        num_linear=sum(math.prod(shape) for shape in linear),
        hidden=hidden,
        intermediate=intermediate,
        layers=layers,
        vocabulary=vocabulary,
        lora_width=width,
        weight_bytes=weight_bytes,
    )
