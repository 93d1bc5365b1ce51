"""Settings of the jobs that train, and of the merge of an adapter into its model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic_core import InitErrorDetails

from t2s.settings.base import JobSettings, setting_error
from t2s.training.board_config import BoardConfig
from t2s.training.merge_config import MergeConfig
from t2s.training.publish_config import PublishConfig
from t2s.training.train_config import TrainConfig


class TrainSettings(JobSettings, TrainConfig):
    """The job `train`: its `TrainConfig`."""

    model_config = JobSettings.model_config

    job: ClassVar[str] = "train"
    derived: ClassVar[Mapping[str, str]] = {"adapter_uri": "(<run_uri>/adapter)"}

    @classmethod
    def completed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """The adapter goes into the run, unless it is given another place."""
        result = dict(values)
        if result.get("adapter_uri") is None:
            result["adapter_uri"] = f"{str(result.get('run_uri')).rstrip('/')}/adapter"
        return result

    @classmethod
    def across_fields(cls, values: Mapping[str, Any]) -> Iterator[InitErrorDetails]:
        """One process is one worker."""
        executor, ray = values.get("executor"), values.get("ray")
        if isinstance(executor, Mapping) and executor.get("kind") == "process" and isinstance(ray, Mapping):
            if ray.get("num_workers", 1) != 1:
                yield setting_error(("ray", "num_workers"), "1 (executor.kind: process has one)", ray["num_workers"])


class BoardSettings(JobSettings, BoardConfig):
    """What `t2s board` can be told: a train config, and the page's own; what concerns the workers is left aside."""

    model_config = JobSettings.model_config

    job: ClassVar[str] = "board"

    @classmethod
    def completed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """What only train knows has no meaning here."""
        return {
            key: value
            for key, value in values.items()
            if key in cls.model_fields or key not in TrainConfig.model_fields
        }


class PublishSettings(JobSettings, PublishConfig):
    """What `t2s adapter publish` can be told; it writes nothing but its output."""

    model_config = JobSettings.model_config

    job: ClassVar[str] = "publish"
    derived: ClassVar[Mapping[str, str]] = {"run_uri": "(adapter_uri)"}

    @classmethod
    def completed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """There is no run: nothing but the adapter is written."""
        return {"run_uri": values.get("adapter_uri"), **values}


class MergeSettings(JobSettings, MergeConfig):
    """What `t2s merge` can be told; it writes nothing but its output."""

    model_config = JobSettings.model_config

    job: ClassVar[str] = "merge"
    derived: ClassVar[Mapping[str, str]] = {"run_uri": "(output_uri)"}

    @classmethod
    def completed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """There is no run: nothing but the merged model is written."""
        return {"run_uri": values.get("output_uri"), **values}
