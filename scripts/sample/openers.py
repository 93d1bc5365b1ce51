"""First turns. Each opener returns the question and its meaning, or None where the entity has nothing fit for it."""

from __future__ import annotations

from typing import NamedTuple

from scripts.sample.model import Attr, Entity, Value
from scripts.sample.phrases import (
    ask,
    cn,
    equals,
    every,
    in_year,
    less_than,
    measure_label,
    more_than,
    most,
    sorting,
    things,
    titled,
    which,
)
from scripts.sample.query import COUNT, Cond, Measure, Query
from scripts.sample.values import Rng
from scripts.sample.world import World

MAX_LISTED = 40  # nobody asks for a longer list in a conversation


class Step(NamedTuple):
    """A question and what it means. `kind` names the opener or follow-up that made it."""

    question: str
    query: Query
    kind: str = ""


def threshold(world: World, rng: Rng, entity: Entity, attr: Attr, conds: tuple[Cond, ...]) -> int | None:
    """A round number that splits the things with these conditions, or None."""
    values = [v for v, count in world.choices(entity, attr, conds) for _ in range(count) if isinstance(v, (int, float))]
    if len(values) < 4:
        return None
    value = int(values[len(values) * rng.between(20, 80) // 100] // attr.step * attr.step)
    return value if value > values[0] else None


def one_condition(
    world: World, rng: Rng, entity: Entity, conds: tuple[Cond, ...] = (), *, plain: bool = False
) -> Cond | None:
    """A further condition, on an attribute that none of `conds` is about. `plain`: equality in the own table alone."""
    taken = {cond.attr.id for cond in conds}
    kinds = ("cat",) if plain else ("cat", "cat", "num", "year", "date")
    attrs = [a for kind in kinds for a in entity.of_kind(kind) if a.id not in taken and not (plain and a.path)]
    if not attrs:
        return None
    attr = rng.pick(attrs)
    if attr.kind == "cat":
        value = pick_value(world, rng, entity, attr, conds)
        return None if value is None else equals(attr, value)
    if attr.kind == "date":
        years = sorted({str(v)[:4] for v, _ in world.choices(entity, attr, conds)})
        return in_year(attr, rng.pick(years)) if len(years) > 1 else None
    limit = threshold(world, rng, entity, attr, conds)
    if limit is None:
        return None
    if attr.kind == "year" and rng.chance(25):
        return equals(attr, rng.pick([v for v, _ in world.choices(entity, attr, conds)]))
    return more_than(attr, limit, rng) if rng.chance(60) else less_than(attr, limit, rng)


def pick_value(world: World, rng: Rng, entity: Entity, attr: Attr, conds: tuple[Cond, ...]) -> Value:
    """One of the attribute's values, frequent ones more often; None where all are NULL."""
    found = world.choices(entity, attr, conds)
    return None if not found else rng.weighted([(value, min(count, 12) + 1) for value, count in found])


def conditions(world: World, rng: Rng, entity: Entity, *, plain: bool = False) -> tuple[Cond, ...] | None:
    """Conditions that leave a list short enough to read and long enough to ask about."""
    conds: tuple[Cond, ...] = ()
    for _ in range(1 if plain else 3):
        cond = one_condition(world, rng, entity, conds, plain=plain)
        if cond is None:
            return None
        conds += (cond,)
        size = world.size(Query(entity, "count", conds=conds))
        if 2 <= size <= MAX_LISTED:
            return conds
    return None


def list_some(world: World, rng: Rng, entity: Entity, plain: bool = False) -> Step | None:
    """「在上海的门店有哪些？」."""
    conds = conditions(world, rng, entity, plain=plain)
    if conds is None:
        return None
    noun, what = entity.noun, things(conds, entity.noun)
    question = rng.pick(
        [
            f"{what}有哪些？",
            f"{what}都有哪些？",
            f"有哪些{what}？",
            f"列出所有{what}。",
            f"请列出{what}的{entity.name.label}。",
            f"帮我查一下{what}。",
            f"我想看看{what}。",
            f"查询{what}有哪些。",
            f"想了解一下{what}，都有哪些{noun}？" if len(conds) == 1 else f"{what}有哪些？",
        ]
    )
    return Step(question, Query(entity, columns=(entity.name,), conds=conds))


def list_all(world: World, rng: Rng, entity: Entity, plain: bool = False) -> Step | None:
    """「列出所有门店的店名。」."""
    if world.size(Query(entity, "count")) > MAX_LISTED:
        return None
    noun, label = entity.noun, entity.name.label
    columns: tuple[Attr, ...] = (entity.name,)
    also = ""
    if not plain and rng.chance(40) and entity.of_kind("cat", "num", "year"):
        extra = rng.pick([a for a in entity.of_kind("cat", "num", "year") if not a.path] or [entity.name])
        columns, also = (entity.name, extra), f"和{extra.label}"
    question = rng.pick(
        [
            f"列出所有{noun}的{label}{also}。",
            f"给我所有{noun}的{label}{also}。",
            f"查一下全部{noun}的{label}{also}。",
            f"所有{noun}的{label}{also}是什么？" if also else f"都有哪些{noun}？",
            f"我想知道每{entity.mw}{noun}的{label}{also}。" if also else f"现在有哪些{noun}？",
        ]
    )
    return Step(question, Query(entity, columns=tuple(dict.fromkeys(columns)), conds=()))


def count_all(world: World, rng: Rng, entity: Entity, plain: bool = False) -> Step | None:
    """「一共有多少家门店？」."""
    mw, noun = entity.mw, entity.noun
    question = rng.pick(
        [
            f"一共有多少{mw}{noun}？",
            f"总共有多少{mw}{noun}？",
            f"现在一共有几{mw}{noun}？",
            f"{noun}总共有多少{mw}？",
            f"数据库里有多少{mw}{noun}？",
            f"统计一下{noun}的数量。",
        ]
    )
    return Step(question, Query(entity, "count"))


def count_some(world: World, rng: Rng, entity: Entity, plain: bool = False) -> Step | None:
    """「在上海的门店有多少家？」."""
    cond = one_condition(world, rng, entity, plain=plain)
    if cond is None:
        return None
    what, mw = things((cond,), entity.noun), entity.mw
    question = rng.pick(
        [
            f"{what}有多少{mw}？",
            f"{what}一共有几{mw}？",
            f"{what}总共多少{mw}？",
            f"有多少{mw}{what}？",
            f"统计一下{what}的数量。",
            f"帮我数一下{what}有多少{mw}。",
        ]
    )
    return Step(question, Query(entity, "count", conds=(cond,)))


def top(world: World, rng: Rng, entity: Entity, plain: bool = False) -> Step | None:
    """「面积最大的门店是哪家？」."""
    attrs = entity.of_kind("num", "year", "date")
    if not attrs:
        return None
    attr, descending = rng.pick(attrs), rng.chance(65)
    cond = one_condition(world, rng, entity) if rng.chance(35) else None
    conds = (cond,) if cond and cond.attr.kind == "cat" and cond.attr.id != attr.id else ()
    noun, mw, what = entity.noun, entity.mw, things(conds, entity.noun)
    extreme = most(attr, descending, rng)
    question = rng.pick(
        [
            f"{what}里{extreme}的是哪{mw}？",
            f"{what}中，{extreme}的是哪{mw}？",
            f"哪{mw}{noun}{extreme}？" if not conds else f"{what}中哪{mw}{extreme}？",
            f"{extreme}的{noun}是哪{mw}？" if not conds else f"{what}里哪{mw}{extreme}？",
            f"帮我找出{extreme}的{noun}。" if not conds else f"找出{what}里{extreme}的那{mw}。",
        ]
    )
    return Step(question, Query(entity, columns=(entity.name,), conds=conds, order=(attr, descending), limit=1))


def top_some(world: World, rng: Rng, entity: Entity, plain: bool = False) -> Step | None:
    """「面积最大的三家门店是哪些？」."""
    attrs = entity.of_kind("num")
    if not attrs:
        return None
    attr, descending, k = rng.pick(attrs), rng.chance(75), rng.pick([3, 3, 5, 5, 10])
    extreme, noun, mw = most(attr, descending, rng), entity.noun, entity.mw
    question = rng.pick(
        [
            f"{extreme}的{cn(k)}{mw}{noun}是哪些？",
            f"列出{extreme}的{cn(k)}{mw}{noun}。",
            f"{extreme}的前{cn(k)}{mw}{noun}有哪些？",
            f"按{attr.label}{sorting(attr, descending)}，排在前{cn(k)}的{noun}是哪几{mw}？",
        ]
    )
    return Step(question, Query(entity, columns=(entity.name,), order=(attr, descending), limit=k))


def lookup(world: World, rng: Rng, entity: Entity, plain: bool = False) -> Step | None:
    """「徐家汇店在哪个城市？」."""
    if not entity.lookup:
        return None
    attrs = [a for a in entity.attrs if not (plain and a.path)]
    value = rng.pick([v for v, _ in world.choices(entity, entity.name)])
    attr = rng.pick(attrs)
    asked = ask(attr, titled(entity, value))
    question = rng.pick([f"{asked}？", f"{asked}？", f"请问{asked}？", f"帮我查一下{asked}。"])
    return Step(question, Query(entity, columns=(attr,), conds=(equals(entity.name, value),)))


def group_count(world: World, rng: Rng, entity: Entity, plain: bool = False) -> Step | None:
    """「每个城市各有多少家门店？」."""
    attrs = entity.groupable
    if not attrs:
        return None
    attr, mw, noun = rng.pick(attrs), entity.mw, entity.noun
    question = rng.pick(
        [
            f"{every(attr)}各有多少{mw}{noun}？",
            f"按{attr.label}统计{noun}的数量。",
            f"统计一下各{attr.label}的{noun}数量。",
            f"各{attr.label}分别有几{mw}{noun}？",
            f"{noun}按{attr.label}分，各有多少{mw}？",
        ]
    )
    return Step(question, Query(entity, "group", group=attr, measures=(COUNT,)))


def group_most(world: World, rng: Rng, entity: Entity, plain: bool = False) -> Step | None:
    """「哪个城市的门店最多？」."""
    attrs = entity.groupable
    if not attrs:
        return None
    attr, noun = rng.pick(attrs), entity.noun
    question = rng.pick([f"{which(attr)}的{noun}最多？", f"{noun}最多的是{which(attr)}？"])
    query = Query(entity, "group", group=attr, measures=(COUNT,), show="group", order=(COUNT, True), limit=1)
    return Step(question, query)


def group_average(world: World, rng: Rng, entity: Entity, plain: bool = False) -> Step | None:
    """「每个城市的门店平均面积是多少？」."""
    attrs, numbers = entity.groupable, [a for a in entity.of_kind("num") if a.aggs]
    if not attrs or not numbers:
        return None
    attr, number = rng.pick(attrs), rng.pick(numbers)
    function = rng.pick(number.aggs)
    label, noun = measure_label(function.upper(), number), entity.noun
    question = rng.pick(
        [
            f"{every(attr)}的{noun}{label}是多少？",
            f"按{attr.label}统计{noun}的{label}。",
            f"各{attr.label}{noun}的{label}分别是多少？",
        ]
    )
    measure = Measure("SUM" if function == "sum" else "AVG", number)
    return Step(question, Query(entity, "group", group=attr, measures=(measure,)))


def average(world: World, rng: Rng, entity: Entity, plain: bool = False) -> Step | None:
    """「在上海的门店平均面积是多少？」."""
    numbers = [a for a in entity.of_kind("num") if a.aggs]
    if not numbers:
        return None
    number = rng.pick(numbers)
    function = rng.pick(number.aggs)
    cond = one_condition(world, rng, entity) if rng.chance(55) else None
    conds = (cond,) if cond and cond.attr.kind == "cat" else ()
    label, what = measure_label(function.upper(), number), things(conds, entity.noun, "所有")
    question = rng.pick(
        [
            f"{what}的{label}是多少？",
            f"算一下{what}的{label}。",
            f"{what}，{label}是多少？" if conds else f"求{what}的{label}。",
        ]
    )
    measure = Measure("SUM" if function == "sum" else "AVG", number)
    return Step(question, Query(entity, "measure", conds=conds, measures=(measure,)))
