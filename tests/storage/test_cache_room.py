"""The node cache under a limit, beside a manifest, and with many workers at once."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from t2s.errors import DigestMismatch, ObjectMissing, StorageError
from t2s.storage import Store, open_store
from t2s.storage.cache import NodeCache
from tests.servers import S3Server
from tests.storage.conftest import use

ROOT = Path(__file__).parents[2]
MB = 1_000_000

# Fetches files of a store, says so, and goes on living until it is told to end.
HOLDER = """
import sys
from pathlib import Path
from t2s.storage import open_store
from t2s.storage.cache import NodeCache
root, limit, uri, *keys = sys.argv[1:]
cache, store = NodeCache(Path(root), int(limit)), open_store(uri)
for key in keys:
    print(cache.folder(uri).path if key == "." else cache.file(store, key).path, flush=True)
sys.stdin.read()
"""

# Gets everything ready, waits for the word, brings a folder and says how long that took and what it logged.
WORKER = """
import json, logging, sys, time
from pathlib import Path
from t2s.storage import open_store
from t2s.storage.cache import NodeCache
lines = []
class Keep(logging.Handler):
    def emit(self, record): lines.append(record.getMessage())
logging.getLogger("t2s").addHandler(Keep()); logging.getLogger("t2s").setLevel("INFO")
open_store(sys.argv[2]).exists("ready")
print("ready", flush=True)
sys.stdin.readline()
began = time.monotonic()
folder = NodeCache(Path(sys.argv[1])).folder(sys.argv[2])
print(json.dumps([time.monotonic() - began, folder.digest, str(folder.path), lines]), flush=True)
"""


@pytest.fixture
def remote(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Store:
    use(monkeypatch, s3_server.env)
    return open_store(f"s3://{s3_server.bucket}/{uuid.uuid4().hex}")


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def start(processes: list[subprocess.Popen[str]], code: str, *words: object) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code, *map(str, words)]
    processes.append(subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True))
    return processes[-1]


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, "the process ended"
    return line


def held(cache: Path) -> int:
    return sum(path.stat().st_size for path in (cache / "files").rglob("*") if path.is_file())


def in_a_process_of_its_own(cache: Path, limit: int, store: Store, *keys: str) -> None:
    words = [sys.executable, "-c", HOLDER, str(cache), str(limit), store.uri, *keys]
    subprocess.run(words, cwd=ROOT, stdin=subprocess.DEVNULL, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.s3
def test_what_was_used_longest_ago_goes_first_when_the_limit_is_reached(remote: Store, tmp_path: Path) -> None:
    contents = {name: os.urandom(MB) for name in "abcd"}
    for name, content in contents.items():
        remote.write(name, content)
    for keys in ("a", "b", "c", "a"):
        in_a_process_of_its_own(tmp_path, 3 * MB, remote, keys)
        time.sleep(0.02)  # the order is that of dates on files
    assert held(tmp_path) == 3 * MB
    in_a_process_of_its_own(tmp_path, 3 * MB, remote, "d")
    assert held(tmp_path) == 3 * MB
    there = {path.name for path in (tmp_path / "files").rglob("*")}
    assert {name for name in contents if hashlib.sha256(contents[name]).hexdigest() in there} == {"a", "c", "d"}


@pytest.mark.s3
def test_what_a_living_process_uses_is_never_thrown_out_and_a_dead_one_s_is(
    remote: Store, tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    for name in "abc":
        remote.write(name, os.urandom(MB))
    holder = start(processes, HOLDER, tmp_path, 2 * MB, remote.uri, "a", "b")
    paths = [Path(read_line(holder)) for _ in range(2)]
    cache = NodeCache(tmp_path, 2 * MB)
    with pytest.raises(StorageError, match=r"/c: it takes 1 MiB, processes of this node use 2 MiB, the limit is 2 MiB"):
        cache.file(remote, "c")
    assert all(path.is_file() for path in paths)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert cache.file(remote, "c").path.is_file()
    assert held(tmp_path) == 2 * MB
    with pytest.raises(StorageError, match=r"no room for .*/big"):
        remote.write("big", os.urandom(3 * MB))
        cache.file(remote, "big")


@pytest.mark.s3
def test_a_folder_in_use_keeps_its_files_and_one_that_is_not_gives_them_back(
    remote: Store, tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    models = {name: open_store(f"{remote.uri}/{name}") for name in ("old", "new")}
    shared = os.urandom(MB)
    for name, model in models.items():
        model.write("tokenizer.json", shared)
        model.write("model.safetensors", os.urandom(2 * MB))
        model.write("name.txt", name.encode())
    holder = start(processes, HOLDER, tmp_path, 10 * MB, models["old"].uri, ".")
    path = Path(read_line(holder))
    assert held(tmp_path) == 3 * MB + 3
    cache = NodeCache(tmp_path, 5 * MB)
    with pytest.raises(StorageError, match="the limit"):
        NodeCache(tmp_path, 4 * MB).folder(models["new"].uri)
    assert sorted(file.name for file in path.iterdir()) == ["model.safetensors", "name.txt", "tokenizer.json"]
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    folder = cache.folder(models["new"].uri)
    assert (folder.path / "name.txt").read_bytes() == b"new"
    assert held(tmp_path) <= 5 * MB
    assert not path.exists()
    assert list((tmp_path / "in-use").iterdir()) == [next((tmp_path / "in-use").glob(f"{os.getpid()}-*"))]


@pytest.mark.s3
def test_what_a_killed_process_left_unfinished_goes_when_room_is_needed(remote: Store, tmp_path: Path) -> None:
    remote.write("a", os.urandom(MB))
    for leftover in ("incoming/killed/object", "files/ab/abcdef.bin", "folders/killed/model.safetensors"):
        (tmp_path / leftover).parent.mkdir(parents=True)
        (tmp_path / leftover).write_bytes(bytes(MB))
    NodeCache(tmp_path, MB).file(remote, "a")
    assert not list((tmp_path / "incoming").iterdir())
    assert not list((tmp_path / "folders").iterdir())
    assert held(tmp_path) == MB


def write_model(store: Store, manifest: bool = True) -> dict[str, bytes]:
    contents = {"config.json": b"{}", "model.safetensors": os.urandom(MB)}
    for name, content in contents.items():
        store.write(name, content)
    if manifest:
        files = [{"name": name, "sha256": hashlib.sha256(content).hexdigest()} for name, content in contents.items()]
        store.write("manifest.json", json.dumps({"files": files}).encode())
    return contents


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return open_store(str(tmp_path / "models" / "mine"))
    remote: Store = request.getfixturevalue("remote")
    return remote


def test_a_folder_is_held_against_its_manifest(model: Store, tmp_path: Path) -> None:
    contents = write_model(model)
    assert NodeCache(tmp_path / "cache").folder(model.uri).digest
    flipped = bytearray(contents["model.safetensors"])
    flipped[MB // 2] ^= 1
    model.write("model.safetensors", bytes(flipped))
    # In a cache of its own: one that holds the promised bytes needs no others.
    with pytest.raises(DigestMismatch, match=r"model\.safetensors: wanted the bytes that its manifest\.json promises"):
        NodeCache(tmp_path / "another").folder(model.uri)
    model.delete("model.safetensors")
    with pytest.raises(
        ObjectMissing, match=r"wanted model\.safetensors, which its manifest\.json promises, found none"
    ):
        NodeCache(tmp_path / "another").folder(model.uri)


def test_a_folder_whose_download_has_not_ended_is_refused(model: Store, tmp_path: Path) -> None:
    write_model(model, manifest=False)
    model.write(".incoming/model.safetensors.json", b"{}")
    with pytest.raises(ObjectMissing, match="whose download has not ended"):
        NodeCache(tmp_path / "cache").folder(model.uri)
    model.delete(".incoming/model.safetensors.json")
    assert NodeCache(tmp_path / "cache").folder(model.uri).digest


@pytest.mark.s3
def test_the_same_bytes_at_another_uri_are_not_fetched_again(
    remote: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    contents = write_model(open_store(f"{remote.uri}/one"))
    other = open_store(f"{remote.uri}/two")
    for name, content in contents.items():
        other.write(name, content)
    other.write("manifest.json", open_store(f"{remote.uri}/one").read("manifest.json"))
    cache = NodeCache(tmp_path)
    first = cache.folder(f"{remote.uri}/one")
    with caplog.at_level("INFO", "t2s"):
        second = cache.folder(f"{remote.uri}/two")
    assert second.digest == first.digest
    assert caplog.text.count("fetching") == 1, "the manifest alone says what is already here"


def ten_at_once(
    processes: list[subprocess.Popen[str]], cache: Path, uri: str, number: int
) -> list[tuple[float, str, str, list[str]]]:
    workers = [start(processes, WORKER, cache, uri) for _ in range(number)]
    for worker in workers:
        read_line(worker)
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    return [tuple(json.loads(read_line(worker))) for worker in workers]


def check_ten_workers(remote: Store, tmp_path: Path, processes: list[subprocess.Popen[str]], size: int) -> float:
    """How much longer ten take than one, as a factor."""
    for number in range(4):
        (tmp_path / "weights").write_bytes(os.urandom(size // 4))
        remote.upload(tmp_path / "weights", f"model-{number}.safetensors")
    [alone] = ten_at_once(processes, tmp_path / "one", remote.uri, 1)
    together = ten_at_once(processes, tmp_path / "ten", remote.uri, 10)
    assert len({(digest, path) for _, digest, path, _ in together}) == 1
    fetched = [line for *_, lines in together for line in lines if line.startswith("fetching") and "left" not in line]
    assert len(fetched) == len(set(fetched)) == 4, "each file was read from the store once"
    return max(seconds for seconds, *_ in together) / alone[0]


@pytest.mark.s3
def test_ten_workers_that_ask_at_once_read_the_store_once(
    remote: Store, tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    # Small enough that ten boto3 clients, made at once on two cores, take longer than the model: no time is asserted.
    check_ten_workers(remote, tmp_path, processes, 50 * MB)


@pytest.mark.s3
@pytest.mark.slow
def test_ten_workers_that_ask_for_500_mb_at_once_take_no_longer_than_one(
    remote: Store, tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    assert check_ten_workers(remote, tmp_path, processes, 500 * MB) < 1.3
