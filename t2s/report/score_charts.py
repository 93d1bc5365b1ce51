"""Charts of the scores: by turn, by hardness, where interactions go wrong first, kinds of error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from t2s.report.chart_parts import LINES, Row, colour, data, group_label, legend, percent, share_axis
from t2s.report.record import TURN_GROUPS, Report, Score
from t2s.report.turn_detail import TurnDetail
from t2s.report.words import FAMILIES, PageLanguage, say
from t2s.verdict import HARDNESSES

if TYPE_CHECKING:
    import altair as alt

    from t2s.report.chart_parts import AnyChart

FIGURE_COLOURS = {
    "execution_accuracy": "var(--ex)",
    "exact_set_match": "var(--em)",
    "exact_set_match_own": "var(--own)",
}
FAMILY_COLOURS = {
    "right": "var(--right)",
    "other_result": "var(--other-result)",
    "does_not_run": "var(--does-not-run)",
    "stopped": "var(--stopped)",
    "no_answer": "var(--no-answer)",
    "not_scored": "var(--not-scored)",
}
# Two curves of EM that lie on each other say nothing: ours is drawn where it differs by more than this somewhere.
EM_DIFFERS = 0.005
# A point of fewer turns is drawn hollow and the curve ends before it: its share leaps with each turn.
FEW_TURNS = 10
LABEL_HEIGHT = 0.08  # of the chart's height
LABEL_PLACES = {"above": -13, "below": 15, "top": -28}  # pixels from the point


def by_turn(report: Report, language: PageLanguage) -> AnyChart | None:
    """EX and EM as curves over the position in the interaction."""
    import altair as alt

    figures = _figures(report)
    groups = {group: report.by_turn[group] for group in TURN_GROUPS if group in report.by_turn}
    rows, labels = _figure_rows(groups, figures, "turn", language)
    if not rows:
        return None
    colours = _figure_colours(figures, language)
    own = say(language, "figure.exact_set_match_own.short")
    dashed = "exact_set_match_own" in figures and "exact_set_match" in figures
    _place_labels([row for row in rows if not dashed or row["figure"] != own])
    base = alt.Chart(data(rows)).encode(
        x=alt.X(
            "group:O", sort=labels, axis=alt.Axis(title=None, labelExpr=LINES, grid=False), scale=alt.Scale(padding=0.5)
        ),
        color=colour("figure", colours),
    )
    y = alt.Y("value:Q", scale=alt.Scale(domain=[0, 1]), axis=share_axis())
    main = alt.datum.figure != own if dashed else "true"
    many = base.transform_filter(~alt.datum.few)
    band = many.transform_filter(main).mark_area(opacity=0.14).encode(y=alt.Y("low:Q"), y2="high:Q")
    line = many.mark_line(strokeWidth=2.5).encode(
        y=y, strokeDash=alt.condition(main, alt.value([1, 0]), alt.value([4, 4])) if dashed else alt.value([1, 0])
    )
    tooltip = _figure_tooltip(language)
    point = many.mark_point(filled=True, size=75, opacity=1, cursor="pointer").encode(y=y, tooltip=tooltip)
    hollow = base.transform_filter(alt.datum.few).mark_point(size=60, opacity=1, cursor="pointer")
    layers = [band, line, point, hollow.encode(y=y, tooltip=tooltip)]
    for place, dy in LABEL_PLACES.items():
        text = base.transform_filter(main).transform_filter(alt.datum.place == place)
        layers.append(text.mark_text(dy=dy, fontSize=12, fontWeight=600).encode(y=y, text="text:N"))
    return alt.layer(*layers).properties(usermeta=legend(colours))


def _place_labels(rows: Sequence[Row]) -> None:
    """Set each row's `place`, so that neither two labels of a group nor a label and the axis lie on each other."""
    for group in {row["group"] for row in rows}:
        upper, *lower = sorted((row for row in rows if row["group"] == group), key=lambda row: -row["value"])
        upper["place"] = "above"
        for row in lower:
            row["place"] = "below"
            if row["value"] < LABEL_HEIGHT:  # no room above the axis
                row["place"] = "above"
                if upper["value"] - row["value"] < LABEL_HEIGHT:
                    upper["place"] = "top"


