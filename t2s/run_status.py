"""What `t2s status` shows: the manifest and status of every job of a run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from t2s.errors import DatasetError
from t2s.manifest import Manifest, Status, read_manifest, read_status
from t2s.progress import duration, rate, stdout_console
from t2s.storage import Store
from t2s.usage import RunUsage, read_usage

JOBS = ("download", "prepare", "train", "predict", "evaluate", "pipeline")

SILENT_AFTER_S = 60.0
"""A running job writes its status every 5 s; one that was silent for a minute was killed, or lost its store."""


class JobState(NamedTuple):
    """One job of a run, as far as it has written anything."""

    name: str
    status: Status | None
    manifest: Manifest | None

    def status_json(self) -> dict[str, Any] | None:
        """The status as JSON has it."""
        return self.status.model_dump(mode="json") if self.status else None

    def manifest_json(self) -> dict[str, Any] | None:
        """The manifest as JSON has it."""
        return self.manifest.model_dump(mode="json") if self.manifest else None


def find_jobs(store: Store) -> list[JobState]:
    """The jobs that have written into this run.

    Raises:
        DatasetError: None has.
    """
    states = [JobState(name, read_status(store, name), read_manifest(store, name)) for name in JOBS]
    found = [state for state in states if state.status or state.manifest]
    if not found:
        raise DatasetError(f"{store.uri}: wanted a run with <job>/status.json in it, found none; is it the run_uri?")
    return found


def state_text(status: Status, now: datetime) -> str:
    """`running`, `done`, …, or that a running job has gone silent."""
    silent_s = (now - datetime.fromisoformat(status.updated_at)).total_seconds()
    if status.state == "running" and silent_s > SILENT_AFTER_S:
        return f"silent for {duration(silent_s)}: killed? running it again resumes"
    return status.state


def usage_of(store: Store, jobs: list[JobState]) -> RunUsage | None:
    """What the run's predict job has used so far; None where it has written nothing of that."""
    settings = next((job.manifest.settings for job in jobs if job.name == "predict" and job.manifest), {})
    return read_usage(store, settings)


def print_table(uri: str, jobs: list[JobState], usage: RunUsage | None = None) -> None:
    """Print one row a job to stdout, and what GPUs have done."""
    from rich.table import Table

    table = Table(title=uri, title_justify="left", box=None, pad_edge=False)
    for title in (
        "job",
        "state",
        "turns",
        "turns/s",
        "output tokens/s",
        "cached",
        "left",
        "started",
        "updated",
        "host",
    ):
        table.add_column(title, overflow="fold")
    for job in jobs:
        table.add_row(*_row(job, datetime.now(UTC)))
    console = stdout_console()
    console.print(table)
    if usage is not None:
        console.print(f"predict: {usage.line()}", markup=False, highlight=False)
    for job in jobs:
        if job.status and job.status.message:
            console.print(f"{job.name}: {job.status.message}", markup=False)


def _row(job: JobState, now: datetime) -> tuple[str, ...]:
    host = job.manifest.host if job.manifest else ""
    status = job.status
    if status is None:
        started = job.manifest.started_at if job.manifest else ""
        return (job.name, "no status", *[""] * 5, started, "", host)
    counts = status.counts
    unit = "steps" if "total_steps" in counts else "turns"
    done, total, cached, left = (
        counts.get(key) for key in (f"done_{unit}", f"total_{unit}", "cached_share", "time_left_s")
    )
    tokens_per_s = counts.get("tokens_per_s", counts.get("completion_tokens_per_s"))
    running = status.state == "running"
    return (
        job.name,
        state_text(status, now),
        f"{done:.0f}/{total:.0f}{' steps' if unit == 'steps' else ''}" if done is not None and total else "",
        _number(counts.get("turns_per_s")) if running else "",
        _number(tokens_per_s) if running else "",
        f"{cached:.0%}" if cached is not None else "",
        duration(left) if left is not None and running else "",
        status.started_at,
        status.updated_at,
        host,
    )


def _number(value: int | float | None) -> str:
    return rate(value) if value is not None else ""
