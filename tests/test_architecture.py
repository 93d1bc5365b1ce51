"""The rules of tests/architecture.py hold here and find what breaks them; imports are light and do nothing.

What needs a running interpreter starts a fresh one.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.architecture import (
    MAX_JOB_LINES,
    MAX_LINES,
    errors_swallowed,
    files_too_long_or_without_a_subject,
    heavy_imports_outside_their_owners,
    imports_of_jobs,
    imports_that_point_outwards,
    mocks,
    prints_of_the_library,
    reads_of_the_environment,
    sources,
    words_not_ours,
)

ROOT = Path(__file__).resolve().parents[1]
HEAVY_MODULES = ("t2s.training", "t2s.cluster", "t2s.storage.s3")
HEAVY_PACKAGES = ("torch", "vllm", "ray", "boto3", "llamafactory", "transformers")
MAX_IMPORT_S = 0.5

RULES: dict[Callable[[Path], list[str]], list[tuple[str, str]]] = {
    imports_that_point_outwards: [
        ("t2s/storage/local.py", "from t2s.predict import predict"),
        ("t2s/sql/sandbox.py", "def f():\n    from t2s import settings"),
        ("t2s/engine/scripted.py", "from ..sql import extract"),
        ("t2s/engine/vllm_engine.py", "from t2s.shard import Shard"),
        ("t2s/predict.py", "import t2s.cluster.shard_pool"),
        ("t2s/newcomer.py", ""),
    ],
    imports_of_jobs: [
        ("t2s/cli.py", "import jobs.predict"),
        ("tests/test_predict.py", "from jobs import predict"),
        ("t2s/job.py", "import importlib\nimportlib.import_module('jobs.predict')"),
    ],
    heavy_imports_outside_their_owners: [
        ("t2s/engine/scripted.py", "def f():\n    import torch"),
        ("t2s/prompt.py", "from vllm.inputs import TokensPrompt"),
        ("t2s/predict.py", "import ray.data"),
        ("t2s/storage/local.py", "from botocore.exceptions import ClientError"),
        ("t2s/cluster/train.py", "__import__('llamafactory')"),
        ("jobs/predict.py", "import ray"),
    ],
    files_too_long_or_without_a_subject: [
        ("t2s/prompt.py", "x = 1\n" * (MAX_LINES + 1)),
        ("jobs/predict.py", "x = 1\n" * (MAX_JOB_LINES + 1)),
        ("t2s/dataset/utils.py", ""),
        ("tests/helpers/rows.py", ""),
    ],
    reads_of_the_environment: [
        ("t2s/storage/s3.py", "import os\nendpoint = os.environ['AWS_ENDPOINT_URL']"),
        ("t2s/predict.py", "from os import getenv"),
        ("jobs/predict.py", "import os\nos.putenv('A', 'b')"),
    ],
    prints_of_the_library: [("t2s/predict.py", "print('done')")],
    errors_swallowed: [
        ("t2s/predict.py", "try:\n    f()\nexcept Exception:\n    pass"),
        ("t2s/predict.py", "try:\n    f()\nexcept:\n    log()"),
        ("t2s/predict.py", "try:\n    f()\nexcept (OSError, BaseException) as error:\n    log(error)"),
        ("scripts/make_sample.py", "with contextlib.suppress(Exception):\n    f()"),
    ],
    mocks: [
        ("tests/test_predict.py", "from unittest.mock import patch"),
        ("tests/test_predict.py", "from unittest import mock"),
        ("tests/test_predict.py", "def test_it(monkeypatch):\n    monkeypatch.setattr('t2s.predict.x', 1)"),
    ],
    words_not_ours: [
        ("t2s/predict.py", "def read_conversations(path): ..."),
        ("t2s/predict.py", "class DialogueReader: ..."),
        ("t2s/predict.py", "def f(utterance): ..."),
        ("t2s/predict.py", "self.num_chunks = 3"),
        ("t2s/predict.py", "database_id = 'x'"),
        ("t2s/predict.py", "accuracy = 0.5"),
        ("t2s/experiment.py", ""),
    ],
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_repository_keeps_the_rule(rule: Callable[[Path], list[str]]) -> None:
    assert len(sources(ROOT, "t2s")) > 20, "the search finds the library"
    assert rule(ROOT) == []


@pytest.mark.parametrize(
    ("rule", "path", "code"), [pytest.param(r, p, c, id=f"{r.__name__}-{p}") for r, cs in RULES.items() for p, c in cs]
)
def test_the_rule_finds_what_breaks_it(rule: Callable[[Path], list[str]], path: str, code: str, tmp_path: Path) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(code, encoding="utf-8")
    assert [finding.split(":")[0] for finding in rule(tmp_path)] == [path]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("t2s/evaluate.py", "from t2s.metrics import execution_accuracy\nexecution_accuracy = 0.5"),
        ("t2s/engine/vllm_engine.py", "import torch\nimport vllm\nfrom t2s.errors import EngineDead"),
        ("t2s/cluster/shard_pool.py", "import ray\nfrom t2s.settings import PredictSettings"),
        ("t2s/storage/s3.py", "import boto3\nsession = boto3.Session()"),
        ("t2s/predict.py", "try:\n    f()\nexcept BaseException:\n    close()\n    raise"),
    ],
)
def test_what_is_allowed_is_not_found(path: str, code: str, tmp_path: Path) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(code, encoding="utf-8")
    assert [finding for rule in RULES for finding in rule(tmp_path)] == []


# Imports modules one after the other and prints, for each that did more than define things, what it did.
WATCHED_IMPORT = """
import importlib, json, logging, os, sys, threading
packages, modules, did, now = json.loads(sys.argv[1]), json.loads(sys.argv[2]), {}, ""
ACTS = ("socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.fork", "os.putenv", "os.mkdir")
def watch(event, arguments):
    if event in ACTS or event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        did.setdefault(now, []).append(f"{event} {arguments[:1]}")
