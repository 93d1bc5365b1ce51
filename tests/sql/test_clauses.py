from __future__ import annotations

import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from t2s.sql.clauses import ClauseReader, Clauses, ComparedValue, clause_reader, read_clauses
from tests.sql.company import Company, build_company


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    return build_company(tmp_path_factory.mktemp("company"))


def read(sql: str, company: Company) -> Clauses:
    clauses = read_clauses(sql, company.schema)
    assert clauses is not None
    return clauses


def test_a_query_is_cut_into_its_clauses(company: Company) -> None:
    clauses = read(
        'SELECT DISTINCT c.名称 AS 公司名, count(DISTINCT e.工号), max("注册资本（万）") - 1 FROM 员工 e JOIN 公司 c '
        'ON e.公司id = c.id LEFT JOIN "order" o ON o.公司id = c.id AND o.key > 2 '
        "WHERE e.性别 = '男' AND c.城市 IN ('北京', '深圳') "
        "AND e.年龄 > (SELECT avg(年龄) FROM 员工 WHERE 性别 = '女') "
        "GROUP BY c.id HAVING count(*) >= 2 ORDER BY 公司名 DESC, 2 LIMIT 5 OFFSET 1",
        company,
    )
    assert clauses.operator == "" and clauses.parts == ()
    assert clauses.tables == ("order", "公司", "员工")
    assert clauses.all_tables == {"order", "公司", "员工"}
    assert [one.term.shape for one in clauses.select] == ["公司.名称", "count(*)", '(max(公司."注册资本（万）") - 1)']
    assert [(one.aggregates, one.columns, one.form) for one in clauses.select] == [
        ((), ("公司.名称",), "_"),
        (("count",), ("*",), "count(_)"),
        (("max",), ('公司."注册资本（万）"',), "(max(_) - 1)"),
    ]
    assert clauses.distinct == {"select", "count(*)"}
    assert [one.text for one in clauses.joins] == [
        "left [order] on [order.key > 2; order.公司id = 公司.id]",
        "公司.id = 员工.公司id",
    ]
    assert [one.shape for one in clauses.conditions] == [
        "(select [avg(员工.年龄)] from [员工] where [员工.性别 = ?]) < 员工.年龄",
        "公司.城市 in (?)",
        "员工.性别 = ?",
    ]
    assert [one.text for one in clauses.conditions][1:] == ["公司.城市 in ('北京', '深圳')", "员工.性别 = '男'"]
    assert clauses.conditions[0].outline == "(select) < 员工.年龄"
    assert [one.shape for one in clauses.group] == ["公司.id"]
    assert [one.text for one in clauses.having] == ["count(*) >= 2"]
    assert [one.shape for one in clauses.order] == ["公司.名称 desc", "count(*)"]
    assert clauses.limit is not None and clauses.limit.text == "limit 5 offset 1"
    assert clauses.limit.shape == "limit ? offset ?"
    assert ComparedValue("公司.城市", "'深圳'") in clauses.values and ComparedValue("count(*)", "2") in clauses.values
    (nested,) = clauses.nested
    assert nested.tables == ("员工",) and nested.values == (ComparedValue("员工.性别", "'女'"),)


def test_a_set_operation_has_the_parts_that_it_joins(company: Company) -> None:
    clauses = read("SELECT 名称 FROM 公司 UNION ALL SELECT 名称 FROM 城市 ORDER BY 名称 LIMIT 3", company)
    assert clauses.operator == "union all"
    assert [part.tables for part in clauses.parts] == [("公司",), ("城市",)]
    assert [one.shape for one in clauses.order] == ["#1"]
    assert clauses.limit is not None
    mixed = read("SELECT 名称 FROM 公司 UNION SELECT 名称 FROM 城市 EXCEPT SELECT 姓名 FROM 员工", company)
    assert mixed.operator == "except" and mixed.parts[0].operator == "union", "from left to right"


def test_subqueries_and_ctes_in_from_are_numbered_sources(company: Company) -> None:
    cte = "WITH 大 AS (SELECT 城市 AS c, count(*) AS n FROM 公司 GROUP BY 城市)"
    clauses = read(f"{cte} SELECT 城市.人口, 大.n FROM 大, 城市 WHERE c = 名称", company)
    assert clauses.tables == ("(1)", "城市") and clauses.all_tables == {"公司", "城市"}
    assert [one.shape for one in clauses.joins] == ["(1).公司.城市 = 城市.名称"]
    assert [one.term.shape for one in clauses.select] == ["城市.人口", "(1).count(*)"]


