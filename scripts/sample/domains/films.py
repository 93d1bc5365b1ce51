"""电影票房: directors, films, cinemas, screenings; an apostrophe in a name."""

from __future__ import annotations

from scripts.sample.model import Domain, Entity, Rel, Rows, cat, day, name, num, script, year
from scripts.sample.values import CITIES, Rng

SCHEMA = """
CREATE TABLE 导演 (
    导演编号 INTEGER PRIMARY KEY,
    姓名 TEXT NOT NULL,
    国家 TEXT,
    出生年份 INTEGER,
    毕业院校 TEXT
);
CREATE TABLE 影片 (
    影片编号 INTEGER PRIMARY KEY,
    片名 TEXT NOT NULL,
    导演编号 INTEGER NOT NULL REFERENCES 导演(导演编号),
    类型 TEXT,
    上映日期 TEXT,
    片长 INTEGER, -- 分钟
    "director's cut时长" INTEGER, -- 导演剪辑版的分钟数，没有则为空
    "票房（亿元）" REAL,
    评分 REAL -- 满分10分
);
CREATE TABLE 影院 (
    影院编号 INTEGER PRIMARY KEY,
    影院名 TEXT NOT NULL,
    城市 TEXT,
    影厅数 INTEGER,
    座位数 INTEGER
);
CREATE TABLE 场次 (
    场次编号 INTEGER PRIMARY KEY,
    影片编号 INTEGER NOT NULL REFERENCES 影片(影片编号),
    影院编号 INTEGER NOT NULL REFERENCES 影院(影院编号),
    放映日期 TEXT,
    时段 TEXT, -- 上午、下午、晚上
    "票价(元)" INTEGER,
    上座人数 INTEGER
);
"""

_FILMS = """雪落长安 深海回声 一九九七的夏天 追光的人 老城理发店 铁道尽头 星际邮差 奶奶的菜园 无人车站 北方以北
纸飞机 暗流 江湖旧账 第三个证人 浪花一朵朵 隐形人“小李” 荒原之狼 夏夜晚风 爸爸的摩托车 零下四十度 云端之上
侦探社·开张 谁是卧底？ 海岛来客 凌晨三点 红气球 白夜行船 唐人街的雨 马戏团，再见 最后一公里 长江图志
猫先生的假期 狮子山下的面馆 沉默的琴键 花火 月台 逆行 山河远阔 Hello，地球 六号码头""".split()


def rows(rng: Rng) -> Rows:
    """16 directors, 40 films, 22 cinemas, 3,200 screenings."""
    people = rng.people(16)
    born = rng.distinct(16, 1948, 1992)
    schools = ["北方电影学院", "江城戏剧学院", "海滨传媒大学"]
    directors = [
        (i + 1, people[i], rng.weighted([("中国", 7), ("日本", 1), ("法国", 1), ("韩国", 1)]), born[i],
         None if rng.chance(15) else rng.pick(schools))
        for i in range(16)
    ]  # fmt: skip
    kinds = [("剧情", 5), ("喜剧", 4), ("动作", 3), ("科幻", 2), ("悬疑", 3), ("动画", 2)]
    lengths, gross = rng.distinct(40, 82, 168), rng.distinct(40, 12, 5600)
    marks, dates = rng.distinct(40, 41, 95), rng.days(40, "2018-01-05", "2025-09-30")
    films = [
        (
            301 + i,
            title,
            i % 16 + 1 if i < 16 else min(rng.below(16), rng.below(16)) + 1,
            rng.weighted(kinds),
            dates[i],
            lengths[i],
            lengths[i] + rng.between(8, 45) if rng.chance(25) else None,
            gross[i] / 100,
            marks[i] / 10,
        )
        for i, title in enumerate(_FILMS)
    ]
    brands = ["星光影城", "大地幻影影院", "百老汇街影院", "和平影都"]
    halls, seats = [rng.between(4, 14) for _ in range(22)], rng.distinct(22, 420, 2600)
    cinemas = [
        (i + 1, f"{brands[i % 4]}（{CITIES[i * 5 % 9 if i < 9 else i % 7][0]}{i // 4 + 1}店）",
         CITIES[i * 5 % 9 if i < 9 else i % 7][0], halls[i], seats[i])
        for i in range(22)
    ]  # fmt: skip
    prices = {"上午": 29, "下午": 36, "晚上": 45}
    screenings = []
    for i in range(3200):
        part = rng.weighted([("上午", 2), ("下午", 4), ("晚上", 5)])
        screenings.append(
            (
                i + 1,
                301 + min(rng.below(40), rng.below(40) + 5),
                rng.between(1, 22),
                rng.day("2025-10-01", "2025-10-31"),
                part,
                prices[part] + rng.below(12),
                rng.bell(0, 180),
            )
        )
    return {"导演": directors, "影片": films, "影院": cinemas, "场次": screenings}


