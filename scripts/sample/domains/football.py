"""足球联赛: teams, players, matches, goals; keywords, a dot and a digit in names."""

from __future__ import annotations

from scripts.sample.model import Domain, Entity, Rel, Rows, Value, cat, name, num, script, text, year
from scripts.sample.values import Rng, days_from

SCHEMA = """
CREATE TABLE 球队 (
    球队编号 INTEGER PRIMARY KEY,
    队名 TEXT NOT NULL,
    主场城市 TEXT,
    "group" TEXT, -- 分组：A、B、C、D
    "排名 No." INTEGER,
    积分 INTEGER,
    成立年份 INTEGER,
    主教练 TEXT
);
CREATE TABLE 球员 (
    球员编号 INTEGER PRIMARY KEY,
    姓名 TEXT NOT NULL,
    球队编号 INTEGER NOT NULL REFERENCES 球队(球队编号),
    位置 TEXT, -- 门将、后卫、中场、前锋
    号码 INTEGER,
    年龄 INTEGER,
    "身高（cm）" INTEGER,
    国籍 TEXT,
    "身价（万元）" INTEGER
);
CREATE TABLE 比赛 (
    比赛编号 INTEGER PRIMARY KEY,
    比赛日期 TEXT NOT NULL,
    主队 INTEGER NOT NULL REFERENCES 球队(球队编号),
    客队 INTEGER NOT NULL REFERENCES 球队(球队编号),
    主队进球 INTEGER,
    客队进球 INTEGER,
    "现场观众" INTEGER
);
CREATE TABLE 进球 (
    进球编号 INTEGER PRIMARY KEY,
    比赛编号 INTEGER NOT NULL REFERENCES 比赛(比赛编号),
    球员编号 INTEGER NOT NULL REFERENCES 球员(球员编号),
    "1-90分钟" INTEGER, -- 第几分钟打进
    方式 TEXT -- 左脚、右脚、头球、点球
);
"""

_TEAMS = [("青岛海风", "青岛"), ("武汉江城", "武汉"), ("成都蓉火", "成都"), ("大连飞鸥", "大连"), ("广州木棉", "广州"),
          ("上海弄潮", "上海"), ("北京雨燕", "北京"), ("西安城墙", "西安"), ("天津津门", "天津"), ("长春雪豹", "长春"),
          ("南京梧桐", "南京"), ("昆明春城", "昆明"), ("厦门白鹭", "厦门"), ("重庆山城", "重庆"), ("郑州铁军", "郑州"),
          ("沈阳重工", "沈阳")]  # fmt: skip


def rows(rng: Rng) -> Rows:
    """16 teams, 320 players, 240 matches, about 620 goals."""
    people = rng.people(336)
    founded, points = rng.distinct(16, 1955, 2016), sorted(rng.distinct(16, 9, 68), reverse=True)
    order = rng.shuffled(range(16))
    teams = [
        (i + 1, team, city, "ABCD"[i % 4], order[i] + 1, points[order[i]], founded[i], people[i])
        for i, (team, city) in enumerate(_TEAMS)
    ]
    places = ["门将"] * 2 + ["后卫"] * 7 + ["中场"] * 6 + ["前锋"] * 5
    worth = rng.distinct(320, 20, 3800)
    players = [
        (
            101 + i,
            people[16 + i],
            i // 20 + 1,
            places[i % 20],
            i % 20 + 1,
            rng.bell(17, 38),
            rng.bell(168, 196) + (6 if i % 20 < 2 else 0),
            rng.weighted([("中国", 12), ("巴西", 2), ("塞尔维亚", 1), ("日本", 1), ("尼日利亚", 1)]),
            worth[i],
        )
        for i in range(320)
    ]
    pairs = [(a, b) for a in range(16) for b in range(16) if a != b]
    dates = days_from("2025-03-01", 240)
    crowds = rng.distinct(240, 3100, 52000)
    matches: list[tuple[Value, ...]] = []
    goals: list[tuple[Value, ...]] = []
    for i, (home, away) in enumerate(rng.shuffled(pairs)):
        made = [min(rng.below(5), rng.below(5)), min(rng.below(4), rng.below(5))]
        matches.append((i + 1, dates[i], home + 1, away + 1, made[0], made[1], crowds[i]))
        for team, number in ((home, made[0]), (away, made[1])):
            for _ in range(number):
                shooter = 101 + team * 20 + 19 - min(rng.below(18), rng.below(18))
                how = rng.weighted([("右脚", 6), ("左脚", 3), ("头球", 3), ("点球", 1)])
                goals.append((len(goals) + 1, i + 1, shooter, rng.between(1, 90), how))
    return {"球队": teams, "球员": players, "比赛": matches, "进球": goals}


