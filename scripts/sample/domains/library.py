"""城市图书馆: authors, books, readers, loans; a space, a digit and a bracket in names."""

from __future__ import annotations

from scripts.sample.model import Domain, Entity, Rel, Rows, cat, day, name, num, script, text, year
from scripts.sample.values import CITIES, Rng

SCHEMA = """
CREATE TABLE 作者 (
    作者ID INTEGER PRIMARY KEY,
    作者名 TEXT NOT NULL,
    国籍 TEXT,
    出生年份 INTEGER
);
CREATE TABLE 图书 (
    图书ID INTEGER PRIMARY KEY,
    书名 TEXT NOT NULL,
    "ISBN 号" TEXT,
    作者ID INTEGER REFERENCES 作者(作者ID),
    分类 TEXT NOT NULL,
    出版社 TEXT,
    出版年份 INTEGER,
    页数 INTEGER,
    "定价（元）" REAL,
    "2025年借阅次数" INTEGER
);
CREATE TABLE 读者 (
    读者证号 TEXT PRIMARY KEY,
    姓名 TEXT NOT NULL,
    类型 TEXT, -- 学生、教师、市民、少儿
    性别 TEXT,
    城市 TEXT,
    办证日期 TEXT
);
CREATE TABLE 借阅 (
    借阅ID INTEGER PRIMARY KEY,
    读者证号 TEXT NOT NULL REFERENCES 读者(读者证号),
    图书ID INTEGER NOT NULL REFERENCES 图书(图书ID),
    借出日期 TEXT NOT NULL,
    归还日期 TEXT -- 还没有归还则为空
);
"""

_TITLES = """山那边的灯 长河纪事 海上来信 第七个房间 银杏街往事 风从北方来 纸上的城 一只鹤的旅行 雨巷深处 星图
冬日手记 麦田尽头 石头城 夜航船上 蓝色灯塔 候鸟 南方的雪 茶马旧事 镜中人 远山 旧书店 时间的褶皱 沙漏 无声的钟
长街 梅雨时节 一九八四年的夏天 江南小镇 数学之趣 物理漫谈 宇宙简说 植物图谱 算法入门 编程的乐趣 细胞的故事
天气的秘密 古建筑讲义 瓷器入门 茶的历史 丝绸之路 运河简史 城墙与街巷 食物小史 民国火车 海防旧档 小狐狸找家
月亮上的邮局 蚂蚁王国 会飞的房子 彩虹糖 森林运动会 胖熊日记 种子睡着了 理财第一课 谈判的方法 小店经营学
市场的边界 说“不”的勇气 慢慢走，欣赏啊 “老地方”茶馆 O'Neill家的孩子 谁动了我的琴？""".split()
_KINDS = ["文学"] * 28 + ["科学"] * 8 + ["历史"] * 9 + ["少儿"] * 8 + ["经济"] * 4 + ["文学"] * 10


def rows(rng: Rng) -> Rows:
    """30 authors, 62 books, 400 readers, 3,600 loans."""
    nations = ["中国"] * 18 + ["日本"] * 3 + ["英国"] * 3 + ["法国"] * 2 + ["美国"] * 4
    born = rng.distinct(30, 1928, 1990)
    people = rng.people(430)
    authors = [(i + 1, people[i], nations[i], born[i]) for i in range(30)]
    presses = ["江河文艺出版社", "青桐出版社", "海天科学出版社", "小蜗牛童书", "知新书局"]
    pages, prices = rng.distinct(len(_TITLES), 64, 720), rng.distinct(len(_TITLES), 190, 1280)
    hot = rng.distinct(len(_TITLES), 3, 480)
    books = [
        (
            1001 + i,
            title,
            None if rng.chance(8) else f"978-7-{rng.between(1000, 9999)}-{rng.between(1000, 9999)}-{rng.below(10)}",
            i % 30 + 1 if i < 30 else min(rng.below(30), rng.below(30)) + 1,
            _KINDS[i],
            rng.pick(presses),
            rng.between(1998, 2025),
            pages[i],
            prices[i] / 10,
            hot[i],
        )
        for i, title in enumerate(_TITLES)
    ]
    readers = [
        (
            f"R{i + 1:05d}",
            people[30 + i],
            rng.weighted([("学生", 5), ("市民", 5), ("教师", 2), ("少儿", 3)]),
            rng.pick("男女"),
            CITIES[min(rng.below(8), rng.below(8))][0],
            rng.day("2015-01-01", "2025-08-31"),
        )
        for i in range(400)
    ]
    loans = []
    for i in range(3600):
        month, start = rng.between(1, 9), rng.between(1, 20)
        back = None if rng.chance(6) else f"2025-{month + rng.below(2):02d}-{start + rng.between(1, 8):02d}"
        if back is not None and back < f"2025-{month:02d}-{start:02d}":
            back = f"2025-{month:02d}-28"
        book = 1001 + min(rng.below(len(_TITLES)), rng.below(len(_TITLES)) + 8)
        loans.append((i + 1, f"R{rng.between(1, 400):05d}", book, f"2025-{month:02d}-{start:02d}", back))
    return {"作者": authors, "图书": books, "读者": readers, "借阅": loans}


