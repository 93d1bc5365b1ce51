"""Reads conditions of sqlglot's tree into `Term`s; t2s/sql/clauses/__init__.py says by which rules.

NOT (年份 < 2018 OR "北京" = 城市)   ->   公司.城市 <> ?, 公司.年份 >= ?
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from t2s.sql.clauses.pieces import Unreadable
from t2s.sql.clauses.terms import ComparedValue, Term, compose, listed, masked, plain

if TYPE_CHECKING:
    from sqlglot import exp

    from t2s.sql.clauses.expressions import ExpressionReader
    from t2s.sql.clauses.scopes import Scope

_SYMBOLS = {
    "eq": "=",
    "neq": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "nullsafeeq": "is",
    "nullsafeneq": "is not",
}
_NEGATED = {"eq": "neq", "gt": "lte", "lt": "gte", "nullsafeeq": "nullsafeneq"}
_NEGATED |= {after: before for before, after in _NEGATED.items()}
_FLIPPED = {"gt": "lt", "lt": "gt", "gte": "lte", "lte": "gte"}
_MATCHES = {"like": "like", "glob": "glob", "regexplike": "regexp", "match": "match"}
CONDITION_KEYS = frozenset(("and", "or", "not", "between", "is", "in", "exists", "escape", *_SYMBOLS, *_MATCHES))
"""Kinds of node that are conditions."""


class Comparison(NamedTuple):
    """A comparison; `operator` is sqlglot's key for it."""

    operator: str
    left: exp.Expr
    right: exp.Expr


class Condition(NamedTuple):
    """Any other condition, or its negation."""

    node: exp.Expr
    negated: bool


def split(node: exp.Expr, *, conjunction: bool = True, negated: bool = False) -> Iterator[Comparison | Condition]:
    """Take a condition, or its negation, apart into those that AND (or OR) joins; brackets and NOT are resolved."""
    stack = [(node, negated)]
    while stack:
        node, negated = stack.pop()
        if node.key in ("paren", "not"):
            stack.append((node.this, negated != (node.key == "not")))
        elif _joins(node, negated) == ("and" if conjunction else "or"):
            if node.key == "between":
                low, high = ("lt", "gt") if negated else ("gte", "lte")
                yield Comparison(low, node.this, node.args["low"])
                yield Comparison(high, node.this, node.args["high"])
            else:
                stack += [(node.expression, negated), (node.this, negated)]
        elif node.key in _SYMBOLS:
            yield Comparison(_NEGATED[node.key] if negated else node.key, node.this, node.expression)
        else:
            yield Condition(node, negated)


def _joins(node: exp.Expr, negated: bool) -> str:
    """What joins the parts of a condition or of its negation: "and", "or", or "" where it has no parts."""
    key = "and" if node.key == "between" else node.key
    if key not in ("and", "or"):
        return ""
    return {"and": "or", "or": "and"}[key] if negated else key


