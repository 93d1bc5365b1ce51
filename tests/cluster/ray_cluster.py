"""A real Ray cluster on this machine: guarded by a token, free ports, its own folder, and gone when it is closed.

    with RayCluster() as cluster:
        cluster.add_node({"t2s_predict": 1})
        cluster.driver("tests/cluster/some_driver.py", "argument")      # a process that can ray.init("auto")

Every process that it starts is a `ray start --block`, or descends from one. `close` kills them by process id:
`ray stop` would end other people's clusters too.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

_LIBC = ctypes.CDLL(None)
ROOT = Path(__file__).resolve().parents[2]

FAKE_HEAD_NODE_ID = "f" * 51 + "0" * 5
"""What Ray calls the head where it is told that nodes are faked (RAY_FAKE_CLUSTER)."""

_NODE_PORTS = (
    "node-manager-port", "object-manager-port", "ray-client-server-port", "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port", "runtime-env-agent-port", "metrics-export-port",
)  # fmt: skip


class RayCluster:
    """A head without job resources; `add_node` brings more nodes.

    Args:
        head_resources: Custom resources of the head.
        node_types: What an autoscaler can bring, one node of each: name -> resources. None: there is no autoscaler.
        environment: Laid over the cluster's environment.
        num_cpus: Of the head.
    """

    def __init__(
        self,
        head_resources: Mapping[str, float] | None = None,
        node_types: Mapping[str, Mapping[str, float]] | None = None,
        environment: Mapping[str, str] | None = None,
        num_cpus: int = 2,
    ) -> None:
        self.token = secrets.token_hex(16)
        # Not pytest's tmp_path: Ray's sockets lie in it, and a socket's path may have 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="t2s-ray-"))
        self._environment = {
            # Nothing of a surrounding cluster or of the developer's own settings may leak in.
            **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "T2S_", "AWS_"))},
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            **(environment or {}),
        }
        if node_types is not None:
            self._environment |= {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
        self._starters: list[subprocess.Popen[bytes]] = []
        try:
            self._persist(lambda: self._start_head(head_resources or {}, node_types, num_cpus))
        except BaseException:
            self.close()
            raise

    @property
    def gcs_address(self) -> str:
        """For `ray.init`."""
        return f"{_own_ip()}:{self._gcs_port}"

    @property
    def api_address(self) -> str:
        """For job submission."""
        return f"http://127.0.0.1:{self._dashboard_port}"

    @property
    def environment(self) -> dict[str, str]:
        """For a driver on one of the nodes."""
        return {**self._environment, "RAY_ADDRESS": self.gcs_address}

    def add_node(self, resources: Mapping[str, float], num_cpus: int = 2) -> None:
        """Start one more node and wait until the cluster counts it."""
        count = len(self._starters) + 1

        def start() -> None:
            self._start([f"--address={self.gcs_address}"], resources, num_cpus)
            self._wait(lambda: self.num_nodes() == count, f"{count} nodes")

        self._persist(start)

    def num_nodes(self) -> int:
        """Live nodes."""
        answer = json.loads(self.get("/nodes?view=summary"))
        return sum(node["raylet"].get("state") == "ALIVE" for node in answer["data"]["summary"])

    def get(self, path: str) -> bytes:
        """The body of a GET request to the head, with the token."""
        request = urllib.request.Request(f"{self.api_address}{path}", headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=10) as response:
            body: bytes = response.read()
        return body

    def driver(
        self, *words: str, environment: Mapping[str, str] | None = None, output: int | IO[str] = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """Start Python with these words on the head, its output in one pipe or file; the caller waits for it."""
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT,
            env={**self.environment, **(environment or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def processes(self) -> list[int]:
        """Ids of all processes that descend from the nodes."""
        parents = {pid: parent_of(pid) for pid in map(int, filter(str.isdecimal, os.listdir("/proc")))}
        found = [starter.pid for starter in self._starters if starter.pid in parents]
        for pid in found:  # grows while it is walked: children stand behind their parents
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def workers(self, title: str) -> list[int]:
        """Ids of those processes whose title holds `title`, e.g. `ray::MapWorker`."""
        return [pid for pid in self.processes() if title in command_of(pid)]

    def close(self) -> None:
        """Kill every process of the cluster and remove its folder."""
        processes = self.processes()
        for pid in processes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for starter in self._starters:
            starter.wait(10)
        wait_for(lambda: not any(map(is_alive, processes)), 10, f"the end of the processes {processes}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, options: Sequence[str], resources: Mapping[str, float], num_cpus: int) -> None:
        command = [
            str(Path(sys.executable).with_name("ray")),
            "start",
            "--block",
            "--disable-usage-stats",
            f"--num-cpus={num_cpus}",
            "--object-store-memory=80000000",
            # Workers take ports that the system gives them: by default Ray claims 10002 to 19999 for them.
            "--min-worker-port=0",
            "--max-worker-port=0",
            f"--resources={json.dumps(dict(resources))}",
            *(f"--{name}={port}" for name, port in zip(_NODE_PORTS, free_ports(len(_NODE_PORTS)), strict=True)),
            *options,
        ]
        with open(self.folder / f"node-{len(self._starters)}.log", "wb") as log:
            self._starters.append(
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=self._environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_die_with_parent,
                )
            )

    def _start_head(
        self, resources: Mapping[str, float], node_types: Mapping[str, Mapping[str, float]] | None, num_cpus: int
    ) -> None:
        self._gcs_port, self._dashboard_port = free_ports(2)
        options = [
            "--head",
            f"--port={self._gcs_port}",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-port={self._dashboard_port}",
            f"--temp-dir={self.folder}",
        ]
        if node_types is not None:
            autoscaling = self.folder / "autoscaling.yaml"
            autoscaling.write_text(json.dumps(_autoscaling(node_types, self.gcs_address)), encoding="utf-8")
            options.append(f"--autoscaling-config={autoscaling}")
        self._start(options, resources, num_cpus)

        def is_up() -> bool:
            try:
                # The job API answers last of all: it needs the head's agent.
                return self.num_nodes() == 1 and self.get("/api/jobs/") == b"[]"
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                return False

        self._wait(is_up, "the head of the cluster")

    def _persist(self, start: Callable[[], None]) -> None:
        """Start a node, on a busy machine again: Ray gives up after 30 s, and a port can be taken meanwhile."""
        for tries_left in (2, 1, 0):
            try:
                return start()
            except RuntimeError:
                if not tries_left:
                    raise
                self._starters.pop().wait()

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for what the node that was started last brings; `RuntimeError` with its log if it ends."""
        starter, log = self._starters[-1], self.folder / f"node-{len(self._starters) - 1}.log"

        def holds() -> bool:
            if starter.poll() is not None:
                raise RuntimeError(log.read_text(encoding="utf-8", errors="replace"))
            return condition()

        wait_for(holds, 240, what)


