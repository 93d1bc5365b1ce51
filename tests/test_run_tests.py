"""scripts/run_tests.py on small suites made on the spot: what it counts, and what it refuses to call green."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "run_tests.py"

# Runs one part named "default" over the suite in the current folder, with this interpreter and a short patience.
DRIVER = """
import sys
import time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import run_tests
run_tests.become_reaper()
run_tests.signal.signal(run_tests.signal.SIGTERM, run_tests._raise_terminated)
run_tests.end_leftovers.__defaults__ = (0.5,)
part = run_tests.Part(
    "any", "", must_have_tests=sys.argv[2] == "must", limit_s=float(sys.argv[3]), only_files_with=sys.argv[4]
)
result = run_tests.run_part("default", part, Path(sys.executable), root=Path.cwd())
print(run_tests.summary({"default": result}))
sys.exit(1 if result.failed else 0)
"""


def run_suite(
    folder: Path, code: str, *, must: bool = True, limit_s: float = 60, only_files_with: str = ""
) -> subprocess.CompletedProcess[str]:
    (folder / "tests").mkdir(exist_ok=True)
    (folder / "tests" / "test_it.py").write_text(code, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-c", DRIVER, str(SCRIPT.parent), "must" if must else "may", str(limit_s), only_files_with],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=90,
    )


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout.splitlines()[-1]


def test_the_last_line_sums_up_what_passed_failed_and_was_skipped(tmp_path: Path) -> None:
    done = run_suite(
        tmp_path,
        """
import pytest

@pytest.mark.parametrize("n", range(3))
def test_passes(n): pass

def test_fails(): assert False

def test_is_skipped(): pytest.skip("why")

@pytest.fixture
def broken_twice():
    yield
    raise RuntimeError("and again at the end")

def test_fails_and_fails_again_when_torn_down(broken_twice): assert False

@pytest.fixture
def broken_at_the_end():
    yield
    raise RuntimeError("only at the end")

def test_passes_but_cannot_be_torn_down(broken_at_the_end): pass
""",
    )
    assert last_line(done) == "3 passed, 3 failed, 1 skipped"
    assert done.returncode == 1


def test_a_green_suite_exits_with_0(tmp_path: Path) -> None:
    done = run_suite(tmp_path, "def test_passes(): pass")
    assert (last_line(done), done.returncode) == ("1 passed, 0 failed, 0 skipped", 0)


def test_a_file_that_cannot_be_imported_is_one_failure(tmp_path: Path) -> None:
    done = run_suite(tmp_path, "import no_such_module\ndef test_passes(): pass")
    assert (last_line(done), done.returncode) == ("0 passed, 1 failed, 0 skipped", 1)


def test_a_run_that_dies_is_a_failure_and_says_how(tmp_path: Path) -> None:
    done = run_suite(tmp_path, "import os, signal\ndef test_dies(): os.kill(os.getpid(), signal.SIGSEGV)")
    assert (last_line(done), done.returncode) == ("0 passed, 1 failed, 0 skipped", 1)
    assert "pytest was ended by SIGSEGV" in done.stdout


def test_finding_no_test_is_a_failure_only_where_there_must_be_some(tmp_path: Path) -> None:
    must = run_suite(tmp_path, "")
    assert (last_line(must), must.returncode) == ("0 passed, 1 failed, 0 skipped", 1)
    assert "found no test" in must.stdout
    may = run_suite(tmp_path, "", must=False)
    assert (last_line(may), may.returncode) == ("0 passed, 0 failed, 0 skipped", 0)
    assert re.search(r"^default +no tests", may.stdout, re.MULTILINE)


def test_only_files_with_the_marker_are_imported_where_others_would_miss_a_package(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_of_another_environment.py").write_text("import no_such_module", encoding="utf-8")
    done = run_suite(tmp_path, "# mark.engine\ndef test_passes(): pass", only_files_with="mark.engine")
    assert (last_line(done), done.returncode) == ("1 passed, 0 failed, 0 skipped", 0)
    none = run_suite(tmp_path, "def test_passes(): pass", only_files_with="mark.engine", must=False)
    assert (last_line(none), none.returncode) == ("0 passed, 0 failed, 0 skipped", 0)


def test_a_run_over_its_limit_is_ended_and_counts_as_failed(tmp_path: Path) -> None:
    done = run_suite(tmp_path, "import time\ndef test_hangs(): time.sleep(600)", limit_s=3)
    assert (last_line(done), done.returncode) == ("0 passed, 1 failed, 0 skipped", 1)
    assert "took longer than 3 s" in done.stdout


def test_a_process_that_outlives_the_run_is_ended_named_and_counts_as_failed(tmp_path: Path) -> None:
    done = run_suite(
        tmp_path,
        """
import subprocess
from pathlib import Path

def test_forgets_a_server():
    server = subprocess.Popen(["sleep", "4321"], start_new_session=True)
    Path("pid").write_text(str(server.pid))
    server.returncode = 0  # or Popen itself would warn that it still runs
""",
    )
    assert (last_line(done), done.returncode) == ("1 passed, 1 failed, 0 skipped", 1)
    assert "left a process behind" in done.stdout and "sleep 4321" in done.stdout
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()


def test_a_terminated_run_lets_its_tests_tidy_up_and_leaves_nothing_running(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(
        """
import os, subprocess, time
from pathlib import Path
import pytest

@pytest.fixture
def server():
    process = subprocess.Popen(["sleep", "4321"])
    Path("server").write_text(str(process.pid))
    os.rename("server", "started")
    yield
    process.kill()
    process.wait()
    Path("tidied").touch()

def test_hangs(server): time.sleep(600)
""",
        encoding="utf-8",
    )
    run = subprocess.Popen([sys.executable, "-c", DRIVER, str(SCRIPT.parent), "must", "300", ""], cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "started").exists():
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.05)
    run.terminate()
    assert run.wait(60) != 0
    assert (tmp_path / "tidied").exists()
    assert not Path(f"/proc/{(tmp_path / 'started').read_text()}").exists()


@pytest.mark.parametrize("words", [[], ["default", "nonsense"]])
def test_words_that_name_no_part_are_refused_with_the_parts_there_are(words: list[str]) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert "default, s3, cluster, browser, engine, train" in done.stderr
