"""LLaMA-Factory's arguments as its web page's form holds them, the form of its saved configurations.

    {"lora_rank": 16, "learning_rate": 1e-4, "bf16": True, "max_steps": 30}
    {"train.lora_rank": 16, "train.learning_rate": "0.0001", "train.compute_type": "bf16",
     "train.extra_args": '{"optim": "adamw_torch", "max_steps": 30}'}

Written for LLaMA-Factory 0.9.5. What has no field, or a value that its field cannot hold, goes into the field of extra
arguments, which the page lays over most of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

CUSTOM = "Custom"
"""The page's name for a model of one's own, by its path."""

FieldKind = Literal["text", "number", "flag", "choice", "choices"]

_OTHER_NAMES = {"per_device_train_batch_size": "batch_size", "neftune_noise_alpha": "neftune_alpha"}
_IN_THE_HEAD = ("finetuning_type", "template", "quantization_bit", "quantization_method", "rope_scaling")
_BOOSTERS = {
    "flash_attn": ("fa2", "flashattn2"),
    "use_unsloth": (True, "unsloth"),
    "enable_liger_kernel": (True, "liger_kernel"),
}
_PRECISIONS = ("bf16", "fp16", "pure_bf16")

_NOT_PASSED_ON = frozenset({"project", "trackio_space_id", "hub_private_repo"})
"""Fields that the page has and does not hand to its training."""

_LATE = (
    "lora_",
    "loraplus_",
    "freeze_",
    "pissa_",
    "galore_",
    "apollo_",
    "badam_",
    "swanlab_",
    "quantization_",
    "pref_",
)
_LATE_NAMES = frozenset({"create_new_adapter", "use_rslora", "use_dora", "additional_target", "double_quantization"})
"""What the page sets after the extra arguments: those cannot stand in for a field there."""


class Form:
    """Fields of the page, filled one by one.

    Args:
        kind_of: The kind of a field by its id, such as `train.lora_rank`; None: there is no such field.
        holds: Whether a field can hold a value: it is in its range, or one of its choices.

    Attributes:
        values: Field id -> value.
        extra: What goes into the field of extra arguments; None for what the page is to leave to upstream's default.
        unheld: Keys of LLaMA-Factory that the page cannot be told.
    """

    def __init__(self, kind_of: Callable[[str], FieldKind | None], holds: Callable[[str, Any], bool]) -> None:
        self._kind_of, self._holds = kind_of, holds
        self.values: dict[str, Any] = {}
        self.extra: dict[str, Any] = {}
        self.unheld: list[str] = []

    def put(self, key: str, field: str, value: Any) -> None:
        """Put `value` of LLaMA-Factory's `key` into a field, or among the extra arguments."""
        kind = self._kind_of(field)
        if kind is not None and value is not None:
            shown = _shown(kind, value)
            if shown is not None and self._holds(field, shown):
                self.values[field] = shown
                return
        if key.startswith(_LATE) or key in _LATE_NAMES:
            if value is not None:
                self.unheld.append(key)
        else:
            self.extra[key] = value


def fill(
    args: Mapping[str, Any],
    num_examples: int,
    kind_of: Callable[[str], FieldKind | None],
    holds: Callable[[str, Any], bool],
) -> Form:
    """The form that trains with `args`, as train itself would.

    Args:
        args: As `llamafactory_args.compose` makes them, each value in its key's type.
        num_examples: Of the training part; the page cuts it at 100,000 unless told otherwise.
        kind_of: As in `Form`.
        holds: As in `Form`.
    """
    form = Form(kind_of, holds)
    # What the page would otherwise set: sixteen processes to read the examples, and code from a model's folder is run.
    form.extra |= {"preprocessing_num_workers": None, "trust_remote_code": False, "optim": "adamw_torch"}
    rest = {"template": None, "max_samples": max(100_000, num_examples), **args}
    rest.setdefault(
        "lora_alpha", 2 * int(rest.get("lora_rank") or 8)
    )  # upstream's own default, which the page's is not
    if rest.get("pissa_init") and rest.pop("pissa_convert", False):
        form.put("pissa_init", "train.use_pissa", rest.pop("pissa_init"))
    if not rest.get("double_quantization", True):
        form.unheld.append("double_quantization")
    rest.pop("double_quantization", None)
    form.values["train.compute_type"] = next((name for name in _PRECISIONS if rest.get(name)), "fp32")
    form.values["train.dataset"] = str(rest.pop("dataset")).split(",")
    for key in _PRECISIONS:
        rest.pop(key, None)
    for key, (wanted, booster) in _BOOSTERS.items():
        if rest.get(key) == wanted and "top.booster" not in form.values:
            form.values["top.booster"] = booster
            del rest[key]
    for key, value in rest.items():
        if key in _IN_THE_HEAD:
            form.put(key, f"top.{key}", value)
        else:
            form.put(key, f"train.{_OTHER_NAMES.get(key, key)}" if key not in _NOT_PASSED_ON else "", value)
    form.values["train.extra_args"] = json.dumps(form.extra, ensure_ascii=False, default=str)
    return form


def _shown(kind: FieldKind, value: Any) -> Any:
    """A value as a field of that kind has it; None where none can."""
    if kind == "flag":
        return value if isinstance(value, bool) else None
    if kind == "number":
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if kind == "choices":
        return [str(one) for one in value] if isinstance(value, list) else [str(value)]
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None
    if value is None or isinstance(value, dict | bool):
        return None
    return f"{value:.12g}" if isinstance(value, float) else str(getattr(value, "value", value))
