"""What a key may look like, the same for every store.

    predictions/shard-00003-of-00016.done       database/购书平台.sqlite       dev.json

A file name that begins with `.t2s-` is the stores' own (unfinished writes, probes): refused as a key and never listed,
so that what a dead process left behind is never taken for an object.
"""

from __future__ import annotations

import uuid

from t2s.errors import StorageError

OWN_PREFIX = ".t2s-"

_MAX_KEY_BYTES = 1024  # S3's limit for a whole key; a file system's 255 bytes per name are told by the system itself


def check_key(key: str, store_uri: str) -> str:
    """Return `key` if every store can hold it; `StorageError` if not."""
    parts = key.split("/")
    if not key or key.startswith("/"):
        found = "none" if not key else "an absolute path"
    elif "" in parts or "." in parts or ".." in parts:
        found = "an empty part, '.' or '..' in it"
    elif "\\" in key:
        found = "a backslash"
    elif any(ord(character) < 0x20 or character == "\x7f" for character in key):
        found = "a control character"
    elif any(0xD800 <= ord(character) <= 0xDFFF for character in key):
        found = "a name that is not UTF-8"
    elif len(key.encode()) > _MAX_KEY_BYTES:
        found = f"{len(key.encode())} bytes, more than {_MAX_KEY_BYTES}"
    elif is_own(key):
        found = f"a name that begins with {OWN_PREFIX}, which only the store itself gives"
    else:
        return key
    raise StorageError(f"{store_uri}: wanted a key such as predictions/a.jsonl, found {found}: {key!r}; rename it")


def check_prefix(prefix: str, store_uri: str) -> str:
    """Return `prefix` if it stays inside the store: the beginning of a key, maybe in the middle of a name."""
    folders = prefix.split("/")[:-1]
    if "" in folders or "." in folders or ".." in folders or "\\" in prefix:
        raise StorageError(f"{store_uri}: wanted the beginning of a key, such as predictions/, found {prefix!r}")
    return prefix


def is_own(key: str) -> bool:
    """Whether the key is one of the stores' own, not an object of a user."""
    return key.rpartition("/")[2].startswith(OWN_PREFIX)


def own_name(purpose: str) -> str:
    """A fresh name for `purpose` ("tmp", "probe") that no listing shows."""
    return f"{OWN_PREFIX}{purpose}-{uuid.uuid4().hex}"
