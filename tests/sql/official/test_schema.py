from __future__ import annotations

import pickle

from t2s.schema import Schema
from t2s.sql.official.parser import parse
from t2s.sql.official.query import Column
from t2s.sql.official.schema import OfficialSchema
from tests.sql.official.databases import BOOKS, EN, ZH, key, table


def tied(*tables: object) -> dict[str, str]:
    """`table.column` -> the one that stands for it."""
    schema = OfficialSchema.from_schema(Schema.model_validate({"db_id": "x", "tables": tables}))
    return {".".join(column): ".".join(other) for column, other in schema.representatives.items()}


def test_names_are_in_lower_case_and_views_are_not_seen() -> None:
    assert list(ZH.tables) == ["图书", "平台", "电子书", "投资 记录"]
    assert list(EN.tables["singer"]) == ["singer_id", "name", "country", "age", "18_49_share", "match"]
    assert EN.tables["song"]["title"] == Column("song", "title")


def test_only_a_database_with_a_name_beyond_ascii_quotes_any_name() -> None:
    assert ZH.quotes_any_name
    assert not EN.quotes_any_name


def test_the_first_column_of_the_database_stands_for_all_that_keys_tie_to_it() -> None:
    assert tied(
        table("b", "Id | A_Id", key("A_Id", "a", "id")), table("a", "id"), table("c", "bid", key("bid", "b", "A_ID"))
    ) == {"b.a_id": "b.a_id", "a.id": "b.a_id", "c.bid": "b.a_id"}


def test_the_columns_of_a_key_of_several_are_tied_in_pairs() -> None:
    found = tied(table("a", "x | y"), table("b", "p | q", key("p | q", "a", "y | x")))
    assert found == {"a.x": "a.x", "a.y": "a.y", "b.p": "a.y", "b.q": "a.x"}


def test_groups_that_a_later_key_connects_stay_two() -> None:
    # build_foreign_key_map in test-suite-sql-eval evaluation.py@893d0df: the third key adds b.x to the first group, but
    # the second one, which has it already, is written after it.
    found = tied(
        table("a", "x"),
        table("b", "x"),
        table("c", "x | y", key("x", "a", "x")),
        table("d", "x | y", key("x", "b", "x"), key("y", "e", "y")),
        table("e", "x | y", key("x", "c", "x"), key("x", "b", "x")),
    )
    assert found["c.x"] == found["e.x"] == "a.x"
    assert found["d.x"] == found["b.x"] == "b.x"
    assert found["d.y"] == found["e.y"] == "d.y"


def test_a_schema_can_be_pickled() -> None:
    copy = pickle.loads(pickle.dumps(OfficialSchema.from_schema(BOOKS)))
    sql = 'SELECT "书名" FROM 图书 WHERE 类型 = "小说"'
    assert parse(sql, copy) == parse(sql, ZH)
    assert copy.representatives == ZH.representatives
