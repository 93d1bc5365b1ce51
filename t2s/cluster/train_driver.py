"""The real driver of `train`: plan, workers, what is kept of it; on a cluster, or with a Ray of this machine's own."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import ray

from t2s import process_env
from t2s.cluster.training_workers import Workers
from t2s.environments import has_nvidia_gpu
from t2s.errors import ClusterError, T2SError
from t2s.job import Redactor
from t2s.plan_claim import claim
from t2s.run_record import RunRecord
from t2s.settings import secret_values
from t2s.settings.train import TrainSettings
from t2s.storage import Store, open_store
from t2s.training.adapter import AdapterManifest, read_manifest
from t2s.training.callback import HISTORY_KEY
from t2s.training.loss_plot import loss_plot
from t2s.training.train_plan import PLAN_KEY, TrainPlan, make_train_plan
from t2s.training.train_progress import TrainProgress

logger = logging.getLogger(__name__)

PLOT_KEY = "train/loss.png"

_OBJECT_STORE_BYTES = 200_000_000  # nothing but a task and log records goes through it


class Stop(Protocol):
    """A request to stop."""

    @property
    def requested(self) -> bool:
        """Whether it came."""


class LocalStop(Stop, Protocol):
    """The same from a signal to this process.

    Attributes:
        looks_itself: The main thread asks often enough whether a stop was requested.
    """

    looks_itself: bool

    def install(self) -> None:
        """Take the signals back, after `ray.init` took SIGTERM."""


def drive(settings: TrainSettings, stop: Stop) -> None:
    """Train with the workers of the cluster that this process is connected to."""
    progress = TrainProgress()
    with RunRecord(settings, settings.run_uri, plan_key=PLAN_KEY, progress=progress) as record:
        plan = plan_training(settings)
        if plan.published is None:
            _train(settings, plan, stop, record, progress)
        tell_result(settings.adapter_uri, plan.published)


def train_on_this_machine(settings: TrainSettings, stop: LocalStop) -> AdapterManifest:
    """Train with workers of a Ray that this process starts, and that ends with it.

    Raises:
        T2SError: Whatever went wrong.
        Stopped: A stop was requested; the checkpoint is stored.
    """
    progress = TrainProgress()
    with RunRecord(settings, settings.run_uri, plan_key=PLAN_KEY, progress=progress) as record:
        plan = plan_training(settings)
        if plan.published is None:
            with _own_ray(settings, plan, stop):
                _train(settings, plan, stop, record, progress)
        return tell_result(settings.adapter_uri, plan.published)


def plan_training(settings: TrainSettings) -> TrainPlan:
    """Check everything, and say what it found; see `make_train_plan`."""
    # No setting is meant to hold a secret, but a URI can be written with a password in it.
    redacted = json.loads(Redactor(secret_values())(json.dumps(settings.resolved(), ensure_ascii=False)))
    plan = make_train_plan(settings, redacted, use_gpu=uses_gpu(settings))
    examined = plan.examined
    logger.info(
        "%d examples, %s tokens, the longest has %d; %d a step; their tokens are those that predict uses%s",
        examined.num_examples, f"{examined.num_tokens:,}", examined.longest_tokens, plan.global_batch,
        f"; {examined.num_cut} are cut" if examined.num_cut else "",
    )  # fmt: skip
    return plan


def uses_gpu(settings: TrainSettings) -> bool:
    """Whether each worker has a GPU."""
    if settings.ray.num_gpus_per_worker is not None:
        return settings.ray.num_gpus_per_worker > 0
    return settings.executor.kind == "ray" or has_nvidia_gpu()


def tell_result(adapter_uri: str, published: AdapterManifest | None) -> AdapterManifest:
    """Log where the result is, and return its manifest."""
    manifest = published or read_manifest(open_store(adapter_uri))
    if manifest is None:
        raise T2SError(f"{adapter_uri}: wanted the result of this training, found none; run the same command again")
    losses = ", ".join(f"{name} {value:.4g}" for name, value in manifest.metrics.items() if "loss" in name)
    logger.info("%s: %s after %.0f steps, %s", adapter_uri, manifest.kind, manifest.metrics.get("steps", 0), losses)
    return manifest


def _train(settings: TrainSettings, plan: TrainPlan, stop: Stop, record: RunRecord, progress: TrainProgress) -> None:
    store = open_store(settings.run_uri)
    store.probe()
    claim(store, PLAN_KEY, plan.parts)
    record.begin(0, 0)
    process_env.prepare_ray_train()
    try:
        Workers(plan, settings.ray, progress, settings.log_level).run(stop)
    finally:
        record.end()
    _draw(store, settings.run_uri)


def _draw(store: Store, run_uri: str) -> None:
    history: list[dict[str, Any]] = json.loads(store.read(HISTORY_KEY))
    store.write(PLOT_KEY, loss_plot(history, run_uri.rstrip("/").rpartition("/")[2]))
    logger.info("loss plot: %s/%s", store.uri, PLOT_KEY)


@contextmanager
def _own_ray(settings: TrainSettings, plan: TrainPlan, stop: LocalStop) -> Iterator[None]:
    """A cluster of this machine alone, guarded by a token that nobody else has (`process_env.guard_own_ray`)."""
    process_env.prepare_ray_train()
    needed_cpus = settings.ray.num_workers * settings.ray.num_cpus_per_worker
    logger.info("starting Ray on this machine, for %d workers", settings.ray.num_workers)
    try:
        ray.init(
            address="local",
            # Threads take turns where there are fewer cores than workers ask for.
            num_cpus=max(os.cpu_count() or 1, round(needed_cpus + 0.5)),
            num_gpus=None if plan.task.use_gpu else 0,
            resources={settings.ray.resource: 1},
            object_store_memory=_OBJECT_STORE_BYTES,
            include_dashboard=False,
            configure_logging=False,
            log_to_driver=False,
        )
    except (RuntimeError, OSError, ValueError) as error:
        raise ClusterError(f"Ray does not start on this machine: {' '.join(str(error).split())[:500]}") from error
    stop.install()
    stop.looks_itself = True
    try:
        yield
    finally:
        stop.looks_itself = False
        ray.shutdown()
