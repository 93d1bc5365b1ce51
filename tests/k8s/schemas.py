"""Validation as strict as an API server's: core kinds by `kubernetes-validate`, Ray's and Kueue's by their CRDs.

A CRD's schema lets unknown fields pass (a server drops them, with a warning at best). Here every object that lists its
properties is closed, so that a misspelt field is an error wherever it stands, inside pods too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s.rendering import Object

jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema (make setup-dev)")
kubernetes_validate = pytest.importorskip(
    "kubernetes_validate", reason="needs kubernetes-validate (make setup-dev) for core kinds"
)

OLDEST_KUBERNETES = "1.30"
SUBMISSION_MODES = ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode")
_CRDS = {
    ("RayJob", "ray.io/v1"): "ray.io_rayjobs.yaml",
    ("RayCluster", "ray.io/v1"): "ray.io_rayclusters.yaml",
    ("LocalQueue", "kueue.x-k8s.io/v1beta2"): "kueue.x-k8s.io_localqueues.yaml",
}


def faults(one: Object, schemas: Path) -> list[str]:
    """What an API server and the operator would refuse of an object; `schemas`: the folder of CRDs."""
    kind = (one["kind"], one["apiVersion"])
    if kind not in _CRDS:
        return list(_faults_of_core_kind(json.dumps(one)))
    validator = jsonschema.Draft202012Validator(_schema(schemas / _CRDS[kind], kind[1].partition("/")[2]))
    found = [f"{_name(one)}: {error.json_path}: {error.message[:300]}" for error in validator.iter_errors(one)]
    return [*found, *_broken_rules(one)]


@cache  # most objects are the same in every overlay, and the package reads its schemas anew each time
def _faults_of_core_kind(text: str) -> tuple[str, ...]:
    return tuple(_faults_in_versions(json.loads(text)))


def _faults_in_versions(one: Object) -> Iterator[str]:
    for version in (OLDEST_KUBERNETES, kubernetes_validate.latest_version()):
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{_name(one)}: Kubernetes {version}: {list(error.path)}: {error.message[:300]}"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield f"{_name(one)}: {error.message}"


def _broken_rules(one: Object) -> Iterator[str]:
    """What the operator refuses besides (ray-project/kuberay, ray-operator/controllers/ray/utils/validation.go)."""
    name, spec = one["metadata"]["name"], one["spec"]
    if one["kind"] == "RayJob":
        if len(name) > 47:
            yield f"{name}: a RayJob's name has at most 47 characters"
        if spec.get("submissionMode", "K8sJobMode") not in SUBMISSION_MODES:
            yield f"{name}: submissionMode {spec['submissionMode']} is none of {SUBMISSION_MODES}"
        if ("rayClusterSpec" in spec) == ("clusterSelector" in spec):
            yield f"{name}: wants exactly one of rayClusterSpec and clusterSelector"
        if spec.get("ttlSecondsAfterFinished", 0) > 0 and not spec.get("shutdownAfterJobFinishes"):
            yield f"{name}: ttlSecondsAfterFinished needs shutdownAfterJobFinishes"
        if spec.get("suspend") and not spec.get("shutdownAfterJobFinishes"):
            yield f"{name}: suspend needs shutdownAfterJobFinishes"
        if spec.get("backoffLimit", 0) > 0 and "clusterSelector" in spec:
            yield f"{name}: no backoffLimit with clusterSelector"
        if "shutdownAfterJobFinishes" in spec and "deletionRules" in spec.get("deletionStrategy", {}):
            yield f"{name}: deletionRules and shutdownAfterJobFinishes exclude each other"
        spec = spec.get("rayClusterSpec", {})
    elif one["kind"] == "RayCluster" and len(name) > 53:
        yield f"{name}: a RayCluster's name has at most 53 characters"
    if "authOptions" in spec and not spec.get("rayVersion"):
        yield f"{name}: authOptions need rayVersion"
    for group in spec.get("workerGroupSpecs", []):
        if not group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]:
            yield f"{name}: group {group['groupName']}: replicas outside of minReplicas and maxReplicas"


def _name(one: Object) -> str:
    return f"{one['kind']}/{one['metadata']['name']}"


@cache
def _schema(path: Path, version: str) -> Any:
    # In C where it can be: 1.4 MB of YAML take 20 s in Python.
    crd = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    schema = next(one["schema"]["openAPIV3Schema"] for one in crd["spec"]["versions"] if one["name"] == version)
    # An API server knows these fields of every object; CRDs leave them open.
    text = {"type": "string"}
    texts = {"type": "object", "additionalProperties": text}
    properties = {"name": text, "namespace": text, "labels": texts, "annotations": texts}
    schema["properties"]["metadata"] = {"type": "object", "properties": properties}
    return _closed(schema)


def _closed(schema: Any) -> Any:
    """A CRD's schema as strict JSON Schema."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    properties = schema.get("properties")
    closed = {
        key: _closed(value)
        for key, value in schema.items()
        if key not in ("format", "default", "properties", "required")
    }
    if schema.get("x-kubernetes-int-or-string"):
        closed.pop("anyOf", None)
        return {**closed, "type": ["integer", "string"]}
    if properties is not None:
        closed["properties"] = {name: _closed(one) for name, one in properties.items()}
        # What has a default is filled in before a server looks at `required`.
        closed["required"] = [one for one in schema.get("required", []) if "default" not in properties.get(one, {})]
        if "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            closed["additionalProperties"] = False
    return closed
