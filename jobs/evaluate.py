"""Score a run's predictions: run their SQL and the gold SQL, compare the results.

Here:    t2s run evaluate configs/evaluate_sample.yaml
Submit:  t2s submit evaluate configs/evaluate_sample.yaml --address http://127.0.0.1:8265
Reads:   gold_uri, databases_uri, predictions_uri (default: {run_uri}/predictions.json)
Writes:  {run_uri}/report.json, {run_uri}/report.html, {run_uri}/evaluate/ (turns, manifest, status)
Exit:    0 done; 1 failed; 2 settings or input wrong; 3 stopped
"""

from __future__ import annotations

from pathlib import Path

from t2s.evaluate import evaluate_run
from t2s.job import StopSignal, run_job
from t2s.progress import stdout_console
from t2s.report.evaluate_plan import show_evaluate_plan
from t2s.report.terminal import print_report
from t2s.run_record import RunRecord
from t2s.settings import EvaluateSettings


def main(settings: EvaluateSettings, stop: StopSignal) -> None:
    """Plan; or score, write the report, print the table."""
    cache_dir = Path(settings.cache_dir).expanduser()
    if settings.dry_run:
        where = (settings.gold_uri, settings.databases_uri, settings.predictions_uri, settings.run_uri)
        show_evaluate_plan(*where, cache_dir, stdout_console(), settings.limit)
        return
    with RunRecord(settings, settings.run_uri) as record:
        report = evaluate_run(
            gold_uri=settings.gold_uri,
            run_uri=settings.run_uri,
            databases_uri=settings.databases_uri,
            predictions_uri=settings.predictions_uri,
            limit=settings.limit,
            history=settings.history,
            num_workers=settings.num_workers,
            limits=settings.limits,
            cache_dir=cache_dir,
            cache_max_bytes=settings.cache_max_bytes,
            on_progress=record.advance,
        )
    print_report(report, stdout_console())
    print(f"report: {settings.run_uri}/report.html (for programs: report.json)")


if __name__ == "__main__":
    run_job(EvaluateSettings, main)
