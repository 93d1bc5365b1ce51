"""Reads sqlglot's tree of a query into `Clauses`.

A SELECT is read in three steps: its sources and what joins them; the equations among its conditions, which decide how
columns are written; then, once for each way of labelling tables that stand twice in its FROM, everything else. The
reading whose key comes first counts, so the order of such tables makes no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from t2s.sql.clauses.conditions import Comparison, Condition, split
from t2s.sql.clauses.expressions import ExpressionReader, Purpose
from t2s.sql.clauses.from_clause import FromReader, Joined
from t2s.sql.clauses.pieces import Unreadable
from t2s.sql.clauses.scopes import Ctes, Place, QueryResult, Scope, Source, TableNames
from t2s.sql.clauses.terms import (
    Clauses,
    Selected,
    Term,
    compose,
    listed,
    masked,
    named,
    plain,
    shortened,
)

if TYPE_CHECKING:
    from sqlglot import exp

# What a SELECT costs beside its expressions.
_NODES_OF_A_SELECT = 10
_SET_OPERATORS = frozenset(("union", "intersect", "except"))
# SQLite's own limits of a result's columns and of a compound's SELECTs, https://www.sqlite.org/limits.html
_MAX_COLUMNS = 2_000
_MAX_PARTS = 500


class QueryReader:
    """Reads one statement.

    Args:
        tables: The schema's tables, by name in lower case.
    """

    def __init__(self, tables: Mapping[str, TableNames]) -> None:
        self.tables = tables
        self.expressions = ExpressionReader(self.query)

    def quoted_texts(self) -> tuple[tuple[str, bool], ...]:
        """Words in double quotes that are texts, and whether each stands where a value would; once all is read."""
        values = self.expressions.conditions.quoted_values
        return tuple(dict.fromkeys((text, node in values) for node, text in self.expressions.quoted.items()))

    def query(self, node: exp.Expr, parent: Scope | None, ctes: Ctes | None, purpose: Purpose = "rows") -> QueryResult:
        """Read a query.

        Args:
            node: A SELECT, set operation, VALUES, or one of them in brackets.
            parent: The SELECT around it, whose columns it may use.
            ctes: The CTEs that it may use.
            purpose: What it is for.

        Raises:
            Unreadable: It is beyond the limits, or SQLite would not run it.
        """
        self.expressions.spend()
        if node.args.get("with_") is not None:
            ctes = Ctes(node.args["with_"].expressions, ctes)
        if node.key == "subquery":
            return self.query(node.this, parent, ctes, purpose)
        if node.key in _SET_OPERATORS:
            return self._compound(node, parent, ctes, purpose)
        if node.key == "values":
            return self._values(node, Scope(parent, ctes))
        if node.key == "select":
            return _SelectReader(self, node, Scope(parent, ctes), purpose).read()
        raise Unreadable

    def _values(self, node: exp.Expr, scope: Scope) -> QueryResult:
        rows = listed(self.expressions.read(row, scope) for row in node.expressions)
        numbers = range(1, len(node.expressions[0].expressions) + 1)
        select = tuple(Selected(plain(f"#{number}")) for number in numbers)
        clauses = Clauses(f"values {rows.shape}", f"values {rows.text}", frozenset(), select=select)
        return QueryResult(clauses, [(f"column{number}", f"#{number}") for number in numbers])

    def _compound(self, node: exp.Expr, parent: Scope | None, ctes: Ctes | None, purpose: Purpose) -> QueryResult:
        operator = "union all" if node.key == "union" and not node.args.get("distinct") else node.key
        results = [self.query(part, parent, ctes) for part in _parts(node, operator)]
        parts = tuple(result.clauses for result in results)
        names = [[name for name, _ in result.columns] for result in results]
        scope = Scope(parent, ctes)
        scope.aliases = {}
        for part_names in names:
            for number, name in enumerate(part_names, 1):
                scope.aliases.setdefault(name, plain(f"#{number}"))
        columns = [(name, f"#{number}") for number, name in enumerate(names[0], 1)]
        limit = self.limit(node, scope)
        order = self.order(node, scope, [plain(text) for _, text in columns]) if limit or purpose == "rows" else ()
        tail = listed([compose("order {}", listed(order))] * bool(order) + ([limit] if limit else []), " ")
        key, text = (
            f"{operator} [{'; '.join(_commuting(operator, forms))}] {tail_form}"
            for forms, tail_form in (
                ([part.key for part in parts], tail.shape),
                ([part.text for part in parts], tail.text),
            )
        )
        clauses = Clauses(
            key,
            text,
            frozenset().union(*(part.all_tables for part in (*parts, *scope.nested))),
            operator=operator,
            parts=parts,
            order=order,
            limit=limit,
            nested=tuple(scope.nested),
        )
        return QueryResult(clauses, columns)

    def order(self, node: exp.Expr, scope: Scope, selected: Sequence[Term]) -> tuple[Term, ...]:
        """ORDER BY, where a result's alias comes before a column and a number is a position."""
        terms: dict[Term, None] = {}
        for ordered in node.args["order"].expressions if node.args.get("order") else ():
            one = ordered.this
            is_name = one.key == "column" and not one.args.get("table")
            alias = (scope.aliases or {}).get(named(one.this)[0]) if is_name else None
            term = alias or at_position(one, selected) or self.expressions.read(one, scope)
            is_descending = bool(ordered.args.get("desc"))
            nulls_first = ordered.args.get("nulls_first")
            # SQLite's own order: NULL is smaller than everything.
            nulls = "" if bool(nulls_first) != is_descending else f" nulls {'first' if nulls_first else 'last'}"
            terms.setdefault(compose(f"{{}}{' desc' if is_descending else ''}{nulls}", term))
        return tuple(terms)

    def limit(self, node: exp.Expr, scope: Scope) -> Term | None:
        """LIMIT and OFFSET; None for no limit."""
        if not node.args.get("limit"):
            return None
        term = compose("limit {}", masked(self.expressions.read(node.args["limit"].expression, scope)))
        if node.args.get("offset"):
            offset = self.expressions.read(node.args["offset"].expression, scope)
            if offset.text != "0":
                term = compose("{} offset {}", term, masked(offset))
        return term