@pytest.mark.parametrize(
    ("sql", "where", "why"),
    [
        ("SELECT 1 FROM 员工 WHERE 年龄 > 3", "员工.年龄 > ?", "the only table that has it"),
        ("SELECT 1 FROM 公司, 员工 WHERE 名称 > '3'", "公司.名称 > ?", "the only table of two that has it"),
        ("SELECT 工号 AS 年龄 FROM 员工 WHERE 年龄 > 3", "员工.年龄 > ?", "a column comes before an alias"),
        ("SELECT 工号 AS 号 FROM 员工 WHERE 号 > 3", "员工.工号 > ?", "an alias"),
        ("SELECT 1 FROM 员工 WHERE Ａge > 3", "?Ａge > ?", "letter case of ASCII alone"),
        ("SELECT 1 FROM 员工 WHERE rowid > 3", "员工.rowid > ?", "every table has it"),
        ('SELECT 1 FROM 员工 WHERE 姓名 > "公司名"', "员工.姓名 > ?", "a text"),
        ('SELECT 1 FROM 员工 WHERE 姓名 > "性别"', "员工.姓名 > 员工.性别", "a column in double quotes"),
        ("SELECT 1 FROM 员工 WHERE 姓名 > [公司名]", "?公司名 < 员工.姓名", "brackets make no text"),
        ("SELECT 1 FROM 员工 WHERE 姓名 > 公司名", "?公司名 < 员工.姓名", "no quotes make no text"),
        ('SELECT 1 FROM 员工 WHERE 姓名 > "员工"."公司名"', "?员工.公司名 < 员工.姓名", "nor does a qualified name"),
        ("SELECT 1 FROM 没有 WHERE 甲 > 1", "没有.甲 > ?", "of a table that nobody knows"),
        ("SELECT 1 FROM json_each('[1]') WHERE value > 1", "json_each('[1]').value > ?", "a function's column"),
        (
            "SELECT 1 FROM 公司 WHERE EXISTS (SELECT 1 FROM 员工 WHERE 公司id = id AND 年龄 > 1)",
            "exists (from [员工] where [^公司.id = 员工.公司id; 员工.年龄 > ?])",
            "the inner table first, then the outer one",
        ),
    ],
)
def test_names_are_found_as_sqlite_finds_them(sql: str, where: str, why: str, company: Company) -> None:
    assert [one.shape for one in read(sql, company).conditions] == [where], why


def test_columns_of_one_table_are_compared_not_joined(company: Company) -> None:
    clauses = read("SELECT 姓名 FROM 员工 WHERE 年龄 = 工号", company)
    assert clauses.joins == () and [one.shape for one in clauses.conditions] == ["员工.工号 = 员工.年龄"]


def test_order_by_takes_an_alias_before_a_column_as_sqlite_does(company: Company) -> None:
    sql = "SELECT 工号, -工号 AS 年龄 FROM 员工 ORDER BY 年龄"
    assert [one.shape for one in read(sql, company).order] == ["-员工.工号"]
    assert company.run(sql) == company.run("SELECT 工号, -工号 FROM 员工 ORDER BY -工号")


