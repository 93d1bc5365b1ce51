"""Bring models and datasets from a hub, a store or a folder into our storage, whole or not at all.

Here:    t2s run download configs/download_llama3.yaml
Submit:  t2s submit download configs/download_llama3.yaml --address http://127.0.0.1:8265
Reads:   source; MODELSCOPE_API_TOKEN, HF_TOKEN for what is gated
Writes:  {models_uri}/<name>/<revision>/ + manifest.json, {run_uri}/download/ (manifest, status)
Exit:    0 done, or nothing to do; 1 failed; 2 settings or input wrong; 3 stopped, run again to resume
"""

from __future__ import annotations

from pathlib import Path

from t2s.download import TransferProgress, download
from t2s.environments import find, has_nvidia_gpu, repository_root
from t2s.job import StopSignal, run_job
from t2s.progress import stdout_console
from t2s.run_record import RunRecord
from t2s.settings.download import DownloadSettings, hub_access


def predict_python() -> Path:
    """The interpreter that can convert the packaged small model."""
    return find("predict" if has_nvidia_gpu() else "predict-cpu", repository_root()).python


def main(settings: DownloadSettings, stop: StopSignal) -> None:
    """Plan, or download here, or launch on Ray."""
    if settings.dry_run:
        from t2s.download.plan import show_download_plan

        show_download_plan(settings, hub_access(), stdout_console())
        return
    if settings.executor.kind == "ray":
        from t2s.cluster.launch import launch

        launch("download", settings, stop)
        return
    progress = TransferProgress()
    with RunRecord(settings, settings.run_uri, progress=progress) as record:
        record.begin(0)
        done = download(settings, hub_access(), stop=stop, progress=progress, predict_python=predict_python)
        if settings.warm:
            from t2s.cluster.download_tasks import warm_nodes

            warm_nodes([one.uri for one in done], settings, stop)
    for one in done:
        print(f"{'published' if one.is_new else 'nothing to do, published before'}: {one.uri}")


if __name__ == "__main__":
    run_job(DownloadSettings, main)
