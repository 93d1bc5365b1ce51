"""Predict SQL for every turn of a dataset, one shard at a time.

Here:    t2s run predict configs/predict_sample.yaml
Submit:  t2s submit predict configs/predict_cluster.yaml --address http://127.0.0.1:8265
Reads:   dataset_uri, databases_uri, engine.model_uri, engine.adapter_uri (optional)
Writes:  {run_uri}/predictions/, {run_uri}/predictions.json, {run_uri}/predict/ (plan, manifest, status)
Exit:    0 done; 1 failed, or rows failed; 2 settings or input wrong; 3 stopped, run again to resume
"""

from __future__ import annotations

from t2s.job import StopSignal, run_job
from t2s.plan import PLAN_KEY
from t2s.predict import predict, run_shards_local
from t2s.progress import stdout_console
from t2s.run_record import RunRecord
from t2s.settings import PredictSettings


def main(settings: PredictSettings, stop: StopSignal) -> None:
    """Plan, or run here, or launch on Ray."""
    if settings.dry_run:
        from t2s.plan_report import show_plan

        show_plan(settings, stdout_console())
        return
    if settings.executor.kind == "ray":
        from t2s.cluster.launch import launch

        launch("predict", settings, stop)
        return
    with RunRecord(settings, settings.run_uri, plan_key=PLAN_KEY) as record:
        merged = predict(settings, run_shards_local, stop, record)
    print(f"{merged.num_turns} turns, {merged.num_errors} with an error: {settings.run_uri}/predictions.json")


if __name__ == "__main__":
    run_job(PredictSettings, main)
