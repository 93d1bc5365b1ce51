"""How far a training is, by what its workers report: for people, and as numbers for `status.json`.

step 120/632 (19.0 %), loss 0.412, held-out loss 0.530, lr 9.1e-05, 4,032 tokens/s, MFU 38 %, 7 min left
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from t2s.progress import Display, duration, rate
from t2s.training.gpu_speed import peak_flops

_WINDOW_S = 120.0
"""Rates are those of the last two minutes: steps of a big model take ten seconds and more."""


class StepReport(NamedTuple):
    """What the first worker says after a step, or at the start of its work.

    Attributes:
        step, total_steps: Optimizer steps done, and of the whole training.
        values: Upstream's names: loss, eval_loss, learning_rate, grad_norm, epoch, num_input_tokens_seen, ….
    """

    step: int
    total_steps: int
    values: dict[str, float]


class Link(Protocol):
    """A worker's way to whoever follows the training."""

    @property
    def stop_requested(self) -> bool:
        """Whether the training must save and end."""

    def report(self, report: StepReport) -> None:
        """A step is done; called in the first worker alone."""


class TrainSnapshot(NamedTuple):
    """Progress at one moment.

    Attributes:
        total_steps, done_steps: Of the whole training.
        loss, eval_loss, learning_rate: The latest; None before there are any.
        tokens_per_s: Over all workers, padding not counted; 0 while it cannot be told.
        mfu: Share of what the GPUs could do, 0..1; None on a CPU, and on a GPU that is not known.
        time_left_s: None while it cannot be told.
        restarts: How often the workers were started again.
    """

    total_steps: int
    done_steps: int
    loss: float | None
    eval_loss: float | None
    learning_rate: float | None
    tokens_per_s: float
    mfu: float | None
    time_left_s: float | None
    restarts: int

    @property
    def total(self) -> int:
        """Steps of the whole training."""
        return self.total_steps

    @property
    def done(self) -> int:
        """Steps that are done."""
        return self.done_steps

    def line(self) -> str:
        """One line for people."""
        if not self.total_steps:
            return "the workers are starting"
        parts = [f"step {self.done_steps}/{self.total_steps} ({100 * self.done_steps / self.total_steps:.1f} %)"]
        if self.loss is not None:
            parts.append(f"loss {self.loss:.4g}")
        if self.eval_loss is not None:
            parts.append(f"held-out loss {self.eval_loss:.4g}")
        if self.learning_rate is not None:
            parts.append(f"lr {self.learning_rate:.2g}")
        if self.tokens_per_s:
            parts.append(f"{rate(self.tokens_per_s)} tokens/s")
        if self.mfu is not None:
            parts.append(f"MFU {self.mfu:.0%}")
        if self.time_left_s is not None and self.done_steps < self.total_steps:
            parts.append(f"{duration(self.time_left_s)} left")
        return ", ".join(parts)


class _Sample(NamedTuple):
    at: float
    step: int
    tokens: float


class TrainProgress:
    """Takes reports and shows them; safe to call from any thread.

    Args:
        clock: Seconds; for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._total = self._done = self._starts = 0
        self._latest: dict[str, float] = {}
        self._samples: deque[_Sample] = deque()
        self._flops_per_token = 0.0
        self._peak_flops: float | None = None
        self._display = Display(self.snapshot, clock)

    def begin(self, _total: int = 0, _done: int = 0) -> None:
        """Show progress from now on; how many steps there are and are done, the workers say."""
        self._display.begin()

    def started(self, flops_per_token: float, device: str, num_workers: int) -> None:
        """The workers begin, or begin again from a checkpoint: rates count from here on.

        Args:
            flops_per_token: What training on a token costs.
            device: Torch's name of the GPU that each worker has, or "cpu".
            num_workers: How many there are.
        """
        peak = peak_flops(device)
        with self._lock:
            self._starts += 1
            self._samples.clear()
            self._flops_per_token = flops_per_token
            self._peak_flops = peak * num_workers if peak else None

    def report(self, report: StepReport) -> None:
        """A step is done."""
        with self._lock:
            self._total, self._done = report.total_steps, report.step
            self._latest.update(report.values)
            tokens = report.values.get("num_input_tokens_seen", self._samples[-1].tokens if self._samples else 0.0)
            self._samples.append(_Sample(self._clock(), report.step, tokens))
            while len(self._samples) > 2 and self._samples[1].at <= self._samples[-1].at - _WINDOW_S:
                self._samples.popleft()

    def snapshot(self) -> TrainSnapshot:
        """Where it stands now."""
        with self._lock:
            steps_per_s = tokens_per_s = 0.0
            if len(self._samples) > 1:
                first, last = self._samples[0], self._samples[-1]
                seconds = max(last.at - first.at, 1e-9)
                steps_per_s, tokens_per_s = (last.step - first.step) / seconds, (last.tokens - first.tokens) / seconds
            mfu = None
            if self._peak_flops and tokens_per_s > 0:
                mfu = self._flops_per_token * tokens_per_s / self._peak_flops
            return TrainSnapshot(
                total_steps=self._total,
                done_steps=self._done,
                loss=self._latest.get("loss"),
                eval_loss=self._latest.get("eval_loss"),
                learning_rate=self._latest.get("learning_rate"),
                tokens_per_s=tokens_per_s,
                mfu=mfu,
                time_left_s=(self._total - self._done) / steps_per_s if steps_per_s > 0 else None,
                restarts=max(self._starts - 1, 0),
            )

    def end(self) -> None:
        """Stop showing; the last line stays."""
        self._display.end(last_line=self._total > 0)


def finite_values(logs: Mapping[str, object]) -> dict[str, float]:
    """The numbers of what upstream logs."""
    return {key: float(value) for key, value in logs.items() if isinstance(value, int | float)}
