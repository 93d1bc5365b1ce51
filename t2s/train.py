"""The job train: plan it, let an executor do it, keep what it comes to.

The work itself is LLaMA-Factory's, in Ray Train's workers (`cluster.train_driver`) or in this process.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, Protocol

from t2s.environments import has_nvidia_gpu, nvidia_smi
from t2s.errors import T2SError
from t2s.job import Redactor
from t2s.plan_claim import claim
from t2s.run_record import RunRecord
from t2s.settings import secret_values
from t2s.settings.train import TrainSettings
from t2s.storage import Store, open_store
from t2s.training.adapter import AdapterManifest, read_manifest
from t2s.training.checkpoints import HISTORY_KEY
from t2s.training.memory_estimate import demand_room
from t2s.training.train_plan import PLAN_KEY, TrainPlan, make_train_plan
from t2s.training.train_progress import StepReport, TrainProgress

logger = logging.getLogger(__name__)

PLOT_KEY = "train/loss.png"

Execute = Callable[[TrainPlan, TrainProgress], None]
"""Trains to the end; returns when the result is published."""


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


def train(settings: TrainSettings, execute: Execute) -> AdapterManifest:
    """Run the job to its end; a second call with the same settings resumes or does nothing.

    Raises:
        InputError: Settings, examples or model are wrong, or the run_uri belongs to another plan; nothing was started.
        Stopped: A stop was requested; the checkpoint is stored.
        TrainError: Training cannot go on.
    """
    progress = TrainProgress()
    with RunRecord(settings, settings.run_uri, plan_key=PLAN_KEY, progress=progress) as record:
        plan = plan_training(settings)
        if plan.published is None:
            store = open_store(settings.run_uri)
            store.probe()
            claim(store, PLAN_KEY, plan.parts)
            record.begin(1, 0)  # something is to do; how many steps, the workers say
            try:
                execute(plan, progress)
            finally:
                record.end()
            _draw(store, settings.run_uri)
        return _result(settings.adapter_uri)


def own_process_executor(stop: LocalStop) -> Execute:
    """Train in this very process, with one worker and without Ray."""

    def execute(plan: TrainPlan, progress: TrainProgress) -> None:
        from t2s.training.gpu_speed import device_name
        from t2s.training.llamafactory_run import run_training
        from t2s.training.ranks import Ranks

        progress.started(plan.flops_per_token, device_name(plan.task.use_gpu), num_workers=1)
        stop.looks_itself = True
        try:
            run_training(plan.task, Ranks(), _OwnLink(progress, stop))
        finally:
            stop.looks_itself = False

    return execute


class _OwnLink:
    """A worker's link to itself."""

    def __init__(self, progress: TrainProgress, stop: Stop) -> None:
        self._progress, self._stop = progress, stop

    @property
    def stop_requested(self) -> bool:
        return self._stop.requested

    def report(self, report: StepReport) -> None:
        self._progress.report(report)


def uses_gpu(settings: TrainSettings) -> bool:
    """Whether each worker has a GPU."""
    if settings.ray.num_gpus_per_worker is not None:
        return settings.ray.num_gpus_per_worker > 0
    return settings.executor.kind == "ray" or has_nvidia_gpu()


def plan_training(settings: TrainSettings) -> TrainPlan:
    """Check everything, and log what was found; see `make_train_plan`."""
    # No setting is meant to hold a secret, but a URI can be written with a password in it.
    redacted = json.loads(Redactor(secret_values())(json.dumps(settings.resolved(), ensure_ascii=False)))
    plan = make_train_plan(settings, redacted, use_gpu=uses_gpu(settings))
    if plan.task.use_gpu and settings.executor.kind != "ray":  # on a cluster the workers look at their own
        _demand_room(plan)
    examined = plan.examined
    logger.info(
        "%d examples, %s tokens, the longest has %d; %d a step; their tokens are those that predict uses%s",
        examined.num_examples, f"{examined.num_tokens:,}", examined.longest_tokens, plan.global_batch,
        f"; {examined.num_cut} are cut" if examined.num_cut else "",
    )  # fmt: skip
    return plan


def _demand_room(plan: TrainPlan) -> None:
    """The smallest GPU of this machine must hold a worker."""
    lines = nvidia_smi("--query-gpu=memory.total,name", "--format=csv,noheader,nounits")
    if not lines:
        return
    room_mib, _, name = min(lines, key=lambda line: float(line.partition(",")[0])).partition(",")
    demand_room(
        plan.task.args,
        plan.shape,
        plan.examined.longest_tokens,
        float(room_mib) / 1024,
        name.strip(),
        refuse=plan.task.refuse_memory,
    )


def _draw(store: Store, run_uri: str) -> None:
    from t2s.training.loss_plot import loss_plot

    history: list[dict[str, Any]] = json.loads(store.read(HISTORY_KEY))
    try:
        picture = loss_plot(history, run_uri.rstrip("/").rpartition("/")[2])
    except ImportError as error:  # the training is done: not for want of a picture does it fail
        logger.warning("no loss plot: it needs the package %s", error.name)
        return
    store.write(PLOT_KEY, picture)
    logger.info("loss plot: %s/%s", store.uri, PLOT_KEY)


def _result(adapter_uri: str) -> AdapterManifest:
    manifest = read_manifest(open_store(adapter_uri))
    if manifest is None:
        raise T2SError(f"{adapter_uri}: wanted the result of this training, found none; run the same command again")
    losses = ", ".join(f"{name} {value:.4g}" for name, value in manifest.metrics.items() if "loss" in name)
    logger.info("%s: %s after %.0f steps, %s", adapter_uri, manifest.kind, manifest.metrics.get("steps", 0), losses)
    return manifest
