"""Training on Ray Train: a group of workers that is replaced when one of them dies, seen from the driver.

    driver                       Ray Train                                    the store
    TrainTask ── TorchTrainer ──> train_worker × num_workers                  train/checkpoints/…
        ^                         │  every second: steps, log records          ^
        └──── TrainDesk <─────────┘                                            │
        └── stop ──> TrainDesk ──> saves, at the end of the step, ─────────────┘

Ray Train starts the workers, sets up torch's process group, and starts all of them again when one dies; each then goes
on from the last checkpoint in the run's store. What is no matter of luck (a loss that is no number, memory, settings)
is told to the desk, and ends the job at once instead of being tried again.
"""

from __future__ import annotations

import functools
import logging
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import ray
from ray.exceptions import RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from t2s import process_env
from t2s.cluster.log_relay import LogRelay, say_again
from t2s.cluster.ray_errors import named, told
from t2s.cluster.resources import RESOURCE_SHARE, describe_live_nodes, wait_until_placeable
from t2s.errors import ClusterError, Stopped, T2SError, TrainError
from t2s.training.gpu_speed import device_name
from t2s.training.llamafactory_run import TrainTask, run_training
from t2s.training.ranks import Ranks
from t2s.training.train_config import TrainRayConfig
from t2s.training.train_plan import TrainPlan
from t2s.training.train_progress import StepReport, TrainProgress

logger = logging.getLogger(__name__)

REPORT_INTERVAL_S = 1.0
SILENT_S = 120.0
"""Workers that nothing was heard of for so long are being replaced, or wait for a node."""

MAX_FRUITLESS_STARTS = 3
"""Groups that fail so often in a row without a single step between them do not fail of a node."""


class Stop(Protocol):
    """A request to stop."""

    @property
    def requested(self) -> bool:
        """Whether it came."""


class News(NamedTuple):
    """What workers have said since the last time.

    Attributes:
        steps: Reports of the first worker.
        records: Their log.
        devices: One for each start of the group: torch's name of the first worker's GPU, or "cpu".
        troubles: Errors after which Ray Train starts the group again.
        failure: An error that ends the job: its class and text.
        silent_s: Time since anything was heard.
    """

    steps: list[StepReport]
    records: list[logging.LogRecord]
    devices: list[str]
    troubles: list[str]
    failure: tuple[str, str] | None
    silent_s: float


class TrainDesk:
    """Between the driver and its workers. A Ray actor that takes no CPU."""

    def __init__(self) -> None:
        self._news = News([], [], [], [], None, 0.0)
        self._heard_at = time.monotonic()
        self._stop = False

    def hello(self, device: str) -> None:
        """The first worker of a group starts."""
        self._heard_at = time.monotonic()
        self._news.devices.append(device)

    def report(self, steps: list[StepReport], records: list[logging.LogRecord]) -> bool:
        """A worker is alive; returns whether it must save and end."""
        self._heard_at = time.monotonic()
        self._news.steps.extend(steps)
        self._news.records.extend(records)
        return self._stop

    def trouble(self, text: str) -> None:
        """A worker fails and may be started again."""
        self._news.troubles.append(text)

    def fail(self, kind: str, message: str) -> None:
        """The job must end; the first one counts."""
        if self._news.failure is None:
            self._news = self._news._replace(failure=(kind, message))

    def drain(self, stop: bool) -> News:
        """What was said since the last call; `stop` goes to the workers."""
        self._stop = self._stop or stop
        news = self._news._replace(silent_s=time.monotonic() - self._heard_at)
        self._news = News([], [], [], [], news.failure, 0.0)
        return news


