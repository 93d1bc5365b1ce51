"""连锁超市: shops, staff, goods, sales; goods' names with quotes of all kinds."""

from __future__ import annotations

from scripts.sample.model import Domain, Entity, Rel, Rows, cat, day, name, num, script, text, year
from scripts.sample.values import Rng

SCHEMA = """
CREATE TABLE 门店 (
    门店编号 INTEGER PRIMARY KEY,
    店名 TEXT NOT NULL,
    城市 TEXT NOT NULL,
    类型 TEXT NOT NULL, -- 社区店、标准店、旗舰店
    面积 INTEGER, -- 单位：平方米
    开业年份 INTEGER,
    电话 TEXT
);
CREATE TABLE 店员 (
    工号 TEXT PRIMARY KEY,
    姓名 TEXT NOT NULL,
    性别 TEXT,
    职位 TEXT,
    月薪 INTEGER, -- 单位：元
    入职日期 TEXT, -- YYYY-MM-DD
    门店编号 INTEGER NOT NULL REFERENCES 门店(门店编号)
);
CREATE TABLE 商品 (
    商品编号 INTEGER PRIMARY KEY,
    商品名 TEXT NOT NULL,
    类别 TEXT NOT NULL,
    产地 TEXT,
    "单价(元)" REAL NOT NULL,
    库存 INTEGER
);
CREATE TABLE 销售 (
    流水号 INTEGER PRIMARY KEY,
    门店编号 INTEGER NOT NULL REFERENCES 门店(门店编号),
    商品编号 INTEGER NOT NULL REFERENCES 商品(商品编号),
    销售日期 TEXT NOT NULL, -- YYYY-MM-DD
    数量 INTEGER NOT NULL,
    支付方式 TEXT
);
"""

_SHOPS = [
    ("徐家汇店", "上海"),
    ("陆家嘴店", "上海"),
    ("五角场店", "上海"),
    ("古北店", "上海"),
    ("中关村店", "北京"),
    ("望京店", "北京"),
    ("国贸店", "北京"),
    ("亦庄店", "北京"),
    ("方庄店", "北京"),
    ("西湖店", "杭州"),
    ("滨江店", "杭州"),
    ("城西店", "杭州"),
    ("新街口店", "南京"),
    ("河西店", "南京"),
    ("春熙路店", "成都"),
    ("天府店", "成都"),
    ("光谷店", "武汉"),
    ("江汉路店", "武汉"),
    ("钟楼店", "西安"),
    ("高新店", "西安"),
    ("天河店", "广州"),
    ("越秀店", "广州"),
    ("番禺店", "广州"),
    ("南山店", "深圳"),
]
_GOODS = {
    "饮料": ["龙井绿茶", "冰红茶", "鲜橙汁", "苏打水", "酸梅汤", "无糖乌龙茶", "椰子水"],
    "零食": ['小熊"软糖"', "山楂片", "海苔脆", "每日坚果", "牛肉干", "虾片", "麻花（原味）"],
    "粮油": ["东北大米", "菜籽油", "荞麦面", "小米", "黑芝麻油", "燕麦片"],
    "日用品": ["洗衣液", "抽纸", "O'Clean牙膏", "沐浴露", "垃圾袋，加厚", "保温杯"],
    "生鲜": ["红富士苹果", "脐橙", "三文鱼", "土鸡蛋", "小番茄", "鲜牛奶"],
    "文具": ["中性笔", "笔记本A5", "荧光笔", "5S胶带"],
}


def rows(rng: Rng) -> Rows:
    """24 shops, 260 people, 38 goods, 6,000 sales."""
    areas, years = rng.distinct(len(_SHOPS), 18, 260), [rng.between(2005, 2024) for _ in _SHOPS]
    shops = [
        (
            i + 1,
            shop,
            city,
            "旗舰店" if areas[i] > 190 else "标准店" if areas[i] > 80 else "社区店",
            areas[i] * 10 + rng.below(9),
            years[i],
            None if rng.chance(15) else f"0{rng.between(10, 99)}-{rng.between(60000000, 69999999)}",
        )
        for i, (shop, city) in enumerate(_SHOPS)
    ]
    pay = rng.distinct(260, 3600, 9800)
    titles = ["收银员"] * 5 + ["理货员"] * 5 + ["生鲜师傅"] * 2 + ["值班经理"]
    staff = [
        (
            f"E{i + 1:04d}",
            person,
            rng.pick("男女"),
            "店长" if i < len(shops) else rng.pick(titles),
            pay[i] + (6000 if i < len(shops) else 0),
            rng.day("2012-03-01", "2025-06-30"),
            i + 1 if i < len(shops) else rng.between(1, len(shops)),
        )
        for i, person in enumerate(rng.people(260))
    ]
    goods_names = [(kind, good) for kind, names in _GOODS.items() for good in names]
    prices, stock = rng.distinct(len(goods_names), 15, 990), rng.distinct(len(goods_names), 20, 900)
    origins = ["浙江", "江苏", "山东", "广东", "福建", "黑龙江", "云南", "四川"]
    goods = [
        (101 + i, good, kind, None if rng.chance(8) else rng.pick(origins), prices[i] / 10, stock[i])
        for i, (kind, good) in enumerate(goods_names)
    ]
    sales = [
        (
            i + 1,
            min(rng.between(1, len(shops)), rng.between(1, len(shops)) + 3),
            101 + min(rng.below(len(goods)), rng.below(len(goods)) + 4),
            rng.day("2025-01-01", "2025-12-31"),
            rng.bell(1, 9),
            rng.weighted([("微信", 5), ("支付宝", 4), ("现金", 1), ("银行卡", 2)]),
        )
        for i in range(6000)
    ]
    return {"门店": shops, "店员": staff, "商品": goods, "销售": sales}


