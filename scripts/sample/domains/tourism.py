"""旅游景区: cities, sights, hotels, reviews; 5A as a value and a name that begins with a digit."""

from __future__ import annotations

from scripts.sample.model import Domain, Entity, Rel, Rows, cat, day, name, num, script, text, year
from scripts.sample.values import Rng

SCHEMA = """
CREATE TABLE 城市 (
    城市名 TEXT PRIMARY KEY,
    省份 TEXT NOT NULL,
    "2024年游客量（万人次）" INTEGER,
    最佳季节 TEXT
);
CREATE TABLE 景区 (
    景区号 INTEGER PRIMARY KEY,
    景区名 TEXT NOT NULL,
    城市名 TEXT NOT NULL REFERENCES 城市(城市名),
    级别 TEXT, -- 5A、4A、3A
    类型 TEXT, -- 山水、古镇、古迹、乐园
    门票 INTEGER, -- 元，免费为0
    开放时间 TEXT,
    评分 REAL
);
CREATE TABLE 酒店 (
    酒店号 INTEGER PRIMARY KEY,
    酒店名 TEXT NOT NULL,
    城市名 TEXT NOT NULL REFERENCES 城市(城市名),
    星级 INTEGER,
    "均价（元/晚）" INTEGER,
    客房数 INTEGER,
    开业年份 INTEGER
);
CREATE TABLE 点评 (
    点评号 INTEGER PRIMARY KEY,
    景区号 INTEGER NOT NULL REFERENCES 景区(景区号),
    用户 TEXT,
    分数 INTEGER NOT NULL, -- 1到5
    点评日期 TEXT,
    内容 TEXT
);
"""

_CITIES = [("苏州", "江苏"), ("扬州", "江苏"), ("杭州", "浙江"), ("绍兴", "浙江"), ("黄山", "安徽"), ("厦门", "福建"),
           ("桂林", "广西"), ("大理", "云南"), ("丽江", "云南"), ("成都", "四川"), ("西安", "陕西"), ("洛阳", "河南"),
           ("张家界", "湖南"), ("青岛", "山东")]  # fmt: skip
_SIGHTS = """听雨园 枫桥古渡 山塘水街 瘦湖 个石园 西溪湿地 九曲竹径 鉴湖渔村 兰亭书院 云海峰 古徽村 鼓浪礁
沙坡尾码头 漓江竹筏 象山岩 蝴蝶泉 苍山索道 雪山草甸 束水古镇 宽巷子 熊猫谷 青城栈道 雁塔广场 秦俑博览园 城墙南门
龙门石刻 牡丹园 天门栈道 峡谷玻璃桥 栈桥灯塔 崂山道观 海底世界 欢乐水寨 童话王国""".split()
_PLACES = [
    0,
    0,
    0,
    1,
    1,
    2,
    2,
    3,
    3,
    4,
    4,
    5,
    5,
    6,
    6,
    7,
    7,
    8,
    8,
    9,
    9,
    9,
    10,
    10,
    10,
    11,
    11,
    12,
    12,
    13,
    13,
    13,
    2,
    9,
]


def rows(rng: Rng) -> Rows:
    """14 cities, 34 sights, 56 hotels, 2,600 reviews."""
    visits = rng.distinct(14, 800, 16000)
    cities = [
        (city, province, visits[i], rng.pick(["春季", "秋季", "夏季", "春季、秋季"]))
        for i, (city, province) in enumerate(_CITIES)
    ]
    fees, marks = rng.distinct(34, 10, 240), rng.distinct(34, 31, 99)
    sights = [
        (
            i + 1,
            sight,
            _CITIES[_PLACES[i]][0],
            rng.weighted([("5A", 4), ("4A", 5), ("3A", 2)]),
            rng.pick(["山水", "古镇", "古迹", "乐园"]) if i < 32 else "乐园",
            fees[i],
            rng.pick(["08:00-17:30", "全天", "09:00-21:00", "07:30-18:00"]),
            marks[i] / 20 + 0.05,
        )
        for i, sight in enumerate(_SIGHTS)
    ]
    price, rooms = rng.distinct(56, 98, 1980), rng.distinct(56, 12, 480)
    words = [
        "云栖",
        "半山",
        "听潮",
        "悦来",
        "锦里",
        "花间",
        "拾光",
        "望江",
        "暖冬",
        "松间",
        "归园",
        "月下",
        "栖霞",
        "清风",
    ]
    hotels = []
    for i in range(56):
        city = _CITIES[i % 14 if i < 28 else min(rng.below(14), rng.below(14))][0]
        star = 5 if price[i] > 1300 else 4 if price[i] > 650 else 3
        title = f"{city}{words[i % 14]}{['酒店', '客栈', '假日酒店', '民宿'][i // 14]}"
        hotels.append((i + 1, title, city, star, price[i], rooms[i], rng.between(1998, 2025)))
    says = ["风景很美，值得再来！", "人太多了…", "门票有点贵", "孩子玩得很开心", "“名不虚传”", "交通不方便", None]
    people = rng.people(300)
    reviews = [
        (
            i + 1,
            min(rng.below(34), rng.below(34) + 4) + 1,
            rng.pick(people),
            rng.weighted([(5, 5), (4, 6), (3, 3), (2, 1), (1, 1)]),
            rng.day("2024-06-01", "2025-09-30"),
            rng.pick(says),
        )
        for i in range(2600)
    ]
    return {"城市": cities, "景区": sights, "酒店": hotels, "点评": reviews}


