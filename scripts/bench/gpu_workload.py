"""Multi-turn Chinese test sets whose lengths are what a benchmark wants them to be, counted in a model's own tokens.

    folder/
        data.json            the users' layout, gold SQL included; databases in no order
        database/*.sqlite    real ones, with rows; Chinese names, keys, comments
        answers.json         {question: tokens that its answer has}

The shape is that of the probe that DESIGN's figures come from: 10 interactions of 4 turns a database; lengths of the
schema's part log-normal, 15 to 45 tokens a question, 12 to 150 an answer. `Shape.prefix` is what all prompts of a
database begin with: schema and rules. Gold SQL is as long as the answer, so that under `history: gold` prompts grow as
they do with the model's own SQL.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from t2s.prompt import PromptConfig, PromptTemplate
from t2s.schema import Column, ForeignKey, Schema, Table

CountText = Callable[[str], int]
"""Tokens of a plain text."""

NUM_TURNS = 4
QUESTION_TOKENS = (15, 45)
ANSWER_TOKENS = (12, 150)
_NUM_ROWS = 5

_THINGS = (
    "城市 学生 课程 订单 商品 员工 部门 医院 病人 药品 航班 机场 车站 线路 电影 演员 图书 作者 餐厅 菜品 客户 "
    "供应商 仓库 合同 项目 设备 球队 球员 比赛 场馆 银行 账户 贷款 保单 农场 作物 景点 酒店 房间 快递 网点 电站 楼盘 "
    "学校 班级 教师 论文 期刊 博物馆 展品"
).split()
_QUALITIES = (
    "名称 类别 地址 级别 状态 来源 负责人 面积 人口 价格 数量 总额 评分 容量 长度 重量 年份 日期 排名 增长率 占比 "
    "次数 时长 人数 成本 利润 编码 电话 邮箱 备注 品牌 规格 产地 口碑 折扣 库存 销量 预算 收入 支出"
).split()
_SORTS = (
    "主要 历史 年度 平均 最高 最低 上月 本季 预计 实际 国内 海外 线上 线下 首次 最近 累计 标准 特殊 临时 备用 内部 公开"
).split()
_PLACES = "北京 上海 广州 深圳 杭州 成都 武汉 西安 南京 重庆 苏州 天津 长沙 青岛 大连 厦门 昆明 合肥 济南 宁波".split()
_ASKS = "请列出 帮我查一下 我想知道 统计一下 找出 显示 给我看看 其中".split()
_COMPARES = "大于 小于 不等于 不低于 不超过".split()


class Shape(NamedTuple):
    """How long the common part of a database's prompts is: `median` tokens, log-normal with `sigma`, at most `most`."""

    median: float
    sigma: float
    most: int


SHAPES = {"short": Shape(400, 0.3, 1000), "probe": Shape(812, 0.5, 3000), "long": Shape(2200, 0.35, 4500)}
"""By name; `probe` is exp(6.7) as in the probe."""


class Workload(NamedTuple):
    """What was written; `answers`: question -> tokens of its answer; `prefix_tokens`: of each database."""

    folder: Path
    num_interactions: int
    answers: dict[str, int]
    prefix_tokens: dict[str, int]

    @property
    def dataset(self) -> Path:
        """The JSON file."""
        return self.folder / "data.json"


def write_workload(
    folder: Path,
    shape: Shape,
    num_interactions: int,
    count: CountText,
    *,
    interactions_per_database: int = 10,
    longest_answer: int = ANSWER_TOKENS[1],
    seed: int = 0,
) -> Workload:
    """Write a test set; the same arguments and tokenizer give the same bytes of JSON.

    Args:
        folder: Made if need be.
        shape: Of the common part.
        num_interactions: Of four turns each.
        count: The model's tokens of a text.
        interactions_per_database: As in the probe.
        longest_answer: Tokens; shorter than the probe's for small machines.
        seed: Of everything.
    """
    rng = random.Random(f"{seed}/{shape}")
    template = PromptTemplate(PromptConfig())
    (folder / "database").mkdir(parents=True, exist_ok=True)
    entries: list[dict[str, object]] = []
    answers: dict[str, int] = {}
    prefix_tokens: dict[str, int] = {}
    while len(entries) < num_interactions:
        number = len(prefix_tokens)
        wanted = min(shape.most, int(shape.median * rng.lognormvariate(0, shape.sigma)))
        schema = _schema(f"{_THINGS[number % len(_THINGS)]}库{number:03d}", wanted, template, count, rng)
        _write_database(folder / "database" / f"{schema.db_id}.sqlite", schema)
        prefix_tokens[schema.db_id] = count(template.system(template.schema_text(schema)))
        for _ in range(min(interactions_per_database, num_interactions - len(entries))):
            turns = []
            for turn in range(NUM_TURNS):
                serial = len(entries) * NUM_TURNS + turn
                num_tokens = max(ANSWER_TOKENS[0], min(longest_answer, int(rng.lognormvariate(3.7, 0.5))))
                question = _question(serial, schema, rng.randint(*QUESTION_TOKENS), count, rng)
                answers[question] = num_tokens
                query = _sql(schema, num_tokens, count, rng)
                turns.append({"question_id": f"q{serial:06d}", "question": question, "query": query})
            entries.append({"db_list": [schema.db_id], "interaction": turns})
    rng.shuffle(entries)
    (folder / "data.json").write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    (folder / "answers.json").write_text(json.dumps(answers, ensure_ascii=False), encoding="utf-8")
    return Workload(folder, len(entries), answers, prefix_tokens)


