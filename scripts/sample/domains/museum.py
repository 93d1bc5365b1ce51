"""博物馆藏品: museums, objects, exhibitions, loans; a name that itself holds quotes."""

from __future__ import annotations

from scripts.sample.model import Domain, Entity, Rel, Rows, Value, cat, day, name, num, script, year
from scripts.sample.values import Rng

SCHEMA = """
CREATE TABLE 博物馆 (
    馆号 INTEGER PRIMARY KEY,
    馆名 TEXT NOT NULL,
    城市 TEXT,
    级别 TEXT, -- 一级、二级、三级
    建馆年份 INTEGER,
    "年参观人数（万）" REAL
);
CREATE TABLE 藏品 (
    藏品号 TEXT PRIMARY KEY,
    藏品名 TEXT NOT NULL,
    "俗称""别名""\" TEXT, -- 没有则为空
    类别 TEXT, -- 瓷器、青铜器、书画、玉器、钱币
    年代 TEXT,
    "重量(g)" INTEGER,
    入藏年份 INTEGER,
    馆号 INTEGER NOT NULL REFERENCES 博物馆(馆号)
);
CREATE TABLE 展览 (
    展览号 INTEGER PRIMARY KEY,
    展览名 TEXT NOT NULL,
    馆号 INTEGER NOT NULL REFERENCES 博物馆(馆号),
    类型 TEXT, -- 常设展、特展、巡展
    开展日期 TEXT,
    "票价/元" INTEGER,
    观众人次 INTEGER
);
CREATE TABLE 展出 (
    展览号 INTEGER NOT NULL REFERENCES 展览(展览号),
    藏品号 TEXT NOT NULL REFERENCES 藏品(藏品号),
    展柜 TEXT,
    PRIMARY KEY (展览号, 藏品号)
);
"""

_MUSEUMS = [("江淮博物馆", "合肥"), ("秦岭博物馆", "西安"), ("三江口博物馆", "宁波"), ("楚风博物馆", "武汉"),
            ("海上丝路博物馆", "泉州"), ("陶瓷之都博物馆", "景德镇"), ("古滇国博物馆", "昆明"), ("钱币博物馆", "北京"),
            ("长城文化馆", "北京"), ("运河博物馆", "扬州"), ("汴梁博物馆", "开封"), ("敦煌写卷馆", "敦煌"),
            ("瑶琳玉器馆", "杭州"), ("书画艺术馆", "杭州"), ("兵器陈列馆", "西安"), ("渔港民俗馆", "宁波")]  # fmt: skip
_PARTS = {
    "瓷器": (["青花", "粉彩", "白釉", "影青", "钧窑"], ["缠枝莲纹瓶", "人物故事罐", "花口碗", "双耳炉", "执壶"]),
    "青铜器": (["兽面纹", "蟠螭纹", "夔龙纹", "云雷纹"], ["鼎", "方彝", "编钟", "铜镜", "爵"]),
    "书画": (["设色", "水墨", "绢本", "行书"], ["山水图", "花鸟册", "诗卷", "渔隐图"]),
    "玉器": (["青玉", "白玉", "墨玉"], ["龙形佩", "琮", "璧", "带钩", "卧鹿"]),
    "钱币": (["开元", "崇宁", "五铢", "永乐"], ["铜钱", "银锭", "铁母"]),
}


