"""Pairs of texts and what LLaMA-Factory's own class says of them.

`ComputeSimilarity` of llamafactory 0.9.5 (src/llamafactory/train/sft/metric.py) with jieba 0.42.1, rouge-chinese 1.0.3
and nltk 3.10.4, in percent as it rounds them; test_overlap_of_llamafactory.py asks it again.
"""

from __future__ import annotations

from typing import NamedTuple

MEAN_BLEU_4, MEAN_ROUGE_L = 47.87876, 51.870066


class OverlapPair(NamedTuple):
    """Two texts with the class's `bleu-4` and `rouge-l`, in percent."""

    gold: str
    predicted: str
    bleu_4: float
    rouge_l: float


_JOINED = (
    "SELECT T2.name , count(*) FROM concert AS T1 JOIN stadium AS T2 "
    "ON T1.stadium_id = T2.stadium_id GROUP BY T1.stadium_id"
)
_LONG = " UNION ".join(f"SELECT 名称, 人口 FROM 城市 WHERE 编号 = {number}" for number in range(60))

PAIRS = [
    OverlapPair("select * from 图书", "select * from 图书", 100.0, 100.0),
    OverlapPair("select * from 图书", "SELECT * FROM 图书", 15.3102, 50.0),
    OverlapPair("select * from 图书", " select * from 图书", 93.5133, 100.0),
    OverlapPair("select * from 图书", "select * from 图书;", 93.5133, 88.8889),
    OverlapPair("SELECT 名称 FROM 城市", "SELECT 名称 FROM 公司", 87.024, 75.0),
    OverlapPair("SELECT 城市名称 FROM 城市", "SELECT 名称 FROM 城市", 79.4655, 88.8889),
    OverlapPair(
        "select T2.书名,T1.电子书售价 from 电子书 AS T1 JOIN 图书 AS T2 ON T2.图书id = T1.书名id",
        "select distinct T2.书名,T1.电子书售价 from 电子书 AS T1 JOIN 图书 AS T2 ON T2.图书id = T1.书名id",
        88.5326,
        98.1818,
    ),
    OverlapPair(
        "select T2.书名,T1.电子书售价 from 电子书 AS T1 JOIN 图书 AS T2 ON T2.图书id = T1.书名id",
        "select T1.电子书售价, T2.书名 from 电子书 AS T1 JOIN 图书 AS T2 ON T2.图书id = T1.书名id",
        92.7431,
        85.1852,
    ),
    OverlapPair(
        "select T2.书名,T1.电子书售价 from 电子书 AS T1 JOIN 图书 AS T2 ON T2.图书id = T1.书名id",
        "SELECT 书名, 电子书售价 FROM 图书 JOIN 电子书 ON 图书.图书id = 电子书.书名id",
        39.6646,
        56.5217,
    ),
    OverlapPair(
        'select 平台名 from 平台 where 是否自营 = "是"',
        "select 平台名 from 平台 where 是否自营 = '是'",
        91.7373,
        83.3333,
    ),
    OverlapPair(
        'select 平台名 from 平台 where 是否自营 = "是"',
        "select 平台名 from 平台 where 是否自营 = “是”",
        91.7373,
        83.3333,
    ),
    OverlapPair(
        "select 名称 from 公司 where 注册资本（万） > 1000",
        "select 名称 from 公司 where 注册资本(万) > 1000",
        88.1161,
        81.8182,
    ),
    OverlapPair(
        "select 姓名 from 球员 order by 年龄 desc limit 1",
        "select 姓名 from 球员 where 年龄 = (select max(年龄) from 球员)",
        42.1469,
        38.4615,
    ),
    OverlapPair(
        "select 名称 from 城市 where 人口 >= 1000 and 省份 = '广东'",
        "根据问题，SQL 如下：select 名称 from 城市 where 人口 >= 1000。",
        70.413,
        58.0645,
    ),
    OverlapPair("select count(*) from singer", "SELECT count(*) FROM singer", 54.2434, 71.4286),
    OverlapPair("select count(*) from singer", "SELECT COUNT(singer_id) FROM singer", 20.2186, 37.5),
    OverlapPair(
        _JOINED,
        "SELECT stadium.name, COUNT(*) FROM concert JOIN stadium "
        "ON concert.stadium_id = stadium.stadium_id GROUP BY stadium.name",
        66.9443,
        72.7273,
    ),
    OverlapPair(
        _JOINED,
        f"{_JOINED} HAVING count(*) >= 2 ORDER BY count(*) DESC LIMIT 1",
        69.3199,
        80.8989,
    ),
    OverlapPair(
        _JOINED,
        "SELECT name FROM stadium",
        1.6229,
        20.0,
    ),
    OverlapPair(
        "SELECT a FROM t WHERE b LIKE '%-50.5%' AND c = 3.14",
        "SELECT a FROM t WHERE b LIKE '%50.5%' AND c = 3.1",
        92.8847,
        86.6667,
    ),
    OverlapPair("SELECT a\nFROM t\nWHERE b = 1", "SELECT a FROM t WHERE b = 1", 79.3756, 100.0),
    OverlapPair("SELECT a\r\nFROM t", "SELECT a\nFROM t", 81.965, 100.0),
    OverlapPair("SELECT a FROM t", "SELECT a\n\n  \nFROM t\n\n", 56.2693, 80.0),
    OverlapPair("SELECT a FROM t\n\nWHERE b = 1", "SELECT a\n \n \nFROM t\n\nWHERE b = 1", 79.114, 90.0),
    OverlapPair("SELECT a ? b 。 c ！ d FROM t", "SELECT a ?” b 。 d FROM t", 74.6269, 84.2105),
    OverlapPair("SELECT a ...... b", "SELECT a ....... b ............. c", 47.5961, 66.6667),
    OverlapPair("", "", 0, 0.0),
    OverlapPair("", "SELECT 1", 0, 0.0),
    OverlapPair("SELECT 1", "", 0, 0.0),
    OverlapPair(" \n\t ", "SELECT 1", 5.5224, 0.0),
    OverlapPair("SELECT 1", "   ", 4.2667, 0.0),
    OverlapPair("SELECT 1", "\n", 0, 0.0),
    OverlapPair("?", "?", 35.3553, 100.0),
    OverlapPair("，。；", "，。；", 84.0896, 100.0),
    OverlapPair("，。；", "、、、", 0, 0.0),
    OverlapPair("*", "*", 35.3553, 100.0),
    OverlapPair("a", "a", 35.3553, 100.0),
    OverlapPair("a", "b", 0, 0.0),
    OverlapPair("a", "名", 0, 0.0),
    OverlapPair("名", "名称", 29.7302, 0.0),
    OverlapPair("SELECT 1", "S", 0.0322, 0.0),
    OverlapPair("S", "SELECT 1", 5.5224, 0.0),
    OverlapPair("SELECT", "TCELES", 35.9304, 0.0),
    OverlapPair("ab", "ba", 35.3553, 0.0),
    OverlapPair("abc", "abd", 45.1801, 0.0),
    OverlapPair("SELECT 1", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0, 0.0),
    OverlapPair("select 龘靐齉 from 爨", "select 齉靐龘 from 爨", 73.111, 66.6667),
    OverlapPair("select 𠮷野 from 家", "select 吉野 from 家", 81.5355, 66.6667),
    OverlapPair(_LONG, _LONG.replace("名称, 人口", "人口, 名称"), 89.4064, 81.7906),
    OverlapPair("select 名称 from 城市", _LONG, 0.092, 0.6033),
]
