"""Settings of the jobs `predict`, `evaluate` and `pipeline`: each composes the configs of those who do the work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import InitErrorDetails

from t2s.engine import EngineConfig
from t2s.layers import KeyPath
from t2s.pipeline_config import PipelineConfig
from t2s.predict_config import PredictConfig
from t2s.prompt import History
from t2s.settings.base import JobSettings, setting_error, with_databases
from t2s.sql.sandbox import Limits


class RayConfig(BaseModel):
    """What the launcher asks of the cluster.

    Attributes:
        address: A running cluster's address; null: the one that this job was submitted to, or Ray's own default.
        wait_for_resources_s: How long to wait for resources that can come.
        resource: Custom resource of the nodes that have this job's environment.
        num_gpus_per_engine: Null: as many as vLLM's parallel sizes need for `vllm`, else 1; 0 on a CPU cluster.
        num_cpus_per_engine: CPUs that an engine's actor reserves.
        py_executable: Absolute path of the interpreter on the workers, where it is not the driver's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str | None = None
    wait_for_resources_s: float = Field(600.0, ge=0)
    resource: str = "t2s_predict"
    num_gpus_per_engine: float | None = Field(None, ge=0)
    num_cpus_per_engine: float = Field(1.0, ge=0)
    py_executable: str | None = None


class PredictSettings(JobSettings, PredictConfig):
    """The job `predict`: its `PredictConfig`, and what a cluster needs to know."""

    model_config = JobSettings.model_config

    job: ClassVar[str] = "predict"
    blocks: ClassVar[Mapping[str, KeyPath]] = {"vllm": ("engine", "vllm")}
    derived: ClassVar[Mapping[str, str]] = {"databases_uri": "(database/ beside the dataset)"}

    ray: RayConfig = RayConfig()

    @classmethod
    def completed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """`databases_uri` is `database/` beside the dataset's JSON file, unless it is given."""
        return {"engine": {}, **with_databases(values, "dataset_uri")}

    @classmethod
    def across_fields(cls, values: Mapping[str, Any]) -> Iterator[InitErrorDetails]:
        """Every engine but the scripted one needs a model; parallel sizes must be countable."""
        engine = values.get("engine", {})
        if isinstance(engine, EngineConfig):
            engine = engine.model_dump()
        if not isinstance(engine, Mapping):
            return
        if engine.get("kind", "vllm") in ("vllm", "transformers") and engine.get("model_uri") is None:
            text = "a model folder or the word sample (every engine.kind but scripted needs a model)"
            yield setting_error(("engine", "model_uri"), text, engine.get("model_uri"))
        options = engine.get("vllm")
        for key in ("tensor_parallel_size", "pipeline_parallel_size"):
            size = options.get(key, 1) if isinstance(options, Mapping) else 1
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                yield setting_error(("engine", "vllm", key), "a whole number of GPUs, at least 1", size)

    @property
    def num_gpus_per_engine(self) -> float:
        """GPUs that one engine needs: `ray.num_gpus_per_engine`, or what the engine's own options say."""
        if self.ray.num_gpus_per_engine is not None:
            return self.ray.num_gpus_per_engine
        if self.engine.kind == "scripted":
            return 0
        options = self.engine.vllm if self.engine.kind == "vllm" else {}
        return int(options.get("tensor_parallel_size", 1)) * int(options.get("pipeline_parallel_size", 1))


class EvaluateSettings(JobSettings):
    """The job `evaluate`; `run_uri` is the run that is scored, the report goes there.

    Attributes:
        gold_uri: Dataset with gold SQL: a JSON file, or a folder that holds exactly one.
        databases_uri: Folder of SQLite databases; default: `database/` beside the gold file.
        predictions_uri: Default: `<run_uri>/predictions.json`.
        limit: Score only the first N interactions, as predict's `limit` takes them; null for all.
        history: Which earlier SQL the model saw, printed with the score; null: what the run's predict job says.
        num_workers: Queries that run at once; null: one per CPU.
        limits: What one query may take.
        cache_dir: This node's cache of databases from object storage.
        cache_max_bytes: Most that the cache may hold; what was used longest ago goes first. Null: no limit.
    """

    job: ClassVar[str] = "evaluate"
    derived: ClassVar[Mapping[str, str]] = {
        "databases_uri": "(database/ beside the gold file)",
        "predictions_uri": "(<run_uri>/predictions.json)",
    }

    gold_uri: str
    databases_uri: str
    predictions_uri: str
    limit: int | None = Field(None, gt=0)
    history: History | None = None
    num_workers: int | None = Field(None, gt=0)
    limits: Limits = Limits()
    cache_dir: str = "~/.cache/t2s"
    cache_max_bytes: int | None = Field(None, gt=0)

    @classmethod
    def completed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Databases stand beside the gold file, predictions in the run, unless they are given."""
        result = with_databases(values, "gold_uri")
        if result.get("predictions_uri") is None:
            result["predictions_uri"] = f"{str(result.get('run_uri')).rstrip('/')}/predictions.json"
        return result


class PipelineSettings(JobSettings, PipelineConfig):
    """The job `pipeline`: its `PipelineConfig`; `run_uri` keeps what is finished, and the comparison."""

    model_config = JobSettings.model_config

    job: ClassVar[str] = "pipeline"
