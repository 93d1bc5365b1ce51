"""What a database looks like: the record that the prompt renders and the sandbox's limits are taken from."""

from __future__ import annotations

import re
from typing import Literal

from t2s.interaction import Record

# https://www.sqlite.org/lang_keywords.html: all 147 of SQLite 3.40. Many may stand unquoted in some places; quoted they
# are right in every place.
_KEYWORDS = frozenset(
    """
    ABORT ACTION ADD AFTER ALL ALTER ALWAYS ANALYZE AND AS ASC ATTACH AUTOINCREMENT BEFORE BEGIN BETWEEN BY CASCADE
    CASE CAST CHECK COLLATE COLUMN COMMIT CONFLICT CONSTRAINT CREATE CROSS CURRENT CURRENT_DATE CURRENT_TIME
    CURRENT_TIMESTAMP DATABASE DEFAULT DEFERRABLE DEFERRED DELETE DESC DETACH DISTINCT DO DROP EACH ELSE END ESCAPE
    EXCEPT EXCLUDE EXCLUSIVE EXISTS EXPLAIN FAIL FILTER FIRST FOLLOWING FOR FOREIGN FROM FULL GENERATED GLOB GROUP
    GROUPS HAVING IF IGNORE IMMEDIATE IN INDEX INDEXED INITIALLY INNER INSERT INSTEAD INTERSECT INTO IS ISNULL JOIN
    KEY LAST LEFT LIKE LIMIT MATCH MATERIALIZED NATURAL NO NOT NOTHING NOTNULL NULL NULLS OF OFFSET ON OR ORDER
    OTHERS OUTER OVER PARTITION PLAN PRAGMA PRECEDING PRIMARY QUERY RAISE RANGE RECURSIVE REFERENCES REGEXP REINDEX
    RELEASE RENAME REPLACE RESTRICT RETURNING RIGHT ROLLBACK ROW ROWS SAVEPOINT SELECT SET TABLE TEMP TEMPORARY THEN
    TIES TO TRANSACTION TRIGGER UNBOUNDED UNION UNIQUE UPDATE USING VACUUM VALUES VIEW VIRTUAL WHEN WHERE WINDOW
    WITH WITHOUT
    """.split()
)
_PLAIN_NAME = re.compile(r"[^\W\d]\w*")


def quote_identifier(name: str) -> str:
    """Write a table's or column's name as SQL: in double quotes where it needs them, bare where not.

    Bare are letters (Chinese ones too), digits and "_", not beginning with a digit, unless the word is SQLite's own.
    SQLite itself would take full-width signs bare, but models and parsers stumble on them.

        城市 -> 城市    注册资本（万） -> "注册资本（万）"    order -> "order"    2018年利润 -> "2018年利润"
    """
    if _PLAIN_NAME.fullmatch(name) and name.upper() not in _KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


class Column(Record):
    """A column.

    Attributes:
        name: As in the database, unquoted.
        type: The declared type as written, upper case; "" where none is declared.
        not_null: Whether NOT NULL is declared.
        primary_key: 1-based position in the primary key, 0 for none.
        comment: From the CREATE statement's comments, on one line; "" for none.
        examples: A few values, in a fixed order; text is on one line and may be cut, numbers are numbers.
    """

    name: str
    type: str
    not_null: bool = False
    primary_key: int = 0
    comment: str = ""
    examples: tuple[str | int | float, ...] = ()


class ForeignKey(Record):
    """`table.columns` refers to `other_table.other_columns`, position by position."""

    columns: tuple[str, ...]
    other_table: str
    other_columns: tuple[str, ...]


class Table(Record):
    """A table or view, with its columns in the database's order."""

    name: str
    columns: tuple[Column, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()
    comment: str = ""
    kind: Literal["table", "view"] = "table"


class Schema(Record):
    """A database's description; `tables` is in the database's own order."""

    db_id: str
    tables: tuple[Table, ...]
