"""Fine-tune a model on what prepare has written, with LLaMA-Factory in Ray Train's workers.

Here:    t2s run train configs/train_sample.yaml
Submit:  t2s submit train configs/train_cluster.yaml --address http://127.0.0.1:8265
Reads:   dataset_uri (prepare's output), model_uri
Writes:  {adapter_uri}/ (adapter, manifest), {run_uri}/train/ (checkpoints, history, loss.png, tensorboard, status)
Exit:    0 done; 1 failed; 2 settings or input wrong; 3 stopped, its checkpoint stored: run again to resume
"""

from __future__ import annotations

from t2s import process_env
from t2s.job import StopSignal, run_job
from t2s.progress import stdout_console
from t2s.settings.train import TrainSettings
from t2s.train import own_process_executor, train


def main(settings: TrainSettings, stop: StopSignal) -> None:
    """Plan, or train here, or launch on Ray."""
    if settings.dry_run:
        from t2s.train_report import show_train_plan

        show_train_plan(settings, stdout_console())
        return
    stop.grace_s = settings.stop_grace_s
    if settings.executor.kind == "ray":
        from t2s.cluster.launch import launch

        launch("train", settings, stop)
        return
    if settings.executor.kind == "process":
        execute = own_process_executor(stop)
    else:
        process_env.guard_own_ray()  # before ray is imported: it reads its token then
        from t2s.cluster.train_driver import own_ray_executor

        execute = own_ray_executor(settings, stop)
    manifest = train(settings, execute)
    losses = ", ".join(
        f"{name} {manifest.metrics[name]:.4g}" for name in ("loss", "eval_loss") if name in manifest.metrics
    )
    print(f"{manifest.metrics['steps']:.0f} steps, {losses}: {settings.adapter_uri}")


if __name__ == "__main__":
    run_job(TrainSettings, main)
