from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.sql.tokens import normalise_full_width, tokens


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("SELECT　名称，人口　FROM　城市；", "SELECT 名称,人口 FROM 城市;"),
        ("COUNT（＊）", "COUNT(*)"),
        ("人口＞１００ AND 人口≥３ OR x！＝２ AND y≠1", "人口>100 AND 人口>=3 OR x!=2 AND y<>1"),
        ("T1．名称＝‘北京’", "T1.名称='北京'"),
        ("WHERE a = ”北京”", "WHERE a = \"北京\""),
        ("a ＋ b － c ／ d ％ 2 ｜｜ e", "a + b - c / d % 2 || e"),
        ("类型 IN（'a'，'b'）", "类型 IN('a','b')"),
        ("（SELECT max（年龄） FROM 人）", "(SELECT max(年龄) FROM 人)"),
        ("student\\_id", "student_id"),
    ],
)  # fmt: skip
def test_full_width_signs_become_what_they_mean(written: str, meant: str) -> None:
    assert normalise_full_width(written) == meant


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT '，；（）＝　１“”' FROM t",
        'SELECT "，；（）＝　" FROM t',
        "SELECT `a，b`, [c；d] FROM t",
        "SELECT 1 /* ，； */ -- （）",
        "SELECT 注册资本（万）, GDP（亿元）, 面积（平方公里）2020年 FROM 公司",
        "SELECT 收入－支出, 占比％, 比分：主队, 省、市 FROM t",
        "SELECT １号线 FROM t",
        "SELECT 'it''s，' FROM t",
        "SELECT '，",
    ],
)
def test_literals_quoted_names_comments_and_bare_names_stay(sql: str) -> None:
    assert normalise_full_width(sql) == sql


def test_a_bracket_belongs_to_a_name_but_not_to_a_function_or_a_keyword() -> None:
    assert normalise_full_width("max（注册资本（万））") == "max(注册资本（万）)"
    assert normalise_full_width("WHERE（a = 1）") == "WHERE(a = 1)"
    assert normalise_full_width("名称 （a）") == "名称 (a)"


@pytest.mark.parametrize("name", ["注册资本（万）", "收入－支出", "占比％", "GDP（亿元）", "比分：主队"])
def test_the_names_that_stay_are_names_to_sqlite(name: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute(f'CREATE TABLE 公司 ("{name}" REAL)')
    connection.execute("INSERT INTO 公司 VALUES (5)")
    sql = normalise_full_width(f"SELECT　MAX（{name}） FROM　公司")
    assert connection.execute(sql).fetchall() == [(5,)]
    connection.close()


@given(st.text(st.sampled_from("aF1 '\"`[]“”‘’（），；＝\n-/*#\\_。<|北京．１＊")))
def test_tokens_cover_the_text_without_a_gap(text: str) -> None:
    position = 0
    for token in tokens(text):
        assert token.start == position < token.end
        position = token.end
    assert position == len(text)


@given(st.text(st.sampled_from("aF1 '\"（），；＝\n北京１＊≥")))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normalise_full_width(text)
    assert normalise_full_width(once) == once
