from __future__ import annotations

import json
import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from t2s.sql.extract import extract_sql

SHARED = Path(__file__).parents[2] / ".." / "shared"

CASES: list[tuple[str, str, str]] = [
    # why, completion, SQL
    ("SQL alone", "SELECT 名称 FROM 城市", "SELECT 名称 FROM 城市"),
    ("lower case, blanks around", " \n select 名称 from 城市 \n", "select 名称 from 城市"),
    ("a calculation needs no FROM", "SELECT 1", "SELECT 1"),
    ("a calculation in a sentence", "答案：SELECT count(*)", "SELECT count(*)"),
    ("semicolons", "SELECT a FROM t;;;", "SELECT a FROM t"),
    ("full-width semicolon", "SELECT a FROM t；", "SELECT a FROM t"),
    # fences
    ("fence", "```sql\nSELECT a FROM t\n```", "SELECT a FROM t"),
    ("fence without language", "```\nSELECT a FROM t;\n```", "SELECT a FROM t"),
    ("fence of another language", "```sqlite\nSELECT a FROM t;\n```", "SELECT a FROM t"),
    ("fence of tildes", "~~~sql\nSELECT a FROM t\n~~~", "SELECT a FROM t"),
    ("fence on one line", "```sql SELECT a FROM t```", "SELECT a FROM t"),
    ("fence on one line without language", "```SELECT a FROM t```", "SELECT a FROM t"),
    ("fence never closed", "```sql\nSELECT a\nFROM t\n", "SELECT a FROM t"),
    ("fence closed but not opened", "SELECT a FROM t\n```\n以上", "SELECT a FROM t"),
    ("talk before and after", "好的：\n```sql\nSELECT a FROM t\n```\n这条语句返回 a。", "SELECT a FROM t"),
    ("talk that holds SQL", "可以先 SELECT * FROM t 看看，最终：\n```sql\nSELECT a FROM t\n```", "SELECT a FROM t"),
    ("first fence has no SQL", "```python\nprint(1)\n```\n```sql\nSELECT a FROM t\n```", "SELECT a FROM t"),
    ("two fences", "```sql\nSELECT a FROM t\n```\n或者\n```sql\nSELECT b FROM u\n```", "SELECT a FROM t"),
    ("an answer at once, then fences", "SELECT a FROM t\n\n```sql\nSELECT b FROM u\n```", "SELECT a FROM t"),
    # labels, quotes and other wrapping
    ("label", "SQL: SELECT a FROM t", "SELECT a FROM t"),
    ("label in bold", "**SQL查询：**\n\nSELECT a FROM t", "SELECT a FROM t"),
    ("Chinese label", "答案：select a from t。", "select a from t"),
    ("glued to Chinese", "答案是SELECT 名称 FROM 城市。", "SELECT 名称 FROM 城市"),
    ("inline code", "答案是 `SELECT 名称 FROM 城市`。", "SELECT 名称 FROM 城市"),
    ("inline code with quoted names", "用 `SELECT `名称` FROM `城市``。", "SELECT `名称` FROM `城市`"),
    ("two pieces of inline code", "`SELECT a FROM t` 或 `SELECT b FROM t`", "SELECT a FROM t"),
    ("bold", "**SELECT a FROM t**", "SELECT a FROM t"),
    ("Chinese quotes", "「SELECT a FROM t」", "SELECT a FROM t"),
    ("curly quotes", "“SELECT a FROM t WHERE b = 'x'”", "SELECT a FROM t WHERE b = 'x'"),
    ("single quotes", "'SELECT a FROM t'", "SELECT a FROM t"),
    ("double quotes", 'The answer is "SELECT a FROM t" here', "SELECT a FROM t"),
    ("parentheses", "(SELECT a FROM t)", "SELECT a FROM t"),
    ("JSON", '{"sql": "SELECT \\"a b\\" FROM t\\nWHERE c = \'x\'"}', "SELECT \"a b\" FROM t WHERE c = 'x'"),
    ("tags", "<sql>SELECT a FROM t</sql>", "SELECT a FROM t"),
    ("special token of a model", "SELECT a FROM t<|im_end|>\n<|im_start|>user", "SELECT a FROM t"),
    # thoughts
    ("thought", "<think>先 SELECT x FROM y 看</think>\nSELECT a FROM t", "SELECT a FROM t"),
    ("thought opened by the template", "先 SELECT x FROM y 看\n</think>\n\nSELECT a FROM t", "SELECT a FROM t"),
    ("several thoughts", "<think>1</think>SELECT x FROM y<think>不对</think>SELECT a FROM t", "SELECT a FROM t"),
    ("a thought after the answer", "SELECT a FROM t\n<think>对吗？SELECT b FROM u</think>", "SELECT a FROM t"),
    ("a thought after the answer, never closed", "SELECT a FROM t\n<think>SELECT b FROM u", "SELECT a FROM t"),
    ("thought never closed", "<think>先 SELECT x FROM y 看", ""),
    ("thought without an answer", "<think>SELECT x FROM y</think>", ""),
    # several statements
    ("two statements", "SELECT a FROM t; SELECT b FROM u;", "SELECT a FROM t"),
    ("two lines without semicolon", "SELECT a FROM t\nSELECT b FROM u", "SELECT a FROM t"),
    ("the next question invented", "SELECT a FROM t\n问题：b？\nSELECT b FROM u", "SELECT a FROM t"),
    ("another kind of statement first", "CREATE TABLE x (a);\nSELECT a FROM t", "SELECT a FROM t"),
    ("a WITH after it", "SELECT a FROM t\nWITH x AS (SELECT 1) SELECT * FROM x", "SELECT a FROM t"),
    # on into prose
    ("prose behind the semicolon", "SELECT a FROM t; 这条语句…", "SELECT a FROM t"),
    ("Chinese line", "SELECT 名称 FROM 城市\n这条语句查询名称，按人口。", "SELECT 名称 FROM 城市"),
    ("Chinese on the same line", "SELECT 名称 FROM 城市 这条语句查询名称。", "SELECT 名称 FROM 城市"),
    ("Chinese with a comma", "SELECT 名称 FROM 城市 这条语句查询名称，并排序", "SELECT 名称 FROM 城市"),
    ("Chinese with a colon", "SELECT 名称 FROM 城市 说明：查询名称", "SELECT 名称 FROM 城市"),
    ("Chinese after a condition", "SELECT a FROM t WHERE b = 1 其中b是编号", "SELECT a FROM t WHERE b = 1"),
    ("Chinese after DESC", "SELECT a FROM t ORDER BY b DESC 按b降序", "SELECT a FROM t ORDER BY b DESC"),
    ("full stop behind a name", "SELECT 名称 FROM 城市。", "SELECT 名称 FROM 城市"),
    ("English line", "SELECT name FROM city\nThis query returns all names.", "SELECT name FROM city"),
    ("English on the same line", "SELECT name FROM city This query returns names.", "SELECT name FROM city"),
    ("English sentence", "SELECT name FROM city. This query returns names.", "SELECT name FROM city"),
    ("English after LIMIT", "SELECT a FROM t LIMIT 1 This returns one", "SELECT a FROM t LIMIT 1"),
    ("English keyword in title case", "SELECT a FROM t\nIn this query, we don't", "SELECT a FROM t"),
    ("English clause in title case", "SELECT a FROM t\n\nWhere clauses filter rows", "SELECT a FROM t"),
    ("list", "SELECT a FROM t\n- This uses a\n- b", "SELECT a FROM t"),
    ("numbered list", "SELECT a FROM t\n1. 选择 a", "SELECT a FROM t"),
    ("table of a result", "SELECT a FROM t\n| a |\n|---|", "SELECT a FROM t"),
    ("remark in brackets", "SELECT a FROM t\n（说明：a）", "SELECT a FROM t"),
    ("heading", "SELECT a FROM t\n### 说明\n这条语句", "SELECT a FROM t"),
    ("a bracket never closed", "SELECT count(* FROM t\n\n这条语句查询。", "SELECT count(* FROM t"),
    ("broken otherwise: left to SQLite", "SELECT a FROM t WHERE b = 'O'Brien'", "SELECT a FROM t WHERE b = 'O'Brien'"),
    ("commas forgotten: left to SQLite", "SELECT 名称 人口 面积 FROM 城市", "SELECT 名称 人口 面积 FROM 城市"),
    # prose first
    ("English instruction", "To select the name from the table:\n\nselect name from city", "select name from city"),
    ("Chinese instruction", "使用 SELECT 语句查询：\nSELECT 名称 FROM 城市", "SELECT 名称 FROM 城市"),
    ("clauses named", "使用SELECT、WHERE和ORDER BY子句：\n\nSELECT 名称 FROM 城市", "SELECT 名称 FROM 城市"),
    ("with as a word", "With this in mind, SELECT a FROM t", "SELECT a FROM t"),
    # several lines, comments
    ("several lines", "SELECT\n  a,\n  b\nFROM\n  t\nWHERE\n  c > 1\n  AND d = 'x'\nORDER BY\n  a DESC\nLIMIT 3",
     "SELECT a, b FROM t WHERE c > 1 AND d = 'x' ORDER BY a DESC LIMIT 3"),
    ("blank lines between WITH parts",
     "WITH x AS (\nSELECT a FROM t\n),\n\ny AS (SELECT a FROM x)\n\nSELECT * FROM y\n\n以上",
     "WITH x AS ( SELECT a FROM t ), y AS (SELECT a FROM x) SELECT * FROM y"),
    ("alias behind a bracket's line", "SELECT a FROM (\nSELECT b FROM t\n)\nT1 JOIN u ON 1",
     "SELECT a FROM ( SELECT b FROM t ) T1 JOIN u ON 1"),
    ("comments", "SELECT a -- 注释; from\nFROM t /* x\n; */ WHERE b = '--x' # y\n AND c = 1",
     "SELECT a FROM t WHERE b = '--x' AND c = 1"),
    ("JSON's line breaks", "SELECT a\\nFROM t\\nWHERE b = 1", "SELECT a FROM t WHERE b = 1"),
    ("Markdown's escapes", "SELECT student\\_id, count(\\*) FROM t", "SELECT student_id, count(*) FROM t"),
    ("a line break in a literal", "SELECT a FROM t WHERE b = 'x\ny'", "SELECT a FROM t WHERE b = 'x\ny'"),
    # SQL that looks like prose
    ("aliases without AS", "SELECT T1.名称 城市名 FROM 城市 T1\nJOIN 省 T2 ON T1.省 = T2.号",
     "SELECT T1.名称 城市名 FROM 城市 T1 JOIN 省 T2 ON T1.省 = T2.号"),
    ("compound", "SELECT a FROM t UNION ALL SELECT b FROM u EXCEPT\nSELECT c FROM v",
     "SELECT a FROM t UNION ALL SELECT b FROM u EXCEPT SELECT c FROM v"),
    ("case", "SELECT CASE WHEN a > 1 THEN 'x' ELSE 'y' END 级别 FROM t",
     "SELECT CASE WHEN a > 1 THEN 'x' ELSE 'y' END 级别 FROM t"),
    ("is distinct from", "SELECT a FROM t WHERE b IS DISTINCT FROM c", "SELECT a FROM t WHERE b IS DISTINCT FROM c"),
    ("recursive with",
     "WITH RECURSIVE n(x) AS (SELECT 1) SELECT x FROM n", "WITH RECURSIVE n(x) AS (SELECT 1) SELECT x FROM n"),
    ("semicolon and keyword in literals", "SELECT a FROM t WHERE b = '; select' AND c = \"from;\"",
     "SELECT a FROM t WHERE b = '; select' AND c = \"from;\""),
    ("title case throughout", "Select Name From City\nWhere Age > 3", "Select Name From City Where Age > 3"),
    # full-width signs
    ("full-width signs", "SELECT 名称，COUNT（＊） FROM 城市 WHERE 人口＞１００",
     "SELECT 名称,COUNT(*) FROM 城市 WHERE 人口>100"),
    ("full-width signs in literals", "SELECT a FROM t WHERE b = '，；（）' AND \"c（d）\" = 1；",
     "SELECT a FROM t WHERE b = '，；（）' AND \"c（d）\" = 1"),
    ("a column with brackets", "SELECT MAX（注册资本（万）） FROM 公司", "SELECT MAX(注册资本（万）) FROM 公司"),
    ("curly quotes around values", "SELECT a FROM t WHERE b IN（‘x’，“y”）", "SELECT a FROM t WHERE b IN('x',\"y\")"),
    # nothing
    ("nothing", "", ""),
    ("blanks", " \n\t", ""),
    ("an excuse", "抱歉，我无法回答这个问题。", ""),
    ("the bare word", "SELECT", ""),
    ("English prose", "Please select the rows from the table.", ""),
    ("English prose in capitals", "The SELECT statement retrieves data from the table.", ""),
    ("an excuse that begins like SQL", "SELECT The most what? Please provide more context.", ""),
    ("a write", "DELETE FROM t", ""),
    ("half a character", "\ud83d", ""),
]  # fmt: skip


