"""Images for tests: built for real, from this checkout, under names of their own; they stay as the builder's cache.

The base needs no registry: Debian with its own Python (docker/python-base.sh), or whatever BASE_IMAGE says.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.containers.podman import demand

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "localhost/test-"
TAG = "under-test"
CONTEXT = ("docker", "locks", "pyproject.toml", "t2s", "jobs", "configs", "scripts")
_PYTHON_BASE = "localhost/test-python-base:3.11"


def build(names: Sequence[str], context: Path = ROOT, tag: str = TAG, timeout: float = 3600) -> str:
    """Build images with scripts/build_images.sh; returns what it printed."""
    demand("buildah", "podman", "runc", "debootstrap")
    environment = {
        **os.environ,
        "BUILDER": "buildah",
        "BASE_IMAGE": base(),
        "PREFIX": PREFIX,
        "TAG": tag,
        "REVISION": revision(),
    }
    if os.environ.get("SSL_CERT_FILE"):
        environment["CA_FILE"] = os.environ["SSL_CERT_FILE"]
    cache = ROOT / ".venvs" / "uv" / "bin" / "uv"
    if cache.exists() and "UV_CACHE" not in environment:  # what this machine's environments were made of
        environment["UV_CACHE"] = output_of([str(cache), "cache", "dir"], 60).strip()
    return output_of([str(context / "scripts" / "build_images.sh"), *names], timeout, environment)


def image(name: str, tag: str = TAG) -> str:
    """The full name of an image that `build` has built."""
    return f"{PREFIX}t2s-{name}:{tag}"


def inspect(name: str) -> dict[str, Any]:
    """podman's description of an image."""
    found: list[dict[str, Any]] = json.loads(output_of(["podman", "image", "inspect", name], 60))
    return found[0]


def layers(name: str) -> list[str]:
    """Digests of an image's layers, the base's first."""
    digests: list[str] = inspect(name)["RootFS"]["Layers"]
    return digests


def copy_of_the_code(folder: Path) -> Path:
    """A copy of all that images are made of, to be changed."""
    for name in CONTEXT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)
    return folder


def output_of(words: Sequence[str], timeout: float, environment: dict[str, str] | None = None) -> str:
    """Both outputs of a command that must succeed."""
    done = subprocess.run(
        words,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout[-6000:]}"
    return done.stdout


def base() -> str:
    """BASE_IMAGE, or one that is made here, once."""
    given = os.environ.get("BASE_IMAGE")
    if given:
        return given
    exists = subprocess.run(["podman", "image", "exists", _PYTHON_BASE], check=False).returncode == 0
    if not exists:
        output_of([str(ROOT / "docker" / "python-base.sh"), _PYTHON_BASE], 1200)
    return _PYTHON_BASE


def revision() -> str:
    """The commit of this checkout; a copy's images get it too, since the builder's cache does not tell labels apart."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def secrets() -> list[str]:
    """Words for buildah where the package index needs this machine's certificates."""
    return ["--secret", f"id=ca,src={os.environ['SSL_CERT_FILE']}"] if os.environ.get("SSL_CERT_FILE") else []
