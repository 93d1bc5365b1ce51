"""Which table's column a name is: SQLite's rules of name resolution (resolve.c, lookupName) over a schema.

A name is looked for among the columns of the innermost SELECT's tables, then among its result aliases, then one SELECT
further out, and so on. What is found nowhere is a text if it was in double quotes, else a name that does not exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import permutations, product
from math import factorial, prod
from typing import TYPE_CHECKING, NamedTuple

from t2s.schema import Schema
from t2s.sql.clauses.terms import Clauses, ComparedValue, Term, ascii_lower, named, plain, written

if TYPE_CHECKING:
    from sqlglot import exp

_ROWIDS = frozenset(("rowid", "oid", "_rowid_"))
# Tables that stand twice in one FROM have no order, so each order is tried: 24 is one table four times.
_MAX_LABELLINGS = 24
# What table-valued functions give, https://www.sqlite.org/json1.html
_FUNCTION_COLUMNS = {
    "json_each": "key value type atom id parent fullkey path",
    "json_tree": "key value type atom id parent fullkey path",
    "generate_series": "value",
}


class TableNames(NamedTuple):
    """A table of the database. `columns`: name in lower case -> as terms write it; `not_null`: those declared so."""

    name: str
    columns: Mapping[str, str]
    not_null: frozenset[str]


def schema_names(schema: Schema) -> dict[str, TableNames]:
    """A schema's tables by name in lower case."""
    tables = {}
    for table in schema.tables:
        keyed = [column for column in table.columns if column.primary_key]
        names = {ascii_lower(column.name): written(ascii_lower(column.name)) for column in table.columns}
        not_null = {ascii_lower(column.name) for column in table.columns if column.not_null}
        if len(keyed) == 1 and keyed[0].type == "INTEGER":  # the row's own number; other keys may be NULL in SQLite
            not_null.add(ascii_lower(keyed[0].name))
        name = ascii_lower(table.name)
        tables[name] = TableNames(written(name), names, frozenset(not_null))
    return tables


class Source:
    """A table, subquery or table function of a FROM clause.

    Attributes:
        name: What qualifies its columns, in lower case; "" for none.
        table: What it is: a table's name, or a subquery's `Clauses.key`. Those with the same one are interchangeable.
        text: The same with its values.
        columns: Name in lower case -> as terms write it; None if unknown.
        not_null: Columns that are never NULL.
        is_query: Whether it is a subquery or CTE.
        label: How terms write it; changes while the labellings are tried.
    """

    __slots__ = ("columns", "is_query", "label", "name", "not_null", "table", "text")

    def __init__(
        self,
        name: str,
        table: str,
        columns: Mapping[str, str] | None,
        *,
        not_null: frozenset[str] = frozenset(),
        is_query: bool = False,
        text: str = "",
    ) -> None:
        self.name = name
        self.table = table
        self.text = text or table
        self.columns = columns
        self.not_null = not_null
        self.is_query = is_query
        self.label = table


def function_source(name: str, function: str, text: str) -> Source:
    """A table-valued function."""
    columns = _FUNCTION_COLUMNS.get(function)
    return Source(name, text, {column: column for column in columns.split()} if columns else None)


class Place(NamedTuple):
    """A column: which one of which source, how many SELECTs further out."""

    level: int
    scope: Scope
    source: Source
    column: str