sys.addaudithook(watch)
for now in modules:
    before = set(sys.modules)
    importlib.import_module(now)
    heavy = [package for package in packages if package in sys.modules and package not in before]
    if heavy: did.setdefault(now, []).append(f"imports {heavy}")
    if logging.root.handlers: did.setdefault(now, []).append("sets up logging"); logging.root.handlers.clear()
    if threading.active_count() > 1: did.setdefault(now, []).append("starts a thread")
print(json.dumps(did))
"""


def what_imports_do(modules: list[str], folder: Path) -> dict[str, list[str]]:
    words = [sys.executable, "-B", "-c", WATCHED_IMPORT, json.dumps(HEAVY_PACKAGES), json.dumps(modules)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    did: dict[str, list[str]] = json.loads(done.stdout)
    return did


def test_importing_the_light_modules_loads_no_heavy_package_and_does_nothing() -> None:
    names = [
        source.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for source in sources(ROOT, "t2s")
    ]
    light = [n for n in names if not n.startswith(HEAVY_MODULES) and not fnmatch(n, "t2s.engine.*_engine")]
    assert len(light) > 20, "the search finds the library"
    assert what_imports_do(light, ROOT) == {}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import boto3", "imports ['boto3']"),
        ("import logging; logging.basicConfig()", "sets up logging"),
        ("import os; os.environ['A'] = 'b'", "os.putenv"),
        ("open('made', 'w').close()", "open"),
        ("import socket; socket.socket().bind(('127.0.0.1', 0))", "socket.bind"),
        ("import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()", "starts a thread"),
    ],
)
def test_an_import_that_does_something_is_found(code: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "snippet.py").write_text(code, encoding="utf-8")
    assert any(line.startswith(found) for line in what_imports_do(["snippet"], tmp_path)["snippet"])


def cpu_seconds(code: str) -> float:
    """Processor time of a fresh interpreter, the median of five: other load on the machine does not count."""
    times = []
    for _ in range(6):  # the first one may have to compile
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        times.append(usage.ru_utime + usage.ru_stime)
    return statistics.median(times[1:])


@pytest.mark.parametrize("module", ["t2s", "t2s.cli"])
def test_importing_takes_less_than_half_a_second(module: str) -> None:
    taken = cpu_seconds(f"import {module}") - cpu_seconds("pass")
    assert taken < MAX_IMPORT_S, f"import {module} takes {taken:.2f} s"
