"""`t2s submit`, `logs` and `stop`: jobs on a cluster by Ray's job API.

submit -> t2s-predict-3f9a1c20-1        job, digest of the run_uri, count: who submits a run that still runs follows it
       -> python jobs/predict.py CONFIG key=value ...     in the packed working directory, on the head
follow -> its log, to the end           -> the driver's own exit code, 0 to 3 (`ray job submit` knows 0 and 1 only)
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2s import process_env
from t2s.cluster import job_api, sealed
from t2s.cluster.packing import LEFT_OUT_AT_THE_TOP, pack
from t2s.errors import ClusterError, SettingsError, Stopped, T2SError
from t2s.settings import JOB_SETTINGS, PredictSettings, TrainSettings, ray_token

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

logger = logging.getLogger(__name__)

Show = Callable[[str], None]
"""Takes pieces of a job's log, line ends included."""

STOP_WAIT_S = 25
"""A stopped job has 20 s; Ray by itself kills it after 3."""

_STOP_WAIT_VARIABLE = "RAY_JOB_STOP_WAIT_TIME_S"

RECONNECT_S = 300.0
POLL_S = 0.5

_STAY_HERE = {(name,) for name in LEFT_OUT_AT_THE_TOP}
_OWN_NAME = re.compile(r"t2s-\w+-[0-9a-f]{8}-\d+")


def submit(
    job: str,
    config: str,
    overrides: Sequence[str] = (),
    address: str | None = None,
    detach: bool = False,
    folder: Path = Path(),
    show: Show | None = None,
) -> int:
    """Run a job on a cluster, and follow its log unless `detach`.

    A run that is still running is followed, not begun again.

    Args:
        job: Name of the entrypoint: jobs/<job>.py.
        config: Settings file, inside `folder`.
        overrides: `key.path=value` words.
        address: URL of the head's dashboard; None: from the environment, or this machine's.
        detach: Return once it is submitted.
        folder: The working directory that the job gets.
        show: Takes the log; None: stdout.

    Returns:
        The driver's exit code; 0 when detached; 3 when following was interrupted (the job goes on).

    Raises:
        SettingsError: The submission cannot work on another machine.
        ClusterError: The cluster does not answer, or refuses.
    """
    show = show or _to_stdout
    settings = JOB_SETTINGS[job].load([config, *overrides])
    run_uri: str = settings.run_uri
    words = [*_words(job, config, folder, run_uri), *overrides]
    _demand_packed(settings.resolved(), ())
    client = job_api.connect(address, ray_token())
    url = client.get_address()
    with job_api.as_cluster_errors(url), tempfile.TemporaryDirectory() as temporary:
        earlier = _numbered(client.list_jobs(), _base_name(job, run_uri))
        running = [str(one.submission_id) for _, one in earlier if not one.status.is_terminal()]
        if running:
            name = running[-1]
            show(f"{run_uri} runs already, as {name}: following it; the settings given now are not looked at\n")
        else:
            name = f"{_base_name(job, run_uri)}-{max((number for number, _ in earlier), default=0) + 1}"
            archive = Path(temporary) / "working_dir.zip"
            size = pack(folder, archive)
            variables = process_env.carried()
            if variables:
                words = [
                    "-m",
                    "t2s.cluster.sealed",
                    sealed.seal(url, job_api.headers(ray_token()), variables),
                    "--",
                    *words,
                ]
            ray = settings.ray if isinstance(settings, PredictSettings | TrainSettings) else None
            grace_s = settings.stop_grace_s + 5 if isinstance(settings, TrainSettings) else STOP_WAIT_S
            _submit(client, name, _entrypoint(ray.py_executable if ray else None, words), archive, grace_s)
            show(f"submitted {name} ({size / 1e6:.1f} MB) to {url}; t2s logs {name}, t2s stop {name}\n")
    return 0 if detach else _follow(client, name, show)


def logs(submission_id: str, address: str | None = None, follow: bool = True, show: Show | None = None) -> int:
    """Show a job's log; with `follow` to its end, returning its exit code.

    Args:
        submission_id: Or the run_uri of a submitted job: then its latest submission.
        address: URL of the head's dashboard; None: from the environment, or this machine's.
        follow: Go on until the job ends.
        show: Takes the log; None: stdout.
    """
    show = show or _to_stdout
    client = job_api.connect(address, ray_token())
    name = _find(client, submission_id)
    if follow:
        return _follow(client, name, show)
    with job_api.as_cluster_errors(client.get_address()):
        show(client.get_job_logs(name))
    return 0


def stop(submission_id: str, address: str | None = None, show: Show | None = None) -> None:
    """Stop a job (by submission_id, or the latest of a run_uri), wait until it has ended, and say how.

    Raises:
        ClusterError: There is no such job, or it does not end.
    """
    show = show or _to_stdout
    client = job_api.connect(address, ray_token())
    name = _find(client, submission_id)
    with job_api.as_cluster_errors(client.get_address()):
        if not client.stop_job(name):
            show(f"{name} does not run: {client.get_job_status(name)}\n")
            return
        variables = (client.get_job_info(name).runtime_env or {}).get("env_vars", {})
        patience_s = float(variables.get(_STOP_WAIT_VARIABLE, STOP_WAIT_S)) + 10
        deadline = time.monotonic() + patience_s
        while not (status := client.get_job_status(name)).is_terminal():
            if time.monotonic() > deadline:
                raise ClusterError(f"{name} has not ended {patience_s:g} s after it was told to; it is {status}")
            time.sleep(POLL_S)
    show(f"{name}: {status}; what is complete is kept\n")
    if not _OWN_NAME.fullmatch(name):
        show("it was not submitted by t2s: Ray gives such a job RAY_JOB_STOP_WAIT_TIME_S (3 s unless set) to end\n")


