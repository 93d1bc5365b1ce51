from __future__ import annotations

import json
import logging
import re
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from t2s.errors import DatasetError, PlanMismatch, Stopped
from t2s.manifest import (
    Status,
    StatusWriter,
    finish_manifest,
    package_versions,
    read_manifest,
    read_status,
    source_commit,
    start_manifest,
)
from t2s.prediction import Measurement
from t2s.run_record import RunRecord
from t2s.run_status import find_jobs, state_text
from t2s.settings import PredictSettings
from t2s.storage import open_store

PLAN_KEY = "predict/plan.json"


def settings(run_uri: Path, dataset_uri: str = "d") -> PredictSettings:
    values = {"dataset_uri": dataset_uri, "run_uri": str(run_uri), "engine": {"kind": "scripted"}}
    return PredictSettings.model_validate(values)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_manifest_says_what_the_job_was_run_with(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    manifest = start_manifest(store, "predict", {"limit": 3}, {"dataset": "abc"}, "plan-1", "sha256:12")
    assert read_manifest(store, "predict") == manifest
    assert manifest.settings == {"limit": 3}
    assert manifest.packages["ray"] == "2.60.0"
    assert manifest.finished_at is None
    assert datetime.fromisoformat(manifest.started_at).tzinfo is UTC
    finished = finish_manifest(store, manifest)
    found = json.loads((tmp_path / "predict" / "manifest.json").read_bytes())
    assert found["finished_at"] == finished.finished_at is not None


def test_a_resumed_job_keeps_the_time_of_its_first_start_and_another_plan_does_not(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    first = start_manifest(store, "predict", {}, {}, "plan-1")
    store.write(
        "predict/manifest.json", first.model_copy(update={"first_started_at": "2026-01-01"}).model_dump_json().encode()
    )
    assert start_manifest(store, "predict", {}, {}, "plan-1").first_started_at == "2026-01-01"
    assert start_manifest(store, "predict", {}, {}, "plan-2").first_started_at > "2026-01-01"


def test_versions_hold_sqlite_and_only_what_is_installed() -> None:
    versions = package_versions()
    assert re.fullmatch(r"3\.\d+\.\d+", versions["sqlite"])
    assert "llamafactory" not in versions


def test_the_commit_is_that_of_the_checkout() -> None:
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        pytest.skip("not a checkout")
    head = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert (source_commit() or "").removesuffix("-dirty") == head.stdout.strip()


def test_a_status_is_kept_fresh_and_ends_with_how_it_ended(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    counts: dict[str, int | float | None] = {"done_turns": 0}
    writer = StatusWriter(store, "predict", lambda: counts, interval_s=0.05)
    writer.start()

    def shown(done: float) -> bool:
        status = read_status(store, "predict")
        return status is not None and status.state == "running" and status.counts["done_turns"] == done

    wait_for(lambda: shown(0))
    counts["done_turns"] = 7
    wait_for(lambda: shown(7))
    counts["done_turns"] = 9
    writer.finish("failed", "the bucket is gone")
    status = read_status(store, "predict")
    assert status is not None
    assert (status.state, status.message, status.counts) == ("failed", "the bucket is gone", {"done_turns": 9})


def test_a_status_that_cannot_be_written_is_a_warning_once_and_never_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "run").write_text("a file stands where the run's folder should be", encoding="utf-8")
    writer = StatusWriter(open_store(str(tmp_path / "run")), "predict", dict, interval_s=0.01)
    writer.start()
    time.sleep(0.1)
    writer.finish("done")
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "the status is not written, the job goes on" in warnings[0].message


def test_a_record_shows_the_run_from_its_begin_to_its_end(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.write(PLAN_KEY, b'{"digest": "d1", "parts": {"dataset": "abc"}}')
    with RunRecord(settings(tmp_path), str(tmp_path), plan_key=PLAN_KEY) as record:
        record.begin(4, 1)
        record.turn(Measurement(db_id="d", question_id="q", prompt_tokens=10))
        record.end()
    (job,) = find_jobs(store)
    assert job.manifest is not None and job.status is not None
    assert (job.manifest.plan_digest, job.manifest.inputs) == ("d1", {"dataset": "abc"})
    assert job.manifest.finished_at is not None
    assert (job.status.state, job.status.counts["done_turns"], job.status.counts["total_turns"]) == ("done", 2, 4)


@pytest.mark.parametrize(
    ("error", "state"), [(Stopped, "stopped"), (KeyboardInterrupt, "stopped"), (OSError, "failed")]
)
def test_a_record_says_how_the_job_ended(error: type[BaseException], state: str, tmp_path: Path) -> None:
    with pytest.raises(error), RunRecord(settings(tmp_path), str(tmp_path)) as record:
        record.begin(4, 0)
        raise error("why")
    status = read_status(open_store(str(tmp_path)), "predict")
    assert status is not None
    assert (status.state, status.message) == (state, "why")


def test_a_run_with_nothing_left_to_do_keeps_the_record_of_when_it_was_done(tmp_path: Path) -> None:
    open_store(str(tmp_path)).write(PLAN_KEY, b'{"digest": "d1", "parts": {}}')
    written: list[dict[Path, int]] = []
    for done in (0, 4):
        with RunRecord(settings(tmp_path), str(tmp_path), plan_key=PLAN_KEY) as record:
            record.begin(4, done)
            record.end()
        written.append({path: path.stat().st_mtime_ns for path in (tmp_path / "predict").iterdir()})
    assert written[0] == written[1]


def test_a_run_whose_merge_was_cut_short_is_recorded_again(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.write(PLAN_KEY, b'{"digest": "d1", "parts": {}}')
    with pytest.raises(OSError), RunRecord(settings(tmp_path), str(tmp_path), plan_key=PLAN_KEY) as record:
        record.begin(4, 0)
        raise OSError("the merge failed")
    with RunRecord(settings(tmp_path), str(tmp_path), plan_key=PLAN_KEY) as record:
        record.begin(4, 4)
    status = read_status(store, "predict")
    assert status is not None
    assert status.state == "done"


def test_a_run_that_is_refused_before_its_begin_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(PlanMismatch), RunRecord(settings(tmp_path / "run"), str(tmp_path / "run"), PLAN_KEY):
        raise PlanMismatch("another plan")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_secrets_reach_neither_manifest_nor_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    uri = "s3://someone:pass-word@bucket/wJalrXUtnFEMI"
    with pytest.raises(OSError), RunRecord(settings(tmp_path, uri), str(tmp_path)) as record:
        record.begin(1)
        raise OSError("wJalrXUtnFEMI refused")
    written = "".join(path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.json"))
    assert "s3://someone:***@bucket/***" in written
    assert "wJalr" not in written
    assert "pass-word" not in written


def test_a_running_job_that_has_gone_silent_is_said_to_be_killed() -> None:
    status = Status(
        job="predict",
        state="running",
        counts={},
        started_at="2026-11-24T04:00:00+00:00",
        updated_at="2026-11-24T04:10:00+00:00",
    )
    assert state_text(status, datetime(2026, 11, 24, 4, 10, 50, tzinfo=UTC)) == "running"
    silent = state_text(status, datetime(2026, 11, 24, 4, 15, 0, tzinfo=UTC))
    assert silent == "silent for 5 min: killed? running it again resumes"


def test_a_folder_without_a_run_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"wanted a run with <job>/status\.json in it, found none"):
        find_jobs(open_store(str(tmp_path)))
