"""Walks from an opener over follow-ups, and the domains' own scripts; every gold SQL is run before it is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from scripts.sample import conditions, followups, grouping, openers
from scripts.sample.model import Entity, Script
from scripts.sample.openers import MAX_LISTED, Step
from scripts.sample.phrases import shown
from scripts.sample.query import Query, literal
from scripts.sample.values import Rng
from scripts.sample.world import Row, World

Opener = Callable[[World, Rng, Entity, bool], Step | None]
FollowUp = Callable[[World, Rng, Query], Step | None]


class SampleTurn(NamedTuple):
    """A question, its SQL, and whether it needs the turns before it."""

    question: str
    gold_sql: str
    needs_context: bool


class SampleInteraction(NamedTuple):
    """Turns over one database. `kind` is easy, walk or script."""

    db_id: str
    kind: str
    turns: tuple[SampleTurn, ...]


OPENERS: tuple[tuple[Opener, int], ...] = (
    (openers.list_some, 24),
    (openers.list_all, 5),
    (openers.count_all, 5),
    (openers.count_some, 13),
    (openers.top, 16),
    (openers.top_some, 5),
    (openers.lookup, 10),
    (openers.group_count, 8),
    (openers.group_most, 5),
    (openers.group_average, 5),
    (openers.average, 7),
    (grouping.most_children, 8),
)

FOLLOW_UPS: tuple[tuple[FollowUp, int], ...] = (
    (conditions.swap, 16),
    (conditions.include, 3),
    (conditions.exclude, 4),
    (conditions.move_threshold, 8),
    (conditions.other_year, 6),
    (conditions.narrow, 12),
    (conditions.widen, 6),
    (conditions.count, 8),
    (conditions.name_them, 10),
    (followups.ask_each, 9),
    (followups.show_also, 6),
    (followups.show_only, 6),
    (followups.sort, 6),
    (followups.turn_round, 6),
    (followups.best, 9),
    (followups.next_one, 12),
    (followups.other_end, 9),
    (followups.more_places, 6),
    (followups.ask_one, 14),
    (followups.other_name, 12),
    (followups.same_as_it, 6),
    (grouping.by_group, 6),
    (grouping.group_top, 10),
    (grouping.group_other_end, 9),
    (grouping.group_next, 9),
    (grouping.group_number, 9),
    (grouping.group_things, 9),
    (grouping.having, 8),
    (grouping.group_measure, 7),
    (grouping.group_order, 7),
    (grouping.measure_set, 7),
    (grouping.other_measure, 9),
    (grouping.above_average, 9),
    (grouping.above_average_count, 6),
    (grouping.spread, 4),
    (grouping.children_of_one, 10),
    (grouping.children_of_set, 7),
)

EASY_OPENERS: tuple[tuple[Opener, int], ...] = (
    (openers.count_all, 14),
    (openers.list_all, 8),
    (openers.list_some, 8),
    (openers.count_some, 10),
    (openers.lookup, 10),
)

EASY_FOLLOW_UPS: tuple[tuple[FollowUp, int], ...] = (
    (conditions.swap, 14),
    (conditions.narrow, 16),
    (conditions.count, 10),
    (conditions.name_them, 10),
    (followups.show_only, 10),
    (followups.ask_each, 4),
    (followups.ask_one, 10),
    (followups.other_name, 12),
)

_NUM_TURNS = ((2, 6), (3, 19), (4, 33), (5, 25), (6, 17))

# What may follow itself: each time it asks for something else. All others never do, and come twice at most.
_REPEATABLE = frozenset({"swap", "next_one", "ask_one", "other_name", "narrow"})

# After a set of one thing, "they" and ranks make no sense.
_FIT_FOR_ONE = frozenset({"swap", "include", "exclude", "move_threshold", "widen", "other_year"})

_NOT_EASY = (" JOIN ", " ORDER BY ", " GROUP BY ", "DISTINCT", " IN (", "<>", " AND ", ">", "<", "LIKE")


def is_easy(sql: str) -> bool:
    """Whether a tiny model has a chance: one table, at most one equality, no order and no groups."""
    return not any(word in sql for word in _NOT_EASY) and "(SELECT" not in sql


def _is_sound(world: World, step: Step, before: list[Step]) -> bool:
    """Whether the step's SQL gives something worth asking for, without ambiguity, and not what was just shown."""
    query, sql = step.query, world.sql(step.query)
    if any(sql == world.sql(other.query) or step.question == other.question for other in before):
        return False
    rows = world.run(sql)
    if not rows or all(value is None or value == 0 for row in rows for value in row) or not world.is_clear(sql):
        return False
    if before and rows == world.rows(before[-1].query):
        return False
    if query.form == "list" and not query.entity.lookup:
        return False  # records without a name of their own are counted and added up, never listed
    if query.form == "list" and (len(rows) > MAX_LISTED or (step.kind in ("narrow", "exclude") and len(rows) < 2)):
        return False
    if query.form == "list" and query.order and query.limit is None and len(rows) < 3:
        return False
    if query.is_lookup and len(rows) != 1:
        return False
    if query.form in ("group", "distinct") and query.limit is None:
        return 2 <= len(rows) <= MAX_LISTED and all(row[0] is not None for row in rows)
    return not (query.form == "count_distinct" and rows[0][0] == 1)


