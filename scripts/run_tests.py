"""Run parts of the test suite, each in its own environment, and sum them up in one last line.

    .venvs/dev/bin/python scripts/run_tests.py default s3 cluster engine [-- WORDS FOR PYTEST]

    part        passed  failed  skipped     time
    default        312       0        1   41.3 s
    s3              48       0        0   63.0 s
    cluster    no tests
    engine           9       1        0   88.1 s
    369 passed, 1 failed, 1 skipped

Counts come from pytest's JUnit files, not from its printed text. A test that fails and then fails again while it is
torn down is one failed test. Counted as failed, too: a run that dies, that ends with an error outside of a test, that
takes longer than its limit, that finds no test where there must be some, and one that leaves a process behind.
Exit code: 0 when nothing failed, 1 when something did, 2 when the words make no sense.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
QUICK = "not containers and not slow and not gpu"
TIDYING_S = 30.0  # what pytest gets to end the servers of its tests when it is interrupted
LEFTOVER_GRACE_S = 15.0  # Ray's own processes need up to 10 s to notice that their driver has gone
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


class Terminated(Exception):
    """SIGTERM came."""


class Part(NamedTuple):
    """One run of pytest.

    Attributes:
        environment: Folder under .venvs/.
        markers: pytest's -m expression. The expressions of a command's parts do not overlap.
        must_have_tests: Whether finding none is a failure.
        limit_s: After this the run is ended and counts as failed.
        only_files_with: Collect only test files that hold this text: others may import what the environment lacks.
        options: More words for pytest.
    """

    environment: str
    markers: str
    must_have_tests: bool = True
    limit_s: float = 1500
    only_files_with: str = ""
    options: tuple[str, ...] = ()


PARTS = {
    # Two at a time: a third of the default tests' time is waiting. The others' servers and engines take a machine each.
    "default": Part(
        "dev",
        f"not s3 and not cluster and not engine and not train and not browser and {QUICK}",
        options=("-n", "2", "--dist", "worksteal"),
    ),
    "s3": Part("dev", f"s3 and not cluster and not engine and not train and not browser and {QUICK}"),
    "cluster": Part("dev", f"cluster and not engine and not train and {QUICK}"),
    "browser": Part("dev", f"browser and not engine and not train and {QUICK}"),
    "engine": Part("predict-cpu", f"engine and {QUICK}", only_files_with="mark.engine"),
    "train": Part("train", f"train and not engine and {QUICK}", only_files_with="mark.train"),
    "slow": Part("dev", "slow and not engine and not train and not containers and not gpu", limit_s=3 * 3600),
    "slow-engine": Part(
        "predict-cpu",
        "slow and engine and not gpu",
        limit_s=3 * 3600,
        only_files_with="mark.engine",
    ),
    "slow-train": Part(
        "train", "slow and train and not engine and not gpu", limit_s=3 * 3600, only_files_with="mark.train"
    ),
    # They build images, the first time for minutes.
    "containers": Part("dev", "containers and not slow and not gpu", limit_s=3600),
    "slow-containers": Part("dev", "containers and slow and not gpu", limit_s=3 * 3600),
}


class Result(NamedTuple):
    """What came of a part. `notes` say what went wrong outside of any test; each counts as one failure."""

    passed: int
    failed: int
    skipped: int
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def found_tests(self) -> bool:
        """Whether any test ran or was skipped."""
        return self.passed + self.failed + self.skipped > 0


def count(junit: Path) -> tuple[int, int, int]:
    """Passed, failed and skipped tests of a JUnit file; a test with several entries counts once, by the worst."""
    worst: dict[tuple[str, str], int] = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        key = (case.get("classname", ""), case.get("name", ""))
        verdict = 2 if case.find("failure") is not None or case.find("error") is not None else 0
        verdict = verdict or (1 if case.find("skipped") is not None else 0)
        worst[key] = max(worst.get(key, 0), verdict)
    verdicts = list(worst.values())
    return verdicts.count(0), verdicts.count(2), verdicts.count(1)


def run_part(name: str, part: Part, python: Path, root: Path = ROOT, more: Sequence[str] = ()) -> Result:
    """Run pytest with `python` in `root`; its output goes straight through."""
    junit = root / ".cache" / "test-results" / f"{name}.xml"
    junit.parent.mkdir(parents=True, exist_ok=True)
    junit.unlink(missing_ok=True)
    command = [str(python), "-m", "pytest", "-m", part.markers, f"--junitxml={junit}", *part.options, *more]
    if part.only_files_with:
        command += _files_with(part.only_files_with, root) or ["--collect-only", "--ignore-glob=*"]
    print(f"== {name}: {part.environment}, -m '{part.markers}'", flush=True)
    started = time.monotonic()
    notes = []
    ended = False
    process = subprocess.Popen(command, cwd=root)
    try:
        process.wait(part.limit_s)
    except subprocess.TimeoutExpired:
        notes.append(f"took longer than {part.limit_s:.0f} s and was ended")
        process.kill()
        process.wait()
        ended = True
    except (KeyboardInterrupt, Terminated) as stop:
        if isinstance(stop, Terminated):  # a terminal's Ctrl-C reaches pytest by itself; two of them would be too many
            process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(TIDYING_S)
        end_leftovers(0)
        raise
    notes += [f"left a process behind: {line}" for line in end_leftovers()]
    code = process.returncode
    passed, failed, skipped = count(junit) if junit.exists() else (0, 0, 0)
    if code < 0:
        if not ended:
            notes.append(f"pytest was ended by {signal.Signals(-code).name}")
    elif code not in (0, 5) and not failed:  # interrupted, internal error, wrong usage, or a plugin's verdict
        notes.append(f"pytest ended with exit code {code}")
    elif code == 5 and part.must_have_tests and not more:
        notes.append("found no test, and there must be some")
    return Result(passed, failed + len(notes), skipped, time.monotonic() - started, tuple(notes))


def _files_with(text: str, root: Path) -> list[str]:
    files = sorted((root / "tests").rglob("test_*.py"))
    return [str(file.relative_to(root)) for file in files if text in file.read_text(encoding="utf-8")]


def descendants(pid: int) -> Iterator[int]:
    """Processes below `pid`, children first."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # the thread or the process has just ended
            continue
        for child in map(int, children):
            yield child
            yield from descendants(child)


