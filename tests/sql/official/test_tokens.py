"""How SQL is cut; the rules are those of nltk's word_tokenize, which the official program calls."""

from __future__ import annotations

import re
from random import Random

import pytest

from t2s.sql.official.rejection import Rejected
from t2s.sql.official.tokens import Token, tokenize


def written(token: Token) -> str:
    """A word as it is, a quoted name as <name> or <table.name>, a value as 'value', anything else as ?."""
    if token.word:
        return token.word
    if token.names is not None:
        return "<" + ".".join(token.names) + ">"
    return "?" if token.value is None else f"'{token.value}'"


def cut(sql: str, *, quotes_any_name: bool = True) -> str:
    return " ".join(map(written, tokenize(sql, quotes_any_name=quotes_any_name)))


@pytest.mark.parametrize(
    ("sql", "tokens"),
    [
        ("SELECT T1.Name,count(*) FROM t;", "select t1.name , count ( * ) from t ;"),
        ("a > 1 and a>1", "a > 1 and a > 1"),
        ("a = 1 and b=1", "a = 1 and b=1"),
        ("a >= 1, a > = 1, a>=1", "a >= 1 , a >= 1 , a > =1"),
        ("a != 1 ! = 2 <> 3", "a != 1 != 2 < > 3"),
        ("a+b - c", "a+b - c"),
        ("a--b", "a -- b"),
        ("x=(select 1)=2", "x= ( select 1 ) =2"),
        ("limit 1,2", "limit 1,2"),
        ("t1.*, 1.5 ,-3", "t1. * , 1.5 , -3"),
        ("order by name.", "order by name ."),
        ("count(*).", "count ( * ) ."),
        ("f(name.)", "f ( name . )"),
        ("名称,人口", "名称 , 人口"),
        ("名称,2018年利润,24h降雨量", "名称 , 2018年利润 , 24h降雨量"),
        ("T1.注册资本（万） 总部·城市 “别名” 年、月", "t1.注册资本（万） 总部·城市 “别名” 年、月"),
        ("SELECT　书名　FROM\u00a0图书", "select 书名 from 图书"),
        ("x = 'Ａ;B' and y = '北京 (市), 1'", "x = 'Ａ;B' and y = '北京 (市), 1'"),
        ("'' and ''", "'' and ''"),
    ],
)
def test_words_are_cut_where_the_official_program_cuts_them(sql: str, tokens: str) -> None:
    assert cut(sql) == tokens


@pytest.mark.parametrize(
    ("sql", "tokens"),
    [
        ('"书名" `书名` [书名]', "<书名> <书名> <书名>"),
        ('T1."注册资本(万)" "T1"."Order" `t`.名 T1.[a b]', "<t1.注册资本(万)> <t1.order> <t.名> <t1.a b>"),
        ('"SELECT" "from"', "<select> <from>"),
        ('"a""b" `a``b`', '<a"b> <a`b>'),
        ('"No.", "金额,万元" "好评率%"', "<no.> , <金额,万元> <好评率%>"),
        ("count(\"书名\")>'3'", "count ( <书名> ) > '3'"),
        ("名=\"x\" \"a\"b \"a\"='b' T1.\"a\".\"b\"", "? ? ? ?"),
        ("'O''Brien' 'say \"x\"'", "? ?"),
        ('"it\'s"', "<it's>"),
    ],
)  # fmt: skip
def test_quoted_names_are_names(sql: str, tokens: str) -> None:
    assert cut(sql) == tokens


def test_plain_words_in_quotes_are_values_where_no_name_is_beyond_ascii() -> None:
    sql = '"name" `name` T1."name" "18_49_Share" "match" "Official Name" [x]'
    assert cut(sql, quotes_any_name=False) == "'name' ? ? <18_49_share> <match> <official name> ?"


def test_a_quoted_piece_keeps_its_text_as_a_value_too() -> None:
    (token,) = tokenize('"New York"', quotes_any_name=True)
    assert (token.names, token.value) == (("new york",), "New York")


@pytest.mark.parametrize("sql", ["x = 'a", 'x = "a', "it's", "a = 'b' c = 'd"])
def test_a_quote_that_nobody_closes_is_rejected(sql: str) -> None:
    with pytest.raises(Rejected, match="odd number of quotes"):
        tokenize(sql, quotes_any_name=True)


def test_ascii_without_quotes_is_cut_as_nltk_cuts_it() -> None:
    word_tokenizer = pytest.importorskip("nltk.tokenize.destructive").NLTKWordTokenizer()
    pieces = (
        "select T1.Name t1. * ( ) , ; = > < >= != ! + - -- / % # 1 2.5 1,2 ,3 :4 : a_b = ? & @ $ [ ] { } | . ~".split()
    )
    random = Random(0)
    for _ in range(3000):
        sql = "".join(random.choice(pieces) + random.choice(("", " ", "  ")) for _ in range(random.randrange(1, 12)))
        if re.search(r"\.\.|\[|[,:][,:]", sql):
            continue  # no SQL, or a quoted name
        wanted: list[str] = []
        for word in word_tokenizer.tokenize(sql.lower()):
            if word == "=" and wanted and wanted[-1] in ("!", ">", "<"):
                wanted[-1] += "="
            else:
                wanted.append(word)
        assert [token.word for token in tokenize(sql, quotes_any_name=False)] == wanted, sql
