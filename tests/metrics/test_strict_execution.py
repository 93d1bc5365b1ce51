from __future__ import annotations

import itertools
import math
import random
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2s.metrics.strict_execution import outer_query_orders, same_value, strict_same_result
from t2s.sql.sandbox import Outcome, Row, Sandbox

UNORDERED, ORDERED = "SELECT a FROM t", "SELECT a FROM t ORDER BY a"
A, B = (1, "北京"), (2, "上海")
NOISE = 0.1 + 0.2  # 0.30000000000000004


def outcome(rows: Sequence[Row], num_columns: int | None = None) -> Outcome:
    width = len(rows[0]) if rows else num_columns or 1
    return Outcome("rows", rows=tuple(rows), names=tuple(f"c{i}" for i in range(width)))


def same(gold: Sequence[Row], predicted: Sequence[Row], sql: str = UNORDERED) -> bool:
    return strict_same_result(outcome(gold), outcome(predicted), gold_sql=sql)


@pytest.mark.parametrize(
    ("why", "gold", "predicted", "unordered", "ordered"),
    [
        ("equal", [A, B], [A, B], True, True),
        ("values differ, as many rows", [A, B], [A, (2, "广州")], False, False),
        ("other row order", [A, B], [B, A], True, False),
        ("columns in another order", [A], [("北京", 1)], False, False),
        ("columns of equal values in another order", [(1, 2), (2, 1)], [(2, 1), (1, 2)], True, False),
        ("a row twice", [A, A], [A], False, False),
        ("another row twice", [A, A, B], [A, B, B], False, False),
        ("a column more", [(1,)], [(1, 1)], False, False),
        ("both empty", [], [], True, True),
        ("one empty", [A], [], False, False),
        ("the other empty", [], [A], False, False),
        ("NULL", [(None,)], [(None,)], True, True),
        ("NULL and 0", [(None,)], [(0,)], False, False),
        ("NULL and 0.0", [(None, 0.5)], [(0.0, 0.5)], False, False),
        ("NULL and empty text", [(None,)], [("",)], False, False),
        ("1 and 1.0", [(1,)], [(1.0,)], True, True),
        ("1 and '1'", [(1,)], [("1",)], False, False),
        ("1.0 and '1.0'", [(1.0,)], [("1.0",)], False, False),
        ("1 and 1.0 beside 1.5", [(1, 1.5)], [(1.0, 1.5)], True, True),
        ("noise in the last bit", [(0.3,)], [(NOISE,)], True, True),
        ("noise about zero", [(0,)], [(NOISE - 0.3,)], True, True),
        ("a difference one can see", [(0.3,)], [(0.30001,)], False, False),
        ("rounded and not", [(18.13,)], [(18.1333,)], False, False),
        ("a second in Julian days", [(2460000.5,)], [(2460000.5 + 0.003,)], False, False),
        ("large whole numbers that differ by one", [(10**15,)], [(10**15 + 1,)], False, False),
        ("the same beside REAL", [(10**15,), (0.5,)], [(10**15 + 1,), (0.5,)], False, False),
        ("a large whole number and REAL", [(10**15,)], [(1e15,)], True, True),
        ("the largest REAL", [(1e308,), (math.inf,)], [(math.inf,), (1e308,)], True, False),
        ("noise and other row order", [(0.3, "a"), (0.5, "b")], [(0.5, "b"), (NOISE, "a")], True, False),
        ("noise turns the order of sorted rows", [(NOISE, 1.0), (0.3, 2.0)], [(0.3, 1.0), (0.3, 2.0)], True, True),
        ("noise, and texts that are swapped", [(0.3, "a"), (0.5, "b")], [(NOISE, "b"), (0.5, "a")], False, False),
        ("noise, and a row twice", [(0.3,), (0.3,), (0.5,)], [(NOISE,), (0.5,), (0.5,)], False, False),
        ("TEXT and BLOB", [("a",)], [(b"a",)], False, False),
        ("case of letters", [("A",)], [("a",)], False, False),
        ("Chinese", [("上海", 2487.1)], [("上海", 2487.1000000000004)], True, True),
        ("Chinese that looks alike", [("臺北",)], [("台北",)], False, False),
    ],
)
def test_two_results_are_strictly_the_same_or_not(
    why: str, gold: list[Row], predicted: list[Row], unordered: bool, ordered: bool
) -> None:
    assert same(gold, predicted, UNORDERED) == unordered, why
    assert same(predicted, gold, UNORDERED) == unordered, why
    assert same(gold, predicted, ORDERED) == ordered, why


