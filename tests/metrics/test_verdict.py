from __future__ import annotations

import sqlite3

import pytest

from t2s.metrics.verdict import error_verdict, quoted_strings, wrong_result_verdict
from t2s.sql.clauses import read_clauses
from t2s.verdict import VERDICTS, Verdict
from tests.sql.company import Company, build_company


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    return build_company(tmp_path_factory.mktemp("company"))


# Gold, prediction, verdict, why. Rows and columns are those that SQLite gives.
WRONG: list[tuple[str, str, Verdict, str]] = [
    ("SELECT 名称 FROM 公司", "SELECT 名称 FROM 城市", "wrong_table", "another table"),
    (
        "SELECT c.名称, e.姓名 FROM 公司 c JOIN 员工 e ON c.id = e.公司id",
        "SELECT 名称 FROM 公司",
        "wrong_table",
        "a column is missing since its table is",
    ),
    (
        "SELECT 姓名 FROM 员工 WHERE 公司id IN (SELECT id FROM 公司)",
        "SELECT 姓名 FROM 员工 WHERE 公司id IN (SELECT 公司id FROM \"order\")",
        "wrong_table",
        "in a subquery",
    ),
    (
        "SELECT e.姓名 FROM 员工 e WHERE e.公司id IS NOT NULL",
        "SELECT e.姓名, c.城市 FROM 员工 e JOIN 公司 c ON c.id = e.公司id WHERE e.公司id IS NOT NULL",
        "extra_or_missing_column",
        "a table joined for an added column",
    ),
    ("SELECT 姓名 FROM 员工", "SELECT 姓名, 年龄 FROM 员工", "extra_or_missing_column", "one more"),
    ("SELECT * FROM 员工", "SELECT 姓名 FROM 员工", "extra_or_missing_column", "one of all"),
    ("SELECT 姓名 FROM 员工", "SELECT 性别 FROM 员工", "wrong_column", "another"),
    ("SELECT sum(年龄) FROM 员工", "SELECT sum(工号) FROM 员工", "wrong_column", "the same sum of another"),
    ("SELECT count(年龄) FROM 员工", "SELECT count(性别) FROM 员工", "wrong_column", "the same count of another"),
    ("SELECT max(年龄) FROM 员工", "SELECT min(年龄) FROM 员工", "wrong_aggregation", "min for max"),
    ("SELECT count(*) FROM 员工", "SELECT count(年龄) FROM 员工", "wrong_aggregation", "values for rows"),
    ("SELECT count(*) FROM 员工", "SELECT 姓名 FROM 员工", "wrong_aggregation", "rows where gold counts them"),
    ("SELECT count(*) FROM 员工", "SELECT 姓名, 年龄 FROM 员工", "wrong_aggregation", "likewise with more columns"),
    (
        "SELECT 性别, count(*) FROM 员工 GROUP BY 性别",
        "SELECT 性别, count(*) FROM 员工",
        "wrong_aggregation",
        "no GROUP BY",
    ),
    (
        "SELECT 性别 FROM 员工 GROUP BY 性别 HAVING count(*) > 1",
        "SELECT 性别 FROM 员工 GROUP BY 性别 HAVING max(年龄) > 1",
        "wrong_aggregation",
        "another HAVING",
    ),
    (
        "SELECT e.姓名 FROM 员工 e JOIN 公司 c ON e.公司id = c.id",
        "SELECT e.姓名 FROM 员工 e JOIN 公司 c ON e.工号 = c.id",
        "wrong_join",
        "on another column",
    ),
    (
        "SELECT c.名称, count(*) FROM 公司 c JOIN 员工 e ON e.公司id = c.id GROUP BY c.id",
        "SELECT c.名称, count(e.工号) FROM 公司 c LEFT JOIN 员工 e ON e.公司id = c.id GROUP BY c.id",
        "wrong_join",
        "an outer join has more rows",
    ),
    ("SELECT a.名称 FROM 公司 a", "SELECT a.名称 FROM 公司 a, 公司 b", "wrong_join", "the table once more"),
    (
        "SELECT e.姓名 FROM 员工 e JOIN 公司 c ON e.公司id = c.id WHERE e.年龄 = '30'",
        "SELECT e.姓名 FROM 员工 e JOIN 公司 c ON e.工号 = c.id WHERE e.年龄 = 30",
        "wrong_join",
        "a number in quotes is no other value, so the join has to explain the empty result",
    ),
    ("SELECT 姓名 FROM 员工 WHERE 年龄 > 30", "SELECT 姓名 FROM 员工", "wrong_condition", "none"),
    (
        "SELECT 姓名 FROM 员工 WHERE 年龄 > 30",
        "SELECT 姓名 FROM 员工 WHERE 年龄 >= 30",
        "wrong_condition",
        "another comparison",
    ),
    (
        "SELECT 姓名 FROM 员工 WHERE 年龄 > 40 AND 性别 = '男'",
        "SELECT 姓名 FROM 员工 WHERE 年龄 > 40 OR 性别 = '男'",
        "wrong_condition",
        "OR for AND",
    ),
    (
        "SELECT 姓名 FROM 员工 WHERE 性别 = '男'",
        'SELECT 姓名 FROM 员工 WHERE "性别1" = \'男\'',
        "wrong_condition",
        "a misspelt column is a text, and nothing passes",
    ),
    (
        "SELECT 姓名, 年龄 FROM 员工 WHERE 年龄 > 30",
        "SELECT 姓名 FROM 员工",
        "wrong_condition",
        "a column less explains no other number of rows",
    ),
    (
        "SELECT 姓名 FROM 员工 WHERE 年龄 = 30",
        "SELECT 性别 FROM 员工 WHERE 年龄 = 41 AND 工号 > 0",
        "wrong_column",
        "as many rows: what is in them comes first",
    ),
    (
        "SELECT 姓名 FROM 员工 WHERE 性别 = '男'",
        "SELECT 姓名 FROM 员工 WHERE 性别 = '男性'",
        "wrong_value",
        "nothing passes, and the value says why",
    ),
    ("SELECT 姓名 FROM 员工 WHERE 年龄 = 30", "SELECT 姓名 FROM 员工 WHERE 年龄 = 55", "wrong_value", "a number"),
    (
        "SELECT 名称 FROM 公司 WHERE id IN (SELECT 公司id FROM 员工 WHERE 性别 = '男')",
        "SELECT 名称 FROM 公司 WHERE id IN (SELECT 公司id FROM 员工 WHERE 性别 = '女')",
        "wrong_value",
        "in a subquery",
    ),
    (
        "SELECT 姓名 FROM 员工 WHERE 性别 = '男' AND 年龄 = (SELECT min(年龄) FROM 员工)",
        "SELECT 姓名 FROM 员工 WHERE 性别 = 'M' ORDER BY 年龄 LIMIT 1",
        "wrong_value",
        "an empty result by a value, whatever else differs",
    ),
    (
        "SELECT 姓名 FROM 员工 WHERE 年龄 = (SELECT min(年龄) FROM 员工)",
        "SELECT 姓名 FROM 员工 WHERE 年龄 = (SELECT max(年龄) FROM 员工)",
        "wrong_aggregation",
        "inside a subquery that both have",
    ),
    (
        "SELECT 姓名 FROM 员工 WHERE 年龄 = (SELECT min(年龄) FROM 员工)",
        "SELECT 姓名 FROM 员工 ORDER BY 年龄 LIMIT 1",
        "wrong_structure",
        "a subquery gives all that tie",
    ),
    (
        "SELECT 城市 FROM 公司 INTERSECT SELECT 名称 FROM 城市",
        "SELECT 城市 FROM 公司 UNION SELECT 名称 FROM 城市",
        "wrong_structure",
        "another set operation",
    ),
    (
        "SELECT 城市 FROM 公司 EXCEPT SELECT 名称 FROM 城市 WHERE 人口 > 1500",
        "SELECT 城市 FROM 公司 EXCEPT SELECT 名称 FROM 城市",
        "wrong_condition",
        "on one side of a set operation",
    ),
    (
        "SELECT c.名称 FROM 公司 c JOIN 员工 e ON e.公司id = c.id",
        "SELECT 名称 FROM 公司 WHERE id IN (SELECT 公司id FROM 员工)",
        "wrong_structure",
        "a join has each as often as it matches",
    ),
    (
        "SELECT 姓名 FROM 员工 ORDER BY 年龄",
        "SELECT 姓名 FROM 员工 ORDER BY 年龄 DESC",
        "wrong_order_or_limit",
        "direction",
    ),
    ("SELECT 姓名 FROM 员工 ORDER BY 年龄", "SELECT 姓名 FROM 员工", "wrong_order_or_limit", "no order"),
    (
        "SELECT 姓名 FROM 员工 ORDER BY 年龄 LIMIT 1",
        "SELECT 姓名 FROM 员工 ORDER BY 年龄 LIMIT 3",
        "wrong_order_or_limit",
        "another limit is no wrong value",
    ),
    ("SELECT DISTINCT 性别 FROM 员工", "SELECT 性别 FROM 员工", "wrong_distinct", "DISTINCT"),
    ("SELECT count(DISTINCT 性别) FROM 员工", "SELECT count(性别) FROM 员工", "wrong_distinct", "DISTINCT inside"),
    (
        "SELECT count(*) FROM (SELECT DISTINCT 性别 FROM 员工)",
        "SELECT count(*) FROM (SELECT 性别 FROM 员工)",
        "wrong_distinct",
        "in a subquery",
    ),
    ("SELECT DISTINCT 性别 FROM 员工", "SELECT 性别 FROM 员工 GROUP BY 性别", "wrong_distinct", "GROUP BY for it"),
    (
        "SELECT o.公司id FROM \"order\" o JOIN 公司 c ON o.公司id = c.id",
        "SELECT c.id FROM \"order\" o JOIN 公司 c ON o.公司id = c.id",
        "wrong_column",
        "a column that the join makes equal can be of another type",
    ),
    ("SELECT 姓名 FROM 员工", "SELECT 员工.姓名 FROM 员工", "unexplained", "nothing differs"),
]  # fmt: skip


