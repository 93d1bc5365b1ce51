"""The commands inside the pods do what their comments say: they run here as the kubelet would run them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from t2s.cluster.resources import RESOURCE_SHARE, offers
from tests.k8s.rendering import OVERLAYS, ROOT, Object, clusters, named, objects

OVERLAY = ROOT / "k8s" / "overlays" / "one-a10"


def ray_container(group: str = "head") -> Object:
    spec = named(objects(OVERLAY), "RayCluster")["spec"]
    groups = {"head": spec["headGroupSpec"], **{one["groupName"]: one for one in spec["workerGroupSpecs"]}}
    container: Object = groups[group]["template"]["spec"]["containers"][0]
    return container


def test_the_shell_becomes_what_kuberay_starts_with_its_quotes_taken_as_quotes() -> None:
    container = ray_container()
    init, dashes, *shell = container["command"]
    assert (init, dashes) == ("tini", "--"), "signals reach Ray, and orphans are buried"
    show = "import json, os, sys; print(json.dumps([os.getpid(), sys.argv[1:]]))"
    # As KubeRay writes it: ray start with its parameters, quoted for a shell.
    started = f"{sys.executable} -c '{show}' --block --resources='{{\"t2s_predict\":1}}' --num-cpus=6 "
    process = subprocess.Popen(
        [*shell, *container["args"]],
        env={**os.environ, "KUBERAY_GEN_RAY_START_CMD": started},
        stdout=subprocess.PIPE,
        text=True,
    )
    pid, words = json.loads(process.communicate(timeout=60)[0])
    assert pid == process.pid
    assert words == ["--block", '--resources={"t2s_predict":1}', "--num-cpus=6"]


FAKE_JOB = """
import pathlib, signal, sys, time
def stop(*_):
    time.sleep(2)
    pathlib.Path("committed").touch()
    sys.exit(3)
signal.signal(signal.SIGTERM, stop)
pathlib.Path("started").touch()
while True: time.sleep(0.1)
"""


def end_pod(folder: Path, start: str) -> float:
    """Run the preStop command in a process tree of its own, after `start`; returns how long it took, seconds."""
    command = ray_container()["lifecycle"]["preStop"]["exec"]["command"]
    (folder / "command.json").write_text(json.dumps(command), encoding="utf-8")
    (folder / "run.py").write_text(
        "import json, subprocess; subprocess.run(json.load(open('command.json')), check=True)", encoding="utf-8"
    )
    script = f"{start}\n{sys.executable} -c 'import time; print(time.monotonic())'\n{sys.executable} run.py\n"
    script += f"{sys.executable} -c 'import time; print(time.monotonic())'\n"
    (folder / "pod.sh").write_text(script, encoding="utf-8")
    unshare = [
        "unshare",
        *([] if os.getuid() == 0 else ["--user", "--map-root-user"]),
        "--pid",
        "--fork",
        "--mount-proc",
    ]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("needs a process namespace of its own (unshare): the command looks at every process there is")
    done = subprocess.run([*unshare, "bash", "pod.sh"], cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    began, ended = (float(line) for line in done.stdout.split())
    return ended - began


def test_a_head_that_ends_asks_its_jobs_to_stop_and_waits_for_them(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "predict.py").write_text(FAKE_JOB, encoding="utf-8")
    start = f"{sys.executable} jobs/predict.py configs/predict_cluster.yaml &\nuntil [ -e started ]; do sleep 0.1; done"
    took_s = end_pod(tmp_path, start)
    assert (tmp_path / "committed").exists()
    assert 2 <= took_s < 15


def test_a_worker_that_ends_lets_its_driver_work_on_and_does_not_stop_it(tmp_path: Path) -> None:
    took_s = end_pod(tmp_path, "(exec -a ray::JobDriver.run bash -c 'sleep 3; touch finished') &\nsleep 0.5")
    assert (tmp_path / "finished").exists()
    assert 2 <= took_s < 15


def test_a_pod_where_nothing_runs_ends_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    assert end_pod(tmp_path, "sleep 60 &") < 5
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_rays_own_autoscaler_reads_which_group_has_what_a_job_wants(overlay: Path) -> None:
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    cluster = named(objects(overlay), "RayCluster")
    types = _derive_autoscaling_config_from_ray_cr(cluster)["available_node_types"]
    assert types["headgroup"]["resources"]["CPU"] == 0, "nothing but launchers on the head"
    num_gpus = 0 if overlay.name == "development" else 1
    for job, gpus in (("predict", num_gpus), ("train", num_gpus), ("base", 0)):
        wanted = {f"t2s_{job}": RESOURCE_SHARE, "CPU": 1.0, "GPU": float(gpus)}
        wanted = {name: amount for name, amount in wanted.items() if amount}
        offering = [name for name, one in types.items() if offers(one["resources"], wanted)]
        assert offering == [job]
        assert types[job]["min_workers"] == 0, "an idle GPU is given back"


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_an_autoscaled_cluster_holds_no_gpu_while_nothing_runs(overlay: Path) -> None:
    (spec,) = clusters(named(objects(overlay), "RayCluster"))
    if not spec.get("enableInTreeAutoscaling"):
        assert overlay.name == "development"
        return
    assert {group["replicas"] for group in spec["workerGroupSpecs"]} == {0}
    assert 60 <= spec["autoscalerOptions"]["idleTimeoutSeconds"] <= 600
    policies = {one["metadata"]["name"] for one in objects(overlay) if one["kind"] == "NetworkPolicy"}
    assert "kubernetes-api" in policies, "the autoscaler reaches the API server"
