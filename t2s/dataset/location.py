"""Finding the dataset file: a JSON file, or a folder that holds exactly one."""

from __future__ import annotations

from typing import NamedTuple

from t2s.errors import DatasetError
from t2s.storage import Store, open_store


class Location(NamedTuple):
    """An object in a store."""

    store: Store
    key: str

    @property
    def uri(self) -> str:
        """Where it is, for messages and manifests."""
        return f"{self.store.uri.rstrip('/')}/{self.key}"

    @property
    def stem(self) -> str:
        """Its name without `.json`."""
        return self.key[: -len(".json")]


class SplitUri(NamedTuple):
    """`folder` is a URI (or path), `name` what stands behind its last "/"; "" where there is nothing to split."""

    folder: str
    name: str


def split_uri(uri: str) -> SplitUri:
    """Split behind the last "/".

    s3://b/p/dev.json -> s3://b/p, dev.json    dev.json -> ., dev.json    /dev.json -> /, dev.json
    """
    scheme, separator, path = uri.rpartition("://")
    folder, slash, name = path.rpartition("/")
    if not folder:
        if scheme and scheme != "file":
            return SplitUri(uri, "")
        folder = "/" if slash else "."
    return SplitUri(f"{scheme}{separator}{folder}", name)


def is_json_name(name: str) -> bool:
    """Whether a file of this name is taken for a dataset; hidden ones (`._dev.json` of macOS) are not."""
    return name.lower().endswith(".json") and not name.startswith(".")


def locate_dataset(dataset_uri: str) -> Location:
    """Find the one JSON file that `dataset_uri` means.

    Raises:
        DatasetError: There is none, or the folder holds several.
        StorageError: The store failed or refused.
    """
    folder, name = split_uri(dataset_uri)
    if is_json_name(name):
        store = open_store(folder)
        if store.exists(name):
            return Location(store, name)
    store = open_store(dataset_uri)
    empty = True
    names = []
    for item in store.list():
        empty = False
        if "/" not in item.key and is_json_name(item.key):
            names.append(item.key)
    if len(names) == 1:
        return Location(store, names[0])
    if names:
        raise DatasetError(
            f"{dataset_uri}: wanted a folder with exactly one .json file, found {len(names)}: {', '.join(names)}; "
            "name one of them in dataset_uri"
        )
    if empty:
        if name and not is_json_name(name) and open_store(folder).exists(name):
            raise DatasetError(f"{dataset_uri}: wanted a file whose name ends in .json, found another; rename it")
        wanted = "no such file" if is_json_name(name) else "no such folder, or it is empty"
        raise DatasetError(f"{dataset_uri}: {wanted}; wanted a .json file, or a folder that holds exactly one")
    raise DatasetError(f"{dataset_uri}: holds no .json file; wanted a .json file, or a folder that holds exactly one")
