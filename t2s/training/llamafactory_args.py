"""Upstream's arguments: our defaults, what belongs to the examples, the user's `llamafactory:` block, and what is ours.

    defaults  <  sft/llamafactory.json  <  llamafactory: {lora_rank: 32, learning_rate: 1e-4, …}  <  paths and the like

Written for LLaMA-Factory 0.9.5. Its own parser refuses keys that it does not know, but takes any value for a key it
knows (`parse_dict` looks at no type, and YAML reads `1e-4` as text), so values are brought to each field's type here.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib.util
import io
import logging
import typing
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from t2s import process_env
from t2s.errors import MissingExtra, SettingsError

DEFAULTS: dict[str, Any] = {
    "finetuning_type": "lora",
    "lora_rank": 16,
    "lora_target": "all",
    "cutoff_len": 2048,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 8,
    "per_device_eval_batch_size": 1,  # upstream's 8 would need more memory for its logits than a training step does
    "learning_rate": 1e-4,
    "num_train_epochs": 3.0,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.03,  # below 1: a share of all steps
    "logging_steps": 1,  # a loss that is no number is noticed at its own step
    "save_steps": 50,
    "save_total_limit": 2,
    "report_to": ["tensorboard"],
    "include_num_input_tokens_seen": "non_padding",
}

_OURS = {
    "stage": "train does supervised fine-tuning alone",
    "do_train": "train trains",
    "do_predict": "run the job predict on the adapter",
    "predict_with_generate": "run the job predict on the adapter",
    "model_name_or_path": "set model_uri",
    "adapter_name_or_path": "merge the adapter first (t2s merge), and train on the merged model",
    "dataset_dir": "set dataset_uri to prepare's output",
    "media_dir": "set dataset_uri to prepare's output",
    "dataset": "set dataset_uri to prepare's output",
    "eval_dataset": "prepare holds a part out (split.test_fraction)",
    "tokenized_path": "examples are tokenized from dataset_uri",
    "streaming": "the check of the examples needs all of them",
    "output_dir": "set run_uri and adapter_uri",
    "logging_dir": "logs go to run_uri",
    "cache_dir": "set cache_dir beside llamafactory",
    "overwrite_output_dir": "each run_uri is one training",
    "resume_from_checkpoint": "running the same command again resumes",
    "save_only_model": "without the optimizer's state nothing can be resumed",
    "logging_nan_inf_filter": "it hides a loss that is no number",
    "disable_tqdm": "progress is shown by train itself",
    "use_cpu": "set ray.num_gpus_per_worker=0",
    "no_cuda": "set ray.num_gpus_per_worker=0",
    "local_rank": "set ray.num_workers",
    "ddp_backend": "Ray Train has made the process group by then",
    "ray_num_workers": "set ray.num_workers",
    "ray_init_kwargs": "set ray.address",
    "master_addr": "set ray.address",
    "master_port": "set ray.address",
    "push_to_hub": "set adapter_uri",
    "export_dir": "run t2s merge",
}
"""Keys that are set from elsewhere, and what to do instead."""

OPERATIONAL = frozenset(
    {
        "logging_steps", "logging_strategy", "logging_first_step", "save_steps", "save_strategy", "save_total_limit",
        "report_to", "run_name", "project", "eval_steps", "eval_strategy", "eval_on_start",
        "per_device_eval_batch_size",
        "dataloader_num_workers", "dataloader_pin_memory", "dataloader_prefetch_factor", "preprocessing_num_workers",
        "preprocessing_batch_size", "plot_loss", "flash_attn", "enable_liger_kernel", "disable_gradient_checkpointing",
        "use_swanlab", "swanlab_project", "swanlab_run_name", "swanlab_workspace", "swanlab_mode", "ddp_timeout",
        "include_num_input_tokens_seen", "deepspeed", "use_unsloth_gc",
    }
)  # fmt: skip
"""Keys that say how fast or what is shown, not what comes of it: a run may go on with others than it began with."""

# report_to's names and the packages they need, where those differ or are not in the environment.
_REPORTERS = {"tensorboard": ("tensorboard", "tensorboardX"), "dvclive": ("dvclive",), "comet_ml": ("comet_ml",)}


def check_block(block: Mapping[str, Any]) -> None:
    """Refuse keys that are ours; needs no package of upstream.

    Raises:
        SettingsError: Lists all of them.
    """
    problems = [f"llamafactory.{key}: it is set from elsewhere; {_OURS[key]}" for key in block if key in _OURS]
    if problems:
        raise SettingsError("\n".join(problems))


def compose(block: Mapping[str, Any], sft_keys: Mapping[str, Any], *, use_gpu: bool) -> dict[str, Any]:
    """Our defaults, what belongs to the examples, and the user's block over them.

    Raises:
        SettingsError: A key is ours, or contradicts how the examples were made.
    """
    check_block(block)
    for key, wanted in sft_keys.items():
        if key in block and key != "cutoff_len" and block[key] != wanted:
            raise SettingsError(
                f"llamafactory.{key}: wanted {wanted!r}, which belongs to these examples, found {block[key]!r}; "
                "prepare them in another form (example_form)"
            )
    precision = {} if {"bf16", "fp16", "pure_bf16"} & block.keys() or not use_gpu else {"bf16": True}
    evaluation = {"eval_strategy": "epoch"} if "eval_dataset" in sft_keys else {}
    # In a pack the mask holds numbers of examples, whose sum is no number of tokens.
    packed = block.get("packing") or block.get("neat_packing")
    counting = {"include_num_input_tokens_seen": "all"} if packed else {}
    return {**DEFAULTS, **precision, **evaluation, **counting, **sft_keys, **block}


def with_places(
    args: Mapping[str, Any], *, model_path: str, sft_path: str, work_dir: str, use_gpu: bool
) -> dict[str, Any]:
    """Complete arguments for this node, ready for `run_exp`."""
    return {
        **args,
        "stage": "sft",
        "do_train": True,
        "model_name_or_path": model_path,
        "dataset_dir": sft_path,
        "output_dir": f"{work_dir}/output",
        "cache_dir": f"{work_dir}/cache",
        "overwrite_output_dir": True,
        "save_only_model": False,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        "use_cpu": not use_gpu,
    }


def checked(args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with each value in its field's type, accepted by upstream's own parser. Loads torch.

    Raises:
        SettingsError: Keys that upstream does not know, values that it does not take; lists all of a kind.
        MissingExtra: LLaMA-Factory, or a package that an argument needs, is not in this environment.
    """
    process_env.prepare_training_libraries()
    try:
        from llamafactory.hparams.parser import _TRAIN_ARGS
        from transformers import HfArgumentParser
    except ImportError as error:
        raise MissingExtra(f"training needs the package {error.name!r}: make setup-train") from error
    types: dict[str, Any] = {}
    for owner in _TRAIN_ARGS:
        hints = typing.get_type_hints(owner)
        types |= {field.name: hints[field.name] for field in dataclasses.fields(owner) if field.init}
    problems = list(_unknown(args, types))
    typed: dict[str, Any] = {}
    for key, value in args.items():
        if key in types:
            try:
                typed[key] = _as_type(value, types[key])
            except ValidationError as error:
                wanted = error.errors()[0]["msg"].removeprefix("Input should be ")
                problems.append(f"llamafactory.{key}: wanted {wanted}, found {value!r}")
    if problems:
        raise SettingsError("\n".join(problems))
    _check_reporters(typed.get("report_to") or [])
    try:
        HfArgumentParser(_TRAIN_ARGS).parse_dict({**typed, "use_cpu": True})
    except (ValueError, AssertionError, TypeError, OSError) as error:
        raise SettingsError(f"llamafactory: wanted settings that LLaMA-Factory takes, found: {flat(error)}") from error
    except ImportError as error:
        raise _missing(error) from error
    if typed.get("quantization_bit") is not None and typed.get("quantization_method", "bnb") in ("bnb", "bitsandbytes"):
        _demand_package("bitsandbytes", "llamafactory.quantization_bit")
    return typed


