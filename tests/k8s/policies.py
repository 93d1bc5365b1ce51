"""What no object of ours may do, whatever an API server would take: each rule lists what breaks it."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator
from typing import Any

from tests.k8s.rendering import Object, clusters, containers, pods

_SECRET_NAME = re.compile(r"(SECRET|TOKEN|PASSWORD|ACCESS_KEY_ID|ACCESS_KEY|API_KEY|CREDENTIALS)$")
_WRITABLE = {"/tmp", "/home/t2s", "/cache", "/dev/shm", "/etc/t2s"}
_SHORTEST_PREFIX = 10
"""Alibaba's internal services lie in a /10; anything wider is the internet or a whole private range."""


def runs_as_root(one: Object) -> Iterator[str]:
    """Every pod says who it is, by number, and gains nothing."""
    for pod in pods(one):
        context = pod.spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or context.get("runAsUser") != 10001:
            yield f"{pod.where}: wants runAsNonRoot and runAsUser 10001"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{pod.where}: wants seccomp RuntimeDefault"
        for key in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
            if pod.spec.get(key):
                yield f"{pod.where}: {key}"
    for container in containers(one):
        context = container.spec.get("securityContext", {})
        if context.get("runAsUser", 10001) == 0 or context.get("runAsNonRoot") is False or context.get("privileged"):
            yield f"{container.where}: root or privileged"
        if context.get("allowPrivilegeEscalation") is not False:
            yield f"{container.where}: wants allowPrivilegeEscalation: false"
        capabilities = context.get("capabilities", {})
        if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
            yield f"{container.where}: wants all capabilities dropped and none added"


def writes_into_its_image(one: Object) -> Iterator[str]:
    """The root is read-only, and what is writable is where the images expect it."""
    for container in containers(one):
        if container.spec.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            yield f"{container.where}: wants readOnlyRootFilesystem"
        if "/tmp" not in {mount["mountPath"] for mount in container.spec.get("volumeMounts", [])}:
            yield f"{container.where}: wants a volume at /tmp, nothing else is writable"
    for pod in pods(one):
        for container in pod.spec["containers"]:
            paths = {mount["mountPath"] for mount in container.get("volumeMounts", [])}
            if paths - _WRITABLE:
                yield f"{pod.where}: mounts {paths - _WRITABLE}"


def image_without_a_fixed_tag(one: Object) -> Iterator[str]:
    """A tag that says which, never latest or none."""
    for container in containers(one):
        image = str(container.spec.get("image", ""))
        tag = image.rpartition("/")[2].partition(":")[2]
        if tag in ("", "latest") and "@sha256:" not in image:
            yield f"{container.where}: {image!r} has no tag of its own"


def without_requests_and_limits(one: Object) -> Iterator[str]:
    """Requests and limits for all that a node can run out of; volumes in memory and on the node's disk have a size."""
    for container in containers(one):
        for kind in ("requests", "limits"):
            missing = {"cpu", "memory", "ephemeral-storage"} - set(container.spec.get("resources", {}).get(kind, {}))
            if missing:
                yield f"{container.where}: no {kind} for {', '.join(sorted(missing))}"
    for pod in pods(one):
        for volume in pod.spec.get("volumes", []):
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{pod.where}: volume {volume['name']} has no sizeLimit"


def path_of_the_node(one: Object) -> Iterator[str]:
    """No hostPath, also not through a volume or a claim template."""
    if '"hostPath"' in json.dumps(one):
        yield f"{one['kind']}/{one['metadata']['name']}: hostPath"


def wide_open_network(one: Object) -> Iterator[str]:
    """A policy names who: no empty peer list, no all-pods-of-all-namespaces, no address range of half the internet."""
    if one["kind"] != "NetworkPolicy":
        return
    where = f"NetworkPolicy/{one['metadata']['name']}"
    spec = one["spec"]
    if not spec.get("policyTypes"):
        yield f"{where}: wants policyTypes"
    for direction, peers_key in (("ingress", "from"), ("egress", "to")):
        for rule in spec.get(direction, []):
            if not rule.get(peers_key):
                yield f"{where}: {direction} with everyone"
            for peer in rule.get(peers_key, []):
                yield from _wide_peer(f"{where}: {direction}", peer, rule)


