"""The job as users start it: settings, exit codes, one line for an error, status and manifest, no token anywhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from t2s.manifest import read_manifest, read_status
from t2s.storage import open_store
from tests.download.conftest import OpenHub
from tests.download.small_model import others, small_model
from tests.hub_server import HubServer
from tests.hub_server_repos import Repo
from tests.hub_server_troubles import Trouble

ROOT = Path(__file__).parents[2]
FILES = small_model(values=200_000)
TOKEN = "the-token-of-somebody"


def words(tmp_path: Path, source: str, *more: str) -> list[str]:
    return [
        sys.executable, "jobs/download.py", f"source={source}", f"models_uri={tmp_path / 'models'}",
        f"run_uri={tmp_path / 'run'}", f"cache_dir={tmp_path / 'cache'}", *more,
    ]  # fmt: skip


def environment(hub: HubServer, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("T2S_")}
    return {**kept, "MODELSCOPE_ENDPOINT": hub.endpoint, "HF_ENDPOINT": hub.endpoint, **more}


def run(hub: HubServer, command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    env = environment(hub, **more)
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)


def test_the_job_publishes_says_where_and_says_so_when_there_is_nothing_to_do(
    open_hub: OpenHub, tmp_path: Path
) -> None:
    repo = Repo("LLM-Research/tiny", FILES | others(), token=TOKEN)
    hub = open_hub(repo)
    command = words(tmp_path, "modelscope://LLM-Research/tiny@master")
    done = run(hub, command, MODELSCOPE_API_TOKEN=TOKEN)
    uri = tmp_path / "models" / "tiny" / repo.head
    assert (done.returncode, done.stdout) == (0, f"published: {uri}\n"), done.stderr
    assert "%|" not in done.stderr, "the clients' own bars are away"
    assert "Expires=" not in done.stderr, "and so are their lines with signed addresses"
    store = open_store(str(tmp_path / "run"))
    manifest, status = read_manifest(store, "download"), read_status(store, "download")
    assert manifest is not None
    assert manifest.settings["source"] == "modelscope://LLM-Research/tiny@master"
    assert status is not None
    assert status.state == "done"
    size = sum(map(len, FILES.values()))
    assert {**status.counts, "bytes_per_s": 0, "time_left_s": None} == {
        "done_files": len(FILES), "total_files": len(FILES), "fetched_bytes": size, "stored_bytes": size,
        "total_bytes": size, "bytes_per_s": 0, "time_left_s": None,
    }  # fmt: skip
    again = run(hub, command, MODELSCOPE_API_TOKEN=TOKEN)
    assert again.stdout == f"nothing to do, published before: {uri}\n"
    everything = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in everything if TOKEN.encode() in path.read_bytes()]
    assert TOKEN not in done.stderr + again.stderr


@pytest.mark.parametrize(
    ("source", "code", "line"),
    [
        (
            "modelscope://LLM-Research/none",
            1,
            "error: modelscope://LLM-Research/none: its list of files: ModelScope has no",
        ),
        ("hf://LLM-Research/bad", 2, "error: hf://LLM-Research/bad: wanted a whole model with a tokenizer"),
        ("ftp://somewhere", 2, "error: source ftp://somewhere: wanted modelscope://OWNER/NAME@REV"),
        ("null", 2, "error: 1 setting is wrong"),
    ],
)
def test_an_error_is_one_line_with_the_code_of_its_kind(
    source: str, code: int, line: str, open_hub: OpenHub, tmp_path: Path
) -> None:
    bad = {name: data for name, data in FILES.items() if name != "tokenizer.json"}
    hub = open_hub(Repo("LLM-Research/bad", bad))
    done = run(hub, words(tmp_path, source))
    assert done.returncode == code, done.stderr
    assert [text for text in done.stderr.splitlines() if text.startswith("error: ")][-1].startswith(line), done.stderr
    assert not list((tmp_path / "models").rglob("manifest.json"))


def test_a_dry_run_names_commit_files_and_place_and_fetches_nothing(open_hub: OpenHub, tmp_path: Path) -> None:
    repo = Repo("LLM-Research/tiny", FILES | others(), licence="llama3")
    hub = open_hub(repo)
    done = run(hub, words(tmp_path, "hf://LLM-Research/tiny", "--dry-run"))
    assert done.returncode == 0, done.stderr
    for words_there in (
        "model-00001-of-00002.safetensors", "the hub's sha256", "licence: llama3", "pytorch_model.bin",
        f"{tmp_path}/models/tiny/{repo.head}: not published yet",
    ):  # fmt: skip
        assert words_there in done.stdout
    assert hub.troubles.asked == []
    assert not (tmp_path / "models").exists()


def test_sigterm_stops_it_with_code_3_and_the_same_command_goes_on(open_hub: OpenHub, tmp_path: Path) -> None:
    hub = open_hub(Repo("LLM-Research/tiny", FILES))
    hub.troubles.add(Trouble("cdn", bytes_per_s=100_000), -1)
    command = words(tmp_path, "hf://LLM-Research/tiny")
    with subprocess.Popen(command, cwd=ROOT, env=environment(hub), stderr=subprocess.PIPE, text=True) as job:
        try:
            while not any(name.startswith("model-0") for name, _ in hub.troubles.asked) and job.poll() is None:
                time.sleep(0.02)
            time.sleep(0.5)
            job.send_signal(signal.SIGTERM)
            _, log = job.communicate(timeout=15)
        finally:
            job.kill()
    assert job.returncode == 3, log
    assert "error: stopped by SIGTERM; running the same command again resumes" in log
    status = json.loads((tmp_path / "run" / "download" / "status.json").read_text())
    assert status["state"] == "stopped"
    hub.troubles.clear()
    hub.troubles.asked.clear()
    assert run(hub, command).returncode == 0
    assert any(at > 0 for _, at in hub.troubles.asked), "it went on in the middle of a file"


@pytest.mark.parametrize("scheme", ["modelscope", "hf"])
def test_a_connection_that_says_nothing_more_is_given_up_and_taken_up_again(
    scheme: str, open_hub: OpenHub, tmp_path: Path
) -> None:
    hub = open_hub(Repo("LLM-Research/tiny", FILES))
    shard = "model-00001-of-00002.safetensors"
    hub.troubles.add(Trouble("cdn", shard, stall_after=100_000))
    # The clients' own settings: 60 s and 10 s otherwise.
    patience = {"MODELSCOPE_DOWNLOAD_TIMEOUT": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "1"}
    done = run(hub, words(tmp_path, f"{scheme}://LLM-Research/tiny"), **patience)
    assert done.returncode == 0, done.stderr
    assert [at for name, at in hub.troubles.asked if name == shard] == [0, 100_000]
