"""A small Chinese database with names of every awkward kind, for tests of clauses and what is told from them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from t2s.dataset.sqlite_schema import read_schema
from t2s.schema import Schema

SCRIPT = """
CREATE TABLE 公司 (
    id INTEGER PRIMARY KEY, 名称 TEXT NOT NULL, 城市 TEXT, "注册资本（万）" REAL, "2018年利润" REAL,
    上级id INTEGER REFERENCES 公司(id)
);
CREATE TABLE 员工 (
    工号 INTEGER PRIMARY KEY, 姓名 TEXT, 公司id INTEGER REFERENCES 公司(id), 年龄 INTEGER, 性别 TEXT, "入职 日期" TEXT
);
CREATE TABLE 城市 (名称 TEXT, 省份 TEXT, 人口 INTEGER);
CREATE TABLE "order" ("key" INTEGER, "group" TEXT, 公司id INTEGER, "a""b" INTEGER);
INSERT INTO 公司 VALUES
    (1, '百度', '北京', 100.5, 12, NULL), (2, '腾讯', '深圳', 800, NULL, 1), (3, '阿里', '杭州', 500, 40, 1),
    (4, '小度', '北京', 30, 2, 3), (5, '无名', NULL, NULL, NULL, NULL);
INSERT INTO 员工 VALUES
    (11, '张三', 1, 30, '男', '2018-01-02'), (12, '李四', 1, 41, '女', '2019-05-06'), (13, '王五', 2, 30, '男', NULL),
    (14, '赵六', 3, NULL, '女', '2018-12-31'), (15, '钱七', NULL, 55, NULL, '2020-02-29'),
    (16, '孙八', 3, 41, '男', '2018-01-02');
INSERT INTO 城市 VALUES ('北京', '北京', 2100), ('深圳', '广东', 1300), ('杭州', '浙江', 1000), ('苏州', '江苏', NULL);
INSERT INTO "order" VALUES (1, 'x', 1, 7), (2, 'y', 2, 8), (3, 'x', 2, NULL), (4, NULL, NULL, 9);
"""


class Company(NamedTuple):
    """The database's file and schema, and a way to run our own SQL on it."""

    path: Path
    schema: Schema
    run: Callable[[str], list[tuple[object, ...]]]


def build_company(folder: Path) -> Company:
    """Make the database in a folder."""
    path = folder / "公司.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCRIPT)

    def run(sql: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute(sql).fetchall()

    return Company(path, read_schema(path, "公司"), run)


def in_no_order(rows: list[tuple[object, ...]]) -> list[list[str]]:
    """Rows and columns in an order of their own: what exact set match promises to be equal."""
    return sorted(sorted(map(repr, row)) for row in rows)
