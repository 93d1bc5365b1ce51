"""Own exact set match: the clauses of gold and prediction as sets, values left out, over all of SQLite's grammar.

    SELECT 名称 FROM 公司 WHERE 注册资本 > 100          gold
    SELECT a.名称 AS 公司名 FROM 公司 a WHERE 50 < a.注册资本    1: an alias changes no row, a value is left out
    SELECT 名称 FROM 公司 WHERE 注册资本 >= 100         0: another condition

The idea is the official one's (Yu et al. 2018, "Spider", section 5; evaluation.py of
taoyds/test-suite-sql-eval@14784c3): a prediction is right if each clause holds the same parts as the gold's, in any
order. What differs, on purpose:

- the official grammar rejects result aliases, CASE, outer joins, INNER, aliases without AS, CTEs, window functions and
  more, and scores such a prediction 0. This takes all that SQLite runs, and scores 0 what SQLite does not run;
- the official one ignores ON, this compares it: a join on the wrong columns is wrong;
- the official one takes columns for equal that a foreign key connects, this those that the query itself equates;
- what is only written differently is equal: `*` and all columns, IN-lists and OR, BETWEEN, CTEs and subqueries.

`t2s.sql.clauses` lists every rule with its reason. Like the official one it ignores DISTINCT and values, and it says
that a model wrote what the annotator wrote: a right query that is written otherwise can fail, one with a wrong value
passes.
"""

from __future__ import annotations

from t2s.schema import Schema
from t2s.sql.clauses import Clauses, read_clauses


def own_set_match(gold_sql: str, predicted_sql: str, schema: Schema) -> bool | None:
    """Whether a prediction has the gold's clauses; None if the gold cannot be parsed, False if the prediction cannot.

    Args:
        gold_sql: The annotated SQL.
        predicted_sql: The SQL taken from the model.
        schema: Of the database that both are for.
    """
    return same_clauses(read_clauses(gold_sql, schema), read_clauses(predicted_sql, schema))


def same_clauses(gold: Clauses | None, predicted: Clauses | None) -> bool | None:
    """The same over queries that are read already; None stands for one that cannot be parsed."""
    if gold is None:
        return None
    return predicted is not None and predicted.key == gold.key