class WorkerLink:
    """A worker's side: a thread that reports every second and hears of a stop."""

    def __init__(self, desk: Any, log: LogRelay) -> None:
        self._desk, self._log = desk, log
        self._steps: queue.SimpleQueue[StepReport] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._closed = threading.Event()
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._thread.start()

    @property
    def stop_requested(self) -> bool:
        """Whether the training must save and end."""
        return self._stop.is_set()

    def report(self, report: StepReport) -> None:
        """A step is done."""
        self._steps.put(report)
        self._woken.set()

    def close(self) -> None:
        """Report the rest."""
        self._closed.set()
        self._woken.set()
        self._thread.join(10)

    def _run(self) -> None:
        with suppress(RayActorError):  # the driver has gone, and this process goes with it
            while not self._closed.wait(REPORT_INTERVAL_S / 4):
                self._woken.wait(REPORT_INTERVAL_S)
                self._woken.clear()
                self._send()
            self._send()

    def _send(self) -> None:
        steps = []
        with suppress(queue.Empty):
            while True:
                steps.append(self._steps.get_nowait())
        if ray.get(self._desk.report.remote(steps, self._log.take())):
            self._stop.set()


def train_worker(task: TrainTask, desk: Any, variables: Mapping[str, str], log_level: str) -> None:
    """What Ray Train runs in each worker, in a thread beside the one that it asks for the worker's health."""
    import ray.train

    process_env.adopt(variables)
    context = ray.train.get_context()
    ranks = Ranks(context.get_local_rank(), context.get_node_rank())
    log = LogRelay(f"worker {ranks.rank}" if ranks.world_size > 1 else "")
    log.install(log_level)
    link = WorkerLink(desk, log)
    try:
        if ranks.is_first:
            ray.get(desk.hello.remote(device_name(task.use_gpu)))
        run_training(task, ranks, link)
    except T2SError as error:
        link.close()
        ray.get(desk.fail.remote(type(error).__name__, str(error)))
        time.sleep(SILENT_S)  # the driver ends this process; raising would only make Ray Train start another
        raise
    except Exception as error:
        logger.info("worker %d failed", ranks.rank, exc_info=error)
        ray.get(
            desk.trouble.remote(f"worker {ranks.rank}: {type(error).__name__}: {' '.join(str(error).split())[:500]}")
        )
        raise
    finally:
        link.close()


class Trainer:
    """Runs Ray Train in an actor: `fit` cannot be interrupted, an actor can, and takes all that it started along."""

    def fit(self, work: Callable[[], None], config: TrainRayConfig, wanted: dict[str, float], folder: str) -> None:
        """Return when all workers have ended well.

        Args:
            work: What each worker does.
            config: How many there are, and how often they are replaced.
            wanted: What each asks of the cluster.
            folder: For notes of Ray Train's own; checkpoints go to the run's store.
        """
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        TorchTrainer(
            work,
            scaling_config=ScalingConfig(
                num_workers=config.num_workers, use_gpu="GPU" in wanted, resources_per_worker=wanted
            ),
            run_config=RunConfig(
                name="train",
                storage_path=folder,
                failure_config=FailureConfig(max_failures=config.max_restarts),
                worker_runtime_env={"py_executable": config.py_executable} if config.py_executable else None,
            ),
        ).fit()


