"""Reads FROM: its sources, and what joins them.

    FROM 公司 a JOIN 利润 b ON a.id = b.公司id LEFT JOIN 城市 c ON c.id = a.城市id

has the sources 公司, 利润 and 城市. Inner joins demand a.id = b.公司id of every row, as WHERE would; the outer join
onto them has conditions of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from t2s.sql.clauses.conditions import Comparison, Condition, split
from t2s.sql.clauses.expressions import ExpressionReader, QueryRead
from t2s.sql.clauses.pieces import Unreadable
from t2s.sql.clauses.scopes import Place, QueryResult, Scope, Source, TableNames, function_source
from t2s.sql.clauses.sqlglot_reading import FUNCTION_PREFIX
from t2s.sql.clauses.terms import Term, ascii_lower, compose, listed, named, plain, shortened, written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlglot import exp


# SQLite joins no more, https://www.sqlite.org/limits.html
_MAX_SOURCES = 64


class Pair(NamedTuple):
    """Two columns that USING or NATURAL makes equal."""

    left: tuple[Source, str]
    right: tuple[Source, str]


class Outer(NamedTuple):
    """An outer join: of kind `left`, of one group onto what is joined before it; of kind `full`, of two groups."""

    kind: str
    groups: tuple[Joined, ...]
    conditions: list[exp.Expr | Pair]


class Joined:
    """Sources that inner joins join, with all their conditions, and the outer joins onto them."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self.conditions: list[exp.Expr | Pair] = []
        self.outer: list[Outer] = []

    def absorb(self, other: Joined) -> None:
        """Join one more group by an inner join."""
        self.sources += other.sources
        self.conditions += other.conditions
        self.outer += other.outer

    def all_sources(self) -> Iterator[Source]:
        """Those of outer joins, too."""
        yield from self.sources
        for outer in self.outer:
            for group in outer.groups:
                yield from group.all_sources()


