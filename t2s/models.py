"""What `t2s models` shows: the models that a store has, each with its revision, size and what it is.

    t2s models s3://t2s/models
    name                      revision      size     dtype  parameters  licence  verified
    Meta-Llama-3-8B-Instruct  c4a54320a52e  16.1 GB  BF16   8.03 B      llama3   2026-11-24 04:25

A folder without a manifest is not listed: it was put there by hand, or its download has not ended; those are named.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from t2s.errors import ModelError
from t2s.progress import stdout_console
from t2s.storage import Store
from t2s.storage.keys import OWN_PREFIX
from t2s.storage.published import INCOMING_PREFIX, MANIFEST_KEY, Published, read_published


class Shelf(NamedTuple):
    """What was found in a store of models.

    Attributes:
        models: Manifests of whole models by folder (`<name>/<revision>`), in order of name and date.
        damaged: What is wrong with a folder that has a manifest, by folder.
        unfinished: Folders whose download has not ended.
    """

    models: dict[str, Published]
    damaged: dict[str, str]
    unfinished: tuple[str, ...]


def find_models(store: Store) -> Shelf:
    """Look through `<name>/<revision>/` of a store.

    Raises:
        ModelError: It holds no model, whole or not.
        StorageError: The store failed or refused.
    """
    sizes = {info.key: info.size for info in store.list()}
    models, damaged = {}, {}
    for key in sizes:
        folder, _, name = key.rpartition("/")
        if name == MANIFEST_KEY and folder.count("/") == 1:
            manifest = read_published(store.read(key))
            if manifest is None:
                damaged[folder] = "its manifest.json is of another kind"
            elif manifest.kind == "model":
                models[folder] = manifest
                if wrong := list(_wrong(manifest, folder, sizes)):
                    damaged[folder] = "; ".join(wrong)
    unfinished = {key.partition(f"/{INCOMING_PREFIX}")[0] for key in sizes if f"/{INCOMING_PREFIX}" in key}
    unfinished -= set(models) | {folder for folder in unfinished if OWN_PREFIX in folder}
    if not models and not damaged and not unfinished:
        raise ModelError(
            f"{store.uri}: wanted models, each as <name>/<revision>/ with a manifest.json, found none; is it the "
            "models_uri of a download?"
        )
    order = sorted(models, key=lambda folder: (models[folder].name.lower(), models[folder].verified_at))
    return Shelf({folder: models[folder] for folder in order}, damaged, tuple(sorted(unfinished)))


def _wrong(manifest: Published, folder: str, sizes: dict[str, int]) -> Iterator[str]:
    for file in manifest.files:
        found = sizes.get(f"{folder}/{file.name}")
        if found is None:
            yield f"{file.name} is gone"
        elif found != file.size:
            yield f"{file.name} has {found} bytes instead of {file.size}"


def print_models(uri: str, shelf: Shelf) -> None:
    """Print one row a model to stdout, and what is not whole below it."""
    from rich.table import Table

    table = Table(title=uri, title_justify="left", box=None, pad_edge=False)
    for title in ("name", "revision", "size", "dtype", "parameters", "licence", "verified", "from"):
        table.add_column(title, overflow="fold", justify="right" if title in ("size", "parameters") else "left")
    for folder, manifest in shelf.models.items():
        facts = manifest.model
        table.add_row(
            manifest.name,
            manifest.revision,
            _size(manifest.num_bytes),
            facts.dtype if facts else "",
            _count(facts.num_parameters) if facts else "",
            manifest.licence or "",
            f"{datetime.fromisoformat(manifest.verified_at):%Y-%m-%d %H:%M}" + " (damaged)" * (folder in shelf.damaged),
            manifest.origin,
        )
    console = stdout_console()
    console.print(table)
    for folder, wrong in sorted(shelf.damaged.items()):
        console.print(f"{folder}: damaged, {wrong}; delete it and download it again", markup=False)
    for folder in shelf.unfinished:
        console.print(f"{folder}: its download has not ended; running it again goes on", markup=False)


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"


def _count(number: int) -> str:
    return f"{number / 1e9:.2f} B" if number >= 1e9 else f"{number / 1e6:.1f} M"
