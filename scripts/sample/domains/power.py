"""电力公司: Latin names whose meaning is in the comments alone, one of them a keyword."""

from __future__ import annotations

from scripts.sample.model import Domain, Entity, Rel, Rows, cat, day, name, num, script, text, year
from scripts.sample.values import Rng

SCHEMA = """
CREATE TABLE plant ( -- 电厂
    plant_id INTEGER PRIMARY KEY, -- 电厂编号
    plant_name TEXT NOT NULL, -- 电厂名
    province TEXT, -- 省份
    energy TEXT, -- 能源类型：火电、水电、风电、光伏、核电
    built INTEGER, -- 投产年份
    manager TEXT -- 厂长
);
CREATE TABLE unit ( -- 机组
    unit_id INTEGER PRIMARY KEY, -- 机组编号
    unit_name TEXT NOT NULL, -- 机组名
    plant_id INTEGER NOT NULL REFERENCES plant(plant_id), -- 所属电厂
    capacity INTEGER, -- 装机容量，单位：兆瓦
    "check" TEXT, -- 最近检修日期
    status TEXT -- 状态：运行、检修、备用
);
CREATE TABLE output ( -- 日发电量
    output_id INTEGER PRIMARY KEY, -- 记录编号
    unit_id INTEGER NOT NULL REFERENCES unit(unit_id), -- 机组编号
    day TEXT NOT NULL, -- 日期
    mwh REAL, -- 发电量，单位：兆瓦时
    hours REAL -- 运行小时数
);
"""

_PLANTS = [
    ("龙口火电厂", "山东", "火电"), ("胶东火电厂", "山东", "火电"), ("渭河火电厂", "陕西", "火电"),
    ("淮北火电厂", "安徽", "火电"), ("白鹤水电站", "四川", "水电"), ("青衣江水电站", "四川", "水电"),
    ("金沙水电站", "云南", "水电"), ("怒江口水电站", "云南", "水电"), ("清江水电站", "湖北", "水电"),
    ("瓜州风电场", "甘肃", "风电"), ("玉门风电场", "甘肃", "风电"), ("张北风电场", "河北", "风电"),
    ("东海风电场", "浙江", "风电"), ("共和光伏电站", "青海", "光伏"), ("格尔木光伏电站", "青海", "光伏"),
    ("敦煌光伏电站", "甘肃", "光伏"), ("海阳湾核电站", "山东", "核电"), ("象山核电站", "浙江", "核电"),
]  # fmt: skip


