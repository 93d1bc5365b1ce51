"""The page's charts as Vega-Lite specifications, made with Altair: one for each chart and language.

    chart_specs(report, turns, speed, "zh")  ->  {"by_turn": {"$schema": …, "layer": […]}, "by_hardness": …}

Colours are CSS variables of the page (`var(--ex)`), which Vega passes on into its SVG: light, dark and print need no
other specification. A row's `filter` is the part of the address that a click on its mark leads to.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from t2s.report.chart_parts import Row
from t2s.report.record import Report
from t2s.report.score_charts import by_hardness, by_turn, first_wrong_turn, verdicts_by_turn
from t2s.report.speed_charts import cache_by_turn, latency
from t2s.report.turn_detail import TurnDetail
from t2s.report.words import PageLanguage, say

if TYPE_CHECKING:
    from t2s.report.chart_parts import AnyChart
    from t2s.report.speed import Speed

FONT = 'system-ui, -apple-system, "Segoe UI", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif'
HEIGHT = 260  # pixels; the width is the page's


def chart_specs(
    report: Report, turns: Sequence[TurnDetail], speed: Speed | None, language: PageLanguage
) -> dict[str, Row]:
    """Every chart that there is something to draw for, by the name that templates/report.jinja gives it."""
    charts = {
        "by_turn": by_turn(report, language),
        "by_hardness": by_hardness(report, language),
        "first_wrong_turn": first_wrong_turn(report, language),
        "verdicts_by_turn": verdicts_by_turn(turns, language),
        "latency": latency(speed, language) if speed else None,
        "cache_by_turn": cache_by_turn(speed, language) if speed else None,
    }
    return {name: _finished(chart, say(language, name)) for name, chart in charts.items() if chart is not None}


@cache
def vega_script() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that needs no network; sets `vegaEmbed`, and no other name."""
    import vl_convert

    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    assert "</script" not in bundle.lower() and "<!--" not in bundle, "it would end the element that holds it"
    return f"(() => {{{bundle}}})();"  # its hundreds of top-level names stay inside


def _finished(chart: AnyChart, description: str) -> Row:
    styled = (
        chart.properties(width="container", height=HEIGHT, description=description, background="transparent")
        .configure(
            font=FONT,
            autosize={"type": "fit-x", "contains": "padding"},
            padding={"left": 0, "top": 5, "right": 4, "bottom": 6},
        )
        .configure_view(stroke=None)
        .configure_axis(
            labelColor="var(--muted)",
            titleColor="var(--muted)",
            gridColor="var(--line)",
            domainColor="var(--line-strong)",
            tickColor="var(--line-strong)",
            labelFontSize=11.5,
            titleFontSize=12,
            titleFontWeight="normal",
            labelAngle=0,
            labelLimit=140,
            labelLineHeight=15,
            tickSize=4,
            labelPadding=6,
        )
    )
    spec: Row = styled.to_dict()
    return spec
