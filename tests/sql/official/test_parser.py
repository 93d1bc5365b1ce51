"""What the official grammar takes and how it reads it: process_sql.py@2c95626 in taoyds/spider.

The names of its functions stand beside the cases that show their quirks.
"""

from __future__ import annotations

import time
from typing import get_args

import pytest

from t2s.sql.official.parser import MAX_CHARS, MAX_DEPTH, parse
from t2s.sql.official.query import (
    EVERY_COLUMN,
    Column,
    ColumnUse,
    Condition,
    Expression,
    Query,
    Selected,
    conditions_of,
)
from t2s.sql.official.rejection import REASONS, Reason
from tests.sql.official.databases import EN, ZH


def read(sql: str) -> Query:
    query = parse(sql, ZH if any(ord(sign) > 127 for sign in sql) else EN)
    assert isinstance(query, Query), query
    return query


def reason(sql: str) -> Reason | None:
    parsed = parse(sql, ZH if any(ord(sign) > 127 for sign in sql) else EN)
    return parsed if isinstance(parsed, str) else None


def column(table: str, name: str) -> Expression:
    return Expression("", ColumnUse("", Column(table, name), False), None)


def test_every_clause_is_read() -> None:
    query = read(
        "SELECT DISTINCT T1.书名, count(DISTINCT T2.售价) FROM 图书 AS T1 JOIN 电子书 AS T2 ON T1.图书id = T2.书名id "
        "WHERE T2.售价 BETWEEN 1 AND 10 OR T1.类型 NOT LIKE '小%' "
        "GROUP BY T1.书名, T1.作者 HAVING count(*) >= 2 ORDER BY T1.定价（元） - T2.售价 DESC LIMIT 3"
    )
    assert query == Query(
        distinct=True,
        selected=(
            Selected("", column("图书", "书名")),
            Selected("count", Expression("", ColumnUse("", Column("电子书", "售价"), True), None)),
        ),
        tables=("图书", "电子书"),
        joined_on=(
            Condition(False, "=", column("图书", "图书id"), ColumnUse("", Column("电子书", "书名id"), False), None),
        ),
        where=(
            Condition(False, "between", column("电子书", "售价"), 1.0, 10.0),
            "or",
            Condition(True, "like", column("图书", "类型"), "小%", None),
        ),
        group_by=(
            ColumnUse("", Column("图书", "书名"), False),
            ColumnUse("", Column("图书", "作者"), False),
        ),
        having=(Condition(False, ">=", Expression("", ColumnUse("count", EVERY_COLUMN, False), None), 2.0, None),),
        direction="desc",
        order_by=(
            Expression(
                "-", ColumnUse("", Column("图书", "定价（元）"), False), ColumnUse("", Column("电子书", "售价"), False)
            ),
        ),
        has_limit=True,
    )


