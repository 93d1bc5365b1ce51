"""How far a download is: per file and in all, what comes and what is stored, how fast, and how long still.

3 of 12 files, 4.2 of 16.1 GB fetched, 3.0 GB stored, 84.1 MB/s, 2 min left; model-00002-of-00004.safetensors 61 %

On a terminal a bar for all and one for each file on its way; in a log this line every ten seconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from t2s.progress import LOG_INTERVAL_S, duration, stderr_console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

logger = logging.getLogger(__name__)

_WINDOW_S = 60.0


class FileState(NamedTuple):
    """A file on its way: bytes that came, bytes that are stored, of so many."""

    size: int
    came: int = 0
    stored: int = 0
    is_storing: bool = False


class Snapshot(NamedTuple):
    """Progress at one moment, as `status.json` has it.

    Attributes:
        done_files, total_files: Of the source that is being downloaded.
        fetched_bytes, stored_bytes, total_bytes: What came, what is in the store, of how much.
        bytes_per_s: Fetched and stored together, in the last minute.
        time_left_s: None while it cannot be told.
    """

    done_files: int
    total_files: int
    fetched_bytes: int
    stored_bytes: int
    total_bytes: int
    bytes_per_s: int
    time_left_s: float | None


class TransferProgress:
    """Counts bytes and shows them; safe to call from any thread.

    Args:
        clock: Seconds; for tests.
        interval_s: Time between two lines of a log.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, interval_s: float = LOG_INTERVAL_S) -> None:
        self._clock, self._interval_s = clock, interval_s
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}
        self._on_its_way: dict[str, FileState] = {}
        self._uploads = False
        self._num_done = self._came = self._stored = self._moved = 0
        self._samples: deque[tuple[float, int]] = deque()
        self._ended = threading.Event()
        self._shower: threading.Thread | None = None

    def plan(self, sizes: dict[str, int], done: dict[str, int], *, uploads: bool) -> None:
        """What is to come: sizes of all files by name, of those that are there already; whether they are uploaded."""
        with self._lock:
            self._sizes, self._uploads, self._on_its_way = dict(sizes), uploads, {}
            self._num_done, self._came, self._stored = len(done), sum(done.values()), sum(done.values())
            self._samples.clear()

    def starts(self, name: str, come: int) -> None:
        """A file is on its way; so many bytes of it are here."""
        with self._lock:
            self._came += come - self._on_its_way.get(name, FileState(0)).came
            self._on_its_way[name] = FileState(self._sizes.get(name, 0), come)

    def again(self, name: str) -> None:
        """A file has to come again from its beginning."""
        self.starts(name, 0)

    def came(self, name: str, count: int) -> None:
        """So many bytes more; less than nothing when some were dropped."""
        with self._lock:
            state = self._on_its_way[name]
            self._on_its_way[name] = state._replace(came=state.came + count)
            self._came += count
            self._move(count)

    def stores(self, name: str) -> None:
        """The file is whole, and goes into the store."""
        with self._lock:
            state = self._on_its_way[name]
            self._came += state.size - state.came
            self._on_its_way[name] = state._replace(came=state.size, is_storing=True)

    def stored(self, name: str, count: int) -> None:
        """So many bytes more are in the store."""
        with self._lock:
            state = self._on_its_way[name]
            self._on_its_way[name] = state._replace(stored=state.stored + count)
            self._stored += count
            self._move(count)

    def done(self, name: str) -> None:
        """The file is in the store."""
        with self._lock:
            state = self._on_its_way.pop(name)
            self._stored += state.size - state.stored
            self._num_done += 1

    def _move(self, count: int) -> None:
        now = self._clock()
        self._moved += max(count, 0)
        while len(self._samples) > 1 and self._samples[1][0] <= now - _WINDOW_S:
            self._samples.popleft()
        if not self._samples or now - self._samples[-1][0] >= 0.5:
            self._samples.append((now, self._moved))

    def snapshot(self) -> Snapshot:
        """Where it stands now."""
        with self._lock:
            total, now = sum(self._sizes.values()), self._clock()
            since, moved = self._samples[0] if self._samples else (now, self._moved)
            speed = (self._moved - moved) / (now - since) if now - since > 0.5 else 0.0
            left = total - self._came + (total - self._stored if self._uploads else 0)
            return Snapshot(
                done_files=self._num_done,
                total_files=len(self._sizes),
                fetched_bytes=self._came,
                stored_bytes=self._stored,
                total_bytes=total,
                bytes_per_s=round(speed),
                time_left_s=round(left / speed, 1) if speed > 0 else None,
            )

    def files(self) -> dict[str, FileState]:
        """Files on their way, by name."""
        with self._lock:
            return dict(self._on_its_way)

    def line(self) -> str:
        """One line for people."""
        now = self.snapshot()
        total = now.total_bytes
        parts = [
            f"{now.done_files} of {now.total_files} files",
            f"{_amount(now.fetched_bytes, total)} of {_amount(total, total)} {_unit(total)} fetched",
        ]
        if self._uploads:
            parts.append(f"{_amount(now.stored_bytes, total)} {_unit(total)} stored")
        if now.bytes_per_s:
            parts.append(f"{now.bytes_per_s / 1e6:.1f} MB/s")
        if now.time_left_s is not None and now.done_files != now.total_files:
            parts.append(f"{duration(now.time_left_s)} left")
        files = ", ".join(f"{name} {_share(state):.0%}" for name, state in sorted(self.files().items()))
        return ", ".join(parts) + f"; {files}" * bool(files)

    def begin(self, total: int = 0, done: int = 0, /) -> None:
        """Show it from now on; how much there is to do is told by `plan`, once it is known."""
        console = stderr_console()
        show = self._bars(console) if console.is_terminal else self._lines
        self._ended.clear()
        self._shower = threading.Thread(target=show, name="progress", daemon=True)
        self._shower.start()

    def end(self) -> None:
        """Stop showing; the last line stays."""
        if self._shower is not None:
            self._ended.set()
            self._shower.join()
            self._shower = None

    def _lines(self) -> None:
        while not self._ended.wait(self._interval_s):
            if self.files():
                logger.info("%s", self.line())

    def _bars(self, console: Console) -> Callable[[], None]:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        def show() -> None:
            tasks: dict[str, TaskID] = {}
            with RichProgress(BarColumn(bar_width=24), TextColumn("{task.description}"), console=console) as bars:
                whole = bars.add_task("", total=1)
                while not self._ended.wait(0.5):
                    self._draw(bars, whole, tasks)
                self._draw(bars, whole, tasks)

        return show

    def _draw(self, bars: RichProgress, whole: TaskID, tasks: dict[str, TaskID]) -> None:
        now, files = self.snapshot(), self.files()
        words = self.line().partition(";")[0]
        bars.update(whole, total=max(now.total_bytes, 1), completed=now.fetched_bytes, description=words)
        for name in [name for name in tasks if name not in files]:
            bars.remove_task(tasks.pop(name))
        for name, state in sorted(files.items()):
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=1.0)
            words = f"{name}{' is stored' if state.is_storing else ''}"
            bars.update(tasks[name], completed=_share(state), description=words)


def _share(state: FileState) -> float:
    done = state.stored if state.is_storing else state.came
    return min(max(done / state.size, 0.0), 1.0) if state.size else 1.0


def _unit(total: float) -> str:
    return "GB" if total >= 1e9 else "MB"


def _amount(count: float, total: float) -> str:
    return f"{count / 1e9:.1f}" if total >= 1e9 else f"{count / 1e6:.1f}"
