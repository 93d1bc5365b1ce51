"""LLaMA Board with our settings in its fields: what it would train with is what train would."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from t2s.errors import MissingExtra, SettingsError
from t2s.settings import BoardSettings
from t2s.training.board import Page, serve
from t2s.training.board_config import BoardConfig
from t2s.training.sft_folder import SftFolder, open_sft_folder

ROOT = Path(__file__).resolve().parents[2]
TRAIN = (
    pytest.mark.train,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
)
OF_THE_PAGE = {"ddp_timeout": 180000000, "plot_loss": True, "flash_attn": "auto", "max_samples": 100000}
"""What the page adds, and upstream's default is, or does not change what is trained."""


def train_only(test: Any) -> Any:
    for mark in TRAIN:
        test = mark(test)
    return test


def config_of(folder: Path, **changes: Any) -> BoardConfig:
    values = {"dataset_uri": str(folder / "prepared"), "model_uri": str(folder / "m"), "run_uri": str(folder / "run")}
    return BoardConfig.model_validate({**values, **changes})


def never(line: str) -> None:
    raise AssertionError(f"nothing was to be served: {line}")


def test_a_train_config_is_taken_without_what_concerns_its_workers() -> None:
    settings = BoardSettings.load(["configs/train_cluster.yaml", "run_uri=runs/mine", "port=7999"])
    assert (settings.run_uri, settings.port, settings.host) == ("runs/mine", 7999, "127.0.0.1")
    assert settings.llamafactory["template"] == "llama3"
    with pytest.raises(SettingsError, match="prot: wanted a known key"):
        BoardSettings.load(["configs/train_cluster.yaml", "prot=7999"])


def test_a_run_in_object_storage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"wanted a local folder.*found s3://b/run; .*t2s adapter publish"):
        serve(config_of(tmp_path, run_uri="s3://b/run"), lambda timeout_s: True, never)


