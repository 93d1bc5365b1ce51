"""农场种植: fields, crops, sowings, machines; brackets and a slash in names."""

from __future__ import annotations

from scripts.sample.model import Domain, Entity, Rel, Rows, cat, name, num, script, text, year
from scripts.sample.values import Rng

SCHEMA = """
CREATE TABLE 地块 (
    地块号 TEXT PRIMARY KEY,
    地块名 TEXT NOT NULL,
    "面积（亩）" INTEGER NOT NULL,
    土壤类型 TEXT, -- 黑土、壤土、沙土、黏土
    灌溉方式 TEXT,
    负责人 TEXT
);
CREATE TABLE 作物 (
    作物ID INTEGER PRIMARY KEY,
    作物名 TEXT NOT NULL,
    类别 TEXT, -- 粮食、蔬菜、水果、油料
    "生长期(天)" INTEGER,
    "收购价(元/公斤)" REAL
);
CREATE TABLE 种植 (
    种植ID INTEGER PRIMARY KEY,
    地块号 TEXT NOT NULL REFERENCES 地块(地块号),
    作物ID INTEGER NOT NULL REFERENCES 作物(作物ID),
    年份 INTEGER NOT NULL,
    季节 TEXT,
    "亩产(公斤/亩)" INTEGER, -- 绝收则为空
    施肥次数 INTEGER
);
CREATE TABLE 农机 (
    农机号 INTEGER PRIMARY KEY,
    农机名 TEXT NOT NULL,
    种类 TEXT,
    购入年份 INTEGER,
    "价格（万元）" REAL,
    状态 TEXT -- 在用、维修、停用
);
"""

_FIELDS = ["东坡地", "河湾田", "老槐树田", "南洼地", "北岗地", "西沟田", "水库边", "大路口", "红砖窑地", "果园坡",
           "柳树沟", "王家坟地", "沙河滩", "新开荒地", "中心田", "砖厂后地", "小桥头", "长垄地", "月牙地", "井边田",
           "石碑地", "南大棚", "北大棚", "试验田A区", "试验田B区", "村口地"]  # fmt: skip
_CROPS = {
    "粮食": ["冬小麦", "玉米", "水稻", "谷子", "高粱", "红薯"],
    "蔬菜": ["白菜", "西红柿", "黄瓜", "茄子", "土豆", "萝卜"],
    "水果": ["西瓜", "草莓", "葡萄", "苹果"],
    "油料": ["大豆", "花生", "油菜", "芝麻"],
}
_MACHINES = {
    "拖拉机": ["铁牛904", "丰收宝1204", "青山拖拉机", "小铁牛"],
    "收割机": ["金穗收割机", "谷神4号", "玉米收割机"],
    "播种机": ["精量播种机", "免耕播种机", "花生播种机"],
    "植保机": ["“飞燕”无人机", "自走式喷药机", "背负式喷雾器"],
    "灌溉设备": ["移动喷灌机", "滴灌泵组", "柴油抽水机"],
}


