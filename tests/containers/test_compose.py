"""docker/demo.sh and compose.yaml for real, by podman-compose: the sample from nothing to its score, and a cluster."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers import images
from tests.containers.podman import HERE, demand, program
from tests.servers import free_ports

pytestmark = [pytest.mark.containers, pytest.mark.timeout(3600)]

TAG = "composed"
"""Of its own: the images of the other tests stay as they are."""


class Project:
    """A copy of the checkout, as a user has it, and its containers.

    Args:
        folder: Where the copy goes.
    """

    def __init__(self, folder: Path) -> None:
        demand("podman", "runc", "buildah")
        compose = program("podman-compose")
        self.folder = images.copy_of_the_code(folder)
        (self.folder / "docker" / ".env").unlink(missing_ok=True)
        self._compose = [str(compose), "--project-name", f"t2s-test-{os.getpid()}"]
        s3, ray, client = free_ports(3)
        self._environment = {
            **os.environ,
            "CONTAINERS_CONF": str(HERE / "containers.conf"),
            "COMPOSE": " ".join(self._compose),
            "BUILDER": "buildah",
            "BASE_IMAGE": images.base(),
            "PREFIX": images.PREFIX,
            "TAG": TAG,
            "REVISION": images.revision(),
            "S3_PORT": str(s3),
            "RAY_PORT": str(ray),
            "RAY_CLIENT_PORT": str(client),
        }
        if os.environ.get("SSL_CERT_FILE"):
            self._environment["CA_FILE"] = os.environ["SSL_CERT_FILE"]

    def __call__(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in `docker/`."""
        done = subprocess.run(
            words,
            cwd=self.folder / "docker",
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=2400,
            check=False,
        )
        assert not check or done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done

    def compose(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run podman-compose."""
        return self(*self._compose, *words, check=check)

    def close(self) -> None:
        """Remove containers and volumes."""
        self.compose("--profile", "cpu", "--profile", "jobs", "down", "--volumes", "--timeout", "1", check=False)
        names = [images.image(name, TAG) for name in ("base", "predict-cpu", "s3")]
        self("podman", "rmi", "--force", *names, check=False)
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, base_image: str, predict_image: str) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("compose") / "checkout")
    images.build(["base", "predict-cpu", "s3"], project.folder, tag=TAG)
    yield project
    project.close()


def test_one_command_takes_the_sample_from_nothing_to_its_score(project: Project) -> None:
    done = project("./demo.sh")
    assert "50 turns, 0 with an error: s3://t2s/runs/sample/predictions.json" in done.stdout
    assert "report: s3://t2s/runs/sample/report.html" in done.stdout
    made = project.folder / "docker" / ".env"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    secrets = made.read_text()
    values = dict(line.split("=", 1) for line in secrets.splitlines() if line and not line.startswith("#"))
    assert [len(values[name]) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "RAY_AUTH_TOKEN")] == [
        20,
        40,
        64,
    ]
    project("./make-env.sh", "podman-compose")
    assert made.read_text() == secrets, "they are kept"


def test_the_services_listen_on_the_loopback_alone(project: Project) -> None:
    project("./make-env.sh", "podman-compose")
    project.compose("up", "--detach", "s3")
    listed = json.loads(project("podman", "ps", "--format", "json").stdout)
    ours = [one for one in listed if one["Labels"].get("io.podman.compose.project") == f"t2s-test-{os.getpid()}"]
    ports = [port for one in ours for port in one["Ports"] or []]
    assert ports and {port["host_ip"] for port in ports} == {"127.0.0.1"}


@pytest.mark.slow
def test_a_job_is_submitted_to_the_cluster_of_compose(project: Project) -> None:
    project("./make-env.sh", "podman-compose")
    project.compose("up", "--detach", "s3")
    project.compose("--profile", "jobs", "run", "--rm", "sample-data")
    project.compose("--profile", "cpu", "up", "--detach", "ray-head", "ray-base", "ray-predict-cpu")
    words = ["/opt/venv/bin/python", "/opt/t2s/jobs/predict.py", "/opt/t2s/configs/predict_rehearsal.yaml"]
    words += ["dataset_uri=s3://t2s/datasets/sample/test_data/test.json", "run_uri=s3://t2s/runs/on-ray", "limit=12"]
    words += ["executor.kind=ray", "executor.num_engines=1", "engine.scripted.delay_s=0"]
    script = f"until ray job list >/dev/null 2>&1; do sleep 1; done; ray job submit -- {' '.join(words)}"
    done = project.compose("--profile", "cpu", "exec", "-T", "ray-head", "timeout", "600", "bash", "-c", script)
    assert "succeeded" in done.stdout
    wrong = ["-e", "RAY_AUTH_TOKEN=wrong-token-of-nobody-at-all", "ray-head", "ray", "job", "list"]
    refused = project.compose("--profile", "cpu", "exec", "-T", *wrong, check=False)
    assert refused.returncode != 0 and "succeeded" not in refused.stdout.lower()


@pytest.mark.slow
def test_data_that_lies_on_the_node_is_mounted_predicted_and_scored(project: Project) -> None:
    project("./make-env.sh", "podman-compose")
    project.compose("up", "--detach", "s3")
    mine = project.folder / "data" / "mine"
    project(sys.executable, "../scripts/make_sample.py", "--output", str(mine))
    words = ["--profile", "jobs", "run", "--rm", "--volume", f"{mine}/test_data:/data/mine:ro"]
    run = ["run_uri=s3://t2s/runs/mounted", "limit=12"]
    predict = ["predict-cpu", "configs/predict_rehearsal.yaml", "dataset_uri=/data/mine/test.json", *run]
    done = project.compose(*words, *predict, "engine.scripted.delay_s=0")
    assert "50 turns, 0 with an error: s3://t2s/runs/mounted/predictions.json" in done.stdout
    evaluate = ["evaluate", "configs/evaluate_cluster.yaml", "gold_uri=/data/mine/test_gold.json", *run]
    assert "report: s3://t2s/runs/mounted/report.html" in project.compose(*words, *evaluate).stdout
