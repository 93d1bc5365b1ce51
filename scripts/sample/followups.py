"""Next turns about the things found: their columns, order and rank. The same contract as in conditions.py."""

from __future__ import annotations

from scripts.sample.model import Attr
from scripts.sample.openers import Step
from scripts.sample.phrases import (
    ask,
    cn,
    equals,
    it,
    most,
    most_short,
    ordered_column,
    rank,
    sorting,
    they,
    titled,
)
from scripts.sample.query import Cond, Query
from scripts.sample.values import Rng
from scripts.sample.world import World


def _several(query: Query) -> bool:
    return query.is_set or (query.form == "list" and query.limit is not None and query.limit > 1)


def _fresh_attr(rng: Rng, query: Query, *kinds: str) -> Attr | None:
    """An attribute that the query does not speak of yet."""
    known = {a.id for a in query.columns} | {c.attr.id for c in query.conds if c.op == "="}
    fit = [a for a in query.entity.attrs if a.id not in known and (not kinds or a.kind in kinds)]
    return rng.pick(fit) if fit else None


def ask_each(world: World, rng: Rng, query: Query) -> Step | None:
    """「它们分别在哪个城市？」: the name and the attribute of each."""
    attr = _fresh_attr(rng, query)
    if not _several(query) or attr is None:
        return None
    pronoun, each = they(query.entity, rng), rng.pick(["分别", "分别", "各"])
    question = rng.pick(
        [f"{ask(attr, pronoun, '分别')}？", f"{ask(attr, pronoun, each)}？", f"那{ask(attr, pronoun, '分别')}？"]
    )
    return Step(question, query.but(columns=(query.entity.name, attr)))


def show_also(world: World, rng: Rng, query: Query) -> Step | None:
    """「把面积也列出来。」."""
    attr = _fresh_attr(rng, query)
    if not _several(query) or attr is None or len(query.columns) > 2:
        return None
    label = attr.label
    ways = [
        f"把{label}也列出来。",
        f"再加上{label}。",
        f"{label}也一起显示。",
        f"顺便把{label}也给我。",
        f"同时列出{label}。",
    ]
    return Step(rng.pick(ways), query.but(columns=(*query.columns, attr)))


def show_only(world: World, rng: Rng, query: Query) -> Step | None:
    """「只要面积就行。」."""
    if not _several(query):
        return None
    attr = query.entity.name if len(query.columns) > 1 and rng.chance(40) else _fresh_attr(rng, query)
    if len(query.columns) > 1 and rng.chance(40):
        attr = rng.pick(query.columns[1:])
    if attr is None or query.columns == (attr,):
        return None
    label = attr.label
    ways = [f"只要{label}就行。", f"只看{label}。", f"我只需要{label}。", f"其他的不用，只要{label}。"]
    if len(query.columns) == 1:
        ways = [
            f"不用{query.columns[0].label}，只要{label}。",
            f"只要{they(query.entity, rng)}的{label}。",
            f"我只想看{label}。",
        ]
    return Step(rng.pick(ways), query.but(columns=(attr,)))


def sort(world: World, rng: Rng, query: Query) -> Step | None:
    """「按面积从大到小排一下。」."""
    if not query.is_set:
        return None
    old = query.order[0] if query.order else None
    fit = [a for a in query.entity.of_kind("num", "year", "date") if a is not old]
    if not fit:
        return None
    attr, descending = rng.pick(fit), rng.chance(60)
    words, label = sorting(attr, descending), attr.label
    ways = [
        f"按{label}{words}排一下。",
        f"把{they(query.entity, rng)}按{label}{words}排列。",
        f"按{label}{words}排序。",
    ]
    if old:
        ways = [f"改成按{label}{words}排。", f"换成按{label}{words}排序呢？"]
    return Step(rng.pick(ways), query.but(order=(attr, descending)))


def turn_round(world: World, rng: Rng, query: Query) -> Step | None:
    """「倒过来排。」."""
    if not query.is_set or query.order is None:
        return None
    attr, descending = ordered_column(query), not query.order[1]
    words = sorting(attr, descending)
    ways = ["倒过来排。", f"改成{words}。", "反过来排一遍。", f"顺序反一下，{words}。", f"{words}呢？"]
    return Step(rng.pick(ways), query.but(order=(attr, descending)))


def best(world: World, rng: Rng, query: Query) -> Step | None:
    """「其中面积最大的是哪家？」."""
    entity = query.entity
    fit = entity.of_kind("num", "year", "date")
    if not query.is_set or not fit or world.size(query) < 3:
        return None
    attr, descending = rng.pick(fit), rng.chance(65)
    extreme, mw = most(attr, descending, rng), entity.mw
    ways = [
        f"其中{extreme}的是哪{mw}？",
        f"这里面{extreme}的是哪{mw}？",
        f"哪{mw}{extreme}？",
        f"{they(entity, rng)}当中哪{mw}{extreme}？",
        f"{extreme}的是哪{mw}？",
        f"{extreme}的呢？",
    ]
    return Step(rng.pick(ways), query.but(columns=(entity.name,), order=(attr, descending), limit=1))


