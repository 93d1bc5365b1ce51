"""Publish an adapter that LLaMA-Factory's web page or its own command has trained, for predict's `engine.adapter_uri`.

Here:    t2s adapter publish FOLDER adapters/mine model_uri=sample dataset_uri=runs/sample/prepared
         python jobs/publish.py folder_uri=FOLDER adapter_uri=adapters/mine model_uri=… dataset_uri=…
Reads:   folder_uri (as LLaMA-Factory leaves it), model_uri (its base model), dataset_uri (prepare's output)
Writes:  {adapter_uri}/ (adapter, manifest)
Exit:    0 done, or it was there already; 1 failed; 2 settings or input wrong, or another adapter is there
"""

from __future__ import annotations

from t2s.job import StopSignal, run_job
from t2s.settings.train import PublishSettings
from t2s.training.publish_adapter import publish_adapter


def main(settings: PublishSettings, stop: StopSignal) -> None:
    """Check and publish."""
    manifest, was_there = publish_adapter(settings)
    said = "was there already, nothing was written" if was_there else "published"
    print(f"{said}: {settings.adapter_uri}, digest {manifest.digest[:12]}")


if __name__ == "__main__":
    run_job(PublishSettings, main)
