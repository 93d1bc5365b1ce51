"""Log records that come from other processes of a job, said again where people read them.

A `LogRelay` is a handler that keeps records, ready for pickling, until someone takes them; `say_again` hands taken
records to this process's own handlers, which format them and redact secrets.
"""

from __future__ import annotations

import logging
import logging.handlers
import queue
from collections.abc import Iterable
from contextlib import suppress


class LogRelay(logging.handlers.QueueHandler):
    """Keeps what is logged; `take` gives it away. Arguments and tracebacks are text by then.

    Args:
        origin: Put before each message, e.g. "engine 5f2a"; "" for nothing.
    """

    def __init__(self, origin: str = "") -> None:
        self._kept: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        super().__init__(self._kept)
        self._origin = origin

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Make the record plain text."""
        prepared: logging.LogRecord = super().prepare(record)
        if self._origin:
            prepared.msg = prepared.message = f"{self._origin}: {prepared.msg}"
        return prepared

    def take(self) -> list[logging.LogRecord]:
        """All records since the last call, oldest first."""
        taken = []
        with suppress(queue.Empty):
            while True:
                taken.append(self._kept.get_nowait())
        return taken

    def install(self, level: str) -> None:
        """Take over this process's log: the project's own records from `level` on, others' warnings."""
        root = logging.getLogger()
        for old in [old for old in root.handlers if isinstance(old, LogRelay)]:
            root.removeHandler(old)
        root.addHandler(self)
        root.setLevel(logging.WARNING)
        logging.getLogger("t2s").setLevel(level)


def say_again(records: Iterable[logging.LogRecord]) -> None:
    """Log taken records in this process, under their own names and times."""
    for record in records:
        own = logging.getLogger(record.name)
        if own.isEnabledFor(record.levelno):
            own.handle(record)