class _SelectReader:
    """Reads one SELECT."""

    def __init__(self, queries: QueryReader, node: exp.Expr, scope: Scope, purpose: Purpose) -> None:
        self._queries = queries
        self._expressions = queries.expressions
        self._conditions = queries.expressions.conditions
        self._node = node
        self._scope = scope
        self._purpose = purpose
        self._from = FromReader(queries.tables, queries.query, queries.expressions, scope)

    def read(self) -> QueryResult:
        node, scope = self._node, self._scope
        for window in node.args.get("windows") or ():
            scope.windows[named(window.this)[0]] = window
        joined = self._from.read(node)
        where = [node.args["where"].this] if node.args.get("where") else []
        conditions = self._from.without_equations([*joined.conditions, *where])
        best: QueryResult | None = None
        for _ in scope.labellings():
            scope.forget()
            self._expressions.spend(_NODES_OF_A_SELECT)
            result = self._labelled(joined, conditions)
            if best is None or (result.clauses.key, result.clauses.text) < (best.clauses.key, best.clauses.text):
                best = result
        assert best is not None, "there is at least one labelling"
        return best

    # The rest, once for each labelling

    def _labelled(self, joined: Joined, others: Sequence[Comparison | Condition]) -> QueryResult:
        node, scope = self._node, self._scope
        columns, aliases = self._select()
        scope.aliases = aliases
        selected = tuple(one for _, one in columns)
        terms = [one.term for one in selected]
        joins = sorted(
            [*(plain(one) for one in scope.equations()), *(self._from.outer(outer) for outer in joined.outer)]
        )
        conditions = self._conditions.all_of(others, scope)
        group_nodes = node.args["group"].expressions if node.args.get("group") else ()
        group = sorted({at_position(one, terms) or self._expressions.read(one, scope) for one in group_nodes})
        having = self._conditions.all_of(split(node.args["having"].this), scope) if node.args.get("having") else ()
        limit = self._queries.limit(node, scope)
        order = self._queries.order(node, scope, terms) if limit or self._purpose == "rows" else ()
        if node.args.get("distinct"):
            scope.distinct.add("select")
        is_any = self._purpose == "exists" and not any(one.aggregates for one in selected) and not group and not limit
        forms = [
            ("select", [] if is_any else sorted(terms)),
            ("from", sorted(_described(source) for source in scope.sources)),
            ("join", joins),
            ("where", conditions),
            ("group", group),
            ("having", having),
            ("order", order),
            ("", [limit] if limit else []),
        ]
        whole = listed([compose(f"{name} [{{}}]", listed(members, "; ")) for name, members in forms if members], " ")
        clauses = Clauses(
            whole.shape,
            whole.text,
            frozenset(self._from.tables_read).union(*(one.all_tables for one in scope.nested)),
            tables=tuple(sorted(source.label for source in scope.sources)),
            select=selected,
            distinct=frozenset(scope.distinct),
            joins=tuple(joins),
            conditions=conditions,
            group=tuple(group),
            having=having,
            order=order,
            limit=limit,
            values=tuple(sorted(scope.values)),
            nested=tuple(scope.nested),
        )
        return QueryResult(clauses, [(name, one.term.shape) for name, one in columns])

    def _select(self) -> tuple[list[tuple[str, Selected]], dict[str, Term]]:
        """Result columns with their names, and what each alias stands for."""
        scope = self._scope
        columns: list[tuple[str, Selected]] = []
        aliases: dict[str, Term] = {}
        for item in self._node.expressions:
            if item.key == "star" or (item.key == "column" and item.this.key == "star"):
                qualifier = named(item.args["table"])[0] if item.args.get("table") else ""
                columns += self._star(qualifier)
                if len(columns) > _MAX_COLUMNS:
                    raise Unreadable
                continue
            node = item.this if item.key == "alias" else item
            scope.aggregates, scope.columns = [], []
            term = self._expressions.read(node, scope)
            name = named(item.args["alias"])[0] if item.key == "alias" else ""
            if name:
                aliases.setdefault(name, term)
            elif node.key == "column":
                name = named(node.this)[0]
            form = term.outline
            for _, text in sorted(scope.columns, key=lambda one: -len(one[1])):
                form = form.replace(text, "_", 1)
            names = tuple(named_ for named_, _ in scope.columns)
            columns.append((name, Selected(term, tuple(scope.aggregates), names, form)))
        return columns, aliases

    def _star(self, qualifier: str) -> Iterator[tuple[str, Selected]]:
        for source in self._scope.sources:
            if qualifier and source.name != qualifier:
                continue
            if source.columns is None:
                yield "", Selected(plain(f"{source.label}.*"), (), (f"{source.label}.*",))
            for name in source.columns or ():
                if qualifier or (source, name) not in self._scope.hidden:
                    place = Place(0, self._scope, source, name)
                    yield name, Selected(plain(self._scope.written(place)), (), (self._scope.named(place),))