def judge(gold: str, predicted: str, company: Company) -> Verdict:
    gold_rows, rows = company.run(gold), company.run(predicted)
    return wrong_result_verdict(
        read_clauses(gold, company.schema),
        read_clauses(predicted, company.schema),
        gold_num_rows=len(gold_rows),
        predicted_num_rows=len(rows),
        gold_num_columns=len(gold_rows[0]) if gold_rows else 1,
        predicted_num_columns=len(rows[0]) if rows else 1,
    )


@pytest.mark.parametrize(("gold", "predicted", "verdict", "why"), WRONG)
def test_a_wrong_result_gets_the_verdict_of_a_person(
    gold: str, predicted: str, verdict: Verdict, why: str, company: Company
) -> None:
    assert judge(gold, predicted, company) == verdict, why


def test_the_cases_show_every_verdict_on_clauses() -> None:
    shown = {verdict for _, _, verdict, _ in WRONG} | {"empty_result"}
    assert shown == set(VERDICTS[VERDICTS.index("wrong_table") : VERDICTS.index("unexplained") + 1])


@pytest.mark.parametrize(
    ("sizes", "verdict"),
    [((3, 0, 1, 1), "empty_result"), ((3, 3, 2, 1), "extra_or_missing_column"), ((3, 2, 1, 1), "unexplained")],
)
def test_where_sql_cannot_be_parsed_the_sizes_tell(
    sizes: tuple[int, int, int, int], verdict: Verdict, company: Company
) -> None:
    names = ("gold_num_rows", "predicted_num_rows", "gold_num_columns", "predicted_num_columns")
    clauses = read_clauses("SELECT 姓名 FROM 员工", company.schema)
    for gold, predicted in ((None, clauses), (clauses, None), (None, None)):
        assert wrong_result_verdict(gold, predicted, **dict(zip(names, sizes, strict=True))) == verdict


