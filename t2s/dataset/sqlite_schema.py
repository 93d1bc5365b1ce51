"""Reading a SQLite database's schema, with a few sample values of each column.

The file is opened read-only and as immutable, so nothing is ever written beside it. Names go into PRAGMA functions as
bound values and into SELECT in double quotes: brackets, full-width signs, spaces, quotes and keywords are just names.
Needs SQLite 3.37 (PRAGMA table_list).
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import quote

from t2s.dataset.sqlite_comments import Comments, read_comments
from t2s.errors import DatasetError
from t2s.schema import Column, ForeignKey, Schema, Table

logger = logging.getLogger(__name__)

_HEADER = b"SQLite format 3\x00"
# Rows in which sample values are looked for, the first ones in rowid order: the same file gives the same values.
_NUM_ROWS_SCANNED = 1000
# Longest text kept of a sample value. The prompt cuts further; `PromptConfig.example_max_chars` cannot be larger.
MAX_EXAMPLE_CHARS = 200
# Would break out of the one line that a sample value has in the prompt.
_LINE_BREAKERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# What bytes that are not UTF-8 become.
_REPLACEMENT = "\ufffd"


def check_sqlite(path: Path, name: str | None = None) -> None:
    """See that a file is a SQLite database that opens and has a table.

    Args:
        path: The file.
        name: What to call it in messages; its path if not given (a cached copy's says nothing to a user).

    Raises:
        DatasetError: It is not.
    """
    name = name or str(path)
    try:
        with path.open("rb") as file:
            header = file.read(len(_HEADER))
    except OSError as error:
        raise DatasetError(f"{name}: cannot be read: {error.strerror}") from error
    if not header:
        raise DatasetError(f"{name}: wanted a SQLite database, found an empty file")
    if header != _HEADER:
        raise DatasetError(f"{name}: wanted a SQLite database, found a file that begins with {header!r}")
    with _translated(name), closing(_connect(path)) as connection:
        if not list(_objects(connection)):
            raise DatasetError(f"{name}: wanted a SQLite database with tables, found none in it")


def read_schema(path: Path, db_id: str, *, num_examples: int = 3) -> Schema:
    """Read a database's schema.

    Args:
        path: The SQLite file.
        db_id: Key of the database, for the record.
        num_examples: Most sample values of a column: the first different ones of the first 1,000 rows. NULL, empty text
            and blobs are passed over; bytes that are not UTF-8 become U+FFFD, control signs a blank (NUL ends a
            text); views have none.

    Raises:
        DatasetError: The file is not a readable SQLite database.
    """
    with _translated(str(path)), closing(_connect(path)) as connection:
        found = [(entry, table) for entry in _objects(connection) if (table := _read_table(connection, entry))]
        by_name = {table.name.lower(): table for _, table in found}
        tables = []
        for entry, table in found:
            update = {
                "columns": tuple(_with_examples(connection, entry, table.columns, num_examples)),
                "foreign_keys": tuple(_foreign_keys(connection, table, by_name)),
            }
            tables.append(table.model_copy(update=update))
    return Schema(db_id=db_id, tables=tuple(tables))


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn SQLite's own errors into `DatasetError`."""
    try:
        yield
    except sqlite3.Error as error:
        raise DatasetError(f"{name}: wanted a readable SQLite database, found: {error}") from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1", uri=True)
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


class _Object(NamedTuple):
    """A table or view of the database, before its columns are known. `is_plain`: an ordinary table that holds rows."""

    name: str
    kind: Literal["table", "view"]
    sql: str
    is_plain: bool
    has_rowid: bool


def _objects(connection: sqlite3.Connection) -> Iterator[_Object]:
    """Tables and views in the order in which they were made; neither SQLite's own nor the shadows of virtual tables."""
    listed = {name: (kind, bool(without)) for _, name, kind, _, without, *_ in connection.execute("PRAGMA table_list")}
    rows = connection.execute(
        "SELECT name, type, sql FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY rowid"
    )
    for name, kind, sql in rows.fetchall():
        listed_kind, without_rowid = listed.get(name, (kind, False))
        if name.lower().startswith("sqlite_") or listed_kind == "shadow":
            continue
        if _REPLACEMENT in name:
            logger.warning("table %r is left out of the schema: its name is not UTF-8, no SQL can name it", name)
            continue
        yield _Object(name, kind, sql or "", listed_kind == "table", not without_rowid)


def _read_table(connection: sqlite3.Connection, entry: _Object) -> Table | None:
    try:
        rows = connection.execute(
            'SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid', (entry.name,)
        ).fetchall()
    except sqlite3.OperationalError as error:
        if entry.is_plain:
            raise
        # A view on a table that is gone, a virtual table whose module is not here: no query could use it either.
        logger.warning("%s %r is left out of the schema: %s", entry.kind, entry.name, error)
        return None
    comments = read_comments(entry.sql) if entry.kind == "table" else Comments("", {})
    columns = []
    for name, declared_type, not_null, primary_key in rows:
        if _REPLACEMENT in name:
            logger.warning("column %r of %r is left out of the schema: its name is not UTF-8", name, entry.name)
            continue
        columns.append(
            Column(
                name=name,
                type=declared_type.upper(),
                not_null=bool(not_null),
                primary_key=primary_key,
                comment=comments.columns.get(name.lower(), ""),
            )
        )
    if not columns:
        return None
    return Table(name=entry.name, columns=tuple(columns), comment=comments.table, kind=entry.kind)


def _foreign_keys(connection: sqlite3.Connection, table: Table, tables: dict[str, Table]) -> Iterable[ForeignKey]:
    """Foreign keys as declared; names as the other table itself spells them. Those to nowhere are left out."""
    rows = connection.execute(
        'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq', (table.name,)
    ).fetchall()
    grouped: dict[int, list[tuple[str, str, str | None]]] = {}
    for number, other_name, column, other_column in rows:
        grouped.setdefault(number, []).append((other_name, column, other_column))
    for parts in grouped.values():
        other = tables.get(parts[0][0].lower())
        if other is None:
            continue
        spelled = {column.name.lower(): column.name for column in other.columns}
        own = {column.name.lower(): column.name for column in table.columns}
        keyed = sorted((column for column in other.columns if column.primary_key), key=lambda one: one.primary_key)
        targets = (
            [column.name for column in keyed]
            if parts[0][2] is None
            else [spelled.get((to or "").lower(), "") for _, _, to in parts]
        )
        columns = [own.get(column.lower(), "") for _, column, _ in parts]
        if len(targets) == len(columns) and all(targets) and all(columns):
            yield ForeignKey(columns=tuple(columns), other_table=other.name, other_columns=tuple(targets))


def _with_examples(
    connection: sqlite3.Connection, entry: _Object, columns: Sequence[Column], num_examples: int
) -> Sequence[Column]:
    if num_examples == 0 or not entry.is_plain or not columns:
        return columns
    try:
        examples = _examples(connection, entry, columns, num_examples)
    except sqlite3.OperationalError as error:
        # E.g. a generated column that calls a function of somebody's program.
        logger.warning("table %r has no sample values in the schema: %s", entry.name, error)
        return columns
    return [column.model_copy(update={"examples": values}) for column, values in zip(columns, examples, strict=True)]


def _examples(
    connection: sqlite3.Connection, entry: _Object, columns: Sequence[Column], num_examples: int
) -> list[tuple[str | int | float, ...]]:
    # The cut is SQLite's own work: a text of 100 MB never reaches Python.
    cells = ", ".join(
        f"CASE typeof({cell}) WHEN 'blob' THEN NULL "
        f"WHEN 'text' THEN substr({cell}, 1, {MAX_EXAMPLE_CHARS}) ELSE {cell} END"
        for cell in (_quoted(column.name) for column in columns)
    )
    # Without ORDER BY SQLite may walk an index instead, and a newer version another one.
    taken = {column.name.lower() for column in columns}
    rowid = next((name for name in ("rowid", "_rowid_", "oid") if name not in taken), None)
    order = f" ORDER BY {rowid}" if entry.has_rowid and rowid else ""
    found: list[dict[str | int | float, None]] = [{} for _ in columns]
    rows = connection.execute(f"SELECT {cells} FROM {_quoted(entry.name)}{order} LIMIT {_NUM_ROWS_SCANNED}")
    for row in rows:
        for values, value in zip(found, row, strict=True):
            if value is None or len(values) >= num_examples:
                continue
            if isinstance(value, str):
                value = _LINE_BREAKERS.sub(" ", value)
                if not value.strip():
                    continue
            values.setdefault(value)
        if all(len(values) >= num_examples for values in found):
            break
    rows.close()
    return [tuple(values) for values in found]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