def _follow(client: JobSubmissionClient, name: str, show: Show) -> int:
    """Show a job's log until it has ended; returns its exit code."""
    url = client.get_address()
    try:
        asyncio.run(_tail(client, name, show))
        with job_api.as_cluster_errors(url):
            while not (details := client.get_job_info(name)).status.is_terminal():
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        show(f"\n{name} goes on; t2s logs {name} --follow, t2s stop {name}\n")
        return Stopped.exit_code
    return _exit_code(details)


def _exit_code(details: JobDetails) -> int:
    code = details.driver_exit_code
    if code is not None and 0 <= code <= 3:
        return int(code)
    if details.status == "STOPPED":
        return Stopped.exit_code
    message = (details.message or "").splitlines()
    logger.error("%s: %s: %s", details.submission_id, details.status, message[0] if message else "no message")
    return T2SError.exit_code


async def _tail(client: JobSubmissionClient, name: str, show: Show) -> None:
    """Show the log to its end; a broken connection is made again, without showing anything twice."""
    import aiohttp

    num_shown = 0
    give_up_at = time.monotonic() + RECONNECT_S
    while True:
        num_seen = 0
        try:
            async for piece in client.tail_job_logs(name):
                fresh = piece[max(num_shown - num_seen, 0) :]
                num_seen += len(piece)
                if fresh:
                    num_shown += len(fresh)
                    show(fresh)
                give_up_at = time.monotonic() + RECONNECT_S
            return
        except (aiohttp.ClientError, RuntimeError, TimeoutError) as error:
            if time.monotonic() > give_up_at:
                raise ClusterError(f"{name}: its log cannot be followed for {RECONNECT_S:.0f} s: {error}") from error
            logger.warning("%s: the log broke off (%s), trying again", name, error)
            await asyncio.sleep(2)


def _submit(client: JobSubmissionClient, name: str, entrypoint: str, archive: Path, stop_wait_s: float) -> None:
    client.submit_job(
        entrypoint=entrypoint,
        submission_id=name,
        runtime_env={
            "working_dir": str(archive),
            # Read by Ray's job supervisor, which has this environment too.
            "env_vars": {_STOP_WAIT_VARIABLE: f"{stop_wait_s:g}"},
        },
    )


def _words(job: str, config: str, folder: Path, run_uri: str) -> list[str]:
    """Script and settings file, relative to the working directory; checked for what fails on another machine."""
    root = folder.resolve()
    script = Path("jobs") / f"{job}.py"
    if not (root / script).is_file():
        raise SettingsError(f"{root}: wanted {script} in the working directory, found none: submit from the repository")
    if "://" not in run_uri and not Path(run_uri).is_absolute():
        raise SettingsError(
            f"run_uri: wanted s3://… (or an absolute path that all nodes share), found {run_uri!r}: on a cluster it "
            "would lie in Ray's temporary copy of the working directory"
        )
    path = (root / config).resolve()
    if not path.is_relative_to(root):
        raise SettingsError(f"{config}: wanted a settings file inside the working directory {root}, which the job gets")
    return [script.as_posix(), path.relative_to(root).as_posix()]


def _demand_packed(values: Mapping[str, Any], path: tuple[str, ...]) -> None:
    """Refuse what the settings read from folders that stay here."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            _demand_packed(value, (*path, key))
        elif key.endswith("_uri") and isinstance(value, str) and Path(value).parts[:1] in _STAY_HERE:
            raise SettingsError(
                f"{'.'.join((*path, key))}: wanted s3://… or a path that all nodes share, found {value!r}: "
                f"{Path(value).parts[0]}/ is not packed for the cluster"
            )


def _entrypoint(py_executable: str | None, words: Sequence[str]) -> str:
    command = shlex.join(words)
    fallback = '"$(command -v python || command -v python3)"'
    if py_executable is None:
        return f"exec {fallback} {command}"
    # The nodes with the job's resource have it; the head may have Ray's own Python alone, which is enough to launch.
    return f'PY={shlex.quote(py_executable)}; [ -x "$PY" ] || PY={fallback}; exec "$PY" {command}'


def _base_name(job: str, run_uri: str) -> str:
    return f"t2s-{job}-{_digest(run_uri)}"


def _digest(run_uri: str) -> str:
    return hashlib.sha256(run_uri.rstrip("/").encode()).hexdigest()[:8]


def _numbered(jobs: Sequence[JobDetails], base_name: str) -> list[tuple[int, JobDetails]]:
    """Submissions of that name, by their count."""
    pattern = re.compile(rf"{base_name}-(\d+)")
    found = [(pattern.fullmatch(job.submission_id or ""), job) for job in jobs]
    return sorted(((int(match[1]), job) for match, job in found if match), key=lambda pair: pair[0])


def _find(client: JobSubmissionClient, name_or_run_uri: str) -> str:
    """The submission of that id, or the latest on that run."""
    with job_api.as_cluster_errors(client.get_address()):
        jobs = client.list_jobs()
    if any(job.submission_id == name_or_run_uri for job in jobs):
        return name_or_run_uri
    found = [job for _, job in _numbered(jobs, rf"t2s-\w+-{_digest(name_or_run_uri)}")]
    latest = max(found, key=lambda job: job.start_time or 0, default=None)
    if latest is None:
        known = ", ".join(sorted(job.submission_id for job in jobs if job.submission_id)) or "none"
        raise ClusterError(
            f"{name_or_run_uri}: wanted a submission_id or the run_uri of a submission to {client.get_address()}, "
            f"found neither; there are: {known}"
        )
    return str(latest.submission_id)


def _to_stdout(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
