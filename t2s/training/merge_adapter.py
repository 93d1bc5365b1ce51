"""An adapter merged into its base model by LLaMA-Factory's export, as a model folder that predict can trust as well.

Merged weights answer faster where LoRA is dear (on two CPU cores vLLM made 15 to 22 tokens/s with an adapter, 63 to 68
merged), at the price of a whole model for each adapter.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

from t2s import process_env
from t2s.engine.chat import ChatTokenizer
from t2s.errors import MissingExtra, ModelError, SettingsError
from t2s.manifest import now, package_versions
from t2s.model_folder import resolve_model
from t2s.storage.cache import CachedFolder
from t2s.training.adapter import AdapterManifest, manifest_in, publish
from t2s.training.llamafactory_args import flat
from t2s.training.merge_config import MergeConfig
from t2s.training.model_files import copy_tokenizer, is_model_file
from t2s.training.probe import probe

logger = logging.getLogger(__name__)

_SHARD_GIB = 5


def merge_adapter(config: MergeConfig) -> AdapterManifest:
    """Merge and publish; doing it again does nothing.

    Raises:
        ModelError: The adapter has no manifest, is a pickle, or belongs to another model.
        PlanMismatch: Something else is at `output_uri`.
        StorageError: The store failed or refused.
        MissingExtra: This is not train's environment.
    """
    found = resolve_model(config.adapter_uri, config.models_dir, config.cache_dir)
    manifest = manifest_in(found.path)
    if manifest is None or manifest.kind != "adapter":
        raise ModelError(
            f"{config.adapter_uri}: wanted an adapter with the manifest.json that train leaves, found "
            f"{'a whole model' if manifest else 'none'}"
        )
    model = resolve_model(config.model_uri or manifest.base_model.uri, config.models_dir, config.cache_dir)
    if found.digest != manifest.digest or model.digest != manifest.base_model.digest:
        wanted, name = (
            (manifest.digest, config.adapter_uri)
            if found.digest != manifest.digest
            else (manifest.base_model.digest, config.model_uri or manifest.base_model.uri)
        )
        raise ModelError(
            f"{name}: wanted the folder with digest {wanted[:12]} (the adapter's manifest), found another one"
        )
    work = Path(config.cache_dir).expanduser() / "merge"
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="merging-", dir=work) as name:
        folder = Path(name)
        logger.info("merging %s into %s on %s", config.adapter_uri, model.path.name, config.device)
        _export(config, model, found, manifest, folder)
        # Upstream's tokenizer is an altered one: the base model's own is what the adapter was checked with.
        copy_tokenizer(model.path, folder)
        probe_digest = probe(ChatTokenizer(str(folder), config.trust_remote_code)).digest
        if probe_digest != manifest.probe_digest:
            raise ModelError(
                f"{model.path}: its chat template renders another text here than the adapter was trained with (probe "
                f"{manifest.probe_digest[:12]}, here {probe_digest[:12]})"
            )
        merged = manifest.model_copy(
            update={
                "kind": "model",
                "merged_from": manifest.digest,
                "packages": package_versions(),
                "created_at": now(),
            }
        )
        names = sorted(path.name for path in folder.iterdir() if is_model_file(path))
        return publish(folder, names, config.output_uri, merged)


def _export(
    config: MergeConfig, model: CachedFolder, adapter: CachedFolder, manifest: AdapterManifest, folder: Path
) -> None:
    process_env.prepare_training_libraries()
    try:
        from llamafactory.train.tuner import export_model
    except ImportError as error:
        raise MissingExtra(f"merging needs the package {error.name!r}: make setup-train") from error
    args: dict[str, Any] = {
        "model_name_or_path": str(model.path),
        "adapter_name_or_path": str(adapter.path),
        "template": manifest.template,
        "finetuning_type": "lora",
        "trust_remote_code": config.trust_remote_code,
        "export_dir": str(folder),
        "export_size": _SHARD_GIB,
        "export_device": config.device,
        "infer_dtype": _dtype(model.path),
    }
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            export_model(args)
    except (ValueError, RuntimeError, OSError) as error:
        raise SettingsError(f"{config.adapter_uri}: LLaMA-Factory cannot merge it: {flat(error)}") from error


def _dtype(model_path: Path) -> str:
    """The base model's own; upstream would make half precision of everything else."""
    config = json.loads((model_path / "config.json").read_bytes())
    return str(config.get("dtype") or config.get("torch_dtype") or "auto")
