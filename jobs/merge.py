"""Merge an adapter into its base model, for predict's `engine.model_uri`.

Here:    t2s merge runs/mine/adapter models/mine
         python jobs/merge.py adapter_uri=runs/mine/adapter output_uri=models/mine
Reads:   adapter_uri (as train has published it), its base model
Writes:  {output_uri}/ (model, manifest)
Exit:    0 done; 1 failed; 2 settings or input wrong
"""

from __future__ import annotations

from t2s.job import StopSignal, run_job
from t2s.settings.train import MergeSettings
from t2s.training.merge_adapter import merge_adapter


def main(settings: MergeSettings, stop: StopSignal) -> None:
    """Merge and publish."""
    manifest = merge_adapter(settings)
    print(f"merged: {settings.output_uri}, digest {manifest.digest[:12]}")


if __name__ == "__main__":
    run_job(MergeSettings, main)
