"""Killed at any moment, a download goes on: what is on the disk or in the store is not asked for again."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from t2s.download import Access, DownloadConfig, HubAccess, download
from t2s.errors import ObjectMissing, Stopped, StorageError
from t2s.storage import open_store
from t2s.storage.cache import NodeCache
from tests.download.conftest import OpenHub, access_to, settings
from tests.download.small_model import small_model
from tests.hub_server import HubServer
from tests.hub_server_repos import Repo
from tests.hub_server_troubles import Trouble
from tests.servers import S3Server
from tests.storage.conftest import use

ROOT = Path(__file__).parents[2]
FILES = small_model(num_shards=3, values=400_000)
SHARDS = [name for name in FILES if name.endswith(".safetensors")]

CHILD = """
import json, logging, sys
from t2s.download import Access, DownloadConfig, HubAccess, download
logging.basicConfig(level="INFO")
hub = HubAccess(sys.argv[2])
[done] = download(DownloadConfig(**json.loads(sys.argv[1])), Access(hub, hub))
print(done.uri)
"""


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def start(processes: list[subprocess.Popen[str]], config: DownloadConfig, hub: HubServer) -> subprocess.Popen[str]:
    values = config.model_dump(exclude_defaults=True, mode="json")
    words = [sys.executable, "-c", CHILD, json.dumps(values), hub.endpoint]
    processes.append(subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    return processes[-1]


def on_disk(parts: list[Path], kept: set[str]) -> dict[str, int]:
    """How many bytes of each shard are there: whole ones, and what has come of the others."""
    sizes = dict.fromkeys(SHARDS, 0)
    for folder in parts:
        for path in folder.rglob("*"):
            if (name := path.name.removesuffix(".incomplete")) in sizes and path.is_file():
                sizes[name] = path.stat().st_size
    return sizes | {name: len(FILES[name]) for name in kept}


def kill_at_random(process: subprocess.Popen[str], hub: HubServer, chance: random.Random) -> None:
    """Kill it at any moment of its life; four times of five while bytes come."""
    earlier, deadline = len(hub.troubles.asked), time.monotonic() + 60
    if chance.random() < 0.8:
        while len(hub.troubles.asked) == earlier and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.8))
    else:
        time.sleep(chance.uniform(0.0, 2.0))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was still at work"


def kept_in(uri: str) -> set[str]:
    store = open_store(uri)
    return {json.loads(store.read(info.key))["name"] for info in store.list(".incoming/") if info.key.endswith(".json")}


def check_kills(
    hub: HubServer, config: DownloadConfig, target: str, parts: Path, processes: list[subprocess.Popen[str]], kills: int
) -> str:
    """Kill so often, then let it end; returns where it is published."""
    chance = random.Random(7)
    hub.troubles.add(Trouble("cdn", bytes_per_s=150_000), -1)  # 0.8 MB a shard: five seconds
    for _ in range(kills):
        there = on_disk([parts], kept_in(target))
        earlier = len(hub.troubles.asked)
        kill_at_random(start(processes, config, hub), hub, chance)
        check_goes_on(hub, there, earlier)
    hub.troubles.clear()
    there = on_disk([parts], kept_in(target))
    earlier = len(hub.troubles.asked)
    output, log = start(processes, config, hub).communicate(timeout=120)
    assert output.strip(), log
    check_goes_on(hub, there, earlier)
    return output.strip()


def check_goes_on(hub: HubServer, there: dict[str, int], earlier: int) -> None:
    asked = hub.troubles.asked[earlier:]
    for name in SHARDS:
        starts = [at for one, at in asked if one == name]
        if there[name] == len(FILES[name]):
            assert starts == [], f"{name} is whole and was asked for again"
        else:
            assert starts in ([], [there[name]]), f"{name}: {there[name]} bytes are here"


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize("scheme", ["modelscope", "hf"])
def test_after_kill_9_at_random_moments_the_next_run_goes_on_where_it_was(
    scheme: str, kills: int, open_hub: OpenHub, tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    repo = Repo("LLM-Research/tiny", FILES)
    hub = open_hub(repo)
    config = settings(tmp_path, f"{scheme}://LLM-Research/tiny", num_files_at_once=2)
    incoming = tmp_path / "models" / "tiny" / f".t2s-incoming-{repo.head}"
    uri = check_kills(hub, config, str(incoming), incoming / ".parts", processes, kills)
    assert {path.name: path.read_bytes() for path in Path(uri).iterdir() if path.name != "manifest.json"} == FILES
    assert sorted(path.name for path in (tmp_path / "models" / "tiny").iterdir()) == [repo.head]


@pytest.mark.s3
@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_kills_on_the_way_into_object_storage_cost_no_byte_that_had_come(
    kills: int,
    open_hub: OpenHub,
    tmp_path: Path,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    processes: list[subprocess.Popen[str]],
) -> None:
    use(monkeypatch, s3_server.env)
    repo = Repo("LLM-Research/tiny", FILES)
    hub = open_hub(repo)
    models_uri = f"s3://{s3_server.bucket}/{uuid.uuid4().hex}"
    config = settings(
        tmp_path, "modelscope://LLM-Research/tiny", models_uri=models_uri, num_files_at_once=1,
        staging_dir=str(tmp_path / "staging"),
    )  # fmt: skip
    uri = check_kills(hub, config, f"{models_uri}/tiny/{repo.head}", tmp_path / "staging", processes, kills)
    folder = NodeCache(tmp_path / "node").folder(uri).path
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"} == FILES
    left = [path for path in (tmp_path / "staging").rglob("*") if path.is_file() and path.stat().st_size]
    assert left == [], "nothing of it stays on this node"


@pytest.mark.s3
def test_on_its_way_into_object_storage_a_model_is_not_a_model_and_not_twice_on_the_disk(
    open_hub: OpenHub, tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, s3_server.env)
    files = small_model(num_shards=6, values=500_000)  # a megabyte each
    repo = Repo("LLM-Research/tiny", files)
    hub = open_hub(repo)
    models_uri = f"s3://{s3_server.bucket}/{uuid.uuid4().hex}"
    config = settings(
        tmp_path, "hf://LLM-Research/tiny", models_uri=models_uri, num_files_at_once=1,
        staging_dir=str(tmp_path / "staging"), retry_budget_s=0,
    )  # fmt: skip
    hub.troubles.add(Trouble("cdn", "model-00004*", status=503))
    ended, biggest = threading.Event(), 0

    def watch() -> None:
        nonlocal biggest
        while not ended.wait(0.002):
            with contextlib.suppress(FileNotFoundError):  # uploaded and deleted this very moment
                there = sum(path.stat().st_size for path in (tmp_path / "staging").rglob("*") if path.is_file())
                biggest = max(biggest, there)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with pytest.raises(StorageError, match=r"model-00004-of-00006\.safetensors does not come"):
            download(config, access_to(hub))
        uri = f"{models_uri}/tiny/{repo.head}"
        with pytest.raises(ObjectMissing, match="whose download has not ended"):
            NodeCache(tmp_path / "node").folder(uri)
        sent = hub.troubles.sent()
        [done] = download(config, access_to(hub))
    finally:
        ended.set()
        watcher.join()
    assert done.uri == uri
    assert hub.troubles.sent() == sum(map(len, files.values()))
    assert sent < hub.troubles.sent()
    assert NodeCache(tmp_path / "node").folder(uri).digest == done.published.digest
    assert biggest < 1_200_000, "at no time more than one file of six"


def test_a_stop_ends_it_within_a_second_and_the_next_run_goes_on(open_hub: OpenHub, tmp_path: Path) -> None:
    hub = open_hub(Repo("LLM-Research/tiny", FILES))
    hub.troubles.add(Trouble("cdn", bytes_per_s=200_000), -1)

    class Stop:
        requested = False

    stop = Stop()

    def ask() -> None:
        while hub.troubles.sent("model-0000*") == 0 and not any("model-" in name for name, _ in hub.troubles.asked):
            time.sleep(0.01)
        time.sleep(0.5)
        stop.requested = True

    asker = threading.Thread(target=ask)
    asker.start()
    with pytest.raises(Stopped, match="the same command goes on from here"):
        download(settings(tmp_path, "modelscope://LLM-Research/tiny"), access_to(hub), stop=stop)
    asked_at = time.monotonic()
    asker.join()
    assert time.monotonic() - asked_at < 1
    hub.troubles.clear()
    [done] = download(settings(tmp_path, "modelscope://LLM-Research/tiny"), access_to(hub))
    assert done.is_new
    assert any(at > 0 for _, at in hub.troubles.asked)


def test_two_at_the_same_time_on_one_machine_fetch_it_once(open_hub: OpenHub, tmp_path: Path) -> None:
    hub = open_hub(Repo("LLM-Research/tiny", FILES))
    hub.troubles.add(Trouble("cdn", bytes_per_s=2_000_000), -1)
    config = settings(tmp_path, "hf://LLM-Research/tiny")
    access = Access(HubAccess(hub.endpoint), HubAccess(hub.endpoint))
    done = []
    threads = [threading.Thread(target=lambda: done.extend(download(config, access))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.is_new for one in done) == [False, True]
    assert hub.troubles.sent() == sum(map(len, FILES.values()))
