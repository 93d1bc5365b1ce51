"""Settings of the job `prepare`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic_core import InitErrorDetails

from t2s.prepare_config import PrepareConfig, conflicts
from t2s.settings.base import JobSettings, setting_error, with_databases


class PrepareSettings(JobSettings, PrepareConfig):
    """The job `prepare`: its `PrepareConfig`; manifest and status go where the examples go."""

    model_config = JobSettings.model_config

    job: ClassVar[str] = "prepare"
    derived: ClassVar[Mapping[str, str]] = {
        "databases_uri": "(database/ beside the dataset)",
        "run_uri": "(output_uri)",
    }

    @classmethod
    def completed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Databases stand beside the dataset; the record of the job stands in its output."""
        result = with_databases(values, "dataset_uri")
        if result.get("run_uri") is None and result.get("output_uri") is not None:
            result["run_uri"] = result["output_uri"]
        return result

    @classmethod
    def across_fields(cls, values: Mapping[str, Any]) -> Iterator[InitErrorDetails]:
        """What does not go together."""
        for conflict in conflicts(values):
            yield setting_error(conflict.key, conflict.wanted, conflict.found)