def _wide_peer(where: str, peer: Object, rule: Object) -> Iterator[str]:
    if "ipBlock" in peer:
        network = ipaddress.ip_network(peer["ipBlock"]["cidr"])
        if network.prefixlen < _SHORTEST_PREFIX:
            yield f"{where}: {network} is too wide"
        if not rule.get("ports"):
            yield f"{where}: {network} on every port"
        metadata_servers = [ipaddress.ip_address(one) for one in ("169.254.169.254", "100.100.100.200")]
        kept_out = [ipaddress.ip_network(one) for one in peer["ipBlock"].get("except", [])]
        for address in metadata_servers:
            if address in network and not any(address in one for one in kept_out):
                yield f"{where}: {network} holds the metadata server {address}"
        return
    labels = [
        selector.get("matchLabels") or selector.get("matchExpressions")
        for selector in (peer.get("podSelector"), peer.get("namespaceSelector"))
        if selector is not None
    ]
    if not labels or not all(labels):
        yield f"{where}: a selector that takes everyone"
    if "namespaceSelector" in peer and ("podSelector" not in peer or not rule.get("ports")):
        yield f"{where}: another namespace as a whole, or on every port"


def secret_in_clear(one: Object) -> Iterator[str]:
    """Secrets are referred to: no value in an object, and no Secret object at all."""
    where = f"{one['kind']}/{one['metadata']['name']}"
    if one["kind"] == "Secret":
        yield f"{where}: a Secret is made by hand or by an operator, never written here"
    for name in one.get("data", {}) if one["kind"] == "ConfigMap" else []:
        if _SECRET_NAME.search(name):
            yield f"{where}: {name} in a ConfigMap"
    for container in containers(one):
        for variable in container.spec.get("env", []):
            if _SECRET_NAME.search(variable["name"]) and "value" in variable:
                yield f"{container.where}: {variable['name']} has a value instead of a reference"
    for path, text in _texts(one):
        if re.search(r"(?:AKIA|LTAI)[A-Za-z0-9]{12,}|-----BEGIN|://[^/\s:]+:[^/\s@]+@", text):
            yield f"{where}: {path} looks like a credential"


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _texts(one, f"{path}.{key}")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _texts(one, f"{path}[{number}]")
    elif isinstance(value, str):
        yield path, value


def open_to_whoever_reaches_it(one: Object) -> Iterator[str]:
    """Every Ray cluster wants the token, and is not published."""
    for cluster in clusters(one):
        where = f"{one['kind']}/{one['metadata']['name']}"
        auth = cluster.get("authOptions", {})
        if auth.get("mode") != "token" or not auth.get("secretName"):
            yield f"{where}: wants authOptions with mode token and a Secret"
        head = cluster["headGroupSpec"]
        if head.get("enableIngress") or head.get("serviceType", "ClusterIP") != "ClusterIP":
            yield f"{where}: its job API is published"
    if one["kind"] == "Ingress" or one.get("spec", {}).get("type") in ("NodePort", "LoadBalancer"):
        yield f"{one['kind']}/{one['metadata']['name']}: publishes something"


def token_for_the_kubernetes_api(one: Object) -> Iterator[str]:
    """No pod has a service account's token, but the autoscaler's container, by a volume that only it mounts."""
    for pod in pods(one):
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.where}: wants automountServiceAccountToken: false"
        if pod.spec.get("serviceAccountName", "default") == "default":
            yield f"{pod.where}: runs as the namespace's default account"
        tokens = {
            volume["name"]
            for volume in pod.spec.get("volumes", [])
            if any("serviceAccountToken" in source for source in volume.get("projected", {}).get("sources", []))
        }
        for container in [*pod.spec["containers"], *pod.spec.get("initContainers", [])]:
            if tokens & {mount["name"] for mount in container.get("volumeMounts", [])}:
                yield f"{pod.where}: {container['name']} mounts an account's token"
    if one["kind"] == "ServiceAccount" and one.get("automountServiceAccountToken") is not False:
        yield f"ServiceAccount/{one['metadata']['name']}: wants automountServiceAccountToken: false"


def without_an_end(one: Object) -> Iterator[str]:
    """A job that cannot start or does not end gives its GPU back; a Ray pod that is not well is noticed."""
    if one["kind"] == "RayJob":
        for key in ("activeDeadlineSeconds", "preRunningDeadlineSeconds"):
            if not one["spec"].get(key):
                yield f"RayJob/{one['metadata']['name']}: wants {key}"
        if one["spec"].get("shutdownAfterJobFinishes") is not True:
            yield f"RayJob/{one['metadata']['name']}: wants shutdownAfterJobFinishes"
        if "backoffLimit" not in one["spec"]:
            yield f"RayJob/{one['metadata']['name']}: wants a backoffLimit"
    for pod in pods(one):
        for container in pod.spec["containers"]:
            if container["name"] == "ray" and not {"livenessProbe", "readinessProbe", "startupProbe"} <= set(container):
                yield f"{pod.where}: wants liveness, readiness and startup probes"


POLICIES = (
    runs_as_root,
    writes_into_its_image,
    image_without_a_fixed_tag,
    without_requests_and_limits,
    path_of_the_node,
    wide_open_network,
    secret_in_clear,
    open_to_whoever_reaches_it,
    token_for_the_kubernetes_api,
    without_an_end,
)