DIRECTOR = Entity(
    "导演",
    "位",
    name("姓名"),
    cat("国家", mod="来自{v}", phrase="{v}{n}", ask="{s}{d}来自哪个国家"),
    cat("毕业院校", mod="毕业于{v}", phrase="毕业于{v}的{n}", ask="{s}{d}毕业于哪所院校", mw="所"),
    year("出生年份", "出生"),
    key="导演编号",
    person=True,
    rels=(Rel("影片", "导演编号", verb="拍了", most="拍的影片最多"),),
)
FILM = Entity(
    "影片",
    "部",
    name("片名"),
    cat("类型", mod="类型是{v}", phrase="{v}片", ask="{s}{d}是什么类型的", mw="种"),
    cat("姓名", "导演", mod="由{v}执导", phrase="{v}执导的{n}", ask="{s}的导演{d}是谁", mw="位", via="导演编号"),
    num("片长", unit="分钟", adj="长短", step=10, ask="{s}的片长{d}是多少分钟"),
    num("票房（亿元）", "票房", unit="亿元", aggs="avg sum", step=5),
    num("评分", unit="分", ask="{s}的评分{d}是多少"),
    day("上映日期", "上映"),
    key="影片编号",
    title="《{v}》",
    rels=(Rel("场次", "影片编号", verb="排了", most="排的场次最多"),),
)
CINEMA = Entity(
    "影院",
    "家",
    name("影院名"),
    cat("城市", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个城市"),
    num("影厅数", unit="个", adj="多少", aggs="avg sum", ask="{s}{d}有几个影厅"),
    num("座位数", unit="个", adj="多少", aggs="avg sum", step=100, ask="{s}{d}有多少个座位"),
    key="影院编号",
    rels=(Rel("场次", "影院编号", verb="排了", most="排的场次最多"),),
)
SCREENING = Entity(
    "场次",
    "个",
    name("场次编号", "编号"),
    cat("时段", mod="时段是{v}", phrase="{v}的{n}", ask="{s}{d}是什么时段的"),
    cat(
        "片名",
        "影片",
        mod="放映《{v}》",
        short="《{v}》",
        phrase="《{v}》的{n}",
        ask="{s}放映的{d}是哪部影片",
        mw="部",
        via="影片编号",
    ),
    cat("城市", mod="在{v}放映", phrase="{v}的{n}", ask="{s}{d}在哪个城市放映", via="影院编号"),
    num("票价(元)", "票价", unit="元", step=5),
    num("上座人数", unit="人", adj="多少", aggs="avg sum", step=10),
    key="场次编号",
    lookup=False,
)

_FILMS_BY = "影片 AS T1 JOIN 导演 AS T2 ON T1.导演编号 = T2.导演编号"
_SHOWN = "场次 AS T1 JOIN 影片 AS T2 ON T1.影片编号 = T2.影片编号"
_BEST = "(SELECT 导演编号 FROM 影片 ORDER BY 评分 DESC LIMIT 1)"

SCRIPTS = (
    script(
        ("$a拍过哪些电影？|$a执导过哪些影片？", f"SELECT T1.片名 FROM {_FILMS_BY} WHERE T2.姓名 = $a"),
        (
            "票房最高的是哪部？|里面最卖座的是哪一部？",
            f'SELECT T1.片名 FROM {_FILMS_BY} WHERE T2.姓名 = $a ORDER BY T1."票房（亿元）" DESC LIMIT 1',
        ),
        (
            "评分最高的也是它吗？评分最高的是哪部？|那评分最高的呢？",
            f"SELECT T1.片名 FROM {_FILMS_BY} WHERE T2.姓名 = $a ORDER BY T1.评分 DESC LIMIT 1",
        ),
        (
            "他的影片总票房是多少？|这位导演总共拿了多少票房？",
            f'SELECT SUM(T1."票房（亿元）") FROM {_FILMS_BY} WHERE T2.姓名 = $a',
        ),
        binds="SELECT T2.姓名 FROM 影片 AS T1 JOIN 导演 AS T2 ON T1.导演编号 = T2.导演编号 GROUP BY T2.姓名 "
        "HAVING COUNT(*) >= 3",
    ),
    script(
        ("评分最高的影片是哪部？", "SELECT 片名 FROM 影片 ORDER BY 评分 DESC LIMIT 1"),
        ("导演是谁？|谁拍的？", f"SELECT T2.姓名 FROM {_FILMS_BY} ORDER BY T1.评分 DESC LIMIT 1"),
        (
            "他还有别的作品吗？列一下片名。|他的其他影片有哪些？",
            f"SELECT 片名 FROM 影片 WHERE 导演编号 = {_BEST} AND 评分 < (SELECT MAX(评分) FROM 影片)",
        ),
        (
            "按上映时间从早到晚排。|把它们按上映日期从早到晚排一下。",
            f"SELECT 片名 FROM 影片 WHERE 导演编号 = {_BEST} AND 评分 < (SELECT MAX(评分) FROM 影片) ORDER BY 上映日期",
        ),
    ),
    script(
        ("哪些影片有导演剪辑版？", 'SELECT 片名 FROM 影片 WHERE "director\'s cut时长" IS NOT NULL'),
        (
            "剪辑版分别有多长？|它们的剪辑版时长各是多少？",
            'SELECT 片名, "director\'s cut时长" FROM 影片 WHERE "director\'s cut时长" IS NOT NULL',
        ),
        (
            "比院线版多了多少分钟？也列出来。|跟原来的片长差多少？一起列出来。",
            'SELECT 片名, "director\'s cut时长", "director\'s cut时长" - 片长 FROM 影片 '
            'WHERE "director\'s cut时长" IS NOT NULL',
        ),
        (
            "那没有剪辑版的有几部？|没有的呢，一共几部？",
            'SELECT COUNT(*) FROM 影片 WHERE "director\'s cut时长" IS NULL',
        ),
    ),
    script(
        ("《$a》10月份排了多少场？|《$a》一共放映了多少场？", f"SELECT COUNT(*) FROM {_SHOWN} WHERE T2.片名 = $a"),
        ("总共多少人看？|有多少人看了？", f"SELECT SUM(T1.上座人数) FROM {_SHOWN} WHERE T2.片名 = $a"),
        (
            "只算晚上的呢？|晚上场的呢？",
            f"SELECT SUM(T1.上座人数) FROM {_SHOWN} WHERE T2.片名 = $a AND T1.时段 = '晚上'",
        ),
        (
            "那《$b》呢？|换成《$b》呢？",
            f"SELECT SUM(T1.上座人数) FROM {_SHOWN} WHERE T2.片名 = $b AND T1.时段 = '晚上'",
        ),
        binds="SELECT A.片名, B.片名 FROM 影片 AS A JOIN 影片 AS B ON A.类型 = B.类型 AND A.影片编号 < B.影片编号",
    ),
    script(
        ("$a年上映的影片有几部？|$a年上映了多少部影片？", "SELECT COUNT(*) FROM 影片 WHERE 上映日期 LIKE $b"),
        ("后一年呢？|第二年呢？", "SELECT COUNT(*) FROM 影片 WHERE 上映日期 LIKE $c"),
        ("都是哪些？|列出片名。", "SELECT 片名 FROM 影片 WHERE 上映日期 LIKE $c"),
        ("加上类型和评分。|类型和评分也列出来。", "SELECT 片名, 类型, 评分 FROM 影片 WHERE 上映日期 LIKE $c"),
        (
            "7分以下的不要。|只留7分及以上的。",
            "SELECT 片名, 类型, 评分 FROM 影片 WHERE 上映日期 LIKE $c AND 评分 >= 7",
        ),
        binds="VALUES (2018, '2018%', '2019%'), (2019, '2019%', '2020%'), (2021, '2021%', '2022%'), "
        "(2023, '2023%', '2024%')",
    ),
    script(
        (
            "平均票价最高的城市是哪个？|哪个城市看电影平均最贵？",
            "SELECT T2.城市 FROM 场次 AS T1 JOIN 影院 AS T2 ON T1.影院编号 = T2.影院编号 GROUP BY T2.城市 "
            'ORDER BY AVG(T1."票价(元)") DESC LIMIT 1',
        ),
        (
            "最便宜的城市呢？|那最低的呢？",
            "SELECT T2.城市 FROM 场次 AS T1 JOIN 影院 AS T2 ON T1.影院编号 = T2.影院编号 GROUP BY T2.城市 "
            'ORDER BY AVG(T1."票价(元)") LIMIT 1',
        ),
        (
            "各城市都列一下，带上平均票价。|把每个城市的平均票价都给我。",
            'SELECT T2.城市, AVG(T1."票价(元)") FROM 场次 AS T1 JOIN 影院 AS T2 ON T1.影院编号 = T2.影院编号 '
            "GROUP BY T2.城市",
        ),
        fresh=(2,),
    ),
)

DOMAIN = Domain("电影票房", "train", SCHEMA, rows, (DIRECTOR, FILM, CINEMA, SCREENING), SCRIPTS)
