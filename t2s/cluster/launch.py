"""On Ray a job's own process only launches: the real driver runs where the cluster offers the job's resource.

    jobs/predict.py (on the head, or wherever Ray put it)          a node with t2s_predict, in its environment
    launch("predict", settings, stop)  ── settings, variables ──>  JobDriver.run -> predict(settings, ray_executor(…))
            ^── log records, every half second ─────────────────────────┤
            └── stop ──────────────────────────────────────────────────>┘  the end: an error's class and text, or none

The driver is an actor, not a task: while it works it must also hear of a stop and give its log away. Its log is said
again by the launcher's handlers, so that `t2s run`, `t2s submit` and `ray job logs` show one log in one form. A driver
whose process or node dies is started again: what was committed stays, the rest is done once more.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import ray
from ray.exceptions import RayActorError, RayError

from t2s import process_env
from t2s.cluster.log_relay import LogRelay, say_again
from t2s.cluster.ray_errors import named, told
from t2s.cluster.resources import RESOURCE_SHARE, wait_until_placeable
from t2s.errors import ClusterError, Stopped, T2SError
from t2s.settings import JobSettings, RayConfig

logger = logging.getLogger(__name__)

DRIVERS = {
    "predict": "t2s.cluster.predict_driver:drive",
    "train": "t2s.cluster.train_driver:drive",
    "download": "t2s.cluster.download_tasks:drive",
}
"""What the real driver of a job calls, with its settings and a `RemoteStop`."""

CONNECT_TIMEOUT_S = 10.0
POLL_S = 0.5
STOP_GRACE_S = 17.0
"""Of the 20 s that a stopped job has, what the driver gets; its engines get less (`shard_pool`). A job whose settings
have `stop_grace_s` has that instead of the 20 s."""

START_S = 180.0
"""A driver's process and its imports: 5 s alone, 60 s on a node that is busy."""

MAX_DRIVER_DEATHS = 3
STEADY_S = 600.0
"""Drivers that die so often in a row, each before it was `STEADY_S` old, die of the job and not of their nodes."""


