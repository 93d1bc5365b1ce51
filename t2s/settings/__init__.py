"""Settings: what a job can be told, and from where. Alone reads the environment.

    python jobs/predict.py configs/predict_sample.yaml engine.kind=scripted limit=3
    settings = PredictSettings.load()

`base.py` says how they are loaded.
"""

from __future__ import annotations

from t2s.settings.base import PREFIX, JobSettings, peek, ray_token, secret_values, variables_set
from t2s.settings.download import DownloadSettings
from t2s.settings.jobs import EvaluateSettings, PipelineSettings, PredictSettings, RayConfig
from t2s.settings.prepare import PrepareSettings
from t2s.settings.train import BoardSettings, MergeSettings, PublishSettings, TrainSettings

JOB_SETTINGS: dict[str, type[JobSettings]] = {
    settings_class.job: settings_class
    for settings_class in (
        DownloadSettings,
        PrepareSettings,
        TrainSettings,
        BoardSettings,
        MergeSettings,
        PublishSettings,
        PredictSettings,
        EvaluateSettings,
        PipelineSettings,
    )
}
"""Every job that takes settings, by name."""

__all__ = [
    "JOB_SETTINGS",
    "PREFIX",
    "BoardSettings",
    "DownloadSettings",
    "EvaluateSettings",
    "JobSettings",
    "MergeSettings",
    "PipelineSettings",
    "PredictSettings",
    "PrepareSettings",
    "PublishSettings",
    "RayConfig",
    "TrainSettings",
    "peek",
    "ray_token",
    "secret_values",
    "variables_set",
]
