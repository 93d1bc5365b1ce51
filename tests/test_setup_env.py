"""scripts/setup_env.sh in a copy of its own, with an installer that only notes what it is asked: no network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Notes its words; for `venv` it makes what the script looks at afterwards.
INSTALLER = """#!/bin/bash
echo "$*" >>"$(dirname "$0")/calls"
if [ "$1" = venv ]; then
  mkdir -p "${@: -1}/bin"
  ln -sf "$(type -P true)" "${@: -1}/bin/python"
fi
[ ! -e "$(dirname "$0")/fails" ]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the script, the lists and an installer that is up to date."""
    shutil.copytree(ROOT / "locks", tmp_path / "locks")
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup_env.sh", tmp_path / "scripts")
    (tmp_path / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
    write_program(tmp_path / ".venvs" / "uv" / "bin" / "uv", INSTALLER)
    listed = subprocess.run(["sha256sum", "locks/uv.txt"], cwd=tmp_path, capture_output=True, text=True, check=True)
    (tmp_path / ".venvs" / "uv" / ".lock-sha256").write_text(listed.stdout.split()[0], encoding="utf-8")
    return tmp_path


def write_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def set_up(checkout: Path, *names: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "INDEX")}
    return subprocess.run(
        ["scripts/setup_env.sh", *names],
        cwd=checkout,
        env={**environment, "PYTHON": sys.executable, **variables},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def calls(checkout: Path) -> list[str]:
    """What the installer was asked since the last look, its --version aside: the first two words of each call."""
    noted = checkout / ".venvs" / "uv" / "bin" / "calls"
    lines = noted.read_text(encoding="utf-8").splitlines() if noted.exists() else []
    noted.unlink(missing_ok=True)
    return [" ".join(line.split()[:2]) for line in lines if line != "--version"]


MADE = ["venv --quiet", "pip sync", "pip install"]


def test_an_environment_is_made_once_and_then_left_alone(checkout: Path) -> None:
    assert set_up(checkout, "core").returncode == 0
    assert calls(checkout) == MADE
    again = set_up(checkout, "core")
    assert (again.returncode, again.stderr) == (0, "")
    assert calls(checkout) == []


def test_a_changed_list_is_synced_and_a_changed_project_only_installed_again(checkout: Path) -> None:
    set_up(checkout, "core")
    calls(checkout)
    with (checkout / "locks" / "core.txt").open("a", encoding="utf-8") as listed:
        listed.write("# changed\n")
    set_up(checkout, "core")
    assert calls(checkout) == ["pip sync", "pip install"]  # a sync removes what is not listed, t2s itself
    (checkout / "pyproject.toml").write_text("[project]\n# changed\n", encoding="utf-8")
    set_up(checkout, "core")
    assert calls(checkout) == ["pip install"]


def test_an_environment_that_was_moved_is_made_anew(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    set_up(checkout, "core")
    calls(checkout)
    elsewhere = tmp_path_factory.mktemp("moved") / "checkout"
    checkout.rename(elsewhere)
    set_up(elsewhere, "core")
    assert calls(elsewhere) == MADE


def test_a_set_up_that_failed_is_done_again_and_says_which_variable_helps(checkout: Path) -> None:
    fails = checkout / ".venvs" / "uv" / "bin" / "fails"
    set_up(checkout, "core")
    calls(checkout)
    with (checkout / "locks" / "core.txt").open("a", encoding="utf-8") as listed:
        listed.write("# changed\n")
    shutil.copy(checkout / "scripts" / "setup_env.sh", fails)
    # `uv --version` is how the script sees that its installer works; only then it asks for packages.
    write_program(
        checkout / ".venvs" / "uv" / "bin" / "uv", INSTALLER.replace("[ ! -e", '[ "$1" = --version ] || [ ! -e')
    )
    failed = set_up(checkout, "core", INDEX="https://user:hidden@mirror.example/simple")
    assert failed.returncode == 2
    assert "INDEX=" in failed.stderr and "hidden" not in failed.stderr
    calls(checkout)
    fails.unlink()
    assert set_up(checkout, "core").returncode == 0
    assert calls(checkout) == ["pip sync", "pip install"]


def test_the_chosen_interpreter_is_remembered(checkout: Path) -> None:
    set_up(checkout, "core")
    calls(checkout)
    assert set_up(checkout, "core", PYTHON="").returncode == 0
    assert calls(checkout) == []


def python_that(checkout: Path, version: str, *, has_venv: bool) -> Path:
    """A program that answers the script's questions as such an interpreter would."""
    path = checkout / f"python-{version}"
    return write_program(
        path,
        "#!/bin/bash\ncase $2 in\n"
        f'*version_info*) echo "{version} {path}" ;;\n'
        f"*ensurepip*) exit {0 if has_venv else 1} ;;\nesac\n",
    )


@pytest.mark.parametrize(
    ("python", "told"),
    [
        (lambda _: Path("no-such-python"), "no no-such-python here: sudo apt install python3 python3-venv"),
        (lambda checkout: python_that(checkout, "3.9", has_venv=True), "is Python 3.9, wanted 3.11 or 3.12"),
        (lambda checkout: python_that(checkout, "3.13", has_venv=True), "is Python 3.13, wanted 3.11 or 3.12"),
        (lambda checkout: python_that(checkout, "3.12", has_venv=False), "sudo apt install python3.12-venv"),
        (lambda checkout: write_program(checkout / "broken", "#!/bin/bash\nexit 127\n"), "does not start"),
    ],
    ids=["absent", "too old", "too new", "without venv", "broken"],
)
def test_an_interpreter_that_will_not_do_is_one_line_that_says_what_to_do(
    checkout: Path, python: Callable[[Path], Path], told: str
) -> None:
    done = set_up(checkout, "core", PYTHON=str(python(checkout)))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert told in done.stderr
    assert calls(checkout) == []


def test_a_name_that_is_no_environment_is_refused(checkout: Path) -> None:
    done = set_up(checkout, "cores")
    assert done.returncode == 2
    assert "core, dev, predict, predict-cpu, train" in done.stderr
