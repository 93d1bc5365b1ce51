"""What a merge can be told; its settings class loads it from arguments and environment."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class MergeConfig(BaseModel):
    """What a merge can be told.

    Attributes:
        adapter_uri: As train has published it.
        output_uri: Where the merged model goes.
        model_uri: The base model; null: where it was when the adapter was trained.
        device: Where the weights are added: `cpu`, or `auto` for a GPU that holds them.
        trust_remote_code: Run code from the model folder.
        models_dir: Where the packaged small model (`model_uri: sample`) is made.
        cache_dir: This node's cache of models; the merged one is also put together there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    adapter_uri: str
    output_uri: str
    model_uri: str | None = None
    device: Literal["cpu", "auto"] = "cpu"
    trust_remote_code: bool = False
    models_dir: str = "models"
    cache_dir: str = "~/.cache/t2s"
