"""Random values that are the same on every Python: names, dates, numbers without ties.

`random.Random` promises only `random()` and its seeding to stay as they are; `choice`, `shuffle` and `sample` have
changed between versions. So everything here is made from `random()` alone, with whole numbers where it matters.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, timedelta
from typing import TypeVar

T = TypeVar("T")

SURNAMES = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏"
    "钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文"
)
GIVEN_ONE = "芳娜敏静丽磊军勇艳杰娟涛霞平刚辉玲波琳颖慧帆晨曦岚澜恒朗睿昊哲轩瑶瑾萱彤悦然舒扬诚博远航凯旋蕾莹梅菊竹青雁"
GIVEN_TWO = (
    "建国 志强 秀英 桂芳 玉兰 文博 子涵 雨桐 思远 浩然 嘉怡 梓萱 俊杰 晓东 春梅 海燕 国栋 立新 欣怡 天宇 一鸣 若曦 "
    "静怡 少华 永康 振华 婷婷 晓峰 丽娟 红霞 宏伟 佳琪 诗涵 亦凡 书豪 慧敏 美玲 家豪 云飞 景行 知远 沐阳 清扬 望舒 "
    "怀瑾 令仪 语嫣 庭轩 铭泽 可欣"
).split()

# (city, province): used as addresses, birthplaces, stations. Every name stands once.
CITIES: tuple[tuple[str, str], ...] = (
    ("北京", "北京"),
    ("上海", "上海"),
    ("天津", "天津"),
    ("重庆", "重庆"),
    ("广州", "广东"),
    ("深圳", "广东"),
    ("佛山", "广东"),
    ("杭州", "浙江"),
    ("宁波", "浙江"),
    ("温州", "浙江"),
    ("南京", "江苏"),
    ("苏州", "江苏"),
    ("无锡", "江苏"),
    ("成都", "四川"),
    ("绵阳", "四川"),
    ("武汉", "湖北"),
    ("宜昌", "湖北"),
    ("西安", "陕西"),
    ("长沙", "湖南"),
    ("郑州", "河南"),
    ("洛阳", "河南"),
    ("青岛", "山东"),
    ("济南", "山东"),
    ("烟台", "山东"),
    ("厦门", "福建"),
    ("福州", "福建"),
    ("泉州", "福建"),
    ("昆明", "云南"),
    ("大理", "云南"),
    ("合肥", "安徽"),
    ("沈阳", "辽宁"),
    ("大连", "辽宁"),
    ("长春", "吉林"),
    ("哈尔滨", "黑龙江"),
    ("太原", "山西"),
    ("兰州", "甘肃"),
)


class Rng:
    """Random choices that depend on the seed's text alone."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def below(self, n: int) -> int:
        """A whole number in [0, n)."""
        return int(self._random.random() * n)

    def between(self, low: int, high: int) -> int:
        """A whole number in [low, high]."""
        return low + self.below(high - low + 1)

    def chance(self, percent: int) -> bool:
        """True in `percent` of 100 calls."""
        return self.below(100) < percent

    def bell(self, low: int, high: int) -> int:
        """A whole number in [low, high], near the middle more often (mean of four draws)."""
        return (
            2 + self.between(low, high) + self.between(low, high) + self.between(low, high) + self.between(low, high)
        ) // 4

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.below(len(items))]

    def weighted(self, items: Sequence[tuple[T, int]]) -> T:
        """One of the items, each (item, weight)."""
        mark = self.below(sum(weight for _, weight in items))
        for item, weight in items:
            mark -= weight
            if mark < 0:
                return item
        raise AssertionError("the weights add up to more than the mark")

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """All items in a random order."""
        result = list(items)
        for i in range(len(result) - 1, 0, -1):
            j = self.below(i + 1)
            result[i], result[j] = result[j], result[i]
        return result

    def some(self, items: Sequence[T], n: int) -> list[T]:
        """`n` different items in a random order."""
        return self.shuffled(items)[:n]

    def distinct(self, n: int, low: int, high: int) -> list[int]:
        """`n` different whole numbers of [low, high] in a random order: a column without ties."""
        assert high - low + 1 >= n, f"{n} different numbers do not fit {low}..{high}"
        chosen: dict[int, None] = {}
        while len(chosen) < n:
            chosen[self.between(low, high)] = None
        return list(chosen)

    def day(self, first: str, last: str) -> str:
        """A date of [first, last], ISO form."""
        start = date.fromisoformat(first)
        return (start + timedelta(days=self.below((date.fromisoformat(last) - start).days + 1))).isoformat()

    def days(self, n: int, first: str, last: str) -> list[str]:
        """`n` different dates of [first, last]."""
        start = date.fromisoformat(first)
        span = (date.fromisoformat(last) - start).days
        return [(start + timedelta(days=k)).isoformat() for k in self.distinct(n, 0, span)]

    def people(self, n: int) -> list[str]:
        """`n` different personal names."""
        chosen: dict[str, None] = {}
        while len(chosen) < n:
            given = self.pick(GIVEN_TWO) if self.chance(55) else self.pick(GIVEN_ONE)
            chosen[self.pick(SURNAMES) + given] = None
        return list(chosen)

    def phone(self) -> str:
        """A mobile number in a range that no operator gives out."""
        return f"100{self.between(0, 99999999):08d}"


def days_from(first: str, n: int) -> list[str]:
    """`n` consecutive dates from `first` on."""
    start = date.fromisoformat(first)
    return [(start + timedelta(days=k)).isoformat() for k in range(n)]
