"""Reads expressions of sqlglot's tree into `Term`s; t2s/sql/clauses/__init__.py says by which rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Literal, Protocol

from t2s.sql.clauses.conditions import CONDITION_KEYS, Comparison, ConditionReader, split
from t2s.sql.clauses.pieces import Unreadable
from t2s.sql.clauses.scopes import Ctes, Place, QueryResult, Scope
from t2s.sql.clauses.sqlglot_reading import DOUBLE_QUOTED, FUNCTION_PREFIX
from t2s.sql.clauses.terms import Term, ascii_lower, compose, listed, named, plain, value, written

if TYPE_CHECKING:
    from sqlglot import exp

Purpose = Literal["rows", "set", "exists"]
"""What a query is for: its rows, its rows in any order, or whether it has any."""

# A query of 20,000 characters has at most some 10,000 nodes; tables that stand twice are read in several orders, and
# in each subquery anew, so that a hostile one has more. 20,000 nodes take 0.2 to 0.8 s; gold has under 500.
_MAX_NODES = 20_000
_CHARACTERS_OF_A_NODE = 20
_OPERATORS = {"sub": "-", "div": "/", "mod": "%", "dpipe": "||"}
_CHAINS = {"add": " + ", "mul": " * "}
_AGGREGATES = frozenset("avg count group_concat max median min sum total json_group_array json_group_object".split())
_SAME_FUNCTION = {
    "ceiling": "ceil",
    "if": "iif",
    "ifnull": "coalesce",
    "power": "pow",
    "printf": "format",
    "string_agg": "group_concat",
    "substring": "substr",
}
_NOW = frozenset(("currentdate", "currenttime", "currenttimestamp"))
_CONSTANTS = frozenset(("hexstring", "placeholder", "parameter"))
_QUERIES = frozenset(("select", "union", "intersect", "except", "values"))


class QueryRead(Protocol):
    """How a subquery is read."""

    def __call__(self, node: exp.Expr, parent: Scope | None, ctes: Ctes | None, purpose: Purpose) -> QueryResult:
        """Read a query inside another."""


class ExpressionReader:
    """Reads the expressions of one statement.

    Args:
        read_query: Reads a subquery.

    Attributes:
        conditions: Reads those expressions that are conditions.
        quoted: Words in double quotes that SQLite takes for texts, by the node that they are.
    """

    def __init__(self, read_query: QueryRead) -> None:
        self._read_query = read_query
        self._num_nodes = 0
        self.conditions = ConditionReader(self)
        self.quoted: dict[int, str] = {}

    def spend(self, num_nodes: int = 1) -> None:
        """Count nodes; too many are `Unreadable`."""
        self._num_nodes += num_nodes
        if self._num_nodes > _MAX_NODES:
            raise Unreadable

    def read(self, node: exp.Expr, scope: Scope) -> Term:
        """Read an expression."""
        self.spend()
        key = node.key
        if key in CONDITION_KEYS:
            return self.conditions.one(node, scope)
        if key in _CHAINS:
            return compose("({})", listed(sorted(self.read(one, scope) for one in _operands(node)), _CHAINS[key]))
        if key in _OPERATORS:
            return compose(
                f"({{}} {_OPERATORS[key]} {{}})", self.read(node.this, scope), self.read(node.expression, scope)
            )
        if key == "subquery" or key in _QUERIES:
            return self.subquery(node, scope, "rows")
        if key in _NOW:
            return value(key)
        match key:
            case "column":
                return self._column(node, scope)
            case "literal":
                return value("'" + node.name.replace("'", "''") + "'" if node.is_string else _number(node.name))
            case "boolean":
                return value("1" if node.this else "0")
            case "null":
                return plain("null")
            case "paren":
                return self.read(node.this, scope)
            case "star":
                return plain("*")
            case "anonymous":
                return self._function(node, scope)
            case "case":
                branches = [(one.this, one.args["true"]) for one in node.args["ifs"]]
                return self._case(node.this, branches, node.args.get("default"), scope)
            case "neg":
                inner = self.read(node.this, scope)
                return value(f"-{inner.text}") if node.this.key == "literal" else compose("-{}", inner)
            case "cast":
                kind = node.args["to"].this
                return compose(f"cast({{}} as {_word(str(getattr(kind, 'value', kind)))})", self.read(node.this, scope))
            case "collate":
                name = _word(ascii_lower(node.expression.name))
                return compose(f"{{}} collate {name}", self.read(node.this, scope))
            case "tuple":
                return compose("({})", listed([self.read(one, scope) for one in node.expressions]))
            case "window":
                return self._window(node, scope)
            case "filter":
                conditions = self.conditions.all_of(split(node.expression.this), scope)
                return compose("{} filter ({})", self.read(node.this, scope), listed(conditions, " and "))
        return self._any_other(node, scope)

    def place(self, node: exp.Expr, scope: Scope) -> Place | Term | None:
        """What the name in a column node is; see `Scope.find`."""
        qualifier = named(node.args["table"])[0] if node.args.get("table") else ""
        return scope.find(qualifier, named(node.this)[0])

    def subquery(self, node: exp.Expr, scope: Scope, purpose: Purpose) -> Term:
        """Read a subquery."""
        clauses = self._read_query(node, scope, scope.ctes, purpose).clauses
        scope.nested.append(clauses)
        return Term("(select)", f"({clauses.key})", f"({clauses.text})")

    def _column(self, node: exp.Expr, scope: Scope) -> Term:
        if node.this.key == "star":
            raise Unreadable  # t.* outside of a result
        found = self.place(node, scope)
        if isinstance(found, Place):
            text = scope.written(found)
            scope.columns.append((scope.named(found), text))
            return plain(text)
        if found is not None:
            self.spend(len(found.text) // _CHARACTERS_OF_A_NODE)  # an alias of a long expression
            return found
        name, double_quoted = named(node.this)
        if node.args.get("table"):
            return plain(f"?{written(named(node.args['table'])[0])}.{written(name)}")
        if not double_quoted:
            return plain(f"?{written(name)}")
        text = node.this.name.removesuffix(DOUBLE_QUOTED)
        self.quoted[id(node)] = text
        return value("'" + text.replace("'", "''") + "'")

    def _function(self, node: exp.Expr, scope: Scope) -> Term:
        name = ascii_lower(node.name.removeprefix(FUNCTION_PREFIX))
        name = _SAME_FUNCTION.get(name, name)
        arguments = node.expressions
        if name == "iif" and len(arguments) in (2, 3):
            default = arguments[2] if len(arguments) == 3 else None
            return self._case(None, [(arguments[0], arguments[1])], default, scope)
        is_distinct = bool(arguments) and arguments[0].key == "distinct"
        if is_distinct:
            arguments = [*arguments[0].expressions, *arguments[1:]]
        if any(one.key in _QUERIES for one in arguments):
            raise Unreadable  # < ANY (SELECT …)
        if name == "count" and self._counts_rows(arguments, scope):
            scope.columns.append(("*", "*"))
            terms = [plain("*")]
        else:
            terms = [self.read(one, scope) for one in arguments]
        is_aggregate = name in _AGGREGATES and not (name in ("min", "max") and len(terms) > 1)
        if is_aggregate:
            scope.aggregates.append(name)
        term = compose(f"{name}({{}})", listed(terms))
        if is_distinct:
            scope.distinct.add(term.shape)
        return term._replace(is_value=term.is_value and not is_aggregate and bool(terms))

    def _counts_rows(self, arguments: list[exp.Expr], scope: Scope) -> bool:
        """Whether count() of this counts every row."""
        if len(arguments) != 1 or arguments[0].key in ("star", "literal"):
            return len(arguments) < 2
        place = self.place(arguments[0], scope) if arguments[0].key == "column" else None
        return isinstance(place, Place) and scope.is_never_null(place)

    def _case(
        self, base: exp.Expr | None, branches: list[tuple[exp.Expr, exp.Expr]], default: exp.Expr | None, scope: Scope
    ) -> Term:
        terms = []
        for condition, result in branches:
            if base is None:
                when = self.conditions.one(condition, scope)
            else:
                when = self.conditions.compare(Comparison("eq", base, condition), scope)
            terms.append(compose("when {} then {}", when, self.read(result, scope)))
        if default is not None and default.key != "null":
            terms.append(compose("else {}", self.read(default, scope)))
        return compose("case {} end", listed(terms, " "))._replace(is_value=False)

    def _window(self, node: exp.Expr, scope: Scope) -> Term:
        parts = {name: part for name, part in node.args.items() if part}
        if node.args.get("alias"):
            known = scope.windows.get(named(node.args["alias"])[0])
            if known is None:
                raise Unreadable
            parts = {**known.args, **parts}
        term = self.read(node.this, scope)
        scope.aggregates.append("over")
        partition = sorted(self.read(one, scope) for one in parts.get("partition_by") or ())
        others = [self._any_other(parts[name], scope) for name in ("order", "spec") if parts.get(name)]
        over = listed([compose("by {}", listed(partition)), *others], "; ")
        return compose("{} over ({})", term, over)._replace(is_value=False)

    def _any_other(self, node: exp.Expr, scope: Scope) -> Term:
        """What has no rule of its own: its kind and its parts, as they are."""
        terms = []
        for name in sorted(node.args):
            part = node.args[name]
            for item in part if isinstance(part, list) else [part]:
                if item is None or item is False:
                    continue
                if hasattr(item, "key"):
                    terms.append(compose(f"{name} {{}}", self.read(item, scope)))
                else:
                    terms.append(plain(f"{name} {item}"))
        return compose(f"{node.key}({{}})", listed(terms))._replace(is_value=node.key in _CONSTANTS)


def _operands(node: exp.Expr) -> Iterator[exp.Expr]:
    """The operands of a chain of one operator, brackets resolved."""
    key, stack = node.key, [node]
    while stack:
        node = stack.pop()
        if node.key == "paren":
            stack.append(node.this)
        elif node.key == key:
            stack += [node.expression, node.this]
        else:
            yield node


def _number(text: str) -> str:
    """1, 1.0 and 1e0 are one number."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    is_whole = number == number.to_integral_value() and abs(number) < 10**18
    return str(int(number)) if is_whole else str(number.normalize())


def _word(text: str) -> str:
    """What is safe inside a template."""
    return " ".join(re.findall(r"\w+", text))
