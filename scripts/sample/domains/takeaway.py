"""外卖平台: shops, dishes, riders, and a table that is called `order`."""

from __future__ import annotations

from scripts.sample.model import Domain, Entity, Rel, Rows, cat, day, name, num, script, year
from scripts.sample.values import Rng

SCHEMA = """
CREATE TABLE 商家 (
    商家ID INTEGER PRIMARY KEY,
    店名 TEXT NOT NULL,
    菜系 TEXT,
    区域 TEXT,
    评分 REAL,
    "起送价(￥)" INTEGER,
    入驻年份 INTEGER,
    公告 TEXT
);
CREATE TABLE 菜品 (
    菜品ID INTEGER PRIMARY KEY,
    商家ID INTEGER NOT NULL REFERENCES 商家(商家ID),
    菜名 TEXT NOT NULL,
    口味 TEXT, -- 不辣、微辣、中辣、特辣
    价格 REAL NOT NULL,
    月销量 INTEGER
);
CREATE TABLE 骑手 (
    骑手ID INTEGER PRIMARY KEY,
    姓名 TEXT NOT NULL,
    等级 TEXT, -- 青铜、白银、黄金、王者
    年龄 INTEGER,
    注册日期 TEXT
);
CREATE TABLE "order" (
    "order" INTEGER PRIMARY KEY, -- 订单号
    商家ID INTEGER NOT NULL REFERENCES 商家(商家ID),
    骑手ID INTEGER REFERENCES 骑手(骑手ID), -- 到店自取则为空
    下单日期 TEXT NOT NULL,
    金额 REAL NOT NULL,
    "配送时长（分钟）" INTEGER,
    用户评分 INTEGER -- 1到5，未评价为空
);
"""

_SHOPS = [
    ("老街牛肉面", "西北菜"), ("蜀香阁", "川菜"), ("渝味“小面”", "川菜"), ("粤点点", "粤菜"),
    ("顺德食家", "粤菜"), ("湘水人家", "湘菜"), ("辣妹子（大学城店）", "湘菜"), ("东北一家人", "东北菜"),
    ("饺子局", "东北菜"), ("樱花屋", "日料"), ("寿司·初见", "日料"), ("汉堡研究所", "西式快餐"),
    ("Tony's披萨", "西式快餐"), ("炸鸡来了！", "西式快餐"), ("敦煌凉皮", "西北菜"), ("江南小馆", "江浙菜"),
    ("外婆的灶台", "江浙菜"), ("绿野轻食", "轻食"), ("沙拉日记", "轻食"), ("半糖茶饮", "饮品"),
    ("柠檬先生", "饮品"), ("豆浆世家", "饮品"),
]  # fmt: skip
_DISHES = {
    "川菜": ["麻婆豆腐", "回锅肉", "宫保鸡丁", "水煮鱼", "红油抄手"],
    "粤菜": ["虾饺", "叉烧饭", "白切鸡", "艇仔粥", "肠粉"],
    "湘菜": ["剁椒鱼头", "小炒肉", "臭豆腐", "外婆菜炒饭"],
    "东北菜": ["锅包肉", "地三鲜", "酸菜水饺", "猪肉炖粉条"],
    "日料": ["三文鱼寿司", "豚骨拉面", "鳗鱼饭", "味噌汤"],
    "西式快餐": ["双层牛肉堡", "夏威夷披萨", "香辣鸡翅", "薯条（大）"],
    "西北菜": ["牛肉拉面", "羊肉泡馍", "肉夹馍", "凉皮"],
    "江浙菜": ["东坡肉", "龙井虾仁", "葱油拌面", "小笼包"],
    "轻食": ["鸡胸沙拉", "藜麦碗", "全麦三明治"],
    "饮品": ["珍珠奶茶", "柠檬茶", "杨枝甘露", "原味豆浆"],
}


def rows(rng: Rng) -> Rows:
    """22 shops, about 90 dishes, 60 riders, 4,800 orders."""
    marks = rng.distinct(22, 36, 99)
    says = ["满30减5", "新店开业，欢迎光临！", "“今日特价”见菜单", None, None]
    shops = [
        (
            i + 1,
            shop,
            kind,
            rng.weighted([("城东", 4), ("城西", 3), ("大学城", 4), ("开发区", 2)]),
            marks[i] / 20 + 0.05,
            rng.pick([0, 10, 15, 20, 20, 30]),
            rng.between(2016, 2025),
            rng.pick(says),
        )
        for i, (shop, kind) in enumerate(_SHOPS)
    ]
    menu = [(shop[0], dish) for shop in shops for dish in _DISHES[str(shop[2])]]
    prices, sold = rng.distinct(len(menu), 30, 980), rng.distinct(len(menu), 8, 3200)
    hot = {"川菜": 3, "湘菜": 3, "西北菜": 1}
    dishes = [
        (
            i + 1,
            shop,
            dish,
            ["不辣", "微辣", "中辣", "特辣"][min(3, rng.below(2) + rng.below(1 + hot.get(_SHOPS[shop - 1][1], 0)))],
            prices[i] / 10,
            sold[i],
        )
        for i, (shop, dish) in enumerate(menu)
    ]
    people, ages = rng.people(60), [rng.bell(18, 52) for _ in range(60)]
    joined = rng.days(60, "2018-03-01", "2025-06-30")
    levels = [("青铜", 4), ("白银", 4), ("黄金", 3), ("王者", 1)]
    riders = [(801 + i, people[i], rng.weighted(levels), ages[i], joined[i]) for i in range(60)]
    orders = []
    for i in range(4800):
        shop = min(rng.below(22), rng.below(22) + 4) + 1
        rider = None if rng.chance(5) else 801 + min(rng.below(60), rng.below(60) + 10)
        minutes = None if rider is None else rng.bell(12, 70)
        stars = None if rng.chance(35) else rng.weighted([(5, 7), (4, 4), (3, 2), (2, 1), (1, 1)])
        orders.append(
            (100001 + i, shop, rider, rng.day("2025-07-01", "2025-09-30"), rng.bell(120, 1300) / 10, minutes, stars)
        )
    return {"商家": shops, "菜品": dishes, "骑手": riders, "order": orders}


