from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from t2s.settings import JOB_SETTINGS

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "configs").rglob("*.yaml"))


@pytest.fixture(autouse=True)
def _in_the_repository_without_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name in [name for name in os.environ if name.startswith("T2S_")]:
        monkeypatch.delenv(name)


def test_there_are_configs() -> None:
    assert len(PATHS) >= 5


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_config_loads_with_its_jobs_settings(path: Path) -> None:
    job = path.name.partition("_")[0].removesuffix(".yaml")
    settings = JOB_SETTINGS[job].load([str(path.relative_to(ROOT))])
    assert settings.resolved()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_config_begins_with_the_command_that_runs_it_and_what_must_exist_first(path: Path) -> None:
    header = re.match(r"(?:#.*\n)+", path.read_text(encoding="utf-8"))
    assert header, f"{path} has no header"
    job = path.name.partition("_")[0].removesuffix(".yaml")
    assert re.search(rf"^#   t2s (run|submit) {job} {path.relative_to(ROOT)}\b", header[0], re.MULTILINE)
    assert "# Must exist first: " in header[0]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_in_a_header_loads(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        command = re.match(r"#   t2s (?:run|submit|plan) (\w+) (\S+\.yaml)((?: [\w.]+=\S+)*)", line)
        if command:
            job, config, overrides = command.groups()
            JOB_SETTINGS[job].load([config, *overrides.split()])
