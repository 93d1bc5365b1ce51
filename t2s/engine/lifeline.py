"""No orphaned engine: the processes of an engine die with their driver, however it dies.

    lifeline = Lifeline()
    lifeline.start()                 # a watcher process stands ready
    with lifeline.marking():         # whatever is started in here, and by it, carries a marker in its environment
        ...                          # start the engine
    lifeline.kill()                  # what is left of it
    lifeline.stop()                  # the watcher goes

After kill -9 of its parent vLLM's engine process lived on and survived SIGTERM for 3 s; on a GPU it keeps the memory,
and the next run fails. Nothing in the driver can act after kill -9, and the kernel's parent-death signal is not
inherited by grandchildren. So a watcher process looks for the marker in /proc/*/environ: inherited by everything the
engine starts, there from the moment of exec, before any of its code runs.
"""

from __future__ import annotations

import logging
import multiprocessing.resource_tracker
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from t2s import process_env
from t2s.engine import lifeline_watch
from t2s.errors import EngineError

logger = logging.getLogger(__name__)


class Lifeline:
    """The watcher of one engine. Needs Linux (pidfd, /proc)."""

    def __init__(self) -> None:
        self._marker = uuid.uuid4().hex
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Start the watcher."""
        assert process_env.LIFELINE_VARIABLE.encode() == lifeline_watch.VARIABLE
        ours, theirs = socket.socketpair()
        pidfd = os.pidfd_open(os.getpid())
        command = [sys.executable, "-I", "-S", str(Path(lifeline_watch.__file__).resolve())]
        command += [self._marker, str(theirs.fileno()), str(pidfd)]
        try:
            # Its first process ends at once, leaving the watcher without a parent that would have to reap it.
            starter = subprocess.run(
                command,
                pass_fds=(theirs.fileno(), pidfd),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                check=False,
            )
        finally:
            theirs.close()
            os.close(pidfd)
        if starter.returncode != 0:
            ours.close()
            raise EngineError(
                f"the engine's watcher did not start: {' '.join(command)} ended with {starter.returncode}"
            )
        self._socket = ours

    @contextmanager
    def marking(self) -> Iterator[None]:
        """Mark what is started inside."""
        # Python's own helper process belongs to the driver and lives as long; started later, it would carry the marker.
        multiprocessing.resource_tracker.ensure_running()
        with process_env.marking_children(self._marker):
            yield

    def processes(self) -> list[int]:
        """Ids of the living processes that carry the marker."""
        return lifeline_watch.marked(self._marker)

    def kill(self) -> None:
        """Kill all that carry the marker; returns when they are gone."""
        left = lifeline_watch.kill_all(self._marker, quiet_s=0)
        if left:
            raise EngineError(f"processes {left} of the engine survived SIGKILL for 10 s")

    def stop(self) -> None:
        """Send the watcher away; may be called twice."""
        if self._socket is None:
            return
        with self._socket as connection:
            self._socket = None
            try:
                connection.settimeout(5)
                connection.sendall(lifeline_watch.STOP)
                connection.recv(1)  # its end closes when it is gone
            except OSError as error:
                logger.warning("the engine's watcher was gone already or does not end: %s", error)
