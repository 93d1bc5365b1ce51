"""Running a job: logging, one line for an error, the exit code, and a stop that keeps what is complete.

    def main(settings: PredictSettings, stop: StopSignal) -> None: ...

    if __name__ == "__main__":
        run_job(PredictSettings, main)

Exit codes: 0 done; 1 failed while working; 2 settings or input are wrong, nothing was started; 3 stopped by SIGTERM or
Ctrl-C, running it again resumes. The log goes to stderr, a job's final report to stdout.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn, TypeVar

from t2s.errors import Stopped, T2SError
from t2s.progress import stderr_console
from t2s.settings import JobSettings, secret_values

logger = logging.getLogger(__name__)

STOP_GRACE_S = 19.0
"""A job has 20 s from the first signal to its end, unless it says otherwise; a second is for whoever waits."""

_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):([^/\s@]+)@")

_Settings = TypeVar("_Settings", bound=JobSettings)


def run_job(
    settings_class: type[_Settings],
    main: Callable[[_Settings, StopSignal], None],
    argv: Sequence[str] | None = None,
) -> NoReturn:
    """Load settings, run `main`, and exit with the code of what came of it.

    Args:
        settings_class: Of the job.
        main: Does the work; what it raises decides the exit code.
        argv: Arguments without the program's name; None: this process's own.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if {"-h", "--help"} & set(words):
        print(settings_class.help())
        sys.exit(0)
    redact = Redactor(secret_values())
    configure_logging("INFO", redact)
    stop = StopSignal()
    stop.install()

    def work() -> None:
        settings = settings_class.load(words)
        configure_logging(settings.log_level, redact)
        main(settings, stop)

    code = exit_code_of(work, stop, redact)
    sys.stdout.flush()
    sys.exit(code)


def exit_code_of(work: Callable[[], None], stop: StopSignal, redact: Redactor) -> int:
    """Run `work`; say what went wrong in one `error:` line on stderr, and return the exit code."""
    try:
        work()
    except KeyboardInterrupt:
        return _tell(Stopped(f"stopped by {stop.reason or 'Ctrl-C'}; running the same command again resumes"), redact)
    except SystemExit:
        # Ray's driver answers SIGTERM with sys.exit(15) where its handler has replaced ours; the signal is known to us
        # by its byte in the pipe, which another thread may be about to read.
        if not stop.wait(0.5):
            raise
        return _tell(Stopped(f"stopped by {stop.reason}; running the same command again resumes"), redact)
    except T2SError as error:
        return _tell(error, redact)
    except BaseExceptionGroup as group:
        first = _first_told(group)
        if first is None:
            raise
        return _tell(first, redact)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return _unexpected(error, redact)
        place = f" while writing {error.filename}" if error.filename else ""
        return _tell(T2SError(f"the disk is full{place}; free some space and run the same command again"), redact)
    except Exception as error:
        return _unexpected(error, redact)
    return 0


def configure_logging(level: str, redact: Redactor) -> None:
    """Log to stderr: our own records from `level` on, others' from WARNING on; replaces what was set before."""
    handler: logging.Handler
    if sys.stderr.isatty():
        from rich.logging import RichHandler

        handler = RichHandler(console=stderr_console(), show_path=False, omit_repeated_times=False)
        handler.setFormatter(_RedactingFormatter("%(message)s", redact))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s", redact))
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old.formatter, _RedactingFormatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("t2s").setLevel(level)


