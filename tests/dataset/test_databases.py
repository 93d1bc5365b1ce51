from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from t2s.dataset import Databases, find_databases
from t2s.errors import DatasetError


def make(path: Path, name: str = "t") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE {name} (a)")
        connection.commit()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "database"
    make(folder / "中国城市.sqlite")
    make(folder / "中国 省份（旧）.db")
    make(folder / "car_1" / "car_1.sqlite")
    (folder / "car_1" / "schema.sql").write_text("CREATE TABLE t (a);", encoding="utf-8")
    make(folder / "car_1" / "backup.sqlite")
    (folder / "._中国城市.sqlite").write_bytes(b"\x00")
    return folder


def find(folder: Path) -> Databases:
    return find_databases(str(folder), cache_dir=folder.parent / "cache")


def refusal(databases: Databases, *db_ids: str) -> str:
    with pytest.raises(DatasetError) as caught:
        databases.check(db_ids)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_databases_are_found_flat_and_in_folders_of_their_own(folder: Path) -> None:
    databases = find(folder)
    assert databases.db_ids == ("car_1", "中国 省份（旧）", "中国城市")
    databases.check(databases.db_ids)
    for db_id, key in (("中国城市", "中国城市.sqlite"), ("car_1", "car_1/car_1.sqlite")):
        content = (folder / key).read_bytes()
        assert databases.path(db_id).read_bytes() == content
        assert databases.digest(db_id) == hashlib.sha256(content).hexdigest()


def test_every_absent_database_is_named_with_those_that_are_near(folder: Path) -> None:
    message = refusal(find(folder), "中国城市", "中国城巿", "car_2", "完全不同", "car_2")
    lines = message.splitlines()
    assert lines[0] == f"{folder}: 3 problems"
    assert "database 中国城巿: wanted 中国城巿.sqlite or 中国城巿/中国城巿.sqlite" in lines[1]
    assert "near it: 中国城市" in lines[1]
    assert "database car_2" in lines[2] and "near it: car_1" in lines[2]
    assert "database 完全不同" in lines[3] and "there are 3 other databases" in lines[3]
    assert len(lines) == 4


def test_a_file_that_is_no_sqlite_database_is_named(folder: Path) -> None:
    (folder / "文本.sqlite").write_text("名称,人口\n", encoding="utf-8")
    (folder / "空.sqlite").write_bytes(b"")
    message = refusal(find(folder), "文本", "中国城市", "空")
    assert "database 文本: 文本.sqlite: wanted a SQLite database, found a file that begins with" in message
    assert "database 空: 空.sqlite: wanted a SQLite database, found an empty file" in message
    assert "中国城市" not in message


def test_two_files_for_one_database_are_refused_only_where_it_is_wanted(folder: Path) -> None:
    make(folder / "中国城市.db")
    databases = find(folder)
    databases.check(["car_1"])
    message = refusal(databases, "中国城市")
    assert "wanted one file, found 2: " in message and "中国城市.db, 中国城市.sqlite" in message
    with pytest.raises(DatasetError, match="wanted one file, found 2"):
        databases.path("中国城市")


def test_a_database_with_an_unfinished_write_ahead_log_is_refused(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "中国城市.sqlite")) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
        message = refusal(find(folder), "中国城市", "car_1")
    assert "中国城市.sqlite-wal holds changes that 中国城市.sqlite lacks" in message
    assert "\n" not in message
    (folder / "中国城市.sqlite-wal").write_bytes(b"")
    find(folder).check(["中国城市"])


def test_a_name_is_found_however_its_accents_are_put_together(folder: Path) -> None:
    make(folder / "Cafe\u0301.sqlite")
    find(folder).check(["Caf\u00e9"])


def test_a_folder_without_databases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere: wanted SQLite databases .*, found nothing; set databases_uri"):
        find(tmp_path / "nowhere")
    (tmp_path / "README.md").write_text("x", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"found 1 other files"):
        find_databases(str(tmp_path), cache_dir=tmp_path / "cache")


def test_a_db_id_cannot_climb_out_of_the_folder(folder: Path) -> None:
    make(folder.parent / "outside.sqlite")
    assert "wanted ../outside.sqlite" in refusal(find(folder), "../outside")