def rows(rng: Rng) -> Rows:
    """26 fields, 20 crops, 1,560 sowings of ten years, 16 machines."""
    areas = rng.distinct(26, 4, 180)
    people = rng.people(9)
    fields = [
        (
            f"D{i + 1:02d}",
            field,
            areas[i],
            rng.pick(["黑土", "壤土", "壤土", "沙土", "黏土"]),
            rng.weighted([("漫灌", 3), ("滴灌", 3), ("喷灌", 2), ("无", 1)]),
            None if rng.chance(10) else rng.pick(people),
        )
        for i, field in enumerate(_FIELDS)
    ]
    kinds = [(kind, crop) for kind, crops in _CROPS.items() for crop in crops]
    days, prices = rng.distinct(20, 35, 240), rng.distinct(20, 12, 260)
    crops = [(i + 1, crop, kind, days[i], prices[i] / 10) for i, (kind, crop) in enumerate(kinds)]
    sown = []
    for i in range(1560):
        crop = min(rng.below(20), rng.below(20) + 2)
        base = {"粮食": 520, "蔬菜": 2600, "水果": 1900, "油料": 230}[kinds[crop][0]]
        yielded = None if rng.chance(2) else base * rng.bell(55, 140) // 100
        plot, season = fields[i % 26][0], ["春", "秋"][i // 26 % 2]
        sown.append((i + 1, plot, crop + 1, 2016 + i // 52 % 10, season, yielded, rng.bell(0, 6)))
    machine_names = [(kind, machine) for kind, machines in _MACHINES.items() for machine in machines]
    costs, bought = rng.distinct(16, 3, 420), [rng.between(2009, 2025) for _ in range(16)]
    machines = [
        (i + 1, machine, kind, bought[i], costs[i] / 10, rng.weighted([("在用", 5), ("维修", 2), ("停用", 1)]))
        for i, (kind, machine) in enumerate(machine_names)
    ]
    return {"地块": fields, "作物": crops, "种植": sown, "农机": machines}


FIELD = Entity(
    "地块",
    "块",
    name("地块名"),
    cat("土壤类型", mod="土壤类型是{v}", short="{v}", phrase="{v}{n}", ask="{s}{d}是什么土", mw="种"),
    cat("灌溉方式", mod="灌溉方式为{v}", mods={"无": "没有灌溉"}, shorts={"无": "没有灌溉"}, mw="种"),
    num("面积（亩）", "面积", unit="亩", adj="大小", aggs="avg sum", step=10, ask="{s}{d}有多少亩"),
    text("负责人", ask="{s}{d}归谁负责"),
    key="地块号",
    rels=(Rel("种植记录", "地块号", most="的种植记录最多"),),
)
CROP = Entity(
    "作物",
    "种",
    name("作物名"),
    cat("类别", mod="属于{v}类", phrase="{v}类{n}", ask="{s}{d}属于哪一类", mw="种"),
    num("生长期(天)", "生长期", unit="天", adj="长短", step=10, ask="{s}的生长期{d}有多少天"),
    num("收购价(元/公斤)", "收购价", unit="元", also=("收购价最贵", "收购价最便宜")),
    key="作物ID",
    rels=(Rel("种植记录", "作物ID", most="的种植记录最多"),),
)
SOWING = Entity(
    "种植记录",
    "条",
    name("种植ID"),
    cat("作物名", "作物", mod="种的是{v}", ask="{s}种的{d}是什么", mw="种", via="作物ID"),
    cat("季节", mod="季节为{v}季", short="{v}季", ask="{s}{d}是哪一季的"),
    cat("年份", mod="年份为{v}", short="{v}年", phrase="{v}年的{n}", ask="{s}{d}是哪一年的"),
    cat("地块名", "地块", mod="种在{v}", ask="{s}{d}是哪块地的", mw="块", via="地块号"),
    num("亩产(公斤/亩)", "亩产", unit="公斤", step=100),
    num("施肥次数", unit="次", adj="多少", aggs="avg sum"),
    key="种植ID",
    table="种植",
    lookup=False,
)
MACHINE = Entity(
    "农机",
    "台",
    name("农机名"),
    cat("种类", mod="种类是{v}", phrase="{v}", ask="{s}{d}是什么种类", mw="种"),
    cat("状态", mod="状态为{v}", phrase="{v}的{n}", ask="{s}的状态{d}是什么", mw="种"),
    num("价格（万元）", "价格", unit="万元", also=("最贵", "最便宜"), aggs="avg sum", step=5),
    year("购入年份", "购入"),
    key="农机号",
)

_SOWN = "种植 AS T1 JOIN 作物 AS T2 ON T1.作物ID = T2.作物ID"
_PLOTS = "种植 AS T1 JOIN 地块 AS T2 ON T1.地块号 = T2.地块号 JOIN 作物 AS T3 ON T1.作物ID = T3.作物ID"

SCRIPTS = (
    script(
        (
            "$a在2025年种了什么？|2025年$a都种了哪些作物？",
            f"SELECT T3.作物名 FROM {_PLOTS} WHERE T2.地块名 = $a AND T1.年份 = 2025",
        ),
        ("前一年呢？|2024年呢？", f"SELECT T3.作物名 FROM {_PLOTS} WHERE T2.地块名 = $a AND T1.年份 = 2024"),
        (
            "亩产分别是多少？",
            f'SELECT T3.作物名, T1."亩产(公斤/亩)" FROM {_PLOTS} WHERE T2.地块名 = $a AND T1.年份 = 2024',
        ),
        (
            "换成$b看看。|那$b的呢？",
            f'SELECT T3.作物名, T1."亩产(公斤/亩)" FROM {_PLOTS} WHERE T2.地块名 = $b AND T1.年份 = 2024',
        ),
        binds="SELECT A.地块名, B.地块名 FROM 地块 AS A JOIN 地块 AS B ON A.土壤类型 = B.土壤类型 "
        "AND A.地块号 < B.地块号",
    ),
    script(
        ("$a的平均亩产是多少？", f'SELECT AVG(T1."亩产(公斤/亩)") FROM {_SOWN} WHERE T2.作物名 = $a'),
        (
            "哪一年最高？|平均亩产最高的是哪一年？",
            f"SELECT T1.年份 FROM {_SOWN} WHERE T2.作物名 = $a GROUP BY T1.年份 "
            'ORDER BY AVG(T1."亩产(公斤/亩)") DESC LIMIT 1',
        ),
        (
            "最低的一年呢？|那最低的呢？",
            f'SELECT T1.年份 FROM {_SOWN} WHERE T2.作物名 = $a GROUP BY T1.年份 ORDER BY AVG(T1."亩产(公斤/亩)") '
            "LIMIT 1",
        ),
        (
            "逐年列出来。|每一年的都给我，按年份排。",
            f'SELECT T1.年份, AVG(T1."亩产(公斤/亩)") FROM {_SOWN} WHERE T2.作物名 = $a GROUP BY T1.年份 '
            "ORDER BY T1.年份",
        ),
        binds="SELECT 作物名 FROM 作物",
    ),
    script(
        ("哪些农机不在用？|有哪些农机不是在用状态？", "SELECT 农机名 FROM 农机 WHERE 状态 <> '在用'"),
        ("它们分别是什么状态？", "SELECT 农机名, 状态 FROM 农机 WHERE 状态 <> '在用'"),
        ("只看维修的。|停用的不要。", "SELECT 农机名, 状态 FROM 农机 WHERE 状态 = '维修'"),
        ("总价值多少万？|它们加起来值多少万元？", "SELECT SUM(\"价格（万元）\") FROM 农机 WHERE 状态 = '维修'"),
    ),
    script(
        (
            "有多少条绝收的种植记录？|亩产没有数据的种植记录有多少条？",
            'SELECT COUNT(*) FROM 种植 WHERE "亩产(公斤/亩)" IS NULL',
        ),
        (
            "都是什么作物？不要重复。|涉及哪些作物？去重。",
            f'SELECT DISTINCT T2.作物名 FROM {_SOWN} WHERE T1."亩产(公斤/亩)" IS NULL',
        ),
        (
            "其中2020年以后的有几条？|2020年之后的呢，一共几条？",
            'SELECT COUNT(*) FROM 种植 WHERE "亩产(公斤/亩)" IS NULL AND 年份 > 2020',
        ),
    ),
    script(
        ("$a负责的地块有哪些？|哪些地块归$a管？", "SELECT 地块名 FROM 地块 WHERE 负责人 = $a"),
        ("总共多少亩？|加起来有多少亩？", 'SELECT SUM("面积（亩）") FROM 地块 WHERE 负责人 = $a'),
        (
            "最大的一块是哪块？|里面哪块最大？",
            'SELECT 地块名 FROM 地块 WHERE 负责人 = $a ORDER BY "面积（亩）" DESC LIMIT 1',
        ),
        (
            "它用什么方式灌溉？|这块地的灌溉方式是什么？",
            'SELECT 灌溉方式 FROM 地块 WHERE 负责人 = $a ORDER BY "面积（亩）" DESC LIMIT 1',
        ),
        (
            "其他负责人各管多少亩？按负责人列一下。",
            'SELECT 负责人, SUM("面积（亩）") FROM 地块 WHERE 负责人 <> $a GROUP BY 负责人',
        ),
        binds="SELECT 负责人 FROM 地块 WHERE 负责人 IS NOT NULL GROUP BY 负责人 HAVING COUNT(*) >= 2",
    ),
    script(
        ("收购价高于$a元的作物有哪些？", 'SELECT 作物名 FROM 作物 WHERE "收购价(元/公斤)" > $a'),
        (
            "有蔬菜吗？列一下里面的蔬菜。|其中哪些是蔬菜？",
            "SELECT 作物名 FROM 作物 WHERE \"收购价(元/公斤)\" > $a AND 类别 = '蔬菜'",
        ),
        ("水果呢？|那水果呢？", "SELECT 作物名 FROM 作物 WHERE \"收购价(元/公斤)\" > $a AND 类别 = '水果'"),
        binds="VALUES (3), (4), (5), (6), (8)",
    ),
)

DOMAIN = Domain("农场种植", "train", SCHEMA, rows, (FIELD, CROP, SOWING, MACHINE), SCRIPTS)
