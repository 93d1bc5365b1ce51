"""Keeps the record of one job in its run: progress on stderr, `status.json` and `manifest.json` in the store.

    with RunRecord(settings, settings.run_uri, plan_key=PLAN_KEY) as record:
        predict(settings, run_shards_local, stop, record)

Nothing is written before `begin`: a run_uri that belongs to another plan keeps its manifest untouched.
"""

from __future__ import annotations

import json
import logging
from types import TracebackType
from typing import Any, Protocol, Self

from t2s.errors import Stopped, StorageError
from t2s.job import Redactor
from t2s.manifest import (
    Manifest,
    State,
    StatusWriter,
    finish_manifest,
    read_manifest,
    read_status,
    start_manifest,
)
from t2s.prediction import Measurement
from t2s.progress import Progress
from t2s.settings import JobSettings, secret_values
from t2s.storage import open_store

logger = logging.getLogger(__name__)


class Numbers(Protocol):
    """What a moment's progress is in `status.json`."""

    def _asdict(self) -> dict[str, Any]:
        """By name."""


class Counting(Protocol):
    """Counts a job's work and shows it."""

    def begin(self, total: int, done: int = 0, /) -> None:
        """Show it from now on."""

    def snapshot(self) -> Numbers:
        """Where it stands now."""

    def end(self) -> None:
        """Stop showing."""


class RunRecord:
    """What watches a job's work; a context manager around all of it.

    Args:
        settings: Of the job.
        run_uri: The run that it belongs to.
        plan_key: Object in the run that holds the plan's digest and parts, for a job that has one.
        progress: What is shown and counted; None: turns.
    """

    def __init__(
        self, settings: JobSettings, run_uri: str, plan_key: str | None = None, progress: Counting | None = None
    ) -> None:
        self._settings = settings
        self._store = open_store(run_uri)
        self._plan_key = plan_key
        self._redact = Redactor(secret_values())
        self._turns = Progress()
        self._progress: Counting = progress or self._turns
        self._advanced = 0
        self._manifest: Manifest | None = None
        self._status: StatusWriter | None = None

    def begin(self, total_turns: int, done_turns: int = 0) -> None:
        """Work starts, on a plan that this run_uri has taken."""
        plan = json.loads(self._store.read(self._plan_key)) if self._plan_key else {}
        if done_turns == total_turns and self._is_recorded(plan.get("digest")):
            return  # nothing to do: the record of when it was done stays
        # No setting is meant to hold a secret, but a URI can be written with a password in it.
        settings = json.loads(self._redact(json.dumps(self._settings.resolved(), ensure_ascii=False)))
        self._manifest = start_manifest(
            self._store,
            self._settings.job,
            settings,
            inputs=plan.get("parts", {}),
            plan_digest=plan.get("digest"),
            image_digest=self._settings.image_digest,
        )
        self._progress.begin(total_turns, done_turns)
        self._status = StatusWriter(self._store, self._settings.job, lambda: self._progress.snapshot()._asdict())
        self._status.start()

    def _is_recorded(self, plan_digest: str | None) -> bool:
        manifest = read_manifest(self._store, self._settings.job)
        status = read_status(self._store, self._settings.job)
        if manifest is None or status is None or plan_digest is None:
            return False
        return manifest.plan_digest == plan_digest and manifest.finished_at is not None and status.state == "done"

    def turn(self, measurement: Measurement) -> None:
        """One more turn is answered."""
        self._turns.turn(measurement)

    def advance(self, done_turns: int, total_turns: int) -> None:
        """So many turns are done; the first call is the begin. For a job that counts for itself."""
        if self._status is None:
            self.begin(total_turns)
        self._turns.update(turns=done_turns - self._advanced)
        self._advanced = done_turns

    def end(self) -> None:
        """Turns are over; the job may still have something to do."""
        self._progress.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.end()
        if self._status is None or self._manifest is None:
            return
        state: State = "done"
        if error is not None:
            state = "stopped" if isinstance(error, Stopped | KeyboardInterrupt | SystemExit) else "failed"
        self._status.finish(state, self._redact(str(error)) if error is not None else "")
        if error is None:
            finish_manifest(self._store, self._manifest)
            return
        try:
            finish_manifest(self._store, self._manifest)
        except StorageError as second:
            # The first error is the one to tell; often the store is what failed there too.
            logger.warning("the manifest lacks the time of the end: %s", second)
