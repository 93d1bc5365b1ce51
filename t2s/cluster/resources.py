"""What a job wants of a cluster: a wait with an end for what can come, an error for what cannot.

    wanted = {"t2s_predict": 0.001, "GPU": 1.0, "CPU": 1.0}       all on one node
    live node offers it, free            at once
    live node offers it, in use          waited for, a line every 30 s, up to wait_s
    a node that may offer it is coming   the same
    neither                              ClusterError, 30 s after the cluster was asked at the latest

A placement group of one bundle asks for it, so that an autoscaler hears of the demand. Ray has no public way to ask
which node types an autoscaler has; what it answers to a demand is read from where each of its two versions leaves it.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group

from t2s.errors import ClusterError, Stopped

logger = logging.getLogger(__name__)

RESOURCE_SHARE = 0.001
"""How much of a job's custom resource one driver or engine takes: the resource says where, it is not a quantity."""

REPORT_INTERVAL_S = 30.0
NOTHING_COMES_S = 30.0
"""An autoscaler looks at demands every 5 s; what shows no sign of coming after six looks is not coming."""

Outlook = Literal["never", "coming", "unknown"]


class Stop(Protocol):
    """A request to stop."""

    @property
    def requested(self) -> bool:
        """Whether it came."""


def wait_until_placeable(wanted: Mapping[str, float], purpose: str, wait_s: float, stop: Stop, count: int = 1) -> None:
    """Return once all of `wanted` is free on one node, or so many times over on one node or several.

    Args:
        wanted: Amounts by Ray's resource names.
        purpose: Who wants it, for messages: "the driver of predict".
        wait_s: Longest wait for what can come, seconds.
        stop: Ends the wait.
        count: How many times over, all at the same time.

    Raises:
        ClusterError: No live node offers it and none that may is coming, or `wait_s` is over.
        Stopped: A stop was requested.
    """
    demand = placement_group([dict(wanted)] * count)
    try:
        _wait(demand, wanted, purpose, wait_s, stop, count)
    finally:
        remove_placement_group(demand)


def _wait(
    demand: PlacementGroup, wanted: Mapping[str, float], purpose: str, wait_s: float, stop: Stop, count: int
) -> None:
    began = time.monotonic()
    place = "a node" if count == 1 else f"{count} times a node"
    next_report_s = REPORT_INTERVAL_S
    while not demand.wait(timeout_seconds=1):  # whole seconds: Ray cuts the rest off
        waited_s = time.monotonic() - began
        if stop.requested:
            raise Stopped(f"stopped while waiting for {_amounts(wanted)} for {purpose}")
        nodes = _live_nodes()
        in_use = any(offers(node, wanted) for node in nodes) if count == 1 else num_places(wanted) >= count
        outlook: Outlook = "coming" if in_use else _autoscaler_outlook(wanted, count)
        if outlook == "never" or (outlook == "unknown" and waited_s >= NOTHING_COMES_S):
            raise ClusterError(
                f"{purpose} wants {place} with {_amounts(wanted)}, and no live node and no node type of an autoscaler "
                f"offers it; there is: {describe(nodes)}. Start a node with it (ray start --resources='"
                f"{json.dumps({name: 1 for name in wanted if name not in ('CPU', 'GPU')})}'), or set ray.resource, "
                "what the job asks for (ray.num_…) to what the cluster has"
            )
        state = "in use" if in_use else "not there yet"
        if waited_s >= wait_s:
            raise ClusterError(
                f"{purpose} wants {place} with {_amounts(wanted)}: {state} after {wait_s:.0f} s "
                f"(ray.wait_for_resources_s); there is: {describe(nodes)}. Free or add a node, or wait longer"
            )
        if waited_s >= next_report_s:
            next_report_s += REPORT_INTERVAL_S
            logger.info(
                "waiting for %s with %s for %s: %s; %.0f s of %.0f s",
                place, _amounts(wanted), purpose, state, waited_s, wait_s,
            )  # fmt: skip


def offers(node: Mapping[str, float], wanted: Mapping[str, float]) -> bool:
    """Whether a node with these amounts in all has room for `wanted` when nothing else runs on it."""
    return all(node.get(name, 0.0) >= amount for name, amount in wanted.items())


def num_places(wanted: Mapping[str, float]) -> int:
    """How many times the live nodes could hold `wanted`, were they empty."""
    return sum(
        min((int(node.get(name, 0.0) / amount + 1e-9) for name, amount in wanted.items() if amount > 0), default=0)
        for node in _live_nodes()
    )


def describe(nodes: Iterable[Mapping[str, float]]) -> str:
    """What the nodes have: `2 × (CPU 8, GPU 1, t2s_predict 1), 1 × (CPU 4)`."""
    kinds = Counter(_amounts(node) for node in nodes)
    return ", ".join(f"{number} × ({kind})" for kind, number in sorted(kinds.items())) or "no live node"


def describe_live_nodes() -> str:
    """What the live nodes have, as `describe` says it."""
    return describe(_live_nodes())


def _amounts(resources: Mapping[str, float]) -> str:
    # A node also lists its memory in bytes and its own address: no job asks for them.
    shown = {
        name: amount
        for name, amount in sorted(resources.items())
        if amount > 0 and not name.startswith("node:") and name not in ("memory", "object_store_memory")
    }
    return ", ".join(f"{name} {amount:g}" for name, amount in shown.items()) or "nothing"


def _live_nodes() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _autoscaler_outlook(wanted: Mapping[str, float], count: int) -> Outlook:
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # a Cython module
    from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply

    reply = GetClusterStatusReply()
    client = GcsClient(address=ray.get_runtime_context().gcs_address)
    reply.ParseFromString(client.get_cluster_status(timeout_s=10))
    if reply.HasField("autoscaling_state"):  # version 2, which KubeRay takes by default
        state = reply.autoscaling_state
        gangs = (
            [dict(one.resources_bundle) for one in gang.requests] for gang in state.infeasible_gang_resource_requests
        )
        if [dict(wanted)] * count in list(gangs):
            return "never"
        return "coming" if state.pending_instance_requests or state.pending_instances else "unknown"
    report = _version_1_report()
    return "coming" if report.get("pending_nodes") or report.get("pending_launches") else "unknown"


def _version_1_report() -> dict[str, Any]:
    from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
    from ray.experimental.internal_kv import _internal_kv_get

    data = _internal_kv_get(DEBUG_AUTOSCALING_STATUS)
    if not data:
        return {}
    report: dict[str, Any] = json.loads(data).get("autoscaler_report") or {}
    return report
