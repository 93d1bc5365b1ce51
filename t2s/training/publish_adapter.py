"""An adapter that was trained elsewhere (LLaMA Board, llamafactory-cli) as one that predict can trust.

The gate that train runs before its first step runs here after the last: the folder's own training_args.yaml says which
template and masks it was trained with, and the examples are still there. What does not fit is not published.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from t2s.engine.chat import ChatTokenizer
from t2s.errors import ModelError, PlanMismatch, SettingsError
from t2s.manifest import now, package_versions
from t2s.model_folder import read_header, resolve_model
from t2s.storage import open_store
from t2s.storage.cache import folder_digest
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


class Published(NamedTuple):
    """The adapter's manifest, and whether it was there already, so that nothing was written."""

    manifest: AdapterManifest
    was_there: bool


def publish_adapter(config: PublishConfig) -> Published:
    """Check and publish; doing it again does nothing.

    Raises:
        ModelError: No adapter, a pickle, or one whose shapes are not the model's.
        ParityError: It was trained on other tokens than predict uses.
        SettingsError: It was trained on other examples than those of `dataset_uri`.
        PlanMismatch: Something else is at `adapter_uri`; it stays as it is.
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
    with tempfile.TemporaryDirectory(prefix="t2s-publish-") as name:
        for file in adapter.ADAPTER_FILES:
            shutil.copyfile(folder.path / file, Path(name) / file)
        name_base_model(Path(name) / "adapter_config.json", config.model_uri)
        manifest = AdapterManifest(
            kind="adapter",
            digest=folder_digest({file: _sha256(Path(name) / file) for file in adapter.ADAPTER_FILES}),
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
        there = _published_before(config.adapter_uri, manifest)
        if there is not None:
            return Published(there, was_there=True)
        examine(args, sft, chat, allow_cut=True)
        published = adapter.publish(Path(name), list(adapter.ADAPTER_FILES), config.adapter_uri, manifest)
        return Published(published, was_there=False)


def _published_before(adapter_uri: str, manifest: AdapterManifest) -> AdapterManifest | None:
    """What is at `adapter_uri`, if it is the same; asked before any file there is written over."""
    store = open_store(adapter_uri)
    found = adapter.read_manifest(store)
    if found is None:
        return None
    claims = [
        (one.digest, one.base_model.digest, one.prompt_digest, one.probe_digest, one.data_digest, one.template)
        for one in (found, manifest)
    ]
    if claims[0] != claims[1]:
        raise PlanMismatch(f"{store.uri}: another training's result is there already; use another adapter_uri")
    return found


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
    return {name: entry["shape"] for name, entry in read_header(file).items()}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _metrics(folder: Path) -> dict[str, float]:
    file = folder / "all_results.json"
    found = json.loads(file.read_bytes()) if file.is_file() else {}
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def _plain(said: dict[str, Any]) -> dict[str, Any]:
    """As JSON has it: YAML knows dates."""
    plain: dict[str, Any] = json.loads(json.dumps(said, default=str))
    return plain
