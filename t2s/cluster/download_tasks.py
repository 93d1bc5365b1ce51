"""Download on a cluster: the one task that downloads, and one on each node that warms its cache.

    jobs/download.py ── launch ──> drive, on a node with `ray.resource`      (executor.kind: ray)
                                     └── warm_nodes ──> warm, on every node that offers t2s_predict, t2s_train, …

A node that offers the light environment alone has no use for a model.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from t2s import process_env
from t2s.cluster.launch import connect
from t2s.cluster.ray_errors import told
from t2s.download import DownloadConfig, TransferProgress, download
from t2s.download.run import Stop
from t2s.errors import ClusterError, Stopped, T2SError
from t2s.run_record import RunRecord
from t2s.settings.download import DownloadSettings, hub_access
from t2s.storage.cache import NodeCache

logger = logging.getLogger(__name__)

_OF_JOBS = "t2s_"
_POLL_S = 1.0


def drive(settings: DownloadSettings, stop: Stop) -> None:
    """The real driver of `download`: one task, where the cluster offers its environment."""
    progress = TransferProgress()
    with RunRecord(settings, settings.run_uri, progress=progress) as record:
        record.begin(0)
        done = download(settings, hub_access(), stop=stop, progress=progress)
        if settings.warm:
            warm_nodes([one.uri for one in done], settings, stop)


def warm_nodes(uris: Sequence[str], config: DownloadConfig, stop: Stop) -> None:
    """Bring folders into the cache of every node that jobs run on, all at once.

    Raises:
        ClusterError: The cluster cannot be reached, or nodes failed; says which, after the others are done.
        Stopped: A stop was requested.
    """
    connect(config.ray.address)
    nodes = _nodes_of_jobs(config.ray.resource)
    if not nodes:
        logger.info("no node offers an environment that reads models: no cache to warm")
        return
    logger.info("warming the caches of %d nodes", len(nodes))
    runtime_env = {"py_executable": config.ray.py_executable} if config.ray.py_executable else None
    task = ray.remote(num_cpus=0, max_retries=2, runtime_env=runtime_env)(warm)
    names: dict[Any, str] = {}
    for node_id, name in nodes.items():
        there = NodeAffinitySchedulingStrategy(node_id, soft=False)
        words = (list(uris), config.cache_dir, config.cache_max_bytes, process_env.carried())
        names[task.options(scheduling_strategy=there).remote(*words)] = name
    failed = []
    left = list(names)
    while left:
        if stop.requested:
            for reference in left:
                ray.cancel(reference, force=True)
            raise Stopped("stopped while the nodes' caches were being warmed; what has come to them stays")
        done, left = ray.wait(left, num_returns=1, timeout=_POLL_S)
        for reference in done:
            try:
                logger.info("%s", ray.get(reference))
            except (RayError, T2SError) as error:
                failed.append(f"{names[reference]}: {told(error) if isinstance(error, RayError) else error}")
    if failed:
        raise ClusterError(f"{len(failed)} of {len(nodes)} nodes have not got all: {'; '.join(failed)}")


def warm(uris: list[str], cache_dir: str, cache_max_bytes: int | None, variables: Mapping[str, str]) -> str:
    """What one node does: bring the folders into its cache; returns a line about it.

    Raises:
        StorageError: The store failed or refused, or this node's disk did.
    """
    process_env.adopt(variables)
    began = time.monotonic()
    for uri in uris:
        NodeCache(Path(cache_dir), cache_max_bytes).folder(uri)
    return f"{socket.gethostname()}: {len(uris)} folders are in {cache_dir}, after {time.monotonic() - began:.0f} s"


def _nodes_of_jobs(light: str) -> dict[str, str]:
    """Names of live nodes by id: those that offer more of ours than the light environment; all, where none says any."""
    found = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
    offers = {
        node_id: {one for one in node["Resources"] if one.startswith(_OF_JOBS)} for node_id, node in found.items()
    }
    if any(offers.values()):
        found = {node_id: node for node_id, node in found.items() if offers[node_id] - {light}}
    return {node_id: node.get("NodeManagerHostname") or node_id[:8] for node_id, node in found.items()}
