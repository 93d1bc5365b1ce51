"""Most tests run a job as a process of its own: exit codes, signals and logs are what others see of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from t2s.errors import (
    EngineDead,
    MissingExtra,
    PlanMismatch,
    SettingsError,
    Stopped,
    StorageError,
    T2SError,
    TooManyErrors,
)
from t2s.job import Redactor, StopSignal, exit_code_of

ROOT = Path(__file__).parents[1]

HEAD = """
import asyncio, logging, os, sys, time
from t2s.errors import *
from t2s.job import run_job
from t2s.settings import EvaluateSettings
log = logging.getLogger("t2s.test")

def main(settings, stop):
"""
TAIL = "\nrun_job(EvaluateSettings, main)\n"
ARGUMENTS = ("gold_uri=g", "run_uri=r")


def program(body: str) -> list[str]:
    return [sys.executable, "-c", HEAD + textwrap.indent(textwrap.dedent(body), "    ") + TAIL]


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("T2S_")}
    return {**kept, "PYTHONPATH": str(ROOT), **variables}


def run(body: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program(body), *(arguments or ARGUMENTS)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(**variables),
    )


@contextmanager
def started(body: str) -> Iterator[subprocess.Popen[str]]:
    """A job that has printed `ready`; killed at the end."""
    process = subprocess.Popen(
        [*program(body), *ARGUMENTS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError, 2),
        (PlanMismatch, 2),
        (MissingExtra, 2),
        (StorageError, 1),
        (EngineDead, 1),
        (TooManyErrors, 1),
        (Stopped, 3),
    ],
)
def test_an_error_of_ours_is_one_line_and_the_exit_code_of_its_kind(
    error: type[T2SError], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        raise error("wanted a, found b")

    assert exit_code_of(work, StopSignal(), Redactor(())) == code
    assert capsys.readouterr() == ("", "error: wanted a, found b\n")


def test_a_job_that_ends_well_exits_with_0_and_logs_facts_to_stderr() -> None:
    found = run("log.info('shard %d done', 3); log.debug('hidden'); print('report')")
    assert (found.returncode, found.stdout) == (0, "report\n")
    assert found.stderr.endswith(" INFO t2s.test: shard 3 done\n")
    assert found.stderr.count("\n") == 1


def test_the_log_level_is_a_setting() -> None:
    body = "log.debug('details'); log.info('facts')"
    assert "details" in run(body, *ARGUMENTS, "log_level=DEBUG").stderr
    assert run(body, T2S_LOG_LEVEL="WARNING").stderr == ""


def test_wrong_settings_end_the_job_before_its_main_with_exit_code_2() -> None:
    found = run("print('started')", "run_uri=r", "num_workers=-1")
    assert found.returncode == 2
    assert found.stdout == ""
    assert found.stderr.splitlines()[0] == "error: 2 settings are wrong, nothing was started:"


def test_help_prints_the_keys_and_starts_nothing() -> None:
    found = run("print('started')", "--help")
    assert found.returncode == 0
    assert "gold_uri = (must be set)" in found.stdout
    assert "started" not in found.stdout


def test_an_unexpected_exception_has_its_traceback_in_the_log_and_one_line_last() -> None:
    found = run("{}['城市']")
    assert found.returncode == 1
    assert "Traceback (most recent call last)" in found.stderr
    assert found.stderr.splitlines()[-1].startswith("error: unexpected KeyError: '城市'")


def test_a_full_disk_is_one_line_without_a_traceback() -> None:
    found = run("open('/dev/full', 'wb', buffering=0).write(b'x')")
    assert found.returncode == 1
    assert found.stderr == "error: the disk is full; free some space and run the same command again\n"


def test_an_error_out_of_a_task_group_is_told_like_any_other() -> None:
    found = run(
        """
        async def work():
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
        async def fail():
            raise StorageError("the bucket is gone")
        asyncio.run(work())
        """
    )
    assert (found.returncode, found.stderr) == (1, "error: the bucket is gone\n")


def test_secrets_reach_neither_the_log_nor_a_traceback_nor_the_error_line() -> None:
    secrets = {
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7",
        "AWS_SESSION_TOKEN": "FwoGZXIvYXdz",
        "RAY_AUTH_TOKEN": "tok-1234",
    }
    body = """
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "RAY_AUTH_TOKEN"):
        log.info("argument %s", os.environ[name])
    log.info("https://user:pass-word@host/x and http://host:80/y@z")
    try:
        raise ValueError(os.environ["RAY_AUTH_TOKEN"])
    except ValueError:
        log.exception("with traceback")
    raise StorageError("refused " + os.environ["AWS_SESSION_TOKEN"])
    """
    found = run(body, **secrets)
    assert not [value for value in (*secrets.values(), "pass-word") if value in found.stderr]
    assert "https://user:***@host/x and http://host:80/y@z" in found.stderr
    assert found.stderr.splitlines()[-1] == "error: refused ***"


def test_a_redactor_replaces_the_longer_of_two_secrets_whole() -> None:
    assert Redactor(("secret-and-more", "secret"))("a secret-and-more, a secret") == "a ***, a ***"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_first_signal_interrupts_plain_code_and_exits_with_3(number: signal.Signals) -> None:
    body = """
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)
    """
    with started(body) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 3
    assert out == "cleaned up\n"
    # Not always last: the thread that warns of the signal may be slower than the job's end.
    assert f"error: stopped by {number.name}; running the same command again resumes" in err.splitlines()


WITH_A_LOOP = """
async def work():
    asked = asyncio.Event()
    stop.add_callback(asyncio.get_running_loop(), asked.set)
    print("ready", flush=True)
    await asked.wait()
    assert stop.requested
    {then}
