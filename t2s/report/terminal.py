"""The report as a table on the terminal.

             Scores, history: predicted
           turns   EX                    EX, DISTINCT kept   EM       SQL that runs
 turn 1      220   80.0 % (74.1–85.0)               79.5 %   61.2 %          93.2 %
 …
 easy        301   …
 all         863   74.3 % (70.9–77.5)               74.0 %   50.1 %          88.0 %
Interactions with every turn right: 76 of 220, 34.5 % (28.2–40.9)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from t2s.report.record import Report, Score
from t2s.verdict import VERDICTS, WARNINGS

if TYPE_CHECKING:
    from rich.console import Console

_NUM_LISTED = 5
_WARNING_TEXTS = {
    "quoted_string": "use a double-quoted name that no table or column has: SQLite takes it for a text",
    "both_empty": "are right only because both results are empty",
    "distinct_ignored": "are right only because the official rules drop DISTINCT",
    "right_after_wrong": "are right on a wrong earlier turn",
}


def print_report(report: Report, console: Console) -> None:
    """Print scores by turn and hardness, interaction match, verdicts and, in red, what the score does not say.

    Args:
        report: The report.
        console: Where to; the caller decides on stdout or stderr.
    """
    from rich.table import Table

    title = f"Scores, history: {report.history or 'unknown'}; 95 % intervals over interactions"
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for name in ("turns", "EX", "EX, DISTINCT kept", "EX strict", "EM", "EM own", "SQL that runs"):
        table.add_column(name, justify="right")
    for group, score in report.by_turn.items():
        table.add_row(f"turn {group}", *_figures(score))
    table.add_section()
    for level, score in report.by_hardness.items():
        if score.num_turns:
            table.add_row(level, *_figures(score))
    table.add_section()
    table.add_row("all", *_figures(report), style="bold")
    console.print(table)
    for name, share, words in (
        ("interaction_match_ex", report.interaction_match_ex, "every turn right (IM by EX)"),
        ("interaction_match_em", report.interaction_match_em, "every turn an exact set match (IM by EM)"),
    ):
        if share is not None:
            console.print(f"Interactions with {words}: {_percent(share)}{_interval(report, name)}", highlight=False)
    texts = (("BLEU-4", report.bleu_4), ("ROUGE-L", report.rouge_l), ("BIRD's EX", report.execution_accuracy_bird))
    console.print(", ".join(f"{name} {_percent(share)}" for name, share in texts), highlight=False)
    counts = ", ".join(f"{kind} {report.verdicts[kind]}" for kind in VERDICTS if report.verdicts.get(kind))
    console.print(f"Verdicts: {counts}", highlight=False)
    if report.usage is not None and report.usage.gpu_seconds is not None:
        console.print(f"Took {report.usage.line()}", highlight=False, markup=False)
    _print_warnings(report, console)


def _print_warnings(report: Report, console: Console) -> None:
    if report.gold_failed:
        questions = [f"{question} ({why})" for question, why in report.gold_failed.items()]
        _warn(console, f"{report.num_gold_failed} turns are not scored, since their gold SQL does not run", questions)
    if report.missing_predictions:
        count = len(report.missing_predictions)
        _warn(console, f"{count} questions have no prediction and count as wrong", report.missing_predictions)
    if report.unknown_predictions:
        count = len(report.unknown_predictions)
        _warn(console, f"{count} predictions are for questions that gold does not have", report.unknown_predictions)
    for kind in WARNINGS:
        if report.warnings.get(kind):
            console.print(f"note: {report.warnings[kind]} turns {_WARNING_TEXTS[kind]}", highlight=False)
    if report.num_gold_rejected or report.num_predictions_rejected:
        reasons = ", ".join(f"{reason} {sum(counts.values())}" for reason, counts in report.rejections.items())
        console.print(
            f"note: the official grammar does not take {report.num_gold_rejected} gold queries (no EM) and "
            f"{report.num_predictions_rejected} predictions (EM 0): {reasons}",
            highlight=False,
            markup=False,
        )


def _figures(score: Score) -> tuple[str, ...]:
    return (
        f"{score.num_turns:,}",
        _percent(score.execution_accuracy) + _interval(score, "execution_accuracy"),
        _percent(score.execution_accuracy_keep_distinct),
        _percent(score.execution_accuracy_strict),
        _percent(score.exact_set_match),
        _percent(score.exact_set_match_own),
        _percent(score.valid_sql_rate),
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _interval(score: Score, figure: str) -> str:
    if figure not in score.intervals:
        return ""
    low, high = score.intervals[figure]
    return f" ({100 * low:.1f}-{100 * high:.1f})"


def _warn(console: Console, text: str, questions: list[str] | tuple[str, ...]) -> None:
    shown = ", ".join(questions[:_NUM_LISTED]) + (", …" if len(questions) > _NUM_LISTED else "")
    console.print(f"warning: {text}: {shown}", style="red", highlight=False, markup=False)
