"""The end of a pipeline on the terminal: before and after in one table, and where everything is.

                runs/demo/before    runs/demo/after   difference            p (McNemar)
held-out loss             0.7066             0.2217   -0.4849
SQL that runs     0.0 % (0.0-0.0)  35.0 % (11-60)     +35.0 (+11 to +60)         0.0001
EX                0.0 % (0.0-0.0)   2.5 % (0.0-8.3)   +2.5 (+0.0 to +8.3)             1
…
won: 8c2f1, 气象观测, turn 1, easy: no_sql -> right
  …
report before: runs/demo/before/report.html
…
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from t2s.report.compare_terminal import FIGURES, difference_cells, mean_text, print_table, print_turn, say
from t2s.report.comparison import Comparison

if TYPE_CHECKING:
    from rich.console import Console

_SHOWN = ("valid_sql_rate", "execution_accuracy", "interaction_match_ex", "bleu_4")
_NUM_WON = 2


class Losses(NamedTuple):
    """The held-out loss before the first step of a training, where it was measured then, and the last one."""

    before: float | None
    after: float


def losses_of(history: Sequence[Mapping[str, object]]) -> Losses | None:
    """Take them out of what a training logged; None where it held nothing out.

    Args:
        history: Objects with `step` and, each where it was measured, `eval_loss`.
    """
    found = [
        (entry.get("step"), float(value)) for entry in history if isinstance(value := entry.get("eval_loss"), float)
    ]
    if not found:
        return None
    step, first = found[0]
    return Losses(first if step == 0 and len(found) > 1 else None, found[-1][1])


def print_end(
    comparison: Comparison, losses: Losses | None, paths: Sequence[tuple[str, str]], console: Console
) -> None:
    """Print the table, a turn or two that were won, and the paths.

    Args:
        comparison: The base, and one other run; of more, the last one counts as "after".
        losses: Of the training between them.
        paths: What is where, in the order to be told.
        console: Where to.
    """
    before, after = comparison.runs[0], comparison.runs[-1]
    against = comparison.against_base[-1]
    rows: list[list[str]] = []
    if losses is not None:
        told = (
            [f"{losses.before:.3f}", f"{losses.after - losses.before:+.3f}"] if losses.before is not None else ["", ""]
        )
        rows.append(["held-out loss", told[0], f"{losses.after:.3f}", told[1], ""])
    for figure in _SHOWN:
        if figure in against.differences:
            difference, _, _, p = difference_cells(against.differences[figure])
            means = [mean_text(run.means.get(figure)) for run in (before, after)]
            rows.append([FIGURES[figure], *means, difference, p])
    say(console, "")
    print_table(console, ["", before.run_uri, after.run_uri, "difference", "p (McNemar)"], rows)
    of_interactions = f" of {comparison.num_interactions:,} interactions" if comparison.num_interactions else ""
    say(
        console,
        f"{comparison.num_turns:,} turns{of_interactions}; 95 % intervals over interactions; history: {after.history}",
    )
    for turn in against.won[:_NUM_WON]:
        print_turn("won", turn, console)
    for warning in comparison.warnings:
        say(console, f"warning: {warning}", style="red")
    say(console, "")
    width = max((len(what) for what, _ in paths), default=0) + 1
    for what, path in paths:
        say(console, f"{what + ':':<{width}} {path}")