class Workers:
    """One training on the cluster, seen from the driver. Ray must be connected.

    Args:
        plan: What to do.
        config: How many workers, and what each asks of the cluster.
        progress: Shows it.
        log_level: Of the workers' own log records.
    """

    def __init__(self, plan: TrainPlan, config: TrainRayConfig, progress: TrainProgress, log_level: str) -> None:
        self._plan, self._config, self._progress, self._log_level = plan, config, progress, log_level
        gpus = (config.num_gpus_per_worker or 1.0) if plan.task.use_gpu else 0.0
        wanted = {config.resource: RESOURCE_SHARE, "GPU": gpus, "CPU": config.num_cpus_per_worker or 1.0}
        self._wanted = {name: amount for name, amount in wanted.items() if amount > 0}
        self._has_begun = False
        self._fruitless_starts = 0
        self._last_trouble = ""

    def run(self, stop: Stop) -> None:
        """Return when the result is published.

        Raises:
            Stopped: A stop was requested; what could be saved is.
            ClusterError: The workers cannot be placed, or were lost too often.
            TrainError: Training cannot go on.
        """
        number = self._config.num_workers
        wait_until_placeable(self._wanted, "a worker of train", self._config.wait_for_resources_s, stop, count=number)
        logger.info(
            "%d workers, each takes %s",
            number, ", ".join(f"{name} {amount:g}" for name, amount in self._wanted.items()),
        )  # fmt: skip
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        beside_us = {"num_cpus": 0, "scheduling_strategy": here}
        desk = ray.remote(**beside_us)(TrainDesk).remote()
        trainer = ray.remote(**beside_us)(Trainer).remote()
        # As data for the workers alone: Ray Train keeps its own configurations, and may show them.
        work = functools.partial(train_worker, self._plan.task, desk, process_env.carried(), self._log_level)
        try:
            with tempfile.TemporaryDirectory(prefix="t2s-ray-train-") as folder:
                self._follow(trainer.fit.remote(work, self._config, self._wanted, folder), desk, stop)
        finally:
            ray.kill(trainer)
            ray.kill(desk)

    def _follow(self, fitted: Any, desk: Any, stop: Stop) -> None:
        next_report_s, asked_at = SILENT_S, 0.0
        while True:
            ended, _ = ray.wait([fitted], timeout=REPORT_INTERVAL_S / 2)  # before the news: none can come after it
            news: News = ray.get(desk.drain.remote(stop.requested))
            self._take(news)
            if ended:
                return self._check_end(fitted)
            if stop.requested:
                asked_at = asked_at or time.monotonic()
                # What workers have begun, the desk hears of within a second; where they have not, nothing is lost.
                if not self._has_begun and time.monotonic() - asked_at > 3 * REPORT_INTERVAL_S:
                    raise Stopped("stopped before a step was done; running the same command again goes on")
            if news.silent_s < SILENT_S:
                next_report_s = SILENT_S
            elif news.silent_s > max(self._config.wait_for_resources_s, SILENT_S):
                raise ClusterError(
                    f"train: nothing was heard of its workers for {news.silent_s:.0f} s (ray.wait_for_resources_s): "
                    f"wanted {self._config.num_workers} times {self._wanted}; there is: {describe_live_nodes()}. "
                    "Running the same command again goes on from the last checkpoint"
                )
            elif news.silent_s > next_report_s:
                next_report_s += SILENT_S
                logger.warning(
                    "nothing was heard of the workers for %.0f s; %.0f s are waited for", news.silent_s,
                    self._config.wait_for_resources_s,
                )  # fmt: skip

    def _take(self, news: News) -> None:
        say_again(news.records)
        for text in news.troubles:
            self._last_trouble = text
            logger.warning("%s; the workers are started again from the last checkpoint", text)
        for device in news.devices:
            self._start(device)
        for step in news.steps:
            if self._has_begun:
                self._fruitless_starts = 0  # the first report of a group says only where it begins
            self._has_begun = True
            self._progress.report(step)
        if news.failure is not None:
            raise named(*news.failure)
        if self._fruitless_starts >= MAX_FRUITLESS_STARTS:
            raise TrainError(
                f"the workers failed {self._fruitless_starts} times in a row without a step between: "
                f"{self._last_trouble or 'their processes died; the node may lack memory'}"
            )

    def _start(self, device: str) -> None:
        self._fruitless_starts += 1
        self._has_begun = False
        self._progress.started(self._plan.flops_per_token, device, self._config.num_workers)

    def _check_end(self, fitted: Any) -> None:
        try:
            ray.get(fitted)
        except RayError as error:
            raise ClusterError(
                f"train: its workers were lost more often than ray.max_restarts allows ({self._config.max_restarts}), "
                f"or Ray Train itself was: {self._last_trouble or told(error)}; running the same command again goes on "
                "from the last checkpoint"
            ) from error