SQLITE_TAKES = """
SELECT sum(年龄) OVER (ORDER BY 工号 DESC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM 员工
SELECT sum(年龄) OVER w, rank() OVER (w ORDER BY 姓名) FROM 员工 WINDOW w AS (PARTITION BY 性别)
SELECT sum(年龄) OVER (ORDER BY 工号 GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE TIES) FROM 员工
SELECT lag(年龄, 1, 0) OVER (ORDER BY 工号), ntile(4) OVER (ORDER BY 年龄 RANGE UNBOUNDED PRECEDING) FROM 员工
SELECT count(*) FILTER (WHERE 年龄 > 1) FROM 员工
SELECT 姓名 FROM 员工 WHERE 年龄 IS NOT DISTINCT FROM 工号
SELECT 姓名 FROM 员工 WHERE 年龄 NOT NULL OR 年龄 NOTNULL OR 年龄 ISNULL
SELECT -年龄, +年龄, ~年龄, NOT 年龄, - -1, 1e-3, .5, 0x1F, x'AB', NULL, TRUE FROM 员工
SELECT 姓名 || '·' || 性别, 年龄 % 2, 年龄 << 1 & 3 | 4, 年龄 / 2.0 - 1 FROM 员工
SELECT 姓名 FROM 员工 WHERE (年龄, 性别) IN (SELECT 年龄, 性别 FROM 员工) AND (年龄, 工号) > (1, 2)
SELECT 姓名 FROM 员工 WHERE 姓名 LIKE '张!%' ESCAPE '!' AND 姓名 GLOB '*' AND NOT 姓名 NOT GLOB 'x'
WITH 大 AS (SELECT 名称 FROM 城市) SELECT 姓名 FROM 员工 WHERE 姓名 IN 大 AND 性别 NOT IN "大"
SELECT 姓名 FROM 员工 WHERE 年龄 IN ()
SELECT CAST(年龄 AS UNSIGNED BIG INT), CAST(年龄 AS VARCHAR(20)), CAST(年龄 AS 整数) FROM 员工
SELECT CAST((SELECT 1 AS 数 FROM 公司 AS c) AS TEXT), CAST(CAST(年龄 AS TEXT) AS INT) AS 岁 FROM 员工
SELECT CASE 年龄 WHEN 1 THEN 'a' WHEN 2 THEN CASE WHEN 1 THEN 'b' END ELSE NULL END FROM 员工
SELECT "key" -> '$.x', "key" ->> 'b[' FROM "order"
SELECT 姓名 COLLATE NOCASE FROM 员工 ORDER BY 姓名 COLLATE "BINARY" DESC NULLS LAST
SELECT * FROM 公司 AS a JOIN (员工 AS b JOIN 城市 AS c ON b.姓名 = c.名称) ON a.id = b.公司id
SELECT a.名称 FROM 公司 a LEFT OUTER JOIN 城市 b USING (名称) CROSS JOIN 员工 NATURAL LEFT JOIN "order"
SELECT * FROM (SELECT * FROM 公司) x JOIN (VALUES (1, 2), (3, 4)) y ON x.id = y.column1
SELECT * FROM ((公司)), (SELECT 1 UNION SELECT 2)
WITH RECURSIVE 数(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM 数 WHERE n < 5) SELECT n FROM 数
WITH a AS MATERIALIZED (SELECT 1 AS x), b AS NOT MATERIALIZED (SELECT x FROM a) SELECT * FROM b, a
WITH a AS (SELECT x FROM b), b AS (SELECT 1 AS x) SELECT x FROM a
VALUES (1, '甲'), (2, '乙')
SELECT 1 EXCEPT SELECT 2 UNION ALL VALUES (3) INTERSECT SELECT 4 ORDER BY 1 LIMIT 5, 10
SELECT group_concat(姓名, '、'), group_concat(DISTINCT 姓名), total(年龄) FROM 员工
SELECT replace(姓名, '张', '章'), like('张%', 姓名), glob('张*', 姓名), max(年龄, 工号), date('now', '-1 day') FROM 员工
SELECT 姓名 first, 性别 last, 年龄 "desc", 工号 no FROM 员工 ORDER BY first, last, "desc" DESC
SELECT offset, replace, rows FROM (SELECT 1 AS offset, 2 AS replace, 3 AS rows)
SELECT "order".key, [order].[group] FROM "order" WHERE key = 1 GROUP BY "group", key HAVING key > 0
SELECT current_date, CURRENT_TIMESTAMP WHERE 1
SELECT ALL 姓名 FROM 员工 NOT INDEXED
SELECT 姓名 AS '名', 年龄 '岁' FROM '员工'
SELECT (SELECT (SELECT c.名称) FROM 员工 WHERE 公司id = c.id) FROM 公司 c
SELECT count(*) FROM 公司 HAVING count(*) > 1
SELECT 姓名 FROM 员工 GROUP BY 1, 性别 ORDER BY random() LIMIT 1 OFFSET 2
SELECT iif(年龄 > 1, 2, 3), nullif(年龄, 1), typeof(姓名), strftime('%Y', "入职 日期") FROM 员工
""".strip().split("\n")


@pytest.mark.parametrize("sql", SQLITE_TAKES)
def test_what_sqlite_takes_is_read(sql: str, company: Company) -> None:
    company.run(sql)
    clauses = read(sql, company)
    assert "?" not in clauses.text, "every name is found, every value stays"
    assert read_clauses(sql + " ;\n-- end", company.schema) == clauses


