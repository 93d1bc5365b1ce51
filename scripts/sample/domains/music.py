"""音乐平台: singers, albums, songs, plays; an all-Latin value here and there."""

from __future__ import annotations

from scripts.sample.model import Domain, Entity, Rel, Rows, cat, day, name, num, script, year
from scripts.sample.values import CITIES, Rng

SCHEMA = """
CREATE TABLE 歌手 (
    歌手ID INTEGER PRIMARY KEY,
    歌手名 TEXT NOT NULL,
    性别 TEXT, -- 男、女、组合
    籍贯 TEXT,
    出道年份 INTEGER,
    "粉丝数(万)" REAL
);
CREATE TABLE 专辑 (
    专辑ID INTEGER PRIMARY KEY,
    专辑名 TEXT NOT NULL,
    歌手ID INTEGER NOT NULL REFERENCES 歌手(歌手ID),
    发行日期 TEXT,
    语种 TEXT,
    售价 REAL -- 免费专辑为空
);
CREATE TABLE 歌曲 (
    歌曲ID INTEGER PRIMARY KEY,
    歌名 TEXT NOT NULL,
    专辑ID INTEGER NOT NULL REFERENCES 专辑(专辑ID),
    曲风 TEXT,
    "时长(秒)" INTEGER,
    收藏数 INTEGER,
    是否VIP TEXT -- 是、否
);
CREATE TABLE 播放 (
    播放ID INTEGER PRIMARY KEY,
    歌曲ID INTEGER NOT NULL REFERENCES 歌曲(歌曲ID),
    播放日期 TEXT NOT NULL,
    设备 TEXT, -- 手机、电脑、车载、音箱
    "完整播放?" TEXT -- 是、否
);
"""

_SONGS = """晴天以后 旧信封 北风吹 单车与你 末班地铁 海盐味的风 我们都一样 想念是一场雨 凌晨四点的城 路灯 纸船
慢慢来 桃花渡 长安夜 蒲公英 Hello再见 南方姑娘 雪人 逆光飞行 半个月亮 不说再见 下雨的星期一 一杯热茶 故乡的河
向日葵 沿海公路 无名之歌 左手的温度 三十岁 失眠俱乐部 Rock'n'Roll少年 麦浪 明天见！ 小宇宙 时差 火车开往冬天
追风筝 咖啡馆3号桌 星星点灯火 “假如” 一千零一夜的沉默 橘子汽水 你好，陌生人 隔壁的吉他 白色衬衫 云上 石板路
夏天的尾巴 寄居蟹 萤火 最后的华尔兹 天台 风铃 梦里水乡人家 蓝调星期天 沉船 归途 暖阳 山谷回音 鲸落之后
写给十年后 冬眠 城南旧梦 指南针 野草 倒带 透明雨伞 远方来信 快乐星球人 四季歌谣""".split()
_ALBUMS = """初见 海岸线 黑白之间 城市民谣 长途旅行 第二人生 The Road 回声 春分 留白 逆流 夜色温柔 一半一半 拾光
MONSOON 半岛 无题 八月 新世界 独白 花期 高原 烟火人间 浮生""".split()


def rows(rng: Rng) -> Rows:
    """18 singers, 24 albums, 72 songs, 5,200 plays."""
    groups = ["青苔乐队", "北纬30°", "木吉他姐妹", "夜航乐团"]
    people = [*rng.people(14), *groups]
    fans, debut = rng.distinct(18, 12, 9800), rng.distinct(18, 1990, 2023)
    singers = [
        (
            i + 1,
            singer,
            "组合" if i >= 14 else rng.pick("男女"),
            None if i >= 14 and rng.chance(50) else CITIES[rng.below(12)][0],
            debut[i],
            fans[i] / 10,
        )
        for i, singer in enumerate(people)
    ]
    titles = [title for title in " ".join(_ALBUMS).replace("The Road", "The_Road").split()]
    dates = rng.days(24, "2008-01-01", "2025-08-31")
    albums = [
        (
            i + 1,
            titles[i].replace("_", " "),
            i + 1 if i < 18 else min(rng.below(18), rng.below(18)) + 1,
            dates[i],
            rng.weighted([("国语", 7), ("粤语", 3), ("英语", 1)]),
            None if rng.chance(20) else rng.between(10, 60) * 1.0,
        )
        for i in range(24)
    ]
    seconds, kept = rng.distinct(len(_SONGS), 135, 420), rng.distinct(len(_SONGS), 200, 98000)
    styles = [("流行", 6), ("民谣", 4), ("摇滚", 3), ("电子", 2), ("古风", 2)]
    songs = [
        (
            i + 1,
            song,
            i % 24 + 1 if i < 48 else rng.between(1, 24),
            rng.weighted(styles),
            seconds[i],
            kept[i],
            rng.weighted([("否", 6), ("是", 4)]),
        )
        for i, song in enumerate(_SONGS)
    ]
    plays = [
        (
            i + 1,
            min(rng.below(len(_SONGS)), rng.below(len(_SONGS)) + 6) + 1,
            rng.day("2025-08-01", "2025-09-30"),
            rng.weighted([("手机", 8), ("电脑", 3), ("车载", 2), ("音箱", 2)]),
            rng.weighted([("是", 7), ("否", 3)]),
        )
        for i in range(5200)
    ]
    return {"歌手": singers, "专辑": albums, "歌曲": songs, "播放": plays}