CITY = Entity(
    "城市",
    "座",
    name("城市名", "名字"),
    cat("省份", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个省份"),
    text("最佳季节"),
    num("2024年游客量（万人次）", "2024年游客量", unit="万人次", aggs="avg sum", step=1000, adj="多少"),
    key="城市名",
    rels=(Rel("景区", "城市名"), Rel("酒店", "城市名")),
)
SIGHT = Entity(
    "景区",
    "个",
    name("景区名"),
    cat("城市名", "城市", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个城市"),
    cat("级别", mod="级别为{v}", phrase="{v}级{n}", short="{v}级", ask="{s}{d}是几A级的", mw="种"),
    cat("类型", mod="类型是{v}", phrase="{v}类{n}", short="{v}类", ask="{s}{d}是什么类型", mw="种"),
    cat("省份", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个省份", via="城市名"),
    num("门票", unit="元", also=("门票最贵", "门票最便宜"), step=10, ask="{s}的门票{d}多少钱"),
    num("评分", unit="分"),
    text("开放时间", ask="{s}的开放时间{d}是什么"),
    key="景区号",
    rels=(Rel("点评", "景区号"),),
)
HOTEL = Entity(
    "酒店",
    "家",
    name("酒店名"),
    cat("城市名", "城市", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个城市"),
    cat("星级", mod="是{v}星级", short="{v}星级", phrase="{v}星级{n}", ask="{s}{d}是几星级", mw="种"),
    num("均价（元/晚）", "房价", unit="元", also=("最贵", "最便宜"), step=50, ask="{s}{d}多少钱一晚"),
    num("客房数", unit="间", adj="多少", aggs="avg sum", step=50, ask="{s}{d}有多少间客房"),
    year("开业年份", "开业"),
    key="酒店号",
)
REVIEW = Entity(
    "点评",
    "条",
    name("点评号"),
    cat("分数", mod="打了{v}分", short="{v}分", phrase="{v}分的{n}", ask="{s}{d}打了几分", mw="种"),
    cat("景区名", "景区", mod="评的是{v}", short="{v}", phrase="{v}的{n}", ask="{s}评的{d}是哪个景区", via="景区号"),
    cat("级别", "景区级别", mod="景区级别为{v}", ask="{s}的景区级别{d}是什么", mw="种", via="景区号"),
    day("点评日期", "写下"),
    key="点评号",
    lookup=False,
)

_REVIEWS = "点评 AS T1 JOIN 景区 AS T2 ON T1.景区号 = T2.景区号"

SCRIPTS = (
    script(
        ("我打算去$a玩，有哪些景区？|$a有哪些景区？", "SELECT 景区名 FROM 景区 WHERE 城市名 = $a"),
        (
            "评分最高的是哪个？|哪个口碑最好，也就是评分最高？",
            "SELECT 景区名 FROM 景区 WHERE 城市名 = $a ORDER BY 评分 DESC LIMIT 1",
        ),
        ("门票多少钱？|它的门票要多少？", "SELECT 门票 FROM 景区 WHERE 城市名 = $a ORDER BY 评分 DESC LIMIT 1"),
        (
            "几点开门？给我开放时间。|开放时间呢？",
            "SELECT 开放时间 FROM 景区 WHERE 城市名 = $a ORDER BY 评分 DESC LIMIT 1",
        ),
        (
            "那里住一晚最便宜的酒店是哪家？|再帮我找那座城市最便宜的酒店。",
            'SELECT 酒店名 FROM 酒店 WHERE 城市名 = $a ORDER BY "均价（元/晚）" LIMIT 1',
        ),
        binds="SELECT 城市名 FROM 景区 GROUP BY 城市名 HAVING COUNT(*) >= 2",
    ),
    script(
        ("$a有什么酒店？|想住$a，有哪些酒店？", "SELECT 酒店名 FROM 酒店 WHERE 城市名 = $a"),
        (
            "一晚不超过$b元的呢？|预算每晚$b元以内。",
            'SELECT 酒店名 FROM 酒店 WHERE 城市名 = $a AND "均价（元/晚）" <= $b',
        ),
        (
            "把价格写上，从低到高。|价格也列出来，便宜的排前面。",
            'SELECT 酒店名, "均价（元/晚）" FROM 酒店 WHERE 城市名 = $a AND "均价（元/晚）" <= $b '
            'ORDER BY "均价（元/晚）"',
        ),
        (
            "算了，预算不限。|不管预算了，全部列出来，顺序不变。",
            'SELECT 酒店名, "均价（元/晚）" FROM 酒店 WHERE 城市名 = $a ORDER BY "均价（元/晚）"',
        ),
        binds="SELECT A.城市名, B.column1 FROM (SELECT 城市名 FROM 酒店 GROUP BY 城市名 HAVING COUNT(*) >= 5 "
        'AND MIN("均价（元/晚）") < 700) AS A JOIN (VALUES (800), (1000), (1200)) AS B',
    ),
    script(
        ("$a的平均点评分数是多少？", f"SELECT AVG(T1.分数) FROM {_REVIEWS} WHERE T2.景区名 = $a"),
        ("五分好评有几条？|打5分的有多少条？", f"SELECT COUNT(*) FROM {_REVIEWS} WHERE T2.景区名 = $a AND T1.分数 = 5"),
        (
            "差评呢？两分及以下的。|2分以下（含）的差评有几条？",
            f"SELECT COUNT(*) FROM {_REVIEWS} WHERE T2.景区名 = $a AND T1.分数 <= 2",
        ),
        (
            "都说了什么？去掉重复的。|差评的内容有哪些？不要重复，空的不算。",
            f"SELECT DISTINCT T1.内容 FROM {_REVIEWS} WHERE T2.景区名 = $a AND T1.分数 <= 2 AND T1.内容 IS NOT NULL",
        ),
        binds="SELECT T2.景区名 FROM 点评 AS T1 JOIN 景区 AS T2 ON T1.景区号 = T2.景区号 WHERE T1.分数 <= 2 "
        "GROUP BY T2.景区名 "
        "HAVING COUNT(*) >= 6",
    ),
    script(
        ("2024年游客最多的城市是哪座？", 'SELECT 城市名 FROM 城市 ORDER BY "2024年游客量（万人次）" DESC LIMIT 1'),
        (
            "它有几个5A景区？|那里有多少个5A级景区？",
            "SELECT COUNT(*) FROM 景区 WHERE 级别 = '5A' AND 城市名 = (SELECT 城市名 FROM 城市 "
            'ORDER BY "2024年游客量（万人次）" DESC LIMIT 1)',
        ),
        (
            "不限级别呢？|不看级别，一共有几个？",
            "SELECT COUNT(*) FROM 景区 WHERE 城市名 = (SELECT 城市名 FROM 城市 "
            'ORDER BY "2024年游客量（万人次）" DESC LIMIT 1)',
        ),
        (
            "游客第二多的城市有几个？|游客量排第二的城市呢？",
            "SELECT COUNT(*) FROM 景区 WHERE 城市名 = (SELECT 城市名 FROM 城市 "
            'ORDER BY "2024年游客量（万人次）" DESC LIMIT 1 OFFSET 1)',
        ),
    ),
    script(
        ("门票在$a到$b元之间的景区有哪些？", "SELECT 景区名 FROM 景区 WHERE 门票 BETWEEN $a AND $b"),
        ("它们各在哪座城市？|分别在哪个城市？", "SELECT 景区名, 城市名 FROM 景区 WHERE 门票 BETWEEN $a AND $b"),
        (
            "只要5A的。|里面的5A级景区有哪些？城市也带上。",
            "SELECT 景区名, 城市名 FROM 景区 WHERE 门票 BETWEEN $a AND $b AND 级别 = '5A'",
        ),
        binds="VALUES (50, 100), (60, 120), (80, 150), (100, 180)",
    ),
)

DOMAIN = Domain("旅游景区", "train", SCHEMA, rows, (CITY, SIGHT, HOTEL, REVIEW), SCRIPTS)
