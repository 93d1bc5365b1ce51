"""What training leaves behind, and what predict must know of it before it takes it.

    <adapter_uri>/adapter_config.json  adapter_model.safetensors       LoRA
                  config.json  model.safetensors  tokenizer.json  …    after full fine-tuning, or merged
                  manifest.json                                        created last: what it names is whole

    {"kind": "adapter", "digest": …, "base_model": {"uri", "digest"}, "prompt_digest": …, "probe_digest": …,
     "template": "llama3", "data_digest": …, "settings": {…}, "metrics": {"train_loss": 0.31, …}, "packages": {…}}

A LoRA on another base model, another prompt, or a chat template that renders otherwise costs tens of points and says
nothing; so predict compares all three with what it has itself.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from t2s.errors import DigestMismatch, ModelError, PlanMismatch
from t2s.interaction import Record
from t2s.prompt import PromptConfig
from t2s.storage import Store, open_store
from t2s.storage.cache import folder_digest

logger = logging.getLogger(__name__)

MANIFEST_NAME = "manifest.json"
FORMAT = 1

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")

Kind = Literal["adapter", "model"]


class BaseModelRef(Record):
    """The model that was trained on: where it was, and the digest of its folder."""

    uri: str
    digest: str


class AdapterManifest(Record):
    """What an adapter, or a trained model, is.

    Attributes:
        kind: `adapter` goes with its base model; `model` is whole.
        format: Of this record.
        digest: Over all files beside the manifest.
        base_model: What was trained on.
        prompt, prompt_digest: How the examples' prompts are worded; null: nothing says it.
        probe_digest: Of the fixed interaction as ids, by the base model's chat template.
        template: LLaMA-Factory's name of the template; null: taken from the model's own.
        data_digest: Of the examples.
        plan_digest: Of the training that made it; null for one that was made elsewhere.
        settings: Of the training.
        metrics: Last losses, steps, tokens.
        packages: Versions.
        created_at: ISO 8601, UTC.
        merged_from: Digest of the adapter that is merged into this model.
    """

    kind: Kind
    format: int = FORMAT
    digest: str
    base_model: BaseModelRef
    prompt: PromptConfig | None
    prompt_digest: str | None
    probe_digest: str
    template: str | None
    data_digest: str | None
    plan_digest: str | None
    settings: dict[str, Any]
    metrics: dict[str, float]
    packages: dict[str, str]
    created_at: str
    merged_from: str | None = None


class Wanted(NamedTuple):
    """What predict has itself, to be compared: digests of the base model, of its prompt, of its probe."""

    base_digest: str
    prompt_digest: str
    probe_digest: str


def publish(folder: Path, names: list[str], uri: str, manifest: AdapterManifest) -> AdapterManifest:
    """Store files, and then the manifest that makes them count.

    Args:
        folder: Where the files are.
        names: Which of them, "/" between folders.
        uri: Where to.
        manifest: Its `digest` is filled in here.

    Raises:
        PlanMismatch: Another training's result is there.
        StorageError: The store failed or refused.
    """
    store = open_store(uri)
    digests = {name: store.upload(folder / name, name) for name in names}
    complete = manifest.model_copy(update={"digest": folder_digest(digests)})
    if store.create(MANIFEST_NAME, (complete.model_dump_json(indent=1) + "\n").encode()):
        return complete
    found = read_manifest(store)
    # Two runs of one plan need not end with the same bytes; what has no plan is the same only if its files are.
    is_same = found is not None and (
        found.plan_digest == complete.plan_digest if complete.plan_digest else found.digest == complete.digest
    )
    if found is None or not is_same:
        raise PlanMismatch(f"{store.uri}: another training's result is there already; use another adapter_uri")
    return found


def read_manifest(store: Store) -> AdapterManifest | None:
    """The manifest of what is published there; None where nothing is, or nothing of ours.

    Raises:
        ModelError: It cannot be read.
    """
    if not store.exists(MANIFEST_NAME):
        return None
    return parse_manifest(store.read(MANIFEST_NAME), f"{store.uri}/{MANIFEST_NAME}")


def parse_manifest(data: bytes, where: str) -> AdapterManifest | None:
    """A manifest out of its bytes; None for another job's (download's has the same name)."""
    try:
        found = json.loads(data)
        if not isinstance(found, dict) or found.get("kind") not in ("adapter", "model") or "probe_digest" not in found:
            return None
        return AdapterManifest.model_validate(found)
    except ValueError as error:
        raise ModelError(
            f"{where}: wanted the manifest of an adapter of format {FORMAT}, found: "
            f"{' '.join(str(error).split())[:300]}; publish it again with this version"
        ) from error


def manifest_in(folder: Path) -> AdapterManifest | None:
    """The manifest in a local folder."""
    file = folder / MANIFEST_NAME
    return parse_manifest(file.read_bytes(), str(file)) if file.is_file() else None


def check(manifest: AdapterManifest | None, what: str, digest: str, wanted: Wanted, *, strict: bool) -> None:
    """Compare an adapter, or a trained model, with what predict has; a difference is an error, or a warning.

    Args:
        manifest: Of the adapter or model; None: there is none.
        what: Its URI, for messages.
        digest: Of its folder as it is here.
        wanted: What predict has.
        strict: Whether a difference is an error.

    Raises:
        DigestMismatch: Its files are not those that were published.
        ModelError: It does not belong to this model, prompt or chat template; lists all of it.
    """
    if manifest is not None and manifest.digest != digest:
        raise DigestMismatch(
            f"{what}: wanted the files that were published (digest {manifest.digest[:12]}), found others "
            f"({digest[:12]}); publish it again under another name"
        )
    problems = list(_differences(manifest, wanted))
    if not problems:
        return
    text = f"{what}: " + "; ".join(problems)
    if strict:
        raise ModelError(f"{text}. engine.adapter_check: warn takes it nevertheless")
    logger.warning("%s", text)


def _differences(manifest: AdapterManifest | None, wanted: Wanted) -> Iterator[str]:
    if manifest is None:
        yield (
            "wanted an adapter with manifest.json, as train or `t2s adapter publish` leave it, found none: nothing "
            "says which model and prompt it belongs to"
        )
        return
    if manifest.kind == "adapter" and manifest.base_model.digest != wanted.base_digest:
        yield (
            f"it was trained on the model {manifest.base_model.uri} (digest {manifest.base_model.digest[:12]}), and "
            f"engine.model_uri is another one ({wanted.base_digest[:12]})"
        )
    if manifest.prompt_digest is None:
        yield "its examples were not made by prepare: nothing says which prompt they had"
    elif manifest.prompt_digest != wanted.prompt_digest:
        yield (
            f"it was trained with another prompt (digest {manifest.prompt_digest[:12]}, here "
            f"{wanted.prompt_digest[:12]}): give predict the block that prepare had, prompt: "
            f"{manifest.prompt.model_dump_json() if manifest.prompt else 'unknown'}"
        )
    if manifest.probe_digest != wanted.probe_digest:
        yield (
            f"its chat template renders another text here (probe {manifest.probe_digest[:12]}, here "
            f"{wanted.probe_digest[:12]}): the model's chat_template or tokenizer is another one than it was trained "
            "with, or this environment's transformers reads it otherwise"
        )