def test_an_empty_result_that_no_clause_explains_is_named_as_such(company: Company) -> None:
    gold, predicted = (read_clauses(f"SELECT {name} FROM 员工", company.schema) for name in ("姓名", "年龄"))
    sizes = {"gold_num_columns": 1, "predicted_num_columns": 1}
    assert wrong_result_verdict(gold, predicted, gold_num_rows=3, predicted_num_rows=0, **sizes) == "empty_result"
    assert wrong_result_verdict(gold, predicted, gold_num_rows=3, predicted_num_rows=3, **sizes) == "wrong_column"
    assert wrong_result_verdict(gold, predicted, gold_num_rows=0, predicted_num_rows=3, **sizes) == "wrong_column"


# SQL that SQLite refuses, and what its message must be taken for.
DOES_NOT_RUN: list[tuple[str, Verdict]] = [
    ("SELECT 1 FROM 没有", "no_such_table"),
    ("SELECT 1 FROM \"no such column: x\"", "no_such_table"),
    ("SELECT 没有 FROM 员工", "no_such_column"),
    ("SELECT [no such table] FROM 员工", "no_such_column"),
    ("SELECT [syntax error] FROM 员工", "no_such_column"),
    ("SELECT e.没有 FROM 员工 e", "no_such_column"),
    ("SELECT 员工.姓名 FROM 员工 e", "no_such_column"),
    ("SELECT 1 FROM 员工 JOIN 城市 USING (姓名)", "no_such_column"),
    ("SELECT 姓名 FROM 员工 UNION SELECT 名称 FROM 公司 ORDER BY 年龄", "no_such_column"),
    ("SELECT 姓名 FROM 员工 ORDER BY 2", "no_such_column"),
    ("SELECT 名称 FROM 公司 JOIN 城市", "ambiguous_column"),
    ("SELECT 姓名 FROM 员工 WHERE", "syntax_error"),
    ("SELECT 姓名 FORM 员工 WHERE 1 1", "syntax_error"),
    ("SELECT 姓名 FROM 员工 WHERE (年龄 > 1", "syntax_error"),
    ("SELECT 姓名 FROM 员工 WHERE 姓名 = '张三", "syntax_error"),
    ("SELECT 2018年利润 FROM 公司", "syntax_error"),
    ("以下是SQL：SELECT 1", "syntax_error"),
    ("SELECT 姓名 FROM 员工; SELECT 年龄 FROM 员工", "syntax_error"),
    ("SELECT 姓名 FROM 员工 ORDER BY 1 UNION SELECT 名称 FROM 公司", "syntax_error"),
    ("SELECT 姓名 FROM 员工 HAVING 1", "syntax_error"),
    ("SELECT 姓名 FROM 员工 LEFT CROSS OUTER INNER JOIN 公司", "syntax_error"),
    ("SELECT *", "syntax_error"),
    ("SELECT year(\"入职 日期\") FROM 员工", "wrong_function"),
    ("SELECT 姓名 FROM 员工 WHERE 姓名 REGEXP 'x'", "wrong_function"),
    ("SELECT substr(姓名) FROM 员工", "wrong_function"),
    ("SELECT 姓名 FROM 员工 WHERE count(*) > 1", "wrong_function"),
    ("SELECT sum(max(年龄)) FROM 员工", "wrong_function"),
    ("SELECT 姓名 FROM 员工 GROUP BY count(*)", "wrong_function"),
    ("SELECT 姓名 FROM 员工 WHERE rank() OVER () = 1", "wrong_function"),
    ("SELECT lower(姓名) OVER () FROM 员工", "wrong_function"),
    ("SELECT rank() OVER 没有 FROM 员工", "wrong_function"),
    ("SELECT count(DISTINCT 姓名, 年龄) FROM 员工", "wrong_function"),
    ("SELECT 姓名 FROM 员工 UNION SELECT 1, 2", "other_error"),
    ("SELECT 姓名 FROM 员工 WHERE 年龄 = (SELECT 1, 2)", "other_error"),
    ("SELECT 1 LIMIT 'x'", "other_error"),
    ("SELECT json_extract('{', '$.a')", "other_error"),
    ("SELECT zeroblob(2000000000)", "too_large"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "verdict"), DOES_NOT_RUN)