TEAM = Entity(
    "球队",
    "支",
    name("队名"),
    cat("group", "小组", mod="在{v}组", short="{v}组", phrase="{v}组的{n}", ask="{s}{d}在哪个组"),
    cat("主场城市", mod="主场在{v}", ask="{s}的主场{d}在哪个城市"),
    num("积分", unit="分", adj="多少", step=5, ask="{s}{d}积了多少分"),
    text("排名 No.", "排名", ask="{s}{d}排第几"),
    year("成立年份", "成立"),
    text("主教练", ask="{s}的主教练{d}是谁"),
    key="球队编号",
    rels=(Rel("球员", "球队编号"),),
)
PLAYER = Entity(
    "球员",
    "名",
    name("姓名"),
    cat("位置", mod="位置是{v}", phrase="{v}", ask="{s}{d}踢什么位置", mw="种"),
    cat("队名", "球队", mod="效力于{v}", phrase="{v}的{n}", ask="{s}{d}效力于哪支球队", mw="支", via="球队编号"),
    cat("国籍", mod="国籍是{v}", phrase="{v}{n}", ask="{s}{d}是哪国人"),
    cat("group", "小组", mod="所在球队在{v}组", short="{v}组", ask="{s}的球队{d}在哪个组", via="球队编号"),
    num("身价（万元）", "身价", unit="万元", aggs="avg sum", step=100),
    num("年龄", unit="岁", adj="大小", ask="{s}{d}多大"),
    num("身高（cm）", "身高", unit="厘米", step=5, ask="{s}{d}有多高"),
    key="球员编号",
    person=True,
    rels=(Rel("进球", "球员编号", verb="打进", most="的进球最多"),),
)
GOAL = Entity(
    "进球",
    "个",
    name("进球编号"),
    cat("方式", mod="方式是{v}", phrase="{v}{n}", ask="{s}{d}是用什么方式打进的", mw="种"),
    cat("姓名", "球员", mod="由{v}打进", phrase="{v}打进的{n}", ask="{s}{d}是谁打进的", mw="名", via="球员编号"),
    cat(
        "队名",
        "球队",
        mod="由{v}打进",
        phrase="{v}的{n}",
        ask="{s}{d}是哪支球队打进的",
        mw="支",
        via="球员编号/球队编号",
    ),
    cat("位置", "球员位置", mod="由{v}打进", phrase="{v}打进的{n}", mw="种", via="球员编号"),
    num("1-90分钟", "时间", unit="分钟", adj="晚早", aggs=""),
    key="进球编号",
    lookup=False,
)

_SQUAD = "球员 AS T1 JOIN 球队 AS T2 ON T1.球队编号 = T2.球队编号"
_GOALS = "进球 AS T1 JOIN 球员 AS T2 ON T1.球员编号 = T2.球员编号"
_HOME = "比赛 AS T1 JOIN 球队 AS T2 ON T1.主队 = T2.球队编号"
_AWAY = "比赛 AS T1 JOIN 球队 AS T2 ON T1.客队 = T2.球队编号"

