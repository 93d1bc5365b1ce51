"""Finding SQLite databases in a folder of any store, and bringing them to this node.

database/中国城市.sqlite          the users' and CHASE-C's way
database/car_1/car_1.sqlite       CHASE's and SParC's own; `.db` is taken like `.sqlite`
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from t2s.dataset.problems import Problems
from t2s.dataset.sqlite_schema import check_sqlite
from t2s.errors import DatasetError
from t2s.storage import Store, open_store

if TYPE_CHECKING:
    from t2s.storage.cache import CachedFile, NodeCache

_SUFFIXES = (".sqlite", ".db")
# What SQLite leaves beside a database that was not closed: rows in there would silently be missing.
_UNFINISHED = ("-wal", "-journal")
_DEFAULT_CACHE_DIR = Path("~/.cache/t2s")


class Databases:
    """The databases of a folder, by `db_id`. Made by `find_databases`.

    Args:
        store: The folder.
        keys: db_id -> keys in the store; more than one means that it is not clear which is meant.
        unfinished: Keys that have a write-ahead log or rollback journal with content beside them.
        cache: This node's.
    """

    def __init__(self, store: Store, keys: dict[str, list[str]], unfinished: dict[str, str], cache: NodeCache) -> None:
        self._store = store
        self._keys = keys
        self._unfinished = unfinished
        self._cache = cache
        self._files: dict[str, CachedFile] = {}

    @property
    def uri(self) -> str:
        """The folder."""
        return self._store.uri

    @property
    def db_ids(self) -> tuple[str, ...]:
        """All that there are, sorted."""
        return tuple(sorted(self._keys))

    def path(self, db_id: str) -> Path:
        """A local file of the database, to be opened read-only."""
        return Path(self._file(db_id).path)

    def digest(self, db_id: str) -> str:
        """Sha256 (hex) of the database file."""
        return self._file(db_id).digest

    def check(self, db_ids: Iterable[str]) -> None:
        """Bring the databases here and see that each is there and can be read.

        Raises:
            DatasetError: Naming every one that is absent, unclear, or no SQLite database.
            StorageError: The store failed or refused.
        """
        problems = Problems(self.uri)
        for db_id in dict.fromkeys(db_ids):
            try:
                key = self._key(db_id)
                check_sqlite(self.path(db_id), key)
            except DatasetError as error:
                problems.add(f"database {db_id}", str(error))
        problems.raise_if_any()

    def _file(self, db_id: str) -> CachedFile:
        file = self._files.get(db_id)
        if file is None:
            file = self._files[db_id] = self._cache.file(self._store, self._key(db_id))
        return file

    def _key(self, db_id: str) -> str:
        keys = self._keys.get(_normal(db_id), [])
        if not keys:
            near = difflib.get_close_matches(_normal(db_id), self._keys, n=3, cutoff=0.5)
            hint = f"; near it: {', '.join(near)}" if near else f"; there are {len(self._keys)} other databases"
            raise DatasetError(f"wanted {db_id}.sqlite or {db_id}/{db_id}.sqlite, found neither{hint}")
        if len(keys) > 1:
            raise DatasetError(f"wanted one file, found {len(keys)}: {', '.join(keys)}; keep the right one")
        [key] = keys
        if key in self._unfinished:
            raise DatasetError(
                f"{self._unfinished[key]} holds changes that {key} lacks; close the program that writes it, or run: "
                f"sqlite3 {key} 'pragma wal_checkpoint(truncate)'"
            )
        return key


def find_databases(databases_uri: str, cache_dir: Path | None = None, cache_max_bytes: int | None = None) -> Databases:
    """List the databases of a folder; none is fetched yet.

    Args:
        databases_uri: A path, `file://` or `s3://`.
        cache_dir: Where files from a store are kept on this node; null: `~/.cache/t2s`.
        cache_max_bytes: Most that may be kept there; null: no limit.

    Raises:
        DatasetError: There is none.
        StorageError: The store failed or refused.
    """
    from t2s.storage.cache import NodeCache

    store = open_store(databases_uri)
    sizes = {item.key: item.size for item in store.list()}
    keys: dict[str, list[str]] = {}
    unfinished: dict[str, str] = {}
    for key in sizes:
        db_id = _db_id(key)
        if db_id is None:
            continue
        keys.setdefault(_normal(db_id), []).append(key)
        for ending in _UNFINISHED:
            if sizes.get(key + ending):
                unfinished[key] = key + ending
    if not keys:
        found = f"{len(sizes)} other files" if sizes else "nothing"
        raise DatasetError(
            f"{databases_uri}: wanted SQLite databases (<db_id>.sqlite or <db_id>/<db_id>.sqlite), found {found}; "
            "set databases_uri to the folder that holds them"
        )
    cache = NodeCache((cache_dir or _DEFAULT_CACHE_DIR).expanduser(), cache_max_bytes)
    return Databases(store, keys, unfinished, cache)


def _db_id(key: str) -> str | None:
    """`x.sqlite` and `x/x.sqlite` -> `x`; anything else -> None."""
    folder, _, name = key.rpartition("/")
    for suffix in _SUFFIXES:
        stem = name.removesuffix(suffix)
        if stem != name and stem and not stem.startswith(".") and folder in ("", stem):
            return stem
    return None


def _normal(db_id: str) -> str:
    # macOS hands out file names with accents and kana taken apart (NFD); datasets write them composed.
    return unicodedata.normalize("NFC", db_id)
