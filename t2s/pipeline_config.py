"""What a pipeline is told: steps, each a job with its settings file and what differs from it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class StepConfig(BaseModel):
    """One step.

    Attributes:
        name: How later steps and the log call it.
        job: What it does.
        config: Its settings file.
        set: Settings that win over the file's, by dotted key; values may use `${steps.NAME.KEY}` (a setting of an
            earlier step) and `${run_uri}` (the pipeline's own).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z][\w-]*$")
    job: str
    config: str
    set: dict[str, Any] = {}


class PipelineConfig(BaseModel):
    """A pipeline.

    Attributes:
        steps: In the order in which they run.
        compare: Names of evaluate steps whose runs are compared at the end, the first one is the base.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: tuple[StepConfig, ...] = Field(min_length=1)
    compare: tuple[str, ...] = ()
