from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from t2s.engine import lifeline_watch
from t2s.engine.lifeline import Lifeline

ROOT = Path(__file__).resolve().parents[2]

# A driver whose engine has a child of its own; both ignore SIGTERM, as an engine busy in C code does.
DRIVER = """
import os, subprocess, sys, time
from t2s.engine.lifeline import Lifeline

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
ENGINE = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]); " + STUBBORN
if __name__ == "__main__":
    lifeline = Lifeline()
    lifeline.start()
    with lifeline.marking():
        engine = subprocess.Popen([sys.executable, "-c", ENGINE])
    if sys.argv[1] == "forked":
        if os.fork() == 0:
            time.sleep(8)  # holds the driver's end of the watcher's socket, and no marker
            os._exit(0)
    while len(lifeline.processes()) < 2:
        time.sleep(0.02)
    print(lifeline._marker, *lifeline.processes(), flush=True)
    if sys.argv[1] == "ends":
        sys.exit(0)
    if sys.argv[1] == "closes":
        lifeline.kill()
        engine.wait()
        lifeline.stop()
        print("closed", flush=True)
    time.sleep(60)
"""


def driver(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", DRIVER, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def read_line(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


def watchers(marker: str) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                command = Path("/proc", name, "cmdline").read_bytes()
            except OSError:
                continue
            if b"lifeline_watch" in command and marker.encode() in command:
                found.append(int(name))
    return found


def wait_until(condition: Callable[[], bool], seconds: float) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, f"not so after {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - started


@pytest.mark.parametrize("how", ["killed", "forked", "ends"])
def test_an_engine_and_its_children_are_gone_soon_after_their_driver_died(how: str) -> None:
    with driver(how) as process:
        try:
            marker, *pids = read_line(process)
            assert len(pids) == 2 and len(watchers(marker)) == 1
            if how != "ends":
                os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
            wait_until(lambda: lifeline_watch.marked(marker) == [], 5)
            wait_until(lambda: watchers(marker) == [], 5)
        finally:
            process.kill()
            lifeline_watch.kill_all(marker, 0)


def test_a_clean_close_leaves_neither_engine_nor_watcher() -> None:
    with driver("closes") as process:
        try:
            marker, *_ = read_line(process)
            assert read_line(process) == ["closed"]
            assert lifeline_watch.marked(marker) == [] and watchers(marker) == []
        finally:
            process.kill()


def test_control_c_ends_the_driver_and_not_its_watcher_so_that_the_engine_still_goes() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, "killed"], stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    )
    with process:
        marker, *_ = read_line(process)
        [watcher] = watchers(marker)
        assert os.getpgid(watcher) != os.getpgid(process.pid)
        os.killpg(process.pid, signal.SIGINT)  # what a terminal does: everybody in the foreground group
        process.wait(10)
        wait_until(lambda: lifeline_watch.marked(marker) == [], 5)


def test_only_what_was_started_while_marking_is_killed() -> None:
    lifeline, other = Lifeline(), Lifeline()
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    before = dict(os.environ)
    lifeline.start()
    with lifeline.marking():
        engine = subprocess.Popen(sleep)
    assert dict(os.environ) == before
    with other.marking():
        other_engine = subprocess.Popen(sleep)
    bystander = subprocess.Popen(sleep)
    try:
        wait_until(lambda: lifeline.processes() == [engine.pid], 5)
        lifeline.kill()
        assert engine.wait(5) == -signal.SIGKILL
        assert bystander.poll() is None and other_engine.poll() is None
        lifeline.stop()
        lifeline.stop()
    finally:
        for process in (engine, other_engine, bystander):
            process.kill()
            process.wait()


def test_stopping_after_the_watcher_was_killed_is_a_warning_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    lifeline = Lifeline()
    lifeline.start()
    [watcher] = watchers(lifeline._marker)
    os.kill(watcher, signal.SIGKILL)
    wait_until(lambda: watchers(lifeline._marker) == [], 5)
    lifeline.stop()
    assert "watcher was gone" in caplog.text
