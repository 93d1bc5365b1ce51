"""One cluster for all tests of this folder: a head without job resources, and a node that offers `t2s_predict`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.ray_cluster import RayCluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[RayCluster]:
    """Starting it takes 20 s; its tests leave nothing running on it."""
    # The autoscaler's version 2, as KubeRay has it: it says of a demand that nothing can meet it.
    with RayCluster(environment={"RAY_enable_autoscaler_v2": "1"}) as cluster:
        cluster.add_node({"t2s_predict": 1})
        yield cluster
