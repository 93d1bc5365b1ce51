from __future__ import annotations

import pytest

from t2s.metrics.execution_accuracy import first_statement_without_distinct, official_comparison


@pytest.mark.parametrize(
    ("sql", "left"),
    [
        ("SELECT DISTINCT a FROM t", "SELECT  a FROM t"),
        ("select count(distinct 名称) from t", "select count( 名称) from t"),
        ("'distinct', \"distinct\", [distinct], `distinct`", "'distinct', \"distinct\", [distinct], `distinct`"),
        ("SELECT distinctive, not_distinct, distinct书名", "SELECT distinctive, not_distinct, distinct书名"),
        ("SELECT a -- distinct\nFROM t", "SELECT a -- distinct\nFROM t"),
        ("SELECT /* distinct */ a", "SELECT /* distinct */ a"),
        ("SELECT 1; SELECT 2", "SELECT 1; "),
        ("SELECT ';' FROM t; -- more; of it\nSELECT 2", "SELECT ';' FROM t; -- more; of it\n"),
        ("SELECT (1; 2); 3", "SELECT (1; 2); "),
        ("SELECT 'it''s' ; ### next", "SELECT 'it''s' ; "),
        ("SELECT 'never closed; distinct", "SELECT 'never closed; "),
        ("", ""),
    ],
)  # fmt: skip
def test_the_first_statement_loses_its_distinct(sql: str, left: str) -> None:
    assert first_statement_without_distinct(sql) == left


def test_distinct_stays_where_it_is_kept_and_nothing_is_cut() -> None:
    kept = official_comparison("SELECT DISTINCT a FROM t", "SELECT DISTINCT b FROM t; SELECT 1", keep_distinct=True)
    assert kept.gold_sql == "SELECT DISTINCT a FROM t"
    assert kept.predicted_sql == "SELECT DISTINCT b FROM t; SELECT 1"


@pytest.mark.parametrize("keep_distinct", [True, False])
def test_value_becomes_1_in_the_prediction_alone(keep_distinct: bool) -> None:
    comparison = official_comparison("SELECT value FROM t", "SELECT max_value FROM t", keep_distinct=keep_distinct)
    assert comparison.gold_sql == "SELECT value FROM t"
    assert comparison.predicted_sql == "SELECT max_1 FROM t"


def test_comparisons_are_joined_and_the_current_year_is_2020_in_both() -> None:
    sql = "SELECT a FROM t WHERE b > = 1 AND c < = 2 AND d ! = year( CurDate() )"
    comparison = official_comparison(sql, f" {sql}\n", keep_distinct=True)
    assert comparison.gold_sql == "SELECT a FROM t WHERE b >= 1 AND c <= 2 AND d != 2020"
    assert comparison.predicted_sql == comparison.gold_sql


@pytest.mark.parametrize(
    ("gold_sql", "ordered"),
    [
        ("SELECT a FROM t ORDER BY a", True),
        ("select a from t order by a", True),
        ("SELECT a FROM (SELECT a FROM t ORDER BY a LIMIT 3)", True),
        ("SELECT a FROM t WHERE b = 'order by'", True),
        ("SELECT a FROM t ORDER  BY a", False),
        ("SELECT a FROM t", False),
    ],
)
def test_row_order_counts_where_order_by_stands_in_the_gold(gold_sql: str, ordered: bool) -> None:
    assert official_comparison(gold_sql, "SELECT a FROM t ORDER BY a", keep_distinct=False).ordered == ordered
