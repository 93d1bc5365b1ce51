"""The Dockerfiles, read and linted; nothing is built here."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.containers.podman import program

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = sorted((ROOT / "docker").rglob("*Dockerfile"))
FILES = pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
LISTS = ("core", "train", "predict", "predict-cpu")
SCRIPTS = [
    path
    for folder in ("docker", "docker/build", "docker/bin")
    for path in sorted((ROOT / folder).iterdir())
    if path.is_file()
    and path.read_text(encoding="utf-8").startswith(("#!/bin/bash", "#!/usr/bin/env bash", "#!/bin/sh"))
]


def instructions(file: Path) -> list[tuple[str, str]]:
    """Instruction and rest of each line that is one, continuation lines joined."""
    text = re.sub(r"\\\n", " ", file.read_text(encoding="utf-8"))
    return re.findall(r"^([A-Z]+) +(.+)$", text, re.MULTILINE)


def test_there_are_dockerfiles() -> None:
    assert [file.name for file in DOCKERFILES] == ["Dockerfile", "s3.Dockerfile"]
    assert len(SCRIPTS) > 8


@FILES
def test_hadolint_has_nothing_to_say(file: Path) -> None:
    done = subprocess.run([program("hadolint"), "--no-color", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_finds_a_root_user(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian:latest\nRUN cd /tmp && apt-get install curl\nUSER root\n", encoding="utf-8")
    done = subprocess.run([program("hadolint"), "--no-color", str(bad)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert {"DL3007", "DL3002"} <= set(re.findall(r"DL\d+", done.stdout))


@FILES
def test_every_stage_begins_with_the_base_image_or_another_stage(file: Path) -> None:
    found = instructions(file)
    stages = [re.fullmatch(r"(\S+) AS (\S+)", rest) for name, rest in found if name == "FROM"]
    names = {stage[2] for stage in stages if stage}
    assert stages and all(stages)
    assert {stage[1] for stage in stages if stage} <= {"${BASE_IMAGE}"} | names
    base = next(rest for name, rest in found if name == "ARG" and rest.startswith("BASE_IMAGE="))
    assert re.fullmatch(r"BASE_IMAGE=python:3\.11\.\d+-slim-bookworm", base), "a whole version, no moving tag"


@FILES
def test_the_image_runs_under_an_init_as_a_numbered_user(file: Path) -> None:
    found = instructions(file)
    assert [rest for name, rest in found if name == "USER"] == ["10001:10001"]
    entrypoint = next(rest for name, rest in found if name == "ENTRYPOINT")
    assert entrypoint.startswith('["tini", "--"')


@FILES
def test_only_what_an_image_is_made_of_is_sent_to_the_builder(file: Path) -> None:
    lines = Path(f"{file}.dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*", "everything is left out but what is named"
    allowed = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    assert allowed and all((ROOT / path).exists() for path in allowed)
    copied = [path for name, rest in instructions(file) if name == "COPY" and "--from" not in rest
              for path in rest.split()[:-1]]  # fmt: skip
    left_out = [path for path in copied if path != "." and not any(path.startswith(one) for one in allowed)]
    assert left_out == []


@FILES
def test_no_frontend_is_fetched_and_no_secret_becomes_an_argument(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not text.startswith("# syntax")
    arguments = [rest for name, rest in instructions(file) if name in ("ARG", "ENV")]
    assert [one for one in arguments if re.search("TOKEN|PASSWORD|SECRET|INDEX", one)] == []


def test_every_environment_pins_the_same_ray() -> None:
    pinned = {}
    for name in LISTS:
        text = (ROOT / "locks" / f"{name}.txt").read_text(encoding="utf-8")
        pinned[name] = re.findall(r"^ray==(\S+)", text, re.MULTILINE)
    assert len({tuple(versions) for versions in pinned.values()}) == 1 and all(map(len, pinned.values())), pinned


def test_no_image_gets_the_other_packages_of_a_list(tmp_path: Path) -> None:
    listed = "torch==2.13.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    listed += "torchvision==0.28.0 \\\n    --hash=sha256:cc\nvllm==1 --hash=sha256:ee\n"
    listed += "nvidia-cublas==13.1 ; python_full_version < '3.12' \\\n    --hash=sha256:dd\n"
    path = tmp_path / "list.txt"
    path.write_text(listed, encoding="utf-8")
    script = str(ROOT / "docker" / "build" / "only.awk")

    def only(name: str) -> str:
        words = ["awk", "-v", f"name={name}", "-f", script, str(path)]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    assert only("torchvision") == "torchvision==0.28.0 \\\n    --hash=sha256:cc\n"
    assert only("vllm") == "vllm==1 --hash=sha256:ee\n"
    assert only("(torch|triton|nvidia-[a-z0-9-]+)").count("--hash") == 3
    assert only("vis") == ""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_shell_reads_the_script(script: Path) -> None:
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
