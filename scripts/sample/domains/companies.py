"""企业信息: companies, products, investments; the names that a careless export leaves."""

from __future__ import annotations

from scripts.sample.model import Domain, Entity, Rel, Rows, Value, cat, day, name, num, script, text, year
from scripts.sample.values import CITIES, Rng

SCHEMA = """
CREATE TABLE 公司 (
    "公司 ID" INTEGER PRIMARY KEY,
    公司名称 TEXT NOT NULL,
    行业 TEXT,
    总部城市 TEXT,
    "注册资本（万）" INTEGER, -- 单位：万元
    成立年份 INTEGER,
    "员工数" INTEGER,
    "是否上市(Y/N)" TEXT, -- Y：已上市，N：未上市
    "法人 代表" TEXT,
    "2024年营收（亿元）" REAL
);
CREATE TABLE 产品 (
    产品ID INTEGER PRIMARY KEY,
    产品名 TEXT NOT NULL,
    "公司 ID" INTEGER NOT NULL REFERENCES 公司("公司 ID"),
    品类 TEXT,
    上市年份 INTEGER,
    "年销量（万件）" REAL
);
CREATE TABLE "投资 记录" (
    投资ID INTEGER PRIMARY KEY,
    "公司 ID" INTEGER NOT NULL REFERENCES 公司("公司 ID"), -- 被投公司
    投资方 TEXT NOT NULL,
    轮次 TEXT, -- 天使轮、A轮、B轮、C轮、D轮
    "金额（万元）" INTEGER,
    投资日期 TEXT
);
"""

_HEADS = """云启 恒达 星野 海拓 明德 华润泽 金石 青禾 远景山 天工 乐享 千寻 磐石 瑞兴 百川 东篱 锐捷通 长青 融合
沃土 飞鸟 木兰 极光 盛世 新元 蓝湾 四方 启明 嘉禾 白泽""".split()
_TRADES = {
    "软件": ("科技", ["云文档", "会议助手", "财务软件", "输入法"]),
    "制造": ("机械", ["数控机床", "机械臂", "工业泵", "轴承"]),
    "食品": ("食品", ["速冻水饺", "酸奶", "辣酱", "饼干"]),
    "医药": ("生物医药", ["感冒灵颗粒", "血糖仪", "疫苗", "创可贴"]),
    "物流": ("物流", ["冷链专线", "同城急送", "仓储托管"]),
    "教育": ("教育", ["在线英语", "编程课", "学习平板"]),
}


def rows(rng: Rng) -> Rows:
    """30 companies, 75 products, 160 investments."""
    trades = list(_TRADES)
    capital, staff = rng.distinct(30, 10, 900), rng.distinct(30, 35, 9800)
    founded, sales = rng.distinct(30, 1984, 2022), rng.distinct(30, 4, 4200)
    people = rng.people(30)
    companies = []
    for i, head in enumerate(_HEADS):
        trade, city = trades[i % 6], CITIES[min(rng.below(14), rng.below(14))][0]
        listed = "Y" if rng.chance(40) else "N"
        title = (
            f"{city}{head}{_TRADES[trade][0]}有限公司"
            if listed == "N"
            else f"{head}{_TRADES[trade][0]}（集团）股份有限公司"
        )
        boss = None if rng.chance(7) else people[i]
        row = (i + 1, title, trade, city, capital[i] * 100, founded[i], staff[i], listed, boss, sales[i] / 10)
        companies.append(row)
    sold = rng.distinct(75, 3, 9000)
    products: dict[str, tuple[Value, ...]] = {}
    while len(products) < 75:
        i = len(products)
        c = i if i < 30 else min(rng.below(30), rng.below(30) + 3)
        kind = rng.pick(_TRADES[str(companies[c][2])][1])
        title = f"{_HEADS[c]}{kind}{rng.pick(['', '', ' Pro', ' 2代', ' Lite', '（尊享版）', '-X1'])}"
        if title not in products:
            launched = rng.between(max(founded[c], 2005), 2025)
            products[title] = (i + 1, title, c + 1, kind, launched, sold[i] / 10)
    funds = ["山海资本", "长风基金", "青松林创投", "新城产投", "十分好投资"]
    sums, dates = rng.distinct(160, 20, 4000), rng.days(160, "2015-03-01", "2025-09-01")
    rounds = ["天使轮", "A轮", "A轮", "B轮", "B轮", "C轮", "D轮"]
    deals = [
        (i + 1, i % 30 + 1 if i < 30 else min(rng.below(30), rng.below(30)) + 1, rng.pick(funds), rng.pick(rounds),
         sums[i] * 10, dates[i])
        for i in range(160)
    ]  # fmt: skip
    return {"公司": companies, "产品": list(products.values()), "投资 记录": deals}


