from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from t2s import process_env

ROOT = Path(__file__).resolve().parents[1]


def environment_after(code: str, **variables: str) -> dict[str, str]:
    """The environment of a fresh process after `code`; nothing leaks into this one."""
    command = [
        sys.executable,
        "-c",
        f"import json, os\nfrom t2s import process_env\n{code}\nprint(json.dumps(dict(os.environ)))",
    ]
    environment = {"PATH": os.environ["PATH"], **variables}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_an_engine_asks_no_hub_reports_to_nobody_and_keeps_its_marker() -> None:
    found = environment_after("process_env.prepare_engine_libraries()")
    wanted = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "SPT_NOENV": "1"}
    wanted |= {"VLLM_WORKER_MULTIPROC_METHOD": "spawn", "GOMP_SPINCOUNT": "1000"}
    assert wanted.items() <= found.items()


def test_what_the_user_has_set_stays() -> None:
    theirs = {"VLLM_LOGGING_LEVEL": "DEBUG", "VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    found = environment_after("process_env.prepare_engine_libraries(); process_env.prepare_cpu_engine()", **theirs)
    assert theirs.items() <= found.items()


def test_the_board_reports_to_nobody_finds_its_program_and_asks_itself_without_a_proxy() -> None:
    code = "process_env.prepare_board('/venv/bin', '/run/gradio'); process_env.prepare_training_libraries()"
    found = environment_after(code, PATH="/usr/bin", NO_PROXY="intranet", HF_HUB_OFFLINE="0")
    wanted = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": "/run/gradio", "LLAMAFACTORY_VERBOSITY": "INFO"}
    wanted |= {"PATH": "/venv/bin:/usr/bin", "HF_HUB_OFFLINE": "0", "no_proxy": "intranet,localhost,127.0.0.1,0.0.0.0"}
    assert wanted.items() <= found.items()
    assert found["NO_PROXY"] == found["no_proxy"]


def test_the_cpu_build_alone_is_told_to_run_as_one_process() -> None:
    assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in environment_after("process_env.prepare_engine_libraries()")
    assert environment_after("process_env.prepare_cpu_engine()")["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"


def test_marking_gives_children_the_marker_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv(process_env.LIFELINE_VARIABLE, "of a driver that has an engine itself")
    before = dict(os.environ)
    with process_env.marking_children("mine"):
        child = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout.splitlines()
        os.environ["LD_PRELOAD"] = "/written/by/vllm.so"
    assert f"{process_env.LIFELINE_VARIABLE}=mine" in child
    assert dict(os.environ) == before
