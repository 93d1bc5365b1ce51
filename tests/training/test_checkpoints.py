"""Checkpoints in a store: whole or not there, the last found again, older ones and what dead attempts left deleted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from t2s.errors import DigestMismatch
from t2s.storage import Store, open_store
from t2s.training.checkpoints import Checkpoints, files_of
from tests.servers import S3Server

PLAN = "1" * 64


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "local":
        return open_store(str(tmp_path / "run"))
    server: S3Server = request.getfixturevalue("s3_server")
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    return open_store(f"s3://{server.bucket}/{tmp_path.name}")


def write_checkpoint(folder: Path, text: str) -> list[str]:
    """A few files; returns those worth keeping."""
    for name in ("optimizer.pt", "global_step5/shard_0.pt", "training_args.bin", "tokenizer.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name} {text}", encoding="utf-8")
    return files_of(folder)


def put(checkpoints: Checkpoints, step: int, attempt: str, folder: Path) -> bool:
    names = write_checkpoint(folder, f"{step} {attempt}")
    return checkpoints.commit(step, attempt, checkpoints.upload(step, attempt, folder, names))


def test_a_checkpoint_comes_back_as_it_was(store: Store, tmp_path: Path) -> None:
    checkpoints = Checkpoints(store, PLAN)
    assert checkpoints.latest() is None and checkpoints.steps() == []
    assert put(checkpoints, 5, "a", tmp_path / "five") and put(checkpoints, 100, "b", tmp_path / "hundred")
    latest = checkpoints.latest()
    assert latest is not None and (latest.step, latest.attempt) == (100, "b")
    checkpoints.fetch(latest, tmp_path / "fetched")
    assert files_of(tmp_path / "fetched") == ["global_step5/shard_0.pt", "optimizer.pt"]
    assert (tmp_path / "fetched" / "optimizer.pt").read_text(encoding="utf-8") == "optimizer.pt 100 b"


def test_what_was_not_committed_is_not_seen_and_of_two_that_commit_one_wins(store: Store, tmp_path: Path) -> None:
    checkpoints = Checkpoints(store, PLAN)
    assert put(checkpoints, 5, "a", tmp_path / "one")
    names = write_checkpoint(tmp_path / "two", "dies")
    checkpoints.upload(10, "b", tmp_path / "two", names)
    assert checkpoints.steps() == [5]

    assert not put(checkpoints, 5, "late", tmp_path / "three")
    found = checkpoints.find(5)
    assert found is not None and found.attempt == "a"
    checkpoints.drop(5, "late", names)
    assert not any("late" in info.key for info in store.list())


def test_older_ones_go_but_the_best_and_the_remains_of_attempts_that_died_with_them(
    store: Store, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(store, PLAN)
    for step in (5, 10, 15, 20):
        assert put(checkpoints, step, "a", tmp_path / str(step))
    names = write_checkpoint(tmp_path / "dead", "dead")
    checkpoints.upload(20, "dead", tmp_path / "dead", names)
    checkpoints.upload(25, "running", tmp_path / "dead", names)  # another worker is about to commit it
    checkpoints.prune(2, also=5)
    assert checkpoints.steps() == [5, 15, 20]
    assert {info.key.split("/")[2] for info in store.list("train/checkpoints/") if info.key.endswith(".pt")} == {
        "step-00000005.a",
        "step-00000015.a",
        "step-00000020.a",
        "step-00000025.running",
    }


def test_other_bytes_than_were_stored_are_refused(store: Store, tmp_path: Path) -> None:
    checkpoints = Checkpoints(store, PLAN)
    assert put(checkpoints, 5, "a", tmp_path / "five")
    store.write("train/checkpoints/step-00000005.a/optimizer.pt", b"other")
    latest = checkpoints.latest()
    assert latest is not None
    with pytest.raises(
        DigestMismatch, match=r"delete train/checkpoints/step-00000005\.done to go on from the one before"
    ):
        checkpoints.fetch(latest, tmp_path / "fetched")


def test_checkpoints_of_another_plan_and_broken_records_are_not_gone_on_from(store: Store, tmp_path: Path) -> None:
    assert put(Checkpoints(store, PLAN), 5, "a", tmp_path / "five")
    assert put(Checkpoints(store, "2" * 64), 10, "b", tmp_path / "ten")
    store.write("train/checkpoints/step-00000015.done", b"{half")
    latest = Checkpoints(store, PLAN).latest()
    assert latest is not None and latest.step == 5
    assert json.loads(store.read("train/checkpoints/step-00000005.done"))["plan_digest"] == PLAN