SQLITE_REFUSES = """
SELECT
SELECT FROM 员工
SELECT 姓名, FROM 员工
SELECT 姓名,, 年龄 FROM 员工
SELECT 姓名 FROM 员工 WHERE
SELECT 姓名 FROM 员工 GROUP BY
SELECT 姓名 FROM 员工 WHERE 年龄 >
SELECT 姓名 FROM 员工 WHERE (年龄 > 1
SELECT 姓名 FROM 员工 WHERE 年龄 > 1)
SELECT 姓名 FROM 员工 ORDER BY 年龄 WHERE 年龄 > 1
SELECT 姓名 FROM 员工 WHERE 年龄 > 1 JOIN 公司 ON id = 公司id
SELECT 姓名 FROM 员工 ORDER BY 年龄 UNION SELECT 名称 FROM 公司
SELECT 年龄::int FROM 员工
SELECT 姓名 FROM 员工 WHERE 年龄 > ANY (SELECT 1)
SELECT 姓名 FROM 员工 WHERE 姓名 ILIKE 'a'
SELECT 姓名 FROM 员工 FETCH FIRST 3 ROWS ONLY
SELECT TOP 3 姓名 FROM 员工
SELECT DISTINCT ON (姓名) 年龄 FROM 员工
SELECT 年龄, DISTINCT 姓名 FROM 员工
SELECT EXTRACT(year FROM "入职 日期") FROM 员工
SELECT 姓名 FROM 员工 WHERE 姓名 = '张三
SELECT "姓名 FROM 员工
SELECT 姓名 FROM 员工 # 名字
SELECT 姓名 FROM 员工 WHERE 年龄 = {年龄}
SELECT 2018年利润 FROM 公司
SELECT CASE WHEN 1 THEN 2 FROM 员工
SELECT This question cannot be answered
SELECT 姓名 FROM 员工 LIMIT 1 LIMIT 2
SELECT (*) FROM 员工
SELECT 姓名 FROM 员工 WHERE 年龄 = = 30
(SELECT 姓名 FROM 员工)
DELETE FROM 员工
PRAGMA table_info(员工)
EXPLAIN SELECT 1
CREATE TABLE x AS SELECT 1
姓名
""".strip("\n").split("\n")


@pytest.mark.parametrize("sql", ["", "   ;", "-- nothing", *SQLITE_REFUSES])
def test_what_is_no_query_is_none(sql: str, company: Company) -> None:
    assert read_clauses(sql, company.schema) is None


@pytest.mark.parametrize("sql", SQLITE_REFUSES[:-5])
def test_sqlite_refuses_those_too(sql: str, company: Company) -> None:
    with pytest.raises((sqlite3.OperationalError, sqlite3.Warning)):
        company.run(sql)


def test_what_sqlite_would_not_run_is_none_though_its_grammar_takes_it(company: Company) -> None:
    for sql in (
        "SELECT 姓名 FROM 员工 JOIN 城市 USING (姓名)",
        "SELECT 姓名 FROM 员工 ORDER BY 2",
        "SELECT 姓名 FROM 员工 GROUP BY 0",
        "SELECT rank() OVER 没有 FROM 员工",
        f"SELECT 1 FROM {', '.join(['员工'] * 65)}",
    ):
        assert read_clauses(sql, company.schema) is None
        with pytest.raises(sqlite3.OperationalError):
            company.run(sql)


def test_the_first_statement_counts(company: Company) -> None:
    assert read("SELECT 姓名 FROM 员工; SELECT 年龄 FROM 员工", company).key == "select [员工.姓名] from [员工]"
    assert read("; SELECT 姓名 FROM 员工; 以上", company).key == "select [员工.姓名] from [员工]"


