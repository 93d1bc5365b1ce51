"""铁路客运: stations, trains, their stops, sold tickets; a hash and a keyword in names."""

from __future__ import annotations

from scripts.sample.model import Domain, Entity, Rel, Rows, cat, name, num, script, text, year
from scripts.sample.values import Rng

SCHEMA = """
CREATE TABLE 车站 (
    车站编号 INTEGER PRIMARY KEY,
    站名 TEXT NOT NULL,
    城市 TEXT NOT NULL,
    等级 TEXT, -- 特等、一等、二等
    站台数 INTEGER,
    启用年份 INTEGER
);
CREATE TABLE 车次 (
    "车次#" TEXT PRIMARY KEY,
    类型 TEXT, -- 高铁、动车、快速
    始发站 INTEGER NOT NULL REFERENCES 车站(车站编号),
    终到站 INTEGER NOT NULL REFERENCES 车站(车站编号),
    发车时间 TEXT, -- HH:MM
    "全程（公里）" INTEGER,
    "历时(分钟)" INTEGER,
    二等座票价 REAL
);
CREATE TABLE 经停 (
    "车次#" TEXT NOT NULL REFERENCES 车次("车次#"),
    "index" INTEGER NOT NULL, -- 第几站，始发站为1
    车站编号 INTEGER NOT NULL REFERENCES 车站(车站编号),
    停车分钟 INTEGER,
    PRIMARY KEY ("车次#", "index")
);
CREATE TABLE 售票 (
    票号 INTEGER PRIMARY KEY,
    "车次#" TEXT NOT NULL REFERENCES 车次("车次#"),
    乘车日期 TEXT NOT NULL,
    席别 TEXT, -- 二等座、一等座、商务座、无座
    票价 REAL,
    渠道 TEXT
);
"""

_STATIONS = [("北京南", "北京"), ("北京西", "北京"), ("天津西", "天津"), ("济南东", "济南"), ("青岛北", "青岛"),
             ("郑州东", "郑州"), ("洛阳龙门", "洛阳"), ("西安北", "西安"), ("武汉", "武汉"), ("汉口", "武汉"),
             ("长沙南", "长沙"), ("广州南", "广州"), ("深圳北", "深圳"), ("南京南", "南京"), ("苏州北", "苏州"),
             ("上海虹桥", "上海"), ("上海", "上海"), ("杭州东", "杭州"), ("宁波", "宁波"), ("合肥南", "合肥"),
             ("成都东", "成都"), ("重庆北", "重庆"), ("太原南", "太原"), ("沈阳北", "沈阳"), ("大连北", "大连"),
             ("哈尔滨西", "哈尔滨")]  # fmt: skip


def rows(rng: Rng) -> Rows:
    """26 stations, 90 trains, about 600 stops, 4,000 tickets."""
    tracks, opened = rng.distinct(26, 4, 34), rng.distinct(26, 1958, 2021)
    stations = [
        (i + 1, station, city, rng.weighted([("特等", 4), ("一等", 4), ("二等", 2)]), tracks[i], opened[i])
        for i, (station, city) in enumerate(_STATIONS)
    ]
    lengths, starts = rng.distinct(90, 210, 2600), rng.distinct(90, 360, 1290)
    used: set[str] = set()
    trains, stops = [], []
    for i in range(90):
        kind = rng.weighted([("高铁", 6), ("动车", 3), ("快速", 2)])
        code = f"{'GDK'[['高铁', '动车', '快速'].index(kind)]}{rng.between(11, 2990)}"
        while code in used:
            code = f"{code[0]}{rng.between(11, 2990)}"
        used.add(code)
        route = rng.some(range(1, 27), rng.between(4, 9))
        if i < 26:
            route = [i + 1, *[stop for stop in route if stop != i + 1]]
        speed = {"高铁": 260, "动车": 180, "快速": 100}[kind]
        minutes = lengths[i] * 60 // speed + 3 * len(route)
        fare = {"高铁": 46, "动车": 32, "快速": 15}[kind] * lengths[i] // 10 + rng.below(10) * 5
        when = f"{starts[i] // 60:02d}:{starts[i] % 60:02d}"
        trains.append((code, kind, route[0], route[-1], when, lengths[i], minutes, fare / 10))
        for k, stop in enumerate(route):
            wait = None if k in (0, len(route) - 1) else rng.pick([2, 2, 3, 4, 6, 8])
            stops.append((code, k + 1, stop, wait))
    times = {"二等座": 10, "一等座": 16, "商务座": 30, "无座": 10}
    tickets = []
    for i in range(4000):
        train = trains[min(rng.below(90), rng.below(90) + 8)]
        seats = [("二等座", 9), ("一等座", 3), ("商务座", 1), ("无座", 1)]
        seat = rng.weighted(seats if train[1] != "快速" else [("二等座", 5), ("无座", 2)])
        fare = int(train[7] * 10) * times[seat] // 10
        way = rng.weighted([("手机", 8), ("网站", 3), ("窗口", 2), ("代售点", 1)])
        tickets.append((i + 1, train[0], rng.day("2025-09-20", "2025-10-10"), seat, fare / 10, way))
    return {"车站": stations, "车次": trains, "经停": stops, "售票": tickets}


