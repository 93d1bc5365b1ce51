"""What train can be told; its settings class loads it from YAML, environment and arguments."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainExecutorConfig(BaseModel):
    """Where the workers run.

    Attributes:
        kind: `local` (this machine: a Ray of the job's own, which ends with it), `ray` (a running cluster) or `process`
            (one worker, in the job's own process, without Ray: nothing is started again when it dies).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["local", "ray", "process"] = "local"


class TrainRayConfig(BaseModel):
    """The workers, and what they ask of the cluster.

    Attributes:
        address: A running cluster's address; null: the one that this job was submitted to, or Ray's own default.
        wait_for_resources_s: How long to wait for resources that can come, at the start and after a worker was lost.
        resource: Custom resource of the nodes that have train's environment.
        num_workers: Processes that train together, each with a copy of the model.
        num_gpus_per_worker: Null: 1, or 0 under `executor.kind: local` on a machine without a GPU.
        num_cpus_per_worker: CPUs that a worker reserves, and threads that torch uses in it. Null: 1, or this machine's
            CPUs, shared by the workers, under `executor.kind: local` on a machine without a GPU.
        max_restarts: How often lost workers are replaced; a node that is announced to be taken away does not count.
        py_executable: Absolute path of the interpreter on the workers, where it is not the driver's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str | None = None
    wait_for_resources_s: float = Field(600.0, ge=0)
    resource: str = "t2s_train"
    num_workers: int = Field(1, ge=1)
    num_gpus_per_worker: float | None = Field(None, ge=0)
    num_cpus_per_worker: float | None = Field(None, gt=0)
    max_restarts: int = Field(10, ge=0)
    py_executable: str | None = None


class TrainConfig(BaseModel):
    """Settings of the job `train`.

    Attributes:
        dataset_uri: What prepare has written: a folder with `sft/` in it.
        model_uri: The base model: a model folder (safetensors); `sample` is the packaged small model.
        adapter_uri: Where the trained adapter goes (the whole model after full fine-tuning).
        run_uri: Where checkpoints, progress and the loss plot go.
        llamafactory: LLaMA-Factory's own keys, over our defaults.
        executor: Where the workers run.
        ray: The workers, and what they ask of the cluster.
        allow_cut: Train on examples longer than `llamafactory.cutoff_len`, cut at that length.
        memory_check: Whether settings that by estimate do not fit the GPU's memory are refused, or only warned of.
        stop_grace_s: What a stopped job has to save a checkpoint.
        models_dir: Where the packaged small model (`model_uri: sample`) is made.
        cache_dir: This node's cache of models and data, and the workers' own files while they train.
        cache_max_bytes: Most that the cache may hold; what was used longest ago goes first. Null: no limit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    dataset_uri: str
    model_uri: str
    adapter_uri: str
    run_uri: str
    llamafactory: dict[str, Any] = {}
    executor: TrainExecutorConfig = TrainExecutorConfig()
    ray: TrainRayConfig = TrainRayConfig()
    allow_cut: bool = False
    memory_check: Literal["refuse", "warn"] = "refuse"
    stop_grace_s: float = Field(120.0, gt=0)
    models_dir: str = "models"
    cache_dir: str = "~/.cache/t2s"
    cache_max_bytes: int | None = Field(None, gt=0)
