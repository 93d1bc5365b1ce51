"""How far a run is: a bar on a terminal, a line every ten seconds in a log, and numbers for `status.json`.

120/632 turns (19.0 %), 1.2 turns/s, 850 prompt + 95 output tokens/s, 71 % of the prompt from the cache, 7 min left
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from t2s.prediction import Measurement

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress

logger = logging.getLogger(__name__)

LOG_INTERVAL_S = 10.0
_WINDOW_S = 60.0
"""Rates are those of the last minute: long enough to be calm, short enough to show an engine that came or went."""


@functools.cache
def stderr_console() -> Console:
    """The one rich console on stderr; log lines and the bar must share it, or they overwrite each other."""
    from rich.console import Console

    return Console(stderr=True)


def stdout_console() -> Console:
    """A rich console for a job's report on stdout; in a pipe or a file wide enough not to fold."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=160)


class Snapshot(NamedTuple):
    """Progress at one moment.

    Attributes:
        total_turns, done_turns: Of the whole run, committed earlier ones included.
        turns_per_s, prompt_tokens_per_s, completion_tokens_per_s: Of the last minute.
        cached_share: Part of all prompt tokens that came from the prefix cache, 0..1; None before there are any.
        time_left_s: None while it cannot be told.
    """

    total_turns: int
    done_turns: int
    turns_per_s: float
    prompt_tokens_per_s: float
    completion_tokens_per_s: float
    cached_share: float | None
    time_left_s: float | None

    @property
    def total(self) -> int:
        """Turns of the whole run."""
        return self.total_turns

    @property
    def done(self) -> int:
        """Turns that are done."""
        return self.done_turns

    def line(self) -> str:
        """One line for people."""
        percent = 100 * self.done_turns / self.total_turns if self.total_turns else 100.0
        parts = [
            f"{self.done_turns}/{self.total_turns} turns ({percent:.1f} %)",
            f"{rate(self.turns_per_s)} turns/s" if self.turns_per_s else "no answer yet",
        ]
        if self.prompt_tokens_per_s or self.completion_tokens_per_s:
            prompt, output = rate(self.prompt_tokens_per_s), rate(self.completion_tokens_per_s)
            parts.append(f"{prompt} prompt + {output} output tokens/s")
        if self.cached_share is not None:
            parts.append(f"{self.cached_share:.0%} of the prompt from the cache")
        if self.time_left_s is not None and self.done_turns < self.total_turns:
            parts.append(f"{duration(self.time_left_s)} left")
        return ", ".join(parts)


def rate(per_s: float) -> str:
    """Three digits of a small number, all of a big one: `1.23`, `95.2`, `4,032`."""
    return f"{per_s:,.0f}" if per_s >= 100 else f"{per_s:.3g}"


def duration(seconds: float) -> str:
    """`45 s`, `7 min`, `3 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


class Shown(Protocol):
    """A moment's progress, as it is shown."""

    @property
    def total(self) -> int:
        """Of the whole run."""

    @property
    def done(self) -> int:
        """Of `total`."""

    def line(self) -> str:
        """One line for people."""