def test_subqueries_and_set_operations_are_queries() -> None:
    query = read(
        "SELECT Name FROM singer WHERE Age > (SELECT avg(Age) FROM singer) EXCEPT SELECT Name FROM singer UNION "
        "SELECT Title FROM song"
    )
    (condition,) = conditions_of(query.where)
    assert isinstance(condition.value, Query) and condition.value.selected[0].aggregate == "avg"
    assert query.union is None and query.intersect is None
    assert query.except_ is not None and query.except_.union is not None
    assert query.except_.union.tables == ("song",)
    nested = read("SELECT count(*) FROM (SELECT DISTINCT Name FROM singer)")
    assert isinstance(nested.tables[0], Query) and nested.tables[0].distinct


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("select NAME from SINGER", "SELECT Name FROM singer ;;", "case, semicolons"),
        ("SELECT T.Name FROM singer AS T", "SELECT Name FROM singer", "an alias"),
        ("SELECT singer.Name FROM singer AS T", "SELECT Name FROM singer", "a table is its own alias"),
        ("SELECT Name FROM singer", "(SELECT Name FROM singer)", "brackets around all"),
        ("SELECT Name , Age FROM singer", "SELECT Name Age FROM singer", "parse_select: the comma may be missing"),
        ("SELECT max(Age) FROM singer", "SELECT max Age FROM singer", "parse_select: so may brackets"),
        ("SELECT Name FROM singer WHERE Age = 'x'", 'SELECT Name FROM singer WHERE Age = "x"', "either quote"),
        ("SELECT Name FROM singer LIMIT 3", "SELECT Name FROM singer LIMIT 5 OFFSET 2", "the end is ignored"),
        ("SELECT Name FROM singer", "SELECT Name FROM singer; DROP TABLE singer", "and what follows it"),
        ("SELECT Name FROM singer LIMIT 1", "SELECT Name FROM singer LIMIT 2,3", "parse_limit: any one word"),
        ("SELECT Age FROM singer ORDER BY Age", "SELECT Age FROM singer ORDER BY Age NULLS LAST LIMIT 3", "LIMIT, too"),
        (
            "SELECT Name FROM singer ORDER BY Age DESC , Name DESC",
            "SELECT Name FROM singer ORDER BY Age ASC , Name DESC",
            "parse_order_by: the last direction is that of all",
        ),
        (
            "SELECT Name FROM singer AS T1 JOIN song AS T2 ON T1.Singer_ID = T2.Singer_ID JOIN award AS T3",
            "SELECT Name FROM singer AS T1 JOIN song AS T2 ON T1.Singer_ID = T2.Singer_ID LEFT OUTER JOIN award AS T3",
            "parse_value: a column swallows what follows it",
        ),
        (
            "SELECT Name FROM singer WHERE Name = Country",
            "SELECT Name FROM singer WHERE Name = Country OR Age = 3",
            "parse_value: OR, too",
        ),
        ("SELECT Title FROM song WHERE Sales = 1", "SELECT Title FROM song WHERE Sales = 1.0", "numbers are floats"),
        ("SELECT Name FROM singer JOIN song", "SELECT Name FROM singer JOIN song ON", "nothing to read after ON"),
        ("SELECT Name FROM singer", "SELECT Name FROM singer WHERE", "nor after WHERE"),
    ],
)  # fmt: skip
def test_two_ways_to_write_the_same(one: str, other: str, why: str) -> None:
    assert read(one) == read(other), why


def test_the_last_alias_of_a_name_holds_everywhere() -> None:
    # scan_alias: one map for the whole text.
    query = read("SELECT T1.Singer_ID FROM singer AS T1 WHERE Age IN (SELECT T1.Sales FROM song AS T1)")
    assert query.selected[0].expression == column("song", "singer_id")


def test_a_column_without_a_table_is_the_first_that_its_from_has() -> None:
    # parse_col: tables in the order of FROM; aliases do not matter.
    assert read("SELECT Singer_ID FROM song JOIN singer").selected[0].expression == column("song", "singer_id")
    assert read("SELECT Singer_ID FROM singer JOIN song").selected[0].expression == column("singer", "singer_id")


@pytest.mark.parametrize(
    "sql",
    [
        'SELECT "书名" FROM "图书"',
        "SELECT `书名` FROM `图书`",
        "SELECT [书名] FROM [图书]",
        'SELECT T1."书名" FROM 图书 AS T1',
        'SELECT "T1"."书名" FROM "图书" AS "T1"',
        "SELECT `T1`.书名 FROM 图书 AS `t1`",
        "SELECT 图书.书名 FROM 图书",
        "SELECT 本.书名 FROM 图书 AS 本",
        "select 书名 from 图书;",
        "SELECT　书名　FROM　图书",
    ],
)
def test_a_quoted_chinese_name_is_the_name(sql: str) -> None:
    assert read(sql) == read("SELECT 书名 FROM 图书")


@pytest.mark.parametrize(
    ("written", "table", "name"),
    [
        ("2018年销量", "图书", "2018年销量"),
        ('"2018年销量"', "图书", "2018年销量"),
        ("定价（元）", "图书", "定价（元）"),
        ('"定价（元）"', "图书", "定价（元）"),
        ('"注册资本(万)"', "平台", "注册资本(万)"),
        ('"Order"', "平台", "order"),
        ('"好评率%"', "平台", "好评率%"),
        ("总部·城市", "平台", "总部·城市"),
        ("“别名”", "平台", "“别名”"),
        ('"it\'s"', "平台", "it's"),
        ('"No."', "投资 记录", "no."),
        ('"投资 记录"."金额,万元"', "投资 记录", "金额,万元"),
        ('T9."金额,万元"', "投资 记录", "金额,万元"),
    ],
)
def test_names_of_any_signs_are_read(written: str, table: str, name: str) -> None:
    sql = f'SELECT 平台名,{written} FROM 平台 JOIN 图书 JOIN "投资 记录" AS T9 WHERE {written} > 3 ORDER BY {written}'
    query = read(sql)
    wanted = column(table, name)
    assert [query.selected[1].expression, query.order_by[0]] == [wanted, wanted]
    assert query.where == (Condition(False, ">", wanted, 3.0, None),)