def rows(rng: Rng) -> Rows:
    """18 plants, 70 units, 60 days of each unit."""
    built = rng.distinct(18, 1984, 2023)
    people = rng.people(18)
    plants = [
        (i + 1, plant, province, energy, built[i], None if rng.chance(8) else people[i])
        for i, (plant, province, energy) in enumerate(_PLANTS)
    ]
    sizes, checks = rng.distinct(70, 40, 990), rng.days(70, "2023-01-10", "2025-09-20")
    units, numbers = [], [0] * 18
    for i in range(70):
        p = i if i < 18 else min(rng.below(18), rng.below(18) + 2)
        numbers[p] += 1
        state = rng.weighted([("运行", 6), ("检修", 2), ("备用", 2)])
        units.append((i + 1, f"{_PLANTS[p][0][:-3]}{numbers[p]}号机组", p + 1, sizes[i], checks[i], state))
    made = []
    for i, unit in enumerate(units):
        for k in range(60):
            hours = rng.between(20, 240)
            date = f"2025-{7 + k // 30:02d}-{k % 30 + 1:02d}"
            made.append((i * 60 + k + 1, unit[0], date, unit[3] * hours * rng.between(40, 98) // 100 / 10, hours / 10))
    return {"plant": plants, "unit": units, "output": made}


PLANT = Entity(
    "电厂",
    "座",
    name("plant_name", "名称"),
    cat("energy", "能源类型", mod="能源类型是{v}", phrase="{v}{n}", ask="{s}的能源类型{d}是什么", mw="种"),
    cat("province", "省份", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个省份"),
    year("built", "投产", label="投产年份"),
    text("manager", "厂长", ask="{s}的厂长{d}是谁"),
    key="plant_id",
    table="plant",
    rels=(Rel("机组", "plant_id"),),
)
UNIT = Entity(
    "机组",
    "台",
    name("unit_name", "名称"),
    cat("status", "状态", mod="状态为{v}", ask="{s}{d}是什么状态", mw="种"),
    cat("plant_name", "电厂", mod="属于{v}", phrase="{v}的{n}", ask="{s}{d}属于哪座电厂", mw="座", via="plant_id"),
    cat(
        "energy",
        "能源类型",
        mod="能源类型是{v}",
        phrase="{v}{n}",
        ask="{s}的能源类型{d}是什么",
        mw="种",
        via="plant_id",
    ),
    cat("province", "省份", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个省份", via="plant_id"),
    num("capacity", "装机容量", unit="兆瓦", adj="大小", aggs="avg sum", step=50),
    day("check", "检修", label="最近检修日期", ask="{s}最近一次检修{d}是什么时候"),
    key="unit_id",
    table="unit",
    rels=(Rel("发电记录", "unit_id", most="的发电记录最多"),),
)
OUTPUT = Entity(
    "发电记录",
    "条",
    name("output_id", "编号"),
    cat("unit_name", "机组", mod="来自{v}", phrase="{v}的{n}", ask="{s}{d}来自哪台机组", mw="台", via="unit_id"),
    cat(
        "plant_name",
        "电厂",
        mod="来自{v}",
        phrase="{v}的{n}",
        ask="{s}{d}来自哪座电厂",
        mw="座",
        via="unit_id/plant_id",
    ),
    cat("energy", "能源类型", mod="能源类型是{v}", ask="{s}的能源类型{d}是什么", mw="种", via="unit_id/plant_id"),
    num("mwh", "发电量", unit="兆瓦时", adj="多少", aggs="avg sum", step=1000),
    num("hours", "运行小时数", unit="小时", adj="多少", aggs="avg sum", step=2),
    key="output_id",
    table="output",
    lookup=False,
)

_UNITS = "unit AS T1 JOIN plant AS T2 ON T1.plant_id = T2.plant_id"
_MADE = f"output AS T3 JOIN {_UNITS.replace('unit AS T1', 'unit AS T1 ON T3.unit_id = T1.unit_id')}"

SCRIPTS = (
    script(
        (
            "$a的总装机容量是多少？|$a一共装机多少兆瓦？",
            f"SELECT SUM(T1.capacity) FROM {_UNITS} WHERE T2.plant_name = $a",
        ),
        (
            "最大的机组是哪台？|里面最大的一台叫什么？",
            f"SELECT T1.unit_name FROM {_UNITS} WHERE T2.plant_name = $a ORDER BY T1.capacity DESC LIMIT 1",
        ),
        (
            "它现在是什么状态？|这台机组在运行吗？给出状态。",
            f"SELECT T1.status FROM {_UNITS} WHERE T2.plant_name = $a ORDER BY T1.capacity DESC LIMIT 1",
        ),
        (
            "最近一次检修是哪天？|上次什么时候检修的？",
            f'SELECT T1."check" FROM {_UNITS} WHERE T2.plant_name = $a ORDER BY T1.capacity DESC LIMIT 1',
        ),
        binds="SELECT T2.plant_name FROM unit AS T1 JOIN plant AS T2 ON T1.plant_id = T2.plant_id "
        "GROUP BY T2.plant_name "
        "HAVING COUNT(*) >= 3",
    ),
    script(
        (
            "2025年7月$a一共发了多少电？",
            f"SELECT SUM(T3.mwh) FROM {_MADE} WHERE T2.energy = $a AND T3.day LIKE '2025-07%'",
        ),
        ("8月呢？|那8月份呢？", f"SELECT SUM(T3.mwh) FROM {_MADE} WHERE T2.energy = $a AND T3.day LIKE '2025-08%'"),
        ("换成$b。|$b的呢？", f"SELECT SUM(T3.mwh) FROM {_MADE} WHERE T2.energy = $b AND T3.day LIKE '2025-08%'"),
        (
            "各类能源都列出来，从多到少。|所有能源类型都算一下，按发电量从多到少排。",
            f"SELECT T2.energy, SUM(T3.mwh) FROM {_MADE} WHERE T3.day LIKE '2025-08%' GROUP BY T2.energy "
            "ORDER BY SUM(T3.mwh) DESC",
        ),
        (
            "只看前三类。|只要前三。",
            f"SELECT T2.energy, SUM(T3.mwh) FROM {_MADE} WHERE T3.day LIKE '2025-08%' GROUP BY T2.energy "
            "ORDER BY SUM(T3.mwh) DESC LIMIT 3",
        ),
        binds="VALUES ('火电', '水电'), ('风电', '光伏'), ('核电', '火电'), ('水电', '风电')",
    ),
    script(
        ("现在有多少台机组在检修？|正在检修的机组有几台？", "SELECT COUNT(*) FROM unit WHERE status = '检修'"),
        ("影响了多少兆瓦的装机容量？|它们的装机容量一共多少？", "SELECT SUM(capacity) FROM unit WHERE status = '检修'"),
        ("都属于哪些电厂？不要重复。", f"SELECT DISTINCT T2.plant_name FROM {_UNITS} WHERE T1.status = '检修'"),
        ("备用的有几台？|那备用的呢，有多少台？", "SELECT COUNT(*) FROM unit WHERE status = '备用'"),
    ),
    script(
        ("$a有几座电厂？", "SELECT COUNT(*) FROM plant WHERE province = $a"),
        (
            "分别是什么类型？名称也要。|名称和能源类型列一下。",
            "SELECT plant_name, energy FROM plant WHERE province = $a",
        ),
        (
            "投产最早的是哪座？|哪座最早投产？",
            "SELECT plant_name FROM plant WHERE province = $a ORDER BY built LIMIT 1",
        ),
        ("厂长是谁？|它的厂长叫什么？", "SELECT manager FROM plant WHERE province = $a ORDER BY built LIMIT 1"),
        binds="SELECT province FROM plant GROUP BY province HAVING COUNT(*) >= 2",
    ),
    script(
        (
            "2025年8月1日发电最多的机组是哪台？",
            "SELECT T1.unit_name FROM output AS T3 JOIN unit AS T1 ON T3.unit_id = T1.unit_id "
            "WHERE T3.day = '2025-08-01' ORDER BY T3.mwh DESC LIMIT 1",
        ),
        (
            "第二天呢？|次日呢？",
            "SELECT T1.unit_name FROM output AS T3 JOIN unit AS T1 ON T3.unit_id = T1.unit_id "
            "WHERE T3.day = '2025-08-02' ORDER BY T3.mwh DESC LIMIT 1",
        ),
        ("发了多少？|发电量是多少兆瓦时？", "SELECT MAX(mwh) FROM output WHERE day = '2025-08-02'"),
        ("那天所有机组一共发了多少？|当天的总量呢？", "SELECT SUM(mwh) FROM output WHERE day = '2025-08-02'"),
    ),
)

DOMAIN = Domain("电力公司", "train", SCHEMA, rows, (PLANT, UNIT, OUTPUT), SCRIPTS)
