"""The record of two or more runs side by side: what `t2s compare --json` prints and every other view is made of.

    {"num_turns": 863, "num_interactions": 220,
     "runs": [{"run_uri": "runs/base", "history": "predicted",
               "means": {"execution_accuracy": {"value": 0.7428, "count": 863, "interval": [0.709, 0.775]}, …}},
              {"run_uri": "runs/adapter", …}],
     "against_base": [{"run_uri": "runs/adapter",
                       "differences": {"execution_accuracy": {"value": 0.031, "interval": [0.008, 0.054],
                                       "test": {"num_won": 51, "num_lost": 24, …, "p_value": 0.0024}}, …},
                       "by_turn": {"1": {"num_turns": 220, "num_base_right": 176, …}, …},
                       "verdicts": {"right": {"right": 617, "wrong_column": 14, …}, …},
                       "won": [{"name": "h83oa", "base": {"verdict": "no_such_column", …}, …}], "lost": […]}],
     "warnings": []}

The first run is the base; every difference is another run minus the base. All figures are over the questions that every
run was scored on, so they may differ from the runs' own reports; `warnings` says then how many were left out.
"""

from __future__ import annotations

from t2s.interaction import Record
from t2s.report.record import History, Interval
from t2s.report.turn_detail import ResultPreview
from t2s.verdict import Hardness, TurnWarning, Verdict


class Mean(Record):
    """A figure of one run.

    Attributes:
        value: 0..1.
        count: Turns that it is the mean of; interactions, for the interaction match.
        interval: 95 % bootstrap interval over interactions; null where these are unknown or fewer than two.
    """

    value: float
    count: int
    interval: Interval | None


class ComparedRun(Record):
    """One run.

    Attributes:
        history: Which earlier SQL the model saw; null where unknown.
        means: By the names that `report.json` has; what no turn has a figure for is left out.
    """

    run_uri: str
    history: History | None
    means: dict[str, Mean]


class PairedTest(Record):
    """McNemar's exact test.

    Attributes:
        num_won, num_lost: Turns (interactions, for the interaction match) on which the run is right and the base wrong,
            and the other way round.
        num_both, num_neither: On which both are right, or none.
        p_value: Two-sided, not corrected for the number of tests. Turns of an interaction are not independent: for
            turns it is too small; for interactions it holds.
    """

    num_won: int
    num_lost: int
    num_both: int
    num_neither: int
    p_value: float


class Difference(Record):
    """A run's figure minus the base's.

    Attributes:
        value: -1..1.
        interval: 95 % bootstrap interval of the difference, paired, over interactions; null as in `Mean`.
        test: Null for means of overlap (BLEU, ROUGE).
    """

    value: float
    interval: Interval | None
    test: PairedTest | None


class GroupChange(Record):
    """The turns of a group, right by execution accuracy."""

    num_turns: int
    num_base_right: int
    num_right: int
    num_won: int
    num_lost: int


class JudgedSql(Record):
    """What one of the two runs predicted.

    Attributes:
        sql: Null where there is no prediction, or the run's `turns.jsonl` is not there.
        message: Why it has no result; "" where it has, or this is not known.
        result: Its first rows; null where it has none, or this is not known.
    """

    sql: str | None
    verdict: Verdict
    warnings: tuple[TurnWarning, ...]
    message: str = ""
    result: ResultPreview | None = None


class ChangedTurn(Record):
    """A turn on which one is right and the other wrong, by execution accuracy.

    Attributes:
        name: Its key in `Report.per_question`.
        interaction_index, turn_index: Its place in the base's gold, 0-based.
        db_id to gold_result: Null where no run has its `turns.jsonl`.
    """

    name: str
    hardness: Hardness
    base: JudgedSql
    other: JudgedSql
    db_id: str | None = None
    interaction_index: int | None = None
    turn_index: int | None = None
    question: str | None = None
    gold_sql: str | None = None
    gold_result: ResultPreview | None = None


class AgainstBase(Record):
    """A run against the base.

    Attributes:
        differences: By figure.
        by_turn, by_db: Empty where no run has its `turns.jsonl`.
        by_hardness: Levels that have turns.
        verdicts: Verdict of the base -> verdict of the run -> turns; what did not change included.
        won, lost: In gold's order.
    """

    run_uri: str
    differences: dict[str, Difference]
    by_turn: dict[str, GroupChange]
    by_hardness: dict[Hardness, GroupChange]
    by_db: dict[str, GroupChange]
    verdicts: dict[Verdict, dict[Verdict, int]]
    won: tuple[ChangedTurn, ...]
    lost: tuple[ChangedTurn, ...]


class Comparison(Record):
    """Two or more runs.

    Attributes:
        num_turns: Questions that all runs have and whose gold ran in all.
        num_interactions: Interactions with such a turn; null where no run has its `turns.jsonl`.
        runs: The base first.
        against_base: The others, in their order.
        warnings: What makes the comparison less than it seems; for people.
    """

    num_turns: int
    num_interactions: int | None
    runs: tuple[ComparedRun, ...]
    against_base: tuple[AgainstBase, ...]
    warnings: tuple[str, ...]
