from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from t2s.dataset import default_databases_uri, find_databases, read_dataset
from t2s.errors import DatasetError, StorageError
from t2s.prompt import PromptConfig, PromptTemplate
from t2s.storage import open_store
from tests.servers import S3Server

pytestmark = pytest.mark.s3


def test_a_dataset_its_databases_and_a_template_come_from_s3(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.env.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "x.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE 城市 (名称 TEXT); INSERT INTO 城市 VALUES ('北京');")
    folder = f"s3://{s3_server.bucket}/数据集"
    store = open_store(folder)
    store.upload(path, "database/中国 城市.sqlite")
    store.write("database/文本.sqlite", b"id,name")
    turns = [{"question_id": "a", "question": "问"}]
    store.write("dev.json", json.dumps([{"db_list": ["中国 城市"], "interaction": turns}]).encode())
    store.write("words/mine.jinja", b"{% macro no_sql() %}nothing{% endmacro %}")

    dataset = read_dataset(folder)
    assert dataset.uri == f"{folder}/dev.json"
    assert read_dataset(dataset.uri).interactions == dataset.interactions
    databases = find_databases(default_databases_uri(dataset.uri), cache_dir=tmp_path / "cache")
    databases.check(one.db_id for one in dataset.interactions)
    template = PromptTemplate(PromptConfig(template_uri=f"{folder}/words/mine.jinja"))
    assert template.schema_prompt(databases.path("中国 城市"), "中国 城市").system.startswith(
        "CREATE TABLE 城市 (\n名称 TEXT -- 例: '北京'\n);"
    )
    with pytest.raises(DatasetError, match=r"database 文本: 文本\.sqlite: wanted a SQLite database"):
        databases.check(["文本"])
    with pytest.raises(DatasetError, match=r"absent\.json: no such file"):
        read_dataset(f"{folder}/absent.json")
    with pytest.raises(StorageError, match=r"no room for .*城市\.sqlite: .*\(cache_max_bytes\); raise it"):
        find_databases(default_databases_uri(dataset.uri), tmp_path / "small", 10).path("中国 城市")