def test_on_the_right_double_quotes_are_a_column_where_from_has_one_and_else_a_value() -> None:
    def right(sql: str) -> object:
        (condition,) = conditions_of(read(sql).where)
        return condition.value

    assert right('SELECT 书名 FROM 图书 WHERE 作者 = "书名"') == ColumnUse("", Column("图书", "书名"), False)
    assert right('SELECT 书名 FROM 图书 WHERE 作者 = "平台名"') == "平台名"
    assert right("SELECT 书名 FROM 图书 WHERE 作者 = '书名'") == "书名"
    assert right('SELECT Name FROM singer WHERE Country = "Name"') == "Name"


CASES: list[tuple[str, Reason]] = [
    ("SELECT count(*) AS n FROM singer", "column alias"),
    ("SELECT count(*) AS 数量 FROM 图书", "column alias"),
    ("SELECT CASE WHEN Age > 3 THEN 1 END FROM singer", "CASE"),
    ("SELECT round(Age) FROM singer", "function"),
    ("SELECT Name FROM singer WHERE lower(Name) = 'x'", "function"),
    ("SELECT Name FROM singer LEFT JOIN song ON Age = 1", "outer join"),
    ("SELECT T1.Name FROM singer AS T1 LEFT OUTER JOIN song AS T2 ON Age = 1", "outer join"),
    ("SELECT Name FROM singer INNER JOIN song ON Age = 1", "inner join"),
    ("SELECT Name FROM singer CROSS JOIN song", "other join"),
    ("SELECT Name FROM singer NATURAL JOIN song", "other join"),
    ("SELECT Name FROM singer, song", "comma join"),
    ("SELECT Name FROM singer JOIN song USING (Singer_ID)", "USING"),
    ("SELECT Name FROM singer T", "table alias without AS"),
    ("SELECT 书名 FROM 图书 甲", "table alias without AS"),
    ("SELECT count(*) FROM (SELECT Name FROM singer) AS T", "subquery alias"),
    ("SELECT Name FROM singer AS song", "alias of a table's name"),
    ("SELECT T1.Age FROM singer AS T1 WHERE T1.Age IN (SELECT T1.Sales FROM song AS T1)", "alias of two tables"),
    ("SELECT (SELECT max(Age) FROM singer) FROM singer", "subquery in SELECT"),
    ("SELECT count(*) FROM singer JOIN (SELECT Title FROM song)", "subquery in JOIN"),
    ("SELECT Name FROM singer WHERE Age IN (1, 2)", "list of values"),
    ("SELECT 书名 FROM 图书 WHERE 类型 IN ('小说', '传记')", "list of values"),
    ("SELECT 书名 FROM 图书 WHERE 类型 IN (\"书名\", '传记')", "list of values"),
    ("SELECT Name FROM singer WHERE Age IS NULL", "IS NULL"),
    ("SELECT Name FROM singer WHERE Age IS NOT NULL", "IS NULL"),
    ("SELECT Name FROM singer WHERE EXISTS (SELECT Title FROM song)", "EXISTS"),
    ("SELECT Name FROM singer WHERE NOT EXISTS (SELECT Title FROM song)", "EXISTS"),
    ("SELECT Name FROM singer UNION ALL SELECT Title FROM song", "UNION ALL"),
    ("SELECT Name FROM singer WHERE Age = (SELECT Age FROM singer LIMIT 1 OFFSET 1)", "OFFSET"),
    ("WITH x AS (SELECT Name FROM singer) SELECT Name FROM x", "WITH"),
    ("SELECT Name FROM singer WHERE Age <> 3", "<>"),
    ("SELECT Name FROM singer WHERE Age=3", "operator without blanks"),
    ("SELECT Name FROM singer WHERE Age>=3", "operator without blanks"),
    ("SELECT Name FROM singer WHERE Name='x'", "operator without blanks"),
    ("SELECT 书名 FROM 图书 WHERE 类型=\"小说\"", "operator without blanks"),
    ("SELECT Age+Age FROM singer", "operator without blanks"),
    ("SELECT Name FROM singer WHERE Age + Age + Age > 3", "other operator"),
    ("SELECT Name FROM singer WHERE Name GLOB 'x'", "other operator"),
    ("SELECT Name || Name FROM singer", "other operator"),
    ("SELECT Name FROM singer WHERE (Age > 3 OR Age < 1)", "brackets"),
    ("SELECT Name FROM singer WHERE Age = (Age)", "brackets"),
    ("SELECT ((max(Age))) FROM singer", "syntax"),
    ("SELECT T1.* FROM singer AS T1", "table.*"),
    ("SELECT 1 FROM singer", "constant as column"),
    ("SELECT 'x' FROM singer", "constant as column"),
    ("SELECT Name FROM singer WHERE Age > avg(Age)", "aggregate as value"),
    ("SELECT Name FROM singers", "unknown table"),
    ("SELECT T2.Name FROM singer AS T1", "unknown table"),
    ("SELECT 书名 FROM 热销", "unknown table"),
    ("SELECT Titel FROM song", "unknown column"),
    ("SELECT 名 FROM 图书", "unknown column"),
    ('SELECT "名" FROM 图书', "unknown column"),
    ("SELECT Title FROM song WHERE Sales IN (SELECT Age FROM song)", "unknown column"),
    ('SELECT "Name" FROM singer', "quoted name"),
    ("SELECT `Name` FROM `singer`", "quoted name"),
    ('SELECT Name FROM "singer"', "quoted name"),
    ("SELECT Name FROM singer WHERE Name = 'O''Brien'", "quote in a value"),
    ("SELECT Name FROM singer WHERE Name = \"it's\"", "quote in a value"),
    ("SELECT Name FROM singer WHERE Name = 'x", "odd number of quotes"),
    ("", "no SELECT"),
    ("我不知道。", "no SELECT"),
    ("UPDATE singer SET Age = 1", "no SELECT"),
    ("SELECT Name", "no FROM"),
    ("SELECT Name FROM singer WHERE Age", "syntax"),
    ("SELECT Name FROM singer WHERE Age = 1 Age = 2", "syntax"),
    ("SELECT Name FROM singer WHERE Age BETWEEN 1 OR 2", "syntax"),
    ("SELECT Name FROM singer GROUP Name", "syntax"),
    ("SELECT Name FROM singer LIMIT", "syntax"),
    ("SELECT Name FROM singer AS", "syntax"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "wanted"), CASES)
