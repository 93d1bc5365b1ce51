"""One way to read and write, for a folder and for S3: `open_store(uri)` gives a `Store`.

Keys are relative to the store's URI, use "/" and never climb out. Every method raises `StorageError` or one of its
children, never an exception of boto3 or the operating system. One contract test (tests/storage/) runs on every store.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from t2s.errors import SettingsError
from t2s.storage.ranges import OnBytes


class ObjectInfo(NamedTuple):
    """One listed object. `version` changes when the content does (ETag; size and mtime on disk)."""

    key: str
    size: int
    version: str


class Store(Protocol):
    """A folder of objects. Writes are whole or not at all: a reader never sees half an object."""

    @property
    def uri(self) -> str:
        """Where it is, without a trailing slash, without credentials."""

    def read(self, key: str) -> bytes:
        """Return the object's bytes; `ObjectMissing` if there is none."""

    def write(self, key: str, data: bytes) -> None:
        """Create or replace an object."""

    def create(self, key: str, data: bytes) -> bool:
        """Create an object only if there is none: of many callers exactly one wins.

        True means: the object exists and holds `data`. Callers make `data` their own (a nonce, an attempt number), so
        that a request which was carried out but whose answer was lost still counts as won.
        """

    def exists(self, key: str) -> bool:
        """Whether the object exists."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects whose key begins with `prefix`, sorted by key; nothing for a folder that is not there."""

    def delete(self, key: str) -> None:
        """Delete an object; nothing happens if there is none."""

    def upload(self, path: Path, key: str, on_bytes: OnBytes | None = None) -> str:
        """Store a local file, of any size; returns its sha256 (hex)."""

    def download(self, key: str, path: Path, on_bytes: OnBytes | None = None) -> str:
        """Fetch an object into a local file, whole or not at all; returns its sha256 (hex)."""

    def probe(self) -> None:
        """Find out that the store can be written and that `create` really has one winner; `StorageError` if not."""


def open_store(uri: str) -> Store:
    """Open a path, `file://…` or `s3://bucket/prefix`. Connects to nothing yet."""
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme == "file":
        from t2s.storage.local import LocalStore

        return LocalStore(Path(rest if separator else uri))
    if scheme == "s3":
        from t2s.storage.s3 import S3Store

        return S3Store(uri)
    raise SettingsError(f"{uri}: wanted a path, file:// or s3://bucket/prefix, found the scheme {scheme!r}")
