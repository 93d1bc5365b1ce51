"""What publishing an adapter from elsewhere can be told; its settings class loads it from arguments and environment."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class PublishConfig(BaseModel):
    """An adapter that LLaMA-Factory has left in a folder, by its web page or its own command.

    Attributes:
        folder_uri: That folder (adapter_config.json, adapter_model.safetensors; training_args.yaml is looked at).
        adapter_uri: Where it goes.
        model_uri: The base model that it was trained on.
        dataset_uri: Prepare's output that it was trained on.
        template: LLaMA-Factory's name of the template; null: what the folder's training_args.yaml says.
        models_dir: Where the packaged small model (`model_uri: sample`) is made.
        cache_dir: This node's cache of models and data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    folder_uri: str
    adapter_uri: str
    model_uri: str
    dataset_uri: str
    template: str | None = None
    models_dir: str = "models"
    cache_dir: str = "~/.cache/t2s"