@pytest.mark.parametrize(("completion", "sql"), [pytest.param(c, s, id=why) for why, c, s in CASES])
def test_the_sql_is_taken_out_of_the_completion(completion: str, sql: str) -> None:
    assert extract_sql(completion) == sql


def test_the_cases_have_names_of_their_own() -> None:
    assert len({why for why, _, _ in CASES}) == len(CASES) > 80


@pytest.mark.parametrize(("sql"), [pytest.param(s, id=why) for why, _, s in CASES if s])
def test_what_was_extracted_stays_when_it_is_extracted_again(sql: str) -> None:
    assert extract_sql(sql) == sql


_names = st.sampled_from(["名称", "T1.人口", "注册资本（万）", '"列，名"', "`a b`", "[x；y]", "count(*)", "max(年龄)"])
_values = st.text(st.sampled_from('北京a1 ，；（）;-`"\n*/[]=“”'), max_size=8).map(lambda text: "'" + text + "'")
_conditions = st.tuples(_names, st.sampled_from(["=", ">", "LIKE", "!=", "<="]), _values).map(" ".join)
_queries = st.builds(
    lambda columns, distinct, conditions, order, joined: (
        f"SELECT {'DISTINCT ' if distinct else ''}{', '.join(columns)} FROM 城市"
        + (" AS T1 JOIN 省 AS T2 ON T1.省 = T2.号" if joined else "")
        + (" WHERE " + " AND ".join(conditions) if conditions else "")
        + (" ORDER BY 人口 DESC LIMIT 3" if order else "")
    ),
    st.lists(_names, min_size=1, max_size=4),
    st.booleans(),
    st.lists(_conditions, max_size=3),
    st.booleans(),
    st.booleans(),
)
_wrappings = st.sampled_from(
    [
        "{}",
        "{};",
        "```sql\n{}\n```",
        "```\n{};\n```",
        "```sql\n{}",
        "好的，SQL如下：\n```sql\n{}\n```\n这条语句查询所有城市的名称。",
        "Here is the query:\n\n```sql\n{};\n```\n\nIt selects the names.",
        "<think>嗯，SELECT 1？</think>\n{}",
        "SQL：{}；",
        "{}\n\n这条语句查询所有城市的名称，并排序。",
        "{}\nThis query returns all the names.",
    ]
)


