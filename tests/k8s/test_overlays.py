"""Every overlay renders, and passes validation as strict as an API server's; a misspelt field does not."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from t2s.cluster.submit import STOP_WAIT_S
from t2s.settings import JOB_SETTINGS
from t2s.training.train_config import TrainConfig
from tests.k8s.rendering import FOLDERS, OVERLAYS, ROOT, Object, clusters, named, objects, pods
from tests.k8s.schemas import faults

EACH_FOLDER = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT / "k8s")))
EACH_JOBS = pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
JOBS = ("download", "prepare", "train", "predict", "evaluate")


@pytest.fixture
def schemas(shared: Path) -> Path:
    return shared / "k8s-schemas"


def test_there_are_the_overlays_that_the_readme_names() -> None:
    assert [overlay.name for overlay in OVERLAYS] == ["alibaba-ack", "development", "one-a10", "several-a10"]


@EACH_FOLDER
def test_every_object_is_valid(folder: Path, schemas: Path) -> None:
    found = objects(folder)
    assert found
    assert [fault for one in found for fault in faults(one, schemas)] == []


@EACH_FOLDER
def test_no_object_is_rendered_twice_or_without_our_namespace(folder: Path) -> None:
    found = objects(folder)
    ids = [(one["kind"], one["metadata"]["name"]) for one in found]
    assert len(set(ids)) == len(ids)
    assert {one["metadata"].get("namespace") for one in found if one["kind"] != "Namespace"} == {"t2s"}


@EACH_FOLDER
def test_recipes_are_not_created(folder: Path) -> None:
    assert not [one for one in objects(folder) if one["kind"] == "PodTemplate"]


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """Every mapping of an object whose fields have fixed names, and where it is."""
    if isinstance(value, dict):
        free = {"labels", "annotations", "matchLabels", "limits", "requests", "rayStartParams", "nodeSelector", "data"}
        if not (path and (path[-1] in free or (path[-1] == "resources" and "limits" not in value))):
            yield path, value
        for key, one in value.items():
            yield from places(one, (*path, key))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from places(one, (*path, number))


@pytest.mark.parametrize("name", ["RayCluster", "RayJob", "NetworkPolicy", "PodDisruptionBudget", "LocalQueue"])
def test_a_misspelt_field_is_found_wherever_it_stands(name: str, schemas: Path) -> None:
    overlay = ROOT / "k8s" / "overlays" / "several-a10"
    found = [*objects(overlay), *objects(overlay / "jobs")]
    one = next(one for one in found if one["kind"] == name)
    assert faults(one, schemas) == []
    tried = 0
    for path, mapping in places(one):
        mapping["securityContxt"] = {}
        assert faults(one, schemas), f"{name}: {path}: a misspelt field passed"
        del mapping["securityContxt"]
        tried += 1
    assert tried > 2
    assert faults(one, schemas) == [], "it is as it was"


def _set(one: Object, path: str, value: Any) -> Object:
    *parents, last = path.split(".")
    for key in parents:
        one = one[key]
    if value is None:
        del one[last]
    else:
        one[last] = value
    return one


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("spec.submissionMode", "K8SJobMode", "submissionMode"),
        ("spec.clusterSelector", {"ray.io/cluster": "t2s"}, "exactly one"),
        ("spec.rayClusterSpec", None, "exactly one"),
        ("spec.shutdownAfterJobFinishes", False, "shutdownAfterJobFinishes"),
        ("spec.rayClusterSpec.rayVersion", None, "rayVersion"),
        ("spec.activeDeadlineSeconds", "a day", "activeDeadlineSeconds"),
        ("spec.preRunningDeadlineSeconds", 0, "preRunningDeadlineSeconds"),
        ("spec.rayClusterSpec.authOptions.mode", "password", "mode"),
        ("metadata.name", "t2s-predict-" + "x" * 40, "47"),
    ],
)
def test_what_the_operator_refuses_is_found(path: str, value: Any, said: str, schemas: Path) -> None:
    job = named(objects(ROOT / "k8s/overlays/one-a10/jobs"), "RayJob", "t2s-predict")
    job["spec"]["ttlSecondsAfterFinished"] = 60
    assert faults(job, schemas) == []
    _set(job, path, value)
    assert any(said in fault for fault in faults(job, schemas))


def test_a_kind_without_a_schema_is_a_fault_and_not_a_warning(schemas: Path) -> None:
    one = {"apiVersion": "ray.io/v1", "kind": "RayJbo", "metadata": {"name": "x"}, "spec": {}}
    assert "RayJbo" in faults(one, schemas)[0]


@EACH_JOBS
def test_each_job_has_a_ray_job_that_can_be_selected_by_its_label(overlay: Path) -> None:
    found = objects(overlay / "jobs")
    assert sorted(one["metadata"]["labels"]["app.kubernetes.io/component"] for one in found) == sorted(JOBS)


@EACH_JOBS
def test_entrypoints_are_the_jobs_of_this_repository(overlay: Path) -> None:
    for one in objects(overlay / "jobs"):
        job = one["metadata"]["labels"]["app.kubernetes.io/component"]
        script, config = one["spec"]["entrypoint"].split()[-2:]
        assert (script, config) == (f"/opt/t2s/jobs/{job}.py", f"/opt/t2s/configs/{job}_cluster.yaml")
        assert (ROOT / script.removeprefix("/opt/t2s/")).is_file()
        settings = JOB_SETTINGS[job].load([str(ROOT / config.removeprefix("/opt/t2s/"))])
        uris = [value for key, value in settings.model_dump().items() if key.endswith("_uri") and value is not None]
        assert uris and all(str(uri).startswith("s3://") for uri in uris), "a pod's own files go with it"


@EACH_FOLDER
def test_ray_is_the_version_that_is_locked_and_the_images_are_one_release(folder: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked = next(match[1] for one in project["dependencies"] if (match := re.fullmatch(r"ray\[.*\]==(.+)", one)))
    found = objects(folder)
    assert {cluster["rayVersion"] for one in found for cluster in clusters(one)} == {locked}
    images = [c["image"] for one in found for pod in pods(one) for c in pod.spec["containers"]]
    assert len({image.rpartition(":")[2] for image in images}) == 1
    if folder.parent.name != "development" and folder.name != "development":
        assert {image.rpartition(":")[2] for image in images} == {project["version"]}


@EACH_FOLDER
def test_a_worker_runs_the_image_that_its_custom_resource_promises(folder: Path) -> None:
    promised = {"t2s_predict": "t2s-predict", "t2s_train": "t2s-train", "t2s_base": "t2s-base"}
    seen = set()
    for one in objects(folder):
        for cluster in clusters(one):
            for group in [cluster["headGroupSpec"], *cluster.get("workerGroupSpecs", [])]:
                image = group["template"]["spec"]["containers"][0]["image"].rpartition("/")[2].partition(":")[0]
                for resource in set(group["resources"]) - {"CPU"}:
                    assert image.removesuffix("-cpu") == promised[resource]
                    seen.add(resource)
    assert seen == set(promised)


@EACH_FOLDER
def test_a_stopped_job_has_its_time_and_a_pod_that_ends_has_more(folder: Path) -> None:
    for one in objects(folder):
        for pod in pods(one):
            container = pod.spec["containers"][0]
            if container["name"] != "ray":
                continue
            stop_wait_s = int(named_value(container, "RAY_JOB_STOP_WAIT_TIME_S"))
            pre_stop = container["lifecycle"]["preStop"]["exec"]["command"][-1]
            waits = re.search(r"\{1\.\.(\d+)\}", pre_stop)
            assert waits
            assert stop_wait_s == int(waits[1])
            assert stop_wait_s >= max(STOP_WAIT_S, TrainConfig.model_fields["stop_grace_s"].default)
            drain_s = int(named_value(container, "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"))
            # Ray's own processes end within about ten seconds.
            assert pod.spec["terminationGracePeriodSeconds"] >= stop_wait_s + drain_s + 20


def named_value(container: Object, name: str) -> str:
    return str(next(one["value"] for one in container["env"] if one["name"] == name))


@EACH_FOLDER
def test_gpus_are_asked_for_where_engines_and_training_run_and_only_there(folder: Path) -> None:
    development = "development" in folder.parts
    for one in objects(folder):
        for pod in pods(one):
            limits = pod.spec["containers"][0]["resources"]["limits"]
            image = pod.spec["containers"][0]["image"]
            wants_gpu = not development and ("t2s-predict" in image or "t2s-train" in image)
            assert ("nvidia.com/gpu" in limits) == wants_gpu, pod.where
            if wants_gpu:
                assert pod.spec["nodeSelector"]
                assert any(one["key"] == "nvidia.com/gpu" for one in pod.spec["tolerations"])
                shared_memory = next(v for v in pod.spec["volumes"] if v["name"] == "shared-mem")
                assert shared_memory["emptyDir"]["medium"] == "Memory"


def test_batches_of_several_nodes_wait_in_a_queue_that_exists() -> None:
    overlay = ROOT / "k8s" / "overlays" / "several-a10"
    queue = named(objects(overlay), "LocalQueue")["metadata"]["name"]
    labels = {one["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] for one in objects(overlay / "jobs")}
    assert labels == {queue}
