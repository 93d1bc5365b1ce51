"""What a domain says about itself: tables, rows, and how one speaks of them in Chinese.

A domain's module gives its CREATE statements, a function that makes the rows, its entities (what questions are about),
and scripts: interactions written out by hand, with values left open. For example

    Entity("门店", "家", name("店名"), cat("城市", mod="在{v}"), num("面积", adj="大小"), key="编号")

lets the generator say 「在上海的门店有哪些？」「那杭州的呢？」「其中面积最大的是哪家？」.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from scripts.sample.values import Rng

Value = str | int | float | None
Rows = Mapping[str, Sequence[tuple[Value, ...]]]


@dataclass(frozen=True, eq=False)
class Attr:
    """A column as questions speak of it.

    Attributes:
        column: Its name in the database.
        label: Its name in questions.
        kind: name (of the entity), cat (equality, groups), num, year (a number), date (ISO text), text (only shown).
        path: Foreign key columns that lead from the entity's table to the column's table; () for the own table.
        ask: The question, `{s}` the subject, `{d}` the place of 分别: "{s}{d}在哪个城市".
        mod: "is equal to v" as a modifier without 的: "在{v}".
        short: The same in an ellipsis: 「那{short}的呢？」.
        phrase: The whole thing where it is the only condition: "{v}的{n}", "{v}类{n}"; "" for mod and 的.
        mw: Measure word of a group: 每{mw}{label}.
        unit: Written after numbers.
        adj: For numbers and years: the word for much and for little, "大小".
        hi, lo: All ways to say "greatest" and "least": ("面积最大",).
        verb: For years and dates: what happened then, 开业.
        aggs: Which of avg, sum make sense.
        step: Thresholds are multiples of it.
        groups: Whether a cat can be counted by: 「每个城市」, but not 「每种完整播放」.
    """

    column: str
    label: str
    kind: Literal["name", "cat", "num", "year", "date", "text"]
    path: tuple[str, ...] = ()
    ask: str = ""
    mod: str = ""
    short: str = "{v}"
    phrase: str = ""
    mods: Mapping[str, str] = field(default_factory=dict)
    shorts: Mapping[str, str] = field(default_factory=dict)
    mw: str = "个"
    unit: str = ""
    adj: tuple[str, str] = ("大", "小")
    hi: tuple[str, ...] = ()
    lo: tuple[str, ...] = ()
    verb: str = ""
    aggs: tuple[str, ...] = ()
    step: int = 1
    groups: bool = True

    @property
    def id(self) -> tuple[str, ...]:
        """What makes two attributes of one query the same."""
        return (*self.path, self.column)

    def behind(self, *fk: str) -> Attr:
        """The same column seen from a table whose foreign key `fk` leads here."""
        return replace(self, path=(*fk, *self.path))


def _path(via: str) -> tuple[str, ...]:
    return tuple(via.split("/")) if via else ()


def name(column: str, label: str = "", ask: str = "", via: str = "") -> Attr:
    """The column that names an entity."""
    label = label or column
    return Attr(column, label, "name", _path(via), ask or f"{{s}}{{d}}叫什么{'名字' if '名' in label else label}")


def cat(
    column: str,
    label: str = "",
    *,
    mod: str = "",
    short: str = "{v}",
    phrase: str = "",
    ask: str = "",
    mw: str = "个",
    via: str = "",
    mods: Mapping[str, str] | None = None,
    shorts: Mapping[str, str] | None = None,
    groups: bool = True,
) -> Attr:
    """A column with few different values: 城市, 类型, 状态."""
    label = label or column
    return Attr(
        column,
        label,
        "cat",
        _path(via),
        ask or f"{{s}}的{label}{{d}}是什么",
        mod or f"{label}为{{v}}",
        short,
        phrase,
        mods=mods or {},
        shorts=shorts or {},
        mw=mw,
        groups=groups,
    )


def num(
    column: str,
    label: str = "",
    *,
    unit: str = "",
    adj: str = "高低",
    ask: str = "",
    also: tuple[str, str] | None = None,
    aggs: str = "avg",
    step: int = 1,
    via: str = "",
) -> Attr:
    """A number. `also` is a second way to say greatest and least: ("最贵", "最便宜")."""
    label = label or column
    more, less = adj[0], adj[1]
    hi, lo = [f"{label}最{more}"], [f"{label}最{less}"]
    if also:
        hi, lo = [also[0], *hi], [also[1], *lo]
    return Attr(
        column,
        label,
        "num",
        _path(via),
        ask or f"{{s}}的{label}{{d}}是多少",
        f"{label}为{{v}}{unit}",
        unit=unit,
        adj=(more, less),
        hi=tuple(hi),
        lo=tuple(lo),
        aggs=tuple(aggs.split()),
        step=step,
    )


def year(column: str, verb: str, *, label: str = "", ask: str = "", via: str = "") -> Attr:
    """A year, as a whole number: 开业年份 with the verb 开业."""
    return Attr(
        column,
        label or column,
        "year",
        _path(via),
        ask or f"{{s}}{{d}}是哪一年{verb}的",
        f"{{v}}年{verb}",
        "{v}年",
        adj=("晚", "早"),
        hi=(f"{verb}最晚",),
        lo=(f"{verb}最早",),
        verb=verb,
    )


def day(column: str, verb: str, *, label: str = "", ask: str = "", via: str = "") -> Attr:
    """A date as ISO text: 入职日期 with the verb 入职."""
    return Attr(
        column,
        label or column,
        "date",
        _path(via),
        ask or f"{{s}}{{d}}是什么时候{verb}的",
        adj=("晚", "早"),
        hi=(f"{verb}最晚",),
        lo=(f"{verb}最早",),
        verb=verb,
    )


def text(column: str, label: str = "", *, ask: str = "", via: str = "") -> Attr:
    """A column that is only shown: 电话, 地址."""
    label = label or column
    return Attr(column, label, "text", _path(via), ask or f"{{s}}的{label}{{d}}是什么")


@dataclass(frozen=True)
class Rel:
    """The entity is what `fk` of the child's table refers to: 门店 有 店员.

    Attributes:
        child: The child entity's noun.
        fk: Foreign key column in the child's table.
        verb: Between the two: 有, 写了, 接诊了.
        most: "has the most" of it, for questions: "店员最多".
    """

    child: str
    fk: str
    verb: str = "有"
    most: str = ""


class Entity:
    """What questions are about.

    Attributes:
        noun, mw: 门店, 家.
        table, key: The table and its primary key column.
        name: The attribute that names one; unique in the data where `lookup` is set.
        attrs: All attributes but the name.
        person: 他 instead of 它.
        title: How a name is written in a question: "《{v}》".
        lookup: Whether questions may call one by its name.
    """

    def __init__(
        self,
        noun: str,
        mw: str,
        name: Attr,
        *attrs: Attr,
        key: str,
        table: str = "",
        person: bool = False,
        title: str = "{v}",
        lookup: bool = True,
        rels: tuple[Rel, ...] = (),
    ) -> None:
        self.noun, self.mw, self.name, self.attrs, self.key = noun, mw, name, attrs, key
        self.table = table or noun
        self.person, self.title, self.lookup, self.rels = person, title, lookup, rels

    def of_kind(self, *kinds: str) -> list[Attr]:
        """The attributes of these kinds, in order."""
        return [attr for attr in self.attrs if attr.kind in kinds]

    @property
    def groupable(self) -> list[Attr]:
        """The attributes that things can be counted by, in order."""
        return [attr for attr in self.attrs if attr.kind == "cat" and attr.groups]

    def named_behind(self, fk: str) -> Attr:
        """The name seen from a child's table; there it is called by the entity's noun: 哪家门店, not 哪个店名."""
        return replace(self.name.behind(fk), label=self.noun, mw=self.mw)

    @property
    def key_attr(self) -> Attr:
        """The primary key, for subqueries."""
        return Attr(self.key, self.key, "text")


@dataclass(frozen=True)
class Script:
    """An interaction written by hand, with values left open.

    Attributes:
        turns: (question, SQL); "|" separates ways to ask; `$a` is a value, a literal in SQL.
        binds: SQL that gives the rows to choose from; its columns are a, b, c, …
        fresh: 0-based indices of later turns that can be understood alone.
    """

    turns: tuple[tuple[str, str], ...]
    binds: str = ""
    fresh: tuple[int, ...] = ()


def script(*turns: tuple[str, str], binds: str = "", fresh: tuple[int, ...] = ()) -> Script:
    """A `Script` without the brackets."""
    return Script(turns, binds, fresh)


@dataclass(frozen=True)
class Domain:
    """One database: its tables, rows, and how one speaks of them."""

    db_id: str
    split: Literal["train", "dev", "test"]
    schema: str
    rows: Callable[[Rng], Rows]
    entities: tuple[Entity, ...]
    scripts: tuple[Script, ...] = ()

    def entity(self, noun: str) -> Entity:
        """The entity with this noun."""
        return next(entity for entity in self.entities if entity.noun == noun)
