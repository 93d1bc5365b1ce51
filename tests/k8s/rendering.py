"""Overlays as `kubectl kustomize` renders them, and what is inside: objects, pods, containers."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = sorted(path.parent for path in (ROOT / "k8s" / "overlays").glob("*/kustomization.yaml"))
FOLDERS = sorted(folder for overlay in OVERLAYS for folder in (overlay, overlay / "jobs"))
"""What a user applies: the place, and its jobs."""

Object = dict[str, Any]


def kubectl() -> str:
    """A kubectl: the dev environment's, or any on the PATH; the test is skipped where there is none."""
    own = Path(sys.executable).with_name("kubectl")
    program = str(own) if own.exists() else shutil.which("kubectl")
    if program is None:
        pytest.skip("needs kubectl (make setup-dev, or on the PATH) to render the overlays")
    return program


@cache
def _rendered(folder: Path) -> list[Object]:
    done = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def objects(folder: Path) -> list[Object]:
    """All objects of a folder, fresh ones each time."""
    return copy.deepcopy(_rendered(folder))


def named(found: list[Object], kind: str, name: str | None = None) -> Object:
    """The one object of that kind (and name)."""
    matching = [one for one in found if one["kind"] == kind and name in (None, one["metadata"]["name"])]
    assert len(matching) == 1, f"{len(matching)} objects {kind} {name}"
    return matching[0]


class Pod(NamedTuple):
    """A pod as some object makes it: where it is written, and its template."""

    where: str
    template: Object

    @property
    def spec(self) -> Object:
        spec: Object = self.template["spec"]
        return spec


class Container(NamedTuple):
    """A container (also what the operator adds from autoscalerOptions) and where it is written."""

    where: str
    spec: Object


def pods(one: Object) -> Iterator[Pod]:
    """All pods that an object makes."""
    where = f"{one['kind']}/{one['metadata']['name']}"
    spec = one.get("spec", {})
    if one["kind"] == "RayCluster":
        yield from _pods_of_cluster(where, spec)
    elif one["kind"] == "RayJob":
        yield Pod(f"{where} submitter", spec["submitterPodTemplate"])
        yield from _pods_of_cluster(where, spec["rayClusterSpec"])
    elif isinstance(spec, dict) and "template" in spec:
        yield Pod(where, spec["template"])


def clusters(one: Object) -> Iterator[Object]:
    """The cluster that an object makes: the spec of a RayCluster, or the one inside a RayJob."""
    if one["kind"] == "RayCluster":
        yield one["spec"]
    elif one["kind"] == "RayJob":
        yield one["spec"]["rayClusterSpec"]


def containers(one: Object) -> Iterator[Container]:
    """All containers that an object makes, init containers and the autoscaler too."""
    for pod in pods(one):
        for key in ("initContainers", "containers"):
            for container in pod.spec.get(key, []):
                yield Container(f"{pod.where} {container['name']}", container)
    for cluster in clusters(one):
        if cluster.get("enableInTreeAutoscaling"):
            head = cluster["headGroupSpec"]["template"]["spec"]["containers"][0]
            # As the operator does: the head's image, and what autoscalerOptions say.
            spec = {"name": "autoscaler", "image": head["image"], **cluster.get("autoscalerOptions", {})}
            yield Container(f"{one['kind']}/{one['metadata']['name']} autoscaler", spec)


def _pods_of_cluster(where: str, cluster: Object) -> Iterator[Pod]:
    yield Pod(f"{where} head", cluster["headGroupSpec"]["template"])
    for group in cluster.get("workerGroupSpecs", []):
        yield Pod(f"{where} {group['groupName']}", group["template"])
