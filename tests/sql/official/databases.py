"""Two databases for hand-worked cases, as the official grammar sees them."""

from __future__ import annotations

from t2s.schema import Column, ForeignKey, Schema, Table
from t2s.sql.official.schema import OfficialSchema


def table(name: str, columns: str, *keys: ForeignKey, kind: str = "table") -> Table:
    """A table of columns written `a | b | c`."""
    parts = tuple(Column(name=column, type="TEXT") for column in columns.split(" | "))
    return Table.model_validate({"name": name, "columns": parts, "foreign_keys": keys, "kind": kind})


def key(columns: str, other_table: str, other_columns: str) -> ForeignKey:
    """A foreign key from `a | b` to the other table's `c | d`."""
    return ForeignKey(
        columns=tuple(columns.split(" | ")),
        other_table=other_table,
        other_columns=tuple(other_columns.split(" | ")),
    )


BOOKS = Schema(
    db_id="购书平台",
    tables=(
        table("图书", "图书id | 书名 | 作者 | 类型 | 2018年销量 | 定价（元）"),
        table("平台", "平台id | 平台名 | 成立时间 | 注册资本(万) | Order | 好评率% | 总部·城市 | “别名” | it's"),
        table("电子书", "书名id | 平台id | 售价", key("书名id", "图书", "图书id"), key("平台id", "平台", "平台id")),
        table("投资 记录", "No. | 平台id | 金额,万元"),
        table("热销", "书名", kind="view"),
    ),
)
SINGERS = Schema(
    db_id="singer",
    tables=(
        table("singer", "Singer_ID | Name | Country | Age | 18_49_Share | Match"),
        table("song", "Song_ID | Title | Singer_ID | Sales", key("Singer_ID", "singer", "Singer_ID")),
        table("award", "Singer_ID | Year"),
    ),
)

ZH = OfficialSchema.from_schema(BOOKS)
EN = OfficialSchema.from_schema(SINGERS)
