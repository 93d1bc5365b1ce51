"""`report.html`: a scored run as one file that opens without a network.

    render_page(report, turns, title="llama3-testA", facts={"model": "Meta-Llama-3-8B-Instruct"}) -> "<!doctype html>…"

Jinja2 writes what stands still (templates/report.jinja: scores, tables, warnings), Altair the charts' specifications,
and the page's own script (templates/*.js) draws charts and interactions from JSON that the page carries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from t2s.report.charts import chart_specs, vega_script
from t2s.report.layout import render
from t2s.report.page_turns import turns_content
from t2s.report.record import TURN_GROUPS, Report, Score
from t2s.report.speed import measured_speed
from t2s.report.turn_detail import TurnDetail
from t2s.report.words import FAMILIES, PAGE_LANGUAGES, page_words
from t2s.verdict import HARDNESSES, VERDICTS

FIGURES: Final = (
    "execution_accuracy",
    "execution_accuracy_keep_distinct",
    "execution_accuracy_strict",
    "execution_accuracy_bird",
    "exact_set_match",
    "exact_set_match_own",
    "valid_sql_rate",
    "bleu_4",
    "rouge_l",
)
OVERLAPS: Final = ("bleu_4", "rouge_l")  # written as numbers, not as shares
SMALL_TILES: Final = (
    "execution_accuracy_keep_distinct",
    "execution_accuracy_strict",
    "execution_accuracy_bird",
    "exact_set_match",
    "exact_set_match_own",
    "interaction_match_em",
    "interaction_match_em_own",
    "valid_sql_rate",
    "bleu_4",
    "rouge_l",
)
STYLES: Final = ("base.css", "charts.css", "report.css", "filters.css", "cards.css")
SCRIPTS: Final = ("dom.js", "words.js", "sql.js", "turns.js", "filters.js", "cards.js", "charts.js", "report.js")

# A list that is longer helps nobody in a warning; the turns themselves are below, behind a filter.
MAX_LISTED = 50


class Tile(NamedTuple):
    """A score as the page's head shows it.

    Attributes:
        value, low, high: Fractions; None where there is nothing to divide by, or no interval.
        right, all: What the value is a share of, where it counts turns or interactions.
        unit: "turns" or "interactions".
    """

    figure: str
    value: float | None
    low: float | None
    high: float | None
    right: int | None
    all: int | None
    unit: str


def render_page(report: Report, turns: Sequence[TurnDetail], *, title: str, facts: Mapping[str, str]) -> str:
    """The whole page, as text that UTF-8 can write.

    Args:
        report: The scored run.
        turns: In the gold's order; charts and tables of the scores are there without them.
        title: Heads the page, e.g. the run's name.
        facts: What else its head says, label -> value; a label such as "model" that words.json knows as "fact.model" is
            shown in the reader's language.
    """
    speed = measured_speed(turns)
    charts = {language: chart_specs(report, turns, speed, language) for language in PAGE_LANGUAGES}
    content = {
        "report": report,
        "title": title,
        "facts": facts,
        "size": {
            "interactions": f"{len({turn.interaction_index for turn in turns}) or report.num_interactions:,}",
            "turns": f"{len(turns) or report.num_turns:,}",
            "databases": f"{len(report.by_db):,}",
        },
        "big": big_tiles(report),
        "small": small_tiles(report),
        "figures": FIGURES,
        "overlaps": OVERLAPS,
        "turn_groups": {group: report.by_turn[group] for group in TURN_GROUPS if group in report.by_turn},
        "hardnesses": {level: report.by_hardness[level] for level in HARDNESSES if level in report.by_hardness},
        "databases": sorted(report.by_db.items(), key=lambda item: _worst_first(item[1])),
        "families": _families(report),
        "num_verdicts": sum(report.verdicts.values()),
        "most_wrong": max((n for verdict, n in report.verdicts.items() if verdict != "right"), default=0),
        "speed": speed,
        "charts": set(charts["zh"]),
        "max_listed": MAX_LISTED,
        "page_data": {"words": page_words(), "charts": charts, "turns": turns_content(turns), "families": FAMILIES},
        "vega": vega_script(),
    }
    return render("report.jinja", STYLES, SCRIPTS, content)


def big_tiles(report: Report) -> list[Tile]:
    """What the page shows large: EX, IM, and EM: the official one, ours where there is none."""
    em = "exact_set_match" if report.exact_set_match is not None else "exact_set_match_own"
    return [_tile(report, figure) for figure in ("execution_accuracy", "interaction_match_ex", em)]


def small_tiles(report: Report) -> list[Tile]:
    """All other figures."""
    shown = {tile.figure for tile in big_tiles(report)}
    return [_tile(report, figure) for figure in SMALL_TILES if figure not in shown]


def _tile(report: Report, figure: str) -> Tile:
    value: float | None = getattr(report, figure)
    low, high = report.intervals.get(figure, (None, None))
    if figure.startswith("interaction_match"):
        # Interactions whose gold has no EM are left out, and the report does not count them.
        unit, whole = "interactions", report.num_interactions if figure == "interaction_match_ex" else None
    elif figure in OVERLAPS:
        unit, whole = "turns", None
    else:
        unit, whole = "turns", report.num_turns_em if figure == "exact_set_match" else report.num_turns
    right = None if value is None or whole is None else round(value * whole)
    return Tile(figure, value, low, high, right, whole, unit)


def _worst_first(score: Score) -> tuple[float, int]:
    ex = score.execution_accuracy
    return (2.0 if ex is None else ex, -score.num_turns)


def _families(report: Report) -> list[dict[str, Any]]:
    """Families that have a turn, each with its verdicts, most frequent first."""
    found = []
    for family, verdicts in FAMILIES.items():
        counted = [(verdict, report.verdicts.get(verdict, 0)) for verdict in verdicts]
        counted = sorted(((v, n) for v, n in counted if n), key=lambda pair: (-pair[1], VERDICTS.index(pair[0])))
        if counted:
            found.append({"name": family, "verdicts": counted, "count": sum(n for _, n in counted)})
    return found