def test_sqlites_messages_are_understood(sql: str, verdict: Verdict, company: Company) -> None:
    with pytest.raises((sqlite3.Error, sqlite3.Warning)) as caught:
        company.run(sql)
    assert error_verdict(str(caught.value)) == verdict


@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        ("not authorized to use function: load_extension", "refused"),
        ("access to 员工.姓名 is prohibited", "refused"),
        ("interrupted", "timeout"),
        ("out of memory", "too_large"),
        ("database disk image is malformed", "other_error"),
        ("the query contains a null character", "syntax_error"),
        ("", "other_error"),
    ],
)
def test_messages_that_no_query_here_provokes_are_understood(message: str, verdict: Verdict) -> None:
    assert error_verdict(message) == verdict


QUOTED: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    # SQL, words that stand as names, and those that stand as values
    ('SELECT "姓民" FROM 员工', ("姓民",), ()),
    ('SELECT "姓名", "员工"."年龄" FROM "员工"', (), ()),
    ('SELECT 姓名 AS "名字" FROM 员工 "人" WHERE "人".年龄 > 1 ORDER BY "名字"', (), ()),
    ('SELECT 姓名 FROM 员工 WHERE "性別" = \'男\'', ("性別",), ()),
    ('SELECT 姓名 FROM 员工 WHERE "性別" = "男"', ("性別",), ("男",)),
    ('SELECT 姓名 FROM 员工 WHERE 性别 = "男" AND "女" <> 性别', (), ("男", "女")),
    ('SELECT 姓名 FROM 员工 WHERE 性别 IN ("男", "女") AND 姓名 LIKE "张%"', (), ("男", "女", "张%")),
    ('SELECT 姓名 FROM 员工 WHERE 姓名 BETWEEN "张" AND "李"', (), ("张", "李")),
    ('SELECT max("工资") FROM 员工 GROUP BY "部门" ORDER BY "级别"', ("工资", "部门", "级别"), ()),
    ('SELECT 姓名 FROM 员工 WHERE 公司id IN (SELECT id FROM 公司 WHERE 城市 = "北京" AND "年龄" > 3)', (), ("北京",)),
    ('SELECT 名称 FROM 公司 WHERE "人口" > 3', ("人口",), ()),  # a column of a table that is not in FROM
    ('SELECT "姓民", [性別x] FROM 员工', ("姓民",), ()),
    ("SELECT 'x', `姓名` FROM 员工", (), ()),
    ('WITH "大" AS (SELECT 1 AS "甲") SELECT "甲", "乙" FROM "大"', ("乙",), ()),
    ('SELECT count("it""s") FROM 员工', ('it"s',), ()),
    # What cannot be parsed
    ('SELECT "姓民", "姓名" FROM 员工 WHERE (', ("姓民",), ()),
    ('SELECT 姓名 "名字" FROM 员工 WHERE 性别 = "男" AND "性別" = "女" AND', ("性別",), ("男", "女")),
    ('SELECT 姓名 AS "名" FROM 员工 WHERE 性别 IN ("男", \'x\', "女") ORDER BY "名", "级",', ("级",), ("男", "女")),
    ('WITH "大" AS (SELECT 1) SELECT "大"."甲" FROM "大" WHERE', (), ()),
    ('SELECT "姓名 FROM 员工', (), ()),
    ("", (), ()),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "names", "values"), QUOTED)
def test_double_quoted_words_that_name_nothing_are_found(
    sql: str, names: tuple[str, ...], values: tuple[str, ...], company: Company
) -> None:
    assert quoted_strings(sql, company.schema) == names
    assert sorted(quoted_strings(sql, company.schema, values=True)) == sorted((*names, *values))