class ConditionReader:
    """Reads the conditions of one statement.

    Args:
        expressions: Reads what is compared.

    Attributes:
        quoted_values: Nodes of words in double quotes that are texts and stand where a value would.
    """

    def __init__(self, expressions: ExpressionReader) -> None:
        self._expressions = expressions
        self.quoted_values: set[int] = set()

    def all_of(self, conditions: Iterable[Comparison | Condition], scope: Scope) -> tuple[Term, ...]:
        """Conditions that hold together: each once, sorted."""
        return tuple(self._terms(conditions, scope, conjunction=True))

    def one(self, node: exp.Expr, scope: Scope, *, negated: bool = False) -> Term:
        """A condition or its negation, as one term."""
        while node.key in ("paren", "not"):
            node, negated = node.this, negated != (node.key == "not")
        joins = _joins(node, negated) or "and"
        conjunction = joins == "and"
        terms = self._terms(split(node, conjunction=conjunction, negated=negated), scope, conjunction=conjunction)
        if len(terms) < 2:
            return terms[0] if terms else plain("1")
        return compose("({})", listed(terms, f" {joins} "))._replace(is_value=False)

    def compare(self, comparison: Comparison, scope: Scope) -> Term:
        """One comparison."""
        return self._compared(*self._oriented(comparison, scope), scope)

    def _terms(self, conditions: Iterable[Comparison | Condition], scope: Scope, *, conjunction: bool) -> list[Term]:
        terms: set[Term] = set()
        # x = 1 OR x = 2 is x IN (1, 2); x <> 1 AND x <> 2 is x NOT IN (1, 2).
        members: dict[Term, set[Term]] = {}
        for condition in conditions:
            if isinstance(condition, Comparison):
                operator, left, right = self._oriented(condition, scope)
                if operator == ("neq" if conjunction else "eq") and right.is_value and not left.is_value:
                    members.setdefault(left, set()).add(right)
                elif not (conjunction and operator == "eq" and left.is_value and left == right):  # 1 = 1
                    terms.add(self._compared(operator, left, right, scope))
            elif condition.node.key == "in" and condition.node.expressions:
                left, values = self._listed(condition.node, scope)
                if condition.negated == conjunction and not left.is_value and all(one.is_value for one in values):
                    members.setdefault(left, set()).update(values)
                else:
                    terms.add(self._member(left, values, scope, negated=condition.negated))
            elif not (conjunction and _is_true(condition)):
                terms.add(self._term(condition, scope))
        terms.update(self._member(left, values, scope, negated=conjunction) for left, values in members.items())
        return sorted(terms)

    def _oriented(self, comparison: Comparison, scope: Scope) -> tuple[str, Term, Term]:
        """Both sides in an order that does not depend on how they were written; a value goes to the right."""
        operator, left_node, right_node = comparison
        left = self._expressions.read(left_node, scope)
        right = self._expressions.read(right_node, scope)
        self._note_value(left_node, right)
        self._note_value(right_node, left, other_node=left_node)
        if (left.is_value, left) > (right.is_value, right):
            left, right, operator = right, left, _FLIPPED.get(operator, operator)
        elif left == right:  # x < x
            operator = min(operator, _FLIPPED.get(operator, operator))
        return operator, left, right

    def _compared(self, operator: str, left: Term, right: Term, scope: Scope) -> Term:
        if not left.is_value:
            right = self._masked(right, left, scope)
        return compose(f"{{}} {_SYMBOLS[operator]} {{}}", left, right)._replace(is_value=False)

    def _masked(self, term: Term, compared: Term, scope: Scope) -> Term:
        if term.is_value:
            scope.values.append(ComparedValue(compared.outline, term.text))
        return masked(term)

    def _note_value(self, node: exp.Expr, other: Term, *, other_node: exp.Expr | None = None) -> None:
        """A word in double quotes was meant as a value where it is compared with something from the database.

        Of two such words (`"名城" = "北京"`) the second was.
        """
        if not other.is_value or id(other_node) in self._expressions.quoted:
            self.quoted_values.add(id(node))

    def _listed(self, node: exp.Expr, scope: Scope) -> tuple[Term, set[Term]]:
        """Both sides of `x IN (1, 2)`."""
        left = self._expressions.read(node.this, scope)
        for one in node.expressions:
            self._note_value(one, left, other_node=node.this)
        return left, {self._expressions.read(one, scope) for one in node.expressions}

    def _member(self, left: Term, values: set[Term], scope: Scope, *, negated: bool) -> Term:
        if len(values) == 1:
            return self._compared("neq" if negated else "eq", left, next(iter(values)), scope)
        columns = sorted(one for one in values if not one.is_value)
        texts = sorted(one.text for one in values if one.is_value)
        if texts and not left.is_value:
            scope.values += [ComparedValue(left.outline, text) for text in texts]
            columns.append(Term("?", "?", ", ".join(texts)))
        else:
            columns += sorted(one for one in values if one.is_value)
        return compose(f"{{}} {'not in' if negated else 'in'} ({{}})", left, listed(columns))._replace(is_value=False)

    def _term(self, condition: Condition, scope: Scope) -> Term:
        node, negated = condition
        not_ = "not " if negated else ""
        match node.key:
            case "and" | "or" | "between":
                return self.one(node, scope, negated=negated)
            case "is":
                left, right = (self._expressions.read(one, scope) for one in (node.this, node.expression))
                return compose(f"{{}} is {not_}{{}}", left, right)._replace(is_value=False)
            case "like" | "glob" | "regexplike" | "match" | "escape":
                return self._match(node, scope, negated=negated)
            case "in":
                return self._in(node, scope, negated=negated)
            case "exists":
                return compose(f"{not_}exists {{}}", self._expressions.subquery(node.this, scope, "exists"))
        term = self._expressions.read(node, scope)
        return compose("not ({})", term) if negated else term

    def _match(self, node: exp.Expr, scope: Scope, *, negated: bool) -> Term:
        escape = None
        if node.key == "escape":
            node, escape = node.this, self._expressions.read(node.expression, scope)
        if node.key not in _MATCHES:
            raise Unreadable
        if node.args.get("negate"):
            negated = not negated
        left, pattern = (self._expressions.read(one, scope) for one in (node.this, node.expression))
        self._note_value(node.expression, left, other_node=node.this)
        if escape is not None:
            pattern = compose("{} escape {}", pattern, escape)
        operator = ("not " if negated else "") + _MATCHES[node.key]
        return compose(f"{{}} {operator} {{}}", left, self._masked(pattern, left, scope))._replace(is_value=False)

    def _in(self, node: exp.Expr, scope: Scope, *, negated: bool) -> Term:
        operator = "not in" if negated else "in"
        left = self._expressions.read(node.this, scope)
        if node.args.get("query") is not None:
            return compose(f"{{}} {operator} {{}}", left, self._expressions.subquery(node.args["query"], scope, "set"))
        if node.args.get("field") is not None:  # x IN function(…)
            raise Unreadable
        return compose(f"{{}} {operator} ()", left)._replace(is_value=False)


def _is_true(condition: Condition) -> bool:
    """Whether it is the `1` of `WHERE 1`."""
    node = condition.node
    is_one = (node.key == "literal" and node.name == "1") or (node.key == "boolean" and bool(node.this))
    return is_one and not condition.negated