HOSTILE = {
    "1 MB": "SELECT 姓名 FROM 员工 WHERE 年龄 IN (" + "1," * 500_000 + "1)",
    "brackets": "SELECT " + "(" * 9_000 + "1" + ")" * 9_000,
    "NOT": "SELECT " + "NOT " * 4_000 + "1",
    "minus": "SELECT " + "- " * 9_000 + "1",
    "a chain": "SELECT " + "-".join(["年龄"] * 6_000) + " FROM 员工",
    "AND": "SELECT 1 FROM 员工 WHERE " + " AND ".join(["年龄 > 1"] * 1_600),
    "OR": "SELECT 1 FROM 员工 WHERE " + " OR ".join(f"年龄 > {number}" for number in range(1_300)),
    "CASE": "SELECT " + "CASE WHEN 1 THEN " * 900 + "1" + " END" * 900,
    "subqueries": "SELECT * FROM " + "(SELECT * FROM " * 29 + "员工" + ")" * 29,
    "stars": "SELECT " + ",".join(["*"] * 9_000) + " FROM 员工 a, 员工 b, 员工 c, 员工 d",
    "joins": "SELECT * FROM " + ",".join(["员工"] * 6_000),
    "self joins in self joins": "SELECT 1 FROM 员工 a, 员工 b, 员工 c, 员工 d WHERE EXISTS "
    + "(SELECT 1 FROM 员工 a, 员工 b, 员工 c, 员工 d WHERE a.年龄 > b.年龄 AND EXISTS " * 12
    + "(SELECT 1)" * 1
    + ")" * 12,
    "doubling CTEs": "WITH c0 AS (SELECT 1 AS x)"
    + "".join(f", c{n} AS (SELECT a.x + b.x AS x FROM c{n - 1} a, c{n - 1} b)" for n in range(1, 200))
    + " SELECT * FROM c199",
    "doubling subqueries": "SELECT " + "x+x AS x FROM (SELECT " * 29 + "1 AS x" + ")" * 29,
    "a long alias": "SELECT " + "+".join(["年龄"] * 2_000) + " AS x FROM 员工 WHERE " + " AND ".join(["x>x"] * 900),
    "UNION": " UNION ".join(["SELECT 姓名 FROM 员工"] * 700),
    "quotes": 'SELECT "' * 2_000,
    "comments": "SELECT /*" * 2_000,
    "NUL": "SELECT 1\0",
    "half of a sign": "SELECT '\ud800'",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_sql_is_read_or_none_in_bounded_time(name: str, company: Company) -> None:
    reader = ClauseReader(company.schema)
    reader.read("SELECT 1")  # sqlglot is loaded
    started = time.process_time()
    clauses = reader.read(HOSTILE[name])
    reader.quoted_strings(HOSTILE[name])
    assert time.process_time() - started < 5, "under 1 s on an idle machine"
    assert clauses is None or len(clauses.text) <= 200_000


def test_thirty_brackets_in_each_other_are_read_and_no_more(company: Company) -> None:
    assert read("SELECT " + "(" * 30 + "1" + ")" * 30, company).key == "select [1]"
    assert read_clauses("SELECT " + "(" * 31 + "1" + ")" * 31, company.schema) is None


def test_a_stack_that_is_nearly_full_is_none_too(company: Company) -> None:
    sql = "SELECT " + "(" * 28 + "1" + ")" * 28
    reader = ClauseReader(company.schema)
    reader.read("SELECT 1")

    def deeper(levels: int) -> Clauses | None:
        return deeper(levels - 1) if levels else reader.read(sql)

    depth, frame = 0, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    assert deeper(sys.getrecursionlimit() - depth - 60) is None


def test_a_query_is_read_once_for_a_schema(company: Company) -> None:
    sql = "SELECT 姓名 FROM 员工 WHERE 年龄 = 987"
    assert read(sql, company) is read(sql, company)
    assert clause_reader(company.schema) is clause_reader(company.schema)
    other = company.schema.model_copy()
    assert clause_reader(other) is not clause_reader(company.schema), "another object may be another database"
    assert read_clauses(sql, other) == read(sql, company)


def test_threads_read_the_same(company: Company) -> None:
    queries = [f"SELECT 姓名 FROM 员工 WHERE 年龄 > {number}" for number in range(60)] * 4
    expected = [f"select [员工.姓名] from [员工] where [员工.年龄 > {number}]" for number in range(60)] * 4
    reader = ClauseReader(company.schema)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(reader.read, queries))
    assert [clauses.text for clauses in found if clauses is not None] == expected


def test_views_and_sqlites_own_tables_can_be_read(company: Company) -> None:
    with closing(sqlite3.connect(company.path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (4,)
    assert read("SELECT name FROM sqlite_master WHERE type = 'table'", company).key == (
        "select [sqlite_master.name] from [sqlite_master] where [sqlite_master.type = ?]"
    )