class Redactor:
    """Replaces secrets in text: the given values, and passwords in URLs.

    Args:
        secrets: Values, longest first.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = re.compile("|".join(re.escape(secret) for secret in secrets)) if secrets else None

    def __call__(self, text: str) -> str:
        """The text with each secret as `***`."""
        if self._secrets:
            text = self._secrets.sub("***", text)
        return _URL_PASSWORD.sub(r"\1:***@", text)


class StopSignal:
    """SIGTERM or Ctrl-C as a request that can be seen, and waited for in an event loop.

    The first signal calls the callbacks of event loops, which then finish what is complete; where no loop listens, it
    interrupts the main thread with KeyboardInterrupt, unless that looks at `requested` itself (`looks_itself`). A
    second signal, or `grace_s` gone by, ends the process.

    Attributes:
        grace_s: From the first signal to the end of the process.
        looks_itself: The main thread asks often enough whether a stop was requested.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.grace_s = STOP_GRACE_S
        self.looks_itself = False
        self._callbacks: list[tuple[asyncio.AbstractEventLoop, Callable[[], object]]] = []
        # Reentrant: the signal handler runs in the main thread, on top of whatever it was doing.
        self._lock = threading.RLock()
        self._asked = threading.Event()
        self._wakeup: tuple[int, int] | None = None

    @property
    def requested(self) -> bool:
        """Whether a stop was asked for."""
        return bool(self.reason)

    def wait(self, timeout_s: float) -> bool:
        """Wait for a request, at most so long; returns whether there is one."""
        return self._asked.wait(timeout_s)

    def add_callback(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        """Have `callback` called in `loop` when a stop is asked for, soon if that has happened already."""
        with self._lock:
            self._callbacks.append((loop, callback))
            if self.requested:
                loop.call_soon_threadsafe(callback)

    def request(self, reason: str) -> bool:
        """Ask for a stop; returns whether an event loop listens. Only the first request counts."""
        with self._lock:
            listening = [(loop, callback) for loop, callback in self._callbacks if not loop.is_closed()]
            if not self.requested:
                self.reason = reason
                self._asked.set()
                for loop, callback in listening:
                    loop.call_soon_threadsafe(callback)
            return bool(listening)

    def install(self) -> None:
        """Take SIGTERM and SIGINT over, in the main thread; once more after `ray.init`, which takes SIGTERM away."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)
        if self._wakeup is None:
            # Python runs handlers between two of its own instructions: never while the main thread is inside one long
            # call of a library (loading weights takes minutes). The bytes in this pipe come at once, in any case.
            self._wakeup = os.pipe()
            os.set_blocking(self._wakeup[1], False)
            signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
            threading.Thread(target=self._watch, args=(self._wakeup[0],), name="stop-signal", daemon=True).start()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.request(signal.Signals(number).name) and not self.looks_itself:
            raise KeyboardInterrupt

    def _watch(self, read_end: int) -> None:
        stops = 0
        while True:
            for number in os.read(read_end, 64):
                if number not in (signal.SIGTERM, signal.SIGINT):
                    continue
                stops += 1
                name = signal.Signals(number).name
                if stops > 1:
                    _end_now(f"stopped at once by a second signal ({name})")
                logger.warning("%s: finishing what is complete; once more ends at once", name)
                self.request(name)
                late = f"stopped by {name}, not orderly within {self.grace_s:g} s"
                timer = threading.Timer(self.grace_s, _end_now, args=(late,))
                timer.daemon = True
                timer.start()


class _RedactingFormatter(logging.Formatter):
    """Redacts the finished text, so that arguments and tracebacks are covered too."""

    def __init__(self, form: str, redact: Redactor) -> None:
        super().__init__(form, datefmt="%Y-%m-%d %H:%M:%S")
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(super().format(record))


def _tell(error: T2SError, redact: Redactor) -> int:
    # In one piece: `print` writes the end of a line by itself, and another thread's log record comes between.
    sys.stderr.write(redact(f"error: {error}") + "\n")
    sys.stderr.flush()
    return error.exit_code


def _unexpected(error: Exception, redact: Redactor) -> int:
    logger.error("unexpected %s", type(error).__name__, exc_info=error)
    return _tell(T2SError(f"unexpected {type(error).__name__}: {error} (the traceback is in the log above)"), redact)


def _first_told(group: BaseExceptionGroup[BaseException]) -> T2SError | None:
    for error in group.exceptions:
        told = _first_told(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(told, T2SError):
            return told
    return None


def _end_now(text: str) -> None:
    # Written past Python's buffers and locks: the main thread may hold them and never let go.
    os.write(2, f"error: {text}; running the same command again resumes\n".encode())
    os._exit(Stopped.exit_code)