class Scope:
    """The names of one SELECT, and what is gathered while it is read.

    Attributes:
        parent: The SELECT around it.
        ctes: What FROM may name beside tables.
        sources: In their order.
        hidden: Columns of USING and NATURAL that `*` does not repeat.
        outer: Sources whose columns an outer join may leave NULL.
        aliases: Result alias in lower case -> its term; None while result columns are read, which do not see them.
        windows: Windows of its WINDOW clause, by name in lower case.
        nested, distinct, values, aggregates: As in `Clauses` and `Selected`, as far as read.
        columns: Of the result column that is being read: each as it is named, and as terms write it.
    """

    def __init__(self, parent: Scope | None, ctes: Ctes | None) -> None:
        self.parent = parent
        self.ctes = ctes
        self.sources: list[Source] = []
        self.hidden: set[tuple[Source, str]] = set()
        self.outer: set[Source] = set()
        self.windows: dict[str, exp.Expr] = {}
        self.derived: list[Clauses] = []
        self._equal: dict[tuple[Source, str], tuple[Source, str]] = {}
        self.forget()

    def forget(self) -> None:
        """Begin a reading: nothing is gathered yet."""
        self.aliases: dict[str, Term] | None = None
        self.nested: list[Clauses] = list(self.derived)
        self.distinct: set[str] = set()
        self.values: list[ComparedValue] = []
        self.aggregates: list[str] = []
        self.columns: list[tuple[str, str]] = []

    def find(self, qualifier: str, column: str) -> Place | Term | None:
        """Look a name up, both in lower case: a column, or the term of an alias, or None.

        A name that two tables have is the term of a name that does not exist: SQLite would not run it.
        """
        scope: Scope | None = self
        level = 0
        while scope is not None:
            sources = scope._sources_of(qualifier, column)
            if len(sources) > 1:
                return plain(f"?{written(column)}")
            if sources:
                is_rowid = column in _ROWIDS and column not in (sources[0].columns or ())
                return Place(level, scope, sources[0], "rowid" if is_rowid else column)
            if not qualifier and scope.aliases and column in scope.aliases:
                return scope.aliases[column]
            scope, level = scope.parent, level + 1
        return None

    def _sources_of(self, qualifier: str, column: str) -> list[Source]:
        found: list[Source] = []
        others: list[Source] = []
        for source in self.sources:
            if qualifier and source.name != qualifier:
                continue
            if source.columns is None:
                others.append(source)
            elif column in source.columns:
                if qualifier or (source, column) not in self.hidden:
                    found.append(source)
            elif column in _ROWIDS and not source.is_query:
                others.append(source)
        return found or others[:1]

    def written(self, place: Place) -> str:
        """A column as terms write it: the first of those that the query's joins equate with it."""
        scope, own = place.scope, (place.source, place.column)
        names = [_written(one) for one in scope.equal_to(own)] if scope._equal else [_written(own)]
        return "^" * place.level + min(names)

    def named(self, place: Place) -> str:
        """A column as it is named, whatever it is equal to."""
        return "^" * place.level + _written((place.source, place.column))

    def equate(self, one: tuple[Source, str], other: tuple[Source, str]) -> None:
        """Note that two columns are equal in every row."""
        one, other = self._root(one), self._root(other)
        if one != other:
            self._equal[one] = other

    def _root(self, column: tuple[Source, str]) -> tuple[Source, str]:
        while (above := self._equal.setdefault(column, column)) != column:
            column = above
        return column

    def equal_to(self, column: tuple[Source, str]) -> list[tuple[Source, str]]:
        """A column and those that are equal to it in every row."""
        if column not in self._equal:
            return [column]
        root = self._root(column)
        return [one for one in list(self._equal) if self._root(one) == root]

    def equations(self) -> Iterator[str]:
        """Each group of equal columns, as `公司.id = 利润.公司id`."""
        for column in list(self._equal):
            if self._root(column) == column:
                yield " = ".join(sorted(_written(one) for one in self.equal_to(column)))

    def is_never_null(self, place: Place) -> bool:
        """Whether a column of this SELECT has a value in every row."""
        if place.level or place.source in self.outer:
            return False
        return place.column in place.source.not_null or (place.source, place.column) in self._equal

    def labellings(self) -> Iterator[None]:
        """Label the sources in every way that makes a difference; stops after each."""
        groups: dict[str, list[Source]] = {}
        for source in self.sources:
            groups.setdefault(source.table, []).append(source)
        queries = sorted(table for table, members in groups.items() if members[0].is_query)
        bases = {table: f"({queries.index(table) + 1})" if table in queries else table for table in groups}
        num_labellings = prod(factorial(min(len(members), _MAX_LABELLINGS)) for members in groups.values())
        if num_labellings > _MAX_LABELLINGS:
            orders: Iterable[tuple[Sequence[Source], ...]] = [tuple(groups.values())]
        else:
            orders = product(*(permutations(members) for members in groups.values()))
        for order in orders:
            for labelled in order:
                for number, source in enumerate(labelled, 1):
                    base = bases[source.table]
                    source.label = base if number == 1 else f"{base}#{number}"
            yield


def _written(column: tuple[Source, str]) -> str:
    source, name = column
    return f"{source.label}.{(source.columns or {}).get(name) or written(name)}"


class Cte:
    """A common table expression: read when first used.

    Attributes:
        node: Its query and names.
        ctes: Those that it may use, itself among them.
        result: What it is, once read.
        is_open: Whether it is being read: who meets its name then is inside it, and it is recursive.
    """

    def __init__(self, node: exp.Expr, ctes: Ctes) -> None:
        self.node = node
        self.ctes = ctes
        self.result: QueryResult | None = None
        self.is_open = False


class Ctes:
    """The CTEs of a WITH clause, and those around it."""

    def __init__(self, nodes: Iterable[exp.Expr], parent: Ctes | None) -> None:
        self._parent = parent
        self._ctes = {named(node.args["alias"].this)[0]: Cte(node, self) for node in nodes}

    def find(self, name: str) -> Cte | None:
        """The CTE of that name, in lower case."""
        found = self._ctes.get(name)
        if found is None and self._parent is not None:
            return self._parent.find(name)
        return found


class QueryResult(NamedTuple):
    """A query, and what its columns are to those who select from it: name in lower case ("" for none) and term."""

    clauses: Clauses
    columns: list[tuple[str, str]]