STATION = Entity(
    "车站",
    "个",
    name("站名"),
    cat("城市", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个城市"),
    cat("等级", mod="等级为{v}", phrase="{v}站", short="{v}", ask="{s}{d}是什么等级", mw="种"),
    num("站台数", unit="个", adj="多少", aggs="avg sum", step=5, ask="{s}{d}有多少个站台"),
    year("启用年份", "启用"),
    key="车站编号",
    title="{v}站",
    rels=(
        Rel("车次", "始发站", verb="始发", most="始发的车次最多"),
        Rel("经停记录", "车站编号", most="的经停记录最多"),
    ),
)
TRAIN = Entity(
    "车次",
    "趟",
    name("车次#", "车次号"),
    cat("类型", mod="类型是{v}", phrase="{v}{n}", ask="{s}{d}是什么类型", mw="种"),
    cat(
        "站名",
        "始发站",
        mod="从{v}站始发",
        short="{v}站",
        phrase="从{v}站始发的{n}",
        ask="{s}{d}从哪个站始发",
        via="始发站",
    ),
    cat(
        "站名",
        "终到站",
        mod="终到{v}站",
        short="终到{v}",
        phrase="终到{v}站的{n}",
        ask="{s}的终到站{d}是哪里",
        via="终到站",
    ),
    num("全程（公里）", "全程", unit="公里", adj="长短", step=100, ask="{s}的全程{d}有多少公里"),
    num("历时(分钟)", "历时", unit="分钟", adj="长短", step=30),
    num("二等座票价", unit="元", also=("二等座最贵", "二等座最便宜"), step=50),
    text("发车时间", ask="{s}{d}几点发车"),
    key="车次#",
    rels=(Rel("车票", "车次#", verb="卖出了", most="卖出的车票最多"), Rel("经停记录", "车次#", most="的经停记录最多")),
)
STOP = Entity(
    "经停记录",
    "条",
    name("index"),
    cat("站名", "车站", mod="停在{v}站", short="{v}站", ask="{s}{d}停在哪个车站", via="车站编号"),
    cat("类型", "车次类型", mod="车次类型是{v}", ask="{s}的车次类型{d}是什么", mw="种", via="车次#"),
    num("停车分钟", "停车时间", unit="分钟", adj="长短", step=2),
    key="index",
    table="经停",
    lookup=False,
)
TICKET = Entity(
    "车票",
    "张",
    name("票号"),
    cat("席别", mod="席别为{v}", phrase="{v}{n}", ask="{s}{d}是什么席别", mw="种"),
    cat("渠道", "购票渠道", mod="通过{v}购买", ask="{s}{d}是在哪里买的", mw="种"),
    cat("车次#", "车次", mod="属于{v}次", short="{v}次", phrase="{v}次的{n}", ask="{s}{d}是哪个车次的", mw="趟"),
    cat("类型", "车次类型", mod="车次类型是{v}", ask="{s}的车次类型{d}是什么", mw="种", via="车次#"),
    num("票价", unit="元", aggs="avg sum", step=100),
    key="票号",
    table="售票",
    lookup=False,
)

_ENDS = "车次 AS T1 JOIN 车站 AS T2 ON T1.始发站 = T2.车站编号 JOIN 车站 AS T3 ON T1.终到站 = T3.车站编号"
_FROM = "车次 AS T1 JOIN 车站 AS T2 ON T1.始发站 = T2.车站编号"
_STOPS = "经停 AS T1 JOIN 车站 AS T2 ON T1.车站编号 = T2.车站编号"
_BOTH = '(SELECT T1."车次#" FROM 经停 AS T1 JOIN 车站 AS T2 ON T1.车站编号 = T2.车站编号 WHERE T2.站名 = $a)'

SCRIPTS = (
    script(
        ("$a始发的车次有多少趟？|从$a始发的车一共有几趟？", f"SELECT COUNT(*) FROM {_FROM} WHERE T2.城市 = $a"),
        ("高铁呢？|其中高铁有几趟？", f"SELECT COUNT(*) FROM {_FROM} WHERE T2.城市 = $a AND T1.类型 = '高铁'"),
        (
            "分别是哪些？发车时间也要。|把车次号和发车时间列出来。",
            f"SELECT T1.\"车次#\", T1.发车时间 FROM {_FROM} WHERE T2.城市 = $a AND T1.类型 = '高铁'",
        ),
        (
            "最早的一班是哪趟？|哪趟发车最早？",
            f"SELECT T1.\"车次#\" FROM {_FROM} WHERE T2.城市 = $a AND T1.类型 = '高铁' ORDER BY T1.发车时间 LIMIT 1",
        ),
        (
            "它开到哪里？|终点是哪个站？",
            f"SELECT T3.站名 FROM {_ENDS} WHERE T2.城市 = $a AND T1.类型 = '高铁' ORDER BY T1.发车时间 LIMIT 1",
        ),
        binds="SELECT T2.城市 FROM 车次 AS T1 JOIN 车站 AS T2 ON T1.始发站 = T2.车站编号 WHERE T1.类型 = '高铁' "
        "GROUP BY T2.城市 HAVING COUNT(*) >= 2",
    ),
    script(
        (
            "$a次列车经过哪些车站？按顺序列出来。|$a次都停哪些站？按顺序来。",
            f'SELECT T2.站名 FROM {_STOPS} WHERE T1."车次#" = $a ORDER BY T1."index"',
        ),
        ("第三站是哪里？|第三站停在哪？", f'SELECT T2.站名 FROM {_STOPS} WHERE T1."车次#" = $a AND T1."index" = 3'),
        ("停几分钟？|在那里停多久？", 'SELECT 停车分钟 FROM 经停 WHERE "车次#" = $a AND "index" = 3'),
        ("全程要多少分钟？|这趟车全程历时多久？", 'SELECT "历时(分钟)" FROM 车次 WHERE "车次#" = $a'),
        binds='SELECT "车次#" FROM 经停 GROUP BY "车次#" HAVING COUNT(*) >= 5',
    ),
    script(
        ("经过$a站的车次有多少趟？", f"SELECT COUNT(*) FROM {_STOPS} WHERE T2.站名 = $a"),
        (
            "又经过$b站的呢？|其中也停$b站的有几趟？",
            f'SELECT COUNT(*) FROM {_STOPS} WHERE T2.站名 = $b AND T1."车次#" IN {_BOTH}',
        ),
        ("是哪些车次？|列出车次号。", f'SELECT T1."车次#" FROM {_STOPS} WHERE T2.站名 = $b AND T1."车次#" IN {_BOTH}'),
        binds="SELECT A.站名, B.站名 FROM 车站 AS A JOIN 车站 AS B ON A.城市 <> B.城市 WHERE A.站名 IN "
        "('北京南', '郑州东', '南京南') "
        "AND B.站名 IN ('上海虹桥', '武汉', '西安北', '杭州东')",
    ),
    script(
        ("2025年$a卖出了多少张票？", "SELECT COUNT(*) FROM 售票 WHERE 乘车日期 = $b"),
        ("票款总额是多少？|一共卖了多少钱？", "SELECT SUM(票价) FROM 售票 WHERE 乘车日期 = $b"),
        ("第二天呢？|那第二天的呢？", "SELECT SUM(票价) FROM 售票 WHERE 乘车日期 = $c"),
        (
            "这一天哪趟车卖得最多？|那天哪个车次卖出的票最多？",
            'SELECT "车次#" FROM 售票 WHERE 乘车日期 = $c GROUP BY "车次#" ORDER BY COUNT(*) DESC LIMIT 1',
        ),
        binds="VALUES ('9月20日', '2025-09-20', '2025-09-21'), ('9月25日', '2025-09-25', '2025-09-26'), "
        "('9月30日', '2025-09-30', '2025-10-01'), ('10月1日', '2025-10-01', '2025-10-02'), "
        "('10月3日', '2025-10-03', '2025-10-04'), "
        "('10月5日', '2025-10-05', '2025-10-06'), ('10月7日', '2025-10-07', '2025-10-08')",
    ),
    script(
        ("$a有几个火车站？", "SELECT COUNT(*) FROM 车站 WHERE 城市 = $a"),
        ("都叫什么？|站名是什么？", "SELECT 站名 FROM 车站 WHERE 城市 = $a"),
        ("哪个站台更多？|站台最多的是哪个？", "SELECT 站名 FROM 车站 WHERE 城市 = $a ORDER BY 站台数 DESC LIMIT 1"),
        ("它是什么等级的站？|它的等级呢？", "SELECT 等级 FROM 车站 WHERE 城市 = $a ORDER BY 站台数 DESC LIMIT 1"),
        binds="SELECT 城市 FROM 车站 GROUP BY 城市 HAVING COUNT(*) >= 2",
    ),
    script(
        ("二等座票价不超过$a元的高铁有哪些？", "SELECT \"车次#\" FROM 车次 WHERE 类型 = '高铁' AND 二等座票价 <= $a"),
        ("动车呢？|那动车呢？", "SELECT \"车次#\" FROM 车次 WHERE 类型 = '动车' AND 二等座票价 <= $a"),
        (
            "两种都算上，一共几趟？|高铁和动车加起来一共多少趟？",
            "SELECT COUNT(*) FROM 车次 WHERE 类型 IN ('高铁', '动车') AND 二等座票价 <= $a",
        ),
        binds="VALUES (350), (400), (450), (500)",
    ),
)

DOMAIN = Domain("铁路客运", "test", SCHEMA, rows, (STATION, TRAIN, STOP, TICKET), SCRIPTS)
