"""The job prepare as users start it: settings, exit codes, its record in the output folder, a stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from t2s.manifest import read_manifest, read_status
from t2s.storage import open_store
from t2s.training.prepared import read_prepared
from tests.preparing import objects
from tests.small_dataset import write_dataset

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "data", num_databases=10, interactions_per_database=4)
    return tmp_path


def words(folder: Path, *arguments: str) -> list[str]:
    places = [f"dataset_uri={folder}/data", f"output_uri={folder}/prepared", f"cache_dir={folder}/cache"]
    return [sys.executable, "jobs/prepare.py", *places, *arguments]


def job(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "T2S_"))}
    return subprocess.run(
        words(folder, *arguments), cwd=ROOT, env=clean, capture_output=True, text=True, check=False, timeout=100
    )


def record(folder: Path) -> tuple[Any, Any]:
    store = open_store(str(folder / "prepared"))
    return read_manifest(store, "prepare"), read_status(store, "prepare")


def test_the_job_prepares_says_what_it_counted_and_leaves_its_record(folder: Path) -> None:
    done = job(folder)
    assert done.returncode == 0, done.stderr
    assert "turns by hardness" in done.stdout and f"{folder}/prepared/prepare/statistics.png" in done.stdout
    manifest, status = record(folder)
    prepared = read_prepared(str(folder / "prepared"))
    assert (status.state, status.counts["done_turns"]) == ("done", 120)
    assert manifest.plan_digest == prepared.plan_digest and manifest.finished_at is not None
    assert manifest.inputs["prompt"] == prepared.prompt_digest
    assert manifest.settings["databases_uri"] == f"{folder}/data/database"
    again = job(folder)
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert "nothing to do" in again.stderr
    assert record(folder) == (manifest, status)


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(folder: Path) -> None:
    done = job(folder, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "12 interactions over 3 databases" in done.stdout
    assert objects(str(folder / "prepared")) == {}


def test_all_settings_that_are_wrong_are_told_at_once_and_where_they_were_written(folder: Path) -> None:
    done = job(folder, "history=none", "split.by=list", "split.test_fraction=1", "cutoff=512")
    assert done.returncode == 2
    for line in (
        "example_form: wanted turn, since history: none",
        "split.list_uri: wanted a file, since split.by is list",
        "split.test_fraction: wanted less than 1, found 1 (argument split.test_fraction=1)",
        "cutoff: wanted a known key, found an unknown one (argument cutoff=512); did you mean cutoff_len?",
    ):
        assert line in done.stderr
    assert objects(str(folder / "prepared")) == {}


def test_a_refusal_is_in_the_record_and_other_settings_may_have_the_folder(folder: Path) -> None:
    path = folder / "data" / "data.json"
    entries = json.loads(path.read_text(encoding="utf-8"))
    for entry in entries[:3]:
        entry["interaction"][0]["query"] = "SELECT 1 FROM 没有"
    path.write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    done = job(folder, "limit=3")
    assert done.returncode == 2
    assert "error: " in done.stderr and "wanted examples for the part train, found none" in done.stderr
    _, status = record(folder)
    assert status.state == "failed" and "found none" in status.message
    assert job(folder).returncode == 0
    assert record(folder)[1].state == "done"


def test_sigterm_stops_the_job_and_the_same_command_ends_it(folder: Path) -> None:
    path = folder / "data" / "data.json"
    entries = json.loads(path.read_text(encoding="utf-8"))
    slow = "WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n FROM a) SELECT max(n) FROM a"
    entries[0]["interaction"][0]["query"] = slow
    path.write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    process = subprocess.Popen(words(folder, "limits.deadline_s=6"), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        started = time.monotonic()
        while "prepare/status.json" not in objects(str(folder / "prepared")):
            assert process.poll() is None and time.monotonic() - started < 60
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 3, said
    assert "stopped by SIGTERM" in said
    assert record(folder)[1].state == "stopped"
    assert list(folder.glob("cache/prepare/*/*")) == []
    again = job(folder, "limits.deadline_s=6")
    assert again.returncode == 0, again.stderr
    assert "timeout: 1" in again.stdout