def by_hardness(report: Report, language: PageLanguage) -> AnyChart | None:
    """EX and EM as bars, by official level."""
    import altair as alt

    figures = _figures(report)[:2]
    groups = {level: report.by_hardness[level] for level in HARDNESSES if level in report.by_hardness}
    rows, labels = _figure_rows({str(level): score for level, score in groups.items()}, figures, "hardness", language)
    if not rows:
        return None
    colours = _figure_colours(figures, language)
    base = alt.Chart(data(rows)).encode(
        x=alt.X("group:O", sort=labels, axis=alt.Axis(title=None, labelExpr=LINES), scale=alt.Scale(paddingInner=0.3)),
        xOffset=alt.XOffset("figure:N", sort=list(colours), scale=alt.Scale(paddingInner=0.12)),
    )
    y = alt.Y("value:Q", scale=alt.Scale(domain=[0, 1.08]), axis=share_axis())
    bar = base.mark_bar(cornerRadiusEnd=3, cursor="pointer").encode(
        y=y, color=colour("figure", colours), tooltip=_figure_tooltip(language)
    )
    whisker = base.mark_rule(color="var(--ink)", opacity=0.65, strokeWidth=1.5).encode(y="low:Q", y2="high:Q")
    text = base.mark_text(dy=-8, fontSize=11, color="var(--ink)").encode(y="high:Q", text="text:N")
    return alt.layer(bar, whisker, text).properties(usermeta=legend(colours))


def first_wrong_turn(report: Report, language: PageLanguage) -> AnyChart | None:
    """Interactions by the turn that goes wrong first."""
    import altair as alt

    total = sum(report.first_wrong_turn.values())
    if not total:
        return None
    rows = []
    for group in (*TURN_GROUPS, "none"):
        number = report.first_wrong_turn.get(group, 0)
        right = group == "none"
        name = say(language, "axis.none_wrong") if right else say(language, f"turn.{group}")
        rows.append(
            {"name": name, "count": number, "share": number / total, "text": percent(number / total), "right": right}
        )
    base = alt.Chart(data(rows)).encode(
        x=alt.X("name:O", sort=None, axis=alt.Axis(title=None), scale=alt.Scale(paddingInner=0.35)),
        y=alt.Y("count:Q", axis=alt.Axis(title=None, domain=False, ticks=False, tickCount=5, tickMinStep=1)),
    )
    bar = base.mark_bar(cornerRadiusEnd=3).encode(
        color=alt.condition("datum.right", alt.value("var(--right)"), alt.value("var(--does-not-run)")),
        tooltip=[
            alt.Tooltip("name:N", title=" "),
            alt.Tooltip("count:Q", title=say(language, "axis.interactions"), format=","),
            alt.Tooltip("share:Q", title=say(language, "axis.share"), format=".1%"),
        ],
    )
    text = base.mark_text(dy=-8, fontSize=12, color="var(--ink)").encode(text="text:N")
    return alt.layer(bar, text)