class Display:
    """Shows progress from a thread of its own: a bar on a terminal, a line every ten seconds in a log.

    Args:
        snapshot: Gives the present state; called from the thread.
        clock: Seconds; for tests.
    """

    def __init__(self, snapshot: Callable[[], Shown], clock: Callable[[], float] = time.monotonic) -> None:
        self._snapshot, self._clock = snapshot, clock
        self._ended = threading.Event()
        self._ticker: threading.Thread | None = None
        self._bar: RichProgress | None = None

    def begin(self) -> None:
        """Show progress from now on."""
        console = stderr_console()
        if console.is_terminal:
            self._start_bar(console)
        self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._ticker.start()

    def end(self, last_line: bool) -> None:
        """Stop showing; the last line stays on a terminal, and is logged elsewhere if `last_line`."""
        if self._ticker is None:
            return
        self._ended.set()
        self._ticker.join()
        self._ticker = None
        if self._bar is not None:
            self._show()
            self._bar.stop()
            self._bar = None
        elif last_line:
            logger.info("%s", self._snapshot().line())

    def _tick(self) -> None:
        next_line = self._clock() + LOG_INTERVAL_S
        while not self._ended.wait(0.5):
            if self._bar is not None:
                self._show()
            elif self._clock() >= next_line:
                logger.info("%s", self._snapshot().line())
                next_line = self._clock() + LOG_INTERVAL_S

    def _start_bar(self, console: Console) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        shown = self._snapshot()
        self._bar = RichProgress(BarColumn(bar_width=24), TextColumn("{task.description}"), console=console)
        self._bar.add_task(shown.line(), total=max(shown.total, 1), completed=shown.done)
        self._bar.start()

    def _show(self) -> None:
        assert self._bar is not None
        shown = self._snapshot()
        for task_id in self._bar.task_ids:
            self._bar.update(task_id, description=shown.line(), total=max(shown.total, 1), completed=shown.done)


class _Sample(NamedTuple):
    at: float
    turns: int
    prompt_tokens: int
    completion_tokens: int


class Progress:
    """Counts turns and shows them; safe to call from any thread.

    Use it as a context manager, or by `begin` and `end`.

    Args:
        total_turns: Of the whole run.
        done_turns: Committed before this start.
        clock: Seconds; for tests.
    """

    def __init__(self, total_turns: int = 0, done_turns: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._total, self._earlier = total_turns, done_turns
        self._turns = self._prompt = self._cached = self._completion = 0
        self._samples: deque[_Sample] = deque()
        self._display = Display(self.snapshot, clock)

    def begin(self, total_turns: int, done_turns: int = 0) -> None:
        """Show progress from now on."""
        self._total, self._earlier = total_turns, done_turns
        self._display.begin()

    def update(
        self, turns: int = 0, prompt_tokens: int = 0, cached_tokens: int = 0, completion_tokens: int = 0
    ) -> None:
        """Add to the counts."""
        with self._lock:
            self._turns += turns
            self._prompt += prompt_tokens
            self._cached += cached_tokens
            self._completion += completion_tokens
            if not self._samples:
                # The rate counts from the first answer on: minutes of loading weights say nothing about it.
                self._samples.append(_Sample(self._clock(), self._turns, self._prompt, self._completion))

    def turn(self, measurement: Measurement) -> None:
        """One more turn is answered."""
        self.update(1, measurement.prompt_tokens, measurement.cached_tokens, measurement.completion_tokens)

    def snapshot(self) -> Snapshot:
        """Where it stands now."""
        with self._lock:
            now = self._clock()
            latest = _Sample(now, self._turns, self._prompt, self._completion)
            while len(self._samples) > 1 and self._samples[1].at <= now - _WINDOW_S:
                self._samples.popleft()
            oldest = self._samples[0] if self._samples else latest
            if self._samples and now - self._samples[-1].at >= 1:
                self._samples.append(latest)
            done = min(self._earlier + self._turns, self._total)
            seconds = max(now - oldest.at, 1e-9)
            turns_per_s = (latest.turns - oldest.turns) / seconds if oldest is not latest else 0.0
            return Snapshot(
                total_turns=self._total,
                done_turns=done,
                turns_per_s=turns_per_s,
                prompt_tokens_per_s=(latest.prompt_tokens - oldest.prompt_tokens) / seconds,
                completion_tokens_per_s=(latest.completion_tokens - oldest.completion_tokens) / seconds,
                cached_share=self._cached / self._prompt if self._prompt else None,
                time_left_s=(self._total - done) / turns_per_s if turns_per_s > 0 else None,
            )

    def end(self) -> None:
        """Stop showing; the last line stays."""
        self._display.end(last_line=self._turns > 0)

    def __enter__(self) -> Self:
        self.begin(self._total, self._earlier)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()
