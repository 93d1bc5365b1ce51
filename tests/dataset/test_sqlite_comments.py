from __future__ import annotations

import pytest

from t2s.dataset.sqlite_comments import Comments, read_comments


@pytest.mark.parametrize(
    ("create_sql", "wanted"),
    [
        ("CREATE TABLE t (a TEXT, b TEXT)", Comments("", {})),
        ("CREATE TABLE t (a TEXT, -- 甲\n b TEXT -- 乙\n)", Comments("", {"a": "甲", "b": "乙"})),
        ("CREATE TABLE t ( -- 表\n a TEXT\n -- 甲\n, b TEXT)", Comments("表", {"a": "甲"})),
        ("CREATE TABLE t -- 表\n(\n -- 甲\n a TEXT,\n -- 乙\n -- 还是乙\n b TEXT)",
         Comments("表", {"a": "甲", "b": "乙 还是乙"})),
        ("CREATE TABLE t (/* 甲 */ a TEXT, /* 乙 */ b TEXT /* 又 */)", Comments("", {"a": "甲", "b": "乙 又"})),
        ("CREATE TABLE t (a TEXT, /* 甲\n * 两行 */\n b TEXT)", Comments("", {"a": "甲 * 两行"})),
        ("CREATE TABLE t (a TEXT) /* 表 */", Comments("表", {})),
        ("CREATE TABLE t (a TEXT\n -- 最后\n)", Comments("最后", {})),
        ("CREATE TABLE t (a DECIMAL(10, -- 位数\n 2), b TEXT)", Comments("", {"a": "位数"})),
        ("CREATE TABLE t (\"a -- b\" TEXT DEFAULT '-- x', c TEXT)", Comments("", {})),
        ('CREATE TABLE t ("它说""好" TEXT, -- 甲\n [b ] TEXT, -- 乙\n `c``` TEXT -- 丙\n)',
         Comments("", {'它说"好': "甲", "b ": "乙", "c`": "丙"})),
        ("CREATE TABLE t (Aa TEXT, -- 甲\n PRIMARY KEY (Aa) -- 键\n)", Comments("", {"aa": "甲", "primary": "键"})),
        ("CREATE TABLE t (a TEXT -- 只有一列\n", Comments("", {"a": "只有一列"})),
        ("CREATE TABLE t (a TEXT, /* 没有结束", Comments("", {"a": "没有结束"})),
        ("CREATE TABLE t (a TEXT, ---- 甲 ----\n b TEXT --\n)", Comments("", {"a": "甲"})),
    ],
)  # fmt: skip
def test_a_comment_belongs_to_what_it_stands_behind_or_before(create_sql: str, wanted: Comments) -> None:
    assert read_comments(create_sql) == wanted
