"""Jobs in order, each in its own environment: from a model's download to a comparison of two scores.

    steps:
      - {name: train, job: train, config: configs/train_sample.yaml, set: {adapter_uri: "${run_uri}/adapter"}}
      - {name: after, job: predict, config: configs/predict_sample.yaml,
         set: {run_uri: "${run_uri}/after", engine.adapter_uri: "${steps.train.adapter_uri}"}}

Every step's settings are loaded, and found right, before the first step starts. A step is a process of its own, as
`t2s run` starts it. A finished step leaves `pipeline/<name>.done` with a digest of its settings and of the steps before
it; running the pipeline again goes over those that are finished and unchanged, and starts at the first that is not. The
jobs themselves resume where they stopped.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from t2s.environments import find, has_nvidia_gpu, needed, repository_root
from t2s.errors import SettingsError, StepFailed, Stopped
from t2s.job import StopSignal
from t2s.layers import did_you_mean
from t2s.pipeline_config import PipelineConfig, StepConfig
from t2s.progress import duration
from t2s.settings import JOB_SETTINGS, JobSettings
from t2s.settings.train import TrainSettings
from t2s.storage import Store, open_store
from t2s.train import PLOT_KEY
from t2s.training.checkpoints import HISTORY_KEY

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_STOP_GRACE_S = 20.0  # of a job that does not say otherwise
_STOP_MARGIN_S = 5.0
_POLL_S = 0.2


class Step(NamedTuple):
    """A step, ready to start.

    Attributes:
        name, job: As configured.
        words: Arguments of the job's entrypoint.
        settings: What they say.
        digest: Of the settings, and of all steps before this one.
    """

    name: str
    job: str
    words: tuple[str, ...]
    settings: JobSettings
    digest: str

    @property
    def done_key(self) -> str:
        """The object that says that it is finished."""
        return f"pipeline/{self.name}.done"


def load_steps(config: PipelineConfig, run_uri: str) -> list[Step]:
    """Load the settings of every step.

    Raises:
        SettingsError: Lists what is wrong in the first step that has something wrong.
    """
    steps: list[Step] = []
    digest = hashlib.sha256()
    for number, one in enumerate(config.steps, 1):
        place = f"step {number}, {one.name}"
        if one.name in [step.name for step in steps]:
            raise SettingsError(f"{place}: wanted a name that no other step has, found it twice")
        settings_class = JOB_SETTINGS.get(one.job)
        if settings_class is None or one.job == "pipeline":
            jobs = [job for job in JOB_SETTINGS if job != "pipeline"]
            raise SettingsError(
                f"{place}: wanted one of {', '.join(jobs)}, found {one.job}{did_you_mean(one.job, jobs)}"
            )
        words = (one.config, *_overrides(one, steps, run_uri, place))
        try:
            settings = settings_class.load(words)
        except SettingsError as error:
            raise SettingsError(f"{place}: {error}") from error
        content = json.dumps({"name": one.name, "job": one.job, "settings": settings.resolved()}, sort_keys=True)
        digest.update(content.encode())
        steps.append(Step(one.name, one.job, words, settings, digest.hexdigest()))
    names = {step.name: step.job for step in steps}
    for name in config.compare:
        if names.get(name) != "evaluate":
            raise SettingsError(
                f"compare: wanted names of evaluate steps, found {name}{did_you_mean(name, list(names))}"
            )
    return steps


def _overrides(one: StepConfig, steps: Sequence[Step], run_uri: str, place: str) -> list[str]:
    known = {step.name: step.settings.resolved() for step in steps}

    def replaced(match: re.Match[str]) -> str:
        path = match.group(1).split(".")
        if path == ["run_uri"]:
            return run_uri
        value: Any = known.get(path[1]) if path[0] == "steps" and len(path) > 2 else None
        for key in path[2:]:
            value = value.get(key) if isinstance(value, Mapping) else None
        if not isinstance(value, str | int | float):
            names = ", ".join(known) or "none"
            raise SettingsError(
                f"{place}: wanted ${{run_uri}} or ${{steps.NAME.KEY}} with an earlier step's setting (earlier: {names})"
                f", found {match.group()}"
            )
        return str(value)

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return _REFERENCE.sub(replaced, value)
        if isinstance(value, list):
            return [filled(item) for item in value]
        if isinstance(value, Mapping):
            return {key: filled(item) for key, item in value.items()}
        return value

    # JSON is YAML, which is what arguments are read as.
    return [f"{key}={json.dumps(filled(value), ensure_ascii=False)}" for key, value in one.set.items()]


def run_pipeline(steps: Sequence[Step], run_uri: str, stop: StopSignal) -> None:
    """Run what is not finished yet, in order.

    Args:
        steps: Of `load_steps`.
        run_uri: Keeps what is finished.
        stop: Asked for while a step runs, it reaches the step as SIGTERM.

    Raises:
        StepFailed: A step failed.
        MissingExtra: The environment of a step is not there.
        Stopped: A stop was asked for.
    """
    store = open_store(run_uri)
    if steps and all(_is_done(store, step) for step in steps):
        logger.info("nothing to do: all %d steps are finished; another run_uri starts anew", len(steps))
        return
    is_fresh = False
    for number, step in enumerate(steps, 1):
        if not is_fresh and _is_done(store, step):
            logger.info("step %d of %d, %s: finished before", number, len(steps), step.name)
            continue
        is_fresh = True  # what comes after it has other input now
        logger.info("step %d of %d, %s: %s %s", number, len(steps), step.name, step.job, " ".join(step.words))
        started = time.monotonic()
        # A training that is stopped stores a checkpoint first; this process has to live as long.
        stop.grace_s = _grace_s(step) + 2 * _STOP_MARGIN_S
        code = _run_step(step, stop)
        if stop.requested or code == Stopped.exit_code:
            raise Stopped(f"stopped in step {step.name}; running the same command again resumes")
        if code != 0:
            command = shlex.join(["t2s", "run", step.job, *step.words])
            raise StepFailed(f"step {step.name} ended with exit code {code}, its error is above; it was: {command}")
        seconds = round(time.monotonic() - started, 1)
        store.write(step.done_key, (json.dumps({"digest": step.digest, "seconds": seconds}) + "\n").encode())
        logger.info("step %d of %d, %s: done in %s", number, len(steps), step.name, duration(seconds))


def _is_done(store: Store, step: Step) -> bool:
    if not store.exists(step.done_key):
        return False
    try:
        return bool(json.loads(store.read(step.done_key))["digest"] == step.digest)
    except (ValueError, KeyError, TypeError):
        return False  # half written by a process that died: the step runs again, which does no harm


def _run_step(step: Step, stop: StopSignal) -> int:
    root = repository_root()
    environment = find(needed(step.settings, has_nvidia_gpu()), root)
    # A group of its own: Ctrl-C would reach it beside our SIGTERM, and a second signal ends a job at once.
    command = [str(environment.python), str(root / "jobs" / f"{step.job}.py"), *step.words]
    process = subprocess.Popen(command, process_group=0)
    try:
        return _wait(process, stop, _grace_s(step) + _STOP_MARGIN_S)
    except KeyboardInterrupt:
        _stop(process, _grace_s(step) + _STOP_MARGIN_S)
        raise
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _grace_s(step: Step) -> float:
    return float(getattr(step.settings, "stop_grace_s", _STOP_GRACE_S))


def _wait(process: subprocess.Popen[bytes], stop: StopSignal, grace_s: float) -> int:
    while (code := process.poll()) is None:
        if stop.wait(_POLL_S):
            _stop(process, grace_s)
    return code


def _stop(process: subprocess.Popen[bytes], grace_s: float) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def show_end(steps: Sequence[Step], names: Sequence[str], run_uri: str, console: Console) -> None:
    """Compare the runs that evaluate steps scored, write `<run_uri>/comparison.json`, and print what came of it all.

    Raises:
        DatasetError: They were not scored on the same questions.
    """
    from t2s.compare import compare_runs
    from t2s.report.pipeline_terminal import losses_of, print_end

    by_name = {step.name: step for step in steps}
    run_uris = [by_name[name].settings.run_uri for name in names]
    comparison = compare_runs(run_uris)
    open_store(run_uri).write("comparison.json", (comparison.model_dump_json(indent=1) + "\n").encode())
    paths = [(f"report of {name}", f"{by_name[name].settings.run_uri}/report.html") for name in names]
    losses = None
    for training in (step.settings for step in steps if isinstance(step.settings, TrainSettings)):
        store = open_store(training.run_uri)
        # Absent where the adapter was there before, trained under another run_uri.
        losses = losses_of(json.loads(store.read(HISTORY_KEY))) if store.exists(HISTORY_KEY) else None
        paths += [("loss plot", f"{training.run_uri}/{PLOT_KEY}")] if store.exists(PLOT_KEY) else []
        paths.append(("adapter", training.adapter_uri))
    paths.append(("comparison", f"{run_uri}/comparison.json; for people: {shlex.join(['t2s', 'compare', *run_uris])}"))
    paths.append(("time", _times(steps, open_store(run_uri))))
    print_end(comparison, losses, paths, console)


def _times(steps: Sequence[Step], store: Store) -> str:
    seconds = {step.name: float(json.loads(store.read(step.done_key))["seconds"]) for step in steps}
    told = ", ".join(f"{name} {duration(each)}" for name, each in seconds.items())
    return f"{duration(sum(seconds.values()))}: {told}"