AUTHOR = Entity(
    "作者",
    "位",
    name("作者名", "名字"),
    cat("国籍", mod="国籍是{v}", phrase="{v}{n}", ask="{s}{d}是哪国人"),
    year("出生年份", "出生"),
    key="作者ID",
    person=True,
    rels=(Rel("图书", "作者ID", verb="写了", most="写的图书最多"),),
)
BOOK = Entity(
    "图书",
    "本",
    name("书名"),
    cat("分类", mod="属于{v}类", phrase="{v}类{n}", ask="{s}{d}属于哪个分类"),
    cat("出版社", mod="由{v}出版", phrase="{v}出版的{n}", ask="{s}{d}是哪家出版社出的", mw="家"),
    cat("作者名", "作者", mod="作者是{v}", phrase="{v}写的{n}", ask="{s}的作者{d}是谁", mw="位", via="作者ID"),
    cat("国籍", "作者国籍", mod="作者来自{v}", ask="{s}的作者{d}是哪国人", via="作者ID", mw="种"),
    num("页数", unit="页", adj="多少", also=("最厚", "最薄"), ask="{s}{d}有多少页", step=50),
    num("定价（元）", "定价", unit="元", also=("最贵", "最便宜"), step=10),
    num("2025年借阅次数", "2025年借阅次数", adj="多少", aggs="avg sum", step=50, ask="{s}2025年{d}被借了多少次"),
    year("出版年份", "出版"),
    text("ISBN 号", "ISBN号", ask="{s}的ISBN号{d}是多少"),
    key="图书ID",
    title="《{v}》",
    rels=(Rel("借阅记录", "图书ID", most="的借阅记录最多"),),
)
READER = Entity(
    "读者",
    "名",
    name("姓名"),
    cat("类型", mod="类型是{v}", phrase="{v}{n}", ask="{s}{d}是哪类读者", mw="种"),
    cat("城市", mod="住在{v}", phrase="{v}的{n}", ask="{s}{d}住在哪个城市"),
    cat("性别", mod="性别为{v}", short="{v}性", phrase="{v}{n}", ask="{s}{d}是男是女", mw="种"),
    day("办证日期", "办证"),
    text("读者证号", ask="{s}的读者证号{d}是多少"),
    key="读者证号",
    person=True,
)
LOAN = Entity(
    "借阅记录",
    "条",
    name("借阅ID"),
    cat("分类", "图书分类", mod="借的是{v}类图书", short="{v}类", ask="{s}借的{d}是哪类图书", via="图书ID", mw="种"),
    cat("类型", "读者类型", mod="读者类型是{v}", ask="{s}的读者{d}是什么类型", via="读者证号", mw="种"),
    cat("书名", "图书", mod="借的是《{v}》", short="《{v}》", ask="{s}借的{d}是哪本书", via="图书ID", mw="本"),
    day("借出日期", "借出"),
    key="借阅ID",
    table="借阅",
    lookup=False,
)

_BOOKS = "图书 AS T1 JOIN 作者 AS T2 ON T1.作者ID = T2.作者ID"
_LOANS = "借阅 AS T1 JOIN 图书 AS T2 ON T1.图书ID = T2.图书ID"
_OUT = "借阅 AS T1 JOIN 读者 AS T2 ON T1.读者证号 = T2.读者证号 JOIN 图书 AS T3 ON T1.图书ID = T3.图书ID"

