"""Settings: what a job can be told, and from where. Alone reads the environment.

python jobs/predict.py configs/predict_sample.yaml engine.kind=scripted limit=3
PredictSettings.load()
"""

from __future__ import annotations

from t2s.settings.base import PREFIX, JobSettings, peek, ray_token, secret_values, variables_set
from t2s.settings.jobs import JOB_SETTINGS, EvaluateSettings, PipelineSettings, PredictSettings, RayConfig

__all__ = [
    "JOB_SETTINGS",
    "PREFIX",
    "EvaluateSettings",
    "JobSettings",
    "PipelineSettings",
    "PredictSettings",
    "RayConfig",
    "peek",
    "ray_token",
    "secret_values",
    "variables_set",
]
