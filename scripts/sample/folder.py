"""An output folder that is whole or absent, never someone else's, and left alone while it is up to date.

The folder holds a stamp with the digest of what made it and the sha256 of every file. It is built beside its place
under a hidden name and then renamed, so that whoever looks sees the old folder or the new one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from t2s.errors import SettingsError, StorageError

STAMP = ".made-by-make-sample"


def sources_digest(arguments: str) -> str:
    """The sha256 of the generator's own files and its arguments: another digest may make another sample."""
    here = Path(__file__).resolve().parent
    digest = hashlib.sha256(arguments.encode())
    for path in sorted([*here.rglob("*.py"), here.parent / "make_sample.py"], key=lambda p: p.as_posix()):
        digest.update(path.relative_to(here.parent).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _files(folder: Path) -> dict[str, Path]:
    """Every file below the folder but the stamp, by its relative name."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if not path.is_dir()}
    found.pop(STAMP, None)
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_summary(output: Path) -> str:
    """What the build said about the folder, to be said again."""
    return str(json.loads((output / STAMP).read_text(encoding="utf-8"))["summary"])


def is_up_to_date(output: Path, digest: str) -> bool:
    """Whether the folder is what this digest makes, whole and unchanged. False: it may be built.

    Raises:
        SettingsError: The folder holds something that was not made here, or was changed since.
    """
    if not os.path.lexists(output):
        return False
    if not output.is_dir():
        raise SettingsError(f"{output}: wanted a folder to make or to replace, found a file; name another --output")
    files = _files(output)
    stamp = output / STAMP
    if not stamp.is_file():
        if not files:
            return False
        raise SettingsError(
            f"{output}: wanted an empty folder or one made by make_sample.py, found {min(files)}; name another --output"
        )
    try:
        made = json.loads(stamp.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SettingsError(
            f"{stamp}: wanted the stamp of make_sample.py, found {error}; name another --output"
        ) from error
    changed = [name for name, path in files.items() if name in made["files"] and _sha256(path) != made["files"][name]]
    if made["digest"] == digest and not changed and files.keys() >= made["files"].keys():
        return True
    foreign = [name for name in files if name not in made["files"]]
    for names, what in ((foreign, "was not made by make_sample.py"), (changed, "was changed after it was made")):
        if names:
            raise SettingsError(
                f"{output}: will not be replaced, since {names[0]} {what}; move it, or name another --output"
            )
    return False


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """One builder at a time beside `output`; the lock is on the parent folder and goes with the process.

    Raises:
        StorageError: The parent folder cannot be made or opened.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(output.parent, os.O_RDONLY)
    except OSError as error:
        raise StorageError(f"{output}: wanted to make a folder there, found: {error}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def replaced(output: Path, digest: str, summary: list[str]) -> Iterator[Path]:
    """Give an empty folder to fill; when the block ends well it becomes `output`. Needs `locked`.

    `summary` holds lines that the block fills in; they are kept in the stamp.

    Raises:
        StorageError: The folder could not be written.
    """
    building = output.parent / f".{output.name}.make-sample-building"
    old = output.parent / f".{output.name}.make-sample-old"
    try:
        for stale in (building, old):  # what a killed run left; nobody else is here, we hold the lock
            shutil.rmtree(stale, ignore_errors=False) if stale.exists() else None
        building.mkdir()
        yield building
        names = {name: _sha256(path) for name, path in _files(building).items()}
        stamp = {"digest": digest, "summary": "\n".join(summary), "files": names}
        (building / STAMP).write_text(json.dumps(stamp, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        if output.exists():
            output.rename(old)
        building.rename(output)
    except OSError as error:
        raise StorageError(f"{output}: wanted to write the sample, found: {error}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
        if output.exists():
            shutil.rmtree(old, ignore_errors=True)
