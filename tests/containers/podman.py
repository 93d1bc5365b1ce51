"""Containers for tests: real ones, by podman, hardened as in production, and gone with the test.

    with Podman() as podman:
        container = podman.start("localhost/test-t2s-base:0.1.0", "sleep", "60")
        podman.run("localhost/test-t2s-base:0.1.0", "t2s", "--version").stdout

A test process that was killed ran no end: its containers are removed by the next one.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

HERE = Path(__file__).resolve().parent
OWNER = "t2s-test-owner"
HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp")
WRITABLE = ("--volume=/home/t2s", "--volume=/cache", "--shm-size=512m")
"""Anonymous volumes: they take owner and mode from the image's folder, as a tmpfs of this podman does not."""


def demand(*programs: str) -> None:
    """Skip the test where a program is not here, or where containers cannot be started."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: apt-get install {' '.join(programs)} iptables")
    if os.geteuid() != 0:
        pytest.skip("runs containers without a daemon, and so as root")


def program(name: str) -> Path:
    """A program of the development environment, or of this machine; skips the test where there is none."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not in this environment; the development environment has it")
    return Path(found)


class Podman:
    """One test session's containers, on a network of their own; names of containers are names in its DNS."""

    def __init__(self) -> None:
        demand("podman", "runc")
        self.name = f"t2s-test-{os.getpid()}-{secrets.token_hex(3)}"
        self.network = self.name
        self._count = 0

    def __enter__(self) -> Self:
        self._remove_abandoned()
        self("network", "create", "--label", f"{OWNER}={os.getpid()}", self.network)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove(os.getpid())

    def __call__(self, *words: str, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run podman; both outputs are text, and part of the error where it fails and `check`."""
        done = subprocess.run(
            ["podman", *words],
            env={**os.environ, "CONTAINERS_CONF": str(HERE / "containers.conf")},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"podman {' '.join(words)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def words(self, image: str, name: str, env: Mapping[str, str], options: Sequence[str]) -> list[str]:
        """What `run` and `start` have in common."""
        labels = ["--label", f"{OWNER}={os.getpid()}", "--name", name, "--network", self.network, "--pull=never"]
        variables = [word for key, value in env.items() for word in ("--env", f"{key}={value}")]
        return [*labels, *HARDENED, *variables, *options, image]

    def run(
        self,
        image: str,
        *command: str,
        env: Mapping[str, str] | None = None,
        options: Sequence[str] = WRITABLE,
        check: bool = True,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Run a container to its end and remove it; its outputs and exit code."""
        words = self.words(image, self.new_name(), env or {}, options)
        return self("run", "--rm", *words, *command, check=check, timeout=timeout)

    def start(
        self,
        image: str,
        *command: str,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        options: Sequence[str] = WRITABLE,
    ) -> Container:
        """Start a container and leave it running."""
        name = name or self.new_name()
        self("run", "--detach", *self.words(image, name, env or {}, options), *command)
        return Container(self, name)

    def new_name(self) -> str:
        """A container name that nobody has."""
        self._count += 1
        return f"{self.name}-{self._count}"

    def _remove_abandoned(self) -> None:
        listed = self("ps", "--all", "--filter", f"label={OWNER}", "--format", "json").stdout
        for container in json.loads(listed or "[]"):
            owner = int(container["Labels"][OWNER])
            if not Path(f"/proc/{owner}").exists():
                self._remove(owner)

    def _remove(self, owner: int) -> None:
        found = self("ps", "--all", "--quiet", "--filter", f"label={OWNER}={owner}").stdout.split()
        if found:
            self("rm", "--force", "--time", "0", "--volumes", *found)
        for network in self("network", "ls", "--quiet", "--filter", f"label={OWNER}={owner}").stdout.split():
            self("network", "rm", "--force", network)


class Container:
    """A container that was started."""

    def __init__(self, podman: Podman, name: str) -> None:
        self._podman = podman
        self.name = name

    def exec(self, *command: str, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a command in it, with its environment."""
        return self._podman("exec", self.name, *command, check=check, timeout=timeout)

    def logs(self) -> str:
        """Everything that it has printed."""
        done = self._podman("logs", self.name, check=False)
        return done.stdout + done.stderr

    def state(self) -> dict[str, Any]:
        """podman's own words: Status, ExitCode, Pid, ..."""
        found: list[dict[str, Any]] = json.loads(self._podman("inspect", self.name).stdout)
        state: dict[str, Any] = found[0]["State"]
        return state

    def is_running(self) -> bool:
        """Whether its first process lives."""
        return bool(self.state()["Running"])

    def stop(self, grace_s: int) -> int:
        """SIGTERM, after `grace_s` SIGKILL; returns the exit code (137: it was killed)."""
        self._podman("stop", "--time", str(grace_s), self.name, timeout=grace_s + 60)
        return int(self.state()["ExitCode"])

    def kill(self) -> None:
        """SIGKILL for all of its processes, as when a node is lost."""
        self._podman("kill", "--signal", "KILL", self.name)
        wait_for(lambda: not self.is_running(), 30, f"the end of {self.name}")

    def start(self) -> None:
        """Start it again, with its volumes."""
        self._podman("start", self.name)

    def wait(self, timeout: float) -> int:
        """Wait for its end; returns its exit code."""
        wait_for(lambda: not self.is_running(), timeout, f"the end of {self.name}", self.logs)
        return int(self.state()["ExitCode"])

    def processes(self) -> list[str]:
        """Command lines or titles of its processes."""
        script = "for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$file 2>/dev/null; echo; done"
        return [line for line in self.exec("bash", "-c", script, check=False).stdout.splitlines() if line]


def wait_for(condition: Callable[[], bool], timeout_s: float, what: str, told: Callable[[], str] = str) -> None:
    """Poll until `condition()` is true; `told` gives what explains why it never was."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:.0f} s for {what}\n{told()[-6000:]}")
        time.sleep(0.2)
