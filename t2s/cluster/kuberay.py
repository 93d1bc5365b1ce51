"""`t2s submit --kuberay`: a run as a RayJob on Kubernetes, a short-lived cluster of its own.

    k8s/overlays/NAME/jobs   ── kubectl kustomize ──>  the job's RayJob: images, nodes, limits, secrets by reference
    CONFIG key=value ...     ── settings ──>           in an annotation of its head, there the file /etc/t2s/run.yaml
                             ── kubectl create ──>     t2s-predict-3f9a1c20-1, named after its run as `submit` names it

One object holds all of the run: nothing is packed, the code is the image's. Credentials stay where the overlay says, in
a Secret of the cluster; no variable of this machine goes along.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from t2s.errors import ClusterError, MissingExtra, SettingsError, Stopped, T2SError
from t2s.settings import JOB_SETTINGS, JobSettings, PredictSettings

logger = logging.getLogger(__name__)

Show = Callable[[str], None]
"""Takes pieces of text, line ends included."""

RayJob = dict[str, Any]
"""A RayJob of ray.io/v1 as YAML has it."""

JOB_LABEL = "app.kubernetes.io/component"
RUN_LABEL = "t2s-run"
"""Label whose value is the digest of the run_uri."""

SETTINGS_ANNOTATION = "t2s-settings"
SETTINGS_FOLDER = "/etc/t2s"
SETTINGS_FILE = "run.yaml"
MAX_SETTINGS_BYTES = 200_000
"""Kubernetes takes 256 KiB of annotations."""

MAX_NAME_CHARS = 47
"""The operator's limit for a RayJob: its clusters' and services' names are longer."""

KUBECTL_TIMEOUT_S = 60.0
POLL_S = 2.0
LOG_TRIES = 15

_ENDED = ("Complete", "Failed", "ValidationFailed")


class _Demand(NamedTuple):
    """What a run wants of workers: GPUs of each engine or training worker, and how many; None: as many as fit."""

    resource: str
    num_gpus: float
    num_places: int | None


class _State(NamedTuple):
    """What the operator says of a RayJob: `deployment` of it, `job` of Ray's job inside, "" where not known yet."""

    deployment: str
    job: str
    text: str

    @classmethod
    def of(cls, ray_job: Mapping[str, Any]) -> _State:
        status = ray_job.get("status") or {}
        text = ": ".join(str(status[key]) for key in ("reason", "message") if status.get(key))
        return cls(status.get("jobDeploymentStatus") or "", status.get("jobStatus") or "", text)


def submit(
    job: str,
    config: str,
    overrides: Sequence[str] = (),
    *,
    overlay: Path,
    print_only: bool = False,
    detach: bool = False,
    show: Show | None = None,
) -> int:
    """Create a RayJob for a run and follow its log; a run whose RayJob has not ended is followed, not begun again.

    Args:
        job: Name of the job.
        config: Settings file.
        overrides: `key.path=value` words.
        overlay: Folder of a kustomize overlay; its `jobs/` has a RayJob for each job.
        print_only: Show the manifest and create nothing; asks the cluster nothing.
        detach: Return once it is created.
        show: Takes the manifest or the log; None: stdout.

    Returns:
        0 when done, printed or detached; 1 when it failed; 3 when it was stopped, or following was interrupted.

    Raises:
        SettingsError: The run cannot work there.
        ClusterError: kubectl failed.
        MissingExtra: There is no kubectl.
    """
    show = show or _to_stdout
    settings = JOB_SETTINGS[job].load([config, *overrides])
    template = read_template(overlay, job)
    run_uri = _run_uri(settings)
    base_name = f"t2s-{job}-{_digest(run_uri)}"
    if print_only:
        show(to_yaml(render(template, settings, f"{base_name}-1")))
        return 0
    rendered = render(template, settings, base_name)  # what is wrong with the settings is said before anything is asked
    namespace = template["metadata"].get("namespace", "default")
    earlier = list(_earlier(namespace, base_name, run_uri))
    running = [name for _, name, state in earlier if state.deployment not in _ENDED]
    if running:
        name = running[-1]
        show(f"{run_uri} runs already, as {name}: following it; the settings given now are not looked at\n")
    else:
        name = f"{base_name}-{max((number for number, _, _ in earlier), default=0) + 1}"
        rendered["metadata"]["name"] = name
        _kubectl("create", "--namespace", namespace, "--filename", "-", stdin=to_yaml(rendered))
        show(
            f"created RayJob {name} in {namespace}; kubectl -n {namespace} logs --follow job/{name}; "
            f"to stop it: kubectl -n {namespace} delete rayjob {name}\n"
        )
    return 0 if detach else _follow(namespace, name, show)


