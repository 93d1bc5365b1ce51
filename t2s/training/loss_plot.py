"""The losses of a training as a picture, out of what was logged at each step."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

_SMOOTHING = 0.1  # share of a new value in the running mean


def loss_plot(history: Sequence[dict[str, Any]], title: str) -> bytes:
    """Draw it.

    Args:
        history: Objects with `step` and, each where it was measured, `loss` and `eval_loss`.
        title: Above the picture.

    Returns:
        A PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # type: ignore[import-not-found]
    from matplotlib.figure import Figure  # type: ignore[import-not-found]

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    steps, losses = _series(history, "loss")
    held_out_steps, held_out = _series(history, "eval_loss")
    if steps:
        axes.plot(steps, losses, color="#9db7d5", linewidth=1, label="loss of each step")
        axes.plot(steps, _smoothed(losses), color="#1f4e8c", linewidth=1.8, label="running mean")
    if held_out:
        axes.plot(held_out_steps, held_out, color="#c8501e", marker="o", markersize=4, label="held-out loss")
    axes.set(xlabel="step", ylabel="loss", title=title)
    axes.grid(alpha=0.3)
    if steps or held_out:
        axes.legend()
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _series(history: Sequence[dict[str, Any]], key: str) -> tuple[list[int], list[float]]:
    points = {int(entry["step"]): float(entry[key]) for entry in history if entry.get(key) is not None}
    return list(points), list(points.values())


def _smoothed(values: Sequence[float]) -> list[float]:
    mean, found = values[0], []
    for value in values:
        mean += _SMOOTHING * (value - mean)
        found.append(mean)
    return found