def parsed(args: Mapping[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
    """Upstream's five argument objects (model, data, training, finetuning, generating), fully verified, on the CPU.

    What depends on the device is left to the workers: this process may have none.
    """
    process_env.prepare_training_libraries()
    from llamafactory.hparams import get_train_args

    join_logs()
    neutral = {key: value for key, value in args.items() if key not in ("deepspeed", "fsdp", "fsdp_config", "fp8")}
    if neutral.pop("pure_bf16", False):
        neutral["bf16"] = True
    try:
        with redirect_stdout(io.StringIO()):
            found: tuple[Any, Any, Any, Any, Any] = get_train_args({**neutral, "use_cpu": True, "report_to": []})
    except (ValueError, AssertionError, TypeError) as error:
        raise SettingsError(f"llamafactory: wanted settings that LLaMA-Factory takes, found: {flat(error)}") from error
    except ImportError as error:
        raise _missing(error) from error
    return found


def join_logs() -> None:
    """Let upstream's warnings go where ours go, instead of to this process's own output; no progress bars."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_default_handler()
    transformers.utils.logging.enable_propagation()
    upstream = logging.getLogger("llamafactory")
    upstream.handlers.clear()
    upstream.propagate = True


def global_batch(args: Mapping[str, Any], num_workers: int) -> int:
    """Examples in one step, over all workers."""
    return int(args["per_device_train_batch_size"]) * int(args["gradient_accumulation_steps"]) * num_workers


def flat(error: BaseException) -> str:
    """An error's text on one line."""
    return " ".join(str(error).split())[:1000] or type(error).__name__


def _unknown(args: Mapping[str, Any], types: Mapping[str, Any]) -> Iterator[str]:
    for key in args:
        if key not in types:
            near = difflib.get_close_matches(key, types, n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            yield f"llamafactory.{key}: wanted one of LLaMA-Factory's keys, found an unknown one{hint}"


def _as_type(value: Any, wanted: Any) -> Any:
    if wanted is str and isinstance(value, list):  # names, which upstream wants in one text
        value = ",".join(map(str, value))
    try:
        adapter = TypeAdapter(wanted, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # a type with a configuration of its own; upstream looks at the value
        return value
    try:
        return adapter.validate_python(value)
    except ValidationError:
        if value is not False:
            raise
        return adapter.validate_python("no")  # as YAML reads `eval_strategy: no`


def _check_reporters(report_to: Any) -> None:
    names = [report_to] if isinstance(report_to, str) else list(report_to)
    for name in names:
        if name in ("none", "all"):
            continue
        packages = _REPORTERS.get(name, (name,))
        if not any(importlib.util.find_spec(package) for package in packages):
            _demand_package(packages[0], f"llamafactory.report_to={name}")


def _demand_package(package: str, key: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise MissingExtra(
            f"{key}: wanted the package {package} in the environment of train, found none; install it "
            f"(uv pip install --python .venvs/train/bin/python {package}), or leave the key out"
        )


def _missing(error: ImportError) -> MissingExtra:
    reason = flat(error).removeprefix("No package metadata was found for ")
    return MissingExtra(
        f"llamafactory: a key needs a package that is not in the environment of train: {reason} Install it there, or "
        "leave the key out"
    )
