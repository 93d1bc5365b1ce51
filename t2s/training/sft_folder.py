"""What prepare has written for training, on this node.

<dataset_uri>/sft/dataset_info.json     LLaMA-Factory's description of the files
                  train.jsonl           {"messages": [{"role", "content"}, …], …} a line
                  test.jsonl            the held-out part, where there is one
<dataset_uri>/prepare/done.json         that it is whole, the upstream keys that go with it, the prompt
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.engine import Message
from t2s.errors import DatasetError
from t2s.storage.cache import NodeCache
from t2s.training.prepared import SFT_FOLDER, Prepared, read_prepared
from t2s.training.sft import DATASET_INFO_NAME


@dataclass(frozen=True)
class SftFolder:
    """Examples on this node.

    Attributes:
        path: The folder; read only.
        digest: Over all its files.
        prepared: What prepare says of it.
        files: The file of each of LLaMA-Factory's datasets.
    """

    path: Path
    digest: str
    prepared: Prepared
    files: dict[str, Path]

    @property
    def keys(self) -> dict[str, Any]:
        """LLaMA-Factory keys that belong to the examples: `dataset`, `eval_dataset`, `mask_history`, …."""
        return self.prepared.llamafactory

    @property
    def train_file(self) -> Path:
        """The examples to train on."""
        return self.files[self.keys["dataset"]]


def open_sft_folder(dataset_uri: str, cache_dir: str, cache_max_bytes: int | None = None) -> SftFolder:
    """Bring prepare's examples to this node.

    Raises:
        DatasetError: It is not prepare's output, or what is in it cannot be used.
        StorageError: The store failed or refused.
    """
    prepared = read_prepared(dataset_uri)
    folder = NodeCache(Path(cache_dir).expanduser(), cache_max_bytes).folder(f"{dataset_uri.rstrip('/')}/{SFT_FOLDER}")
    info_file = folder.path / DATASET_INFO_NAME
    try:
        info = json.loads(info_file.read_bytes())
        names = [prepared.llamafactory[key] for key in ("dataset", "eval_dataset") if key in prepared.llamafactory]
        files = {name: folder.path / info[name]["file_name"] for name in names}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{info_file}: wanted the description of prepare's files, found: {error!r}; run prepare again"
        ) from error
    for path in files.values():
        if next(read_examples(path), None) is None:
            raise DatasetError(
                f"{path}: wanted examples to train on, found none; run prepare on a dataset with gold SQL"
            )
    return SftFolder(folder.path, folder.digest, prepared, files)


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