def read_template(overlay: Path, job: str) -> RayJob:
    """The RayJob of `job` that an overlay has.

    Raises:
        SettingsError: The overlay is not there or has no such RayJob.
        ClusterError: kustomize finds fault with it.
    """
    folder = overlay / "jobs"
    if not (folder / "kustomization.yaml").is_file():
        raise SettingsError(f"--kuberay {overlay}: wanted an overlay with {folder}/kustomization.yaml, found none")
    documents = yaml.safe_load_all(_kubectl("kustomize", str(folder)))
    found = {
        str(document["metadata"].get("labels", {}).get(JOB_LABEL)): document
        for document in documents
        if document and document.get("kind") == "RayJob"
    }
    if job not in found:
        raise SettingsError(
            f"--kuberay {overlay}: wanted a RayJob with the label {JOB_LABEL}={job}, found those of "
            f"{', '.join(sorted(found)) or 'no job'}"
        )
    return dict(found[job])


def render(template: RayJob, settings: JobSettings, name: str) -> RayJob:
    """A RayJob for one run: the template with name, settings and, where they say so, a number of workers.

    Args:
        template: RayJob of the job, whose entrypoint's last word is a settings file.
        settings: Of the run; they hold no secret.
        name: Of the new object.

    Raises:
        SettingsError: The run cannot work there: paths of this machine, no resource or GPU for it.
    """
    assert len(name) <= MAX_NAME_CHARS, name
    values = settings.resolved()
    _demand_reachable(values, ())
    _demand_ray(values)
    ray_job = copy.deepcopy(template)
    metadata, spec = ray_job["metadata"], ray_job["spec"]
    demand = _demand(settings, values)
    if demand is not None:
        _meet(ray_job, demand)
    metadata["name"] = name
    metadata.setdefault("labels", {})[RUN_LABEL] = _digest(_run_uri(settings))
    metadata.setdefault("annotations", {})["t2s-run-uri"] = _run_uri(settings)
    spec["entrypoint"] = f"{spec['entrypoint'].rpartition(' ')[0]} {SETTINGS_FOLDER}/{SETTINGS_FILE}"
    _attach_settings(spec["rayClusterSpec"]["headGroupSpec"]["template"], to_yaml(values))
    return ray_job


def to_yaml(value: Mapping[str, Any]) -> str:
    """YAML text, keys in their order, Chinese as it is, texts of several lines as such."""
    return str(yaml.dump(dict(value), Dumper=_Dumper, allow_unicode=True, sort_keys=False))


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as a block, so that the settings inside a manifest can be read."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _attach_settings(pod: dict[str, Any], text: str) -> None:
    """Put the settings file into the head: the launcher reads it there, and hands them on."""
    if len(text.encode()) > MAX_SETTINGS_BYTES:
        raise SettingsError(
            f"settings: wanted at most {MAX_SETTINGS_BYTES:,} bytes in a RayJob, found {len(text.encode()):,}"
        )
    pod.setdefault("metadata", {}).setdefault("annotations", {})[SETTINGS_ANNOTATION] = text
    item = {"path": SETTINGS_FILE, "fieldRef": {"fieldPath": f"metadata.annotations['{SETTINGS_ANNOTATION}']"}}
    pod["spec"].setdefault("volumes", []).append({"name": "settings", "downwardAPI": {"items": [item]}})
    mount = {"name": "settings", "mountPath": SETTINGS_FOLDER, "readOnly": True}
    pod["spec"]["containers"][0].setdefault("volumeMounts", []).append(mount)


def _demand_reachable(values: Mapping[str, Any], path: tuple[str, ...]) -> None:
    """Refuse what the settings name on this machine: the containers have none of its files."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            _demand_reachable(value, (*path, key))
        elif key.endswith("_uri") and isinstance(value, str):
            is_path_of_the_image = Path(value).is_absolute() or value.startswith("file:///")
            if not (is_path_of_the_image or "://" in value or value == "sample"):
                raise SettingsError(
                    f"{'.'.join((*path, key))}: wanted s3://… (or an absolute path inside the image), found {value!r}: "
                    "a RayJob's containers have none of this machine's files"
                )


def _demand_ray(values: Mapping[str, Any]) -> None:
    executor = values.get("executor")
    kind = executor.get("kind", "ray") if isinstance(executor, Mapping) else "ray"
    if kind != "ray":
        raise SettingsError(f"executor.kind: wanted ray, found {kind}: on Kubernetes the engines are on Ray's workers")


def _demand(settings: JobSettings, values: Mapping[str, Any]) -> _Demand | None:
    """What the job's real driver will ask of the cluster; None for a job that works where it starts."""
    ray = values.get("ray")
    if not isinstance(ray, Mapping):
        return None
    if isinstance(settings, PredictSettings):
        return _Demand(settings.ray.resource, settings.num_gpus_per_engine, settings.executor.num_engines)
    num_gpus = ray.get("num_gpus_per_worker")
    return _Demand(ray["resource"], 1.0 if num_gpus is None else num_gpus, ray.get("num_workers"))


