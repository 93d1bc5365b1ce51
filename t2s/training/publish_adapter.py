"""An adapter that was trained elsewhere (LLaMA Board, llamafactory-cli) as one that predict can trust.

The gate that train runs before its first step runs here after the last: the folder's own training_args.yaml says which
template and masks it was trained with, and the examples are still there. What does not fit is not published.
"""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
from pathlib import Path
from typing import Any

import yaml

from t2s.engine.chat import ChatTokenizer
from t2s.errors import ModelError, SettingsError
from t2s.manifest import now, package_versions
from t2s.model_folder import resolve_model
from t2s.training import adapter, llamafactory_args
from t2s.training.adapter import AdapterManifest, BaseModelRef
from t2s.training.model_files import name_base_model
from t2s.training.probe import probe
from t2s.training.publish_config import PublishConfig
from t2s.training.sft_folder import SftFolder, open_sft_folder
from t2s.training.upstream_examples import examine

ARGS_NAME = "training_args.yaml"

_LOOKED_AT = ("template", "mask_history", "train_on_prompt", "default_system", "tool_format", "enable_thinking")
"""Keys that decide ids and labels."""


def publish_adapter(config: PublishConfig) -> AdapterManifest:
    """Check and publish; doing it again does nothing.

    Raises:
        ModelError: No adapter, a pickle, or one whose shapes are not the model's.
        ParityError: It was trained on other tokens than predict uses.
        SettingsError: It was trained on other examples than those of `dataset_uri`.
        PlanMismatch: Something else is at `adapter_uri`.
        StorageError: The store failed or refused.
    """
    folder = resolve_model(config.folder_uri, config.models_dir, config.cache_dir)
    if not (folder.path / "adapter_config.json").is_file():
        raise ModelError(f"{config.folder_uri}: wanted an adapter with adapter_config.json, found none")
    model = resolve_model(config.model_uri, config.models_dir, config.cache_dir)
    _demand_shapes(folder.path / "adapter_model.safetensors", model.path)
    sft = open_sft_folder(config.dataset_uri, config.cache_dir)
    said = _said(folder.path, sft)
    # What a file of settings does not name has upstream's default: off.
    block: dict[str, Any] = {"mask_history": False, "train_on_prompt": False} if said else {}
    block |= {key: said[key] for key in _LOOKED_AT if key in said}
    if config.template is not None:
        block["template"] = config.template
    composed = llamafactory_args.compose(block, sft.keys, use_gpu=False)
    args = llamafactory_args.checked(
        llamafactory_args.with_places(
            composed, model_path=str(model.path), sft_path=str(sft.path), work_dir="unused", use_gpu=False
        )
    )
    chat = ChatTokenizer(str(model.path))
    examine(args, sft, chat, allow_cut=True)
    manifest = AdapterManifest(
        kind="adapter",
        digest="",
        base_model=BaseModelRef(uri=config.model_uri, digest=model.digest),
        prompt=sft.prepared.prompt,
        prompt_digest=sft.prepared.prompt_digest,
        probe_digest=probe(chat).digest,
        template=args.get("template"),
        data_digest=sft.prepared.digest,
        plan_digest=None,
        settings={"published_from": config.folder_uri, ARGS_NAME: _plain(said)},
        metrics=_metrics(folder.path),
        packages=package_versions(),
        created_at=now(),
    )
    with tempfile.TemporaryDirectory(prefix="t2s-publish-") as name:
        for file in adapter.ADAPTER_FILES:
            shutil.copyfile(folder.path / file, Path(name) / file)
        name_base_model(Path(name) / "adapter_config.json", config.model_uri)
        return adapter.publish(Path(name), list(adapter.ADAPTER_FILES), config.adapter_uri, manifest)


def _said(folder: Path, sft: SftFolder) -> dict[str, Any]:
    """What the folder says it was trained with; nothing where it says nothing."""
    file = folder / ARGS_NAME
    if not file.is_file():
        return {}
    try:
        said = yaml.safe_load(file.read_bytes())
    except yaml.YAMLError as error:
        raise SettingsError(f"{file}: wanted YAML, found: {' '.join(str(error).split())}") from error
    if not isinstance(said, dict):
        raise SettingsError(f"{file}: wanted LLaMA-Factory's settings, found {type(said).__name__}")
    if said.get("dataset") not in (None, sft.keys["dataset"]):
        raise SettingsError(
            f"{file}: it was trained on the dataset {said['dataset']}, wanted {sft.keys['dataset']}, which dataset_uri "
            "holds"
        )
    return said


def _demand_shapes(adapter_file: Path, model_path: Path) -> None:
    """Every map that the adapter changes must be the model's, with its inputs and outputs."""
    model = {name: shape for file in model_path.glob("*.safetensors") for name, shape in _shapes(file).items()}
    for name, shape in _shapes(adapter_file).items():
        module, found, side = name.removeprefix("base_model.model.").partition(".lora_")
        if not found:
            continue
        wanted = model.get(f"{module}.weight")
        own = (shape[1], 1) if side.startswith("A") else (shape[0], 0)
        if wanted is None or wanted[own[1]] != own[0]:
            raise ModelError(
                f"{adapter_file}: wanted an adapter of {model_path.name}, found {name} of shape {shape}, and the model "
                f"has {module} of shape {wanted or 'none'}; set model_uri to its own base model"
            )


def _shapes(file: Path) -> dict[str, list[int]]:
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}


def _metrics(folder: Path) -> dict[str, float]:
    file = folder / "all_results.json"
    found = json.loads(file.read_bytes()) if file.is_file() else {}
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def _plain(said: dict[str, Any]) -> dict[str, Any]:
    """As JSON has it: YAML knows dates."""
    plain: dict[str, Any] = json.loads(json.dumps(said, default=str))
    return plain
