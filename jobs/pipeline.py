"""Run jobs in order, each in its own environment; then compare what was scored.

Here:    t2s run pipeline configs/pipeline_sample.yaml
Reads:   the settings files of its steps, and what those name
Writes:  {run_uri}/pipeline/ (which steps are finished), {run_uri}/comparison.json; the steps write as they do alone
Exit:    0 done; 1 a step failed; 2 settings wrong, of any step; 3 stopped, run again to go on with the same step
"""

from __future__ import annotations

from t2s.job import StopSignal, run_job
from t2s.pipeline import load_steps, run_pipeline, show_end
from t2s.progress import stdout_console
from t2s.settings import PipelineSettings


def main(settings: PipelineSettings, stop: StopSignal) -> None:
    """Load every step's settings; list them, or run them."""
    steps = load_steps(settings, settings.run_uri)
    if settings.dry_run:
        for number, step in enumerate(steps, 1):
            print(f"{number}. {step.name}: {step.job} {' '.join(step.words)}")
        return
    run_pipeline(steps, settings.run_uri, stop)
    if settings.compare:
        show_end(steps, settings.compare, settings.run_uri, stdout_console())


if __name__ == "__main__":
    run_job(PipelineSettings, main)