def _meet(ray_job: RayJob, demand: _Demand) -> None:
    """Give the job's group the workers that are wanted; say now what its nodes would only show after they have come."""
    name, cluster = ray_job["metadata"]["name"], ray_job["spec"]["rayClusterSpec"]
    groups = cluster.get("workerGroupSpecs", [])
    group = next((one for one in groups if demand.resource in one.get("resources", {})), None)
    if group is None:
        offered = sorted({resource for one in groups for resource in one.get("resources", {})} - {"CPU"})
        raise SettingsError(
            f"ray.resource: wanted one that the workers of RayJob {name} offer "
            f"({', '.join(offered) or 'there are none'}), found {demand.resource}"
        )
    available = _num_gpus(group)
    if demand.num_gpus > available:
        raise SettingsError(
            f"wanted {demand.num_gpus:g} GPUs on one worker (ray.num_gpus_per_engine or num_gpus_per_worker, vLLM's "
            f"parallel sizes), found {available} on those of RayJob {name}: change either"
        )
    if demand.num_places is not None:
        per_worker = int(available / demand.num_gpus) if demand.num_gpus > 0 else 1
        num_workers = ceil(demand.num_places / per_worker)
        group.update(replicas=num_workers, minReplicas=num_workers, maxReplicas=num_workers)


def _num_gpus(group: Mapping[str, Any]) -> int:
    limits = group["template"]["spec"]["containers"][0].get("resources", {}).get("limits", {})
    return sum(int(amount) for name, amount in limits.items() if name.endswith("gpu"))


def _earlier(namespace: str, base_name: str, run_uri: str) -> Iterator[tuple[int, str, _State]]:
    """RayJobs of this run, by their count."""
    label = f"{RUN_LABEL}={_digest(run_uri)}"
    listed = _kubectl("get", "rayjobs.ray.io", "--namespace", namespace, "--selector", label, "--output", "json")
    pattern = re.compile(rf"{re.escape(base_name)}-(\d+)")
    found = [(pattern.fullmatch(item["metadata"]["name"]), item) for item in json.loads(listed)["items"]]
    numbered = [(int(match[1]), match[0], _State.of(item)) for match, item in found if match]
    yield from sorted(numbered)


def _follow(namespace: str, name: str, show: Show) -> int:
    """Show how it is and its log until it has ended; returns the exit code."""
    shown = ""
    since: str | None = None
    num_failed = 0
    try:
        while True:
            words = ("get", "rayjobs.ray.io", name, "--namespace", namespace, "--ignore-not-found", "--output", "json")
            found = _kubectl(*words)
            if not found.strip():
                show(f"{name} was deleted; what was complete is committed\n")
                return Stopped.exit_code
            state = _State.of(json.loads(found))
            if state.deployment != shown:
                shown = state.deployment
                show(f"{name}: {shown}\n")
            if state.deployment in ("Running", "Complete", "Failed"):
                complaint = _show_log(namespace, name, since, show)
                if complaint is None:
                    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                num_failed = 0 if complaint is None else num_failed + 1
                if num_failed == LOG_TRIES:  # before, its pod may still be starting
                    logger.warning("the log of %s cannot be shown, trying again: %s", name, complaint)
            if state.deployment in _ENDED:
                return _exit_code(name, state)
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        show(f"\n{name} goes on; to stop it: kubectl -n {namespace} delete rayjob {name}\n")
        return Stopped.exit_code


def _show_log(namespace: str, name: str, since: str | None, show: Show) -> str | None:
    """Show the submitter's log from `since` to its end; returns what kubectl complains of, None where all is well."""
    words = [_program(), "logs", f"job/{name}", "--namespace", namespace, "--follow", "--pod-running-timeout=20s"]
    if since is not None:
        words.append(f"--since-time={since}")
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            for line in process.stdout:
                show(line)
        except BaseException:  # Ctrl-C
            process.terminate()
            raise
        said = " ".join(process.stderr.read().split())
    return None if process.returncode == 0 else said


def _exit_code(name: str, state: _State) -> int:
    if state.job == "SUCCEEDED":
        return 0
    if state.job == "STOPPED":
        return Stopped.exit_code
    logger.error("%s: %s: %s", name, state.deployment, state.text or "the operator gives no reason")
    return T2SError.exit_code


def _run_uri(settings: JobSettings) -> str:
    """Where the run is; prepare and download name the place of what they make."""
    values = settings.resolved()
    return str(next(values[key] for key in ("run_uri", "output_uri", "models_uri") if values.get(key)))


def _digest(run_uri: str) -> str:
    return hashlib.sha256(run_uri.rstrip("/").encode()).hexdigest()[:8]


def _program() -> str:
    program = shutil.which("kubectl")
    if program is None:
        raise MissingExtra("--kuberay needs kubectl on the PATH, found none: install it as your cluster's pages say")
    return program


def _kubectl(*words: str, stdin: str | None = None) -> str:
    """What kubectl prints; its last words as `ClusterError` when it fails."""
    try:
        done = subprocess.run(
            [_program(), *words],
            input=stdin or "",  # never the user's own
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=KUBECTL_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"kubectl {words[0]} has not answered in {KUBECTL_TIMEOUT_S:.0f} s") from error
    if done.returncode != 0:
        said = " ".join(done.stderr.split()[-100:]) or f"exit code {done.returncode}"
        raise ClusterError(f"kubectl {words[0]}: {said}")
    return done.stdout


def _to_stdout(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