def _polished(world: World, step: Step) -> Step:
    """几 asks for a small number; where the answer is not, 多少 and 哪些."""
    if step.query.entity.person:
        for this in ("哪", "哪几", "那"):  # as in phrases.it
            step = step._replace(question=step.question.replace(f"{this}名", f"{this}位"))
    rows = world.rows(step.query)
    numbers = [row[-1] for row in rows if isinstance(row[-1], int)] if step.query.form != "list" else [len(rows)]
    if max(numbers, default=0) <= 12:
        return step
    mw = step.query.entity.mw
    question = step.question.replace(f"哪几{mw}", "哪些").replace(f"几{mw}", f"多少{mw}")
    return step._replace(question=question)


def _goes_on(kind: str, before: list[Step], world: World) -> bool:
    kinds = [step.kind for step in before]
    if kind in _REPEATABLE:
        return kinds[-2:] != [kind, kind] and kinds.count(kind) < 3
    if kind == kinds[-1] or kinds.count(kind) > 1:
        return False
    last = before[-1].query
    return not (last.is_set and len(world.rows(last)) < 2)


def walk(world: World, rng: Rng, easy: bool) -> SampleInteraction | None:
    """An interaction from an opener over follow-ups, or None where the dice came to nothing."""
    length = rng.weighted(_NUM_TURNS)
    opener = rng.weighted(EASY_OPENERS if easy else OPENERS)
    step = opener(world, rng, rng.pick(world.domain.entities), easy)
    if step is None:
        return None
    steps = [_polished(world, step)._replace(kind=opener.__name__)]
    if not _is_sound(world, steps[0], []) or (easy and not is_easy(world.sql(step.query))):
        return None
    while len(steps) < length:
        following = _next_step(world, rng, steps, easy, last=len(steps) == length - 1)
        if following is None:
            break
        steps.append(following)
    if len(steps) < 2:
        return None
    turns = tuple(SampleTurn(s.question, world.sql(s.query), i > 0) for i, s in enumerate(steps))
    return SampleInteraction(world.domain.db_id, "easy" if easy else "walk", turns)


def _next_step(world: World, rng: Rng, steps: list[Step], easy: bool, last: bool) -> Step | None:
    if last and not easy and len(steps) >= 3 and rng.chance(30):
        step = grouping.back(world, rng, steps[0].query)
        if step is not None and _is_sound(world, step, steps):
            return _polished(world, step)._replace(kind="back")
    left = list(EASY_FOLLOW_UPS if easy else FOLLOW_UPS)
    previous = steps[-1].query
    single = previous.is_set and len(world.rows(previous)) < 2
    while left:
        follow_up = rng.weighted(left)
        left = [(other, weight) for other, weight in left if other is not follow_up]
        kind = follow_up.__name__
        if (single and kind not in _FIT_FOR_ONE) or not _goes_on(kind, steps, world):
            continue
        step = follow_up(world, rng, previous)
        if step is None or (easy and not is_easy(world.sql(step.query))):
            continue
        step = _polished(world, step)._replace(kind=kind)
        if _is_sound(world, step, steps):
            return step
    return None


def from_script(world: World, rng: Rng, script: Script) -> SampleInteraction | None:
    """A script with its values chosen, or None where these values make a turn empty or ambiguous."""
    values: Row = ()
    if script.binds:
        values = rng.pick(sorted(world.run(script.binds), key=repr))
    turns: list[SampleTurn] = []
    for index, (questions, sql) in enumerate(script.turns):
        question = rng.pick(questions.split("|"))
        for letter, value in zip("abcdefg", values, strict=False):
            question = question.replace("$" + letter, shown(value))
            sql = sql.replace("$" + letter, literal(value))
        rows = world.run(sql)
        if not rows or all(value is None for row in rows for value in row) or not world.is_clear(sql):
            return None
        turns.append(SampleTurn(question, sql, index > 0 and index not in script.fresh))
    return SampleInteraction(world.domain.db_id, "script", tuple(turns))


def compose(world: World, rng: Rng, number: int) -> list[SampleInteraction]:
    """`number` different interactions: about a third from scripts, a quarter easy, the rest walks.

    A script that these rows make empty or ambiguous (a tie for the first place) is left out; a walk takes its place.
    """
    found: dict[tuple[str, ...], SampleInteraction] = {}
    firsts: dict[str, int] = {}

    def keep(interaction: SampleInteraction | None) -> bool:
        if interaction is None:
            return False
        key, first = tuple(turn.question for turn in interaction.turns), interaction.turns[0].question
        if key in found or firsts.get(first, 0) >= 1 + number // 60:
            return False
        found[key] = interaction
        firsts[first] = firsts.get(first, 0) + 1
        return True

    for script in world.domain.scripts:
        kept = sum(keep(from_script(world, rng, script)) for _ in range(2 if script.binds else 1))
        if not kept and script.binds:
            any(keep(from_script(world, rng, script)) for _ in range(20))
    easy = number * 24 // 100
    for _ in range(number * 400):
        if len(found) >= number:
            break
        keep(walk(world, rng, easy > 0))
        easy = number * 24 // 100 - sum(i.kind == "easy" for i in found.values())
    assert len(found) >= number, f"{world.domain.db_id}: {len(found)} different interactions, wanted {number}"
    return rng.shuffled(list(found.values()))[:number]
