"""What a query is cut into: `Clauses`, made of `Term`s. the package says by which rules."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from t2s.sql.clauses.sqlglot_reading import DOUBLE_QUOTED

if TYPE_CHECKING:
    from sqlglot import exp

# Beyond this a text that other texts repeat is its digest: a chain of CTEs that each use the last one twice would
# double at every link.
_MAX_REPEATED = 1_000


class Term(NamedTuple):
    """An expression in normal form, three times: `(select)` and `?` are what the form leaves out.

        T1.利润 > (SELECT avg(利润) FROM 公司 WHERE 年份 = 2018)

    Attributes:
        outline: Without values and without what is in subqueries: `公司.利润 > (select)`.
        shape: Without values: `公司.利润 > (select [avg(公司.利润)] from [公司] where [公司.年份 = ?])`.
        text: Everything: `… where [公司.年份 = 2018])`.
        is_value: Whether it is a constant, computed from constants alone.
    """

    outline: str
    shape: str
    text: str
    is_value: bool = False


class Selected(NamedTuple):
    """A column of the result.

    Attributes:
        term: What it is.
        aggregates: Names of the aggregate functions in it, in their order.
        columns: Columns in it as they are named, equations aside, and `*` for `count(*)`; in their order.
        form: The outline without its columns: `max(_)`.
    """

    term: Term
    aggregates: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    form: str = "_"


class ComparedValue(NamedTuple):
    """A constant, and the outline of what it is compared with."""

    compared: str
    value: str


@dataclass(frozen=True, slots=True)
class Clauses:
    """A query in normal form.

    Attributes:
        key: The whole without values; two queries match exactly (own EM) if their keys are equal.
        text: The whole with values.
        all_tables: Tables of the database that it reads anywhere, in lower case.
        operator: `union`, `union all`, `intersect` or `except`; "" for a single SELECT. Where it is set, `parts` say
            the rest, and of the fields below only `order` and `limit` are used.
        parts: The SELECTs that the operator joins, in their order.
        tables: Of FROM, a table that stands there twice included twice; a subquery is `(1)`, `(2)`, ….
        select: Result columns, in their order; `*` is what it stands for.
        distinct: `select` for SELECT DISTINCT, and each aggregate that has a DISTINCT.
        joins: Columns that inner joins equate (`公司.id = 利润.公司id`), and outer joins, each with its conditions.
        conditions: What WHERE and the ON of inner joins demand together, but for these equations.
        group, having, order, limit: As in SQL; `limit` has the offset with it.
        values: Constants that it compares something with, sorted.
        nested: Subqueries and CTEs that it uses, wherever they stand.
        quoted_texts: Of the whole query, on the outermost `Clauses` alone: words in double quotes that SQLite takes for
            texts, with whether each stands where a value would.
    """

    key: str
    text: str
    all_tables: frozenset[str]
    operator: str = ""
    parts: tuple[Clauses, ...] = ()
    tables: tuple[str, ...] = ()
    select: tuple[Selected, ...] = ()
    distinct: frozenset[str] = frozenset()
    joins: tuple[Term, ...] = ()
    conditions: tuple[Term, ...] = ()
    group: tuple[Term, ...] = ()
    having: tuple[Term, ...] = ()
    order: tuple[Term, ...] = ()
    limit: Term | None = None
    values: tuple[ComparedValue, ...] = ()
    nested: tuple[Clauses, ...] = ()
    quoted_texts: tuple[tuple[str, bool], ...] = ()


def plain(text: str) -> Term:
    """A term that is the same in all its forms."""
    return Term(text, text, text)


def value(text: str) -> Term:
    """A constant."""
    return Term(text, text, text, True)


def masked(term: Term) -> Term:
    """A constant that something is compared with, left out; other terms as they are."""
    return Term("?", "?", term.text, True) if term.is_value else term


def compose(template: str, *terms: Term) -> Term:
    """Put terms into the `{}` of a template; constant if they all are."""
    return Term(
        template.format(*[term.outline for term in terms]),
        template.format(*[term.shape for term in terms]),
        template.format(*[term.text for term in terms]),
        bool(terms) and all(term.is_value for term in terms),
    )


def listed(terms: Iterable[Term], separator: str = ", ") -> Term:
    """Terms one after the other."""
    terms = list(terms)
    return Term(
        separator.join([term.outline for term in terms]),
        separator.join([term.shape for term in terms]),
        separator.join([term.text for term in terms]),
        all(term.is_value for term in terms),
    )


def shortened(text: str) -> str:
    """The text, or its digest where it is long."""
    return text if len(text) <= _MAX_REPEATED else hashlib.sha256(text.encode()).hexdigest()


def ascii_lower(name: str) -> str:
    """Lower case as SQLite understands it: ASCII letters alone."""
    return (
        name.lower()
        if name.isascii()
        else name.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")
    )


def written(name: str) -> str:
    """A name for a term, in quotes where it could be taken for more than a name."""
    return name if name.isidentifier() else '"' + name.replace('"', '""') + '"'


def named(node: exp.Expr) -> tuple[str, bool]:
    """An identifier's name in lower case, and whether it was in double quotes."""
    name = node.name
    return ascii_lower(name.removesuffix(DOUBLE_QUOTED)), name.endswith(DOUBLE_QUOTED)