def verdicts_by_turn(turns: Sequence[TurnDetail], language: PageLanguage) -> AnyChart | None:
    """Share of each family of verdicts, by position in the interaction."""
    import altair as alt

    family_of = {verdict: family for family, verdicts in FAMILIES.items() for verdict in verdicts}
    counts: dict[tuple[str, str], int] = {}
    for turn in turns:
        key = TURN_GROUPS[min(turn.turn_index, len(TURN_GROUPS) - 1)], family_of[turn.result.verdict]
        counts[key] = counts.get(key, 0) + 1
    sizes = {group: sum(n for (g, _), n in counts.items() if g == group) for group in TURN_GROUPS}
    labels = [say(language, f"turn.{group}") for group in TURN_GROUPS if sizes[group]]
    if not labels:
        return None
    used = [family for family in FAMILIES if any(f == family for _, f in counts)]
    rows = [
        {
            "name": say(language, f"turn.{group}"),
            "kind": say(language, f"family.{family}"),
            "order": order,
            "count": counts[group, family],
            "share": counts[group, family] / sizes[group],
            "filter": f"turn={group}&verdict=family:{family}",
        }
        for group in TURN_GROUPS
        for order, family in enumerate(FAMILIES)
        if (group, family) in counts
    ]
    colours = {say(language, f"family.{family}"): FAMILY_COLOURS[family] for family in used}
    chart: alt.Chart = (
        alt.Chart(data(rows))
        .mark_bar(cursor="pointer")
        .encode(
            y=alt.Y(
                "name:O",
                sort=labels,
                axis=alt.Axis(title=None, domain=False, ticks=False),
                scale=alt.Scale(paddingInner=0.3),
            ),
            x=alt.X("share:Q", stack="zero", scale=alt.Scale(domain=[0, 1]), axis=share_axis()),
            color=colour("kind", colours),
            order=alt.Order("order:Q"),
            tooltip=[
                alt.Tooltip("name:N", title=" "),
                alt.Tooltip("kind:N", title="  "),
                alt.Tooltip("count:Q", title=say(language, "axis.turns"), format=","),
                alt.Tooltip("share:Q", title=say(language, "axis.share"), format=".1%"),
            ],
        )
        .properties(usermeta=legend(colours))
    )
    return chart


def _figure_rows(
    groups: Mapping[str, Score], figures: Sequence[str], kind: str, language: PageLanguage
) -> tuple[list[Row], list[str]]:
    """A row for each group and figure, and the groups' labels in order; groups without a turn are left out."""
    rows, labels = [], []
    for name, score in groups.items():
        if not score.num_turns:
            continue
        shown = say(language, f"hardness.{name}") if kind == "hardness" else say(language, f"turn.{name}")
        label = group_label(shown, score.num_turns, language)
        labels.append(label)
        for figure in figures:
            value = getattr(score, figure)
            if value is None:
                continue
            low, high = score.intervals.get(figure, (value, value))
            rows.append(
                {
                    "group": label,
                    "name": shown,
                    "figure": say(language, f"figure.{figure}.short"),
                    "value": value,
                    "low": low,
                    "high": high,
                    "text": percent(value)
                    if kind == "turn"
                    else f"{value * 100:.0f}",  # two bars have no room for a sign
                    "interval": f"{percent(low)} – {percent(high)}",
                    "turns": score.num_turns,
                    "few": score.num_turns < FEW_TURNS,
                    "filter": f"{kind}={name}",
                }
            )
    return rows, labels


def _figures(report: Report) -> list[str]:
    """EX and the EM that there is: official, ours where there is none or it differs."""
    if report.exact_set_match is None:
        return ["execution_accuracy", "exact_set_match_own"]
    differs = any(
        abs((score.exact_set_match or 0) - (score.exact_set_match_own or 0)) > EM_DIFFERS
        for score in report.by_turn.values()
        if score.num_turns_em
    )
    return ["execution_accuracy", "exact_set_match", *(["exact_set_match_own"] if differs else [])]


def _figure_colours(figures: Sequence[str], language: PageLanguage) -> dict[str, str]:
    return {say(language, f"figure.{figure}.short"): FIGURE_COLOURS[figure] for figure in figures}


def _figure_tooltip(language: PageLanguage) -> list[alt.Tooltip]:
    import altair as alt

    return [
        alt.Tooltip("name:N", title=" "),
        alt.Tooltip("figure:N", title="  "),
        alt.Tooltip("value:Q", title=say(language, "axis.value"), format=".1%"),
        alt.Tooltip("interval:N", title=say(language, "axis.interval")),
        alt.Tooltip("turns:Q", title=say(language, "axis.turns"), format=","),
    ]
