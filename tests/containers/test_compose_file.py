"""compose.yaml, read: hardened, closed to the network, without a secret; each rule is shown to find what breaks it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))
EXAMPLE = (ROOT / "docker" / ".env.example").read_text(encoding="utf-8")

Services = dict[str, Any]


def not_hardened(services: Services) -> Iterator[str]:
    for name, service in services.items():
        if service.get("read_only") is not True:
            yield f"{name}: wants read_only"
        if service.get("cap_drop") != ["ALL"] or service.get("cap_add"):
            yield f"{name}: wants all capabilities dropped and none added"
        if service.get("security_opt") != ["no-new-privileges:true"]:
            yield f"{name}: wants no-new-privileges"
        for key in ("privileged", "user", "network_mode", "pid", "ipc", "devices"):
            if key in service:
                yield f"{name}: {key}"


def open_to_the_network(services: Services) -> Iterator[str]:
    for name, service in services.items():
        for port in service.get("ports", []):
            if not str(port).startswith("127.0.0.1:"):
                yield f"{name}: publishes {port} beyond the loopback"


def path_of_the_host(services: Services) -> Iterator[str]:
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source, separator, _ = str(volume).partition(":")
            if separator and not re.fullmatch(r"[a-z]+", source):
                yield f"{name}: mounts {source} of the host"


def holds_a_secret(services: Services) -> Iterator[str]:
    for name, service in services.items():
        for key, value in service.get("environment", {}).items():
            if re.search("KEY|TOKEN|SECRET|PASSWORD", key) and not re.fullmatch(
                rf"\$\{{{key}:[?-][^}}]*\}}", str(value)
            ):
                yield f"{name}: {key} is not taken from .env"


def image_without_a_tag(services: Services) -> Iterator[str]:
    for name, service in services.items():
        if not re.fullmatch(r"\$\{PREFIX:-\}t2s-[a-z0-9-]+:\$\{TAG:-\d+\.\d+\.\d+\}", str(service.get("image"))):
            yield f"{name}: {service.get('image')}"


def cluster_without_a_token(services: Services) -> Iterator[str]:
    for name, service in services.items():
        if "t2s-ray" in service.get("command", []) and service["environment"].get("RAY_AUTH_MODE") != "token":
            yield f"{name}: Ray listens without a token"


RULES: list[Callable[[Services], Iterator[str]]] = [
    not_hardened,
    open_to_the_network,
    path_of_the_host,
    holds_a_secret,
    image_without_a_tag,
    cluster_without_a_token,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_service_breaks_the_rule(rule: Callable[[Services], Iterator[str]]) -> None:
    assert len(COMPOSE["services"]) > 8
    assert list(rule(COMPOSE["services"])) == []


@pytest.mark.parametrize(
    ("rule", "service", "key", "value"),
    [
        (not_hardened, "predict", "read_only", False),
        (not_hardened, "ray-head", "cap_drop", []),
        (not_hardened, "train", "security_opt", []),
        (not_hardened, "evaluate", "privileged", True),
        (not_hardened, "evaluate", "user", "0"),
        (open_to_the_network, "ray-head", "ports", ["8265:8265"]),
        (open_to_the_network, "s3", "ports", ["0.0.0.0:8333:8333"]),
        (path_of_the_host, "predict", "volumes", ["/etc:/host"]),
        (path_of_the_host, "predict", "volumes", ["./models:/models"]),
        (holds_a_secret, "s3", "environment", {"AWS_SECRET_ACCESS_KEY": "abcdef"}),
        (holds_a_secret, "ray-head", "environment", {"RAY_AUTH_TOKEN": "${OTHER:-abc}"}),
        (image_without_a_tag, "s3", "image", "registry.example.com/seaweedfs:latest"),
        (image_without_a_tag, "s3", "image", "t2s-s3"),
        (cluster_without_a_token, "ray-base", "environment", {}),
    ],
)
def test_a_service_that_breaks_the_rule_is_found(
    rule: Callable[[Services], Iterator[str]], service: str, key: str, value: object
) -> None:
    services = copy.deepcopy(COMPOSE["services"])
    services[service][key] = value
    assert [problem for problem in rule(services) if problem.startswith(f"{service}:")]


def test_every_variable_of_the_file_is_explained_in_the_example() -> None:
    text = (ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8")
    used = set(re.findall(r"\$\{([A-Z0-9_]+)[:}]", text))
    assert len(used) > 5
    assert used == set(re.findall(r"^#? ?([A-Z0-9_]+)=", EXAMPLE, re.MULTILINE))


def test_the_example_holds_no_value_of_a_secret() -> None:
    given = re.findall(r"^#? ?([A-Z0-9_]*(?:KEY|TOKEN|SECRET)[A-Z0-9_]*)=(.*)$", EXAMPLE, re.MULTILINE)
    assert len(given) >= 3
    assert [name for name, value in given if value] == []


def test_every_image_has_a_service_and_a_way_to_be_built() -> None:
    script = (ROOT / "scripts" / "build_images.sh").read_text(encoding="utf-8")
    used = {re.sub(r"\$\{PREFIX:-\}(t2s-[a-z0-9-]+):.*", r"\1", s["image"]) for s in COMPOSE["services"].values()}
    assert used == {"t2s-base", "t2s-s3", "t2s-predict", "t2s-predict-cpu", "t2s-train"}
    assert all(f"{name.removeprefix('t2s-')})" in script or name in script or "t2s-$name" in script for name in used)


def test_tags_are_the_version_of_the_package() -> None:
    (version,) = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    for file in ("compose.yaml", ".env.example", "Dockerfile", "s3.Dockerfile"):
        text = (ROOT / "docker" / file).read_text(encoding="utf-8")
        assert set(re.findall(r"(?:TAG:-|TAG=|VERSION=)(\d+\.\d+\.\d+)", text)) == {version}, file