SHOP = Entity(
    "商家",
    "家",
    name("店名"),
    cat("菜系", mod="菜系是{v}", phrase="做{v}的{n}", ask="{s}{d}是什么菜系", mw="种"),
    cat("区域", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个区域"),
    num("评分", unit="分"),
    num("起送价(￥)", "起送价", unit="元", step=5),
    year("入驻年份", "入驻"),
    key="商家ID",
    rels=(Rel("菜品", "商家ID", most="的菜品最多"), Rel("订单", "商家ID", most="的订单最多")),
)
DISH = Entity(
    "菜品",
    "道",
    name("菜名"),
    cat("口味", mod="口味是{v}", phrase="{v}的{n}", ask="{s}的口味{d}是什么", mw="种"),
    cat("店名", "商家", mod="来自{v}", phrase="{v}的{n}", ask="{s}{d}是哪家商家的", mw="家", via="商家ID"),
    cat("菜系", mod="属于{v}", phrase="{v}{n}", ask="{s}{d}是什么菜系", mw="种", via="商家ID"),
    num("价格", unit="元", also=("最贵", "最便宜"), step=5),
    num("月销量", unit="份", adj="高低", aggs="avg sum", step=200),
    key="菜品ID",
)
RIDER = Entity(
    "骑手",
    "名",
    name("姓名"),
    cat("等级", mod="等级为{v}", phrase="{v}{n}", ask="{s}的等级{d}是什么", mw="种"),
    num("年龄", unit="岁", adj="大小", step=5, ask="{s}{d}多大年纪"),
    day("注册日期", "注册"),
    key="骑手ID",
    person=True,
    rels=(Rel("订单", "骑手ID", verb="送了", most="送的订单最多"),),
)
ORDER = Entity(
    "订单",
    "单",
    name("order", "订单号"),
    cat("店名", "商家", mod="来自{v}", phrase="{v}的{n}", ask="{s}{d}是哪家商家的", mw="家", via="商家ID"),
    cat("菜系", mod="菜系是{v}", phrase="{v}的{n}", ask="{s}{d}是什么菜系", mw="种", via="商家ID"),
    cat("区域", "商家区域", mod="商家在{v}", ask="{s}的商家{d}在哪个区域", via="商家ID"),
    cat("等级", "骑手等级", mod="由{v}骑手配送", ask="{s}的骑手{d}是什么等级", mw="种", via="骑手ID"),
    num("金额", unit="元", aggs="avg sum", step=20),
    num("配送时长（分钟）", "配送时长", unit="分钟", adj="长短", step=10),
    key="order",
    table="order",
    lookup=False,
)

_DISH = "菜品 AS T1 JOIN 商家 AS T2 ON T1.商家ID = T2.商家ID"
_ORDER = '"order" AS T1 JOIN 商家 AS T2 ON T1.商家ID = T2.商家ID'
_RODE = '"order" AS T1 JOIN 骑手 AS T2 ON T1.骑手ID = T2.骑手ID'

SCRIPTS = (
    script(
        ("$a有什么菜？|$a都有哪些菜品？", f"SELECT T1.菜名 FROM {_DISH} WHERE T2.店名 = $a"),
        (
            "不辣的有哪些？|我不吃辣，哪些是不辣的？",
            f"SELECT T1.菜名 FROM {_DISH} WHERE T2.店名 = $a AND T1.口味 = '不辣'",
        ),
        ("多少钱？|价格分别是多少？", f"SELECT T1.菜名, T1.价格 FROM {_DISH} WHERE T2.店名 = $a AND T1.口味 = '不辣'"),
        ("这家起送价多少？|起送价呢？", 'SELECT "起送价(￥)" FROM 商家 WHERE 店名 = $a'),
        binds="SELECT DISTINCT T2.店名 FROM 菜品 AS T1 JOIN 商家 AS T2 ON T1.商家ID = T2.商家ID WHERE T1.口味 = '不辣'",
    ),
    script(
        ("$a评分最高的商家是哪家？", "SELECT 店名 FROM 商家 WHERE 区域 = $a ORDER BY 评分 DESC LIMIT 1"),
        (
            "卖得最好的菜是什么？|它月销量最高的菜是哪道？",
            "SELECT 菜名 FROM 菜品 WHERE 商家ID = (SELECT 商家ID FROM 商家 WHERE 区域 = $a ORDER BY 评分 DESC "
            "LIMIT 1) ORDER BY 月销量 DESC LIMIT 1",
        ),
        (
            "多少钱一份？|这道菜多少钱？",
            "SELECT 价格 FROM 菜品 WHERE 商家ID = (SELECT 商家ID FROM 商家 WHERE 区域 = $a ORDER BY 评分 DESC "
            "LIMIT 1) ORDER BY 月销量 DESC LIMIT 1",
        ),
        (
            "那$b呢？评分最高的商家是哪家？|$b评分最高的呢？",
            "SELECT 店名 FROM 商家 WHERE 区域 = $b ORDER BY 评分 DESC LIMIT 1",
        ),
        binds="SELECT DISTINCT A.区域, B.区域 FROM 商家 AS A JOIN 商家 AS B ON A.区域 <> B.区域",
    ),
    script(
        ("2025年$a一共有多少单？|2025年$a的订单量是多少？", 'SELECT COUNT(*) FROM "order" WHERE 下单日期 LIKE $b'),
        ("自取的有多少？|其中到店自取的呢？", 'SELECT COUNT(*) FROM "order" WHERE 下单日期 LIKE $b AND 骑手ID IS NULL'),
        (
            "自取订单的平均金额是多少？|平均每单多少钱？",
            'SELECT AVG(金额) FROM "order" WHERE 下单日期 LIKE $b AND 骑手ID IS NULL',
        ),
        ("骑手送的呢？|配送的呢？", 'SELECT AVG(金额) FROM "order" WHERE 下单日期 LIKE $b AND 骑手ID IS NOT NULL'),
        binds="VALUES ('7月', '2025-07%'), ('8月', '2025-08%'), ('9月', '2025-09%')",
    ),
    script(
        ("送单最多的骑手是谁？", f"SELECT T2.姓名 FROM {_RODE} GROUP BY T2.姓名 ORDER BY COUNT(*) DESC LIMIT 1"),
        ("送了多少单？|一共多少单？", f"SELECT COUNT(*) FROM {_RODE} GROUP BY T2.姓名 ORDER BY COUNT(*) DESC LIMIT 1"),
        (
            "他是什么等级？|这位骑手的等级呢？",
            'SELECT 等级 FROM 骑手 WHERE 骑手ID = (SELECT 骑手ID FROM "order" WHERE 骑手ID IS NOT NULL '
            "GROUP BY 骑手ID ORDER BY COUNT(*) DESC LIMIT 1)",
        ),
        (
            "只算王者骑手，谁送得最多？|王者骑手里呢，谁最多？",
            f"SELECT T2.姓名 FROM {_RODE} WHERE T2.等级 = '王者' GROUP BY T2.姓名 ORDER BY COUNT(*) DESC LIMIT 1",
        ),
    ),
    script(
        ("$a收到过多少条评价？|$a有多少单被评价过？", f"SELECT COUNT(T1.用户评分) FROM {_ORDER} WHERE T2.店名 = $a"),
        ("平均用户评分是多少？|平均几分？", f"SELECT AVG(T1.用户评分) FROM {_ORDER} WHERE T2.店名 = $a"),
        ("一星的有多少？|打1分的有几单？", f"SELECT COUNT(*) FROM {_ORDER} WHERE T2.店名 = $a AND T1.用户评分 = 1"),
        (
            "没有评价的呢？|还没评价的有几单？",
            f"SELECT COUNT(*) FROM {_ORDER} WHERE T2.店名 = $a AND T1.用户评分 IS NULL",
        ),
        binds="SELECT 店名 FROM 商家",
    ),
    script(
        ("配送超过$a分钟的订单有多少？", 'SELECT COUNT(*) FROM "order" WHERE "配送时长（分钟）" > $a'),
        (
            "主要是哪个区域的商家？|哪个区域的商家最多这种情况？",
            f'SELECT T2.区域 FROM {_ORDER} WHERE T1."配送时长（分钟）" > $a GROUP BY T2.区域 ORDER BY COUNT(*) DESC '
            "LIMIT 1",
        ),
        (
            "每个区域分别多少单？|各区域都列一下。",
            f'SELECT T2.区域, COUNT(*) FROM {_ORDER} WHERE T1."配送时长（分钟）" > $a GROUP BY T2.区域',
        ),
        binds="VALUES (45), (50), (55)",
    ),
)

DOMAIN = Domain("外卖平台", "test", SCHEMA, rows, (SHOP, DISH, RIDER, ORDER), SCRIPTS)