SCRIPTS = (
    script(
        ("《$a》是谁写的？|《$a》的作者是哪位？", f"SELECT T2.作者名 FROM {_BOOKS} WHERE T1.书名 = $a"),
        (
            "他还写过什么书？|除了这本，他还有哪些书？",
            "SELECT 书名 FROM 图书 WHERE 作者ID = (SELECT 作者ID FROM 图书 WHERE 书名 = $a) AND 书名 <> $a",
        ),
        (
            "这些书里哪本最便宜？|里面最便宜的是哪本？",
            "SELECT 书名 FROM 图书 WHERE 作者ID = (SELECT 作者ID FROM 图书 WHERE 书名 = $a) AND 书名 <> $a "
            'ORDER BY "定价（元）" LIMIT 1',
        ),
        ("他是哪国人？|这位作者来自哪个国家？", f"SELECT T2.国籍 FROM {_BOOKS} WHERE T1.书名 = $a"),
        binds="SELECT 书名 FROM 图书 WHERE 作者ID IN (SELECT 作者ID FROM 图书 GROUP BY 作者ID HAVING COUNT(*) >= 3)",
    ),
    script(
        ("《$a》有几条借阅记录？|《$a》一共被借过多少次？", f"SELECT COUNT(*) FROM {_LOANS} WHERE T2.书名 = $a"),
        (
            "还没还的有几本？|其中还没有归还的呢？",
            f"SELECT COUNT(*) FROM {_LOANS} WHERE T2.书名 = $a AND T1.归还日期 IS NULL",
        ),
        (
            "都是谁借走的？|这些在谁手上？",
            f"SELECT T2.姓名 FROM {_OUT} WHERE T3.书名 = $a AND T1.归还日期 IS NULL",
        ),
        binds="SELECT T2.书名 FROM 借阅 AS T1 JOIN 图书 AS T2 ON T1.图书ID = T2.图书ID WHERE T1.归还日期 IS NULL "
        "GROUP BY T2.书名 HAVING COUNT(*) >= 3",
    ),
    script(
        ("2025年$a一共借出多少次？|$a的借阅记录有多少条？", "SELECT COUNT(*) FROM 借阅 WHERE 借出日期 LIKE $b"),
        ("上个月呢？|那前一个月呢？", "SELECT COUNT(*) FROM 借阅 WHERE 借出日期 LIKE $c"),
        (
            "这个月哪个分类的书借得最多？",
            f"SELECT T2.分类 FROM {_LOANS} WHERE T1.借出日期 LIKE $c GROUP BY T2.分类 ORDER BY COUNT(*) DESC LIMIT 1",
        ),
        (
            "排第二的分类呢？|第二多的是哪类？",
            f"SELECT T2.分类 FROM {_LOANS} WHERE T1.借出日期 LIKE $c GROUP BY T2.分类 ORDER BY COUNT(*) DESC "
            "LIMIT 1 OFFSET 1",
        ),
        binds="VALUES ('5月', '2025-05%', '2025-04%'), ('8月', '2025-08%', '2025-07%'), "
        "('3月', '2025-03%', '2025-02%')",
    ),
    script(
        (
            "比《$a》贵的书有哪些？",
            'SELECT 书名 FROM 图书 WHERE "定价（元）" > (SELECT "定价（元）" FROM 图书 WHERE 书名 = $a)',
        ),
        (
            "有多少本？|一共几本？",
            'SELECT COUNT(*) FROM 图书 WHERE "定价（元）" > (SELECT "定价（元）" FROM 图书 WHERE 书名 = $a)',
        ),
        (
            "比它便宜的呢？|那比它便宜的有多少本？",
            'SELECT COUNT(*) FROM 图书 WHERE "定价（元）" < (SELECT "定价（元）" FROM 图书 WHERE 书名 = $a)',
        ),
        binds='SELECT 书名 FROM 图书 WHERE "定价（元）" > 80 AND "定价（元）" < 118',
    ),
    script(
        ("$a类图书的平均定价是多少？", 'SELECT AVG("定价（元）") FROM 图书 WHERE 分类 = $a'),
        ("$b类呢？", 'SELECT AVG("定价（元）") FROM 图书 WHERE 分类 = $b'),
        (
            "各分类都算一下，从高到低排。|所有分类都列出来，按平均定价从高到低。",
            'SELECT 分类, AVG("定价（元）") FROM 图书 GROUP BY 分类 ORDER BY AVG("定价（元）") DESC',
        ),
        (
            "只看图书超过5本的分类。|少于等于5本的分类不要。",
            'SELECT 分类, AVG("定价（元）") FROM 图书 GROUP BY 分类 HAVING COUNT(*) > 5 '
            'ORDER BY AVG("定价（元）") DESC',
        ),
        binds="VALUES ('文学', '科学'), ('少儿', '历史'), ('科学', '经济')",
        fresh=(2,),
    ),
    script(
        ("书名里带“的”字的图书有哪些？", "SELECT 书名 FROM 图书 WHERE 书名 LIKE '%的%'"),
        ("作者分别是谁？|它们各是谁写的？", f"SELECT T1.书名, T2.作者名 FROM {_BOOKS} WHERE T1.书名 LIKE '%的%'"),
        (
            "只要外国作者的。|把中国作者的去掉。",
            f"SELECT T1.书名, T2.作者名 FROM {_BOOKS} WHERE T1.书名 LIKE '%的%' AND T2.国籍 <> '中国'",
        ),
    ),
)

DOMAIN = Domain("城市图书馆", "train", SCHEMA, rows, (AUTHOR, BOOK, READER, LOAN), SCRIPTS)