def test_a_query_without_result_equals_nothing_not_even_itself() -> None:
    failed = Outcome("timeout", message="10 s")
    assert not strict_same_result(failed, failed, gold_sql=UNORDERED)
    assert not strict_same_result(outcome([]), failed, gold_sql=UNORDERED)
    assert not strict_same_result(failed, outcome([]), gold_sql=UNORDERED)


def test_empty_results_with_other_columns_differ() -> None:
    assert strict_same_result(outcome([], 2), outcome([], 2), gold_sql=UNORDERED)
    assert not strict_same_result(outcome([], 2), outcome([], 3), gold_sql=UNORDERED)


@pytest.mark.parametrize(
    ("sql", "orders"),
    [
        ("SELECT 名称 FROM 城市 ORDER BY 人口", True),
        ("select 名称 from 城市 order\n  by 人口 desc limit 3", True),
        ("SELECT a FROM t ORDER /* by what? */ BY a", True),
        ("SELECT a FROM t UNION SELECT a FROM u ORDER BY a", True),
        ("WITH x AS (SELECT a FROM t) SELECT a FROM x ORDER BY a", True),
        ("SELECT a FROM t WHERE b IN (SELECT b FROM u) ORDER BY a", True),
        ("SELECT count(*) FROM t", False),
        ("SELECT a FROM (SELECT a FROM t ORDER BY a LIMIT 3)", False),
        ("SELECT a FROM t WHERE b = (SELECT b FROM u ORDER BY b LIMIT 1)", False),
        ("WITH x AS (SELECT a FROM t ORDER BY a LIMIT 3) SELECT a FROM x", False),
        ("SELECT rank() OVER (PARTITION BY a ORDER BY b) FROM t", False),
        ("SELECT group_concat(a ORDER BY a) FROM t", False),
        ("SELECT a FROM t WHERE b = 'order by a'", False),
        ('SELECT "order" , by FROM t', False),
        ("SELECT a FROM [order by]", False),
        ("SELECT a FROM t -- ORDER BY a", False),
        ("SELECT a FROM t WHERE b = ')' ORDER BY a", True),
        ("SELECT a FROM (SELECT a FROM t WHERE b = ')' ORDER BY a LIMIT 3)", False),
        ("SELECT 订单order, by_day FROM t", False),
        ("SELECT 注册资本（万） FROM 公司 ORDER BY 注册资本（万）", True),
        ("", False),
    ],
)
def test_row_order_counts_where_the_outer_query_orders(sql: str, orders: bool) -> None:
    assert outer_query_orders(sql) == orders


