"""A real database whose names are as awkward as users' own: brackets, full-width signs, spaces, quotes, keywords."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

CREATE = """
CREATE TABLE "公司（总部）" ( -- 上市公司
  "公司 编号" INTEGER PRIMARY KEY,
  "注册资本（万）" DECIMAL(10, 2) NOT NULL, -- 单位：万元
  /* 曾用名也算 */
  "order" text,
  [2018年 营业额] "奇怪,的类型",
  "它说""好""的" VARCHAR(20) COLLATE NOCASE, -- 引号在名字里
  空类型
);
CREATE TABLE "select" (
  "group" INTEGER,
  "公司" INTEGER REFERENCES "公司（总部）",
  `反引号` BLOB,
  PRIMARY KEY ("公司", "group")
) WITHOUT ROWID;
CREATE TABLE 明细 (
  a INTEGER, b INTEGER, rowid TEXT,
  FOREIGN KEY (a, b) REFERENCES "select",
  FOREIGN KEY (a) REFERENCES 不存在的表(id)
);
CREATE VIEW "视图/一" AS SELECT "order" AS 名称, count(*) AS 数量 FROM "公司（总部）" GROUP BY 1;
"""


def write_awkward(path: Path) -> Path:
    """Write the database, with a few rows; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(CREATE)
        connection.executemany(
            'INSERT INTO "公司（总部）" VALUES (?, ?, ?, ?, ?, ?)',
            [
                (2, 1.5, "it's", "2", "乙", None),
                (1, 100, "两\n行和\u2028更多\0尾", 2, "甲", b"\x00\x01"),
                (3, 1.5, "长" * 300, None, "", b"\xff"),
                (4, 2.25, "丁", 3.5, "<|eot_id|>", b"\xff"),
            ],
        )
        connection.executemany('INSERT INTO "select" VALUES (?, ?, ?)', [(7, 1, b"x"), (5, 2, b"y")])
        connection.executemany("INSERT INTO 明细 VALUES (?, ?, ?)", [(1, 7, "z"), (2, 5, "y")])
        connection.commit()
    return path
