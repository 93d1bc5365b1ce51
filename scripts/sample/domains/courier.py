"""快递物流: branches, couriers, parcels; `from` and `to` as names, two foreign keys to one table."""

from __future__ import annotations

from scripts.sample.model import Domain, Entity, Rel, Rows, cat, day, name, num, script, text, year
from scripts.sample.values import CITIES, Rng

SCHEMA = """
CREATE TABLE 网点 (
    网点号 INTEGER PRIMARY KEY,
    网点名 TEXT NOT NULL,
    城市 TEXT NOT NULL,
    类型 TEXT, -- 直营、加盟
    "面积㎡" INTEGER,
    开业年份 INTEGER,
    站长 TEXT
);
CREATE TABLE 快递员 (
    工号 TEXT PRIMARY KEY,
    姓名 TEXT NOT NULL,
    网点号 INTEGER NOT NULL REFERENCES 网点(网点号),
    车型 TEXT, -- 电动三轮、面包车、摩托车
    入职年份 INTEGER,
    月薪 INTEGER,
    "好评率(%)" REAL
);
CREATE TABLE 运单 (
    运单号 TEXT PRIMARY KEY,
    "from" INTEGER NOT NULL REFERENCES 网点(网点号), -- 发件网点
    "to" INTEGER NOT NULL REFERENCES 网点(网点号), -- 收件网点
    派件员 TEXT REFERENCES 快递员(工号), -- 还没有派件则为空
    物品类型 TEXT,
    "重量（kg）" REAL,
    运费 REAL,
    寄件日期 TEXT,
    状态 TEXT -- 已签收、运输中、已退回
);
"""


