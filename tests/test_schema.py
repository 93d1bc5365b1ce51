from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from t2s.schema import Column, quote_identifier

# Words of SQLite's grammar, and a few that only look like it.
WORDS = """
    abort add all alter and as asc attach between by case cast check collate column commit constraint create
    cross current_date current_time current_timestamp database default deferrable delete desc distinct drop each
    else end escape except exclusive exists explain fail filter for foreign from full glob group having if in
    index indexed inner insert intersect into is isnull join key left like limit match natural no not nothing
    notnull null of offset on or order outer over plan pragma primary query references regexp right rollback row
    select set table then to transaction trigger union unique update using vacuum values view virtual when where
    window with without year name date type rank level 年
""".split()


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("城市", "城市"),
        ("城市id", "城市id"),
        ("_x1", "_x1"),
        ("注册资本（万）", '"注册资本（万）"'),
        ("Song release year", '"Song release year"'),
        ("2018年利润", '"2018年利润"'),
        ("２０１８", '"２０１８"'),
        ("order", '"order"'),
        ("Group", '"Group"'),
        ('它说"好"', '"它说""好"""'),
        ("[x]", '"[x]"'),
        ("a-b", '"a-b"'),
        ("a$b", '"a$b"'),
        ("占比%", '"占比%"'),
        ("", '""'),
    ],
)
def test_a_name_is_quoted_only_where_it_needs_it(name: str, written: str) -> None:
    assert quote_identifier(name) == written


@pytest.mark.parametrize(
    "name", ["城市", "注册资本（万）", "order", '它说"好"', "a b", "[x]", "`", "2018年", "match", "window"]
)
def test_sqlite_reads_a_written_name_back_as_it_was(name: str) -> None:
    written = quote_identifier(name)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE TABLE {written} ({written} TEXT)")
        connection.execute(f"SELECT {written} FROM {written} AS x ORDER BY {written}")
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [(name,)]
        assert connection.execute("SELECT name FROM pragma_table_info(?)", (name,)).fetchall() == [(name,)]


def test_every_word_that_sqlite_would_not_take_bare_is_quoted() -> None:
    words = [word for word in WORDS if quote_identifier(word) == word]
    with closing(sqlite3.connect(":memory:")) as connection:
        for word in words:
            connection.execute(f"SELECT {word} FROM (SELECT 1 AS {word}) AS {word} ORDER BY {word}.{word}")


def test_examples_keep_their_kind_through_json() -> None:
    column = Column(name="a", type="", examples=("1", 1, 1.0, "1.0", 2.5))
    again = Column.model_validate_json(column.model_dump_json())
    assert [type(example) for example in again.examples] == [str, int, float, str, float]
    assert again == column