def next_one(world: World, rng: Rng, query: Query) -> Step | None:
    """「第二名呢？」."""
    if not query.is_top or query.order is None or query.offset > 2:
        return None
    entity, place, attr = query.entity, rank(query.offset + 2), ordered_column(query)
    word = attr.adj[0 if query.order[1] else 1]
    if query.columns == (entity.name,):
        ways = [
            f"排第{place}的呢？",
            f"那排第{place}的是哪{entity.mw}？",
            f"下一{entity.mw}呢？",
            f"紧接着的是哪{entity.mw}？",
        ]
        if attr.kind == "num" or not query.order[1]:  # nobody says 第二晚
            ways += [f"第{place}{word}的呢？", f"第{place}{word}的是哪{entity.mw}？"]
        if attr.kind == "num" and query.order[1]:
            ways += [f"第{place}名呢？", f"那第{place}名是哪{entity.mw}？"]
    else:
        subject = f"第{place}{word}的" if attr.kind == "num" and rng.chance(50) else f"排第{place}的"
        if query.columns[0].ask.startswith("{s}的") or rng.chance(40):
            subject += "那" + entity.mw
        ways = [f"那{ask(query.columns[0], subject)}？"]
    return Step(rng.pick(ways), query.but(offset=query.offset + 1))


def other_end(world: World, rng: Rng, query: Query) -> Step | None:
    """「那最小的呢？」."""
    if query.form != "list" or query.limit is None or query.order is None or query.offset:
        return None
    attr, descending = ordered_column(query), not query.order[1]
    word, mw = most_short(attr, descending), query.entity.mw
    if query.limit > 1:
        ways = [f"那{word}的{cn(query.limit)}{mw}呢？", f"{word}的{cn(query.limit)}{mw}又是哪些？"]
    elif query.columns == (query.entity.name,):
        ways = [
            f"那{word}的呢？",
            f"{word}的呢？",
            f"反过来，{word}的是哪{mw}？",
            f"{word}的又是哪{mw}？",
            f"那{word}的那{mw}呢？",
        ]
    else:
        ways = [f"那{ask(query.columns[0], f'{word}的那{mw}')}？"]
    return Step(rng.pick(ways), query.but(order=(attr, descending)))


def more_places(world: World, rng: Rng, query: Query) -> Step | None:
    """「前三名呢？」."""
    if query.form != "list" or query.limit is None or query.order is None or query.offset:
        return None
    k, mw = rng.pick([n for n in (2, 3, 5) if n != query.limit]), query.entity.mw
    ways = [
        f"前{cn(k)}{mw}呢？",
        f"那前{cn(k)}{mw}是哪些？",
        f"把前{cn(k)}{mw}都列出来。",
        f"只要前{cn(k)}{mw}呢？" if k < query.limit else f"要前{cn(k)}{mw}呢？",
    ]
    columns = (query.entity.name,) if query.limit == 1 else query.columns
    return Step(rng.pick(ways), query.but(limit=k, columns=columns))


def ask_one(world: World, rng: Rng, query: Query) -> Step | None:
    """「它在哪个城市？」."""
    attr = _fresh_attr(rng, query)
    if not (query.is_top or query.is_lookup) or attr is None:
        return None
    if query.is_top and query.order and rng.chance(25):
        attr = ordered_column(query)
        if query.columns == (attr,):
            return None
        pronoun = it(query.entity, rng)
        question = rng.pick(
            [
                f"{ask(attr, pronoun)}？",
                f"具体的{attr.label}是多少？" if attr.kind == "num" else f"{ask(attr, pronoun)}？",
            ]
        )
        return Step(question, query.but(columns=(attr,)))
    pronoun = it(query.entity, rng)
    asked = ask(attr, pronoun)
    short = [f"{attr.label}呢？", f"那{attr.label}呢？"] if query.columns != (query.entity.name,) else []
    question = rng.pick([f"{asked}？", f"{asked}？", f"那{asked}？", f"{pronoun}的{attr.label}呢？", *short])
    return Step(question, query.but(columns=(attr,)))


def other_name(world: World, rng: Rng, query: Query) -> Step | None:
    """「那徐家汇店呢？」."""
    if not query.is_lookup:
        return None
    entity = query.entity
    value = rng.pick([v for v, _ in world.choices(entity, entity.name) if v != query.conds[0].values[0]])
    shown = titled(entity, value)
    question = rng.pick(
        [f"那{shown}呢？", f"{shown}呢？", f"换成{shown}呢？", f"{shown}的呢？", f"再查一下{shown}的。"]
    )
    return Step(question, query.but(conds=(equals(entity.name, value),)))


def same_as_it(world: World, rng: Rng, query: Query) -> Step | None:
    """「跟它在同一个城市的还有哪些？」."""
    entity = query.entity
    if not query.is_lookup or query.columns[0].kind != "cat" or query.columns[0].path:
        return None
    attr, cond = query.columns[0], query.conds[0]
    raw = f"({world.sql(query)})"
    pronoun = "他" if entity.person else "它"
    question = rng.pick(
        [
            f"{attr.label}和{pronoun}相同的还有哪些{entity.noun}？",
            f"还有哪些{entity.noun}的{attr.label}跟{pronoun}一样？",
            f"跟{pronoun}{attr.label}相同的其他{entity.noun}有哪些？",
        ]
    )
    same = Cond(attr, "=", (), f"{attr.label}相同", "", raw)
    conds = (same, Cond(entity.name, "<>", cond.values))
    return Step(question, Query(entity, columns=(entity.name,), conds=conds))
