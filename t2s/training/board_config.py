"""What LLaMA Board can be told; its settings class loads it from YAML, environment and arguments."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class BoardConfig(BaseModel):
    """LLaMA-Factory's own web page, with our examples and our settings in its fields.

    Attributes:
        dataset_uri: What prepare has written.
        model_uri: The base model: a model folder (safetensors); `sample` is the packaged small model.
        run_uri: A local folder; the page's own files and what is trained there go to `board/` in it.
        llamafactory: LLaMA-Factory's own keys, over our defaults, as train takes them.
        host: Address that the page listens on; it asks for no password.
        port: Its port.
        language: Of the page; null: as last chosen there, Chinese at first.
        models_dir: Where the packaged small model (`model_uri: sample`) is made.
        cache_dir: This node's cache of models and data.
        cache_max_bytes: Most that the cache may hold; what was used longest ago goes first. Null: no limit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    dataset_uri: str
    model_uri: str
    run_uri: str
    llamafactory: dict[str, Any] = {}
    host: str = "127.0.0.1"
    port: int = Field(7860, ge=1, le=65535)
    language: Literal["zh", "en", "ja", "ko", "ru"] | None = None
    models_dir: str = "models"
    cache_dir: str = "~/.cache/t2s"
    cache_max_bytes: int | None = Field(None, gt=0)
