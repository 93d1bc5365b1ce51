"""How conditions, things and ranks are said in Chinese: parts of sentences shared by first and later turns."""

from __future__ import annotations

import re

from scripts.sample.model import Attr, Entity, Value
from scripts.sample.query import Cond, Query
from scripts.sample.values import Rng

_NUMBERS = {2: "两", 3: "三", 4: "四", 5: "五", 6: "六", 8: "八", 10: "十"}
_RANKS = {2: "二", 3: "三", 4: "四", 5: "五"}


def cn(number: int) -> str:
    """A number before a measure word: 两家, 三家."""
    return _NUMBERS.get(number, str(number))


def rank(number: int) -> str:
    """A number after 第: 第二."""
    return _RANKS[number]


def shown(value: Value) -> str:
    """A value as a question writes it; dates as 2024年3月1日."""
    text = str(value)
    if len(text) == 10 and text[4] == text[7] == "-":
        return f"{int(text[:4])}年{int(text[5:7])}月{int(text[8:])}日"
    return text


def equals(attr: Attr, value: Value) -> Cond:
    """`attr = value`, for cat, name and year."""
    text = shown(value)
    mod = attr.mods.get(text, attr.mod).format(v=text)
    short = attr.shorts.get(text, attr.short).format(v=text)
    phrase = "" if text in attr.mods else attr.phrase.replace("{v}", text)
    return Cond(attr, "=", (value,), mod, short, phrase=phrase)


def in_year(attr: Attr, year: str) -> Cond:
    """A date that lies in a year."""
    return Cond(attr, "LIKE", (f"{year}%",), f"{year}年{attr.verb}", f"{year}年")


def more_than(attr: Attr, value: int, rng: Rng) -> Cond:
    """A number above a threshold, in one of the ways to say it."""
    if attr.kind == "year":
        return Cond(attr, ">", (value,), f"{value}年之后{attr.verb}", f"{value}年之后")
    if rng.chance(30):
        return Cond(attr, ">=", (value,), f"{attr.label}在{value}{attr.unit}以上", f"{value}{attr.unit}以上")
    word = "高于" if attr.adj[0] == "高" and rng.chance(60) else "超过"
    return Cond(attr, ">", (value,), f"{attr.label}{word}{value}{attr.unit}", f"{word}{value}{attr.unit}")


def less_than(attr: Attr, value: int, rng: Rng) -> Cond:
    """A number below a threshold."""
    if attr.kind == "year":
        return Cond(attr, "<", (value,), f"{value}年之前{attr.verb}", f"{value}年之前")
    if rng.chance(30):
        return Cond(attr, "<=", (value,), f"{attr.label}在{value}{attr.unit}以下", f"{value}{attr.unit}以下")
    word = {"低": "低于", "少": "少于"}.get(attr.adj[1], "不到") if rng.chance(60) else "不到"
    return Cond(attr, "<", (value,), f"{attr.label}{word}{value}{attr.unit}", f"{word}{value}{attr.unit}")


def things(conds: tuple[Cond, ...], noun: str, every: str = "") -> str:
    """The noun with its conditions before it: 「在上海、面积超过300平方米的门店」; `every` before a bare noun."""
    if len(conds) == 1 and conds[0].phrase:
        return conds[0].phrase.replace("{n}", noun)
    mods = [cond.mod for cond in conds]
    return "、".join(mods) + "的" + noun if mods else every + noun


def they(entity: Entity, rng: Rng) -> str:
    """A pronoun for several things."""
    return rng.pick(["他们" if entity.person else "它们", "这些" + entity.noun])


def it(entity: Entity, rng: Rng) -> str:
    """A pronoun for one thing."""
    mw = "位" if entity.mw == "名" else entity.mw  # people are counted with 名, pointed at with 位
    return rng.pick(["他" if entity.person else "它"] * 2 + [f"这{mw}{entity.noun}"])


def ask(attr: Attr, subject: str, each: str = "") -> str:
    """The question for an attribute: 「它们分别在哪个城市」."""
    return attr.ask.format(s=subject, d=each)


def titled(entity: Entity, value: Value) -> str:
    """A thing's name as a question writes it."""
    return entity.title.format(v=value)


def most(attr: Attr, descending: bool, rng: Rng) -> str:
    """「面积最大」, 「最贵」."""
    return rng.pick(attr.hi if descending else attr.lo)


def most_short(attr: Attr, descending: bool) -> str:
    """「最大」; where there is another way to say it, that one: 「最便宜」."""
    word = (attr.hi if descending else attr.lo)[0]
    return word if word.startswith("最") else "最" + attr.adj[0 if descending else 1]


def sorting(attr: Attr, descending: bool) -> str:
    """「从大到小」."""
    high, low = attr.adj
    return f"从{high}到{low}" if descending else f"从{low}到{high}"


def which(attr: Attr) -> str:
    """「哪个城市」."""
    return f"哪{attr.mw}{attr.label}"


def every(attr: Attr) -> str:
    """「每个城市」."""
    return f"每{attr.mw}{attr.label}"


def measure_label(function: str, attr: Attr) -> str:
    """「平均面积」, 「总面积」, 「2024年总营收」."""
    word = "总" if function == "SUM" else "平均"
    year, label = re.fullmatch(r"(\d+年)?(.*)", attr.label).groups(default="")  # type: ignore[union-attr]
    return year + word + label


def ordered_column(query: Query) -> Attr:
    """The attribute that a list is ordered by."""
    assert query.order is not None
    key = query.order[0]
    assert isinstance(key, Attr)
    return key
