"""A test set as token counts: what the simulated engine is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from t2s.admission import FIRST_GUESS_TOKENS
from t2s.engine import Message
from t2s.gpu_plan.pace import TurnWork, Work
from t2s.interaction import Interaction, Turn
from t2s.plan import Plan
from t2s.prompt import PromptTemplate
from t2s.shard import plan_order

MAX_INTERACTIONS = 600
_STRETCHES = 4
"""Neighbours share a schema, so whole stretches are taken, from this many places of the plan."""

CountTokens = Callable[[Sequence[Message]], int]


def sampled(interactions: Sequence[Interaction]) -> list[Interaction]:
    """At most `MAX_INTERACTIONS`, in plan order, in stretches from all over the set."""
    ordered = plan_order(interactions)
    if len(ordered) <= MAX_INTERACTIONS:
        return ordered
    length = MAX_INTERACTIONS // _STRETCHES
    starts = [number * (len(ordered) - length) // (_STRETCHES - 1) for number in range(_STRETCHES)]
    return [one for start in starts for one in ordered[start : start + length]]


def count_works(
    plan: Plan, template: PromptTemplate, count_tokens: CountTokens, max_tokens: int, longest_prompt: int
) -> list[Work]:
    """Count what `sampled` takes of a plan.

    Args:
        plan: With its databases.
        template: Of the prompt.
        count_tokens: The engine's own.
        max_tokens: Longest answer. Gold SQL says how long answers are; without it, what the gate first guesses.
        longest_prompt: Tokens that the context has for a prompt: a longer schema would be pruned.
    """
    prefixes: dict[str, int] = {}
    empty = count_tokens([{"role": "system", "content": ""}])

    def added(message: Message) -> int:
        return max(1, count_tokens([{"role": "system", "content": ""}, message]) - empty)

    def work_of(turn: Turn) -> TurnWork:
        [_, question] = template.messages("", [], turn.question)
        answer = FIRST_GUESS_TOKENS
        if turn.gold_sql:
            answer = added({"role": "assistant", "content": turn.gold_sql})
        return TurnWork(added(question), min(answer, max_tokens))

    works = []
    for one in sampled(plan.interactions):
        if one.db_id not in prefixes:
            schema = template.schema_prompt(plan.databases.path(one.db_id), one.db_id)
            prefixes[one.db_id] = schema.system_tokens(count_tokens)
        turns = tuple(work_of(turn) for turn in one.turns)
        tail = sum(turn.question + turn.answer for turn in turns)
        prefix = max(1, min(prefixes[one.db_id], longest_prompt - tail))
        works.append(Work(one.db_id, prefix, turns))
    return works


def longest_context(works: Sequence[Work], max_tokens: int) -> int:
    """Tokens of the longest prompt with the longest answer behind it."""
    return max(
        work.prefix_tokens
        + sum(turn.question + turn.answer for turn in work.turns)
        - work.turns[-1].answer
        + max_tokens
        for work in works
    )