@given(_queries, _wrappings)
def test_any_query_comes_back_out_of_any_wrapping(query: str, wrapping: str) -> None:
    assume("```" not in query)
    assert extract_sql(wrapping.replace("{}", query)) == query


@given(st.text(st.sampled_from("sSeElLcCtT fromFROM名称'\"`;；，（）()\n-*/[]“”<think>/{}=."), max_size=200))
def test_any_text_gives_some_text_and_the_same_again(text: str) -> None:
    sql = extract_sql(text)
    assert sql == sql.strip()
    assert extract_sql(text) == sql


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data and ../shared/reference")
def test_every_gold_query_comes_back_unchanged() -> None:
    files = [SHARED / "data/chase_c/train_data/train.json", SHARED / "data/chase_c/dev_data/dev_gold.json"]
    files += SHARED.glob("reference/*/gold.json")
    queries = {
        turn["query"]
        for file in files
        for interaction in json.loads(file.read_text(encoding="utf-8"))
        for turn in interaction["interaction"]
    }
    assert len(queries) > 4_000
    wrappings = ("```sql\n{}\n```", "好的：\n```\n{};\n```\n这条语句查询名称。", "`{}`", "{}\n这条语句查询名称。")

    def plain(sql: str) -> str:
        return re.sub(r"\s+", " ", sql).strip().rstrip("; ")

    changed = [
        (wrapping, query)
        for number, query in enumerate(sorted(queries))
        for wrapping in ("{}", wrappings[number % len(wrappings)])
        if plain(extract_sql(wrapping.replace("{}", query))) != plain(query)
    ]
    assert changed == []


