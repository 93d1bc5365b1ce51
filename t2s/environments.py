"""Which environment a job needs, and where its interpreter is.

    all others, engine.kind scripted, executor.kind ray (the launcher)          .venvs/core          make setup
    engine.kind vllm, transformers                  with an NVIDIA GPU          .venvs/predict       make setup-predict
                                                    without                     .venvs/predict-cpu   make setup-predict
    train, merge, publish, board                                                .venvs/train         make setup-train

In a container image there is no `.venvs`: its own interpreter has what its jobs need.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal, NamedTuple

from t2s.errors import MissingExtra
from t2s.settings import JobSettings, PredictSettings, TrainSettings

EnvironmentName = Literal["core", "predict", "predict-cpu", "train"]

MAKE_TARGET: dict[EnvironmentName, str] = {
    "core": "make setup",
    "predict": "make setup-predict",
    "predict-cpu": "make setup-predict",
    "train": "make setup-train",
}
_MARKING_MODULE: dict[EnvironmentName, str] = {"predict": "vllm", "predict-cpu": "vllm", "train": "llamafactory"}


class Environment(NamedTuple):
    """An environment that can run the job.

    Attributes:
        name: As under `.venvs/`; of a container's own one, too.
        python: Absolute path of its interpreter.
        is_current: Whether this process runs in it.
    """

    name: EnvironmentName
    python: Path
    is_current: bool


def repository_root() -> Path:
    """The checkout (or the folder in an image) that holds `t2s/`, `jobs/` and `.venvs/`."""
    return Path(__file__).resolve().parents[1]


def needed(settings: JobSettings, has_gpu: bool) -> EnvironmentName:
    """The environment that a job with these settings needs."""
    if isinstance(settings, TrainSettings):
        # On a cluster this process only launches.
        return "core" if settings.executor.kind == "ray" and not settings.dry_run else "train"
    if settings.job in ("merge", "publish", "board"):
        return "train"
    if not isinstance(settings, PredictSettings):
        return "core"
    # The launcher needs Ray alone; the real driver and the engines run where the cluster offers their resource.
    if settings.engine.kind == "scripted" or (settings.executor.kind == "ray" and not settings.dry_run):
        return "core"
    return "predict" if has_gpu else "predict-cpu"


def find(name: EnvironmentName, root: Path) -> Environment:
    """Locate an environment under `root`.

    Raises:
        MissingExtra: It is not there; says which make target makes it.
    """
    folder = root / ".venvs" / name
    if (folder / "bin" / "python").exists():
        # Not resolved: in a virtual environment `python` is a link, and only the link's own place makes it one.
        return Environment(name, folder / "bin" / "python", Path(sys.prefix).resolve() == folder.resolve())
    module = _MARKING_MODULE.get(name)
    if module is None or importlib.util.find_spec(module) is not None:
        return Environment(name, Path(sys.executable), True)
    raise MissingExtra(
        f"this needs the environment {name}, found no {folder}: make it with `{MAKE_TARGET[name]}` in {root}"
    )


def has_nvidia_gpu() -> bool:
    """Whether `nvidia-smi -L` lists a GPU: the question that `make setup-predict` asks too."""
    return bool(nvidia_smi("-L"))


def nvidia_smi(*arguments: str) -> list[str]:
    """The lines that `nvidia-smi` prints; none where it is absent or fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        found = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line for line in found.stdout.splitlines() if line.strip()] if found.returncode == 0 else []
