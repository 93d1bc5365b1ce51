"""The report as a table on the terminal.

             Scores, history: predicted
 turn    turns   EX     EX, DISTINCT kept   SQL that runs
 1         220   80.0 %            79.5 %          93.2 %
 …
 all       863   74.3 %            74.0 %          88.0 %
Interactions with every turn right: 76 of 220 (34.5 %)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from t2s.report.record import VERDICTS, Report, Score

if TYPE_CHECKING:
    from rich.console import Console

_NUM_LISTED = 5


def print_report(report: Report, console: Console) -> None:
    """Print scores by turn, interaction match, verdicts and, in red, what makes the score less than it seems.

    Args:
        report: The report.
        console: Where to; the caller decides on stdout or stderr.
    """
    from rich.table import Table

    table = Table(title=f"Scores, history: {report.history or 'unknown'}", title_justify="left")
    table.add_column("turn", no_wrap=True)
    for name in ("turns", "EX", "EX, DISTINCT kept", "SQL that runs"):
        table.add_column(name, justify="right")
    for group, score in report.by_turn.items():
        table.add_row(group, *_figures(score))
    table.add_section()
    table.add_row("all", *_figures(report), style="bold")
    console.print(table)
    if report.interaction_match_ex is not None:
        num_right = round(report.interaction_match_ex * report.num_interactions)
        share = _percent(report.interaction_match_ex)
        console.print(f"Interactions with every turn right: {num_right} of {report.num_interactions} ({share})")
    counts = ", ".join(f"{kind} {report.verdicts[kind]}" for kind in VERDICTS if report.verdicts.get(kind))
    console.print(f"Verdicts: {counts}", highlight=False)
    if report.gold_failed:
        questions = [f"{question} ({why})" for question, why in report.gold_failed.items()]
        _warn(console, f"{report.num_gold_failed} turns are not scored, since their gold SQL does not run", questions)
    if report.missing_predictions:
        count = len(report.missing_predictions)
        _warn(console, f"{count} questions have no prediction and count as wrong", report.missing_predictions)
    if report.unknown_predictions:
        count = len(report.unknown_predictions)
        _warn(console, f"{count} predictions are for questions that gold does not have", report.unknown_predictions)


def _figures(score: Score) -> tuple[str, str, str, str]:
    return (
        f"{score.num_turns:,}",
        _percent(score.execution_accuracy),
        _percent(score.execution_accuracy_keep_distinct),
        _percent(score.valid_sql_rate),
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _warn(console: Console, text: str, questions: list[str] | tuple[str, ...]) -> None:
    shown = ", ".join(questions[:_NUM_LISTED]) + (", …" if len(questions) > _NUM_LISTED else "")
    console.print(f"warning: {text}: {shown}", style="red", highlight=False, markup=False)
