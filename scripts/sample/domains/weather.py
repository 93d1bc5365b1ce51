"""气象观测: stations and their days; signs, dots and Latin letters in names."""

from __future__ import annotations

from scripts.sample.model import Domain, Entity, Rel, Rows, cat, day, name, num, script, text, year
from scripts.sample.values import Rng, days_from

SCHEMA = """
CREATE TABLE 气象站 (
    站号 INTEGER PRIMARY KEY,
    站名 TEXT NOT NULL,
    省份 TEXT NOT NULL,
    类型 TEXT, -- 基准站、基本站、一般站
    "海拔(m)" INTEGER,
    建站年份 INTEGER,
    负责人 TEXT
);
CREATE TABLE 日观测 (
    编号 INTEGER PRIMARY KEY,
    站号 INTEGER NOT NULL REFERENCES 气象站(站号),
    日期 TEXT NOT NULL, -- YYYY-MM-DD
    "最高温(℃)" REAL,
    "最低温(℃)" REAL,
    "24h降雨量(mm)" REAL, -- 20时至次日20时
    "PM2.5" INTEGER,
    天气 TEXT
);
CREATE TABLE 预警 (
    预警号 INTEGER PRIMARY KEY,
    站号 INTEGER NOT NULL REFERENCES 气象站(站号),
    "预警/类别" TEXT NOT NULL,
    "等级" TEXT NOT NULL, -- 蓝、黄、橙、红
    发布日期 TEXT NOT NULL
);
"""

_STATIONS = [
    ("玉泉山站", "北京"), ("密云站", "北京"), ("塘沽站", "天津"), ("崂山站", "山东"), ("泰山站", "山东"),
    ("蓬莱站", "山东"), ("舟山站", "浙江"), ("天目山站", "浙江"), ("嵊泗站", "浙江"), ("黄山站", "安徽"),
    ("庐山站", "江西"), ("井冈山站", "江西"), ("武夷山站", "福建"), ("平潭站", "福建"), ("衡山站", "湖南"),
    ("张家界站", "湖南"), ("峨眉山站", "四川"), ("稻城站", "四川"), ("若尔盖站", "四川"), ("丽江站", "云南"),
    ("腾冲站", "云南"), ("漠河站", "黑龙江"), ("五大连池站", "黑龙江"), ("长白山站", "吉林"), ("敦煌站", "甘肃"),
    ("酒泉站", "甘肃"),
]  # fmt: skip


def rows(rng: Rng) -> Rows:
    """26 stations, 150 days of each, 120 warnings."""
    heights, years = rng.distinct(len(_STATIONS), 3, 3200), rng.distinct(len(_STATIONS), 1951, 2016)
    people = rng.people(len(_STATIONS))
    kinds = [("基准站", 2), ("基本站", 4), ("一般站", 3)]
    stations = [
        (501 + i, station, province, rng.weighted(kinds), heights[i], years[i], None if rng.chance(10) else people[i])
        for i, (station, province) in enumerate(_STATIONS)
    ]
    observations = []
    for i in range(len(stations)):
        base = 320 - heights[i] // 20 - (60 if stations[i][2] in ("黑龙江", "吉林") else 0)
        for k, date in enumerate(days_from("2025-04-01", 150)):
            high = base - abs(k - 105) * 2 + rng.between(-45, 45)
            rain = rng.between(1, 900) if rng.chance(30) else 0
            sky = (
                ("大雨" if rain > 500 else "中雨" if rain > 250 else "小雨") if rain else rng.pick(["晴", "多云", "阴"])
            )
            low, dust = high - rng.between(50, 140), rng.bell(5, 160)
            observations.append((i * 150 + k + 1, 501 + i, date, high / 10, low / 10, rain / 10, dust, sky))
    warnings = [
        (
            i + 1,
            501 + min(rng.below(len(stations)), rng.below(len(stations)) + 6),
            rng.weighted([("暴雨", 5), ("大风", 4), ("高温", 3), ("雷电", 3), ("大雾", 2)]),
            rng.weighted([("蓝", 5), ("黄", 4), ("橙", 2), ("红", 1)]),
            rng.day("2025-04-01", "2025-08-28"),
        )
        for i in range(120)
    ]
    return {"气象站": stations, "日观测": observations, "预警": warnings}


