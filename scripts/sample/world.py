"""A built database and what generation asks it: rows, choices, and whether an answer is ambiguous."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from scripts.sample.model import Attr, Domain, Entity, Value
from scripts.sample.query import Cond, Query, identifier, to_sql
from scripts.sample.values import Rng

Row = tuple[Value, ...]

_ORDER_BY = re.compile(r" ORDER BY (?P<keys>.+?)(?: LIMIT (?P<limit>\d+)(?: OFFSET (?P<offset>\d+))?)?$")


def build_database(domain: Domain, path: Path, seed: int) -> None:
    """Make the SQLite file of a domain; every foreign key must hold."""
    rows = domain.rows(Rng(f"{seed}/{domain.db_id}/rows"))
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA synchronous = OFF")  # nobody sees the file before it is whole
        connection.executescript(domain.schema)
        for table, values in rows.items():
            marks = ", ".join("?" * len(values[0]))
            connection.executemany(f"INSERT INTO {identifier(table)} VALUES ({marks})", values)
        broken = connection.execute("PRAGMA foreign_key_check").fetchall()
        assert not broken, f"{domain.db_id}: foreign keys without a row: {broken[:3]}"
        connection.commit()
    finally:
        connection.close()


def content_digest(path: Path) -> str:
    """The sha256 of a database's statements and rows; the file's own bytes differ between versions of SQLite."""
    digest = hashlib.sha256()
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        statements = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY rowid"
        ).fetchall()
        for table, sql in statements:
            digest.update(sql.encode())
            for row in connection.execute(f"SELECT * FROM {identifier(table)} ORDER BY rowid"):
                digest.update(repr(row).encode())
    finally:
        connection.close()
    return digest.hexdigest()


def selects(sql: str) -> Iterator[str]:
    """The statement itself and every `(SELECT …)` in it, without the brackets."""
    yield sql
    starts: list[tuple[int, bool]] = []
    quote = ""
    for i, c in enumerate(sql):
        if quote:
            quote = "" if c == quote else quote
        elif c in "'\"":
            quote = c
        elif c == "(":
            starts.append((i + 1, sql.startswith("SELECT ", i + 1)))
        elif c == ")":
            start, is_select = starts.pop()
            if is_select:
                yield sql[start:i]


class World:
    """One database, open for reading, with the answers it has given."""

    def __init__(self, domain: Domain, path: Path) -> None:
        self.domain = domain
        self._connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        self._answers: dict[str, list[Row]] = {}
        self._clear: dict[str, bool] = {}
        self.links: dict[tuple[str, str], tuple[str, str]] = {}
        for (table,) in self.run("SELECT name FROM sqlite_master WHERE type = 'table'"):
            for row in self._connection.execute(f"PRAGMA foreign_key_list({identifier(str(table))})"):
                self.links[str(table), row[3]] = (row[2], row[4])

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def run(self, sql: str) -> list[Row]:
        """The rows that SQL gives."""
        if sql not in self._answers:
            self._answers[sql] = self._connection.execute(sql).fetchall()
        return self._answers[sql]

    def sql(self, query: Query) -> str:
        """The query in SQL."""
        return to_sql(self.links, query)

    def rows(self, query: Query) -> list[Row]:
        """The rows that a query gives."""
        return self.run(self.sql(query))

    def size(self, query: Query) -> int:
        """How many things have the query's conditions."""
        number = self.rows(Query(query.entity, "count", conds=query.conds))[0][0]
        assert isinstance(number, int)
        return number

    def choices(self, entity: Entity, attr: Attr, conds: tuple[Cond, ...] = ()) -> list[tuple[Value, int]]:
        """The attribute's values among the things with these conditions, and how many have each; no NULL; sorted."""
        query = Query(entity, "group", conds=conds, group=attr, measures=())
        sql = self.sql(query).replace(" FROM ", ", COUNT(*) FROM ", 1)
        found = [(value, count) for value, count in self.run(sql) if value is not None and isinstance(count, int)]
        return sorted(found, key=_value_order)

    def has_null(self, entity: Entity, attr: Attr) -> bool:
        """Whether some thing has no value there."""
        query = Query(entity, "count", conds=(Cond(attr, "IS NULL"),))
        return self.rows(query)[0][0] != 0

    def is_clear(self, sql: str) -> bool:
        """Whether no ORDER BY in the SQL leaves open what comes first: ties that change the answer, NULL as a rank."""
        if sql not in self._clear:
            self._clear[sql] = all(self._is_select_clear(select) for select in selects(sql))
        return self._clear[sql]

    def _is_select_clear(self, select: str) -> bool:
        match = _ORDER_BY.search(_blank_brackets(select))
        if match is None:
            return "LIMIT " not in _blank_brackets(select)
        keys = select[match.start("keys") : match.end("keys")]
        limit, offset = match["limit"], int(match["offset"] or 0)
        bare_keys = [re.sub(r" (ASC|DESC)$", "", key) for key in keys.split(", ")]
        head = "SELECT DISTINCT " if select.startswith("SELECT DISTINCT ") else "SELECT "
        probe = head + ", ".join(bare_keys) + ", " + select[len(head) : match.start()] + f" ORDER BY {keys}"
        if limit is not None:
            probe += f" LIMIT {offset + int(limit) + 1}"
        rows = self.run(probe)
        n = len(bare_keys)
        if limit is not None and len(rows) < offset + int(limit):
            return False
        if any(row[0] is None for row in rows):
            return False
        first = max(offset - 1, 0)
        return not any(
            _same_rank(above[:n], below[:n]) and above[n:] != below[n:]
            for above, below in zip(rows[first:], rows[first + 1 :], strict=False)
        )


def _value_order(pair: tuple[Value, int]) -> tuple[str, float, str]:
    """Numbers by size, texts by code point: the same on every machine."""
    value = pair[0]
    return ("", value, "") if isinstance(value, (int, float)) else ("text", 0, str(value))


def _same_rank(above: Row, below: Row) -> bool:
    """Equal, or so near that another SQLite could round them the other way."""
    return all(
        abs(a - b) < 1e-6 if isinstance(a, (int, float)) and isinstance(b, (int, float)) else a == b
        for a, b in zip(above, below, strict=True)
    )


def _blank_brackets(sql: str) -> str:
    """The SQL with all inside brackets and quotes blanked out, so that a pattern sees the outermost clauses alone."""
    result: list[str] = []
    depth, quote = 0, ""
    for c in sql:
        if quote:
            quote = "" if c == quote else quote
            result.append("x")
        elif c in "'\"":
            quote = c
            result.append("x")
        else:
            depth += {"(": 1, ")": -1}.get(c, 0)
            result.append(c if depth == 0 and c != ")" else "x")
    return "".join(result)