def _schema(db_id: str, wanted: int, template: PromptTemplate, count: CountText, rng: random.Random) -> Schema:
    """A schema whose system message has `wanted` tokens or a few less, but at least one table."""
    tables: list[Table] = []
    names = _table_names(rng)

    def tokens(found: list[Table]) -> int:
        return count(template.system(template.schema_text(Schema(db_id=db_id, tables=tuple(found)))))

    # Lines are counted alone and added up; only near the end is the whole counted.
    estimate = count(template.system(""))
    while not tables or estimate < wanted:
        table, spent = _table(next(names), tables, wanted - estimate, template, count, rng)
        tables.append(table)
        estimate += spent
    while tokens(tables) > wanted and (shorter := _without_last_column(tables)):
        tables = shorter
    while tokens(longer := [*tables[:-1], _with_column(tables[-1], rng)]) <= wanted:
        tables = longer
    return Schema(db_id=db_id, tables=tuple(tables))


def _table(
    name: str, others: list[Table], left: int, template: PromptTemplate, count: CountText, rng: random.Random
) -> tuple[Table, int]:
    """A table of 4 to 12 columns, of fewer where `left` tokens are filled before; and about what it adds."""
    key = Column(name=f"{name}编号", type="INTEGER", primary_key=1, examples=tuple(range(1, 4)))
    table = Table(name=name, columns=(key,), comment=f"{rng.choice(_SORTS)}{name}" if rng.random() < 0.3 else "")
    if others and rng.random() < 0.7:
        other = rng.choice(others)
        link = Column(name=f"所属{other.columns[0].name}", type="INTEGER", examples=(1, 2, 3))
        reference = ForeignKey(columns=(link.name,), other_table=other.name, other_columns=(other.columns[0].name,))
        table = table.model_copy(update={"columns": (key, link), "foreign_keys": (reference,)})
    for _ in range(rng.randint(4, 12)):
        table = _with_column(table, rng)
        spent = count(template.schema_text(Schema(db_id="", tables=(table,)))) + 1
        if spent >= left:
            break
    return table, spent


def _table_names(rng: random.Random) -> Iterator[str]:
    names = [*_THINGS, *(sort + thing for sort in _SORTS for thing in _THINGS)]
    rng.shuffle(names)
    return iter(names)


def _with_column(table: Table, rng: random.Random) -> Table:
    taken = {column.name for column in table.columns}
    while (name := rng.choice(_SORTS) * (rng.random() < 0.6) + rng.choice(_QUALITIES)) in taken:
        pass
    kind = rng.choice(("TEXT", "INTEGER", "REAL"))
    # As many different values as a prompt shows, so that rows do not change it.
    examples: tuple[str | int | float, ...] = tuple(rng.sample(range(10, 9999), 3))
    if kind == "TEXT":
        examples = tuple(place + rng.choice(_QUALITIES) for place in rng.sample(_PLACES, 3))
    if kind == "REAL":
        examples = tuple(round(value / 7, 1) for value in rng.sample(range(10, 9999), 3))
    comment = f"按{rng.choice(_SORTS)}口径" if rng.random() < 0.2 else ""
    column = Column(name=name, type=kind, comment=comment, examples=examples)
    return table.model_copy(update={"columns": (*table.columns, column)})


def _without_last_column(tables: list[Table]) -> list[Table] | None:
    last = tables[-1]
    if len(last.columns) > 3:
        return [*tables[:-1], last.model_copy(update={"columns": last.columns[:-1]})]
    return tables[:-1] or None


def _write_database(path: Path, schema: Schema) -> None:
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        for table in schema.tables:
            links = {key.columns[0]: key for key in table.foreign_keys}
            lines = []
            for number, column in enumerate(table.columns, start=1):
                link = links.get(column.name)
                line = f'"{column.name}" {column.type}{" PRIMARY KEY" if column.primary_key else ""}'
                line += f' REFERENCES "{link.other_table}"("{link.other_columns[0]}")' if link else ""
                line += "," if number < len(table.columns) else ""
                lines.append(line + (f" -- {column.comment}" if column.comment else ""))
            comment = f" -- {table.comment}" if table.comment else ""
            connection.execute(f'CREATE TABLE "{table.name}" ({comment}\n' + "\n".join(lines) + "\n)")
            rows = [
                [row + 1 if column.primary_key else column.examples[row % 3] for column in table.columns]
                for row in range(_NUM_ROWS)
            ]
            marks = ", ".join("?" * len(table.columns))
            connection.executemany(f'INSERT INTO "{table.name}" VALUES ({marks})', rows)
        connection.commit()


def _question(serial: int, schema: Schema, wanted: int, count: CountText, rng: random.Random) -> str:
    """A question of at most `wanted` tokens, two or three less at times; the serial number makes it the only one."""
    head = text = f"{rng.choice(_ASKS)}编号{serial}"
    while count(text) < wanted:
        table = rng.choice(schema.tables)
        names = [column.name for column in table.columns]
        text += f"，{rng.choice(names)}{rng.choice(_COMPARES)}{rng.randint(1, 999)}的{table.name}的{rng.choice(names)}"
    while len(text) > len(head) and count(text + "？") > wanted:
        text = text[:-1]
    return text.rstrip("，") + "？"


def _sql(schema: Schema, wanted: int, count: CountText, rng: random.Random) -> str:
    """A query that runs, of `wanted` tokens or a condition's less."""
    table = rng.choice(schema.tables)
    names = [column.name for column in table.columns]
    sql = f"select count(*) from {table.name}"
    word = "where"
    while True:
        longer = f"{sql} {word} {rng.choice(names)} {rng.choice('<>=')} {rng.randint(1, 999)}"
        if count(longer) > wanted:
            return sql
        sql, word = longer, "and"
