"""Changes to gold SQL whose effect on official exact set match is known by construction.

Each takes a gold and gives it changed, or None where it has nothing to change. They cut SQL by a splitter of their own
and read schemas from the database, so that they share nothing with what they test.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

_PIECES = re.compile(r"""'[^']*(?:''[^']*)*'|"[^"]*(?:""[^"]*)*"|[^\W\d]\w*（\w+）|\w+|\s+|.""")
_CLAUSES = ("select", "from", "where", "group", "having", "order", "limit")
# Words of SQL that databases have as names, too; bare they are SQL's.
_KEYWORDS = {*_CLAUSES, "index", "check"}
_COMPARISONS = {">": "<", "<": ">", "=": "!=", "!=": "=", ">=": "<=", "<=": ">="}

Pieces = list[str]


class Database(NamedTuple):
    """What a change has to know: lower-case table -> its columns, and pairs of (table, column) that a key ties."""

    columns: dict[str, list[str]]
    keys: list[tuple[tuple[str, str], tuple[str, str]]]

    @property
    def names(self) -> set[str]:
        return {*self.columns, *(column.lower() for columns in self.columns.values() for column in columns)}


def read_database(path: Path) -> Database:
    connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    columns = {
        table.lower(): [name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]
        for table in tables
    }
    keys = [
        ((table.lower(), own.lower()), (other.lower(), to.lower()))
        for table in tables
        for other, own, to in connection.execute(
            'SELECT "table", "from", "to" FROM pragma_foreign_key_list(?)', (table,)
        )
        if to
    ]
    connection.close()
    return Database(columns, keys)


class Gold(NamedTuple):
    """A gold query, cut into pieces, with its database."""

    sql: str
    pieces: Pieces
    database: Database

    @property
    def is_plain(self) -> bool:
        """Whether it is one SELECT: no subquery, no set operation."""
        words = [piece.lower() for piece in self.pieces]
        return words.count("select") == 1 and not {"union", "intersect", "except"} & set(words)

    def clause(self, name: str) -> tuple[int, int] | None:
        """Where a clause's content stands in the pieces of a plain query."""
        starts = [(position, piece.lower()) for position, piece in enumerate(self.pieces) if piece.lower() in _CLAUSES]
        for (start, word), (end, _) in zip(starts, [*starts[1:], (len(self.pieces), "")], strict=True):
            if word == name:
                return start + 1, end
        return None

    @property
    def aliases(self) -> dict[str, str]:
        """Alias and table -> table, in lower case."""
        found = {table: table for table in self.database.columns}
        words = [unquoted(piece) for piece in self.pieces if not piece.isspace()]
        for position, word in enumerate(words):
            if word == "as":
                found[words[position + 1]] = words[position - 1]
        return found

    def with_pieces(self, start: int, end: int, new: Pieces) -> str:
        return "".join([*self.pieces[:start], *new, *self.pieces[end:]])


def cut(sql: str, database: Database) -> Gold:
    return Gold(sql, _PIECES.findall(sql), database)


def unquoted(piece: str) -> str:
    return (piece[1:-1].replace('""', '"') if piece[0] == '"' else piece).lower()


def _split(pieces: Pieces, separator: str) -> list[Pieces]:
    """Cut at a separator that stands outside of brackets."""
    parts: list[Pieces] = [[]]
    depth = 0
    for piece in pieces:
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if piece.lower() == separator and depth == 0:
            parts.append([])
        else:
            parts[-1].append(piece)
    return parts


def _join(parts: list[Pieces], separator: str) -> Pieces:
    joined = list(parts[0])
    for part in parts[1:]:
        joined += [separator, *part]
    return joined


def _is_name(piece: str, gold: Gold) -> bool:
    if piece[0] == "'" or piece.isspace() or piece.lower() in _KEYWORDS:
        return False
    return unquoted(piece) in gold.database.names


def _conditions(gold: Gold) -> tuple[int, int, list[Pieces]] | None:
    """WHERE's conditions where AND alone stands between them."""
    place = gold.clause("where") if gold.is_plain else None
    if place is None:
        return None
    words = {piece.lower() for piece in gold.pieces[slice(*place)]}
    if {"or", "between"} & words:
        return None
    return *place, _split([*gold.pieces[slice(*place)], " "], "and")


# What must not change the verdict.


def quote_names(gold: Gold, random: Random) -> str | None:
    """Put each name of a table or column in quotes, values and aliases left alone."""
    if all(name.isascii() for name in gold.database.names):
        return None  # there the official verdict on quotes stands
    pieces = [
        random.choice(('"{}"', "`{}`", "[{}]")).format(piece) if piece[0] != '"' and _is_name(piece, gold) else piece
        for piece in gold.pieces
    ]
    return "".join(pieces)


def rename_aliases(gold: Gold, random: Random) -> str | None:
    """T1 becomes 别名1."""
    pieces = [re.sub(r"^[Tt](\d+)$", r"别名\1", piece) for piece in gold.pieces]
    return "".join(pieces) if pieces != gold.pieces else None


def change_a_value(gold: Gold, random: Random) -> str | None:
    """Another text in quotes, another number."""
    pieces = list(gold.pieces)
    for position, piece in enumerate(pieces):
        if piece[0] == "'" or (piece[0] == '"' and not _is_name(piece, gold)):
            pieces[position] = piece[0] + "另一个值" + piece[0]
        elif re.fullmatch(r"\d+", piece) and pieces[position - 1] == " " and position + 1 < len(pieces):
            pieces[position] = "12345"
    return "".join(pieces) if pieces != gold.pieces else None


def other_letters(gold: Gold, random: Random) -> str | None:
    """Keywords in the other case, more blanks, a semicolon."""
    pieces = [piece.swapcase() if piece.isascii() and piece.isalpha() else piece for piece in gold.pieces]
    return "".join("  " if piece == " " else piece for piece in pieces) + " ;"


def reorder_columns(gold: Gold, random: Random) -> str | None:
    """Selected columns the other way round."""
    place = gold.clause("select") if gold.is_plain else None
    if place is None:
        return None
    start, end = place
    if gold.pieces[start : start + 2][-1].lower() == "distinct":
        start += 2
    columns = _split(gold.pieces[start:end], ",")
    return gold.with_pieces(start, end, [" ", *_join(columns[::-1], ","), " "]) if len(columns) > 1 else None


def reorder_conditions(gold: Gold, random: Random) -> str | None:
    """Conditions of WHERE the other way round."""
    found = _conditions(gold)
    if found is None or len(found[2]) < 2:
        return None
    start, end, conditions = found
    # a column on the right would swallow what follows it
    if any(_is_name(condition[-1 if condition[-1] != " " else -2], gold) for condition in conditions):
        return None
    return gold.with_pieces(start, end, [" ", *_join(conditions[::-1], "and "), " "])


def add_distinct(gold: Gold, random: Random) -> str | None:
    """SELECT DISTINCT, or no more."""
    if not gold.is_plain:
        return None
    if "distinct" in gold.sql.lower():
        return re.sub(r"distinct\s*", " ", gold.sql, flags=re.IGNORECASE)
    return re.sub(r"^(\s*select)\b", r"\1 distinct", gold.sql, flags=re.IGNORECASE)


def swap_joined_tables(gold: Gold, random: Random) -> str | None:
    """`a AS T1 JOIN b AS T2` becomes `b AS T2 JOIN a AS T1`."""
    table = r'("[^"]+"|\w+) as (\w+)'
    swapped, count = re.subn(rf"from {table} join {table} on", r"from \3 as \4 join \1 as \2 on", gold.sql, flags=re.I)
    return swapped if count and gold.is_plain else None


def select_a_joined_column(gold: Gold) -> tuple[str, str, bool] | None:
    """Select, in addition, one side of `ON T1.a = T2.b`, and the other: the two are the same if a key ties them.

    Returns:
        The gold with the one, with the other, and whether they should match.
    """
    name = r'("[^"]+"|[^\s".=]+)'
    match = re.search(rf"\bon (\w+)\.{name} = (\w+)\.{name}", gold.sql, re.IGNORECASE)
    if match is None or not gold.is_plain or "distinct" in gold.sql.lower():
        return None
    one = (gold.aliases[match[1].lower()], unquoted(match[2]))
    other = (gold.aliases[match[3].lower()], unquoted(match[4]))
    ties = [key for key in gold.database.keys if {one, other} & set(key)]
    if len(ties) > 1 or one[0] == other[0]:
        return None  # where keys meet, their order decides
    first, second = (
        re.sub(r"^\s*select\b", f"SELECT {alias}.{column},", gold.sql, flags=re.IGNORECASE)
        for alias, column in ((match[1], match[2]), (match[3], match[4]))
    )
    return first, second, bool(ties) and set(ties[0]) == {one, other}


def _qualified(gold: Gold) -> list[tuple[int, str, str, str]]:
    """Each `T1.column`: where, the alias, its table, its column in lower case."""
    found = []
    for position in range(len(gold.pieces) - 2):
        alias, dot, column = gold.pieces[position : position + 3]
        if dot == "." and alias.lower() in gold.aliases and _is_name(column, gold):
            found.append((position, alias, gold.aliases[alias.lower()], unquoted(column)))
    return found


# What must make the prediction another one.


def change_a_column(gold: Gold, random: Random) -> str | None:
    """A selected column becomes another one of its table that no key ties."""
    place = gold.clause("select") if gold.is_plain else None
    if place is None:
        return None
    tied = {column for key in gold.database.keys for column in key}
    for position, _, table, column in _qualified(gold):
        others = [
            name
            for name in gold.database.columns[table]
            if name.lower() != column and (table, name.lower()) not in tied and '"' not in name and "'" not in name
        ]
        if place[0] <= position < place[1] and others:
            return gold.with_pieces(position + 2, position + 3, [_written(random.choice(others))])
    return None


def add_a_column(gold: Gold, random: Random) -> str | None:
    """One more selected column."""
    return re.sub(r"\bfrom\b", ", count(*) from", gold.sql, count=1, flags=re.IGNORECASE) if gold.is_plain else None


def drop_a_condition(gold: Gold, random: Random) -> str | None:
    """The last condition of WHERE goes, or WHERE with it."""
    found = _conditions(gold)
    if found is None:
        return None
    start, end, conditions = found
    if len(conditions) == 1:
        return gold.with_pieces(start - 1, end, [])
    return gold.with_pieces(start, end, _join(conditions[:-1], "and"))


def swap_and_for_or(gold: Gold, random: Random) -> str | None:
    """All AND of WHERE become OR."""
    found = _conditions(gold)
    if found is None or len(found[2]) < 2:
        return None
    start, end, conditions = found
    return gold.with_pieces(start, end, _join(conditions, "or"))


def change_a_comparison(gold: Gold, random: Random) -> str | None:
    """> becomes <, = becomes !=."""
    found = _conditions(gold)
    if found is None:
        return None
    start, end, _ = found
    text = "".join(gold.pieces[start:end])
    match = re.search(r"(?<= )(>=|<=|!=|>|<|=)(?= )", text)
    if match is None:
        return None
    return gold.with_pieces(start, end, [text[: match.start()], _COMPARISONS[match[0]], text[match.end() :]])


def change_the_aggregate(gold: Gold, random: Random) -> str | None:
    """The first max becomes min, and the like."""
    other = {"max": "min", "min": "max", "sum": "avg", "avg": "sum"}
    for position, piece in enumerate(gold.pieces):
        if piece.lower() in other:
            return gold.with_pieces(position, position + 1, [other[piece.lower()]])
    return None


def turn_the_order(gold: Gold, random: Random) -> str | None:
    """DESC becomes ASC and the other way round."""
    if not gold.is_plain or gold.clause("order") is None:
        return None
    if re.search(r"\bdesc\b", gold.sql, re.IGNORECASE):
        return re.sub(r"\bdesc\b", "asc", gold.sql, flags=re.IGNORECASE)
    return None if "," in gold.sql else re.sub(r"(\s+asc)?(\s+limit\b|\s*$)", r" desc\2", gold.sql, count=1, flags=re.I)


def drop_the_limit(gold: Gold, random: Random) -> str | None:
    """No LIMIT."""
    return re.sub(r"\s+limit\s+\d+", "", gold.sql, flags=re.I) if gold.is_plain and gold.clause("limit") else None


def take_another_table(gold: Gold, random: Random) -> str | None:
    """One more table in FROM."""
    place = gold.clause("from") if gold.is_plain else None
    if place is None:
        return None
    table = random.choice([name for name in gold.database.columns if '"' not in name])
    return gold.with_pieces(place[1], place[1], [f" JOIN {_written(table)} "])


def _written(name: str) -> str:
    return name if name.isidentifier() and name.lower() not in _KEYWORDS else f'"{name}"'


Mutation = Callable[[Gold, Random], str | None]
KEEPING: tuple[Mutation, ...] = (
    quote_names,
    rename_aliases,
    change_a_value,
    other_letters,
    reorder_columns,
    reorder_conditions,
    add_distinct,
    swap_joined_tables,
)
CHANGING: tuple[Mutation, ...] = (
    change_a_column,
    add_a_column,
    drop_a_condition,
    swap_and_for_or,
    change_a_comparison,
    change_the_aggregate,
    turn_the_order,
    drop_the_limit,
    take_another_table,
)
