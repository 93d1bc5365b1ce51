"""Charts of what answering took: latency, prompt tokens and cache hits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from t2s.report.chart_parts import colour, data, legend, percent
from t2s.report.words import PageLanguage, say

if TYPE_CHECKING:
    from t2s.report.chart_parts import AnyChart
    from t2s.report.speed import Speed


def latency(speed: Speed, language: PageLanguage) -> AnyChart | None:
    """How many turns took how long."""
    import altair as alt

    if not speed.bins:
        return None
    rows = [
        {
            "low": b.low,
            "high": b.high,
            "count": b.num_turns,
            "name": f"≥ {b.low:g} s" if b.is_last and len(speed.bins) > 1 else f"{b.low:g} – {b.high:g} s",
        }
        for b in speed.bins
    ]
    chart: alt.Chart = (
        alt.Chart(data(rows))
        .mark_bar(color="var(--ex)", binSpacing=1)
        .encode(
            x=alt.X(
                "low:Q",
                bin="binned",
                axis=alt.Axis(title=say(language, "axis.latency"), grid=False, tickCount=6, format="~g"),
            ),
            x2="high:Q",
            y=alt.Y(
                "count:Q", axis=alt.Axis(title=say(language, "axis.turns"), domain=False, ticks=False, tickCount=5)
            ),
            tooltip=[
                alt.Tooltip("name:N", title=" "),
                alt.Tooltip("count:Q", title=say(language, "axis.turns"), format=","),
            ],
        )
    )
    return chart


def cache_by_turn(speed: Speed, language: PageLanguage) -> AnyChart | None:
    """Mean prompt tokens of a turn, from the cache and not."""
    import altair as alt

    if not speed.by_turn:
        return None
    cached, read = say(language, "axis.cached"), say(language, "axis.read")
    colours = {cached: "var(--right)", read: "var(--other-result)"}
    rows, texts = [], []
    for tokens in speed.by_turn:
        name = say(language, f"turn.{tokens.group}")
        share = tokens.cached / tokens.prompt
        parts = ((cached, tokens.cached, 0), (read, tokens.prompt - tokens.cached, 1))
        rows += [
            {"name": name, "kind": kind, "tokens": round(n, 1), "order": order, "share": share}
            for kind, n, order in parts
        ]
        texts.append({"name": name, "tokens": tokens.prompt, "text": percent(share, 0)})
    x = alt.X("name:O", sort=None, axis=alt.Axis(title=None), scale=alt.Scale(paddingInner=0.35))
    axis = alt.Axis(title=say(language, "axis.tokens"), domain=False, ticks=False, tickCount=5)
    bar = (
        alt.Chart(data(rows))
        .mark_bar()
        .encode(
            x=x,
            y=alt.Y("tokens:Q", axis=axis, stack="zero"),
            color=colour("kind", colours),
            order=alt.Order("order:Q"),
            tooltip=[
                alt.Tooltip("name:N", title=" "),
                alt.Tooltip("kind:N", title="  "),
                alt.Tooltip("tokens:Q", title=say(language, "axis.tokens"), format=",.0f"),
                alt.Tooltip("share:Q", title=cached, format=".1%"),
            ],
        )
    )
    text = (
        alt.Chart(data(texts))
        .mark_text(dy=-8, fontSize=12, color="var(--ink)")
        .encode(x=x, y="tokens:Q", text="text:N")
    )
    return alt.layer(bar, text).properties(usermeta=legend(colours))
