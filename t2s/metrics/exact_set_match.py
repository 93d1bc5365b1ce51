"""Exact set match (EM), official: the predicted SQL says what the gold SQL says, clause by clause, without values.

    gold       select T2.书名 from 电子书 AS T1 JOIN 图书 AS T2 ON T2.图书id = T1.书名id where T1.售价 > 10
    predicted  select T1.书名 from 图书 AS T1 JOIN 电子书 AS T2 ON T1.图书id = T2.书名id where T2.售价 > 99 ;
    EM 1

Yu et al. 2018, "Spider", section 5; rules read in taoyds/test-suite-sql-eval evaluation.py@893d0df, probed, and written
anew. Both are parsed in the official grammar (`t2s.sql.official`); a prediction that it does not take is wrong, and
gold that it does not take has no verdict (the official program ends there). Then these must be the same:

- selected columns with their aggregates, in any order;
- conditions of WHERE, in any order, and which of AND and OR stand between them;
- columns of GROUP BY, in order, and HAVING as written (the grammar takes none without GROUP BY);
- columns of ORDER BY, in order, with their one direction, and whether there is a LIMIT;
- tables of FROM, in any order, as often; what ON says is not compared;
- set operations: the same one, its second query by these very rules;
- whether OR, NOT, IN and LIKE occur in the conditions of ON, WHERE and HAVING.

What does not count: values, the number of LIMIT, DISTINCT, aliases, and which of the columns that foreign keys tie
together is named, if its table is in FROM. Quirks, kept since verdicts hang on them:

- a subquery in a condition is compared as a whole, its clauses in order: its values do not count, but its DISTINCT
  does, foreign keys tie nothing in it, and ON counts. One in FROM is compared with its values, too;
- in a set operation's second query it is the first one's FROM that says for which tables foreign keys count;
- `value` in the prediction becomes `1` before it is parsed, anywhere, in names too: a relic of models that left values
  open. So a prediction that names a column `value` is wrong, or at least its gold another.

Foreign keys are those that the database declares, in its order; the official program has them from a file, tables.json.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from functools import lru_cache
from typing import NamedTuple

from t2s.metrics.hardness import hardness
from t2s.sql.official.parser import parse
from t2s.sql.official.query import ColumnUse, Condition, Conditions, Expression, Query, conditions_of, connectors_of
from t2s.sql.official.rejection import Reason
from t2s.sql.official.schema import OfficialSchema
from t2s.verdict import Hardness


class ExactSetMatch(NamedTuple):
    """What came of one question.

    Attributes:
        em: The verdict; None where the grammar does not take the gold.
        hardness: The gold's level; "unknown" where the grammar does not take it.
        gold_rejected, predicted_rejected: Why the grammar does not take it; None where it does.
    """

    em: bool | None
    hardness: Hardness
    gold_rejected: Reason | None
    predicted_rejected: Reason | None


def exact_set_match(gold_sql: str, predicted_sql: str, schema: OfficialSchema) -> ExactSetMatch:
    """Compare one question's SQL. Any text is taken and no time is lost on it; the gold's parse is kept."""
    gold, level = _gold(gold_sql, schema)
    predicted = parse(predicted_sql.replace("value", "1"), schema)
    predicted_rejected = predicted if isinstance(predicted, str) else None
    if isinstance(gold, str):
        return ExactSetMatch(None, level, gold, predicted_rejected)
    matches = not isinstance(predicted, str) and _matches(gold, _comparable(predicted, schema))
    return ExactSetMatch(matches, level, None, predicted_rejected)


@lru_cache(maxsize=8192)
def _gold(gold_sql: str, schema: OfficialSchema) -> tuple[Query | Reason, Hardness]:
    """Gold ready to be compared, and its level. Kept for runs that are compared with the same gold (a few KB each)."""
    query = parse(gold_sql, schema)
    if isinstance(query, str):
        return query, "unknown"
    return _comparable(query, schema), hardness(query)


def _comparable(query: Query, schema: OfficialSchema) -> Query:
    tables = frozenset(table for table in query.tables if isinstance(table, str))
    return _with_keys_tied(_without_values(query), tables, schema)


def _without_values(query: Query) -> Query:
    """Leave values out of all conditions, those of subqueries in conditions included."""
    return query._replace(
        joined_on=_conditions_without_values(query.joined_on),
        where=_conditions_without_values(query.where),
        having=_conditions_without_values(query.having),
        intersect=query.intersect and _without_values(query.intersect),
        union=query.union and _without_values(query.union),
        except_=query.except_ and _without_values(query.except_),
    )


def _conditions_without_values(conditions: Conditions) -> Conditions:
    return tuple(
        item
        if isinstance(item, str)
        else item._replace(
            value=_without_values(item.value) if isinstance(item.value, Query) else None,
            second=_without_values(item.second) if isinstance(item.second, Query) else None,
        )
        for item in conditions
    )


def _with_keys_tied(query: Query, tables: frozenset[str], schema: OfficialSchema) -> Query:
    """Put the representative in place of each column of `tables`, and leave DISTINCT out; subqueries stay."""

    def use(each: ColumnUse) -> ColumnUse:
        column = each.column
        if column.table in tables:
            column = schema.representatives.get(column, column)
        return ColumnUse(each.aggregate, column, None)

    def expression(each: Expression) -> Expression:
        return Expression(each.operator, use(each.left), None if each.right is None else use(each.right))

    def conditions(items: Conditions) -> Conditions:
        return tuple(item if isinstance(item, str) else item._replace(left=expression(item.left)) for item in items)

    def tied(other: Query | None) -> Query | None:
        return other and _with_keys_tied(other, tables, schema)

    return query._replace(
        distinct=None,
        selected=tuple(each._replace(expression=expression(each.expression)) for each in query.selected),
        joined_on=conditions(query.joined_on),
        where=conditions(query.where),
        group_by=tuple(map(use, query.group_by)),
        having=conditions(query.having),
        order_by=tuple(map(expression, query.order_by)),
        intersect=tied(query.intersect),
        union=tied(query.union),
        except_=tied(query.except_),
    )


def _matches(gold: Query, predicted: Query) -> bool:
    return (
        _same_in_any_order(gold.selected, predicted.selected)
        and _same_in_any_order(conditions_of(gold.where), conditions_of(predicted.where))
        and set(connectors_of(gold.where)) == set(connectors_of(predicted.where))
        and _same_groups(gold, predicted)
        and _same_order(gold, predicted)
        and gold.has_limit == predicted.has_limit
        and _operators(gold) == _operators(predicted)
        and _same_in_any_order(gold.tables, predicted.tables)
        and _same_set_operation(gold.intersect, predicted.intersect)
        and _same_set_operation(gold.union, predicted.union)
        and _same_set_operation(gold.except_, predicted.except_)
    )


def _same_in_any_order(gold: Iterable[Hashable], predicted: Iterable[Hashable]) -> bool:
    return Counter(gold) == Counter(predicted)


def _same_groups(gold: Query, predicted: Query) -> bool:
    if not gold.group_by and not predicted.group_by:
        return True
    columns = [use.column for use in gold.group_by]
    return columns == [use.column for use in predicted.group_by] and gold.having == predicted.having


def _same_order(gold: Query, predicted: Query) -> bool:
    return gold.direction == predicted.direction and gold.order_by == predicted.order_by


def _operators(query: Query) -> set[str]:
    """Which of OR, NOT, IN and LIKE occur in its conditions."""
    clauses = (query.joined_on, query.where, query.having)
    conditions: list[Condition] = [condition for clause in clauses for condition in conditions_of(clause)]
    found = {condition.operator for condition in conditions} & {"in", "like"}
    if any(condition.negated for condition in conditions):
        found.add("not")
    if any("or" in connectors_of(clause) for clause in clauses):
        found.add("or")
    return found


def _same_set_operation(gold: Query | None, predicted: Query | None) -> bool:
    if gold is None or predicted is None:
        return gold is predicted
    return _matches(gold, predicted)