def wait_for(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Poll until `condition()` is true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:.0f} s for {what}")
        time.sleep(0.1)


def _die_with_parent() -> None:
    # A test process that is killed runs no fixture's end; Ray's own processes die with their `ray start --block`.
    _LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _own_ip() -> str:
    # Ray replaces 127.0.0.1 by the address that it would be reached by; the same way to find it. Sends nothing.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("8.8.8.8", 80))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _autoscaling(node_types: Mapping[str, Mapping[str, float]], gcs_address: str) -> dict[str, object]:
    """Configuration of Ray's autoscaler with the provider that starts more nodes on this machine."""
    workers = {
        name: {"resources": {**resources, "object_store_memory": 80_000_000}, "node_config": {}, "max_workers": 1}
        for name, resources in node_types.items()
    }
    commands = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    return {
        "cluster_name": "t2s-test",
        "max_workers": len(workers),
        "provider": {
            "type": "fake_multinode",
            "gcs_address": gcs_address,
            "head_node_id": FAKE_HEAD_NODE_ID,
            "launch_multiple": True,
        },
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {}, "node_config": {}, "max_workers": 0},
            **workers,
        },
        "idle_timeout_minutes": 5,
        "upscaling_speed": 1.0,
        "file_mounts_sync_continuously": False,
        **{f"{name}_commands": [] for name in commands},
        **{name: {} for name in ("auth", "docker", "file_mounts")},
        **{name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
    }


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on at any of this machine's addresses; below those that the system gives away."""
    ports: list[int] = []
    with ExitStack() as held:
        while len(ports) < number:
            port = random.SystemRandom().randrange(22_100, 31_900)
            try:
                held.enter_context(socket.create_server(("", port)))
            except OSError:
                continue
            ports.append(port)
    return ports


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def command_of(pid: int) -> str:
    """A process's command line or title; "" when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def parent_of(pid: int) -> int:
    """The process that it descends from; 0 when it has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