STATION = Entity(
    "气象站",
    "个",
    name("站名"),
    cat("省份", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个省份"),
    cat("类型", mod="类型是{v}", phrase="{v}", ask="{s}{d}是什么类型", mw="种"),
    num("海拔(m)", "海拔", unit="米", step=100),
    year("建站年份", "建站"),
    text("负责人", ask="{s}的负责人{d}是谁"),
    key="站号",
    rels=(Rel("预警", "站号", verb="发布过", most="发布的预警最多"),),
)
OBSERVATION = Entity(
    "观测记录",
    "条",
    name("编号"),
    cat("天气", mod="天气为{v}", ask="{s}的天气{d}是什么", mw="种"),
    cat("站名", "气象站", mod="来自{v}", phrase="{v}的{n}", ask="{s}{d}来自哪个气象站", via="站号"),
    cat("省份", mod="来自{v}", phrase="{v}的{n}", ask="{s}{d}来自哪个省份", via="站号"),
    num("最高温(℃)", "最高温", unit="度", step=5),
    num("最低温(℃)", "最低温", unit="度", step=5),
    num("24h降雨量(mm)", "24小时降雨量", unit="毫米", adj="多少", aggs="avg sum", step=10),
    num("PM2.5", "PM2.5", step=10),
    key="编号",
    table="日观测",
    lookup=False,
)
WARNING = Entity(
    "预警",
    "条",
    name("预警号"),
    cat("预警/类别", "类别", mod="类别是{v}", phrase="{v}{n}", ask="{s}{d}是什么类别", mw="种"),
    cat("等级", mod="等级为{v}色", short="{v}色", phrase="{v}色{n}", ask="{s}的等级{d}是什么色", mw="种"),
    cat("站名", "气象站", mod="由{v}发布", phrase="{v}发布的{n}", ask="{s}{d}是哪个气象站发布的", via="站号"),
    cat("省份", mod="在{v}发布", phrase="{v}的{n}", ask="{s}{d}在哪个省份", via="站号"),
    day("发布日期", "发布"),
    key="预警号",
    lookup=False,
)

_DAYS = "日观测 AS T1 JOIN 气象站 AS T2 ON T1.站号 = T2.站号"

SCRIPTS = (
    script(
        (
            "$a2025年$b的最高温是多少度？|2025年$b，$a的最高温是多少？",
            f'SELECT T1."最高温(℃)" FROM {_DAYS} WHERE T2.站名 = $a AND T1.日期 = $c',
        ),
        ("最低温呢？|那最低温呢？", f'SELECT T1."最低温(℃)" FROM {_DAYS} WHERE T2.站名 = $a AND T1.日期 = $c'),
        ("第二天呢？|那第二天的呢？", f'SELECT T1."最低温(℃)" FROM {_DAYS} WHERE T2.站名 = $a AND T1.日期 = $d'),
        ("那天天气怎么样？|那天是什么天气？", f"SELECT T1.天气 FROM {_DAYS} WHERE T2.站名 = $a AND T1.日期 = $d"),
        binds="SELECT A.站名, B.column1, B.column2, B.column3 FROM 气象站 AS A JOIN (VALUES ('5月3日', '2025-05-03', "
        "'2025-05-04'), ('7月20日', '2025-07-20', '2025-07-21'), ('6月9日', '2025-06-09', '2025-06-10')) AS B",
    ),
    script(
        (
            "$a下过几天雨？|$a一共有多少天下了雨？",
            f'SELECT COUNT(*) FROM {_DAYS} WHERE T2.站名 = $a AND T1."24h降雨量(mm)" > 0',
        ),
        (
            "下得最大的是哪天？|雨最大的那天是几号？",
            f'SELECT T1.日期 FROM {_DAYS} WHERE T2.站名 = $a ORDER BY T1."24h降雨量(mm)" DESC LIMIT 1',
        ),
        (
            "下了多少毫米？|那天的降雨量是多少？",
            f'SELECT MAX(T1."24h降雨量(mm)") FROM {_DAYS} WHERE T2.站名 = $a',
        ),
        ("$b呢？|换成$b呢？", f'SELECT MAX(T1."24h降雨量(mm)") FROM {_DAYS} WHERE T2.站名 = $b'),
        binds="SELECT A.站名, B.站名 FROM 气象站 AS A JOIN 气象站 AS B ON A.省份 = B.省份 AND A.站号 < B.站号",
    ),
    script(
        (
            "7月份平均最高温最高的是哪个气象站？|2025年7月，哪个站的平均最高温最高？",
            f"SELECT T2.站名 FROM {_DAYS} WHERE T1.日期 LIKE '2025-07%' GROUP BY T2.站名 "
            'ORDER BY AVG(T1."最高温(℃)") DESC LIMIT 1',
        ),
        (
            "最低的呢？|那最凉快的呢？",
            f"SELECT T2.站名 FROM {_DAYS} WHERE T1.日期 LIKE '2025-07%' GROUP BY T2.站名 "
            'ORDER BY AVG(T1."最高温(℃)") LIMIT 1',
        ),
        (
            "6月份也是它吗？6月最低的是哪个？|换成6月呢？",
            f"SELECT T2.站名 FROM {_DAYS} WHERE T1.日期 LIKE '2025-06%' GROUP BY T2.站名 "
            'ORDER BY AVG(T1."最高温(℃)") LIMIT 1',
        ),
    ),
    script(
        ("PM2.5超过$a的记录有多少条？", 'SELECT COUNT(*) FROM 日观测 WHERE "PM2.5" > $a'),
        (
            "都出现在哪些站？|涉及哪些气象站？不要重复。",
            f'SELECT DISTINCT T2.站名 FROM {_DAYS} WHERE T1."PM2.5" > $a',
        ),
        (
            "每个站各有几天？|各站分别有几天？",
            f'SELECT T2.站名, COUNT(*) FROM {_DAYS} WHERE T1."PM2.5" > $a GROUP BY T2.站名',
        ),
        (
            "哪个站最多？|天数最多的是哪个站？",
            f'SELECT T2.站名 FROM {_DAYS} WHERE T1."PM2.5" > $a GROUP BY T2.站名 ORDER BY COUNT(*) DESC LIMIT 1',
        ),
        binds="VALUES (130), (125), (120), (115), (110)",
    ),
    script(
        ("$a的气象站海拔分别是多少？", 'SELECT 站名, "海拔(m)" FROM 气象站 WHERE 省份 = $a'),
        (
            "最高的那个是哪一年建的？|海拔最高的那个站是什么时候建的？",
            'SELECT 建站年份 FROM 气象站 WHERE 省份 = $a ORDER BY "海拔(m)" DESC LIMIT 1',
        ),
        (
            "比它海拔还高的站有哪些？|全国有没有比它还高的站？列出来。",
            'SELECT 站名 FROM 气象站 WHERE "海拔(m)" > (SELECT MAX("海拔(m)") FROM 气象站 WHERE 省份 = $a)',
        ),
        binds='SELECT 省份 FROM 气象站 GROUP BY 省份 HAVING COUNT(*) >= 2 AND MAX("海拔(m)") < '
        '(SELECT MAX("海拔(m)") FROM 气象站)',
    ),
    script(
        ("一共发布过多少条$a预警？", 'SELECT COUNT(*) FROM 预警 WHERE "预警/类别" = $a'),
        ("黄色的有几条？|其中黄色的呢？", "SELECT COUNT(*) FROM 预警 WHERE \"预警/类别\" = $a AND 等级 = '黄'"),
        (
            "橙色和红色的加起来呢？|橙色、红色一共几条？",
            "SELECT COUNT(*) FROM 预警 WHERE \"预警/类别\" = $a AND 等级 IN ('橙', '红')",
        ),
        ("按等级都列一下。|每个等级各几条？", 'SELECT 等级, COUNT(*) FROM 预警 WHERE "预警/类别" = $a GROUP BY 等级'),
        binds='SELECT DISTINCT "预警/类别" FROM 预警',
    ),
)

DOMAIN = Domain("气象观测", "train", SCHEMA, rows, (STATION, OBSERVATION, WARNING), SCRIPTS)
