"""Next turns that keep what is asked and change which things it is asked about: 「那杭州的呢？」.

Each follow-up takes the query of the turn before and returns a question that leans on it, with its own full meaning, or
None where it does not fit.
"""

from __future__ import annotations

from scripts.sample.model import Attr, Value
from scripts.sample.openers import Step, one_condition, threshold
from scripts.sample.phrases import (
    equals,
    in_year,
    less_than,
    more_than,
    they,
)
from scripts.sample.query import Cond, Query
from scripts.sample.values import Rng
from scripts.sample.world import World


def _last_equality(query: Query) -> Cond | None:
    cond = query.conds[-1] if query.conds else None
    return cond if cond and cond.op == "=" and not cond.raw and cond.attr.kind == "cat" else None


def _of(cond: Cond) -> str:
    """Give 的 unless the value is itself a noun for the things: 「上海的呢？」, 「社区店呢？」."""
    return "" if cond.phrase == cond.short else "的"


def _other_value(world: World, rng: Rng, query: Query, attr: Attr, taken: tuple[Value, ...]) -> Value | None:
    others = tuple(c for c in query.conds if c.attr.id != attr.id)
    found = [(v, min(n, 12)) for v, n in world.choices(query.entity, attr, others) if v not in taken]
    return rng.weighted(found) if found else None


def swap(world: World, rng: Rng, query: Query) -> Step | None:
    """「那杭州的呢？」."""
    cond = _last_equality(query)
    if cond is None or (query.form == "group" and query.group is not None and query.group.id == cond.attr.id):
        return None
    value = _other_value(world, rng, query, cond.attr, cond.values)
    if value is None:
        return None
    new = equals(cond.attr, value)
    word, of = new.short, _of(new)
    question = rng.pick(
        [
            f"那{word}{of}呢？",
            f"{word}{of}呢？",
            f"{word}呢？",
            f"那{word}呢？",
            f"换成{word}{of}呢？",
            f"如果换成{word}{of}呢？",
            f"再看看{word}{of}。",
            f"那{word}的情况呢？",
            f"不对，我想问的是{word}{of}。",
            f"说错了，应该是{word}{of}。",
        ]
    )
    return Step(question, query.but(conds=(*query.conds[:-1], new)))


def include(world: World, rng: Rng, query: Query) -> Step | None:
    """「杭州的也算上呢？」."""
    cond = _last_equality(query)
    if cond is None or query.form not in ("list", "count", "measure"):
        return None
    value = _other_value(world, rng, query, cond.attr, cond.values)
    if value is None:
        return None
    new = equals(cond.attr, value)
    both = Cond(cond.attr, "IN", (*cond.values, value), f"{cond.mod}或{new.mod}", f"{cond.short}和{new.short}")
    word = new.short + _of(new)
    question = rng.pick(
        [f"把{word}也算上呢？", f"再加上{word}呢？", f"如果{word}也包括进来呢？", f"{word}也一起算进来。"]
    )
    return Step(question, query.but(conds=(*query.conds[:-1], both)))


def exclude(world: World, rng: Rng, query: Query) -> Step | None:
    """「除了上海的呢？」."""
    cond = _last_equality(query)
    if cond is None or query.form not in ("list", "count", "measure") or world.has_null(query.entity, cond.attr):
        return None
    new = Cond(cond.attr, "<>", cond.values, f"{cond.attr.label}不是{cond.short}", f"不是{cond.short}")
    word = cond.short + _of(cond)
    question = rng.pick(
        [
            f"除了{word}，其他的呢？",
            f"反过来，不是{word}呢？",
            f"那{cond.short}以外的呢？",
            f"把{word}排除掉，剩下的呢？",
        ]
    )
    return Step(question, query.but(conds=(*query.conds[:-1], new)))


def move_threshold(world: World, rng: Rng, query: Query) -> Step | None:
    """「超过500平方米的呢？」."""
    cond = query.conds[-1] if query.conds else None
    if cond is None or cond.raw or cond.attr.kind not in ("num", "year") or cond.op not in (">", ">=", "<", "<="):
        return None
    value = threshold(world, rng, query.entity, cond.attr, query.conds[:-1])
    old = cond.values[0]
    if value is None or value == old or not isinstance(old, int):
        return None
    above = cond.op in (">", ">=")
    new = more_than(cond.attr, value, rng) if above else less_than(cond.attr, value, rng)
    word = "提高" if value > old else "降低"
    ways = [f"那{new.short}的呢？", f"{new.short}的呢？", f"换成{new.short}的呢？", f"如果是{new.short}的呢？"]
    if cond.attr.kind == "num" and new.op == cond.op:
        ways += [f"把标准{word}到{value}{cond.attr.unit}呢？", f"要是改成{value}{cond.attr.unit}呢？"]
    return Step(rng.pick(ways), query.but(conds=(*query.conds[:-1], new)))