def end_leftovers(grace_s: float = LEFTOVER_GRACE_S) -> list[str]:
    """Wait for what the ended run left running, kill what stays, and say what that was.

    This process adopts its descendants' orphans (`become_reaper`), so whatever is below it now came from that run.
    """
    deadline = time.monotonic() + grace_s
    killed: dict[int, str] = {}
    while _reap():
        if time.monotonic() > deadline:
            for pid in list(descendants(os.getpid())):
                killed.setdefault(pid, _command_line(pid))
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    return [f"{pid} {words}" for pid, words in killed.items()]


def _reap() -> bool:
    """Collect children that have ended; whether any is left."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return False
    return True


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:120].strip()
    except OSError:  # it has just ended
        return ""


def become_reaper() -> None:
    """Make orphans among the descendants children of this process, so that they can be found."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def _raise_terminated(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


def summary(results: dict[str, Result]) -> str:
    """The table of parts and, last, the one line that sums them up."""
    lines = [f"{'part':<15}{'passed':>7}{'failed':>8}{'skipped':>9}{'time':>11}"]
    for name, result in results.items():
        if result.found_tests:
            counts = f"{result.passed:>7}{result.failed:>8}{result.skipped:>9}"
        else:
            counts = f"{'no tests':>24}"
        lines.append(f"{name:<15}{counts}{result.seconds:>9.1f} s")
        lines += [f"    {note}" for note in result.notes]
    passed, failed, skipped = (
        sum(getattr(result, verdict) for result in results.values()) for verdict in ("passed", "failed", "skipped")
    )
    return "\n".join([*lines, f"{passed} passed, {failed} failed, {skipped} skipped"])


def main(words: Sequence[str]) -> int:
    """Run the parts that `words` name; what stands behind `--` goes to pytest."""
    names, more = list(words), []
    if "--" in names:
        more = names[names.index("--") + 1 :]
        names = names[: names.index("--")]
    unknown = [name for name in names if name not in PARTS]
    if unknown or not names:
        print(
            f"run_tests: wanted parts out of {', '.join(PARTS)}; found {' '.join(unknown) or 'none'}", file=sys.stderr
        )
        return 2
    become_reaper()
    signal.signal(signal.SIGTERM, _raise_terminated)
    # A script's `command &` starts with SIGINT ignored, and so does all that it starts: tests of Ctrl-C would hang.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    results = {}
    for name in names:
        python = ROOT / ".venvs" / PARTS[name].environment / "bin" / "python"
        if not python.exists():
            print(f"run_tests: no {python}; run: scripts/setup_env.sh {PARTS[name].environment}", file=sys.stderr)
            return 2
        results[name] = run_part(name, PARTS[name], python, more=more)
    print(f"\n{summary(results)}", flush=True)
    return 1 if any(result.failed for result in results.values()) else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except Terminated:
        sys.exit(143)
