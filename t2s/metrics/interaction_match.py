"""Interaction match (IM): the share of interactions whose every turn is right.

    turns right: (1, 1, 1), (1, 0), (1,)  ->  2 of 3

Yu et al. 2019, "SParC: Cross-Domain Semantic Parsing in Context", section 5; `joint_all` in taoyds/test-suite-sql-eval
evaluation.py@893d0df. An interaction with a turn that cannot be scored (its gold fails) is left out, with all its
turns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def interaction_match(interactions: Iterable[Sequence[bool | None]]) -> tuple[int, int]:
    """Count interactions: those that are right, and those that can be scored.

    Args:
        interactions: For each, whether each turn is right; None for a turn that cannot be scored.
    """
    scored = [turns for turns in interactions if None not in turns]
    return sum(all(turns) for turns in scored), len(scored)