SHOP = Entity(
    "门店",
    "家",
    name("店名"),
    cat("城市", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个城市"),
    cat("类型", mod="类型是{v}", phrase="{v}", mw="种", ask="{s}{d}是什么类型的"),
    num("面积", unit="平方米", adj="大小", aggs="avg sum", step=100),
    year("开业年份", "开业"),
    text("电话", ask="{s}的电话{d}是多少"),
    key="门店编号",
    rels=(Rel("店员", "门店编号"), Rel("销售记录", "门店编号", most="的销售记录最多")),
)
STAFF = Entity(
    "店员",
    "名",
    name("姓名"),
    cat("职位", mod="职位是{v}", phrase="{v}", mw="种", ask="{s}{d}是什么职位"),
    cat("性别", mod="性别为{v}", phrase="{v}店员", short="{v}性", ask="{s}{d}是男是女", mw="种"),
    cat("店名", "门店", mod="在{v}工作", phrase="{v}的{n}", ask="{s}{d}在哪家门店工作", mw="家", via="门店编号"),
    cat("城市", mod="在{v}工作", ask="{s}{d}在哪个城市工作", via="门店编号"),
    num("月薪", unit="元", step=500, ask="{s}的月薪{d}是多少"),
    day("入职日期", "入职"),
    key="工号",
    person=True,
)
GOODS = Entity(
    "商品",
    "种",
    name("商品名"),
    cat("类别", mod="属于{v}类", phrase="{v}类{n}", ask="{s}{d}属于哪个类别"),
    cat("产地", mod="产自{v}", ask="{s}{d}产自哪里"),
    num("单价(元)", "单价", unit="元", also=("最贵", "最便宜"), step=5),
    num("库存", adj="多少", aggs="avg sum", step=50),
    key="商品编号",
    rels=(Rel("销售记录", "商品编号", most="的销售记录最多"),),
)
SALE = Entity(
    "销售记录",
    "条",
    name("流水号"),
    cat("支付方式", mod="用{v}支付", mw="种", ask="{s}{d}用什么支付的"),
    cat("店名", "门店", mod="在{v}成交", ask="{s}{d}是哪家门店的", mw="家", via="门店编号"),
    cat("类别", "商品类别", mod="商品属于{v}类", short="{v}类", ask="{s}{d}卖的是哪类商品", mw="种", via="商品编号"),
    num("数量", adj="多少", aggs="avg sum"),
    key="流水号",
    table="销售",
    lookup=False,
)

_STAFF_SHOP = "店员 AS T1 JOIN 门店 AS T2 ON T1.门店编号 = T2.门店编号"
_SALE_GOODS = "销售 AS T1 JOIN 商品 AS T2 ON T1.商品编号 = T2.商品编号"
_LARGEST = "(SELECT 门店编号 FROM 门店 WHERE 城市 = $a ORDER BY 面积 DESC LIMIT 1)"
_NEVER_NINE = "FROM 商品 WHERE 商品编号 NOT IN (SELECT 商品编号 FROM 销售 WHERE 数量 >= 9)"

SCRIPTS = (
    script(
        ("$a有哪些门店？", "SELECT 店名 FROM 门店 WHERE 城市 = $a"),
        (
            "面积最大的是哪家？|里面哪家最大？",
            "SELECT 店名 FROM 门店 WHERE 城市 = $a ORDER BY 面积 DESC LIMIT 1",
        ),
        (
            "它的店长是谁？|谁在那里当店长？",
            f"SELECT 姓名 FROM 店员 WHERE 职位 = '店长' AND 门店编号 = {_LARGEST}",
        ),
        (
            "他的月薪是多少？|那他一个月拿多少钱？",
            f"SELECT 月薪 FROM 店员 WHERE 职位 = '店长' AND 门店编号 = {_LARGEST}",
        ),
        binds="SELECT 城市 FROM 门店 GROUP BY 城市 HAVING COUNT(*) >= 3",
    ),
    script(
        (
            "$a卖出了多少件？|$a总共卖了多少件？",
            f"SELECT SUM(T1.数量) FROM {_SALE_GOODS} WHERE T2.商品名 = $a",
        ),
        (
            "销售额呢？|那销售额是多少？",
            f'SELECT SUM(T1.数量 * T2."单价(元)") FROM {_SALE_GOODS} WHERE T2.商品名 = $a',
        ),
        (
            "$b呢？|换成$b呢？",
            f'SELECT SUM(T1.数量 * T2."单价(元)") FROM {_SALE_GOODS} WHERE T2.商品名 = $b',
        ),
        (
            "哪家门店卖它卖得最多？|它在哪家门店卖出的件数最多？",
            f"SELECT T3.店名 FROM {_SALE_GOODS} JOIN 门店 AS T3 ON T1.门店编号 = T3.门店编号 "
            "WHERE T2.商品名 = $b GROUP BY T3.店名 ORDER BY SUM(T1.数量) DESC LIMIT 1",
        ),
        binds="SELECT A.商品名, B.商品名 FROM 商品 AS A JOIN 商品 AS B ON A.类别 = B.类别 AND A.商品编号 < B.商品编号",
    ),
    script(
        ("有哪些商品的库存不足300？|库存少于300的商品有哪些？", "SELECT 商品名 FROM 商品 WHERE 库存 < 300"),
        ("单价也列出来。|把它们的单价也写上。", 'SELECT 商品名, "单价(元)" FROM 商品 WHERE 库存 < 300'),
        (
            "从贵到便宜排一下。|按单价从高到低排。",
            'SELECT 商品名, "单价(元)" FROM 商品 WHERE 库存 < 300 ORDER BY "单价(元)" DESC',
        ),
        (
            "不要单价了，换成库存。|顺序不变，单价换成库存。",
            'SELECT 商品名, 库存 FROM 商品 WHERE 库存 < 300 ORDER BY "单价(元)" DESC',
        ),
    ),
    script(
        (
            "2025年$a一共有多少条销售记录？|2025年$a有多少条销售记录？",
            "SELECT COUNT(*) FROM 销售 WHERE 销售日期 LIKE $b",
        ),
        ("下个月呢？|那再下一个月呢？", "SELECT COUNT(*) FROM 销售 WHERE 销售日期 LIKE $c"),
        (
            "其中用微信付的有多少？|里面微信支付的呢？",
            "SELECT COUNT(*) FROM 销售 WHERE 销售日期 LIKE $c AND 支付方式 = '微信'",
        ),
        (
            "现金呢？|用现金付的呢？",
            "SELECT COUNT(*) FROM 销售 WHERE 销售日期 LIKE $c AND 支付方式 = '现金'",
        ),
        (
            "各种支付方式都统计一下吧。|算了，每种支付方式各多少都列出来。",
            "SELECT 支付方式, COUNT(*) FROM 销售 WHERE 销售日期 LIKE $c GROUP BY 支付方式",
        ),
        binds="VALUES ('3月', '2025-03%', '2025-04%'), ('6月', '2025-06%', '2025-07%'), "
        "('9月', '2025-09%', '2025-10%')",
    ),
    script(
        ("有没有哪家门店没登记电话？|哪些门店没有电话？", "SELECT 店名 FROM 门店 WHERE 电话 IS NULL"),
        ("它们都在哪些城市？|分别在哪些城市？去掉重复的。", "SELECT DISTINCT 城市 FROM 门店 WHERE 电话 IS NULL"),
        ("那登记了的有几家？|反过来，有电话的一共多少家？", "SELECT COUNT(*) FROM 门店 WHERE 电话 IS NOT NULL"),
    ),
    script(
        ("$a的店长是谁？", f"SELECT T1.姓名 FROM {_STAFF_SHOP} WHERE T2.店名 = $a AND T1.职位 = '店长'"),
        (
            "收银员呢？|收银员都有谁？",
            f"SELECT T1.姓名 FROM {_STAFF_SHOP} WHERE T2.店名 = $a AND T1.职位 = '收银员'",
        ),
        (
            "他们的平均月薪是多少？",
            f"SELECT AVG(T1.月薪) FROM {_STAFF_SHOP} WHERE T2.店名 = $a AND T1.职位 = '收银员'",
        ),
        ("全店的呢？|全店的平均月薪呢？", f"SELECT AVG(T1.月薪) FROM {_STAFF_SHOP} WHERE T2.店名 = $a"),
        binds="SELECT 店名 FROM 门店",
    ),
    script(
        (
            "哪些商品从来没有一次卖出过9件？|有没有单笔从没卖到过9件的商品？列出来。",
            f"SELECT 商品名 {_NEVER_NINE}",
        ),
        ("有几种？|这样的有多少种？", f"SELECT COUNT(*) {_NEVER_NINE}"),
        ("它们属于哪些类别？不要重复。", f"SELECT DISTINCT 类别 {_NEVER_NINE}"),
    ),
)

DOMAIN = Domain("连锁超市", "train", SCHEMA, rows, (SHOP, STAFF, GOODS, SALE), SCRIPTS)