COMPANY = Entity(
    "公司",
    "家",
    name("公司名称", "名称"),
    cat("行业", mod="属于{v}行业", phrase="{v}行业的{n}", ask="{s}{d}属于哪个行业"),
    cat("总部城市", "城市", mod="总部在{v}", phrase="总部在{v}的{n}", ask="{s}的总部{d}在哪个城市"),
    cat(
        "是否上市(Y/N)",
        "上市情况",
        groups=False,
        mods={"Y": "已上市", "N": "未上市"},
        shorts={"Y": "已上市", "N": "未上市"},
        ask="{s}{d}上市了吗",
        mw="种",
    ),
    num("注册资本（万）", "注册资本", unit="万元", aggs="avg sum", step=5000),
    num("员工数", unit="人", adj="多少", aggs="avg sum", step=500, ask="{s}{d}有多少员工"),
    num("2024年营收（亿元）", "2024年营收", unit="亿元", aggs="avg sum", step=20, ask="{s}2024年的营收{d}是多少"),
    year("成立年份", "成立"),
    text("法人 代表", "法人代表", ask="{s}的法人代表{d}是谁"),
    key="公司 ID",
    rels=(Rel("产品", "公司 ID"), Rel("投资记录", "公司 ID", verb="获得过", most="获得的投资记录最多")),
)
PRODUCT = Entity(
    "产品",
    "款",
    name("产品名"),
    cat("品类", mod="品类是{v}", phrase="{v}类{n}", ask="{s}的品类{d}是什么", mw="种"),
    cat("行业", mod="所属行业是{v}", phrase="{v}行业的{n}", ask="{s}{d}属于哪个行业", via="公司 ID"),
    cat("公司名称", "公司", mod="由{v}生产", phrase="{v}的{n}", ask="{s}{d}是哪家公司的", mw="家", via="公司 ID"),
    num("年销量（万件）", "年销量", unit="万件", aggs="avg sum", step=50),
    year("上市年份", "上市"),
    key="产品ID",
)
DEAL = Entity(
    "投资记录",
    "条",
    name("投资ID"),
    cat("轮次", mod="轮次为{v}", phrase="{v}的{n}", ask="{s}{d}是哪一轮"),
    cat("投资方", mod="投资方是{v}", phrase="{v}的{n}", ask="{s}的投资方{d}是谁", mw="家"),
    cat("行业", mod="投向{v}行业", phrase="投向{v}行业的{n}", ask="{s}{d}投向哪个行业", via="公司 ID"),
    cat("公司名称", "公司", mod="投给{v}", phrase="投给{v}的{n}", ask="{s}{d}投给了哪家公司", mw="家", via="公司 ID"),
    num("金额（万元）", "金额", unit="万元", aggs="avg sum", step=1000),
    day("投资日期", "投资"),
    key="投资ID",
    table="投资 记录",
    lookup=False,
)

_DEALS = '"投资 记录" AS T1 JOIN 公司 AS T2 ON T1."公司 ID" = T2."公司 ID"'
_GOODS = '产品 AS T1 JOIN 公司 AS T2 ON T1."公司 ID" = T2."公司 ID"'

