"""The policies hold for all that the overlays render, and each finds what breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.k8s.policies import (
    POLICIES,
    image_without_a_fixed_tag,
    open_to_whoever_reaches_it,
    path_of_the_node,
    runs_as_root,
    secret_in_clear,
    token_for_the_kubernetes_api,
    wide_open_network,
    without_an_end,
    without_requests_and_limits,
    writes_into_its_image,
)
from tests.k8s.rendering import FOLDERS, OVERLAYS, ROOT, Object, named, objects, pods

Policy = Callable[[Object], Iterator[str]]

OVERLAY = ROOT / "k8s" / "overlays" / "several-a10"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT / "k8s")))
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.__name__)
def test_the_policy_holds_for_every_object(policy: Policy, folder: Path) -> None:
    found = objects(folder)
    assert sum(len(list(pods(one))) for one in found) > 3, "the search finds pods"
    assert [fault for one in found for fault in policy(one)] == []


CLUSTER, JOB = ("RayCluster", "t2s"), ("RayJob", "t2s-predict")
STORE, ACCOUNT = ("ConfigMap", "t2s-store"), ("ServiceAccount", "t2s")
REGISTRY = "registry.example.com:5000"
TOKEN_MOUNT = {"name": "autoscaler-token", "mountPath": "/x"}
DROP = object()
# Policy, object, a word of what it says, and the change that breaks it: a path from the object, its first pod (pod)
# or from that pod's first container (ray), and the value to put there; DROP takes it away, + appends to a list.
BREAKS: list[tuple[Policy, tuple[str, str], str, str, object]] = [
    (runs_as_root, CLUSTER, "runAsNonRoot", "pod/securityContext/runAsNonRoot", DROP),
    (runs_as_root, CLUSTER, "10001", "pod/securityContext/runAsUser", 0),
    (runs_as_root, CLUSTER, "10001", "pod/securityContext", DROP),
    (runs_as_root, CLUSTER, "seccomp", "pod/securityContext/seccompProfile", DROP),
    (runs_as_root, CLUSTER, "hostNetwork", "pod/hostNetwork", True),
    (runs_as_root, CLUSTER, "root", "ray/securityContext/runAsUser", 0),
    (runs_as_root, CLUSTER, "privileged", "ray/securityContext/privileged", True),
    (runs_as_root, JOB, "Escalation", "ray/securityContext/allowPrivilegeEscalation", DROP),
    (runs_as_root, JOB, "capabilities", "ray/securityContext/capabilities/add", ["SYS_PTRACE"]),
    (runs_as_root, CLUSTER, "autoscaler", "spec/autoscalerOptions/securityContext", DROP),
    (writes_into_its_image, JOB, "readOnly", "ray/securityContext/readOnlyRootFilesystem", DROP),
    (writes_into_its_image, JOB, "/tmp", "ray/volumeMounts", DROP),
    (writes_into_its_image, CLUSTER, "/opt", "ray/volumeMounts/+", {"name": "tmp", "mountPath": "/opt"}),
    (image_without_a_fixed_tag, CLUSTER, "latest", "ray/image", f"{REGISTRY}/t2s-base:latest"),
    (image_without_a_fixed_tag, CLUSTER, "tag", "ray/image", f"{REGISTRY}/t2s-base"),
    (without_requests_and_limits, CLUSTER, "memory", "ray/resources/limits/memory", DROP),
    (without_requests_and_limits, JOB, "cpu", "ray/resources/requests/cpu", DROP),
    (without_requests_and_limits, CLUSTER, "autoscaler", "spec/autoscalerOptions/resources", DROP),
    (without_requests_and_limits, CLUSTER, "sizeLimit", "pod/volumes/+", {"name": "x", "emptyDir": {}}),
    (path_of_the_node, CLUSTER, "hostPath", "pod/volumes/+", {"name": "x", "hostPath": {"path": "/"}}),
    (secret_in_clear, CLUSTER, "TOKEN", "ray/env/+", {"name": "HF_TOKEN", "value": "hf_abc"}),
    (secret_in_clear, JOB, "looks like", "spec/entrypoint", "x s3://u:LTAI5tAAAAAAAAAAAAAA@h"),
    (secret_in_clear, STORE, "ConfigMap", "data/AWS_SECRET_ACCESS_KEY", "x"),
    (secret_in_clear, STORE, "by hand", "kind", "Secret"),
    (open_to_whoever_reaches_it, CLUSTER, "token", "spec/authOptions", DROP),
    (open_to_whoever_reaches_it, CLUSTER, "token", "spec/authOptions/mode", "disabled"),
    (open_to_whoever_reaches_it, JOB, "token", "spec/rayClusterSpec/authOptions/secretName", DROP),
    (open_to_whoever_reaches_it, CLUSTER, "published", "spec/headGroupSpec/serviceType", "NodePort"),
    (token_for_the_kubernetes_api, JOB, "automount", "pod/automountServiceAccountToken", DROP),
    (token_for_the_kubernetes_api, JOB, "default", "pod/serviceAccountName", DROP),
    (token_for_the_kubernetes_api, CLUSTER, "mounts", "ray/volumeMounts/+", TOKEN_MOUNT),
    (token_for_the_kubernetes_api, ACCOUNT, "automount", "automountServiceAccountToken", DROP),
    (without_an_end, JOB, "activeDeadline", "spec/activeDeadlineSeconds", DROP),
    (without_an_end, JOB, "preRunning", "spec/preRunningDeadlineSeconds", DROP),
    (without_an_end, JOB, "shutdown", "spec/shutdownAfterJobFinishes", False),
    (without_an_end, JOB, "backoffLimit", "spec/backoffLimit", DROP),
    (without_an_end, CLUSTER, "probes", "ray/livenessProbe", DROP),
]  # fmt: skip


def change(one: Object, path: str, value: object) -> None:
    """Put `value` at `path`."""
    *parents, last = path.split("/")
    place: Any = one
    for number, key in enumerate(parents):
        if number == 0 and key in ("pod", "ray"):
            pod = next(iter(pods(one))).spec
            place = pod if key == "pod" else pod["containers"][0]
        else:
            place = place[key]
    if last == "+":
        place.append(value)
    elif value is DROP:
        del place[last]
    else:
        place[last] = value


@pytest.mark.parametrize(("policy", "id_", "said", "path", "value"), BREAKS)
def test_the_policy_finds_what_breaks_it(
    policy: Policy, id_: tuple[str, str], said: str, path: str, value: object
) -> None:
    one = named([*objects(OVERLAY), *objects(OVERLAY / "jobs")], *id_)
    assert list(policy(one)) == []
    change(one, path, value)
    assert any(said in fault for fault in policy(one)), list(policy(one))


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"egress": [{}]}, "everyone"),
        ({"egress": [{"ports": [{"port": 443}]}]}, "everyone"),
        ({"ingress": [{"from": []}]}, "everyone"),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]}]}, "too wide"),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "::/0"}}], "ports": [{"port": 443}]}]}, "too wide"),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.10/32"}}]}]}, "every port"),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "100.64.0.0/10"}}], "ports": [{"port": 443}]}]}, "metadata"),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "169.254.0.0/16"}}], "ports": [{"port": 80}]}]}, "metadata"),
        ({"ingress": [{"from": [{"podSelector": {}}]}]}, "takes everyone"),
        ({"ingress": [{"from": [{"namespaceSelector": {}}], "ports": [{"port": 8265}]}]}, "takes everyone"),
        ({"ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}]}]}, "as a whole"),
    ],
)
def test_a_wide_open_network_is_found(rule: Object, said: str) -> None:
    policy = named(objects(OVERLAY), "NetworkPolicy", "ray")
    assert list(wide_open_network(policy)) == []
    policy["spec"].update(rule)
    assert any(said in fault for fault in wide_open_network(policy)), list(wide_open_network(policy))


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_what_no_policy_allows_is_denied_for_every_pod_of_the_namespace(overlay: Path) -> None:
    spec = named(objects(overlay), "NetworkPolicy", "deny-all")["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    labels = named(objects(overlay), "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_every_ray_pod_is_one_that_the_policies_and_budgets_select(overlay: Path) -> None:
    for one in [*objects(overlay), *objects(overlay / "jobs")]:
        for pod in pods(one):
            assert pod.template["metadata"]["labels"]["app.kubernetes.io/part-of"] == "t2s", pod.where
    budgets = [one["spec"] for one in objects(overlay) if one["kind"] == "PodDisruptionBudget"]
    selected = [budget["selector"]["matchLabels"] for budget in budgets]
    assert any(one.get("ray.io/node-type") == "head" for one in selected)
    assert any(one.get("app.kubernetes.io/component") == "train" for one in selected)


def test_only_the_download_pod_may_go_to_the_proxy_of_the_hubs() -> None:
    policy = named(objects(OVERLAY), "NetworkPolicy", "download")
    wanted = policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
    jobs = {
        one["metadata"]["name"]
        for one in objects(OVERLAY / "jobs")
        for pod in pods(one)
        if pod.template["metadata"]["labels"]["app.kubernetes.io/component"] == wanted
    }
    assert jobs == {"t2s-download"}


def test_every_policy_is_broken_by_some_case() -> None:
    assert {one[0] for one in BREAKS} | {wide_open_network} == set(POLICIES)
