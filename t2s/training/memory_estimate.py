"""Whether settings fit a GPU's memory, before anything is loaded; what to change where they do not.

Held against measurements on one H100 (plain transformers and peft, LoRA of rank 16 on the shape of Llama-3-8B, bf16,
SDPA): 4 × 1,024 tokens without gradient checkpointing 48 GiB measured, 48 estimated; 16 × 1,024 with it 43 and 44;
4 × 2,048 without it does not fit 80 GB (79 GiB), 80 estimated.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from t2s.errors import SettingsError
from t2s.training.model_shape import ModelShape

logger = logging.getLogger(__name__)

_GIB = 2**30
_CONTEXT_GIB = 0.8
"""The CUDA context, and what the allocator cannot use."""


class Estimate(NamedTuple):
    """GiB on each GPU at the worst moment of a step.

    Attributes:
        weights: Of the model.
        states: Gradients and the optimizer's state of what is trained (and its fp32 copy).
        activations: What the forward pass keeps for the backward pass, for one batch of the longest examples.
    """

    weights: float
    states: float
    activations: float

    @property
    def total(self) -> float:
        """All of it, with the CUDA context."""
        return self.weights + self.states + self.activations + _CONTEXT_GIB

    def __str__(self) -> str:
        return (
            f"{self.total:.1f} GiB (weights {self.weights:.1f}, gradients and optimizer {self.states:.1f}, activations "
            f"{self.activations:.1f}, CUDA {_CONTEXT_GIB})"
        )


def estimate(args: Mapping[str, Any], shape: ModelShape, longest_tokens: int) -> Estimate | None:
    """What a GPU must hold.

    Args:
        args: Upstream's arguments.
        shape: The model.
        longest_tokens: Of the longest example; what counts is this or `cutoff_len`, or a whole pack.

    Returns:
        None where parts of it are spread over workers or moved off the GPU (deepspeed, fsdp, galore, …).
    """
    spread = ("deepspeed", "fsdp", "use_galore", "use_apollo", "use_badam", "use_unsloth", "use_kt", "fp8")
    if any(args.get(key) for key in spread):
        return None
    cutoff = int(args["cutoff_len"])
    packed = args.get("packing") or args.get("neat_packing")
    tokens = int(args["per_device_train_batch_size"]) * (cutoff if packed else min(cutoff, longest_tokens))
    kind = args.get("finetuning_type", "lora")
    half = bool(args.get("bf16") or args.get("fp16") or args.get("pure_bf16"))
    return Estimate(
        weights=_weights(args, shape, kind, half) / _GIB,
        states=_states(args, shape, kind) / _GIB,
        activations=_activations(args, shape, kind, half, tokens) / _GIB,
    )


def demand_room(
    args: Mapping[str, Any], shape: ModelShape, longest_tokens: int, room_gib: float, device: str, *, refuse: bool
) -> None:
    """Refuse, or warn of, settings that by estimate do not fit a GPU.

    Args:
        args: Upstream's arguments.
        shape: The model.
        longest_tokens: Of the longest example.
        room_gib: What the GPU has.
        device: Its name.
        refuse: Whether it is an error.

    Raises:
        SettingsError: They do not fit; says what to change.
    """
    found = estimate(args, shape, longest_tokens)
    if found is None or found.total <= room_gib:
        logger.info("memory of a GPU: %s estimated, %.1f GiB there", found or "not", room_gib)
        return
    changes = advice(args, shape, longest_tokens, room_gib)
    what = f"what would fit: {', or '.join(changes)}" if changes else "no setting makes it fit: take a bigger GPU"
    text = (
        f"{device}: the settings need about {found}, and it has {room_gib:.1f} GiB; {what}. memory_check: warn tries "
        "it nevertheless"
    )
    if refuse:
        raise SettingsError(text)
    logger.warning("%s", text)


def advice(args: Mapping[str, Any], shape: ModelShape, longest_tokens: int, room_gib: float) -> list[str]:
    """Changes that, alone or together, make the settings fit, simplest first; empty where none does."""
    found: list[str] = []
    tried: dict[str, Any] = dict(args)
    for change in _changes(args, longest_tokens):
        alone = estimate({**args, **change}, shape, longest_tokens)
        if alone is not None and alone.total <= room_gib:
            found.append(f"{_written(change)} ({alone.total:.1f} GiB)")
    if found:
        return found
    together: dict[str, Any] = {}
    for change in _changes(args, longest_tokens):
        together |= change
        tried |= change
        fitting = estimate(tried, shape, longest_tokens)
        if fitting is not None and fitting.total <= room_gib:
            return [f"{_written(together)} ({fitting.total:.1f} GiB)"]
    return []


def _changes(args: Mapping[str, Any], longest_tokens: int) -> Iterator[dict[str, Any]]:
    batch, accumulation = int(args["per_device_train_batch_size"]), int(args["gradient_accumulation_steps"])
    if args.get("disable_gradient_checkpointing"):
        yield {"disable_gradient_checkpointing": False}
    if batch > 1:
        yield {"per_device_train_batch_size": 1, "gradient_accumulation_steps": batch * accumulation}
    if not args.get("enable_liger_kernel"):
        yield {"enable_liger_kernel": True}
    if args.get("finetuning_type") == "full":
        yield {"finetuning_type": "lora"}
    if not args.get("quantization_bit"):
        yield {"finetuning_type": "lora", "quantization_bit": 4}
    half = min(int(args["cutoff_len"]), longest_tokens) // 2
    if half >= 256:
        yield {"cutoff_len": half}


def _written(change: Mapping[str, Any]) -> str:
    return " ".join(f"llamafactory.{key}={str(value).lower()}" for key, value in change.items())


def _weights(args: Mapping[str, Any], shape: ModelShape, kind: str, half: bool) -> float:
    bits = args.get("quantization_bit")
    rest = shape.num_parameters - shape.num_linear
    if bits:  # embeddings, head and norms stay; a block of 64 numbers has a scale of its own
        return shape.num_linear * (int(bits) / 8 + 0.07) + rest * 2
    if kind == "full" and not args.get("pure_bf16"):
        return shape.num_parameters * 4  # what is trained is kept in fp32
    return shape.num_parameters * (2 if half else 4)


def _states(args: Mapping[str, Any], shape: ModelShape, kind: str) -> float:
    if kind == "lora":
        trained = int(args.get("lora_rank", 8)) * shape.lora_width * shape.layers
        return trained * 16  # fp32: weight, gradient, two moments
    if args.get("pure_bf16"):
        return shape.num_parameters * 6
    return shape.num_parameters * 12  # the fp32 weight is counted with the weights


def _activations(args: Mapping[str, Any], shape: ModelShape, kind: str, half: bool, tokens: int) -> float:
    hidden, wide = shape.hidden, shape.intermediate
    if kind == "lora":
        # peft brings the input of each adapted map to the adapter's fp32; beside that, what the base maps keep.
        layer = 4 * (6 * hidden + wide) + 2 * (3.5 * hidden + wide)
    else:
        layer = (2 if half else 4) * (9.5 * hidden + 4 * wide)
    # Upstream checkpoints gradients unless told not to: then a layer keeps its input alone, and one at a time is whole.
    checkpointed = not args.get("disable_gradient_checkpointing")
    kept = shape.layers * tokens * (hidden * (2 if half else 4) if checkpointed else layer)
    # Logits in half precision, in fp32, and the gradients of both (12 bytes); Liger's loss never has them whole. Where
    # the held-out part is looked at there are no gradients, and half of it is enough.
    logits = 0.0 if args.get("enable_liger_kernel") else tokens * shape.vocabulary * 12.0
    if "eval_dataset" in args:
        batch = int(args.get("per_device_eval_batch_size", 8)) / int(args["per_device_train_batch_size"])
        logits = max(logits, batch * tokens * shape.vocabulary * 6.0)
    return kept + max(logits, tokens * layer if checkpointed else logits)