def rows(rng: Rng) -> Rows:
    """16 museums, 280 objects, 60 exhibitions, about 900 showings."""
    built, visits = rng.distinct(16, 1925, 2019), rng.distinct(16, 30, 6200)
    museums = [
        (i + 1, museum, city, rng.weighted([("一级", 2), ("二级", 3), ("三级", 3)]), built[i], visits[i] / 10)
        for i, (museum, city) in enumerate(_MUSEUMS)
    ]
    ages = ["商", "西周", "汉", "唐", "宋", "宋", "元", "明", "明", "清", "清"]
    pairs = [(kind, a, b) for kind, (heads, tails) in _PARTS.items() for a in heads for b in tails]
    weights = rng.distinct(280, 3, 24000)
    nicknames = ["国之瑰宝", "小胖子", "“镇馆之宝”", "一见如故", "月下美人", "老铁"]
    objects: list[tuple[Value, ...]] = []
    seen: set[str] = set()
    while len(objects) < 280:
        kind, a, b = rng.pick(pairs)
        age, i = rng.pick(ages), len(objects)
        title = f"{age}{a}{b}"
        if title in seen:
            title += f"（之{'二三四五六七八九'[rng.below(8)]}）"
        if title in seen:
            continue
        seen.add(title)
        nickname = rng.pick(nicknames) if rng.chance(9) else None
        house = min(rng.below(16), rng.below(16) + 3)
        objects.append((f"W{i + 1:04d}", title, nickname, kind, age, weights[i], rng.between(1950, 2024), house + 1))
    themes = [
        "丝路遗珍",
        "窑火千年",
        "金石有声",
        "丹青雅集",
        "玉润东方",
        "泉界大观",
        "海客谈瀛",
        "礼乐中国",
        "匠心独运",
        "清风徐来",
        "盛世华章",
        "江山如画",
        "吉金铸史",
        "岁月留痕",
        "古道新语",
    ]
    kinds, seats = ["特展", "常设展", "特展", "巡展"], rng.distinct(60, 12, 980)
    dates = rng.days(60, "2019-01-10", "2025-09-20")
    shows = [
        (
            i + 1,
            f"{themes[i % 15]}{['', '（第二季）', '（第三季）', '：再相逢'][i // 15]}",
            i % 16 + 1 if i < 16 else min(rng.below(16), rng.below(16)) + 1,
            kinds[i // 15],
            dates[i],
            0 if rng.chance(30) else 10 * rng.between(1, 12),
            seats[i] * 100 + rng.below(100),
        )
        for i in range(60)
    ]  # fmt: skip
    shown = []
    for show in shows:
        for item in rng.some(objects, rng.between(8, 22)):
            shown.append((show[0], item[0], f"{rng.pick('ABCD')}-{rng.between(1, 24)}"))
    return {"博物馆": museums, "藏品": objects, "展览": shows, "展出": shown}


MUSEUM = Entity(
    "博物馆",
    "家",
    name("馆名"),
    cat("城市", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个城市"),
    cat("级别", mod="级别为{v}", phrase="{v}{n}", ask="{s}的级别{d}是什么", mw="种"),
    year("建馆年份", "建馆"),
    num("年参观人数（万）", "年参观人数", unit="万", adj="多少", aggs="avg sum", step=50),
    key="馆号",
    rels=(Rel("藏品", "馆号"), Rel("展览", "馆号", verb="办过", most="办过的展览最多")),
)
OBJECT = Entity(
    "藏品",
    "件",
    name("藏品名"),
    cat("类别", mod="类别是{v}", phrase="{v}", ask="{s}{d}属于什么类别", mw="种"),
    cat("年代", mod="年代为{v}代", short="{v}代", phrase="{v}代的{n}", ask="{s}{d}是哪个年代的"),
    cat("馆名", "博物馆", mod="收藏于{v}", phrase="{v}的{n}", ask="{s}{d}收藏在哪家博物馆", mw="家", via="馆号"),
    cat("城市", mod="收藏在{v}", ask="{s}{d}收藏在哪个城市", via="馆号"),
    num("重量(g)", "重量", unit="克", adj="大小", also=("最重", "最轻"), step=500),
    year("入藏年份", "入藏"),
    key="藏品号",
    rels=(Rel("展出记录", "藏品号", most="的展出记录最多"),),
)
SHOW = Entity(
    "展览",
    "个",
    name("展览名"),
    cat("类型", mod="类型是{v}", phrase="{v}", ask="{s}{d}是什么类型", mw="种"),
    cat("馆名", "博物馆", mod="由{v}举办", phrase="{v}的{n}", ask="{s}{d}是哪家博物馆办的", mw="家", via="馆号"),
    cat("城市", mod="在{v}举办", phrase="在{v}举办的{n}", ask="{s}{d}在哪个城市举办", via="馆号"),
    num("票价/元", "票价", unit="元", also=("票价最贵", "票价最便宜"), step=10),
    num("观众人次", adj="多少", aggs="avg sum", step=5000),
    day("开展日期", "开展"),
    key="展览号",
    title="“{v}”展览",
)
SHOWING = Entity(
    "展出记录",
    "条",
    name("藏品号"),
    cat("类别", "藏品类别", mod="藏品类别是{v}", ask="{s}的藏品类别{d}是什么", mw="种", via="藏品号"),
    cat("展览名", "展览", mod="属于“{v}”展览", short="“{v}”", ask="{s}{d}属于哪个展览", via="展览号"),
    cat("类型", "展览类型", mod="展览类型是{v}", ask="{s}的展览类型{d}是什么", mw="种", via="展览号"),
    key="藏品号",
    table="展出",
    lookup=False,
)

_OBJECTS = "藏品 AS T1 JOIN 博物馆 AS T2 ON T1.馆号 = T2.馆号"
_SHOWN = "展出 AS T1 JOIN 藏品 AS T2 ON T1.藏品号 = T2.藏品号 JOIN 展览 AS T3 ON T1.展览号 = T3.展览号"

SCRIPTS = (
    script(
        ("$a收藏了哪些$b？|$a有哪些$b藏品？", f"SELECT T1.藏品名 FROM {_OBJECTS} WHERE T2.馆名 = $a AND T1.类别 = $b"),
        (
            "有多少件是宋代的？|其中宋代的有几件？",
            f"SELECT COUNT(*) FROM {_OBJECTS} WHERE T2.馆名 = $a AND T1.类别 = $b AND T1.年代 = '宋'",
        ),
        (
            "最重的是哪件？不限年代。|不管年代，哪件最重？",
            f'SELECT T1.藏品名 FROM {_OBJECTS} WHERE T2.馆名 = $a AND T1.类别 = $b ORDER BY T1."重量(g)" DESC LIMIT 1',
        ),
        ("有多重？|它重多少克？", f'SELECT MAX(T1."重量(g)") FROM {_OBJECTS} WHERE T2.馆名 = $a AND T1.类别 = $b'),
        (
            "是哪一年入藏的？|它什么时候入藏的？",
            f'SELECT T1.入藏年份 FROM {_OBJECTS} WHERE T2.馆名 = $a AND T1.类别 = $b ORDER BY T1."重量(g)" DESC '
            "LIMIT 1",
        ),
        binds="SELECT T2.馆名, T1.类别 FROM 藏品 AS T1 JOIN 博物馆 AS T2 ON T1.馆号 = T2.馆号 "
        "GROUP BY T2.馆名, T1.类别 "
        "HAVING COUNT(*) BETWEEN 5 AND 15 AND SUM(T1.年代 = '宋') > 0",
    ),
    script(
        ("哪些藏品有别名？|有俗称的藏品有哪些？", 'SELECT 藏品名 FROM 藏品 WHERE "俗称""别名""" IS NOT NULL'),
        (
            "别名分别是什么？|它们的俗称各是什么？",
            'SELECT 藏品名, "俗称""别名""" FROM 藏品 WHERE "俗称""别名""" IS NOT NULL',
        ),
        (
            "只看瓷器。|里面瓷器有哪些？",
            'SELECT 藏品名, "俗称""别名""" FROM 藏品 WHERE "俗称""别名""" IS NOT NULL AND 类别 = \'瓷器\'',
        ),
    ),
    script(
        ("“$a”展览展出了多少件藏品？", f"SELECT COUNT(*) FROM {_SHOWN} WHERE T3.展览名 = $a"),
        (
            "按类别分一下。|各类别分别几件？",
            f"SELECT T2.类别, COUNT(*) FROM {_SHOWN} WHERE T3.展览名 = $a GROUP BY T2.类别",
        ),
        (
            "把其中的书画列出来。|书画有哪些？",
            f"SELECT T2.藏品名 FROM {_SHOWN} WHERE T3.展览名 = $a AND T2.类别 = '书画'",
        ),
        (
            "展柜号也要。|分别在哪个展柜？",
            f"SELECT T2.藏品名, T1.展柜 FROM {_SHOWN} WHERE T3.展览名 = $a AND T2.类别 = '书画'",
        ),
        binds="SELECT T3.展览名 FROM 展出 AS T1 JOIN 藏品 AS T2 ON T1.藏品号 = T2.藏品号 "
        "JOIN 展览 AS T3 ON T1.展览号 = T3.展览号 "
        "WHERE T2.类别 = '书画' GROUP BY T3.展览名 HAVING COUNT(*) >= 2",
    ),
    script(
        (
            "$a的免费展览有哪些？|在$a有什么不要钱的展览？",
            "SELECT T1.展览名 FROM 展览 AS T1 JOIN 博物馆 AS T2 ON T1.馆号 = T2.馆号 WHERE T2.城市 = $a "
            'AND T1."票价/元" = 0',
        ),
        (
            "收费的呢？|要买票的呢？",
            "SELECT T1.展览名 FROM 展览 AS T1 JOIN 博物馆 AS T2 ON T1.馆号 = T2.馆号 WHERE T2.城市 = $a "
            'AND T1."票价/元" > 0',
        ),
        (
            "票价也列出来。|都多少钱？",
            'SELECT T1.展览名, T1."票价/元" FROM 展览 AS T1 JOIN 博物馆 AS T2 ON T1.馆号 = T2.馆号 '
            'WHERE T2.城市 = $a AND T1."票价/元" > 0',
        ),
        (
            "观众最多的是哪个？|里面哪个展览观众人次最多？",
            "SELECT T1.展览名 FROM 展览 AS T1 JOIN 博物馆 AS T2 ON T1.馆号 = T2.馆号 WHERE T2.城市 = $a "
            'AND T1."票价/元" > 0 ORDER BY T1.观众人次 DESC LIMIT 1',
        ),
        binds="SELECT T2.城市 FROM 展览 AS T1 JOIN 博物馆 AS T2 ON T1.馆号 = T2.馆号 GROUP BY T2.城市 "
        'HAVING MIN(T1."票价/元") = 0 AND MAX(T1."票价/元") > 0',
    ),
    script(
        (
            "从来没有展出过的藏品有几件？|有多少件藏品一次都没展出过？",
            "SELECT COUNT(*) FROM 藏品 WHERE 藏品号 NOT IN (SELECT 藏品号 FROM 展出)",
        ),
        ("都是哪些？|列出名字。", "SELECT 藏品名 FROM 藏品 WHERE 藏品号 NOT IN (SELECT 藏品号 FROM 展出)"),
        (
            "它们在哪些博物馆？不要重复。",
            f"SELECT DISTINCT T2.馆名 FROM {_OBJECTS} WHERE T1.藏品号 NOT IN (SELECT 藏品号 FROM 展出)",
        ),
        ("反过来，展出过的有多少件？|展出过的呢，一共几件？", "SELECT COUNT(DISTINCT 藏品号) FROM 展出"),
    ),
)

DOMAIN = Domain("博物馆藏品", "dev", SCHEMA, rows, (MUSEUM, OBJECT, SHOW, SHOWING), SCRIPTS)