def rows(rng: Rng) -> Rows:
    """24 branches, 150 couriers, 5,000 parcels."""
    spots = ["城东", "城西", "开发区", "大学城", "火车站", "老街"]
    areas, opened = rng.distinct(24, 60, 900), rng.distinct(24, 1998, 2024)
    people = rng.people(174)
    branches = []
    for i in range(24):
        city = CITIES[i % 10 if i < 20 else i % 4][0]
        kind = rng.weighted([("直营", 5), ("加盟", 4)])
        branches.append((i + 1, f"{city}{spots[i // 10 * 2 + i % 2]}网点", city, kind, areas[i], opened[i], people[i]))
    pay, praise = rng.distinct(150, 4200, 12800), rng.distinct(150, 8200, 9990)
    couriers = [
        (
            f"K{i + 1:03d}",
            people[24 + i],
            i % 24 + 1 if i < 24 else min(rng.below(24), rng.below(24) + 2) + 1,
            rng.weighted([("电动三轮", 6), ("面包车", 3), ("摩托车", 2)]),
            rng.between(2010, 2025),
            pay[i],
            praise[i] / 100,
        )
        for i in range(150)
    ]
    by_branch: dict[int, list[str]] = {}
    for courier in couriers:
        by_branch.setdefault(courier[2], []).append(courier[0])
    parcels = []
    for i in range(5000):
        start, end = min(rng.below(24), rng.below(24)) + 1, rng.between(1, 24)
        state = rng.weighted([("已签收", 16), ("运输中", 3), ("已退回", 1)])
        weight = rng.between(1, 300) if rng.chance(80) else rng.between(300, 1200)
        parcels.append(
            (
                f"YD{2025000000 + i * 7 + rng.below(7)}",
                start,
                end,
                None if state == "运输中" else rng.pick(by_branch[end]),
                rng.weighted([("文件", 3), ("服装", 5), ("食品", 4), ("电子产品", 3), ("家具", 1), ("其他", 1)]),
                weight / 10,
                (80 + weight * 12 // 10 + rng.below(60)) / 10,
                rng.day("2025-06-01", "2025-08-31"),
                state,
            )
        )
    return {"网点": branches, "快递员": couriers, "运单": parcels}


BRANCH = Entity(
    "网点",
    "个",
    name("网点名"),
    cat("城市", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个城市"),
    cat("类型", mod="类型是{v}", phrase="{v}{n}", ask="{s}{d}是什么类型", mw="种"),
    num("面积㎡", "面积", unit="平方米", adj="大小", aggs="avg sum", step=50),
    year("开业年份", "开业"),
    text("站长", ask="{s}的站长{d}是谁"),
    key="网点号",
    rels=(
        Rel("快递员", "网点号"),
        Rel("运单", "from", verb="发出了", most="发出的运单最多"),
        Rel("运单", "to", verb="收到了", most="收到的运单最多"),
    ),
)
COURIER = Entity(
    "快递员",
    "名",
    name("姓名"),
    cat("车型", mod="开{v}", ask="{s}{d}开什么车", mw="种"),
    cat("网点名", "网点", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个网点", via="网点号"),
    cat("城市", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个城市", via="网点号"),
    num("月薪", unit="元", step=500),
    num("好评率(%)", "好评率", unit="%"),
    year("入职年份", "入职"),
    text("工号", ask="{s}的工号{d}是多少"),
    key="工号",
    person=True,
    rels=(Rel("运单", "派件员", verb="派送了", most="派送的运单最多"),),
)
PARCEL = Entity(
    "运单",
    "张",
    name("运单号"),
    cat("状态", mod="状态为{v}", phrase="{v}的{n}", ask="{s}{d}是什么状态", mw="种"),
    cat("物品类型", mod="物品类型是{v}", short="{v}", phrase="寄{v}的{n}", ask="{s}寄的{d}是什么", mw="种"),
    cat("城市", "发件城市", mod="从{v}发出", phrase="从{v}发出的{n}", ask="{s}{d}是从哪个城市发出的", via="from"),
    cat("城市", "收件城市", mod="寄往{v}", short="寄往{v}", phrase="寄往{v}的{n}", ask="{s}{d}寄往哪个城市", via="to"),
    cat("网点名", "发件网点", mod="由{v}发出", ask="{s}{d}是哪个网点发出的", via="from"),
    num("重量（kg）", "重量", unit="公斤", adj="大小", also=("最重", "最轻"), aggs="avg sum", step=5),
    num("运费", unit="元", also=("运费最贵", "运费最便宜"), aggs="avg sum", step=5),
    day("寄件日期", "寄出"),
    key="运单号",
)

_OUT = '运单 AS T1 JOIN 网点 AS T2 ON T1."from" = T2.网点号'
_ROUTE = f'{_OUT} JOIN 网点 AS T3 ON T1."to" = T3.网点号'
_STAFF = "快递员 AS T1 JOIN 网点 AS T2 ON T1.网点号 = T2.网点号"
_BY = "运单 AS T1 JOIN 快递员 AS T2 ON T1.派件员 = T2.工号"

SCRIPTS = (
    script(
        (
            "从$a寄到$b的运单有多少张？|$a发往$b的快递有多少单？",
            f"SELECT COUNT(*) FROM {_ROUTE} WHERE T2.城市 = $a AND T3.城市 = $b",
        ),
        ("反过来呢？|那反方向呢？", f"SELECT COUNT(*) FROM {_ROUTE} WHERE T2.城市 = $b AND T3.城市 = $a"),
        (
            "平均运费是多少？|这些的平均运费呢？",
            f"SELECT AVG(T1.运费) FROM {_ROUTE} WHERE T2.城市 = $b AND T3.城市 = $a",
        ),
        (
            "最重的一单运单号是多少？|里面最重的是哪一单？给我运单号。",
            f'SELECT T1.运单号 FROM {_ROUTE} WHERE T2.城市 = $b AND T3.城市 = $a ORDER BY T1."重量（kg）" DESC LIMIT 1',
        ),
        binds="SELECT DISTINCT A.城市, B.城市 FROM 网点 AS A JOIN 网点 AS B ON A.城市 < B.城市",
    ),
    script(
        ("我的快递$a到哪了？是什么状态？|帮我查运单$a的状态。", "SELECT 状态 FROM 运单 WHERE 运单号 = $a"),
        ("谁派的件？|派件员是谁？", f"SELECT T2.姓名 FROM {_BY} WHERE T1.运单号 = $a"),
        ("他的好评率怎么样？|他的好评率是多少？", f'SELECT T2."好评率(%)" FROM {_BY} WHERE T1.运单号 = $a'),
        ("这单运费多少？|运费呢？", "SELECT 运费 FROM 运单 WHERE 运单号 = $a"),
        binds="SELECT 运单号 FROM 运单 WHERE 派件员 IS NOT NULL AND 寄件日期 = '2025-07-15'",
    ),
    script(
        ("$a的快递员有几名？", f"SELECT COUNT(*) FROM {_STAFF} WHERE T2.网点名 = $a"),
        (
            "好评率最高的是谁？",
            f'SELECT T1.姓名 FROM {_STAFF} WHERE T2.网点名 = $a ORDER BY T1."好评率(%)" DESC LIMIT 1',
        ),
        (
            "他派送了多少单？|这位快递员一共派了多少张运单？",
            f"SELECT COUNT(*) FROM 运单 WHERE 派件员 = (SELECT T1.工号 FROM {_STAFF} WHERE T2.网点名 = $a "
            'ORDER BY T1."好评率(%)" DESC LIMIT 1)',
        ),
        (
            "最低的呢？派了多少单？|好评率最低的那位派了多少？",
            f"SELECT COUNT(*) FROM 运单 WHERE 派件员 = (SELECT T1.工号 FROM {_STAFF} WHERE T2.网点名 = $a "
            'ORDER BY T1."好评率(%)" LIMIT 1)',
        ),
        binds="SELECT T2.网点名 FROM 快递员 AS T1 JOIN 网点 AS T2 ON T1.网点号 = T2.网点号 GROUP BY T2.网点名 "
        "HAVING COUNT(*) >= 3",
    ),
    script(
        ("2025年$a寄出了多少单？", "SELECT COUNT(*) FROM 运单 WHERE 寄件日期 LIKE $b"),
        ("被退回的有几单？|其中退回的呢？", "SELECT COUNT(*) FROM 运单 WHERE 寄件日期 LIKE $b AND 状态 = '已退回'"),
        (
            "退回的都是什么物品？各多少单？|按物品类型分一下。",
            "SELECT 物品类型, COUNT(*) FROM 运单 WHERE 寄件日期 LIKE $b AND 状态 = '已退回' GROUP BY 物品类型",
        ),
        (
            "还在路上的呢？|运输中的也这样分一下。",
            "SELECT 物品类型, COUNT(*) FROM 运单 WHERE 寄件日期 LIKE $b AND 状态 = '运输中' GROUP BY 物品类型",
        ),
        binds="VALUES ('6月', '2025-06%'), ('7月', '2025-07%'), ('8月', '2025-08%')",
    ),
    script(
        ("还没有派件的运单有多少张？|没有派件员的运单有几张？", "SELECT COUNT(*) FROM 运单 WHERE 派件员 IS NULL"),
        (
            "哪个城市寄出的最多？|其中从哪个城市发出的最多？",
            f"SELECT T2.城市 FROM {_OUT} WHERE T1.派件员 IS NULL GROUP BY T2.城市 ORDER BY COUNT(*) DESC LIMIT 1",
        ),
        (
            "有多少张？|具体多少？",
            f"SELECT COUNT(*) FROM {_OUT} WHERE T1.派件员 IS NULL GROUP BY T2.城市 ORDER BY COUNT(*) DESC LIMIT 1",
        ),
    ),
    script(
        ("重量超过$a公斤的运单有多少？", 'SELECT COUNT(*) FROM 运单 WHERE "重量（kg）" > $a'),
        (
            "家具占多少？|其中家具有多少单？",
            "SELECT COUNT(*) FROM 运单 WHERE \"重量（kg）\" > $a AND 物品类型 = '家具'",
        ),
        (
            "总运费多少钱？|这些家具的总运费是多少？",
            "SELECT SUM(运费) FROM 运单 WHERE \"重量（kg）\" > $a AND 物品类型 = '家具'",
        ),
        ("服装呢？|换成服装。", "SELECT SUM(运费) FROM 运单 WHERE \"重量（kg）\" > $a AND 物品类型 = '服装'"),
        binds="VALUES (20), (30), (40), (50)",
    ),
)

DOMAIN = Domain("快递物流", "test", SCHEMA, rows, (BRANCH, COURIER, PARCEL), SCRIPTS)
