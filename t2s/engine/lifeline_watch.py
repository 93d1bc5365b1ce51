"""The watcher of one engine: outlives the driver by a second and takes the engine's processes with it.

    python -I -S lifeline_watch.py MARKER SOCKET_FD PIDFD

Run as a file, with the standard library alone: 9 MB, 20 ms to start. It puts itself out of the driver's process group
and session (Ctrl-C does not reach it) and out of its children (Ray kills those before it ends a worker). It waits until
the driver says "stop", or closes its socket, or is dead by its pidfd: the last also tells when a forked child of the
driver still holds the socket. Unless told to stop, it kills every process that carries the marker.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

VARIABLE = b"_T2S_LIFELINE"
STOP = b"stop"
_QUIET_S = 1.0  # a child between fork and exec does not show the marker yet; one that takes longer has no driver
_PATIENCE_S = 10.0


def marked(marker: str) -> list[int]:
    """Ids of all processes of ours whose environment carries the marker; zombies have none."""
    wanted = b"\0" + VARIABLE + b"=" + marker.encode() + b"\0"
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid() and wanted in _environ(int(name)):
            found.append(int(name))
    return found


def _environ(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            return b"\0" + stream.read() + b"\0"
    except OSError:  # another user's, or gone
        return b""


def kill(pid: int, marker: str) -> None:
    """Kill a process if it (still) carries the marker: an id that went to another process meanwhile is left alone."""
    wanted = VARIABLE + b"=" + marker.encode()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if wanted in _environ(pid):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ended by itself
    finally:
        os.close(descriptor)


def kill_all(marker: str, quiet_s: float) -> list[int]:
    """Kill all that carry the marker until none has been seen for `quiet_s`; returns what is left after 10 s."""
    deadline = time.monotonic() + _PATIENCE_S
    quiet_since = time.monotonic()
    left: list[int] = []
    while time.monotonic() < deadline:
        left = marked(marker)
        if not left and time.monotonic() - quiet_since >= quiet_s:
            break
        if left:
            quiet_since = time.monotonic()
        for pid in left:
            kill(pid, marker)
        time.sleep(0.05)
    return left


def _watch(marker: str, socket_fd: int, pidfd: int) -> None:
    poller = select.poll()
    poller.register(socket_fd, select.POLLIN)
    poller.register(pidfd, select.POLLIN)
    poller.poll()
    os.set_blocking(socket_fd, False)
    try:
        told_to_stop = os.read(socket_fd, len(STOP)) == STOP
    except OSError:  # nothing said: the pidfd woke us
        told_to_stop = False
    if not told_to_stop:
        kill_all(marker, _QUIET_S)


if __name__ == "__main__":
    os.setsid()
    if os.fork() == 0:
        _watch(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
