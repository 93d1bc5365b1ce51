"""Questions and databases, in: one module per file format, all of them giving `Interaction` and `Schema`.

    dataset = read_dataset("data/dev.json")                          # or a folder with one JSON file, or s3://…
    databases = find_databases(default_databases_uri(dataset.uri))   # database/<db_id>.sqlite beside it
    databases.check(one.db_id for one in dataset.interactions)       # absent or broken ones are told before work starts
    schema = read_schema(databases.path("中国城市"), "中国城市")

To add a format: a module with `NAME`, `matches` and `read` (see `turns.Layout`), and a place in `reading._LAYOUTS`.
"""

from __future__ import annotations

from t2s.dataset.databases import Databases, find_databases
from t2s.dataset.reading import Dataset, default_databases_uri, read_dataset, read_interactions
from t2s.dataset.sqlite_schema import read_schema

__all__ = [
    "Databases",
    "Dataset",
    "default_databases_uri",
    "find_databases",
    "read_dataset",
    "read_interactions",
    "read_schema",
]