@pytest.mark.parametrize(
    ("gold_sql", "predicted_sql", "is_same"),
    [
        ("SELECT 名称 FROM 城市 ORDER BY 人口", "SELECT 名称 FROM 城市 ORDER BY 人口 DESC", False),
        ("SELECT 名称 FROM 城市", "SELECT 名称 FROM 城市 ORDER BY 人口 DESC", True),
        ("SELECT * FROM (SELECT 名称 FROM 城市 ORDER BY 人口)", "SELECT 名称 FROM 城市 ORDER BY 人口 DESC", True),
        ("SELECT DISTINCT 省份 FROM 城市", "SELECT 省份 FROM 城市", False),
        ("SELECT avg(人口) FROM 城市", "SELECT sum(人口) / 3.0 FROM 城市", True),
        ("SELECT avg(人口) FROM 城市", "SELECT CAST(sum(人口) AS INTEGER) / 3 FROM 城市", False),
        ("SELECT count(*) FROM 城市", "SELECT '3'", False),
        ("SELECT count(*) FROM 城市", "SELECT 3.0", True),
        ("SELECT 名称 FROM 城市 WHERE 人口 > 9999", "SELECT 省份 FROM 城市 WHERE 人口 > 8888", True),
    ],
)
def test_results_of_real_queries_are_compared(gold_sql: str, predicted_sql: str, is_same: bool, tmp_path: Path) -> None:
    path = tmp_path / "中国城市.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE 城市 (名称 TEXT, 省份 TEXT, 人口 REAL)")
    rows = [("广州", "广东", 1867.7), ("深圳", "广东", 1756.1), ("杭州", "浙江", 1193.6)]
    connection.executemany("INSERT INTO 城市 VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()
    with Sandbox(num_workers=1) as sandbox:
        gold, predicted = sandbox.run(path, gold_sql), sandbox.run(path, predicted_sql)
    assert gold.rows is not None and predicted.rows is not None, (gold.message, predicted.message)
    assert strict_same_result(gold, predicted, gold_sql=gold_sql) == is_same


def by_all_pairings(gold: Sequence[Row], predicted: Sequence[Row]) -> bool:
    """The rule in its plainest form."""
    return any(
        all(all(map(same_value, *rows)) for rows in zip(gold, order, strict=True))
        for order in itertools.permutations(predicted)
    )


# Neighbours in this list are equal, others are not: steps of 0.7 billionths.
_CHAIN = [1 + 0.7e-9 * step for step in range(5)]


@st.composite
def _near_tables(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    num_rows, num_columns = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    value = st.sampled_from([*_CHAIN, 1, None, "a"][: draw(st.integers(2, 8))])
    row = st.tuples(*[value] * num_columns)
    gold: list[Row] = draw(st.lists(row, min_size=num_rows, max_size=num_rows))
    predicted: list[Row] = [
        tuple(draw(st.sampled_from([v, *(n for n in _CHAIN if same_value(v, n))])) for v in one) for one in gold
    ]
    if draw(st.booleans()):
        predicted[0] = draw(row)
    return gold, list(draw(st.permutations(predicted)))


@settings(deadline=None)
@given(_near_tables())
def test_rows_are_paired_whenever_some_pairing_exists(tables: tuple[list[Row], list[Row]]) -> None:
    gold, predicted = tables
    assert same(gold, predicted) == by_all_pairings(gold, predicted)


def test_a_pairing_is_found_that_taking_equal_rows_first_misses() -> None:
    a, b, c, d = _CHAIN[:4]  # each equals its neighbours alone
    assert same([(c, b), (d, a)], [(c, c), (c, b)])  # (c, b) must leave the (c, b) of the other side to (d, a)
    assert not same([(c, b), (d, a)], [(c, c), (c, c)])
    assert same([(b,), (c,)], [(c,), (d,)])
    assert not same([(a,), (b,)], [(c,), (d,)])


@pytest.mark.parametrize(
    ("kind", "num_rows"),
    [
        ("a chain of timestamps", 200_000),
        ("noise", 50_000),
        ("same noise everywhere", 50_000),
        ("one differs", 50_000),
        ("noise first, then a chain", 20_000),
    ],
)
def test_many_rows_with_noise_are_compared_in_a_moment(kind: str, num_rows: int) -> None:
    generator = random.Random(7)
    if kind == "a chain of timestamps":
        gold: list[Row] = [(1.7e9 + second, generator.random(), "a") for second in range(num_rows)]
    elif kind == "noise first, then a chain":
        gold = [(1 + 1e-12 * generator.random(), 1 + 0.7e-9 * row, "a") for row in range(num_rows)]
    elif kind == "same noise everywhere":
        gold = [(0.3, 1.5, "a") for _ in range(num_rows)]
    else:
        gold = [(generator.random(), generator.randrange(1000) / 7, "a") for _ in range(num_rows)]
    predicted: list[Row] = [tuple(v * (1 + 1e-15) if isinstance(v, float) else v for v in row) for row in gold]
    if kind == "one differs":
        predicted[77] = (predicted[77][0], 0.5, "a")
    if kind == "noise first, then a chain":
        predicted = [(1 + 1e-12 * generator.random(), *row[1:]) for row in predicted]
    generator.shuffle(predicted)
    started = time.perf_counter()
    assert same(gold, predicted) == (kind != "one differs")
    assert time.perf_counter() - started < 60  # 200,000 take 2 s on one idle core


def test_results_built_to_make_the_pairing_long_are_given_up_as_different() -> None:
    # A grid so fine that each row could equal eight others, in an order that noise has mixed.
    generator = random.Random(7)
    steps = [1 + 0.7e-9 * step for step in range(100)]

    def mixed() -> list[Row]:
        return [(x * (1 + 1e-15 * generator.random()), y) for x in steps for y in steps]

    gold, predicted = mixed(), mixed()
    started = time.perf_counter()
    assert not same(gold, predicted)
    assert time.perf_counter() - started < 60  # 2 s on one idle core
    few = [row for row in gold if row[1] in steps[:5]], [row for row in predicted if row[1] in steps[:5]]
    assert same(*few)