SINGER = Entity(
    "歌手",
    "位",
    name("歌手名", "名字"),
    cat("性别", mod="性别为{v}", mods={"组合": "是组合"}, phrase="{v}{n}", short="{v}歌手", shorts={"组合": "组合"},
        ask="{s}{d}是男是女还是组合", mw="种"),
    cat("籍贯", mod="籍贯是{v}", phrase="籍贯是{v}的{n}", ask="{s}的籍贯{d}是哪里"),
    num("粉丝数(万)", "粉丝数", unit="万", adj="多少", aggs="avg sum", step=50),
    year("出道年份", "出道"),
    key="歌手ID",
    person=True,
    rels=(Rel("专辑", "歌手ID", verb="发行了", most="发行的专辑最多"),),
)  # fmt: skip
ALBUM = Entity(
    "专辑",
    "张",
    name("专辑名"),
    cat("语种", mod="语种是{v}", phrase="{v}{n}", ask="{s}的语种{d}是什么", mw="种"),
    cat("歌手名", "歌手", mod="歌手是{v}", phrase="{v}的{n}", ask="{s}{d}是谁的专辑", mw="位", via="歌手ID"),
    day("发行日期", "发行"),
    key="专辑ID",
    title="《{v}》",
    rels=(Rel("歌曲", "专辑ID", verb="收录了", most="收录的歌曲最多"),),
)
SONG = Entity(
    "歌曲",
    "首",
    name("歌名"),
    cat("曲风", mod="曲风是{v}", phrase="{v}{n}", ask="{s}{d}是什么曲风", mw="种"),
    cat(
        "是否VIP",
        "是否VIP",
        groups=False,
        mods={"是": "是VIP专享", "否": "不是VIP专享"},
        shorts={"是": "VIP专享", "否": "非VIP"},
        ask="{s}{d}是VIP专享吗",
        mw="种",
    ),
    cat(
        "专辑名",
        "专辑",
        mod="收录于《{v}》",
        short="《{v}》",
        phrase="《{v}》里的{n}",
        ask="{s}{d}收录在哪张专辑",
        mw="张",
        via="专辑ID",
    ),
    cat("歌手名", "歌手", mod="由{v}演唱", phrase="{v}的{n}", ask="{s}{d}是谁唱的", mw="位", via="专辑ID/歌手ID"),
    num("时长(秒)", "时长", unit="秒", adj="长短", step=20, ask="{s}的时长{d}是多少秒"),
    num("收藏数", unit="次", adj="多少", aggs="avg sum", step=5000),
    key="歌曲ID",
    title="《{v}》",
    rels=(Rel("播放记录", "歌曲ID", most="的播放记录最多"),),
)
PLAY = Entity(
    "播放记录",
    "条",
    name("播放ID"),
    cat("设备", mod="设备是{v}", phrase="用{v}播放的{n}", short="{v}", ask="{s}{d}来自什么设备", mw="种"),
    cat(
        "完整播放?",
        "完整播放",
        groups=False,
        mods={"是": "完整播放", "否": "没有完整播放"},
        shorts={"是": "完整播放", "否": "没播完"},
        ask="{s}{d}播完了吗",
        mw="种",
    ),
    cat(
        "歌名",
        "歌曲",
        mod="歌曲是《{v}》",
        short="《{v}》",
        phrase="《{v}》的{n}",
        ask="{s}放的{d}是哪首歌曲",
        mw="首",
        via="歌曲ID",
    ),
    cat("曲风", mod="曲风是{v}", phrase="{v}歌曲的{n}", ask="{s}的曲风{d}是什么", mw="种", via="歌曲ID"),
    cat("歌手名", "歌手", mod="歌手是{v}", ask="{s}的歌手{d}是谁", mw="位", via="歌曲ID/专辑ID/歌手ID"),
    day("播放日期", "播放"),
    key="播放ID",
    table="播放",
    lookup=False,
)

