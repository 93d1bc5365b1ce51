"""How much arithmetic a token costs, and a GPU can do: what MFU is made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from t2s.training.model_shape import ModelShape

# Dense bf16 (fp16 where there is no bf16) with fp32 accumulation, floating-point operations a second, from the vendor's
# data sheets. The first pattern that is found in torch's name of the device counts.
_PEAK_FLOPS = (
    (r"H200|H100 80GB HBM3|H100 SXM|H800", 989e12),
    (r"H100 NVL", 835e12),
    (r"H100", 756e12),
    (r"A100|A800", 312e12),
    (r"A10G", 70e12),
    (r"A10\b", 125e12),
    (r"A30", 165e12),
    (r"L40S", 362e12),
    (r"L40", 181e12),
    (r"L20", 119.5e12),
    (r"L4\b", 121e12),
    (r"RTX 4090", 165e12),
    (r"RTX 3090", 71e12),
    (r"V100", 125e12),
    (r"T4\b", 65e12),
)


def peak_flops(device_name: str) -> float | None:
    """Operations a second of a GPU by torch's name of it ("NVIDIA A10"); None where it is not known."""
    return next((flops for pattern, flops in _PEAK_FLOPS if re.search(pattern, device_name)), None)


def device_name(use_gpu: bool) -> str:
    """Torch's name of this worker's GPU; "cpu" where it has none."""
    if not use_gpu:
        return "cpu"
    import torch

    return str(torch.cuda.get_device_name())


def flops_per_token(args: Mapping[str, Any], shape: ModelShape, mean_tokens: float) -> float:
    """Operations that training on one token needs; what gradient checkpointing computes again does not count.

    A multiplication and an addition for each weight forward, as many backward for the activations' gradients, and as
    many again for the weights' own where those are trained; attention over the tokens before, half of them on average.
    """
    passes = 6 if args.get("finetuning_type") == "full" else 4
    return passes * shape.num_parameters + 6 * shape.layers * shape.hidden * mean_tokens
