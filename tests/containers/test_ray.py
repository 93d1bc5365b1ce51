"""A cluster of several containers: who may submit, where a job runs, and what is lost when one dies (nothing)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator

import pytest

from tests.containers.podman import Podman, wait_for
from tests.containers.ray_containers import PYTHON, RayContainers
from tests.containers.store import StoreContainer
from tests.containers.test_jobs import answers, num_committed, predict_words

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(3600)]

STOP_GRACE_S = 20
WORKING = ("ray::JobDriver", "ray::MapWorker", "t2s.engine.scripted_process")
"""Titles of the real driver, the engine's actor, and the engine."""


@pytest.fixture(scope="module")
def cluster(podman: Podman, store: StoreContainer, base_image: str, predict_image: str) -> Iterator[RayContainers]:
    cluster = RayContainers(podman, store, base_image, predict_image)
    yield cluster
    cluster.close()


@pytest.fixture
def run_uri(store: StoreContainer) -> str:
    return f"s3://{store.bucket}/runs/{secrets.token_hex(6)}"


@pytest.fixture(scope="module")
def expected(podman: Podman, base_image: str, store: StoreContainer, sample_uri: str) -> dict[str, str]:
    """What an undisturbed run on one machine answers."""
    run_uri = f"s3://{store.bucket}/runs/undisturbed-{secrets.token_hex(6)}"
    podman.run(base_image, *predict_words(sample_uri, run_uri, "engine.scripted.delay_s=0"), env=store.env)
    return answers(store, run_uri)


def entrypoint(sample_uri: str, run_uri: str, delay_s: float) -> list[str]:
    """What `ray job submit` runs: the job itself, in the image's own Python."""
    _, _, _, config, *words = predict_words(sample_uri, run_uri, f"engine.scripted.delay_s={delay_s}")
    words += [
        "executor.kind=ray",
        "executor.num_engines=1",
        "ray.num_cpus_per_engine=0.5",
        "engine.scripted.process=true",
    ]
    words += ["shard_turns=20", "max_interactions=4", "ray.wait_for_resources_s=300"]
    return [PYTHON, "/opt/t2s/jobs/predict.py", f"/opt/t2s/{config}", *words]


def new_id() -> str:
    return f"test-{secrets.token_hex(6)}"


def commits(store: StoreContainer, run_uri: str, number: int) -> Callable[[], bool]:
    return lambda: num_committed(store, run_uri) >= number


def test_without_the_token_nothing_is_submitted(cluster: RayContainers) -> None:
    submission = new_id()
    submitter = cluster.submit(submission, ["echo", "ran"], with_token=False)
    assert submitter.wait(300) != 0
    assert "ran" not in submitter.logs().splitlines()
    listed = cluster.head.exec("ray", "job", "list", "--address", "http://127.0.0.1:8265").stdout
    assert submission not in listed


def test_predict_runs_in_the_predict_container_alone_and_a_killed_one_that_comes_back_loses_nothing(
    cluster: RayContainers, store: StoreContainer, sample_uri: str, run_uri: str, expected: dict[str, str]
) -> None:
    submitter = cluster.submit(new_id(), entrypoint(sample_uri, run_uri, 0.2))
    seen: dict[str, set[str]] = {"head": set(), "base": set(), "predict": set()}

    def look() -> None:
        for name, container in (("head", cluster.head), ("base", cluster.base), ("predict", cluster.predict)):
            lines = container.processes()
            seen[name] |= {title for title in WORKING if any(title in line for line in lines)}

    def has_committed() -> bool:
        look()
        return commits(store, run_uri, 3)() or not submitter.is_running()

    wait_for(has_committed, 400, "three complete shards", submitter.logs)
    assert submitter.is_running(), submitter.logs()
    before = num_committed(store, run_uri)
    cluster.predict.kill()
    wait_for(lambda: cluster.num_nodes() == 2, 240, "the cluster to miss a node", cluster.head.logs)
    assert submitter.is_running(), submitter.logs()
    cluster.predict.start()
    wait_for(lambda: commits(store, run_uri, before + 2)() or not submitter.is_running(), 600, "shards", submitter.logs)
    look()
    assert submitter.wait(1200) == 0, submitter.logs()[-4000:]
    assert seen == {"head": set(), "base": set(), "predict": set(WORKING)}
    assert answers(store, run_uri) == expected
    assert "starting it again" in submitter.logs(), "the driver died with its container"


def test_a_stopped_job_ends_within_its_grace_period_and_the_next_one_resumes(
    cluster: RayContainers, store: StoreContainer, sample_uri: str, run_uri: str, expected: dict[str, str]
) -> None:
    cluster.wait_for_nodes(3)
    submission = new_id()
    submitter = cluster.submit(submission, entrypoint(sample_uri, run_uri, 0.3))
    wait_for(commits(store, run_uri, 2), 400, "two complete shards", submitter.logs)
    started = time.monotonic()
    cluster.stop(submission)
    wait_for(lambda: cluster.status(submission) == "STOPPED", 120, "the job's end", submitter.logs)
    seconds = time.monotonic() - started
    assert seconds < STOP_GRACE_S + 10, "asking takes some seconds, too"
    done = [name for name in store.names(f"{run_uri}/predictions/") if name.endswith(".done")]
    bodies = {name: store.read(f"{run_uri}/predictions/{name}") for name in done}
    assert len(bodies) >= 2 and "predictions.json" not in store.names(f"{run_uri}/")
    assert "finishing what is complete" in submitter.logs()
    resumed = cluster.submit(new_id(), entrypoint(sample_uri, run_uri, 0))
    assert resumed.wait(900) == 0, resumed.logs()[-4000:]
    assert all(store.read(f"{run_uri}/predictions/{name}") == body for name, body in bodies.items())
    assert answers(store, run_uri) == expected


def test_a_head_that_is_told_to_end_stops_its_jobs_first(
    cluster: RayContainers, store: StoreContainer, sample_uri: str, run_uri: str, expected: dict[str, str]
) -> None:
    cluster.wait_for_nodes(3)
    submitter = cluster.submit(new_id(), entrypoint(sample_uri, run_uri, 0.3))
    wait_for(commits(store, run_uri, 2), 400, "two complete shards", submitter.logs)
    started = time.monotonic()
    code = cluster.head.stop(90)
    assert time.monotonic() - started < 60 and code != 137, cluster.head.logs()[-3000:]
    done = [name for name in store.names(f"{run_uri}/predictions/") if name.endswith(".done")]
    bodies = {name: store.read(f"{run_uri}/predictions/{name}") for name in done}
    assert store.read_json(f"{run_uri}/predict/status.json")["state"] == "stopped"
    for container in (cluster.head, cluster.base, cluster.predict):
        if container is not cluster.head:
            container.stop(30)
        container.start()
        if container is cluster.head:
            cluster.wait_for_nodes(1)
    cluster.wait_for_nodes(3)
    resumed = cluster.submit(new_id(), entrypoint(sample_uri, run_uri, 0))
    assert resumed.wait(900) == 0, resumed.logs()[-4000:]
    assert all(store.read(f"{run_uri}/predictions/{name}") == body for name, body in bodies.items())
    assert answers(store, run_uri) == expected
