"""Scored runs as evaluate writes them, made of a few letters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from t2s.report.record import Flag, History, QuestionResult, Report
from t2s.report.turn_detail import ResultPreview, TurnDetail
from t2s.verdict import Verdict

# A letter for each turn: right, wrong (a wrong column), no such column, gold fails.
_LETTERS: dict[str, tuple[Flag | None, Verdict]] = {
    "R": (1, "right"),
    "W": (0, "wrong_column"),
    "N": (0, "no_such_column"),
    "-": (None, "gold_failed"),
}


def question_result(letter: str, em: Flag | None = None, overlap: float = 0.5) -> QuestionResult:
    ex, verdict = _LETTERS[letter]
    return QuestionResult(
        ex=ex,
        ex_keep_distinct=ex,
        ex_strict=ex,
        ex_bird=ex,
        em=em,
        em_own=ex,
        hardness="easy" if em is not None else "unknown",
        bleu_4=None if ex is None else overlap,
        rouge_l=None if ex is None else overlap,
        valid_sql=0 if letter == "N" else 1,
        verdict=verdict,
    )


def write_run(
    folder: Path,
    interactions: Sequence[str],
    *,
    em: Mapping[str, Flag] | None = None,
    overlap: float = 0.5,
    history: History | None = "predicted",
    gold_sql: Mapping[str, str] | None = None,
    first: int = 0,
    with_turns: bool = True,
    sql: str = "SELECT 名称 FROM 城市",
) -> str:
    """Write `report.json` and `evaluate/turns.jsonl`; question `2.1` is turn 1 of interaction 2, both from 0.

    Args:
        folder: The run's.
        interactions: For each, a letter for each turn.
        em: Exact set match of some questions.
        overlap: BLEU and ROUGE of every turn.
        history: As in the report.
        gold_sql: Of some questions, where it is not as in other runs.
        first: Number of the first interaction.
        with_turns: Whether `turns.jsonl` is there.
        sql: Of every prediction.

    Returns:
        The run_uri.
    """
    details = [
        TurnDetail(
            name=f"{number}.{turn_index}",
            db_id="甲" if number % 2 else "乙",
            interaction_index=number - first,
            turn_index=turn_index,
            question=f"问{number}.{turn_index}",
            gold_sql=(gold_sql or {}).get(f"{number}.{turn_index}", f"SELECT {number}, {turn_index}"),
            predicted_sql=sql,
            message="no such column: 名称" if letter == "N" else "",
            gold_result=ResultPreview(columns=("a",), rows=(("1",),), num_rows=1, num_columns=1),
            predicted_result=None,
            result=question_result(letter, (em or {}).get(f"{number}.{turn_index}"), overlap),
        )
        for number, letters in enumerate(interactions, first)
        for turn_index, letter in enumerate(letters)
    ]
    values: dict[str, Any] = dict.fromkeys(Report.model_fields)  # compare reads none of the sums
    empty: dict[str, Any] = {"by_turn": {}, "by_db": {}, "first_wrong_turn": {}, "verdicts": {}, "warnings": {}}
    report = Report(
        **values
        | empty
        | {
            "num_interactions": len(interactions),
            "num_turns": len(details),
            "num_turns_em": 0,
            "num_gold_failed": 0,
            "num_gold_rejected": 0,
            "num_predictions_rejected": 0,
            "history": history,
            "by_hardness": {},
            "intervals": {},
            "missing_predictions": (),
            "unknown_predictions": (),
            "gold_failed": {},
            "rejections": {},
            "per_question": {detail.name: detail.result for detail in details},
        }
    )
    (folder / "evaluate").mkdir(parents=True)
    (folder / "report.json").write_text(report.model_dump_json(), encoding="utf-8")
    if with_turns:
        lines = "".join(detail.model_dump_json() + "\n" for detail in details)
        (folder / "evaluate" / "turns.jsonl").write_text(lines, encoding="utf-8")
    return str(folder)
