"""The record behind `report.json`.

    {"num_interactions": 220, "num_turns": 863, "num_gold_failed": 0, "execution_accuracy": 0.7428, …,
     "interaction_match_ex": 0.3455, "history": "predicted",
     "by_turn": {"1": {"num_turns": 220, "execution_accuracy": 0.8, …}, …, ">4": {…}}, "by_db": {"购书平台": {…}, …},
     "verdicts": {"right": 641, "wrong_result": 118, "error": 104, …},
     "per_question": {"h83oa": {"ex": 1, "ex_keep_distinct": 1, "em": null, "hardness": null, "verdict": "right"}, …}}

Fractions are 0..1, null where there is nothing to divide by. What is null everywhere is not computed yet: exact set
match, hardness, intervals. `report.schema.json` beside this file says all this to programs.
"""

from __future__ import annotations

from typing import Any, Literal

from t2s.interaction import Record

Verdict = Literal[
    "right",
    "wrong_result",
    "error",
    "timeout",
    "refused",
    "too_large",
    "crashed",
    "no_sql",
    "missing",
    "gold_failed",
]
"""What came of a turn: its result is the gold's or not; or it has none, as the sandbox's outcome says; or the
prediction is empty (`no_sql`) or absent (`missing`); or the gold SQL itself does not run, so that the turn is not
scored."""

VERDICTS: tuple[Verdict, ...] = (
    "right",
    "wrong_result",
    "error",
    "timeout",
    "refused",
    "too_large",
    "crashed",
    "no_sql",
    "missing",
    "gold_failed",
)

TURN_GROUPS = ("1", "2", "3", "4", ">4")


class Score(Record):
    """The figures of a group of turns.

    Attributes:
        num_turns: Scored turns: those whose gold runs.
        execution_accuracy, execution_accuracy_keep_distinct: Share of them that is right, with DISTINCT removed (the
            official default) and kept.
        exact_set_match: Not computed yet: null.
        valid_sql_rate: Share of them whose SQL, unchanged, runs to its end.
        intervals: Not computed yet: null.
    """

    num_turns: int
    execution_accuracy: float | None
    execution_accuracy_keep_distinct: float | None
    exact_set_match: None = None
    valid_sql_rate: float | None
    intervals: None = None


class QuestionResult(Record):
    """One question.

    Attributes:
        ex, ex_keep_distinct: 1 or 0; null where its gold fails.
        em, hardness: Not computed yet: null.
        verdict: What came of it.
    """

    ex: Literal[0, 1] | None
    ex_keep_distinct: Literal[0, 1] | None
    em: None = None
    hardness: None = None
    verdict: Verdict


class Report(Score):
    """A scored run.

    Attributes:
        num_interactions: Scored interactions: those whose every gold runs.
        num_gold_failed: Turns left out since their gold does not run; `gold_failed` says which and why.
        interaction_match_ex: Share of the scored interactions whose every turn is right by `execution_accuracy`.
        interaction_match_em: Not computed yet: null.
        history: Which earlier SQL the model saw; null where unknown.
        by_turn: By position in the interaction: "1", "2", "3", "4", ">4".
        by_hardness: Not computed yet: null.
        by_db: By `db_id`.
        verdicts: Turns by verdict; together all turns of the gold file.
        missing_predictions: Questions without a prediction; they count as wrong.
        unknown_predictions: Predictions for questions that the gold file does not have; they count for nothing.
        gold_failed: Question -> why its gold does not run.
        per_question: By `question_id`, or `question_id@db_id` where several databases have the same question_id.
    """

    num_interactions: int
    num_gold_failed: int
    interaction_match_ex: float | None
    interaction_match_em: None = None
    history: Literal["predicted", "gold", "none"] | None
    by_turn: dict[str, Score]
    by_hardness: None = None
    by_db: dict[str, Score]
    verdicts: dict[Verdict, int]
    missing_predictions: tuple[str, ...]
    unknown_predictions: tuple[str, ...]
    gold_failed: dict[str, str]
    per_question: dict[str, QuestionResult]


def report_schema() -> dict[str, Any]:
    """The JSON Schema of `report.json`; `report.schema.json` is this, written down."""
    schema = Report.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
