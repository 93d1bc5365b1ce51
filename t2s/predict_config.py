"""What predict can be told; `settings.PredictSettings` loads it from YAML, environment and arguments."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from t2s.engine import EngineConfig
from t2s.prompt import History, PromptConfig


class ExecutorConfig(BaseModel):
    """Where the work runs.

    Attributes:
        kind: `local` (this process) or `ray` (a pool of actors, one engine each).
        num_engines: Actors of the Ray pool; null: as many as the cluster has GPUs for, at least one.
        shards_per_engine: Shards in one engine at a time, so that it does not drain between two.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["local", "ray"] = "local"
    num_engines: int | None = Field(None, gt=0)
    shards_per_engine: int = Field(2, gt=0)


class PredictionsConfig(BaseModel):
    """How `predictions.json` is written.

    Attributes:
        leading_space: Put a space before each SQL, as the contest wants it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    leading_space: bool = True


class PredictConfig(BaseModel):
    """Settings of the job `predict`.

    Attributes:
        dataset_uri: A JSON file, or a folder that holds exactly one.
        databases_uri: Folder of SQLite databases.
        run_uri: Where everything is written.
        engine: Who generates.
        prompt: How the prompt is worded.
        history: Which earlier SQL the model sees.
        limit: Only the first N interactions; null for all.
        executor: Where the work runs.
        shard_turns: About how many turns are committed in one piece.
        max_attempts: Engine deaths after which a shard is halved.
        retry_errors: Run the interactions of rows with errors again, beside what is committed.
        max_error_rate: Share of rows with errors up to which the job still ends well.
        max_interactions: At most so many interactions in one engine at a time, beside what its KV cache allows.
        predictions: How `predictions.json` is written.
        models_dir: Where the packaged small model (`model_uri: sample`) is made.
        cache_dir: This node's cache of databases and models from object storage.
        cache_max_bytes: Most that the cache may hold; what was used longest ago goes first. Null: no limit.
        gpu_price_per_hour: What one GPU costs in an hour, for the cost in plan and reports; null: no cost is told.
        price_currency: What `gpu_price_per_hour` is in.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset_uri: str
    databases_uri: str
    run_uri: str
    engine: EngineConfig
    prompt: PromptConfig = PromptConfig()
    history: History = "predicted"
    limit: int | None = Field(None, gt=0)
    executor: ExecutorConfig = ExecutorConfig()
    shard_turns: int = Field(1000, gt=0)
    max_attempts: int = Field(3, gt=0)
    retry_errors: bool = False
    max_error_rate: float = Field(0.0, ge=0, le=1)
    max_interactions: int | None = Field(None, gt=0)
    predictions: PredictionsConfig = PredictionsConfig()
    models_dir: str = "models"
    cache_dir: str = "~/.cache/t2s"
    cache_max_bytes: int | None = Field(None, gt=0)
    gpu_price_per_hour: float | None = Field(None, ge=0)
    price_currency: str = Field("CNY", min_length=1)
