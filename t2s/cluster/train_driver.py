"""Executors of `train` on Ray: a cluster's workers, or a Ray of this machine's own."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from t2s import process_env
from t2s.cluster.training_workers import Workers
from t2s.errors import ClusterError
from t2s.settings.train import TrainSettings
from t2s.train import Execute, LocalStop, Stop, train
from t2s.training.train_config import TrainRayConfig
from t2s.training.train_plan import TrainPlan
from t2s.training.train_progress import TrainProgress

logger = logging.getLogger(__name__)

_OBJECT_STORE_BYTES = 200_000_000  # nothing but a task and log records goes through it


def drive(settings: TrainSettings, stop: Stop) -> None:
    """Train with the workers of the cluster that this process is connected to."""

    def execute(plan: TrainPlan, progress: TrainProgress) -> None:
        process_env.prepare_ray_train()
        Workers(plan, settings.ray, progress, settings.log_level).run(stop)

    train(settings, execute)


def own_ray_executor(settings: TrainSettings, stop: LocalStop) -> Execute:
    """Train with workers of a Ray that this process starts, and that ends with it.

    `process_env.guard_own_ray` must have been called before this module was imported.
    """

    def execute(plan: TrainPlan, progress: TrainProgress) -> None:
        process_env.prepare_ray_train()
        config = settings.ray
        if config.num_cpus_per_worker is None and not plan.task.use_gpu:
            # Ray gives torch as many threads as a worker has CPUs, and nothing else here needs them.
            cpus = max(1, len(os.sched_getaffinity(0)) // config.num_workers)
            config = config.model_copy(update={"num_cpus_per_worker": float(cpus)})
        with _own_ray(config, plan, stop):
            Workers(plan, config, progress, settings.log_level).run(stop)

    return execute


@contextmanager
def _own_ray(config: TrainRayConfig, plan: TrainPlan, stop: LocalStop) -> Iterator[None]:
    """A cluster of this machine alone, guarded by a token that nobody else has."""
    needed_cpus = config.num_workers * (config.num_cpus_per_worker or 1.0)
    logger.info("starting Ray on this machine, for %d workers", config.num_workers)
    try:
        ray.init(
            address="local",
            # Threads take turns where there are fewer cores than workers ask for.
            num_cpus=max(os.cpu_count() or 1, round(needed_cpus + 0.5)),
            num_gpus=None if plan.task.use_gpu else 0,
            resources={config.resource: 1},
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
