"""What a database looks like: the record that the prompt renders and the sandbox's limits are taken from."""

from __future__ import annotations

from t2s.interaction import Record


class Column(Record):
    """A column.

    Attributes:
        name: As in the database, unquoted.
        type: The declared type as written, upper case; "" where none is declared.
        not_null: Whether NOT NULL is declared.
        primary_key: 1-based position in the primary key, 0 for none.
        comment: From the CREATE statement's comments; "" for none.
        examples: A few values as text, in a fixed order.
    """

    name: str
    type: str
    not_null: bool = False
    primary_key: int = 0
    comment: str = ""
    examples: tuple[str, ...] = ()


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


class Schema(Record):
    """A database's description; `tables` is in the database's own order."""

    db_id: str
    tables: tuple[Table, ...]
