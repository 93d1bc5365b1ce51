"""What the page's charts have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from t2s.report.words import PageLanguage, say

if TYPE_CHECKING:
    import altair as alt

    AnyChart: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart

Row = dict[str, Any]

LINES = "split(datum.label, '|')"  # a label of an axis, in two lines


def data(rows: Sequence[Row]) -> alt.InlineData:
    """The rows, as part of the specification."""
    import altair as alt

    return alt.InlineData(values=list(rows))


def percent(value: float, digits: int = 1) -> str:
    """0.743 -> "74.3%"."""
    return f"{value * 100:.{digits}f}%"


def group_label(name: str, num_turns: int, language: PageLanguage) -> str:
    """The label of a group on an axis that cuts labels by `LINES`: "Turn 1|n = 220"."""
    return f"{name}|{say(language, 'axis.n', n=f'{num_turns:,}')}"


def colour(field: str, colours: Mapping[str, str]) -> alt.Color:
    """The colour of each value of a field; `legend` says which is which."""
    import altair as alt

    return alt.Color(f"{field}:N", scale=alt.Scale(domain=list(colours), range=list(colours.values())), legend=None)


def legend(colours: Mapping[str, str]) -> dict[str, Any]:
    """A chart's `usermeta`, from which the page makes its legend: Vega's own does not break into lines on a phone."""
    return {"legend": dict(colours)}


def share_axis() -> alt.Axis:
    """0 % to 100 % without a line of its own."""
    import altair as alt

    return alt.Axis(format="%", title=None, domain=False, ticks=False, values=[0, 0.25, 0.5, 0.75, 1])
