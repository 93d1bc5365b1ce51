"""t2s-base, built for real: what is in it and what is not, how a change is built, and what makes the same digest."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import time
from pathlib import Path

import pytest

from tests.containers import images
from tests.containers.podman import Podman

pytestmark = [pytest.mark.containers, pytest.mark.timeout(3600)]

ROOT = images.ROOT
BUILDING_ALONE = ("cc", "gcc", "g++", "clang", "tcc", "ld", "as", "make", "cmake", "uv", "git", "ninja")

PROBE = r"""
import importlib.util, json, os, pathlib, platform, shutil, sys
import ray
writable = []
places = "/ /opt /opt/t2s /opt/venv /etc /usr/local/bin /tmp /home/t2s /cache /dev/shm"
for folder in places.split():
    try:
        pathlib.Path(folder, ".probe").write_text("x")
        writable.append(folder)
    except OSError:
        pass
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
print(json.dumps({
    "user": [os.getuid(), os.getgid()], "home": os.environ["HOME"], "init": pathlib.Path("/proc/1/comm").read_text(),
    "python": platform.python_version(), "executable": sys.executable, "ray": ray.__version__,
    "torch": importlib.util.find_spec("torch") is not None, "writable": writable,
    "capabilities": status["CapBnd"].strip() + status["CapEff"].strip(), "privileges": status["NoNewPrivs"].strip(),
    "programs": {name: shutil.which(name) for name in sys.argv[1:]},
    "ray_link": os.readlink("/usr/local/bin/ray"), "bytecode": importlib.util.find_spec("t2s.job").cached,
    "uncompiled": [str(p) for p in pathlib.Path("/opt/t2s/t2s").rglob("*.py")
                   if not pathlib.Path(importlib.util.cache_from_source(str(p))).exists()],
}))
"""


def test_what_manifests_and_compose_rely_on_is_in_the_base_image(podman: Podman, base_image: str) -> None:
    programs = [*BUILDING_ALONE, "tini", "bash", "grep", "ray", "t2s", "t2s-start", "t2s-ray"]
    found = json.loads(podman.run(base_image, "/opt/venv/bin/python", "-c", PROBE, *programs).stdout)
    assert (found["user"], found["home"], found["init"]) == ([10001, 10001], "/home/t2s", "tini\n")
    assert found["executable"] == "/opt/venv/bin/python"
    assert found["ray_link"] == "/opt/venv/bin/ray"
    assert found["writable"] == ["/tmp", "/home/t2s", "/cache", "/dev/shm"]
    assert (int(found["capabilities"], 16), found["privileges"]) == (0, "1")
    assert not found["torch"]
    assert [name for name, path in found["programs"].items() if path] == programs[len(BUILDING_ALONE) :]
    assert found["uncompiled"] == [], "the root is read-only: what is not compiled yet never will be"
    (pinned,) = re.findall(r"^ray==(\S+)", (ROOT / "locks" / "core.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert found["ray"] == pinned


@pytest.mark.parametrize("job", ["download", "prepare", "evaluate", "predict", "pipeline"])
def test_a_job_is_found_from_any_folder(podman: Podman, base_image: str, job: str) -> None:
    words = ["bash", "-c", f"cd /tmp && exec /opt/venv/bin/python /opt/t2s/jobs/{job}.py --help"]
    assert f"usage: python jobs/{job}.py" in podman.run(base_image, *words).stdout


def test_the_image_says_what_it_is(base_image: str) -> None:
    found = images.inspect(base_image)
    labels = found["Config"]["Labels"]
    if (ROOT / ".git").exists():
        words = ["git", "cat-file", "-t", labels["org.opencontainers.image.revision"]]
        assert images.output_of(words, 60).strip() == "commit"
    assert labels["org.opencontainers.image.title"] == "t2s core"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    (version,) = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert labels["org.opencontainers.image.version"] == version
    assert found["Config"]["User"] == "10001:10001"
    assert found["Created"].startswith("1980-01-01"), "no time of the build in the image"
    secret = re.compile("index|password|token", re.IGNORECASE)
    named = [entry for entry in found["History"] if secret.search(re.sub(r"--mount=\S+", "", entry["created_by"]))]
    assert named == []


def test_a_change_of_the_code_is_built_in_under_20_s_and_changes_one_layer(
    podman: Podman, base_image: str, tmp_path: Path
) -> None:
    context = images.copy_of_the_code(tmp_path / "changed")
    marker = secrets.token_hex(8)
    with (context / "t2s" / "errors.py").open("a", encoding="utf-8") as file:
        file.write(f'\nMARKER = "{marker}"\n')
    started = time.monotonic()
    images.build(["base"], context, tag="changed")
    seconds = time.monotonic() - started
    changed = images.image("base", "changed")
    try:
        script = "import t2s.errors; print(t2s.errors.MARKER)"
        assert podman.run(changed, "python", "-c", script).stdout.strip() == marker
        differing = [one != other for one, other in zip(images.layers(base_image), images.layers(changed), strict=True)]
        assert sum(differing) == 1 and differing[-1]
    finally:
        podman("rmi", changed)
    print(f"\na change of the code: {seconds:.1f} s")
    assert seconds < 20


def code_layer(context: Path, tag: str) -> str:
    """Digest of the layer that the code of `context` becomes, built without any cache."""
    stage = f"{images.PREFIX}code:{tag}"
    words = ["--isolation", "chroot", "--no-cache", "--pull=false", "--target", "code", "--tag", stage]
    words += ["--build-arg", f"BASE_IMAGE={images.base()}", *images.secrets()]
    dockerfile = context / "docker" / "Dockerfile"
    words += ["--ignorefile", f"{dockerfile}.dockerignore", "--file", str(dockerfile), str(context)]
    images.output_of(["buildah", "build", *words], 600)
    container = images.output_of(["buildah", "from", "scratch"], 60).strip()
    images.output_of(["buildah", "copy", "--quiet", "--from", stage, container, "/code", "/"], 120)
    result = f"{images.PREFIX}code-layer:{tag}"
    images.output_of(["buildah", "commit", "--quiet", "--rm", "--timestamp", "315532800", container, result], 120)
    (layer,) = images.layers(result)
    images.output_of(["podman", "rmi", result, stage], 120)
    return layer


@pytest.mark.slow
def test_the_same_code_is_the_same_layer_whoever_checks_it_out_and_when(base_image: str, tmp_path: Path) -> None:
    ours = images.copy_of_the_code(tmp_path / "ours")
    theirs = images.copy_of_the_code(tmp_path / "theirs")
    for path in theirs.rglob("*"):
        os.utime(path, (1_500_000_000, 1_500_000_000))
        executable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o700 if executable else 0o600)  # as under umask 077
    digest = code_layer(ours, "ours")
    assert code_layer(theirs, "theirs") == digest
    assert digest == images.layers(base_image)[-1]
    with (theirs / "t2s" / "errors.py").open("a", encoding="utf-8") as file:
        file.write("\n# another code\n")
    assert code_layer(theirs, "theirs") != digest


@pytest.mark.slow
def test_the_base_image_is_under_400_mb_compressed(base_image: str, tmp_path: Path) -> None:
    images.output_of(["buildah", "push", "--quiet", base_image, f"dir:{tmp_path / 'image'}"], 1200)
    size = sum(path.stat().st_size for path in (tmp_path / "image").iterdir())
    print(f"\nt2s-base compressed: {size / 1e6:.0f} MB")
    manifest = json.loads((tmp_path / "image" / "manifest.json").read_text(encoding="utf-8"))
    assert all(layer["mediaType"].endswith("gzip") for layer in manifest["layers"])
    assert 50e6 < size < 400e6


@pytest.mark.parametrize(
    ("needs", "driver", "code", "said"),
    [
        ("580 13", "535.183.06", 2, "wants an NVIDIA driver of the R580 line or newer, this node has 535.183.06"),
        ("580 13", "580.95.05", 0, ""),
        ("525 12", "535.183.06", 0, ""),
        ("525 12", "470.256.02", 2, "no image of ours is for older ones"),
        ("580 13", None, 0, ""),
    ],
)
def test_an_older_driver_is_refused_at_the_start_with_the_way_out(
    podman: Podman, base_image: str, tmp_path: Path, needs: str, driver: str | None, code: int, said: str
) -> None:
    options = [*(f"--volume={folder}" for folder in ("/home/t2s", "/cache"))]
    (tmp_path / "cuda-driver").write_text(needs + "\n")
    options.append(f"--volume={tmp_path / 'cuda-driver'}:/opt/venv/cuda-driver:ro")
    if driver is not None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/bash\necho {driver}\n")
        program.chmod(0o755)
        options.append(f"--volume={program}:/usr/bin/nvidia-smi:ro")
    done = podman.run(base_image, "echo", "started", options=options, check=False)
    assert (done.returncode, "started" in done.stdout) == (code, code == 0)
    assert said in done.stderr
    if needs == "580 13" and code:
        assert "CUDA=12 scripts/build_images.sh" in done.stderr


def test_triton_gets_what_was_compiled_for_it_and_nothing_else(podman: Podman, base_image: str, tmp_path: Path) -> None:
    source = tmp_path / "driver.c"
    source.write_text("int answer = 42;\n")
    digest = subprocess.run(["sha256sum", str(source)], capture_output=True, text=True, check=True).stdout.split()[0]
    built = tmp_path / "built.so"
    built.write_text("compiled\n")
    options = [f"--volume={built}:/opt/venv/prebuilt/{digest}.so:ro", f"--volume={source}:/tmp/driver.c:ro"]
    script = "$CC /tmp/driver.c -O3 -shared -fPIC -o /tmp/out.so -L/x -l:libcuda.so.1 && cat /tmp/out.so"
    assert podman.run(base_image, "bash", "-c", script, options=options).stdout == "compiled\n"
    refused = podman.run(base_image, "bash", "-c", "$CC /etc/hostname.c -o /tmp/out.so", options=options, check=False)
    assert refused.returncode == 1
    assert "this image has no C compiler" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize("environment", ["train", "predict", "train-cuda12", "predict-cuda12"])
def test_the_stages_of_a_cuda_image_that_need_neither_cuda_nor_a_registry_are_built(
    base_image: str, environment: str
) -> None:
    dockerfile = ROOT / "docker" / "Dockerfile"
    words = ["--isolation", "chroot", "--layers", "--pull=false", "--build-arg", f"ENVIRONMENT={environment}"]
    words += ["--build-arg", f"BASE_IMAGE={images.base()}", *images.secrets()]
    words += ["--ignorefile", f"{dockerfile}.dockerignore", "--file", str(dockerfile)]
    for stage in ("sample-model", "project", "code", "runtime"):
        name = f"{images.PREFIX}stage-{environment}:{stage}"
        images.output_of(["buildah", "build", *words, "--target", stage, "--tag", name, str(ROOT)], 900)
        if stage == "sample-model":
            container = images.output_of(["buildah", "from", "--pull-never", name], 60).strip()
            listed = images.output_of(["buildah", "run", "--isolation", "chroot", container, "find", "/layers"], 120)
            images.output_of(["buildah", "rm", container], 60)
            assert (".gguf" in listed) == environment.startswith("predict"), "the small model, where it can answer"
        images.output_of(["buildah", "rmi", name], 60)
