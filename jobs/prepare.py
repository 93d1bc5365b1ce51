"""Turn a dataset into examples for training and a test part that training never sees.

Here:    t2s run prepare configs/prepare_sample.yaml
Submit:  t2s submit prepare configs/prepare_sample.yaml --address http://127.0.0.1:8265
Reads:   dataset_uri, databases_uri, predictions_uri, split.list_uri, the tokenizer of model_uri
Writes:  {output_uri}/train.json, {output_uri}/test.json, {output_uri}/sft/ (examples for LLaMA-Factory),
         {output_uri}/prepare/ (statistics, plan, manifest, status)
Exit:    0 done; 1 failed; 2 settings or input wrong; 3 stopped
"""

from __future__ import annotations

from t2s.job import StopSignal, run_job
from t2s.prepare import CHART_KEY, prepare
from t2s.progress import stdout_console
from t2s.run_record import RunRecord
from t2s.settings import PrepareSettings
from t2s.training.prepare_report import print_statistics, show_prepare_plan
from t2s.training.prepared import PLAN_KEY


def main(settings: PrepareSettings, stop: StopSignal) -> None:
    """Plan; or make the examples, print what was counted."""
    if settings.dry_run:
        show_prepare_plan(settings, stdout_console())
        return
    with RunRecord(settings, settings.output_uri, plan_key=PLAN_KEY) as record:
        outcome = prepare(settings, record)
    print_statistics(outcome.statistics, stdout_console())
    print(f"examples: {settings.output_uri}/sft, picture: {settings.output_uri}/{CHART_KEY}")


if __name__ == "__main__":
    run_job(PrepareSettings, main)