SCRIPTS = (
    script(
        (
            "$a投过哪些公司？|$a都投资了哪些公司？不要重复。",
            f"SELECT DISTINCT T2.公司名称 FROM {_DEALS} WHERE T1.投资方 = $a",
        ),
        ("一共投了多少钱？|总共投了多少万元？", 'SELECT SUM("金额（万元）") FROM "投资 记录" WHERE 投资方 = $a'),
        ("最大的一笔是多少？|单笔最多投了多少？", 'SELECT MAX("金额（万元）") FROM "投资 记录" WHERE 投资方 = $a'),
        (
            "投给了谁？|这笔投给了哪家公司？",
            f'SELECT T2.公司名称 FROM {_DEALS} WHERE T1.投资方 = $a ORDER BY T1."金额（万元）" DESC LIMIT 1',
        ),
        (
            "这家公司的法人代表是谁？",
            f'SELECT T2."法人 代表" FROM {_DEALS} WHERE T1.投资方 = $a ORDER BY T1."金额（万元）" DESC LIMIT 1',
        ),
        binds='SELECT DISTINCT 投资方 FROM "投资 记录"',
    ),
    script(
        (
            "注册资本超过$a万的公司有几家？|有多少家公司注册资本超过$a万？",
            'SELECT COUNT(*) FROM 公司 WHERE "注册资本（万）" > $a',
        ),
        (
            "已经上市的有几家？|其中上市的呢？",
            'SELECT COUNT(*) FROM 公司 WHERE "注册资本（万）" > $a AND "是否上市(Y/N)" = \'Y\'',
        ),
        (
            "没上市的把名字列出来。|没上市的是哪些？",
            'SELECT 公司名称 FROM 公司 WHERE "注册资本（万）" > $a AND "是否上市(Y/N)" = \'N\'',
        ),
        (
            "员工数也要。|带上员工数。",
            'SELECT 公司名称, 员工数 FROM 公司 WHERE "注册资本（万）" > $a AND "是否上市(Y/N)" = \'N\'',
        ),
        binds="VALUES (30000), (40000), (50000), (60000)",
    ),
    script(
        (
            "$a行业2024年营收最高的是哪家公司？",
            'SELECT 公司名称 FROM 公司 WHERE 行业 = $a ORDER BY "2024年营收（亿元）" DESC LIMIT 1',
        ),
        (
            "它有什么产品？|这家公司有哪些产品？",
            'SELECT 产品名 FROM 产品 WHERE "公司 ID" = (SELECT "公司 ID" FROM 公司 WHERE 行业 = $a '
            'ORDER BY "2024年营收（亿元）" DESC LIMIT 1)',
        ),
        (
            "卖得最好的是哪款？|销量最高的是哪一款？",
            'SELECT 产品名 FROM 产品 WHERE "公司 ID" = (SELECT "公司 ID" FROM 公司 WHERE 行业 = $a '
            'ORDER BY "2024年营收（亿元）" DESC LIMIT 1) ORDER BY "年销量（万件）" DESC LIMIT 1',
        ),
        (
            "$b行业呢？营收最高的公司是哪家？|那$b行业营收最高的公司呢？",
            'SELECT 公司名称 FROM 公司 WHERE 行业 = $b ORDER BY "2024年营收（亿元）" DESC LIMIT 1',
        ),
        binds="SELECT DISTINCT A.行业, B.行业 FROM 公司 AS A JOIN 公司 AS B ON A.行业 < B.行业",
    ),
    script(
        ("$a年一共有多少笔投资？|$a年发生了几笔投资？", 'SELECT COUNT(*) FROM "投资 记录" WHERE 投资日期 LIKE $b'),
        ("上一年呢？|前一年呢？", 'SELECT COUNT(*) FROM "投资 记录" WHERE 投资日期 LIKE $c'),
        ("金额合计多少？|这一年总共投了多少万？", 'SELECT SUM("金额（万元）") FROM "投资 记录" WHERE 投资日期 LIKE $c'),
        (
            "按投资方拆开看。|每个投资方各投了多少？",
            'SELECT 投资方, SUM("金额（万元）") FROM "投资 记录" WHERE 投资日期 LIKE $c GROUP BY 投资方',
        ),
        binds="VALUES (2018, '2018%', '2017%'), (2020, '2020%', '2019%'), (2023, '2023%', '2022%')",
    ),
    script(
        ("哪些公司没有登记法人代表？", 'SELECT 公司名称 FROM 公司 WHERE "法人 代表" IS NULL'),
        ("它们属于什么行业？|行业也列一下。", 'SELECT 公司名称, 行业 FROM 公司 WHERE "法人 代表" IS NULL'),
        (
            "一共有几款产品？|这些公司加起来有多少款产品？",
            f'SELECT COUNT(*) FROM {_GOODS} WHERE T2."法人 代表" IS NULL',
        ),
    ),
)

DOMAIN = Domain("企业信息", "train", SCHEMA, rows, (COMPANY, PRODUCT, DEAL), SCRIPTS)
