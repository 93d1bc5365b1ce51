from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from t2s.dataset.sqlite_schema import check_sqlite, read_schema
from t2s.errors import DatasetError
from t2s.schema import Column, ForeignKey, Schema, Table
from tests.dataset.awkward import write_awkward


def make(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def schema_of(path: Path, script: str, num_examples: int = 3) -> Schema:
    return read_schema(make(path, script), "库", num_examples=num_examples)


def test_a_database_with_awkward_names_is_read_whole(tmp_path: Path) -> None:
    schema = read_schema(write_awkward(tmp_path / "x.sqlite"), "公司")
    assert schema == Schema(
        db_id="公司",
        tables=(
            Table(
                name="公司（总部）",
                comment="上市公司",
                columns=(
                    Column(name="公司 编号", type="INTEGER", primary_key=1, examples=(1, 2, 3)),
                    Column(
                        name="注册资本（万）",
                        type="DECIMAL(10, 2)",
                        not_null=True,
                        comment="单位：万元",
                        examples=(100, 1.5, 2.25),
                    ),
                    Column(
                        name="order", type="TEXT", comment="曾用名也算", examples=("两 行和 更多", "it's", "长" * 200)
                    ),
                    Column(name="2018年 营业额", type="奇怪,的类型", examples=(2, 3.5)),
                    Column(
                        name='它说"好"的',
                        type="VARCHAR(20)",
                        comment="引号在名字里",
                        examples=("甲", "乙", "<|eot_id|>"),
                    ),
                    Column(name="空类型", type=""),
                ),
            ),
            Table(
                name="select",
                columns=(
                    Column(name="group", type="INTEGER", not_null=True, primary_key=2, examples=(7, 5)),
                    Column(name="公司", type="INTEGER", not_null=True, primary_key=1, examples=(1, 2)),
                    Column(name="反引号", type="BLOB"),
                ),
                foreign_keys=(ForeignKey(columns=("公司",), other_table="公司（总部）", other_columns=("公司 编号",)),),
            ),
            Table(
                name="明细",
                columns=(
                    Column(name="a", type="INTEGER", examples=(1, 2)),
                    Column(name="b", type="INTEGER", examples=(7, 5)),
                    Column(name="rowid", type="TEXT", examples=("z", "y")),
                ),
                foreign_keys=(ForeignKey(columns=("a", "b"), other_table="select", other_columns=("公司", "group")),),
            ),
            Table(
                name="视图/一",
                kind="view",
                columns=(Column(name="名称", type="TEXT"), Column(name="数量", type="")),
            ),
        ),
    )


@pytest.mark.parametrize("name", ["中国 城市?#%20.sqlite", "a'b\"c;.db", "file:x&mode=rw"])
def test_a_path_of_odd_signs_is_opened_and_nothing_is_written_beside_it(tmp_path: Path, name: str) -> None:
    make(tmp_path / "plain", "PRAGMA journal_mode=wal; CREATE TABLE t (a); INSERT INTO t VALUES (5)")
    folder = tmp_path / "folder"
    folder.mkdir()
    path = (tmp_path / "plain").rename(folder / name)
    folder.chmod(0o500)
    path.chmod(0o400)
    before = path.stat().st_mtime_ns
    assert read_schema(path, "库").tables[0].columns[0].examples == (5,)
    assert [file.name for file in folder.iterdir()] == [name]
    assert path.stat().st_mtime_ns == before


def test_examples_are_the_first_different_values_in_rowid_order_even_where_an_index_is_shorter(tmp_path: Path) -> None:
    schema = schema_of(
        tmp_path / "x.sqlite",
        "CREATE TABLE t (a TEXT); CREATE INDEX i ON t (a);"
        "INSERT INTO t VALUES ('z'), ('z'), (NULL), (''), ('m'), ('a'), ('b');",
    )
    assert schema.tables[0].columns[0].examples == ("z", "m", "a")


def test_only_the_first_thousand_rows_are_searched_for_examples(tmp_path: Path) -> None:
    script = (
        "CREATE TABLE t (a);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1001) "
        "INSERT INTO t SELECT CASE i WHEN 1000 THEN 'seen' WHEN 1001 THEN 'unseen' ELSE 'same' END FROM n;"
    )
    assert schema_of(tmp_path / "x.sqlite", script).tables[0].columns[0].examples == ("same", "seen")


def test_the_number_of_examples_can_be_set_to_none(tmp_path: Path) -> None:
    script = "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3), (4), (5);"
    assert schema_of(tmp_path / "x.sqlite", script, num_examples=0).tables[0].columns[0].examples == ()
    assert schema_of(tmp_path / "y.sqlite", script, num_examples=5).tables[0].columns[0].examples == (1, 2, 3, 4, 5)


def test_numbers_in_a_text_column_and_text_in_a_number_column_keep_their_kind(tmp_path: Path) -> None:
    schema = schema_of(tmp_path / "x.sqlite", "CREATE TABLE t (a TEXT, b NUMERIC); INSERT INTO t VALUES (007, '甲');")
    assert [column.examples for column in schema.tables[0].columns] == [("7",), ("甲",)]


def test_text_that_is_not_utf8_is_replaced_and_stops_nothing(tmp_path: Path) -> None:
    path = make(
        tmp_path / "x.sqlite", "CREATE TABLE t (a TEXT); INSERT INTO t VALUES (CAST(x'b1b1bea9' AS TEXT)), ('好');"
    )
    assert read_schema(path, "库").tables[0].columns[0].examples == ("\ufffd\ufffd\ufffd\ufffd", "好")


def test_names_that_are_not_utf8_are_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make(tmp_path / "x.sqlite", "CREATE TABLE xxxx (yyyy TEXT, b TEXT); CREATE TABLE u (zzzz TEXT, c TEXT);")
    path.write_bytes(path.read_bytes().replace(b"xxxx", "北京".encode("gbk")).replace(b"zzzz", "北京".encode("gbk")))
    with caplog.at_level(logging.WARNING):
        schema = read_schema(path, "库")
    assert [(table.name, [column.name for column in table.columns]) for table in schema.tables] == [("u", ["c"])]
    assert len(caplog.messages) == 2 and all("not UTF-8" in message for message in caplog.messages)


def test_a_utf16_database_is_read_like_any_other(tmp_path: Path) -> None:
    schema = schema_of(
        tmp_path / "x.sqlite",
        "PRAGMA encoding='UTF-16le'; CREATE TABLE 城市 (名 TEXT); INSERT INTO 城市 VALUES ('北京');",
    )
    assert schema.tables[0].columns[0] == Column(name="名", type="TEXT", examples=("北京",))


def test_sqlites_own_tables_and_shadow_tables_are_left_out(tmp_path: Path) -> None:
    schema = schema_of(
        tmp_path / "x.sqlite",
        "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT); CREATE VIRTUAL TABLE 全文 USING fts5(正文); ANALYZE;"
        "INSERT INTO 全文 VALUES ('好');",
    )
    assert [table.name for table in schema.tables] == ["t", "全文"]
    assert [column.name for column in schema.tables[1].columns] == ["正文"]


def test_a_view_on_a_table_that_is_gone_is_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make(tmp_path / "x.sqlite", "CREATE TABLE t (a); CREATE TABLE u (a); CREATE VIEW v AS SELECT * FROM u;")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE u")
    with caplog.at_level(logging.WARNING):
        assert [table.name for table in read_schema(path, "库").tables] == ["t"]
    assert "view 'v' is left out of the schema: no such table" in caplog.text


def test_generated_columns_are_columns(tmp_path: Path) -> None:
    schema = schema_of(
        tmp_path / "x.sqlite",
        "CREATE TABLE t (a INT, b INT GENERATED ALWAYS AS (a + 1) STORED, c AS (a * 2)); INSERT INTO t (a) VALUES (1);",
    )
    assert [(column.name, column.type, column.examples) for column in schema.tables[0].columns] == [
        ("a", "INT", (1,)),
        ("b", "INT", (2,)),
        ("c", "", (2,)),
    ]


def test_foreign_keys_stand_in_declared_order_with_names_as_the_other_table_spells_them(tmp_path: Path) -> None:
    schema = schema_of(
        tmp_path / "x.sqlite",
        "CREATE TABLE Stadium (Id INTEGER PRIMARY KEY, Name TEXT);"
        "CREATE TABLE concert (s1 INT REFERENCES stadium(ID), s2 INT REFERENCES STADIUM,"
        " s3 INT REFERENCES stadium(absent), FOREIGN KEY (S1) REFERENCES Stadium(name));",
    )
    assert [(key.columns, key.other_table, key.other_columns) for key in schema.tables[1].foreign_keys] == [
        (("s1",), "Stadium", ("Id",)),
        (("s2",), "Stadium", ("Id",)),
        (("s1",), "Stadium", ("Name",)),
    ]


def test_reading_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    path = write_awkward(tmp_path / "x.sqlite")
    assert read_schema(path, "库").model_dump_json() == read_schema(path, "库").model_dump_json()


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", "found an empty file"),
        ("id,名称\n1,北京\n".encode(), "found a file that begins with b'id,"),
        (b"SQLite format 3\x00 and then nonsense" * 100, "found: file is not a database"),
    ],
)
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes, wanted: str) -> None:
    path = tmp_path / "x.sqlite"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"^x\.sqlite: wanted a (readable )?SQLite database") as caught:
        check_sqlite(path, "x.sqlite")
    assert wanted in str(caught.value)


def test_a_database_cut_short_is_refused(tmp_path: Path) -> None:
    path = write_awkward(tmp_path / "x.sqlite")
    path.write_bytes(path.read_bytes()[:-4096])
    with pytest.raises(
        DatasetError, match="wanted a readable SQLite database, found: database disk image is malformed"
    ):
        check_sqlite(path)
    with pytest.raises(DatasetError, match="malformed"):
        read_schema(path, "库")


def test_a_database_without_tables_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "x.sqlite", "CREATE TABLE t (a); DROP TABLE t;")
    with pytest.raises(DatasetError, match="wanted a SQLite database with tables, found none in it"):
        check_sqlite(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="No such file"):
        check_sqlite(tmp_path / "x.sqlite")
    with pytest.raises(DatasetError, match="unable to open database file"):
        read_schema(tmp_path / "x.sqlite", "库")
    assert list(tmp_path.iterdir()) == []
