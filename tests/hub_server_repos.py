"""Repositories of the local hub: linear histories of small trees, as git keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

LFS_BYTES = 10_000  # bigger files are LFS objects and come by a redirect; the real hubs' limit is some MB


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Entry(NamedTuple):
    """A file of a commit; `revision` is the commit that changed it last."""

    path: str
    data: bytes
    revision: str

    @property
    def is_lfs(self) -> bool:
        return len(self.data) > LFS_BYTES


class Repo:
    """A repository with one branch.

    Args:
        name: OWNER/NAME.
        kind: model or dataset.
        licence: As its card says.
        token: Only who has it may read; None: everybody.
        branch: What the branch is called: master on ModelScope, main on Hugging Face.
    """

    def __init__(
        self,
        name: str,
        files: Mapping[str, bytes],
        *,
        kind: str = "model",
        licence: str = "apache-2.0",
        token: str | None = None,
    ) -> None:
        self.name, self.kind, self.licence, self.token = name, kind, licence, token
        self._commits: list[tuple[str, dict[str, bytes]]] = []
        self.commit(files)

    @property
    def head(self) -> str:
        return self._commits[-1][0]

    def commit(self, files: Mapping[str, bytes]) -> str:
        """Make the tree hold `files`; returns the commit."""
        number = len(self._commits)
        digest = hashlib.sha1(f"{self.kind} {self.name} {number}".encode())
        for path, data in sorted(files.items()):
            digest.update(path.encode() + sha256(data).encode())
        self._commits.append((digest.hexdigest(), dict(files)))
        return self.head

    def resolve(self, revision: str) -> str | None:
        """The commit that a branch or a commit names."""
        if revision in ("master", "main"):
            return self.head
        return next((commit for commit, _ in self._commits if commit == revision), None)

    def tree(self, revision: str) -> list[Entry] | None:
        """Files of a commit, by path; None where there is no such commit."""
        commit = self.resolve(revision)
        if commit is None:
            return None
        number = next(number for number, (name, _) in enumerate(self._commits) if name == commit)
        entries = []
        for path, data in sorted(self._commits[number][1].items()):
            since = number
            while since > 0 and self._commits[since - 1][1].get(path) == data:
                since -= 1
            entries.append(Entry(path, data, self._commits[since][0]))
        return entries

    def folders(self, revision: str) -> list[str]:
        entries = self.tree(revision) or []
        parents = {entry.path.rpartition("/")[0] for entry in entries}
        return sorted({"/".join(parent.split("/")[: i + 1]) for parent in parents if parent for i in range(20)})

    def file(self, revision: str, path: str) -> Entry | None:
        return next((entry for entry in self.tree(revision) or [] if entry.path == path), None)