class Stop(Protocol):
    """The launcher's request to stop, from a signal."""

    @property
    def requested(self) -> bool:
        """Whether it came."""

    def install(self) -> None:
        """Take the signals back, after `ray.init` took SIGTERM."""

    def add_callback(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        """Have `callback` called in `loop` when it comes (at once if it has come)."""


class RaySettings(Protocol):
    """Settings of a job that can run on Ray."""

    @property
    def ray(self) -> RayConfig:
        """What the job asks of the cluster."""


class _End(NamedTuple):
    """How the driver's work ended: `error_kind` is "" or a class of `errors`."""

    error_kind: str = ""
    message: str = ""


class RemoteStop:
    """A stop as the real driver sees it; the launcher asks for it through the `JobDriver`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requested = False
        self._callbacks: list[tuple[asyncio.AbstractEventLoop, Callable[[], object]]] = []

    @property
    def requested(self) -> bool:
        """Whether it came."""
        return self._requested

    def add_callback(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        """Have `callback` called in `loop` when it comes (at once if it has come)."""
        with self._lock:
            self._callbacks.append((loop, callback))
            if self._requested:
                loop.call_soon_threadsafe(callback)

    def request(self) -> None:
        """Ask for a stop; again is no harm."""
        with self._lock:
            listening = [] if self._requested else self._callbacks
            self._requested = True
            for loop, callback in listening:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(callback)


class JobDriver:
    """The real driver of one job, a Ray actor of two threads: one works, one hears of a stop and gives the log away.

    No event loop: Ray Data waits for objects in ways that Ray complains of in an actor that has one.
    """

    def __init__(self, log_level: str, variables: Mapping[str, str]) -> None:
        process_env.adopt(variables)
        self._stop = RemoteStop()
        self._log = LogRelay()
        self._log.install(log_level)

    def poll(self, stop: bool) -> list[logging.LogRecord]:
        """The log since the last call; asks for a stop if `stop`."""
        if stop:
            self._stop.request()
        return self._log.take()

    def run(self, job: str, settings: JobSettings) -> _End:
        """Do the job's work to its end."""
        module, _, function = DRIVERS[job].partition(":")
        try:
            getattr(importlib.import_module(module), function)(settings, self._stop)
        except T2SError as error:
            return _End(type(error).__name__, str(error))
        except Exception as error:  # said here, where the traceback is; the launcher gets one line
            logger.error("unexpected %s", type(error).__name__, exc_info=error)
            return _End("T2SError", f"unexpected {type(error).__name__}: {error} (the traceback is in the log above)")
        return _End()


def launch(job: str, settings: JobSettings, stop: Stop) -> None:
    """Run a job's real driver on the cluster, show its log, return when it is done.

    Args:
        job: A key of `DRIVERS`.
        settings: Of the job; has a `ray` block.
        stop: Taken to the driver, which then has `STOP_GRACE_S`, or what the settings' own `stop_grace_s` leaves.

    Raises:
        T2SError: What the driver raised, by its own class.
        ClusterError: The cluster cannot be reached, refuses, lacks what the job needs, or lost the driver too often.
        Stopped: A stop was requested.
    """
    config: RayConfig = settings.ray  # type: ignore[attr-defined]
    connect(config.address)
    stop.install()
    try:
        wanted = {config.resource: RESOURCE_SHARE}
        wait_until_placeable(wanted, f"the driver of {job}", config.wait_for_resources_s, stop)
        asyncio.run(_Launch(job, settings, config, stop).follow())
    except RayError as error:
        raise ClusterError(f"{job}: {told(error)}") from error
    finally:
        ray.shutdown()


def connect(address: str | None) -> None:
    """Connect this process to a running cluster.

    Args:
        address: Host and port; None: the cluster that this job was submitted to, RAY_ADDRESS, or this machine's.

    Raises:
        ClusterError: There is none, it does not answer, or it refuses the token.
    """
    if ray.is_initialized():
        return
    address = address or process_env.ray_addresses().get("RAY_ADDRESS")
    where = address or "the cluster of this machine (neither ray.address nor RAY_ADDRESS is set)"
    if address is not None and address != "auto":
        _knock(address)
    try:
        ray.init(address=address or "auto", configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        causes = _causes(error)
        if any("AuthToken" in cause or "uthentication" in cause for cause in causes):
            raise ClusterError(
                f"{where}: the cluster is guarded by a token, and this process has none or a wrong one: set "
                "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH)"
            ) from error
        raise ClusterError(f"{where}: wanted a running Ray cluster, found: {told(error)}") from error


def _knock(address: str) -> None:
    """Fail within 10 s where nothing listens: `ray.init` tries for a quarter of an hour."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        raise ClusterError(
            f"{address}: wanted HOST:PORT of a running Ray cluster (port 6379), or a job submitted to it"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ClusterError(f"{address}: wanted a running Ray cluster, found no answer ({error})") from error


class _Launch:
    """Follows one driver after the other until one has ended the job."""

    def __init__(self, job: str, settings: JobSettings, config: RayConfig, stop: Stop) -> None:
        self._job, self._settings, self._config, self._stop = job, settings, config, stop
        self._stopping = asyncio.Event()
        self._stop_by = float("inf")
        own_grace_s: float | None = getattr(settings, "stop_grace_s", None)
        # As of the 20 s, 3 are the launcher's own.
        self._grace_s = STOP_GRACE_S if own_grace_s is None else max(own_grace_s - 3, 1.0)

    async def follow(self) -> None:
        """Return when the job is done; raise what it raised."""
        self._stop.add_callback(asyncio.get_running_loop(), self._stopping.set)
        num_deaths = 0
        while True:
            began = time.monotonic()
            try:
                end = await self._follow_one()
            except RayActorError as error:
                num_deaths = num_deaths + 1 if time.monotonic() - began < STEADY_S else 1
                if self._stopping.is_set():
                    raise Stopped(f"{self._job} stopped; what was complete is committed") from error
                if num_deaths >= MAX_DRIVER_DEATHS:
                    raise ClusterError(
                        f"{self._job}: the driver died {num_deaths} times in a row: {told(error)}"
                    ) from error
                logger.warning("the driver of %s died, starting it again: %s", self._job, told(error))
                continue
            break
        if end.error_kind:
            raise named(end.error_kind, end.message)

    async def _follow_one(self) -> _End:
        driver = self._new_driver()
        try:
            await self._started(driver)
            work = asyncio.ensure_future(_awaited(driver.run.remote(self._job, self._settings)))
            while not work.done():
                self._check_deadline()
                with suppress(RayActorError):  # `work` ends with the same error, or goes on
                    say_again(await driver.poll.remote(self._stopping.is_set()))
                await asyncio.wait([work], timeout=POLL_S)
            end: _End = work.result()
            say_again(await driver.poll.remote(False))
            return end
        finally:
            ray.kill(driver)

    async def _started(self, driver: Any) -> None:
        """Wait for the driver's process; without an end Ray itself tries again for ever where it cannot start."""
        first_answer = asyncio.ensure_future(_awaited(driver.poll.remote(False)))
        stopped = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait([first_answer, stopped], timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if first_answer.done():
            say_again(first_answer.result())
        elif self._stopping.is_set():
            raise Stopped(f"{self._job} stopped before its driver had started")
        else:
            interpreter = self._config.py_executable or "the node's own Python"
            raise ClusterError(
                f"{self._job}: the driver's process has not started within {START_S:.0f} s on a node with "
                f"{self._config.resource}: wanted Ray {ray.__version__} and t2s in {interpreter} (ray.py_executable); "
                "raylet.err on the node says what happened"
            )

    def _new_driver(self) -> Any:
        runtime_env = {"py_executable": self._config.py_executable} if self._config.py_executable else None
        actor_class = ray.remote(
            num_cpus=0, resources={self._config.resource: RESOURCE_SHARE}, runtime_env=runtime_env, max_concurrency=2
        )(JobDriver)
        return actor_class.remote(self._settings.log_level, process_env.carried())

    def _check_deadline(self) -> None:
        if not self._stopping.is_set():
            return
        self._stop_by = min(self._stop_by, time.monotonic() + self._grace_s)
        if time.monotonic() > self._stop_by:
            raise Stopped(
                f"{self._job} stopped, not orderly within {self._grace_s:.0f} s; what was complete is committed"
            )


async def _awaited(reference: Any) -> Any:
    return await reference


def _causes(error: BaseException) -> list[str]:
    return traceback.format_exception(error)
