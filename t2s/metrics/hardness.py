"""Hardness: how much a gold query asks for, in the official evaluator's four levels.

    select 名称 from 城市                                                            easy
    select 名称 , 人口 from 城市 order by 人口 desc                                  medium
    select 名称 from 城市 where 人口 = ( select max ( 人口 ) from 城市 )             hard
    select 名称 from 城市 where 人口 > ( select avg ( 人口 ) from 城市 ) limit 1     extra

Yu et al. 2018, "Spider", section 5; rules read in taoyds/test-suite-sql-eval evaluation.py@893d0df (`eval_hardness`),
written anew. Three counts decide:

1. parts: WHERE, GROUP BY, ORDER BY and LIMIT, one each; one for each table or subquery of FROM beyond the first, for
   each OR and for each LIKE, in ON, WHERE and HAVING;
2. nested: subqueries in those conditions, and set operations. Subqueries in FROM do not count, nor what is inside any;
3. several: of aggregates, selected columns, conditions in WHERE, columns of GROUP BY, how many kinds occur more than
   once. Quirks, kept: aggregates are those before a selected column, in GROUP BY and in ORDER BY; a NOT in WHERE counts
   as one, and so does each AND or OR in HAVING; an aggregate in HAVING does not.
"""

from __future__ import annotations

from collections.abc import Iterable

from t2s.sql.official.query import ColumnUse, Query, conditions_of, connectors_of
from t2s.verdict import Hardness


def hardness(query: Query) -> Hardness:
    """The level of a gold query, as `t2s.sql.official.parser.parse` gives it."""
    parts, nested, several = _num_parts(query), _num_nested(query), _num_several(query)
    if parts <= 1 and nested == 0 and several == 0:
        return "easy"
    if nested == 0 and ((parts <= 1 and several <= 2) or (parts <= 2 and several <= 1)):
        return "medium"
    if nested == 0 and ((parts <= 2 and several > 2) or (parts == 3 and several <= 2)):
        return "hard"
    if nested <= 1 and parts <= 1 and several == 0:
        return "hard"
    return "extra"


def _num_parts(query: Query) -> int:
    clauses = sum(map(bool, (query.where, query.group_by, query.direction, query.has_limit)))
    conditions = (query.joined_on, query.where, query.having)
    ors = sum(connectors_of(each).count("or") for each in conditions)
    likes = sum(condition.operator == "like" for each in conditions for condition in conditions_of(each))
    return clauses + max(len(query.tables) - 1, 0) + ors + likes


def _num_nested(query: Query) -> int:
    subqueries = sum(
        isinstance(value, Query)
        for each in (query.joined_on, query.where, query.having)
        for condition in conditions_of(each)
        for value in (condition.value, condition.second)
    )
    return subqueries + sum(other is not None for other in (query.intersect, query.union, query.except_))


def _num_several(query: Query) -> int:
    aggregates = sum(bool(selected.aggregate) for selected in query.selected)
    aggregates += _num_aggregates(query.group_by)
    aggregates += _num_aggregates(each.left for each in query.order_by)
    aggregates += _num_aggregates(each.right for each in query.order_by)
    aggregates += sum(condition.negated for condition in conditions_of(query.where))
    aggregates += len(connectors_of(query.having))
    return sum((aggregates > 1, len(query.selected) > 1, len(query.where) > 1, len(query.group_by) > 1))


def _num_aggregates(columns: Iterable[ColumnUse | None]) -> int:
    return sum(column is not None and bool(column.aggregate) for column in columns)
