"""Predict's look at what was trained, before weights are loaded: is it for this model, prompt, environment?"""

from __future__ import annotations

from t2s.engine import EngineConfig
from t2s.engine.chat import ChatTokenizer
from t2s.errors import ModelError
from t2s.storage.cache import CachedFolder
from t2s.training.adapter import Wanted, check, manifest_in
from t2s.training.probe import probe


def check_trained(engine: EngineConfig, model: CachedFolder, adapter: CachedFolder | None, prompt_digest: str) -> None:
    """Compare an adapter, and a model that was trained or merged by t2s, with what this run has.

    A base model says nothing of prompts; nothing is compared then, and no tokenizer is loaded.

    Args:
        engine: Of the run.
        model: As it is on this node.
        adapter: Likewise; None: there is none.
        prompt_digest: Of the run's prompt.

    Raises:
        ModelError: It does not belong to this run, or is a whole model in an adapter's place.
        DigestMismatch: Its files are not those that were published.
    """
    model_manifest = manifest_in(model.path)
    if model_manifest is None and adapter is None:
        return
    chat = ChatTokenizer(str(model.path), engine.trust_remote_code)
    wanted = Wanted(model.digest, prompt_digest, probe(chat).digest)
    strict = engine.adapter_check == "refuse"
    if model_manifest is not None:
        check(model_manifest, str(engine.model_uri), model.digest, wanted, strict=strict)
    if adapter is not None:
        manifest = manifest_in(adapter.path)
        if manifest is not None and manifest.kind != "adapter":
            raise ModelError(
                f"{engine.adapter_uri}: wanted an adapter, found a whole model: set engine.model_uri to it"
            )
        check(manifest, str(engine.adapter_uri), adapter.digest, wanted, strict=strict)