def narrow(world: World, rng: Rng, query: Query) -> Step | None:
    """「其中面积超过300平方米的有哪些？」."""
    if not (query.is_set or query.form == "count") or len(query.conds) > 2:
        return None
    cond = one_condition(world, rng, query.entity, query.conds)
    if cond is None:
        return None
    mw, mod = query.entity.mw, cond.mod
    ways = [f"只看{mod}的。", f"其中{mod}的呢？", f"再加一个条件：{mod}。"]
    if query.form == "count":
        ways = [*ways[1:2], f"其中{mod}的有几{mw}？", f"这里面{mod}的有多少{mw}？", f"这当中{mod}的有多少{mw}？"]
    elif query.entity.name in query.columns:
        ways += [
            f"其中{mod}的有哪些？",
            f"这里面有哪些{mod}？",
            f"这些里面{mod}的是哪几{mw}？",
            f"里面{mod}的有吗？列出来。",
        ]
    return Step(rng.pick(ways), query.but(conds=(*query.conds, cond)))


def widen(world: World, rng: Rng, query: Query) -> Step | None:
    """「不限城市的话呢？」."""
    if not query.conds or query.is_lookup or (query.is_set and len(query.conds) < 2) or any(c.raw for c in query.conds):
        return None
    cond = rng.pick(query.conds)
    if cond.attr.kind == "name":
        return None
    label = cond.attr.label
    ways = [f"不限{label}的话呢？", f"去掉{label}的限制呢？", f"如果不考虑{label}呢？", f"{label}不限呢？"]
    if len(query.conds) == 1:
        ways += [f"那所有{query.entity.noun}呢？", f"不加这个限制，全部{query.entity.noun}呢？"]
    return Step(rng.pick(ways), query.but(conds=tuple(c for c in query.conds if c is not cond)))


def count(world: World, rng: Rng, query: Query) -> Step | None:
    """「一共有多少家？」."""
    if not query.is_set or not query.conds:
        return None
    mw = query.entity.mw
    ways = [
        f"一共有多少{mw}？",
        f"总共几{mw}？",
        f"这样的有几{mw}？",
        f"有多少{mw}？",
        f"帮我数一下有多少{mw}。",
        f"加起来一共几{mw}？",
        f"{they(query.entity, rng)}一共有多少{mw}？",
    ]
    return Step(rng.pick(ways), Query(query.entity, "count", conds=query.conds))


def name_them(world: World, rng: Rng, query: Query) -> Step | None:
    """「分别是哪几家？」."""
    if query.form != "count" or world.size(query) < 2:
        return None
    entity = query.entity
    ways = [
        f"分别是哪几{entity.mw}？",
        "都是哪些？",
        "具体有哪些？",
        f"分别是哪些{entity.noun}？",
        f"把{they(entity, rng)}列出来。",
    ]
    ways += [f"把{entity.name.label}列给我。", f"{'他们' if entity.person else '它们'}的{entity.name.label}是什么？"]
    return Step(rng.pick(ways), Query(entity, columns=(entity.name,), conds=query.conds))


def other_year(world: World, rng: Rng, query: Query) -> Step | None:
    """「2021年的呢？」."""
    cond = query.conds[-1] if query.conds else None
    if cond is None or cond.raw or not (cond.op == "LIKE" or (cond.op == "=" and cond.attr.kind == "year")):
        return None
    found = [v for v, _ in world.choices(query.entity, cond.attr, query.conds[:-1])]
    if cond.op == "LIKE":
        years = [y for y in sorted({str(v)[:4] for v in found}) if f"{y}%" not in cond.values]
        new = in_year(cond.attr, rng.pick(years)) if years else None
    else:
        new = equals(cond.attr, rng.pick(found))
    if new is None:
        return None
    question = rng.pick([f"{new.short}的呢？", f"那{new.short}呢？", f"换成{new.short}的呢？", f"{new.short}呢？"])
    return Step(question, query.but(conds=(*query.conds[:-1], new)))
