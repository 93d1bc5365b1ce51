"""What prepare has written for training, as train reads it.

<dataset_uri>/sft/dataset_info.json     LLaMA-Factory's description of the files
                  llamafactory.json     upstream keys that belong to these examples
                  train.jsonl           {"messages": [{"role", "content"}, …], …} a line
                  test.jsonl            the held-out part, where there is one
<dataset_uri>/prepare/manifest.json     which prompt they were rendered with
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.engine import Message
from t2s.errors import DatasetError, ObjectMissing
from t2s.manifest import read_manifest
from t2s.storage import open_store
from t2s.storage.cache import NodeCache
from t2s.training.sft import DATASET_INFO_NAME, LLAMAFACTORY_NAME

SFT_FOLDER = "sft"


@dataclass(frozen=True)
class SftFolder:
    """Examples on this node.

    Attributes:
        path: The folder; read only.
        digest: Over all its files.
        keys: LLaMA-Factory keys that belong to the examples: `dataset`, `eval_dataset`, `mask_history`, ….
        files: The file of each of those datasets.
        prompt_digest: Of the prompt that they were rendered with; None where nothing says it.
    """

    path: Path
    digest: str
    keys: dict[str, Any]
    files: dict[str, Path]
    prompt_digest: str | None

    @property
    def train_file(self) -> Path:
        """The examples to train on."""
        return self.files[self.keys["dataset"]]

    @property
    def test_file(self) -> Path | None:
        """The held-out examples."""
        return self.files[self.keys["eval_dataset"]] if "eval_dataset" in self.keys else None


def open_sft_folder(dataset_uri: str, cache_dir: str) -> SftFolder:
    """Bring prepare's examples to this node.

    Raises:
        DatasetError: It is not prepare's output, or what is in it cannot be used.
        StorageError: The store failed or refused.
    """
    uri = f"{dataset_uri.rstrip('/')}/{SFT_FOLDER}"
    try:
        folder = NodeCache(Path(cache_dir).expanduser()).folder(uri)
    except ObjectMissing as error:
        raise DatasetError(
            f"dataset_uri: wanted what prepare has written, found no files in {uri}; run prepare first, and give its "
            "output_uri"
        ) from error
    info = _read_object(folder.path / DATASET_INFO_NAME)
    keys = _read_object(folder.path / LLAMAFACTORY_NAME)
    files: dict[str, Path] = {}
    for key in ("dataset", "eval_dataset"):
        name = keys.get(key)
        if name is None and key == "eval_dataset":
            continue
        entry = info.get(str(name))
        if not isinstance(entry, dict) or "file_name" not in entry:
            raise DatasetError(
                f"{folder.path / DATASET_INFO_NAME}: wanted an entry {name!r} ({key} of {LLAMAFACTORY_NAME}), found "
                f"{', '.join(info) or 'none'}; run prepare again"
            )
        files[str(name)] = folder.path / entry["file_name"]
    for path in files.values():
        if next(read_examples(path), None) is None:
            raise DatasetError(
                f"{path}: wanted examples to train on, found none; run prepare on a dataset with gold SQL"
            )
    manifest = read_manifest(open_store(dataset_uri), "prepare")
    prompt_digest = manifest.inputs.get("prompt") if manifest else None
    return SftFolder(folder.path, folder.digest, keys, files, prompt_digest)


def read_examples(path: Path) -> Iterator[list[Message]]:
    """The messages of each example; the last one is an answer.

    Raises:
        DatasetError: A line is not an example; names it.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise DatasetError(f"{path}: wanted examples, found: {error}; run prepare again") from error
    with file:
        for number, line in enumerate(file, 1):
            yield _messages(line, f"{path}:{number}")


def _messages(line: bytes, where: str) -> list[Message]:
    try:
        messages: list[Message] = json.loads(line)["messages"]
        roles = [message["role"] for message in messages]
        texts = all(isinstance(message["content"], str) for message in messages)
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{where}: wanted an object with messages of role and content, found {line[:80]!r}"
        ) from error
    if not texts or roles[-1:] != ["assistant"]:
        raise DatasetError(
            f"{where}: wanted an example that ends with the assistant's SQL, found the roles {roles}; a dataset "
            "without gold SQL cannot be trained on"
        )
    return messages


def _read_object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: wanted a JSON object, found: {error}; run prepare again") from error
    if not isinstance(found, dict):
        raise DatasetError(f"{path}: wanted a JSON object, found {type(found).__name__}; run prepare again")
    return found
