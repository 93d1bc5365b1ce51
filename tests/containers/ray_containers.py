"""A Ray cluster of several containers, each from its own image, as in compose.yaml: head, base worker, predict worker.

with RayContainers(podman, store, base_image, predict_image) as cluster:
    cluster.submit("jobs/predict.py", "configs/predict_rehearsal.yaml", ...)
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence

from tests.containers.podman import Container, Podman, wait_for
from tests.containers.store import StoreContainer

PYTHON = "/opt/venv/bin/python"
HEAD_WORDS = ("t2s-ray", "--head", "--num-cpus=0", "--dashboard-host=0.0.0.0", "--object-store-memory=100000000")
OPTIONS = ("--volume=/home/t2s", "--volume=/cache", "--shm-size=512m")
READY_S = 240.0
"""A node is ready after 10 s; on a machine that is busy with other tests, after minutes."""


class RayContainers:
    """Guarded by a token; nothing of it is reachable from outside the tests' network.

    Args:
        podman: Where it runs.
        store: Its jobs' object storage.
        base_image: Of the head and a worker that offers `t2s_base`.
        predict_image: Of a worker that offers `t2s_predict`.
    """

    def __init__(self, podman: Podman, store: StoreContainer, base_image: str, predict_image: str) -> None:
        self._podman = podman
        self._image = base_image
        self._name = f"{podman.name}-head"
        self.api = f"http://{self._name}:8265"
        self.token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
        self._env = {
            **store.env,
            **self.token,
            "RAY_JOB_STOP_WAIT_TIME_S": "125",
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "5",
        }
        self.head = podman.start(base_image, *HEAD_WORDS, name=self._name, env=self._env, options=OPTIONS)
        self.wait_for_nodes(1)
        self.base = self._worker(base_image, "t2s_base")
        self.predict = self._worker(predict_image, "t2s_predict")
        self.wait_for_nodes(3)

    def close(self) -> None:
        """Remove the containers."""
        names = [container.name for container in (self.predict, self.base, self.head)]
        self._podman("rm", "--force", "--time", "0", "--volumes", *names)

    def wait_for_nodes(self, count: int) -> None:
        """Wait until so many nodes are alive and the job API answers."""
        wait_for(lambda: self.num_nodes() == count, READY_S, f"{count} nodes", self.head.logs)

    def num_nodes(self) -> int:
        """Live nodes, as the head says."""
        script = (
            "import json, os, urllib.request as r\n"
            "def get(path):\n"
            "    q = r.Request('http://127.0.0.1:8265' + path)\n"
            "    q.add_header('Authorization', 'Bearer ' + os.environ['RAY_AUTH_TOKEN'])\n"
            "    return json.load(r.urlopen(q, timeout=10))\n"
            "get('/api/jobs/')\n"
            "nodes = get('/nodes?view=summary')['data']['summary']\n"
            "print(sum(node['raylet'].get('state') == 'ALIVE' for node in nodes))\n"
        )
        done = self.head.exec(PYTHON, "-c", script, check=False)
        return int(done.stdout) if done.returncode == 0 else 0

    def submit(self, submission_id: str, words: Sequence[str], *, with_token: bool = True) -> Container:
        """`ray job submit` from a container that is no node; it follows the job to its end."""
        command = ["ray", "job", "submit", "--address", self.api, "--submission-id", submission_id, "--", *words]
        return self._podman.start(self._image, *command, env=self.token if with_token else {}, options=OPTIONS)

    def status(self, submission_id: str) -> str:
        """Ray's word for the state of a job."""
        script = (
            "import sys; from ray.job_submission import JobSubmissionClient as C; "
            "print(C('http://127.0.0.1:8265').get_job_status(sys.argv[1]).value)"
        )
        return self.head.exec(PYTHON, "-c", script, submission_id).stdout.split()[-1]

    def stop(self, submission_id: str) -> None:
        """`ray job stop`."""
        self.head.exec("ray", "job", "stop", "--no-wait", "--address", "http://127.0.0.1:8265", submission_id)

    def _worker(self, image: str, resource: str) -> Container:
        resources = json.dumps({resource: 1})
        words = ["t2s-ray", f"--address={self._name}:6379", "--num-cpus=2", f"--resources={resources}"]
        words.append("--object-store-memory=100000000")
        return self._podman.start(image, *words, env=self._env, options=OPTIONS)