@pytest.mark.parametrize(
    "piece",
    [
        "SELECT (",
        "with x as (",
        "with x as (\n}",
        "SELECT a FROM t WHERE ",
        "'",
        '"',
        "“",
        "[",
        "（",
        "/*",
        "select a,",
        "```",
        "<think>",
        "名称 ",
        "it is so that I select ",
        "SELECT '",
    ],
)
def test_time_grows_with_the_length_alone(piece: str) -> None:
    def seconds(num_chars: int) -> float:
        text = piece * (num_chars // len(piece))
        started = time.perf_counter()
        extract_sql(text)
        return time.perf_counter() - started

    assert min(seconds(10_000) for _ in range(3)) < 1.0  # about 0.2 s for the worst of them on one idle core


def test_a_long_rambling_completion_takes_milliseconds() -> None:
    generator = random.Random(7)
    words = [
        "这条语句",
        "查询",
        "the query",
        "returns",
        "，",
        "。",
        "\n",
        "select",
        "from the table",
        "1.",
        "- ",
        "`城市`",
    ]
    text = "SELECT 名称 FROM 城市\n" + "".join(generator.choice(words) for _ in range(3_000))
    assert len(text) > 10_000
    started = time.perf_counter()
    assert extract_sql(text) == "SELECT 名称 FROM 城市"
    assert time.perf_counter() - started < 1.0
