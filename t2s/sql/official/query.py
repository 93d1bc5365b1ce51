"""A query of the official grammar, as records that compare by value."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Connector = Literal["and", "or"]


class Column(NamedTuple):
    """A column of the database; `EVERY_COLUMN` is `*`."""

    table: str
    name: str


EVERY_COLUMN = Column("", "*")


class ColumnUse(NamedTuple):
    """`count(DISTINCT a)`, `a`. `aggregate` is "" for none; `distinct` is None once it does not count."""

    aggregate: str
    column: Column
    distinct: bool | None


class Expression(NamedTuple):
    """A column, or two with `+ - * /` between; `operator` is "" for one."""

    operator: str
    left: ColumnUse
    right: ColumnUse | None


class Condition(NamedTuple):
    """`left [NOT] operator value`; `second` is BETWEEN's other end. None stands for a value that does not count."""

    negated: bool
    operator: str
    left: Expression
    value: Value
    second: Value


Conditions: TypeAlias = tuple[Condition | Connector, ...]
"""Conditions with AND or OR between them."""


class Selected(NamedTuple):
    """One selected column; `aggregate` is "" for none."""

    aggregate: str
    expression: Expression


class Query(NamedTuple):
    """A SELECT with what a set operation adds to it.

    Attributes:
        distinct: None once it does not count.
        selected: The columns, in order.
        tables: Names in lower case, and subqueries.
        joined_on: All conditions after ON.
        direction: "asc" or "desc", "" where nothing is ordered.
        has_limit: Whether there is a LIMIT.
    """

    distinct: bool | None
    selected: tuple[Selected, ...]
    tables: tuple[str | Query, ...]
    joined_on: Conditions
    where: Conditions
    group_by: tuple[ColumnUse, ...]
    having: Conditions
    direction: str
    order_by: tuple[Expression, ...]
    has_limit: bool
    intersect: Query | None = None
    union: Query | None = None
    except_: Query | None = None


Value: TypeAlias = float | str | ColumnUse | Query | None
"""A number, a text, a column, a subquery."""


def conditions_of(conditions: Conditions) -> list[Condition]:
    """The conditions without what connects them."""
    return [item for item in conditions if not isinstance(item, str)]


def connectors_of(conditions: Conditions) -> list[Connector]:
    """What connects the conditions."""
    return [item for item in conditions if isinstance(item, str)]