def test_an_environment_without_the_page_is_one_line_that_says_how_to_make_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['gradio'] = None\n"
        "from t2s.job import run_job\nfrom t2s.settings import BoardSettings\nfrom t2s.training.board import serve\n"
        "run_job(BoardSettings, lambda settings, stop: serve(settings, stop.wait, print))"
    )
    words = [
        f"{key}={value}" for key, value in config_of(tmp_path).model_dump(include={"dataset_uri", "model_uri"}).items()
    ]
    found = subprocess.run(
        [sys.executable, "-c", code, *words, f"run_uri={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert found.returncode == MissingExtra.exit_code
    assert (
        found.stderr
        == "error: LLaMA Board needs the package gradio in the environment of train, found none: make setup-train\n"
    )


@train_only
def test_a_port_that_is_taken_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"wanted a free port of 127.0.0.1, found {port}: .*--port"):
            serve(config_of(tmp_path, port=port), lambda timeout_s: True, never)


@pytest.fixture
def sft(prepared: Path, tmp_path: Path) -> SftFolder:
    return open_sft_folder(str(prepared), str(tmp_path / "cache"))


def page_arguments(page: Page) -> dict[str, Any]:
    """What the page's own button would start with; nothing for what is off."""
    save = next(one for one in page._blocks.fns.values() if one.fn == page._engine.runner.save_args)
    as_it_opens = {"top.model_name": "Custom", "top.model_path": "m", "train.output_dir": "train_1"}
    manager = page._engine.manager
    values = {elem: as_it_opens.get(manager.get_id_by_elem(elem), elem.value) for elem in save.inputs}
    args = page._engine.runner._parse_train_args(values)
    return {key: value for key, value in args.items() if value not in (None, False, "")}


@train_only
@pytest.mark.parametrize(
    "block",
    [
        {},
        {
            "max_steps": 6,
            "save_steps": 5,
            "logging_steps": 2000,
            "warmup_steps": 10,
            "report_to": ["tensorboard", "none"],
        },
        {"lora_rank": 32, "lora_alpha": 8, "lora_target": "q_proj,v_proj", "use_dora": True, "neftune_noise_alpha": 5},
        {"finetuning_type": "full", "pure_bf16": True, "enable_liger_kernel": True, "num_train_epochs": 1.5},
        {"packing": True, "seed": 7, "weight_decay": 0.1, "flash_attn": "sdpa", "rope_scaling": "linear"},
        {"quantization_bit": 4, "bf16": True, "lr_scheduler_type": "linear", "learning_rate": 2e-4},
    ],
    ids=["defaults", "steps", "lora", "full", "other", "qlora"],
)
def test_what_the_page_trains_with_is_what_train_would(
    block: dict[str, Any], sft: SftFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from t2s.training import llamafactory_args

    monkeypatch.chdir(tmp_path)
    args = llamafactory_args.compose({"template": "chatml", **block}, sft.keys, use_gpu=False)
    page = Page(args["template"])
    form = page.fill(args, sft)
    assert form.unheld == []

    found = page_arguments(page)
    wanted = {key: value for key, value in args.items() if value not in (None, False)}
    if args["finetuning_type"] == "full":
        wanted = {key: value for key, value in wanted.items() if not key.startswith("lora_")}
    else:
        wanted.setdefault("lora_alpha", 2 * wanted["lora_rank"])
    if wanted.get("report_to") == ["tensorboard"]:
        wanted["report_to"] = "tensorboard"
    if "quantization_bit" in wanted:
        wanted |= {"quantization_method": "bnb", "double_quantization": True}
    places = ("stage", "do_train", "model_name_or_path", "dataset_dir", "output_dir")
    own = {"optim": "adamw_torch", "enable_thinking": True, "max_grad_norm": 1.0, **OF_THE_PAGE}
    assert {key: value for key, value in found.items() if key not in places} == {**own, **wanted}
    assert found["dataset_dir"] == str(sft.path)


@train_only
def test_what_the_page_has_no_field_for_is_named(
    sft: SftFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from t2s.training import llamafactory_args

    monkeypatch.chdir(tmp_path)
    block = {"lora_rank": 5000, "quantization_bit": 4, "double_quantization": False, "pissa_init": True}
    args = llamafactory_args.compose(block, sft.keys, use_gpu=False)
    page = Page(None)
    form = page.fill(args, sft)
    assert sorted(form.unheld) == ["double_quantization", "lora_alpha", "lora_rank", "pissa_init"]
    assert json.loads(form.values["train.extra_args"])["template"] is None, "the model's own, as train has it"


@pytest.fixture
def board(prepared: Path, tiny_model: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`jobs/board.py` on a free port; it ends with the test."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = {
        "dataset_uri": str(prepared),
        "model_uri": str(tiny_model),
        "run_uri": str(tmp_path / "run"),
        "cache_dir": str(tmp_path / "cache"),
        "llamafactory": {"template": "chatml", "lora_rank": 4},
        "executor": {"kind": "ray"},
    }
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "jobs" / "board.py"), "train.yaml", f"port={port}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, port
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@train_only
def test_the_page_comes_up_with_our_examples_and_settings_and_ends_with_ctrl_c(
    board: tuple[subprocess.Popen[str], int], prepared: Path, tiny_model: Path, tmp_path: Path
) -> None:
    process, port = board
    assert process.stdout is not None
    assert process.stdout.readline().startswith(f"LLaMA Board: http://127.0.0.1:{port} "), "it says where it is"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/config", timeout=60) as answer:
        config = json.loads(answer.read())
        assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert (config["analytics_enabled"], config["stylesheets"]) == (False, [])
    props = [component["props"] for component in config["components"]]
    (dataset,) = [one for one in props if one.get("value") == ["t2s_train"]]
    assert dataset["choices"] == [["t2s_train", "t2s_train"], ["t2s_test", "t2s_test"]]
    assert sum(one.get("value") == str(prepared / "sft") for one in props) == 2, "to train, and to evaluate"

    folder = tmp_path / "run" / "board"
    user = yaml.safe_load((folder / "llamaboard_cache" / "user_config.yaml").read_bytes())
    assert (user["lang"], user["last_model"], user["path_dict"]) == ("zh", "Custom", {"Custom": str(tiny_model)})
    saved = yaml.safe_load((folder / "llamaboard_config" / "t2s.yaml").read_bytes())
    assert (saved["top.template"], saved["train.lora_rank"], saved["train.dataset"]) == ("chatml", 4, ["t2s_train"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "run", "train.yaml"], "nothing beside the run"

    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert process.wait(60) == 0
    assert time.monotonic() - began < 45
