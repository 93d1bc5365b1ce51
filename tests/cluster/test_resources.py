"""What a cluster offers; waiting for it, on a cluster whose autoscaler can bring what is wanted."""

from __future__ import annotations

import pytest

from t2s.cluster.resources import describe, offers
from tests.cluster.ray_cluster import RayCluster


def test_a_node_offers_what_it_has_all_of() -> None:
    node = {"CPU": 8.0, "GPU": 1.0, "t2s_predict": 1.0, "node:10.0.0.1": 1.0, "memory": 1e9}
    assert offers(node, {"GPU": 1, "t2s_predict": 0.001})
    assert not offers(node, {"GPU": 2, "t2s_predict": 0.001})
    assert not offers(node, {"t2s_train": 0.001})


def test_nodes_are_described_by_kind_without_what_no_job_asks_for() -> None:
    gpu = {"CPU": 8.0, "GPU": 1.0, "node:10.0.0.1": 1.0, "memory": 1e9, "object_store_memory": 1e8}
    head = {"CPU": 4.0, "node:__internal_head__": 1.0}
    assert describe([gpu, head, {**gpu, "node:10.0.0.2": 1.0}]) == "1 × (CPU 4), 2 × (CPU 8, GPU 1)"
    assert describe([]) == "no live node"


ASK = """
import logging, sys, ray
from t2s.cluster.resources import wait_until_placeable
from t2s.errors import ClusterError
from t2s.job import StopSignal
logging.basicConfig(level="INFO")
ray.init("auto", log_to_driver=False, logging_level="ERROR")
wanted = {sys.argv[1]: 0.001, "CPU": float(sys.argv[2])}
if "hold" in sys.argv:
    held = ray.util.placement_group([wanted])
    assert held.wait(60)
try:
    wait_until_placeable(wanted, "an engine", float(sys.argv[3]), StopSignal())
except ClusterError as error:
    print("ClusterError", error)
else:
    print("placeable")
"""


def ask(cluster: RayCluster, words: str) -> str:
    """The last line of a process that waits for: a resource and a number of CPUs, for so many seconds."""
    driver = cluster.driver("-c", ASK, *words.split())
    try:
        return driver.communicate(timeout=250)[0].strip().splitlines()[-1]
    finally:
        driver.kill()


@pytest.mark.cluster
@pytest.mark.timeout(500)
def test_what_an_autoscaler_can_bring_is_waited_for_and_what_it_cannot_is_refused() -> None:
    # Version 1: the package that is on PyPI lacks a file that version 2's faked nodes need.
    with RayCluster(node_types={"predict": {"CPU": 1, "t2s_predict": 1}}, num_cpus=1) as cluster:
        assert "no node type of an autoscaler offers it; there is: 1 × (CPU 1)." in ask(cluster, "t2s_predict 4 120")
        assert ask(cluster, "t2s_predict 1 120") == "placeable"
        in_use = ask(cluster, "t2s_predict 1 4 hold")
        assert (
            "in use after 4 s (ray.wait_for_resources_s); there is: 1 × (CPU 1), 1 × (CPU 1, t2s_predict 1)" in in_use
        )
