"""Training states in the run's store, so that a worker, a node or the whole job may die.

    train/checkpoints/step-00000050.<attempt>/optimizer.pt  adapter_model.safetensors  rng_state.pth  …
    train/checkpoints/step-00000050.done      {"attempt": …, "plan_digest": …, "files": {name: [sha256, bytes]}}

The `.done` is created last, with the store's create-only primitive: what it names is whole, and whoever comes second to
a step drops what it has written. Ray Train's own way (`report` of a checkpoint) writes through pyarrow, whose requests
Alibaba's OSS does not take, and finds a checkpoint again only inside one driver's life; this is the store that
everything else of a run is in, with its patience and its tests.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from t2s.errors import DigestMismatch, ObjectMissing, StorageError
from t2s.storage import Store

logger = logging.getLogger(__name__)

HISTORY_KEY = "train/history.json"
"""What was logged at each step, over all restarts: a list of objects with `step`, `loss`, `eval_loss`, …."""

_FOLDER = "train/checkpoints/"
_DONE = re.compile(re.escape(_FOLDER) + r"step-(\d{8})\.done")
_BODY = re.compile(re.escape(_FOLDER) + r"step-(\d{8})\.([^/]+)/")

LEFT_OUT = frozenset(
    {
        "training_args.bin", "README.md", "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
        "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja",
    }
)  # fmt: skip
"""Of a checkpoint's files: a pickle that nothing reads, a page about nothing, the tokenizer, which never changes."""


class Stored(NamedTuple):
    """One file as it was stored: `digest` (sha256, hex) and `size` in bytes."""

    digest: str
    size: int


class Checkpoint(NamedTuple):
    """A whole checkpoint in the store."""

    step: int
    attempt: str
    files: dict[str, Stored]


class Checkpoints:
    """The checkpoints of one training.

    Args:
        store: Of the run.
        plan_digest: Checkpoints of another plan are not seen.
    """

    def __init__(self, store: Store, plan_digest: str) -> None:
        self._store, self._plan_digest = store, plan_digest

    def upload(self, step: int, attempt: str, folder: Path, names: list[str]) -> dict[str, Stored]:
        """Store some of a checkpoint's files; it counts only when `commit` has named them all.

        Raises:
            StorageError: The store failed or refused.
        """
        return {
            name: Stored(
                self._store.upload(folder / name, f"{_body(step, attempt)}{name}"), (folder / name).stat().st_size
            )
            for name in names
        }

    def commit(self, step: int, attempt: str, files: Mapping[str, Stored]) -> bool:
        """Make a checkpoint count; False where another attempt's already does."""
        done = {"attempt": attempt, "plan_digest": self._plan_digest, "files": files}
        return self._store.create(_done(step), json.dumps(done, ensure_ascii=False).encode())

    def steps(self) -> list[int]:
        """Steps with a `.done`, ascending."""
        found = (_DONE.fullmatch(info.key) for info in self._store.list(_FOLDER))
        return sorted(int(match[1]) for match in found if match)

    def find(self, step: int) -> Checkpoint | None:
        """The checkpoint of a step; None where there is none, or one of another plan."""
        try:
            done: dict[str, Any] = json.loads(self._store.read(_done(step)))
            if done["plan_digest"] != self._plan_digest:
                return None
            files = {name: Stored(digest, size) for name, (digest, size) in done["files"].items()}
            return Checkpoint(step, done["attempt"], files)
        except ObjectMissing:
            return None
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("%s/%s: wanted a checkpoint's record, found %r", self._store.uri, _done(step), error)
            return None

    def latest(self) -> Checkpoint | None:
        """The one to go on from."""
        for step in reversed(self.steps()):
            checkpoint = self.find(step)
            if checkpoint is not None:
                return checkpoint
        return None

    def fetch(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Bring a checkpoint's files into a folder.

        Raises:
            DigestMismatch: A file is not what was stored.
            StorageError: The store failed or refused.
        """
        for name, stored in checkpoint.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            digest = self._store.download(f"{_body(checkpoint.step, checkpoint.attempt)}{name}", folder / name)
            if digest != stored.digest:
                raise DigestMismatch(
                    f"{self._store.uri}/{_body(checkpoint.step, checkpoint.attempt)}{name}: wanted sha256 "
                    f"{stored.digest}, found {digest}; delete {_done(checkpoint.step)} to go on from the one before"
                )

    def prune(self, keep: int, also: int | None = None) -> None:
        """Delete all but the last `keep` checkpoints, and what attempts that died have left.

        Args:
            keep: At least 1.
            also: A step that stays, too: the best one so far.
        """
        steps = self.steps()
        staying = {*steps[-keep:], *([also] if also is not None else [])}
        for step in steps:
            if step not in staying:
                self._store.delete(_done(step))  # first: what it names is no longer whole from here on
        whole = {step: checkpoint.attempt for step in staying if (checkpoint := self.find(step)) is not None}
        newest = max(staying, default=0)
        for info in list(self._store.list(_FOLDER)):
            body = _BODY.match(info.key)
            if body and int(body[1]) <= newest and whole.get(int(body[1])) != body[2]:
                self._store.delete(info.key)

    def drop(self, step: int, attempt: str, names: list[str]) -> None:
        """Delete the body of an attempt that came second; failing to is no harm."""
        try:
            for name in names:
                self._store.delete(f"{_body(step, attempt)}{name}")
        except StorageError as error:
            logger.warning("a checkpoint that came second stays in the store: %s", error)


def files_of(folder: Path) -> list[str]:
    """Names of all files of a checkpoint that are worth keeping, "/" between folders."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name not in LEFT_OUT)


def _body(step: int, attempt: str) -> str:
    return f"{_FOLDER}step-{step:08d}.{attempt}/"


def _done(step: int) -> str:
    return f"{_FOLDER}step-{step:08d}.done"
