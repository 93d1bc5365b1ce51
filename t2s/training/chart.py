"""The picture of prepare's statistics: lengths, turns, hardness, and what was left out, for each part."""

from __future__ import annotations

import importlib.util
from typing import Any

from t2s.errors import MissingExtra
from t2s.training.statistics import Statistics

_PACKAGES = ("altair", "vl_convert")
_WIDTH, _HEIGHT = 420, 220
_COLOURS = {"train": "#4c78a8", "test": "#f58518"}


def demand_packages() -> None:
    """Raise `MissingExtra` where a picture cannot be made: before work starts and not after."""
    for name in _PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise MissingExtra(f"the statistics' picture needs the package {name!r}: make setup")


def statistics_png(statistics: Statistics) -> bytes:
    """Draw it; everything in it is in the statistics too."""
    import altair as alt
    import vl_convert

    colour = alt.Color(
        "part:N",
        scale=alt.Scale(domain=list(_COLOURS), range=list(_COLOURS.values())),
        legend=alt.Legend(title=None, orient="right") if len(statistics.parts) > 1 else None,
    )
    turns = _bars(alt, _shares(statistics, "turns"), "turns per interaction", "share of interactions", colour)
    hardness = _bars(alt, _shares(statistics, "hardness"), "hardness of gold SQL", "share of turns", colour)
    title = alt.TitleParams(
        f"{statistics.example_form} examples", subtitle=_lines(statistics), anchor="start", offset=12, fontSize=15
    )
    chart = (
        alt.vconcat(_lengths(alt, statistics, colour), alt.hconcat(turns, hardness), title=title)
        .configure_axis(gridColor="#eeeeee", titleFontWeight="normal")
        .configure_view(stroke=None)
    )
    png: bytes = vl_convert.vegalite_to_png(chart.to_json(), scale=1.5)
    return png


def _lengths(alt: Any, statistics: Statistics, colour: Any) -> Any:
    chart = (
        alt.Chart(alt.InlineData(values=_histogram(statistics)), title=f"{statistics.unit} per example")
        .mark_rect()
        .encode(
            x=alt.X("from:Q", title=statistics.unit),
            x2="to:Q",
            y=alt.Y("share:Q", title="share of examples", axis=alt.Axis(format="%")),
            color=colour,
        )
        .properties(width=2 * _WIDTH + 60, height=_HEIGHT)
    )
    if statistics.cutoff_len is None:
        return chart
    rule = alt.Chart(alt.InlineData(values=[{"cutoff_len": statistics.cutoff_len}])).encode(x="cutoff_len:Q")
    label = rule.mark_text(align="right", dx=-4, dy=-_HEIGHT // 2 + 8)
    return chart + rule.mark_rule(strokeDash=[4, 3]) + label.encode(text=alt.value(f"cutoff {statistics.cutoff_len}"))


def _bars(alt: Any, values: list[dict[str, Any]], title: str, what: str, colour: Any) -> Any:
    order = list(dict.fromkeys(value["group"] for value in values))
    return (
        alt.Chart(alt.InlineData(values=values), title=title)
        .mark_bar()
        .encode(
            x=alt.X("group:N", sort=order, title=None, axis=alt.Axis(labelAngle=0)),
            xOffset=alt.XOffset("part:N", sort=list(_COLOURS)),
            y=alt.Y("share:Q", title=what, axis=alt.Axis(format="%")),
            color=colour,
        )
        .properties(width=_WIDTH, height=_HEIGHT)
    )


def _histogram(statistics: Statistics) -> list[dict[str, Any]]:
    """Rectangles: in each bin the parts stand side by side."""
    width = statistics.bin_width / len(statistics.parts)
    return [
        {
            "part": part,
            "from": index * statistics.bin_width + place * width,
            "to": index * statistics.bin_width + (place + 1) * width,
            "share": count / counted.num_examples,
        }
        for place, (part, counted) in enumerate(statistics.parts.items())
        for index, count in enumerate(counted.histogram)
        if count
    ]


def _shares(statistics: Statistics, name: str) -> list[dict[str, Any]]:
    groups: dict[str, dict[str, int]] = {part: getattr(counted, name) for part, counted in statistics.parts.items()}
    names = list(dict.fromkeys(group for found in groups.values() for group in found))
    if name == "turns":
        names.sort(key=int)
    return [
        {"part": part, "group": group, "share": found.get(group, 0) / sum(found.values())}
        for part, found in groups.items()
        for group in names
    ]


def _lines(statistics: Statistics) -> list[str]:
    """What is in each part, and what is not."""
    lines = []
    for part, counted in statistics.parts.items():
        failed = sum(counted.num_gold_failed.values())
        out = {
            "turns whose gold fails": failed,
            "turns after them": counted.num_after_failed,
            "turns too long": counted.num_too_long,
            "examples that will be cut": counted.num_cut,
            "pruned": counted.num_tables_pruned + counted.num_turns_pruned,
        }
        found = ", ".join(f"{number:,} {what}" for what, number in out.items() if number)
        lines.append(
            f"{part}: {counted.num_examples:,} examples of {counted.num_turns:,} turns in {counted.num_interactions:,} "
            f"interactions over {counted.num_databases:,} databases{f'; {found}' if found else ''}"
        )
    return lines