def test_what_the_grammar_does_not_take_has_a_reason(sql: str, wanted: Reason) -> None:
    assert reason(sql) == wanted


def test_every_reason_is_shown() -> None:
    assert {wanted for _, wanted in CASES} == set(REASONS) - {"too long", "too deep"}
    assert len(set(get_args(Reason))) == len(REASONS)


def test_a_quoted_name_that_needs_quotes_is_taken_in_any_database() -> None:
    assert reason('SELECT "18_49_Share" , "Match" FROM singer') is None


NESTED = "SELECT Name FROM singer WHERE Age IN ("


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT Name FROM singer WHERE Age = 1 AND " * 40_000,
        "SELECT Name FROM singer WHERE " + "(" * 10_000,
        "SELECT Name FROM " + "(" * 99_000,
        NESTED * 1_000,
        "SELECT Name FROM singer UNION " * 3_000,
        "SELECT count(*) FROM (" * 4_000,
        "'" * 99_999,
        '"' * 99_999,
        "`" * 99_999,
        "[" * 100_000,
        "[a" * 50_000,
        "[it's" * 19_999,
        'a"' * 49_999,
        ",1" * 50_000,
        "," + "1" * 99_000,
        "-" * 100_000,
        "." * 100_000,
        "as " * 33_000,
        "! = " * 25_000,
        "，" * 100_000,
        "\0" * 100_000,
        "\ud800" * 100_000,
        "SELECT Name FROM singer WHERE x = " + "select Name " * 8_000,
    ],
    ids=lambda sql: repr(sql[:20]),
)
def test_hostile_text_is_rejected_at_once(sql: str) -> None:
    started = time.process_time()
    assert reason(sql) in REASONS
    assert time.process_time() - started < 5  # measured: at most 0.3 s


def test_the_limits_are_where_they_say() -> None:
    assert reason("SELECT Name FROM singer".ljust(MAX_CHARS)) is None
    assert reason("SELECT Name FROM singer".ljust(MAX_CHARS + 1)) == "too long"
    deep = NESTED * (MAX_DEPTH - 1) + "SELECT Age FROM singer" + ")" * (MAX_DEPTH - 1)
    assert reason(deep.replace("SELECT Name", "SELECT Age")) is None
    assert reason(NESTED + deep + ")") == "too deep"
    side_by_side = " AND ".join(["Age IN (SELECT Age FROM singer)"] * MAX_DEPTH * 2)
    assert reason(f"SELECT Age FROM singer WHERE {side_by_side}") is None
