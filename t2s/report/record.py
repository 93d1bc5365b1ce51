"""The record behind `report.json`.

    {"num_interactions": 220, "num_turns": 863, "num_gold_failed": 0, "execution_accuracy": 0.7428, …,
     "interaction_match_ex": 0.3455, "history": "predicted",
     "by_turn": {"1": {"num_turns": 220, "execution_accuracy": 0.8, …}, …, ">4": {…}},
     "by_hardness": {"easy": {…}, …, "unknown": {…}}, "by_db": {"购书平台": {…}, …},
     "verdicts": {"right": 641, "wrong_column": 118, "no_such_column": 104, …},
     "per_question": {"h83oa": {"ex": 1, "ex_keep_distinct": 1, "em": 1, "hardness": "easy", "verdict": "right", …}, …}}

Fractions are 0..1, null where there is nothing to divide by. `report.schema.json` beside this file says all this to
programs.
"""

from __future__ import annotations

from typing import Any, Literal

from t2s.interaction import Record
from t2s.usage import RunUsage
from t2s.verdict import Hardness, TurnWarning, Verdict

TURN_GROUPS = ("1", "2", "3", "4", ">4")

Flag = Literal[0, 1]
History = Literal["predicted", "gold", "none"]
Interval = tuple[float, float]


class Score(Record):
    """The figures of a group of turns.

    Attributes:
        num_turns: Scored turns: those whose gold runs.
        num_turns_em: Of these, those whose gold the official grammar takes; `exact_set_match` is a share of them.
        execution_accuracy, execution_accuracy_keep_distinct: Share of scored turns that is right, with DISTINCT removed
            (the official default) and kept.
        execution_accuracy_strict: The same by our strict mode: order counts where the outer query orders, floats within
            a tolerance.
        execution_accuracy_bird: The same by BIRD's comparison of sets of rows.
        exact_set_match: Official exact set match without values.
        exact_set_match_own: Ours, over all of SQLite's grammar; a share of the scored turns.
        valid_sql_rate: Share of them whose SQL, unchanged, runs to its end.
        bleu_4, rouge_l: Mean overlap of predicted and gold SQL as texts, as LLaMA-Factory computes it.
        intervals: 95 % bootstrap intervals over interactions, by the name of the figure.
    """

    num_turns: int
    num_turns_em: int
    execution_accuracy: float | None
    execution_accuracy_keep_distinct: float | None
    execution_accuracy_strict: float | None
    execution_accuracy_bird: float | None
    exact_set_match: float | None
    exact_set_match_own: float | None
    valid_sql_rate: float | None
    bleu_4: float | None
    rouge_l: float | None
    intervals: dict[str, Interval]


class QuestionResult(Record):
    """One question.

    Attributes:
        ex, ex_keep_distinct: 1 or 0; null where its gold fails.
        ex_strict, ex_bird: The same, by the other two comparisons.
        em: Official exact set match; null where the official grammar does not take the gold.
        em_own: Ours; null where gold cannot be parsed.
        hardness: Official level; "unknown" where `em` is null.
        bleu_4, rouge_l: Overlap of the texts; null where its gold fails.
        valid_sql: Whether its SQL, unchanged, runs.
        verdict: What came of it.
        warnings: What makes that worth a second look.
    """

    ex: Flag | None
    ex_keep_distinct: Flag | None
    ex_strict: Flag | None
    ex_bird: Flag | None
    em: Flag | None
    em_own: Flag | None
    hardness: Hardness
    bleu_4: float | None
    rouge_l: float | None
    valid_sql: Flag
    verdict: Verdict
    warnings: tuple[TurnWarning, ...] = ()


class Report(Score):
    """A scored run.

    Attributes:
        num_interactions: Scored interactions: those whose every gold runs.
        num_gold_failed: Turns left out since their gold does not run; `gold_failed` says which and why.
        num_gold_rejected, num_predictions_rejected: SQL that the official grammar does not take: such gold has no
            `exact_set_match`, such a prediction counts 0; `rejections` counts the reasons of both.
        interaction_match_ex: Share of the scored interactions whose every turn is right by `execution_accuracy`.
        interaction_match_em, interaction_match_em_own: The same by exact set match; interactions with a gold that has
            none are left out.
        history: Which earlier SQL the model saw; null where unknown.
        by_turn: By position in the interaction: "1", "2", "3", "4", ">4".
        by_hardness: By official level: easy, medium, hard, extra, unknown.
        by_db: By `db_id`.
        first_wrong_turn: Scored interactions by the first wrong turn: "1", "2", "3", "4", ">4", "none".
        verdicts: Turns by verdict; together all turns of the gold file.
        warnings: Turns by warning.
        missing_predictions: Questions without a prediction; they count as wrong.
        unknown_predictions: Predictions for questions that the gold file does not have; they count for nothing.
        gold_failed: Question -> why its gold does not run.
        rejections: Why the official grammar did not take SQL -> {"gold": turns, "predicted": turns}.
        per_question: By `question_id`, or `question_id@db_id` where several databases have the same question_id.
        usage: What answering took of GPUs, and its cost; null where the run has no such record.
    """

    num_interactions: int
    num_gold_failed: int
    num_gold_rejected: int
    num_predictions_rejected: int
    interaction_match_ex: float | None
    interaction_match_em: float | None
    interaction_match_em_own: float | None
    history: History | None
    by_turn: dict[str, Score]
    by_hardness: dict[Hardness, Score]
    by_db: dict[str, Score]
    first_wrong_turn: dict[str, int]
    verdicts: dict[Verdict, int]
    warnings: dict[TurnWarning, int]
    missing_predictions: tuple[str, ...]
    unknown_predictions: tuple[str, ...]
    gold_failed: dict[str, str]
    rejections: dict[str, dict[Literal["gold", "predicted"], int]]
    per_question: dict[str, QuestionResult]
    usage: RunUsage | None = None


def report_schema() -> dict[str, Any]:
    """The JSON Schema of `report.json`; `report.schema.json` is this, written down."""
    schema = Report.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
