"""Which of an origin's files are taken, which are left, and which are refused.

taken of a model       safetensors, tokenizer and configuration at the top of the repository, licence, README
left                   everything else, original/*, and whatever stands in `exclude`
left, and named        pickles (*.bin, *.pth, …): code that runs when it is loaded; taken only when asked for
refused                names that climb out, that are no names, that are there twice
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from t2s.download.config import SourceConfig
from t2s.download.origins import RemoteFile
from t2s.errors import ModelError, StorageError
from t2s.storage.keys import check_key
from t2s.storage.published import MANIFEST_KEY, Kind

_OF_A_MODEL = (
    "*.safetensors", "*.json", "*.jinja", "*.model", "*.tiktoken", "merges.txt", "vocab.txt", "LICENSE*",
    "LICENCE*", "NOTICE*", "USE_POLICY*", "README.md",
)  # fmt: skip
_PICKLES = ("*.bin", "*.pth", "*.pt", "*.pkl", "*.pickle", "*.ckpt", "*.joblib", "*.dill")
# Mistral's repositories hold the same weights twice, once in a form that nothing here reads.
_TWICE = "consolidated*.safetensors"


class Selection(NamedTuple):
    """What is taken, small files first, and the names of pickles that are left."""

    files: tuple[RemoteFile, ...]
    pickles: tuple[str, ...]

    @property
    def num_bytes(self) -> int:
        """Sum of the sizes."""
        return sum(file.size for file in self.files)


def select(where: str, files: Sequence[RemoteFile], kind: Kind, config: SourceConfig, *, is_hub: bool) -> Selection:
    """Choose among an origin's files.

    Args:
        where: The source, for messages.
        files: As listed.
        kind: Model or dataset.
        config: Patterns to take and to leave.
        is_hub: Whether others filled the repository; in a folder of one's own a pickle is refused, not left.

    Raises:
        ModelError: Names a file that is refused, or nothing is left.
    """
    _refuse_bad_names(where, [file.name for file in files])
    hidden = [file for file in files if any(part.startswith(".") for part in file.name.split("/"))]
    rest = [file for file in files if file not in hidden and file.name != MANIFEST_KEY]
    rest = [file for file in rest if not _matches(file.name, config.exclude)]
    if config.include is not None:
        taken = [file for file in rest if _matches(file.name, config.include)]
    elif kind == "dataset":
        taken = [file for file in rest if not _matches(file.name.lower(), _PICKLES)]
    else:
        taken = [file for file in rest if "/" not in file.name and _matches(file.name, _OF_A_MODEL)]
        if any(not fnmatch.fnmatch(file.name, _TWICE) and file.name.endswith(".safetensors") for file in taken):
            taken = [file for file in taken if not fnmatch.fnmatch(file.name, _TWICE)]
    names = {file.name for file in taken}
    pickles = [file.name for file in rest if file.name not in names and _matches(file.name.lower(), _PICKLES)]
    asked = [file.name for file in taken if _matches(file.name.lower(), _PICKLES)]
    for name in asked:
        if config.include is None or not any(_asks_for_pickles(pattern, name) for pattern in config.include):
            pickles.append(name)
    taken = [file for file in taken if file.name not in pickles]
    if pickles and not is_hub:
        raise ModelError(
            f"{where}: wanted a folder without pickles (they run code when they are loaded), found "
            f"{', '.join(sorted(pickles))}; take them away, or leave them with exclude: ['{_pattern(pickles[0])}']"
        )
    if not taken:
        found = f"{len(files)} other files" + f", of them pickles: {', '.join(pickles)}" * bool(pickles)
        raise ModelError(f"{where}: wanted {' or '.join(config.include or ('files of a ' + kind,))}, found {found}")
    return Selection(tuple(sorted(taken, key=_small_first)), tuple(sorted(pickles)))


def looks_like_pickle(start: bytes) -> bool:
    """Whether a file begins as a pickle or as PyTorch's zip of pickles, whatever its name says."""
    return (start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")) or start[:4] == b"PK\x03\x04"


def is_pickle_name(name: str) -> bool:
    """Whether the name is that of a pickle."""
    return _matches(name.lower(), _PICKLES)


def _refuse_bad_names(where: str, names: Sequence[str]) -> None:
    for name in names:
        try:
            check_key(name, where)
        except StorageError as error:
            raise ModelError(f"{error}; nothing of it was taken") from error
        if len(name.split("/")[-1].encode()) > 200:  # a file system's 255 bytes, and the ending of what is not whole
            raise ModelError(f"{where}: wanted file names of at most 200 bytes, found {name!r}")
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    if twice:
        raise ModelError(f"{where}: wanted each file once, found {', '.join(sorted(twice))} twice in the list")
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    both = sorted(folders & set(names))
    if both:
        raise ModelError(f"{where}: wanted files and folders of different names, found {both[0]} as both")


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _asks_for_pickles(pattern: str, name: str) -> bool:
    """`*.bin` and `pytorch_model.bin` ask for one, `*` and `original/*` do not."""
    return fnmatch.fnmatch(name, pattern) and PurePosixPath(pattern).suffix == PurePosixPath(name).suffix


def _pattern(name: str) -> str:
    return f"*{PurePosixPath(name).suffix}"


def _small_first(file: RemoteFile) -> tuple[bool, int, str]:
    # What can be told to be wrong by a few KB is found before the gigabytes come; those begin with the biggest.
    is_weights = file.name.endswith(".safetensors") or file.size > 50_000_000
    return is_weights, -file.size if is_weights else file.size, file.name
