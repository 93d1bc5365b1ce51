"""LLaMA Board as a user meets it in Chromium, without a network: our settings are there, it trains, predict takes it.

Needs Debian's chromium (`apt-get install chromium fonts-noto-cjk`) and `.venvs/train`; skipped where either is not.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml

from tests.cluster.ray_cluster import command_of, parent_of, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
TRAIN_PYTHON = ROOT / ".venvs" / "train" / "bin" / "python"
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium fonts-noto-cjk"),
    pytest.mark.skipif(not TRAIN_PYTHON.exists(), reason="needs .venvs/train: make setup-train"),
]
# On two quiet cores: 15 s until the page is up, 40 s for the training; another job may have both cores.
LONG_MS = 600_000

MAKE_INPUT = """
import sys; from pathlib import Path; from tests.training.tiny import write_model, write_prepared
write_model(Path(sys.argv[1], "model")); write_prepared(Path(sys.argv[1], "prepared"))
"""
CHECK = """
import sys; from t2s.engine import EngineConfig; from t2s.model_folder import resolve_model
from t2s.training.trained import check_trained; from tests.training.tiny import PROMPT_DIGEST
model, adapter, cache = sys.argv[1:]
check_trained(
    EngineConfig(kind="transformers", model_uri=model, adapter_uri=adapter),
    resolve_model(model, "models", cache), resolve_model(adapter, "models", cache), PROMPT_DIGEST,
)
"""


class Board(NamedTuple):
    """A page that is up: where it is, the folder of its input and its run, and its process."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes]


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("T2S_")}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def ran(*words: str, python: Path = TRAIN_PYTHON, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [str(python), *words], cwd=cwd, env=environment(), capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    """`t2s board` with a tiny model and six steps; it ends with the test."""
    ran("-c", MAKE_INPUT, str(tmp_path))
    config = {
        "dataset_uri": "prepared",
        "model_uri": "model",
        "run_uri": "run",
        "cache_dir": "cache",
        "llamafactory": {"template": "chatml", "max_steps": 6, "save_steps": 25, "learning_rate": 1e-2},
    }
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (tmp_path / "board.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "t2s.cli", "board", "train.yaml", "--port", str(port)],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    try:
        first = process.stdout.readline().decode()
        assert first.startswith("LLaMA Board: "), (tmp_path / "board.log").read_text(encoding="utf-8")
        yield Board(f"http://127.0.0.1:{port}", tmp_path, process)
    finally:
        process.terminate()
        try:
            process.wait(40)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture
def page(board: Board) -> Iterator[Page]:
    """The page, opened."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            opened = chromium.new_page(viewport={"width": 1400, "height": 1500})
            opened.set_default_timeout(LONG_MS)
            loaded: list[str] = []
            # Other hosts would answer: what the page asks of them in spite of its policy is seen.
            opened.route(lambda url: not url.startswith(board.url), lambda route: route.fulfill(body=""))
            opened.on("requestfinished", lambda request: loaded.append(request.url))
            opened.goto(board.url)
            opened.get_by_text("准备就绪").first.wait_for()
            path = opened.get_by_label("模型路径").element_handle()
            opened.wait_for_function("element => element.value.endsWith('/model')", arg=path)  # the last to be filled
            yield opened
            assert [url for url in loaded if not url.startswith((board.url, "data:", "blob:"))] == []
        finally:
            chromium.close()


def test_what_is_trained_on_the_page_is_published_and_taken_by_predict(page: Page, board: Board) -> None:
    assert page.get_by_label("对话模板").input_value() == "chatml"
    assert page.get_by_label("学习率", exact=False).first.input_value() == "0.01"
    page.get_by_label("数据集", exact=False).first.click()
    page.get_by_role("option", name="t2s_test").wait_for()
    page.keyboard.press("Escape")

    page.get_by_role("button", name="预览命令").click()
    page.get_by_text("llamafactory-cli train").first.wait_for()
    command = page.locator("code").first.inner_text()
    for words in ("--template chatml", "--dataset t2s_train", "--max_steps 6", "--save_steps 25", "--lora_alpha 32"):
        assert words in command
    assert "trust_remote_code" not in command

    page.get_by_role("button", name="开始").click()
    page.get_by_text(re.compile("训练完毕|训练出错")).first.wait_for()
    (trained,) = (board.folder / "run" / "board" / "saves" / "Custom" / "lora").iterdir()
    assert json.loads((trained / "all_results.json").read_bytes())["train_loss"] > 0

    settings = [str(trained), "adapter", "model_uri=model", "dataset_uri=prepared", "cache_dir=cache"]
    said = [
        ran("-m", "t2s.cli", "adapter", "publish", *settings, python=Path(sys.executable), cwd=board.folder)
        for _ in range(2)
    ]
    assert said[0].startswith("published: adapter, digest ")
    assert said[1].startswith("was there already, nothing was written: adapter, digest ")
    manifest = json.loads((board.folder / "adapter" / "manifest.json").read_bytes())
    assert manifest["template"] == "chatml" and manifest["metrics"]["train_loss"] > 0
    ran("-c", CHECK, *(str(board.folder / name) for name in ("model", "adapter", "cache")))


def test_a_training_ends_with_the_page(page: Page, board: Board) -> None:
    page.get_by_role("button", name="开始").click()

    def trainers() -> list[int]:
        pids = map(int, filter(str.isdecimal, os.listdir("/proc")))
        return [pid for pid in pids if "llamafactory-cli" in command_of(pid) and parent_of(pid) == board.process.pid]

    wait_for(lambda: bool(trainers()), 120, "the training")
    (trainer,) = trainers()
    board.process.terminate()
    assert board.process.wait(60) == 0
    assert "llamafactory-cli" not in command_of(trainer)