_SUNG = "歌曲 AS T1 JOIN 专辑 AS T2 ON T1.专辑ID = T2.专辑ID JOIN 歌手 AS T3 ON T2.歌手ID = T3.歌手ID"
_PLAYED = "播放 AS T1 JOIN 歌曲 AS T2 ON T1.歌曲ID = T2.歌曲ID"
_WHO = "SELECT T2.歌手ID FROM 歌曲 AS T1 JOIN 专辑 AS T2 ON T1.专辑ID = T2.专辑ID WHERE T1.歌名 = $a"

SCRIPTS = (
    script(
        ("《$a》是谁唱的？|谁唱的《$a》？", f"SELECT T3.歌手名 FROM {_SUNG} WHERE T1.歌名 = $a"),
        (
            "他还有什么歌？|除了这首，还唱过哪些歌？",
            f"SELECT T1.歌名 FROM {_SUNG} WHERE T3.歌手ID = ({_WHO}) AND T1.歌名 <> $a",
        ),
        (
            "收藏最多的是哪首？|这些歌里哪首收藏数最多？",
            f"SELECT T1.歌名 FROM {_SUNG} WHERE T3.歌手ID = ({_WHO}) AND T1.歌名 <> $a ORDER BY T1.收藏数 DESC LIMIT 1",
        ),
        (
            "在哪张专辑里？|它收录在哪张专辑？",
            f"SELECT T2.专辑名 FROM {_SUNG} WHERE T3.歌手ID = ({_WHO}) AND T1.歌名 <> $a ORDER BY T1.收藏数 DESC "
            "LIMIT 1",
        ),
        binds="SELECT T1.歌名 FROM 歌曲 AS T1 JOIN 专辑 AS T2 ON T1.专辑ID = T2.专辑ID WHERE T2.歌手ID IN "
        "(SELECT A.歌手ID FROM 专辑 AS A JOIN 歌曲 AS B ON A.专辑ID = B.专辑ID GROUP BY A.歌手ID HAVING COUNT(*) >= 4)",
    ),
    script(
        (
            "《$a》这张专辑有几首歌？|专辑《$a》收录了多少首歌？",
            "SELECT COUNT(*) FROM 歌曲 AS T1 JOIN 专辑 AS T2 ON T1.专辑ID = T2.专辑ID WHERE T2.专辑名 = $a",
        ),
        (
            "都是什么歌？|歌名列出来。",
            "SELECT T1.歌名 FROM 歌曲 AS T1 JOIN 专辑 AS T2 ON T1.专辑ID = T2.专辑ID WHERE T2.专辑名 = $a",
        ),
        (
            "最长的一首是哪首？|哪首最长？",
            "SELECT T1.歌名 FROM 歌曲 AS T1 JOIN 专辑 AS T2 ON T1.专辑ID = T2.专辑ID WHERE T2.专辑名 = $a "
            'ORDER BY T1."时长(秒)" DESC LIMIT 1',
        ),
        (
            "最短的呢？|那最短的呢？",
            "SELECT T1.歌名 FROM 歌曲 AS T1 JOIN 专辑 AS T2 ON T1.专辑ID = T2.专辑ID WHERE T2.专辑名 = $a "
            'ORDER BY T1."时长(秒)" LIMIT 1',
        ),
        (
            "整张专辑听完要多少秒？|全部加起来多少秒？",
            'SELECT SUM(T1."时长(秒)") FROM 歌曲 AS T1 JOIN 专辑 AS T2 ON T1.专辑ID = T2.专辑ID WHERE T2.专辑名 = $a',
        ),
        binds="SELECT T2.专辑名 FROM 歌曲 AS T1 JOIN 专辑 AS T2 ON T1.专辑ID = T2.专辑ID GROUP BY T2.专辑名 "
        "HAVING COUNT(*) >= 3",
    ),
    script(
        (
            "2025年9月播放最多的歌是哪首？",
            f"SELECT T2.歌名 FROM {_PLAYED} WHERE T1.播放日期 LIKE '2025-09%' GROUP BY T2.歌名 "
            "ORDER BY COUNT(*) DESC LIMIT 1",
        ),
        (
            "8月份呢？|那8月呢？",
            f"SELECT T2.歌名 FROM {_PLAYED} WHERE T1.播放日期 LIKE '2025-08%' GROUP BY T2.歌名 "
            "ORDER BY COUNT(*) DESC LIMIT 1",
        ),
        (
            "只算手机上的呢？|如果只看手机播放的呢？",
            f"SELECT T2.歌名 FROM {_PLAYED} WHERE T1.播放日期 LIKE '2025-08%' AND T1.设备 = '手机' GROUP BY T2.歌名 "
            "ORDER BY COUNT(*) DESC LIMIT 1",
        ),
    ),
    script(
        ("《$a》一共播放了多少次？|《$a》被播放过多少次？", f"SELECT COUNT(*) FROM {_PLAYED} WHERE T2.歌名 = $a"),
        (
            "完整播放的呢？|听完的有几次？",
            f"SELECT COUNT(*) FROM {_PLAYED} WHERE T2.歌名 = $a AND T1.\"完整播放?\" = '是'",
        ),
        (
            "按设备分一下。|各设备分别几次？",
            f"SELECT T1.设备, COUNT(*) FROM {_PLAYED} WHERE T2.歌名 = $a AND T1.\"完整播放?\" = '是' GROUP BY T1.设备",
        ),
        (
            "《$b》也这样分一下。|换成《$b》呢？",
            f"SELECT T1.设备, COUNT(*) FROM {_PLAYED} WHERE T2.歌名 = $b AND T1.\"完整播放?\" = '是' GROUP BY T1.设备",
        ),
        binds="SELECT A.歌名, B.歌名 FROM 歌曲 AS A JOIN 歌曲 AS B ON A.专辑ID = B.专辑ID AND A.歌曲ID < B.歌曲ID",
    ),
    script(
        ("哪些专辑是免费的？|没有售价的专辑有哪些？", "SELECT 专辑名 FROM 专辑 WHERE 售价 IS NULL"),
        (
            "都是谁的？歌手名也列出来。|它们分别是哪位歌手的？",
            "SELECT T1.专辑名, T2.歌手名 FROM 专辑 AS T1 JOIN 歌手 AS T2 ON T1.歌手ID = T2.歌手ID "
            "WHERE T1.售价 IS NULL",
        ),
        ("收费的平均多少钱？|那收费专辑的平均售价呢？", "SELECT AVG(售价) FROM 专辑 WHERE 售价 IS NOT NULL"),
        (
            "比这个平均价高的有几张？|高于平均价的有多少张？",
            "SELECT COUNT(*) FROM 专辑 WHERE 售价 > (SELECT AVG(售价) FROM 专辑 WHERE 售价 IS NOT NULL)",
        ),
    ),
    script(
        ("$a年以后出道的歌手有哪些？|$a年之后出道的歌手都有谁？", "SELECT 歌手名 FROM 歌手 WHERE 出道年份 > $a"),
        (
            "粉丝数超过200万的呢？|其中粉丝超过200万的有谁？",
            'SELECT 歌手名 FROM 歌手 WHERE 出道年份 > $a AND "粉丝数(万)" > 200',
        ),
        (
            "他们发行过几张专辑？|他们一共发行了多少张专辑？",
            "SELECT COUNT(*) FROM 专辑 AS T1 JOIN 歌手 AS T2 ON T1.歌手ID = T2.歌手ID WHERE T2.出道年份 > $a "
            'AND T2."粉丝数(万)" > 200',
        ),
        binds="VALUES (2000), (2005), (2008), (2010), (2012)",
    ),
)

DOMAIN = Domain("音乐平台", "test", SCHEMA, rows, (SINGER, ALBUM, SONG, PLAY), SCRIPTS)