class FromReader:
    """Reads one FROM.

    Args:
        tables: The schema's tables, by name in lower case.
        read_query: Reads a subquery.
        expressions: Reads conditions.
        scope: Gets the sources, and the columns that are equal in every row.

    Attributes:
        tables_read: Names of the schema's tables in it.
    """

    def __init__(
        self, tables: Mapping[str, TableNames], read_query: QueryRead, expressions: ExpressionReader, scope: Scope
    ) -> None:
        self._tables = tables
        self._read_query = read_query
        self._expressions = expressions
        self._scope = scope
        self.tables_read: set[str] = set()

    def read(self, node: exp.Expr) -> Joined:
        """Read the FROM of a SELECT."""
        joined = Joined()
        if node.args.get("from_"):
            self._add(node.args["from_"].this, joined)
        for join in node.args.get("joins") or ():
            joined = self._join(join, joined)
        for outer in joined.outer:
            for group in outer.groups:
                self._scope.outer.update(group.all_sources())
        return joined

    def without_equations(self, conditions: Sequence[exp.Expr | Pair]) -> list[Comparison | Condition]:
        """Note which columns the conditions equate, and give back what else they demand."""
        others: list[Comparison | Condition] = []
        for condition in conditions:
            if isinstance(condition, Pair):
                self._scope.equate(*condition)
                continue
            for part in split(condition):
                if not (isinstance(part, Comparison) and self._equates(part)):
                    others.append(part)
        return others

    def _equates(self, comparison: Comparison) -> bool:
        """Whether it equates columns of two sources; they are then the same to all terms."""
        operator, left, right = comparison
        if operator != "eq" or left.key != "column" or right.key != "column":
            return False
        one, other = self._expressions.place(left, self._scope), self._expressions.place(right, self._scope)
        if not isinstance(one, Place) or not isinstance(other, Place):
            return False
        if one.level or other.level or one.source is other.source:
            return False
        self._scope.equate((one.source, one.column), (other.source, other.column))
        return True

    def outer(self, outer: Outer) -> Term:
        """An outer join: what is joined, and on what."""
        conditions = list(outer.conditions)
        if outer.kind == "left":  # inner joins inside the group decide as much as its own ON
            conditions += outer.groups[0].conditions
            groups = [self._group(outer.groups[0], with_conditions=False)]
        else:
            groups = sorted(self._group(group, with_conditions=True) for group in outer.groups)
        return compose(f"{outer.kind} [{{}}] on [{{}}]", listed(groups, " with "), listed(self._on(conditions), "; "))

    def _group(self, group: Joined, *, with_conditions: bool) -> Term:
        terms = [plain(label) for label in sorted(source.label for source in group.sources)]
        terms += sorted(self.outer(outer) for outer in group.outer)
        if with_conditions:
            terms += self._on(group.conditions)
        return listed(terms)

    def _on(self, conditions: Sequence[exp.Expr | Pair]) -> list[Term]:
        pairs = [one for one in conditions if isinstance(one, Pair)]
        nodes = [one for one in conditions if not isinstance(one, Pair)]
        terms = set(self._expressions.conditions.all_of((part for node in nodes for part in split(node)), self._scope))
        for pair in pairs:
            sides = (self._scope.written(Place(0, self._scope, *side)) for side in pair)
            terms.add(plain(" = ".join(sorted(sides))))
        return sorted(terms)

    def _add(self, node: exp.Expr, joined: Joined) -> None:
        """Add a source, or a bracket of sources, and what is joined to it inside a bracket."""
        group = Joined()
        if node.key == "subquery" and _is_bracket(node.this):
            self._add(node.this, group)
        else:
            source = self._source(node)
            self._scope.sources.append(source)
            if len(self._scope.sources) > _MAX_SOURCES:
                raise Unreadable
            group.sources.append(source)
        for join in node.args.get("joins") or ():
            group = self._join(join, group)
        joined.absorb(group)

    def _source(self, node: exp.Expr) -> Source:
        scope = self._scope
        alias = named(node.args["alias"].this)[0] if node.args.get("alias") and node.args["alias"].this else ""
        if node.key != "table":
            return self._derived(alias, self._read_query(node, scope.parent, scope.ctes, "rows"))
        if node.this.key == "anonymous":
            text = self._expressions.read(node.this, scope).shape
            return function_source(alias, ascii_lower(node.this.name.removeprefix(FUNCTION_PREFIX)), text)
        name = named(node.this)[0]
        cte = scope.ctes.find(name) if scope.ctes is not None and not node.args.get("db") else None
        if cte is not None:
            if cte.is_open:
                return Source(alias or name, "(itself)", None, is_query=False)
            if cte.result is None:
                cte.is_open = True
                result = self._read_query(cte.node.this, None, cte.ctes, "rows")
                declared = [named(column)[0] for column in cte.node.args["alias"].args.get("columns") or ()]
                columns = [(new, text) for new, (_, text) in zip(declared, result.columns, strict=False)]
                cte.result = QueryResult(result.clauses, columns or result.columns)
                cte.is_open = False
            return self._derived(alias or name, cte.result)
        table = self._tables.get(name)
        if table is None:
            return Source(alias or name, written(name), None)
        self.tables_read.add(table.name)
        return Source(alias or name, table.name, table.columns, not_null=table.not_null)

    def _derived(self, name: str, result: QueryResult) -> Source:
        self._scope.derived.append(result.clauses)
        columns: dict[str, str] = {}
        for column, text in result.columns:
            columns.setdefault(column, shortened(text))
        return Source(name, result.clauses.key, columns, is_query=True, text=result.clauses.text)

    def _join(self, join: exp.Expr, joined: Joined) -> Joined:
        """Join one more source, or bracket of sources, to those before it."""
        before = list(joined.all_sources())
        right = Joined()
        self._add(join.this, right)
        conditions: list[exp.Expr | Pair] = [join.args["on"]] if join.args.get("on") is not None else []
        conditions += self._shared_columns(join, before, list(right.all_sources()))
        match str(join.args.get("side") or "").lower():
            case "left":
                joined.outer.append(Outer("left", (right,), conditions))
                return joined
            case "right":  # a RIGHT JOIN b is b LEFT JOIN a
                right.outer.append(Outer("left", (joined,), conditions))
                return right
            case "full":
                both = Joined()
                both.outer.append(Outer("full", (joined, right), conditions))
                return both
        joined.absorb(right)
        joined.conditions += conditions
        return joined

    def _shared_columns(self, join: exp.Expr, left: Sequence[Source], right: Sequence[Source]) -> Iterator[Pair]:
        names = [named(column)[0] for column in join.args.get("using") or ()]
        if str(join.args.get("method") or "").lower() == "natural":
            names = [name for source in right for name in source.columns or () if _first(left, name)]
        for name in names:
            one, other = _first(left, name), _first(right, name)
            if one is None or other is None:
                raise Unreadable  # "cannot join using column"
            self._scope.hidden.add((other, name))
            yield Pair((one, name), (other, name))


def _is_bracket(node: exp.Expr) -> bool:
    """Whether a bracket in FROM holds tables rather than a query."""
    while node.key == "subquery":
        node = node.this
    return node.key == "table"


def _first(sources: Sequence[Source], column: str) -> Source | None:
    return next((source for source in sources if column in (source.columns or ())), None)
