"""What the real driver of `predict` does on the cluster."""

from __future__ import annotations

from t2s.cluster.shard_pool import ray_executor
from t2s.plan import PLAN_KEY
from t2s.predict import Stop, predict
from t2s.run_record import RunRecord
from t2s.settings import PredictSettings


def drive(settings: PredictSettings, stop: Stop) -> None:
    """Predict with the engines of the cluster."""
    with RunRecord(settings, settings.run_uri, plan_key=PLAN_KEY) as record:
        predict(settings, ray_executor(settings), stop, record)