SCRIPTS = (
    script(
        ("$a的前锋有谁？|$a有哪些前锋？", f"SELECT T1.姓名 FROM {_SQUAD} WHERE T2.队名 = $a AND T1.位置 = '前锋'"),
        (
            "谁的身价最高？|里面身价最高的是谁？",
            f"SELECT T1.姓名 FROM {_SQUAD} WHERE T2.队名 = $a AND T1.位置 = '前锋' ORDER BY T1.\"身价（万元）\" DESC "
            "LIMIT 1",
        ),
        (
            "中场呢？|中场里身价最高的呢？",
            f"SELECT T1.姓名 FROM {_SQUAD} WHERE T2.队名 = $a AND T1.位置 = '中场' ORDER BY T1.\"身价（万元）\" DESC "
            "LIMIT 1",
        ),
        (
            "$b呢？|换成$b的中场呢？",
            f"SELECT T1.姓名 FROM {_SQUAD} WHERE T2.队名 = $b AND T1.位置 = '中场' ORDER BY T1.\"身价（万元）\" DESC "
            "LIMIT 1",
        ),
        binds='SELECT A.队名, B.队名 FROM 球队 AS A JOIN 球队 AS B ON A."group" = B."group" '
        "AND A.球队编号 < B.球队编号",
    ),
    script(
        (
            "$a组的积分榜，按积分从高到低。|把$a组各队按积分从高到低排一下。",
            'SELECT 队名, 积分 FROM 球队 WHERE "group" = $a ORDER BY 积分 DESC',
        ),
        ("$b组的呢？|$b组呢？", 'SELECT 队名, 积分 FROM 球队 WHERE "group" = $b ORDER BY 积分 DESC'),
        ("小组第一是谁？|排第一的是哪支球队？", 'SELECT 队名 FROM 球队 WHERE "group" = $b ORDER BY 积分 DESC LIMIT 1'),
        ("主教练叫什么？|他们的主教练是谁？", 'SELECT 主教练 FROM 球队 WHERE "group" = $b ORDER BY 积分 DESC LIMIT 1'),
        ("垫底的那支呢？|最后一名的主教练呢？", 'SELECT 主教练 FROM 球队 WHERE "group" = $b ORDER BY 积分 LIMIT 1'),
        binds="VALUES ('A', 'B'), ('B', 'C'), ('C', 'D'), ('D', 'A')",
    ),
    script(
        ("$a主场踢了多少场？|$a一共打了几个主场？", f"SELECT COUNT(*) FROM {_HOME} WHERE T2.队名 = $a"),
        (
            "赢了几场？|其中赢了多少场？",
            f"SELECT COUNT(*) FROM {_HOME} WHERE T2.队名 = $a AND T1.主队进球 > T1.客队进球",
        ),
        ("平局呢？|打平的有几场？", f"SELECT COUNT(*) FROM {_HOME} WHERE T2.队名 = $a AND T1.主队进球 = T1.客队进球"),
        (
            "客场赢了几场？|那客场呢，赢了几场？",
            f"SELECT COUNT(*) FROM {_AWAY} WHERE T2.队名 = $a AND T1.客队进球 > T1.主队进球",
        ),
        (
            "主场平均有多少观众？|回到主场，平均每场多少观众？",
            f"SELECT AVG(T1.现场观众) FROM {_HOME} WHERE T2.队名 = $a",
        ),
        binds="SELECT 队名 FROM 球队",
    ),
    script(
        ("联赛一共进了多少个球？|总进球数是多少？", "SELECT COUNT(*) FROM 进球"),
        ("头球有几个？|其中头球呢？", "SELECT COUNT(*) FROM 进球 WHERE 方式 = '头球'"),
        (
            "下半场打进的呢？45分钟以后的。|45分钟之后的头球有几个？",
            "SELECT COUNT(*) FROM 进球 WHERE 方式 = '头球' AND \"1-90分钟\" > 45",
        ),
        ("不限方式，45分钟以后一共几个？|不看方式呢？", 'SELECT COUNT(*) FROM 进球 WHERE "1-90分钟" > 45'),
        ("按方式分别是多少？|各种方式各几个？", 'SELECT 方式, COUNT(*) FROM 进球 WHERE "1-90分钟" > 45 GROUP BY 方式'),
    ),
    script(
        (
            "现场观众最多的一场比赛是哪天？|哪天的比赛现场观众最多？",
            "SELECT 比赛日期 FROM 比赛 ORDER BY 现场观众 DESC LIMIT 1",
        ),
        ("是哪支球队的主场？|主队是谁？", f"SELECT T2.队名 FROM {_HOME} ORDER BY T1.现场观众 DESC LIMIT 1"),
        ("客队呢？|对手是谁？", f"SELECT T2.队名 FROM {_AWAY} ORDER BY T1.现场观众 DESC LIMIT 1"),
        ("比分是多少？|最后比分多少？", "SELECT 主队进球, 客队进球 FROM 比赛 ORDER BY 现场观众 DESC LIMIT 1"),
        (
            "观众第二多的那场是哪天？|第二多的呢，是哪天？",
            "SELECT 比赛日期 FROM 比赛 ORDER BY 现场观众 DESC LIMIT 1 OFFSET 1",
        ),
        fresh=(4,),
    ),
    script(
        (
            "$a有几名外援？|$a有多少名非中国籍球员？",
            f"SELECT COUNT(*) FROM {_SQUAD} WHERE T2.队名 = $a AND T1.国籍 <> '中国'",
        ),
        (
            "都是哪国的？名字也要。|名字和国籍列一下。",
            f"SELECT T1.姓名, T1.国籍 FROM {_SQUAD} WHERE T2.队名 = $a AND T1.国籍 <> '中国'",
        ),
        (
            "一共进了几个球？|他们总共进了多少球？",
            f"SELECT COUNT(*) FROM {_GOALS} JOIN 球队 AS T3 ON T2.球队编号 = T3.球队编号 WHERE T3.队名 = $a "
            "AND T2.国籍 <> '中国'",
        ),
        binds="SELECT T2.队名 FROM 球员 AS T1 JOIN 球队 AS T2 ON T1.球队编号 = T2.球队编号 WHERE T1.国籍 <> '中国' "
        "GROUP BY T2.队名 "
        "HAVING COUNT(*) >= 3",
    ),
)

DOMAIN = Domain("足球联赛", "dev", SCHEMA, rows, (TEAM, PLAYER, GOAL), SCRIPTS)