asyncio.run(work())
"""


def test_a_first_signal_lets_an_event_loop_finish_what_is_complete() -> None:
    body = WITH_A_LOOP.format(then="print('committed', flush=True); raise Stopped('stopped as asked')")
    with started(body) as process:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (3, "committed\n")
    assert err.splitlines()[-1] == "error: stopped as asked"


def test_after_its_loop_is_closed_a_job_is_interrupted_by_a_signal_again() -> None:
    body = """
    async def work():
        stop.add_callback(asyncio.get_running_loop(), lambda: None)
    asyncio.run(work())
    print("ready", flush=True)
    time.sleep(60)
    """
    with started(body) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 3


def test_a_callback_that_comes_after_the_signal_is_called_at_once() -> None:
    body = """
    async def work():
        stop.add_callback(asyncio.get_running_loop(), lambda: None)
        os.kill(os.getpid(), 15)
        while not stop.requested:
            await asyncio.sleep(0.01)
        asked = asyncio.Event()
        stop.add_callback(asyncio.get_running_loop(), asked.set)
        await asyncio.wait_for(asked.wait(), 5)
        print("called")
    asyncio.run(work())
    """
    assert run(body).stdout == "called\n"


def test_a_second_signal_ends_a_job_at_once() -> None:
    body = WITH_A_LOOP.format(then="print('finishing', flush=True); time.sleep(60)")
    with started(body) as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.readline() == "finishing\n"
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 3
    assert time.monotonic() - begun < 5
    assert "stopped at once by a second signal (SIGTERM)" in err.splitlines()[-1]


def test_a_signal_counts_also_where_another_library_has_taken_the_handler() -> None:
    body = """
    import signal
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))  # as ray.init does
    print("ready", flush=True)
    time.sleep(60)
    """
    with started(body) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 3


@pytest.mark.slow
def test_a_job_that_does_not_finish_within_the_grace_is_ended_with_3() -> None:
    body = WITH_A_LOOP.format(then="print('finishing', flush=True); time.sleep(60)")
    with started(body) as process:
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert 18 < time.monotonic() - begun < 21
    assert "not orderly within 19 s" in err.splitlines()[-1]


def test_a_job_that_looks_itself_is_not_interrupted_and_has_the_time_that_it_asks_for() -> None:
    body = """
    stop.grace_s, stop.looks_itself = 2.0, True
    print("ready", flush=True)
    while not stop.requested:
        time.sleep(0.01)
    print("saved", flush=True)
    stop.looks_itself = False
    {then}
    """
    with started(body.format(then="raise Stopped('stopped, and saved')")) as process:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err.splitlines()[-1]) == (3, "saved\n", "error: stopped, and saved")

    with started(body.format(then="time.sleep(60)")) as process:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 3
    assert "not orderly within 2 s" in err
