"""What users get wrong, through the real job: one clear line, the exit code of the contract, nothing written."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from t2s.storage import open_store
from tests.servers import S3Server, s3_env
from tests.small_dataset import write_dataset

ROOT = Path(__file__).resolve().parents[1]


class Ended(NamedTuple):
    """How a job ended."""

    code: int
    error: str
    log: str


def predict(folder: Path, *arguments: str, env: dict[str, str] | None = None, file_size: int | None = None) -> Ended:
    def limit() -> None:
        if file_size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

    words = [f"dataset_uri={folder}/data.json", f"run_uri={folder}/run", "engine.kind=scripted", *arguments]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "T2S_"))}
    done = subprocess.run(
        [sys.executable, "jobs/predict.py", *words],
        cwd=ROOT,
        env={**clean, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        preexec_fn=limit,
    )
    start = done.stderr.rfind("error:")
    return Ended(done.returncode, done.stderr[start:] if start >= 0 else "", done.stderr)


def rewrite(change: Callable[[list[dict[str, object]]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "data.json"
        entries = json.loads(path.read_text(encoding="utf-8"))
        change(entries)
        path.write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")

    return edit


def turn(entries: list[dict[str, object]], index: int) -> dict[str, object]:
    found = entries[index]["interaction"]
    assert isinstance(found, list)
    return found[0]  # type: ignore[no-any-return]


CASES: dict[str, tuple[Callable[[Path], object], list[str], list[str]]] = {
    # name: (what is wrong, arguments, what the line must say)
    "no such file": (lambda folder: (folder / "data.json").unlink(), [], ["data.json"]),
    "not sqlite": (
        lambda folder: (folder / "database" / "城市1.sqlite").write_text("你好" * 500, encoding="utf-8"),
        [],
        ["城市1", "SQLite"],
    ),
    "an absent database": (lambda folder: (folder / "database" / "城市1.sqlite").unlink(), [], ["城市1"]),
    "no databases": (lambda folder: shutil.rmtree(folder / "database"), [], ["databases_uri"]),
    "a question_id twice": (
        rewrite(lambda entries: turn(entries, 3).update(question_id="q-0-0-0")),
        [],
        ["q-0-0-0"],
    ),
    "an empty interaction": (rewrite(lambda entries: entries[2].update(interaction=[])), [], ["2"]),
    "malformed json": (
        lambda folder: (folder / "data.json").write_text('[\n {"db_list": ["a"],\n  "interaction": [}\n]', "utf-8"),
        [],
        ["data.json", "line 3", "column 19"],
    ),
    "an unknown setting": (lambda folder: None, ["enginee.kind=vllm"], ["enginee", "unknown"]),
    "an unknown setting inside": (lambda folder: None, ["engine.knd=vllm"], ["engine.knd", "engine.kind"]),
    "a wrong type": (lambda folder: None, ["shard_turns=many"], ["shard_turns", "many"]),
    "an incomplete model": (
        lambda folder: (folder / "model").mkdir(),
        ["engine.kind=vllm", "engine.model_uri={folder}/model"],
        ["model", "config.json"],
    ),
    "a model with a missing shard": (
        lambda folder: write_model(folder / "model", "model-00002-of-00002.safetensors"),
        ["engine.kind=vllm", "engine.model_uri={folder}/model"],
        ["model-00002-of-00002.safetensors"],
    ),
    "a store of an unknown kind": (lambda folder: None, ["run_uri=ftp://host/run"], ["ftp"]),
}


def write_model(folder: Path, missing: str) -> None:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    index = {"weight_map": {"a": missing.replace("00002-of", "00001-of"), "b": missing}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    first = folder / missing.replace("00002-of", "00001-of")
    first.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))


@pytest.mark.parametrize("name", CASES)
def test_wrong_input_is_one_clear_line_and_exit_code_2(name: str, tmp_path: Path) -> None:
    prepare, arguments, wanted = CASES[name]
    write_dataset(tmp_path)
    prepare(tmp_path)
    ended = predict(tmp_path, *(argument.format(folder=tmp_path) for argument in arguments))
    assert ended.code == 2, ended.log
    assert all(text in ended.error for text in wanted), ended.error
    assert "Traceback" not in ended.log
    assert not (tmp_path / "run" / "predictions").exists()


def test_a_full_disk_is_one_clear_line_and_a_later_run_finishes(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    # A limit on the size of files stands for a disk without room: the same refusal at the same call.
    ended = predict(tmp_path, "shard_turns=1000", file_size=8192)
    assert ended.code == 1, ended.log
    assert "Traceback" not in ended.log and str(tmp_path / "run") in ended.error
    assert not list((tmp_path / "run").glob("predictions/*.done"))
    assert predict(tmp_path, "shard_turns=1000").code == 0


def test_text_that_is_not_utf8_costs_nothing_but_the_bad_signs(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    connection = sqlite3.connect(tmp_path / "database" / "城市0.sqlite")
    connection.execute("INSERT INTO 城市 VALUES (0, CAST(x'b1b1beA9' AS TEXT), 5)")  # GBK
    connection.commit()
    connection.close()
    ended = predict(tmp_path)
    assert ended.code == 0, ended.log
    assert len(json.loads((tmp_path / "run" / "predictions.json").read_bytes())) == 24


@pytest.mark.s3
def test_databases_that_the_cache_may_not_hold_are_one_clear_line_and_exit_code_1(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dataset(tmp_path)
    env = s3_env(s3_server.env["AWS_ENDPOINT_URL"])
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    store = open_store(f"s3://{s3_server.bucket}/databases")
    for path in (tmp_path / "database").iterdir():
        store.upload(path, path.name)
    ended = predict(
        tmp_path,
        f"databases_uri=s3://{s3_server.bucket}/databases",
        "cache_max_bytes=100",
        f"cache_dir={tmp_path}/cache",
        env=env,
    )
    assert ended.code == 1, ended.log
    assert "cache_max_bytes" in ended.error


@pytest.mark.s3
@pytest.mark.parametrize(
    ("uri", "change", "wanted"),
    [
        ("s3://{bucket}/run", {"AWS_SECRET_ACCESS_KEY": "wrong-secret"}, ["AWS_SECRET_ACCESS_KEY"]),
        ("s3://{bucket}/run", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, ["AWS_ACCESS_KEY_ID"]),
        ("s3://no-such-bucket-here/run", {}, ["no-such-bucket-here"]),
        ("s3://{bucket}/run", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, ["127.0.0.1:9"]),
    ],
    ids=["wrong secret", "no credentials", "no bucket", "dead server"],
)
def test_a_store_that_cannot_be_used_is_one_clear_line_and_exit_code_1(
    s3_server: S3Server, tmp_path: Path, uri: str, change: dict[str, str], wanted: list[str]
) -> None:
    write_dataset(tmp_path)
    env = {**s3_env(s3_server.env["AWS_ENDPOINT_URL"]), **change}
    env = {name: value for name, value in env.items() if value}
    ended = predict(tmp_path, f"run_uri={uri.format(bucket=s3_server.bucket)}", env=env)
    assert ended.code == 1, ended.log
    assert all(text in ended.error for text in wanted), ended.error
    assert "Traceback" not in ended.log
    assert "wrong-secret" not in ended.log
