"""The working directory as the zip that a cluster unpacks for a job: code and settings, no data, no environments.

    left out by name, anywhere    .git .venv .venvs .cache __pycache__ node_modules and tools' caches
    left out at the top           data runs models
    left out besides              what the patterns in .rayignore match, one a line, as `*.bin` or `notebooks/`

Equal files give an equal zip, byte for byte, so that the cluster's copy of an unchanged folder is used again.
"""

from __future__ import annotations

import fnmatch
import os
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from t2s.errors import SettingsError

MAX_BYTES = 95_000_000
"""Ray's head takes 100 MiB at most."""

_LEFT_OUT_ANYWHERE = frozenset(
    {
        ".git", ".venv", ".venvs", "venv", ".cache", "__pycache__", "node_modules", ".mypy_cache", ".ruff_cache",
        ".pytest_cache", ".hypothesis", ".ipynb_checkpoints",
    }
)  # fmt: skip
LEFT_OUT_AT_THE_TOP = frozenset({"data", "runs", "models"})

_EPOCH = (1980, 1, 1, 0, 0, 0)


def pack(folder: Path, target: Path) -> int:
    """Write the zip of `folder` to `target`; returns its size in bytes.

    Raises:
        SettingsError: It would be bigger than a cluster takes; names the biggest folders.
    """
    files = sorted(_files(folder))
    too_big = f"{folder}: wanted a working directory of at most {MAX_BYTES / 1e6:.0f} MB"
    total = sum(path.stat().st_size for path in files)
    # Models and databases do not get smaller by a tenth; without this check a folder of 30 GB would be zipped first.
    if total > 10 * MAX_BYTES:
        raise SettingsError(f"{too_big}, found {total / 1e6:,.0f} MB; {_biggest(folder, files)}")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (path.stat().st_mode & 0o777) << 16
            archive.writestr(info, path.read_bytes())
    size = target.stat().st_size
    if size > MAX_BYTES:
        raise SettingsError(f"{too_big} when packed, found {size / 1e6:,.0f} MB; {_biggest(folder, files)}")
    return size


def _files(folder: Path) -> Iterator[Path]:
    ignore = folder / ".rayignore"
    lines = ignore.read_text(encoding="utf-8").splitlines() if ignore.is_file() else []
    patterns = [line.strip().strip("/") for line in lines if line.strip() and not line.startswith("#")]
    for parent, folder_names, file_names in os.walk(folder):
        here = Path(parent).relative_to(folder)
        folder_names[:] = [
            name
            for name in folder_names
            if name not in _LEFT_OUT_ANYWHERE
            and not (here == Path(".") and name in LEFT_OUT_AT_THE_TOP)
            and not _is_ignored(here / name, patterns)
        ]
        for name in file_names:
            if (folder / here / name).is_file() and not _is_ignored(here / name, patterns):
                yield folder / here / name


def _is_ignored(path: Path, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(path.as_posix(), one) or fnmatch.fnmatch(path.name, one) for one in patterns)


def _biggest(folder: Path, files: list[Path]) -> str:
    sizes: Counter[str] = Counter()
    for path in files:
        sizes[path.relative_to(folder).parts[0]] += path.stat().st_size
    shown = ", ".join(f"{name} {size / 1e6:,.0f} MB" for name, size in sizes.most_common(3))
    return f"the biggest: {shown}. Data belongs into the store; or name what is not needed in .rayignore"
