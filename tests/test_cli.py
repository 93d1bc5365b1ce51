from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from t2s.cli import app
from t2s.settings import JOB_SETTINGS
from tests.small_dataset import write_dataset

ROOT = Path(__file__).parents[1]
COMMANDS = sorted(command.name or command.callback.__name__ for command in app.registered_commands if command.callback)


def t2s(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "t2s.cli", *words],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        cwd=cwd,
        env=environment(),
    )


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("T2S_")}
    return {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "120"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), num_databases=2, interactions_per_database=2, num_turns=2)


def config_file(folder: Path, dataset: Path, **scripted: object) -> str:
    path = folder / "predict.yaml"
    values = {
        "dataset_uri": str(dataset),
        "run_uri": str(folder / "run"),
        "cache_dir": str(folder / "cache"),
        "engine": {"kind": "scripted", "scripted": scripted},
    }
    path.write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML
    return str(path)


def test_importing_the_command_line_imports_nothing_that_takes_time() -> None:
    heavy = ("ray", "boto3", "torch", "vllm", "transformers", "pydantic", "yaml", "jinja2")
    code = f"import sys, t2s.cli; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_ends_with_an_example_of_it(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert re.search(rf"Example: t2s {command} \S+|Example: t2s doctor", shown.output)


@pytest.mark.parametrize("command", ["run", "plan", "submit"])
def test_the_settings_in_an_example_load(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    epilogs = [str(one.epilog) for one in app.registered_commands if one.callback and one.callback.__name__ == command]
    job, *words = shlex.split(epilogs[0].removeprefix(f"Example: t2s {command} "))
    words = [word for word in words if word.endswith(".yaml") or re.match(r"[\w.]+=", word)]
    assert JOB_SETTINGS[job].load(words)


def test_an_unknown_job_is_refused_with_the_near_one() -> None:
    found = t2s("run", "predcit", "configs/predict_sample.yaml")
    assert found.returncode == 2
    jobs = ", ".join(JOB_SETTINGS)
    assert found.stderr == f"error: wanted one of the jobs {jobs}, found predcit; did you mean predict?\n"


def test_wrong_settings_end_with_2_before_anything_starts() -> None:
    found = t2s("run", "predict", "configs/predict_sample.yaml", "limt=3", "shard_turns=none")
    assert found.returncode == 2
    assert found.stderr.splitlines() == [
        "error: 2 settings are wrong, nothing was started:",
        "  shard_turns: wanted a valid integer, unable to parse string as an integer, found 'none' "
        "(argument shard_turns=none)",
        "  limt: wanted a known key, found an unknown one (argument limt=3); did you mean limit?",
    ]


def test_run_says_which_environment_and_ends_with_the_predictions(dataset: Path, tmp_path: Path) -> None:
    config = config_file(tmp_path, dataset)
    found = t2s("run", "predict", config, "run_uri=run", "limit=3", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stderr.startswith("predict: in the environment core, /")
    predictions = json.loads((tmp_path / "run" / "predictions.json").read_bytes())
    assert [len(interaction) for interaction in predictions] == [2, 2, 2]
    manifest = json.loads((tmp_path / "run" / "predict" / "manifest.json").read_bytes())
    assert (manifest["settings"]["limit"], manifest["finished_at"] is None) == (3, False)

    shown = json.loads(t2s("status", "run", "--json", cwd=tmp_path).stdout)
    assert shown["jobs"]["predict"]["status"]["state"] == "done"
    assert shown["jobs"]["predict"]["status"]["counts"]["done_turns"] == 6
    table = t2s("status", str(tmp_path / "run")).stdout
    assert re.search(r"predict +done +6/6", table)


def test_the_same_settings_again_do_nothing_and_another_plan_is_refused(dataset: Path, tmp_path: Path) -> None:
    config = config_file(tmp_path, dataset)
    assert t2s("run", "predict", config).returncode == 0
    manifest = (tmp_path / "run" / "predict" / "manifest.json").read_bytes()
    before = (tmp_path / "run" / "predictions.json").stat().st_mtime_ns
    refused = t2s("run", "predict", config, "history=none")
    assert refused.returncode == 2
    assert "another plan" in refused.stderr
    assert (tmp_path / "run" / "predict" / "manifest.json").read_bytes() == manifest
    again = t2s("run", "predict", config)
    assert again.returncode == 0
    assert (tmp_path / "run" / "predictions.json").stat().st_mtime_ns == before


def test_plan_says_what_would_happen_and_writes_nothing(dataset: Path, tmp_path: Path) -> None:
    found = t2s("plan", "predict", config_file(tmp_path, dataset))
    assert found.returncode == 0, found.stderr
    assert "8 turns" in found.stdout
    assert not (tmp_path / "run").exists()


@pytest.fixture
def slow_run(dataset: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`t2s run predict` of which nothing will be complete for a minute; its answers have begun."""
    config = config_file(tmp_path, dataset, delay_s=60)
    process = subprocess.Popen(
        [sys.executable, "-m", "t2s.cli", "run", "predict", config],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    status = tmp_path / "run" / "predict" / "status.json"
    deadline = time.monotonic() + 60
    try:
        while not status.exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_process_of_t2s_run_is_the_job_itself(slow_run: subprocess.Popen[str]) -> None:
    command = Path(f"/proc/{slow_run.pid}/cmdline").read_bytes().split(b"\0")
    assert command[1].endswith(b"/jobs/predict.py")


def test_a_stopped_run_exits_with_3_and_its_status_says_so(slow_run: subprocess.Popen[str], tmp_path: Path) -> None:
    begun = time.monotonic()
    slow_run.send_signal(signal.SIGTERM)
    _, err = slow_run.communicate(timeout=30)
    assert slow_run.returncode == 3
    assert time.monotonic() - begun < 20
    assert err.splitlines()[-1].startswith("error: stopped")
    assert json.loads((tmp_path / "run" / "predict" / "status.json").read_bytes())["state"] == "stopped"


def test_status_of_no_run_is_one_line(tmp_path: Path) -> None:
    found = t2s("status", str(tmp_path))
    assert found.returncode == 2
    assert found.stderr.startswith(f"error: {tmp_path}: wanted a run with <job>/status.json in it")


def test_version_is_that_of_the_package() -> None:
    try:
        from importlib.metadata import version

        expected = version("t2s")
    except ModuleNotFoundError:
        pytest.skip("t2s is not installed in this environment")
    assert CliRunner().invoke(app, ["--version"]).output == f"t2s {expected}\n"