def at_position(node: exp.Expr, selected: Sequence[Term]) -> Term | None:
    """The result column that a number in ORDER BY or GROUP BY stands for; None for anything else."""
    if node.key != "literal" or node.is_string or not node.name.isdecimal():
        return None
    if not 1 <= int(node.name) <= len(selected):
        raise Unreadable  # "term out of range"
    return selected[int(node.name) - 1]


def _described(source: Source) -> Term:
    if not source.is_query:
        return plain(source.label)
    outline = f"{source.label}: (select)"
    return Term(outline, f"{source.label}: {shortened(source.table)}", f"{source.label}: {shortened(source.text)}")


def _parts(node: exp.Expr, operator: str) -> list[exp.Expr]:
    """The SELECTs that one operator joins. `a EXCEPT b EXCEPT c` is a, b, c."""
    parts: list[exp.Expr] = []
    while True:
        parts.append(node.expression)
        if len(parts) > _MAX_PARTS:
            raise Unreadable
        left = node.this.this if node.this.key == "subquery" else node.this  # brackets that sqlglot adds
        same = left.key == node.key and bool(left.args.get("distinct")) == bool(node.args.get("distinct"))
        if not same or left.args.get("limit") or left.args.get("with_"):
            return [left, *reversed(parts)]
        node = left


def _commuting(operator: str, forms: list[str]) -> list[str]:
    """The parts in an order that does not depend on how they were written."""
    return [forms[0], *sorted(forms[1:])] if operator == "except" else sorted(forms)
