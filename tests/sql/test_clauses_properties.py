"""What holds for any query: rewriting it changes nothing, and queries with one text give the same rows."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Sequence
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from t2s.schema import Column, Schema, Table
from t2s.sql.clauses import ClauseReader

# Every pair of small values and NULL: two conditions that accept the same rows here accept the same everywhere.
VALUES = (None, 1, 2, 3)
NAMES = ("甲", "乙（元）")
SCHEMA = Schema(
    db_id="数",
    tables=tuple(
        Table(name=name, columns=tuple(Column(name=column, type="INTEGER") for column in ("号", *NAMES)))
        for name in ("数", "量", "表")
    ),
)
READER = ClauseReader(SCHEMA)


@cache
def connection() -> sqlite3.Connection:
    made = sqlite3.connect(":memory:")
    for table in SCHEMA.tables:
        made.execute(f'CREATE TABLE "{table.name}" (号 INTEGER, 甲 INTEGER, "乙（元）" INTEGER)')
        pairs = enumerate(itertools.product(VALUES, repeat=2))
        made.executemany(f'INSERT INTO "{table.name}" VALUES (?, ?, ?)', [(number, *pair) for number, pair in pairs])
    return made


# A condition is ("=", side, side), ("between", side, low, high), ("in", side, values), ("null", side),
# ("not", condition), ("and" | "or", conditions).
Tree = tuple[Any, ...]
FLIPPED = {"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
columns = st.sampled_from(NAMES)
numbers = st.sampled_from(["1", "2", "3"])


def conditions() -> st.SearchStrategy[Tree]:
    atoms: st.SearchStrategy[Tree] = st.one_of(
        st.tuples(st.sampled_from(list(FLIPPED)), columns, st.one_of(columns, numbers)),
        st.tuples(st.just("between"), columns, numbers, numbers),
        st.tuples(st.just("in"), columns, st.lists(numbers, min_size=1, max_size=3).map(tuple)),
        st.tuples(st.just("null"), columns),
    )
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.tuples(st.just("not"), inner),
            st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3).map(tuple)),
        ),
        max_leaves=6,
    )


def write(tree: Tree) -> str:
    def name(side: str) -> str:
        return f'"{side}"' if side in NAMES else side

    match tree:
        case ("between", side, low, high):
            return f"{name(side)} BETWEEN {low} AND {high}"
        case ("in", side, values):
            return f"{name(side)} IN ({', '.join(values)})"
        case ("null", side):
            return f"{name(side)} IS NULL"
        case ("not", inner):
            return f"NOT ({write(inner)})"
        case ("and" | "or" as joins, parts):
            return f" {joins} ".join(f"({write(part)})" for part in parts)
        case (operator, left, right):
            return f"{name(left)} {operator} {name(right)}"
    raise AssertionError(tree)


def rewritten(tree: Tree, draw: st.DrawFn) -> Tree:
    """The same condition, written otherwise in some places."""
    change = draw(st.integers(0, 3)) == 0
    match tree:
        case ("between", side, low, high) if change:
            return ("and", ((">=", side, low), ("<=", side, high)))
        case ("in", side, values) if change:
            parts = tuple(("=", side, value) for value in draw(st.permutations(values)))
            return ("or", parts) if len(parts) > 1 else parts[0]
        case ("in", side, values):
            return ("in", side, tuple(draw(st.permutations(values))))
        case ("not", ("and" | "or" as joins, parts)) if change:
            inner = tuple(("not", rewritten(part, draw)) for part in draw(st.permutations(parts)))
            return ("or" if joins == "and" else "and", inner)
        case ("not", inner):
            return ("not", rewritten(inner, draw))
        case ("and" | "or" as joins, parts):
            shuffled = [rewritten(part, draw) for part in draw(st.permutations(parts))]
            if change and len(shuffled) > 2:
                return (joins, ((joins, tuple(shuffled[:2])), *shuffled[2:]))
            return (joins, tuple(shuffled))
        case ("null" | "between", *_):
            return tree
        case (operator, left, right) if change:
            return (FLIPPED[operator], right, left)
    return ("not", ("not", tree)) if change and tree[0] in FLIPPED else tree


def rows(where: str) -> list[tuple[Any, ...]]:
    return connection().execute(f"SELECT 号 FROM 数 WHERE {where}").fetchall()


def text(where: str) -> str:
    clauses = READER.read(f"SELECT 号 FROM 数 WHERE {where}")
    assert clauses is not None
    return clauses.text


@st.composite
def two_writings(draw: st.DrawFn) -> tuple[str, str]:
    tree = draw(conditions())
    return write(tree), write(rewritten(tree, draw))


@settings(max_examples=100, deadline=None)
@given(two_writings())
def test_a_condition_written_otherwise_is_the_same(pair: tuple[str, str]) -> None:
    one, other = pair
    assert rows(one) == rows(other), "the test's own rewriting is right"
    assert text(one) == text(other)


def _mutated(tree: Tree, draw: st.DrawFn) -> Tree:
    """The condition with one thing changed."""
    match tree:
        case ("not", inner):
            return inner if draw(st.booleans()) else ("not", _mutated(inner, draw))
        case ("and" | "or" as joins, parts):
            if draw(st.integers(0, 3)) == 0:
                return ("or" if joins == "and" else "and", parts)
            at = draw(st.integers(0, len(parts) - 1))
            return (joins, (*parts[:at], _mutated(parts[at], draw), *parts[at + 1 :]))
        case ("in", side, values):
            return ("in", side, (*values, draw(numbers)))
        case ("between", side, low, high):
            return ("between", side, high, low)
        case ("null", side):
            return ("not", ("null", side))
        case (operator, left, right):
            other = draw(st.sampled_from(list(FLIPPED)))
            return (operator, right, left) if draw(st.booleans()) else (other, left, right)
    raise AssertionError(tree)


@st.composite
def two_conditions(draw: st.DrawFn) -> tuple[str, str]:
    tree = draw(conditions())
    return write(tree), write(_mutated(tree, draw) if draw(st.booleans()) else draw(conditions()))


@settings(max_examples=200, deadline=None)
@given(two_conditions())
def test_conditions_that_accept_other_rows_are_different(pair: tuple[str, str]) -> None:
    one, other = pair
    if rows(one) != rows(other):
        assert text(one) != text(other)


JOINS = ["{0}.甲 = {1}.甲", '{1}."乙（元）" = {2}.甲', "{0}.号 > 3", "{2}.号 <= 12"]


@st.composite
def joined_query(draw: st.DrawFn) -> str:
    """One join of three tables with its conditions, in some order, under some aliases, in ON or WHERE."""
    tables = [(name, alias) for name, alias in zip(("数", "量", "表"), draw(st.permutations("abc")), strict=True)]
    aliases = [alias + draw(st.sampled_from(["", "1", "表", "（新）"])) for _, alias in tables]
    parts = [part.format(*(f'"{alias}"' for alias in aliases)) for part in draw(st.permutations(JOINS))]
    in_from = list(
        draw(st.permutations([f'{name} AS "{alias}"' for (name, _), alias in zip(tables, aliases, strict=True)]))
    )
    cut = draw(st.integers(0, len(parts)))
    on, where = parts[:cut], parts[cut:]
    last = f" ON {' AND '.join(on)}" if on else ""
    joins = f" {draw(st.sampled_from([',', 'JOIN', 'CROSS JOIN', 'INNER JOIN']))} ".join(in_from[:2])
    select = ", ".join(draw(st.permutations([f'"{aliases[0]}".号', f'"{aliases[1]}".甲 AS 名'])))
    sql = f"SELECT {select} FROM {joins} JOIN {in_from[2]}{last}"
    return sql + (f" WHERE {' AND '.join(where)}" if where else "")


@settings(max_examples=100, deadline=None)
@given(st.lists(joined_query(), min_size=2, max_size=3))
def test_joins_in_any_order_and_under_any_alias_are_the_same(queries: Sequence[str]) -> None:
    texts = set()
    for sql in queries:
        clauses = READER.read(sql)
        assert clauses is not None
        texts.add(clauses.text)
    assert len(texts) == 1
    results = {tuple(sorted(tuple(sorted(map(str, row))) for row in connection().execute(sql))) for sql in queries}
    assert len(results) == 1


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_no_text_raises(before: str, after: str) -> None:
    READER.read(before)
    READER.read(f"SELECT {before} FROM 数 WHERE {after}")
    READER.quoted_strings(before + after)
