"""A comparison of runs as tables on the terminal.

Base: runs/base. 863 turns of 220 interactions; 95 % intervals over interactions
                      runs/base              runs/adapter
EX                    74.3 % (70.9-77.5)     77.4 % (74.2-80.5)
IM by EX              34.5 % (28.2-40.9)     39.1 % (32.7-45.5)
…
runs/adapter against runs/base
                      difference             won   lost   p (McNemar)
EX                    +3.1 (+0.8 to +5.4)     51     24        0.0024
IM by EX              +4.6 (+0.5 to +8.6)     19      9         0.087
…
won: h83oa, 购书平台, turn 2: no_such_column -> right
  question   有电子书吗？售价多少？
  gold       select …
  base       select …
  now        select …
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from t2s.report.comparison import AgainstBase, ChangedTurn, ComparedRun, Comparison, Difference, GroupChange, Mean

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

FIGURES = {
    "execution_accuracy": "EX",
    "execution_accuracy_keep_distinct": "EX, DISTINCT kept",
    "execution_accuracy_strict": "EX strict",
    "execution_accuracy_bird": "BIRD's EX",
    "exact_set_match": "EM",
    "exact_set_match_own": "EM own",
    "interaction_match_ex": "IM by EX",
    "interaction_match_em": "IM by EM",
    "interaction_match_em_own": "IM by EM own",
    "valid_sql_rate": "SQL that runs",
    "bleu_4": "BLEU-4",
    "rouge_l": "ROUGE-L",
}
_NUM_LISTED = 10
_NUM_CHANGES = 12
_NOTE = (
    "Turns of an interaction stand or fall together, so p of a figure over turns (EX, EM) comes out too small. "
    "The intervals, drawn over interactions, and p of IM are the safer ones; p is not corrected for several runs."
)


def print_comparison(comparison: Comparison, console: Console, *, show_all: bool = False) -> None:
    """Print scores side by side, and for each run against the base what it won and lost.

    Args:
        comparison: Two or more runs.
        console: Where to.
        show_all: List every turn that was won or lost, not the first ten of each.
    """
    base = comparison.runs[0].run_uri
    of_interactions = f" of {comparison.num_interactions:,} interactions" if comparison.num_interactions else ""
    say(console, f"Base: {base}. {comparison.num_turns:,} turns{of_interactions}; 95 % intervals over interactions")
    print_table(
        console,
        ["", *(f"{run.run_uri}\nhistory: {run.history or 'unknown'}" for run in comparison.runs)],
        [
            [label, *(mean_text(run.means.get(figure)) for run in comparison.runs)]
            for figure, label in _labels(comparison.runs)
        ],
    )
    for against in comparison.against_base:
        _print_against(against, base, console, show_all)
    say(console, f"note: {_NOTE}")
    for warning in comparison.warnings:
        say(console, f"warning: {warning}", style="red")


def _print_against(against: AgainstBase, base: str, console: Console, show_all: bool) -> None:
    say(console, f"\n{against.run_uri} against {base}", style="bold")
    rows = [
        [label, *difference_cells(against.differences[figure])]
        for figure, label in FIGURES.items()
        if figure in against.differences
    ]
    print_table(console, ["", "difference", "won", "lost", "p (McNemar)"], rows)
    groups = [
        *_group_rows({f"turn {turn}": change for turn, change in against.by_turn.items()}),
        *_group_rows({str(level): change for level, change in against.by_hardness.items()}),
        *_group_rows(_most_changed(against.by_db)),
    ]
    print_table(console, ["EX", "turns", "base", "now", "won", "lost"], groups)
    changes = [
        (number, f"{before} -> {after}")
        for before, row in against.verdicts.items()
        for after, number in row.items()
        if before != after
    ]
    changes.sort(key=lambda change: -change[0])
    if changes:
        told = ", ".join(f"{change} {number}" for number, change in changes[:_NUM_CHANGES])
        left = len(changes) - _NUM_CHANGES
        say(console, f"Verdicts that changed: {told}" + (f", and {left} kinds more" if left > 0 else ""))
    for word, turns in (("won", against.won), ("lost", against.lost)):
        for turn in turns if show_all else turns[:_NUM_LISTED]:
            print_turn(word, turn, console)
        if not show_all and len(turns) > _NUM_LISTED:
            say(console, f"{word}: {len(turns) - _NUM_LISTED} turns more; --all lists them")


def print_turn(word: str, turn: ChangedTurn, console: Console) -> None:
    """A turn that was won or lost: its question, and the SQL of gold, base and run."""
    place = [turn.name]
    if turn.db_id is not None:
        place.append(turn.db_id)
    if turn.turn_index is not None:
        place.append(f"turn {turn.turn_index + 1}")
    if turn.hardness != "unknown":
        place.append(turn.hardness)
    style = "green" if word == "won" else "yellow"
    say(console, f"{word}: {', '.join(place)}: {turn.base.verdict} -> {turn.other.verdict}", style=style)
    lines = [("question", turn.question), ("gold", turn.gold_sql), ("base", turn.base.sql), ("now", turn.other.sql)]
    for label, text in lines:
        if text is not None:
            say(console, f"  {label:<9} {text or '(none)'}")


def _labels(runs: Sequence[ComparedRun]) -> list[tuple[str, str]]:
    return [(figure, label) for figure, label in FIGURES.items() if any(figure in run.means for run in runs)]


def mean_text(mean: Mean | None) -> str:
    """`74.3 % (70.9-77.5)`; a dash where there is none."""
    if mean is None:
        return "-"
    interval = f" ({100 * mean.interval[0]:.1f}-{100 * mean.interval[1]:.1f})" if mean.interval else ""
    return f"{100 * mean.value:.1f} %{interval}"


def difference_cells(difference: Difference) -> list[str]:
    """Difference, won, lost, p: `+3.1 (+0.8 to +5.4)`, `51`, `24`, `0.0024`; empty where there is no test."""
    low_high = difference.interval
    interval = f" ({100 * low_high[0]:+.1f} to {100 * low_high[1]:+.1f})" if low_high else ""
    told = f"{100 * difference.value:+.1f}{interval}"
    test = difference.test
    if test is None:
        return [told, "", "", ""]
    p = f"{test.p_value:.2g}" if test.p_value >= 0.0001 else "< 0.0001"
    return [told, f"{test.num_won:,}", f"{test.num_lost:,}", p]


def _group_rows(changes: Mapping[str, GroupChange]) -> list[list[str]]:
    return [
        [
            group,
            f"{change.num_turns:,}",
            f"{100 * change.num_base_right / change.num_turns:.1f} %",
            f"{100 * change.num_right / change.num_turns:.1f} %",
            f"{change.num_won:,}",
            f"{change.num_lost:,}",
        ]
        for group, change in changes.items()
    ]


def _most_changed(changes: Mapping[str, GroupChange]) -> dict[str, GroupChange]:
    """The databases on which most turns were won or lost; there may be hundreds."""
    changed = [(db_id, change) for db_id, change in changes.items() if change.num_won or change.num_lost]
    changed.sort(key=lambda item: -(item[1].num_won + item[1].num_lost))
    return dict(changed[:_NUM_LISTED])


def print_table(console: Console, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns without lines between them, the first to the left, the others to the right."""
    from rich.table import Table
    from rich.text import Text

    def cell(text: str) -> RenderableType:
        return Text("\n".join(_printable(line) for line in text.split("\n")))  # never markup: names may hold brackets

    table = Table(box=None, pad_edge=False)
    for position, name in enumerate(header):
        table.add_column(cell(name), justify="right" if position else "left", no_wrap=position == 0)
    for row in rows:
        table.add_row(*map(cell, row))
    console.print(table)


def say(console: Console, text: str, style: str | None = None) -> None:
    """A line that is never markup."""
    start = "\n" if text.startswith("\n") else ""
    console.print(start + _printable(text[len(start) :]), style=style, highlight=False, markup=False)


def _printable(text: str) -> str:
    """One line without control characters: SQL that a model wrote must not steer the terminal."""
    return "".join(sign if sign.isprintable() else " " if sign.isspace() else "�" for sign in text)
