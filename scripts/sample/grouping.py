"""Next turns about numbers: counts per group, averages, what is related to the things found."""

from __future__ import annotations

from scripts.sample.model import Attr, Entity, Rel
from scripts.sample.openers import MAX_LISTED, Step
from scripts.sample.phrases import every, it, measure_label, they, which
from scripts.sample.query import COUNT, Cond, Measure, Query
from scripts.sample.values import Rng
from scripts.sample.world import World


def _free_cats(query: Query) -> list[Attr]:
    taken = {c.attr.id for c in query.conds} | ({query.group.id} if query.group else set())
    return [a for a in query.entity.groupable if a.id not in taken]


def by_group(world: World, rng: Rng, query: Query) -> Step | None:
    """「按城市分别有多少家？」."""
    fit = _free_cats(query)
    if not fit or not (query.is_set or query.form in ("count", "group")) or query.show != "both":
        return None
    attr, mw = rng.pick(fit), query.entity.mw
    if query.form == "group":
        ways = [
            f"换成按{attr.label}呢？",
            f"按{attr.label}呢？",
            f"那按{attr.label}分呢？",
            f"如果改成{every(attr)}呢？",
        ]
        return Step(rng.pick(ways), query.but(group=attr, order=None, having=None))
    ways = [
        f"按{attr.label}分别有多少{mw}？",
        f"{every(attr)}各有几{mw}？",
        f"分{attr.label}统计一下数量。",
        f"按{attr.label}分一下，各有多少{mw}？",
        f"各{attr.label}分别是多少{mw}？",
    ]
    return Step(rng.pick(ways), Query(query.entity, "group", conds=query.conds, group=attr, measures=(COUNT,)))


def group_top(world: World, rng: Rng, query: Query) -> Step | None:
    """「哪个城市最多？」."""
    if query.form != "group" or query.show != "both" or query.group is None or len(query.measures) != 1:
        return None
    measure, descending = query.measures[0], rng.chance(70)
    word = _word(measure, descending)
    ways = [
        f"{which(query.group)}{word}？",
        f"{word}的是{which(query.group)}？",
        f"其中{word}的是{which(query.group)}？",
    ]
    if measure.attr is not None and query.conds:  # without conditions this would say all there is to say
        label = measure_label(measure.function, measure.attr)
        ways = [f"{label}{word}的是{which(query.group)}？", f"{which(query.group)}的{label}{word}？", ways[1]]
    order = (measure, descending)
    return Step(rng.pick(ways), query.but(show="group", order=order, limit=1, having=None))


def _word(measure: Measure, descending: bool) -> str:
    if measure.attr is None:
        return "最多" if descending else "最少"
    return "最" + measure.attr.adj[0 if descending else 1]


def group_other_end(world: World, rng: Rng, query: Query) -> Step | None:
    """「最少的呢？」."""
    if query.show != "group" or query.order is None or query.limit != 1 or query.group is None or query.offset:
        return None
    descending = not query.order[1]
    word = _word(query.measures[0], descending)
    ways = [
        f"{word}的呢？",
        f"那{word}的呢？",
        f"{word}的又是{which(query.group)}？",
        f"反过来，{word}的是{which(query.group)}？",
    ]
    return Step(rng.pick(ways), query.but(order=(query.measures[0], descending)))


def group_next(world: World, rng: Rng, query: Query) -> Step | None:
    """「第二多的呢？」."""
    if query.show != "group" or query.order is None or query.limit != 1 or query.group is None or query.offset:
        return None
    word = _word(query.measures[0], query.order[1])[1:]
    ways = [f"第二{word}的呢？", f"排第二的是{which(query.group)}？", f"那第二{word}的是{which(query.group)}？"]
    return Step(rng.pick(ways), query.but(offset=1))


def group_number(world: World, rng: Rng, query: Query) -> Step | None:
    """「有多少家？」 after 「哪个城市最多？」."""
    if query.show != "group" or query.limit != 1 or query.group is None:
        return None
    measure, mw = query.measures[0], query.entity.mw
    if measure.attr is None:
        ways = [
            f"有多少{mw}？",
            f"那里有几{mw}？" if query.group.label in ("城市", "省份") else f"具体有几{mw}？",
            f"一共多少{mw}？",
        ]
    else:
        ways = ["具体是多少？", f"{measure_label(measure.function, measure.attr)}是多少？"]
    return Step(rng.pick(ways), query.but(show="measures"))


