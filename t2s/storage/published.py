"""What a published folder says of itself: the manifest, written last, that makes a model or dataset whole.

    models/Meta-Llama-3-8B-Instruct/<revision>/manifest.json
    {"kind": "model", "name": "Meta-Llama-3-8B-Instruct", "revision": "c4a5…", "origin": "modelscope://LLM-Research/…",
     "licence": "llama3", "digest": "9f86…", "num_bytes": 16070000000, "verified_at": "2026-11-24T04:25:00+00:00",
     "files": [{"name": "config.json", "size": 654, "sha256": "3a7b…", "checked": "sha256"}, …],
     "model": {"dtype": "BF16", "num_parameters": 8030261248, …}, "packages": {"t2s": "0.1.0", …}}

In a bucket, files come one by one: while they do, and there is no manifest yet, objects below `.incoming/` say so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Literal

from t2s.errors import DigestMismatch, ObjectMissing
from t2s.interaction import Record

MANIFEST_KEY = "manifest.json"
DATASET_MANIFEST_KEY = ".manifest.json"
"""Hidden: a dataset's folder holds exactly one JSON file that is seen, its questions."""

INCOMING_PREFIX = ".incoming/"

Kind = Literal["model", "dataset"]
Checked = Literal["sha256", "git", "record", "nothing"]
"""What a file's bytes were held against: the hub's sha256, git's digest, the origin's own manifest, or its size."""


class PublishedFile(Record):
    """A file of a published folder; `name` has "/" between folders, `size` is in bytes."""

    name: str
    size: int
    sha256: str
    checked: Checked


class ModelFacts(Record):
    """What was found when the files were checked as a model.

    Attributes:
        dtype: Of most parameters, as safetensors calls it: BF16, F16, F32.
        num_parameters: Sum over all tensors.
        architecture: From config.json, e.g. LlamaForCausalLM; null for an adapter.
        tokenizer: `loaded` by the tokenizers package, `read` where that is not installed, `none` for an adapter.
        chat_template: Whether there is one.
    """

    dtype: str
    num_parameters: int
    architecture: str | None
    tokenizer: Literal["loaded", "read", "none"]
    chat_template: bool


class Published(Record):
    """The manifest of a published folder.

    Attributes:
        kind: Model or dataset.
        name, revision: The folder: `<name>/<revision>`; a hub's revision is the commit, where the hub tells it.
        origin: Where it came from, as the source was written.
        licence: As the origin tells it; null where it does not.
        digest: `folder_digest` of the files.
        num_bytes: Sum of their sizes.
        files: By name.
        model: What the check found; null for a dataset.
        verified_at: ISO 8601, UTC.
        packages: Versions of what fetched and checked it.
    """

    kind: Kind
    name: str
    revision: str
    origin: str
    licence: str | None
    digest: str
    num_bytes: int
    files: tuple[PublishedFile, ...]
    model: ModelFacts | None
    verified_at: str
    packages: dict[str, str]


def manifest_key(kind: Kind) -> str:
    """Name of the manifest in a folder of this kind."""
    return MANIFEST_KEY if kind == "model" else DATASET_MANIFEST_KEY


def read_published(data: bytes) -> Published | None:
    """The manifest in `data`; None for another's, or one of a version that this one cannot read."""
    try:
        return Published.model_validate_json(data)
    except ValueError:
        return None


def promised(data: bytes) -> dict[str, str]:
    """Sha256 by name, out of any manifest that lists `files` as objects with both; nothing from another."""
    try:
        listed = json.loads(data)["files"]
        return {str(file["name"]): str(file["sha256"]) for file in listed}
    except (ValueError, KeyError, TypeError):
        return {}


def hold_against(uri: str, digests: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Raise unless every promised file is there with the promised bytes.

    Args:
        uri: Of the folder, for messages.
        digests: Sha256 by name, of what is there.
        wanted: What `promised` gave.

    Raises:
        ObjectMissing: Names a file that is not there.
        DigestMismatch: Names a file with other bytes.
    """
    for name, sha256 in sorted(wanted.items()):
        if name not in digests:
            raise ObjectMissing(
                f"{uri}: wanted {name}, which its manifest.json promises, found none; download it again"
            )
        check_digest(uri, name, digests[name], sha256)


def check_digest(uri: str, name: str, found: str, wanted: str) -> None:
    """Raise `DigestMismatch` unless the digests are the same."""
    if found != wanted:
        raise DigestMismatch(
            f"{uri}/{name}: wanted the bytes that its manifest.json promises (sha256 {wanted[:12]}…), found others "
            f"({found[:12]}…): it is damaged or was changed; download it again"
        )


def refuse_unfinished(uri: str, keys: Iterable[str]) -> None:
    """Raise `ObjectMissing` where a download into this folder has begun and not ended."""
    names = set(keys)
    if not names & {MANIFEST_KEY, DATASET_MANIFEST_KEY} and any(name.startswith(INCOMING_PREFIX) for name in names):
        raise ObjectMissing(
            f"{uri}: wanted a whole folder, found one whose download has not ended (no manifest.json yet); let it end, "
            "or run the download again: it goes on where it stopped"
        )
