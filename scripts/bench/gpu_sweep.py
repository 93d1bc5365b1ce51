"""Which pass comes next, within the time that there is: predict, a sweep of fixed windows, the shuffled set, and again.

    predict, window 96, window 128, predict, window 64, shuffled, (window 96, predict) as often as time allows

The sweep climbs: it begins beside what predict had running and goes on until both neighbours of the best window are
measured, so that a long sweep is not paid for. Passes of predict stand between those of the windows: a machine that
changes its speed changes both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence

from scripts.bench.gpu_replay import Pass

GRID = (
    4,
    6,
    8,
    12,
    16,
    20,
    24,
    32,
    40,
    48,
    56,
    64,
    80,
    96,
    112,
    128,
    160,
    192,
    224,
    256,
    320,
    384,
    448,
    512,
    768,
    1024,
)
"""Windows of the sweep; "all at once" comes behind them."""

PREDICT, WINDOW, SHUFFLED = "t2s predict", "bare engine, window ", "bare engine, shuffled, all at once"

Measure = Callable[[str, int | None], Awaitable[Pass]]
"""Run one pass: (what it is called, window or None for predict)."""


class Sweep:
    """The passes over one test set.

    Args:
        measure: Runs one.
        num_interactions: Of the test set.
        pairs: Passes of the best window and of predict after the sweep, at most.
        deadline: `time.monotonic()` after which no pass begins that would end later.
        windows: Measure exactly these; empty: climb over `GRID`.
        shuffled: Measure the shuffled set, too.
    """

    def __init__(
        self,
        measure: Measure,
        num_interactions: int,
        pairs: int,
        deadline: float,
        windows: Sequence[int] = (),
        shuffled: bool = True,
    ) -> None:
        self._measure = measure
        self._grid = [window for window in GRID if window < num_interactions] + [num_interactions]
        self._pairs = pairs
        self._deadline = deadline
        self._windows = list(dict.fromkeys(min(window, num_interactions) for window in windows))
        self._shuffled = shuffled
        self._durations: dict[str, float] = {}
        self.passes: dict[str, list[Pass]] = {}
        self.left_out: list[str] = []

    async def run(self) -> None:
        """Measure what fits; `left_out` says what did not."""
        await self._run(PREDICT, None, must=True)
        running = self.passes[PREDICT][0].running
        todo = list(self._windows) or [min(self._grid, key=lambda window: abs(window - running))]
        while todo:
            if not await self._run_window(todo.pop(0)):
                break
            if len(self.windows) == 2:
                await self._run(PREDICT, None)
            if not todo and not self._windows:
                todo = self._neighbours()
        if self._shuffled:
            await self._run(SHUFFLED, self._grid[-1])
        for _ in range(self._pairs if self.windows else 0):
            if not (await self._run_window(self.best_window) and await self._run(PREDICT, None)):
                break

    @property
    def windows(self) -> dict[int, float]:
        """Measured windows -> interactions/s."""
        return {int(name.removeprefix(WINDOW)): self.rate(name) for name in self.passes if name.startswith(WINDOW)}

    @property
    def best_window(self) -> int:
        """The fastest."""
        return max(self.windows, key=lambda window: self.windows[window])

    def rate(self, name: str) -> float:
        """Interactions per second, the median of its passes."""
        return statistics.median(one.interactions / one.seconds for one in self.passes[name])

    def ratios(self) -> dict[str, float]:
        """Predict over the best window, by medians and by neighbouring passes; predict over the shuffled set."""
        found: dict[str, float] = {}
        if self.windows:
            best = self.passes[_window_name(self.best_window)]
            ours = self.passes[PREDICT]
            pairs = [there.seconds / here.seconds for here, there in zip(reversed(ours), reversed(best), strict=False)]
            found["predict_over_best_window"] = self.rate(PREDICT) / self.rate(_window_name(self.best_window))
            found["predict_over_best_window_pairs"] = statistics.median(pairs)
        if SHUFFLED in self.passes:
            found["predict_over_shuffled"] = self.rate(PREDICT) / self.rate(SHUFFLED)
        return {name: round(value, 4) for name, value in found.items()}

    def _neighbours(self) -> list[int]:
        place = self._grid.index(self.best_window)
        beside = [self._grid[index] for index in (place + 1, place - 1) if 0 <= index < len(self._grid)]
        return [window for window in beside if window not in self.windows][:1]

    async def _run_window(self, window: int) -> bool:
        return await self._run(_window_name(window), window)

    async def _run(self, name: str, window: int | None, must: bool = False) -> bool:
        """Whether there was time for it."""
        longest = max(self._durations.values(), default=0.0)
        if not must and time.monotonic() + self._durations.get(name, 1.1 * longest) > self._deadline:
            self.left_out.append(name)
            return False
        began = time.monotonic()
        self.passes.setdefault(name, []).append(await self._measure(name, window))
        self._durations[name] = time.monotonic() - began
        return True


def _window_name(window: int) -> str:
    return f"{WINDOW}{window}"