def group_things(world: World, rng: Rng, query: Query) -> Step | None:
    """「具体是哪些门店？」 after 「哪个城市最多？」."""
    if query.show != "group" or query.limit != 1 or query.group is None or query.measures != (COUNT,):
        return None
    entity, group = query.entity, query.group
    best = Cond(group, "=", (), f"这{group.mw}{group.label}", "", f"({world.sql(query)})")
    ways = [
        f"具体是哪些{entity.noun}？",
        f"把这{group.mw}{group.label}的{entity.noun}列出来。",
        f"这{group.mw}{group.label}都有哪些{entity.noun}？",
    ]
    return Step(rng.pick(ways), Query(entity, columns=(entity.name,), conds=(*query.conds, best)))


def having(world: World, rng: Rng, query: Query) -> Step | None:
    """「哪些城市超过5家？」."""
    if (
        query.form != "group"
        or query.show != "both"
        or query.group is None
        or query.measures != (COUNT,)
        or query.having
    ):
        return None
    counts = sorted(int(row[1] or 0) for row in world.rows(query))
    if len(counts) < 4:
        return None
    limit, label, mw = counts[len(counts) * rng.between(30, 75) // 100], query.group.label, query.entity.mw
    limit -= limit % (50 if limit >= 100 else 10 if limit >= 30 else 1)
    op, word = rng.pick([(">", "超过"), (">", "多于"), (">=", "不少于"), (">=", "至少有")])
    kept = sum(number > limit or (number == limit and op == ">=") for number in counts)
    if kept in (0, len(counts)):
        return None
    ways = [
        f"哪些{label}{word}{limit}{mw}？",
        f"其中{word}{limit}{mw}的有哪些{label}？",
        f"{word}{limit}{mw}的是哪几{query.group.mw}{label}？",
    ]
    return Step(rng.pick(ways), query.but(show="group", having=(op, limit)))


def group_measure(world: World, rng: Rng, query: Query) -> Step | None:
    """「各自的平均面积呢？」."""
    fit = [a for a in query.entity.of_kind("num") if a.aggs]
    if query.form != "group" or query.show != "both" or query.group is None or not fit:
        return None
    attr = rng.pick(fit)
    measure = Measure("SUM" if rng.pick(attr.aggs) == "sum" else "AVG", attr)
    label = measure_label(measure.function, attr)
    ways = [
        f"各自的{label}呢？",
        f"那{label}呢？",
        f"{label}分别是多少？",
        f"{every(query.group)}的{label}呢？",
        f"改成看{label}。",
    ]
    return Step(rng.pick(ways), query.but(measures=(measure,), order=None, having=None))


def group_order(world: World, rng: Rng, query: Query) -> Step | None:
    """「从多到少排一下。」."""
    if query.form != "group" or query.show != "both" or query.order or len(query.measures) != 1:
        return None
    measure, descending = query.measures[0], rng.chance(75)
    high, low = _word(measure, True)[1:], _word(measure, False)[1:]
    words = f"从{high}到{low}" if descending else f"从{low}到{high}"
    ways = [f"{words}排一下。", f"按{words}的顺序排列。", f"结果{words}排序。"]
    return Step(rng.pick(ways), query.but(order=(measure, descending)))


def measure_set(world: World, rng: Rng, query: Query) -> Step | None:
    """「它们的平均面积是多少？」."""
    fit = [a for a in query.entity.of_kind("num") if a.aggs]
    if not fit or not ((query.is_set or query.form == "count") and query.conds):
        return None
    attr = rng.pick(fit)
    measure = Measure("SUM" if rng.pick(attr.aggs) == "sum" else "AVG", attr)
    label, pronoun = measure_label(measure.function, attr), they(query.entity, rng)
    ways = [
        f"{pronoun}的{label}是多少？",
        f"{label}呢？",
        f"{label}是多少？",
        f"算一下{pronoun}的{label}。",
        f"那{label}是多少？",
    ]
    return Step(rng.pick(ways), Query(query.entity, "measure", conds=query.conds, measures=(measure,)))


def other_measure(world: World, rng: Rng, query: Query) -> Step | None:
    """「最高和最低分别是多少？」, 「总量呢？」, 「平均价格呢？」."""
    if query.form != "measure":
        return None
    old = query.measures[0]
    assert old.attr is not None
    choices = [Measure(f, a) for a in query.entity.of_kind("num") for f in ("AVG", "SUM") if f.lower() in a.aggs]
    choices = [m for m in choices if m != old and m.attr is not None]
    if old.function == "AVG" and (rng.chance(50) or not choices) and len(query.measures) == 1:
        both = (Measure("MAX", old.attr), Measure("MIN", old.attr))
        high, low = old.attr.adj
        ways = [
            f"最{high}和最{low}分别是多少？",
            "最大值和最小值分别是多少？",
            f"那{old.attr.label}的最大值和最小值呢？",
        ]
        return Step(rng.pick(ways), query.but(measures=both))
    if not choices:
        return None
    new = rng.pick(choices)
    assert new.attr is not None
    label = measure_label(new.function, new.attr)
    return Step(rng.pick([f"{label}呢？", f"那{label}呢？", f"{label}又是多少？"]), query.but(measures=(new,)))


def above_average(world: World, rng: Rng, query: Query) -> Step | None:
    """「哪些高于这个平均值？」."""
    if query.form != "measure" or len(query.measures) != 1 or query.measures[0].function != "AVG":
        return None
    entity, attr = query.entity, query.measures[0].attr
    assert attr is not None
    up = rng.chance(70)
    word = "高于" if up else "低于"
    label = measure_label("AVG", attr)
    cond = Cond(attr, ">" if up else "<", (), f"{attr.label}{word}平均值", f"{word}平均值", f"({world.sql(query)})")
    ways = [
        f"哪些{entity.noun}{word}这个平均值？",
        f"有哪些{entity.noun}是{word}这个水平的？",
        f"{word}这个数的有哪些？",
    ]
    if query.conds:
        ways += [f"列出{word}{label}的{entity.noun}。"]
    return Step(rng.pick(ways), Query(entity, columns=(entity.name,), conds=(*query.conds, cond)))


def above_average_count(world: World, rng: Rng, query: Query) -> Step | None:
    """「有多少家高于这个平均值？」."""
    step = above_average(world, rng, query)
    if step is None:
        return None
    cond, entity = step.query.conds[-1], query.entity
    word = cond.short[:2]
    ways = [f"有多少{entity.mw}{word}这个平均值？", f"{word}这个平均值的有几{entity.mw}？"]
    return Step(rng.pick(ways), Query(entity, "count", conds=step.query.conds))


def spread(world: World, rng: Rng, query: Query) -> Step | None:
    """「它们分布在哪些城市？」."""
    fit = _free_cats(query)
    if not query.is_set or not query.conds or not fit:
        return None
    attr, pronoun = rng.pick(fit), they(query.entity, rng)
    if rng.chance(40):
        ways = [f"{pronoun}一共涉及几{attr.mw}{attr.label}？", f"总共涉及多少{attr.mw}不同的{attr.label}？"]
        return Step(rng.pick(ways), Query(query.entity, "count_distinct", columns=(attr,), conds=query.conds))
    ways = [
        f"{pronoun}涉及哪些{attr.label}？",
        f"涉及到哪几{attr.mw}{attr.label}？",
        f"{pronoun}的{attr.label}有哪几{'种' if attr.mw == '种' else '个'}？去掉重复的。",
    ]
    return Step(rng.pick(ways), Query(query.entity, "distinct", columns=(attr,), conds=query.conds))


def _rel(world: World, rng: Rng, entity: Entity) -> tuple[Rel, Entity] | None:
    if not entity.rels:
        return None
    rel = rng.pick(entity.rels)
    return rel, world.domain.entity(rel.child)


def children_of_one(world: World, rng: Rng, query: Query) -> Step | None:
    """「它有多少名店员？」."""
    found = _rel(world, rng, query.entity)
    if found is None or not (query.is_top or query.is_lookup):
        return None
    rel, child = found
    if query.is_lookup:
        parent = query.conds[0]
        cond = Cond(query.entity.named_behind(rel.fk), "=", parent.values, parent.mod, parent.short)
    else:
        one = world.sql(query.but(columns=(query.entity.key_attr,)))
        cond = Cond(
            Attr(rel.fk, query.entity.noun, "text"), "=", (), f"这{query.entity.mw}{query.entity.noun}", "", f"({one})"
        )
    pronoun = it(query.entity, rng)
    if rng.chance(60):
        ways = [
            f"{pronoun}{rel.verb}多少{child.mw}{child.noun}？",
            f"{pronoun}一共{rel.verb}几{child.mw}{child.noun}？",
            f"那{pronoun}总共{rel.verb}多少{child.mw}{child.noun}？",
        ]
        return Step(rng.pick(ways), Query(child, "count", conds=(cond,)))
    ways = [
        f"{pronoun}{rel.verb}哪些{child.noun}？",
        f"{pronoun}都{rel.verb}哪些{child.noun}？",
        f"列出{pronoun}{rel.verb}的{child.noun}。" if rel.verb != "有" else f"{pronoun}{rel.verb}哪些{child.noun}？",
    ]
    return Step(rng.pick(ways), Query(child, columns=(child.name,), conds=(cond,)))


def children_of_set(world: World, rng: Rng, query: Query) -> Step | None:
    """「这些门店一共有多少名店员？」, 「各有多少名店员？」."""
    found = _rel(world, rng, query.entity)
    if found is None or not query.is_set or not query.conds or any(c.raw for c in query.conds):
        return None
    rel, child = found
    entity, pronoun = query.entity, they(query.entity, rng)
    conds = tuple(Cond(c.attr.behind(rel.fk), c.op, c.values, c.mod, c.short) for c in query.conds)
    if rng.chance(50):
        ways = [
            f"{pronoun}一共{rel.verb}多少{child.mw}{child.noun}？",
            f"{pronoun}总共{rel.verb}几{child.mw}{child.noun}？",
        ]
        return Step(rng.pick(ways), Query(child, "count", conds=conds))
    group = entity.named_behind(rel.fk)
    whole = Query(child, "group", conds=conds, group=group, measures=(COUNT,))
    if len(world.rows(whole)) != world.size(query):
        return None  # one that has none would be missing from the inner join
    each = "分别" if rel.verb != "有" else rng.pick(["分别", "各"])
    ways = [f"{pronoun}{each}{rel.verb}多少{child.mw}{child.noun}？"]
    return Step(rng.pick(ways), whole)


def most_children(world: World, rng: Rng, entity: Entity, plain: bool = False) -> Step | None:
    """「哪家门店的店员最多？」, an opener."""
    found = _rel(world, rng, entity)
    if found is None or not entity.lookup or len(world.choices(entity, entity.name)) > MAX_LISTED * 3:
        return None
    rel, child = found
    group = entity.named_behind(rel.fk)
    if rng.chance(35) and world.size(Query(entity, "count")) <= MAX_LISTED:
        ways = [
            f"每{entity.mw}{entity.noun}{'各' if rel.verb == '有' else '分别'}{rel.verb}多少{child.mw}{child.noun}？"
        ]
        ways += [f"统计每{entity.mw}{entity.noun}{rel.verb}多少{child.mw}{child.noun}。"]
        query = Query(child, "group", group=group, measures=(COUNT,))
        return Step(rng.pick(ways), query) if len(world.rows(query)) == world.size(Query(entity, "count")) else None
    most = rel.most or f"的{child.noun}最多"
    ways = [f"哪{entity.mw}{entity.noun}{most}？", f"{most.removeprefix('的')}的{entity.noun}是哪{entity.mw}？"]
    query = Query(child, "group", group=group, measures=(COUNT,), show="group", order=(COUNT, True), limit=1)
    return Step(rng.pick(ways), query)


def back(world: World, rng: Rng, first: Query) -> Step | None:
    """「回到一开始的结果，一共有多少家？」: a further question about the first turn's things."""
    if not first.conds or first.is_lookup or not (first.is_set or first.form == "count"):
        return None
    entity = first.entity
    start = rng.pick(
        [
            f"回到最开始问的那些{entity.noun}，",
            "回到第一个问题的结果，",
            f"还是说回刚开始的那些{entity.noun}，",
            f"再看一开始那些{entity.noun}，",
        ]
    )
    base = Query(entity, columns=(entity.name,), conds=first.conds)
    kind = rng.below(3)
    if kind == 0 and first.form != "count":
        return Step(f"{start}一共有多少{entity.mw}？", Query(entity, "count", conds=first.conds))
    numbers = entity.of_kind("num", "year")
    if kind == 1 and numbers and world.size(base) >= 3:
        attr = rng.pick(numbers)
        descending = rng.chance(65)
        extreme = rng.pick(attr.hi if descending else attr.lo)
        return Step(f"{start}{extreme}的是哪{entity.mw}？", base.but(order=(attr, descending), limit=1))
    known = {a.id for a in first.columns} | {c.attr.id for c in first.conds if c.op == "="}
    fit = [a for a in entity.attrs if a.id not in known]
    if not fit or world.size(base) > MAX_LISTED:
        return None
    attr = rng.pick(fit)
    return Step(
        f"{start}{attr.ask.format(s=rng.pick(['他们' if entity.person else '它们', '']), d='分别')}？",
        base.but(columns=(entity.name, attr)),
    )
