"""A machine without any login, and hubs that are only here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from t2s.download import Access, DownloadConfig, HubAccess
from tests.hub_server import HubServer
from tests.hub_server_repos import Repo

OpenHub = Callable[..., HubServer]


@pytest.fixture(autouse=True)
def _nobody_is_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("MODELSCOPE_", "HF_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def open_hub() -> Iterator[OpenHub]:
    """Starts hubs with the given repositories; they end with the test."""
    with ExitStack() as hubs:

        def start(*repos: Repo, **options: Any) -> HubServer:
            return hubs.enter_context(HubServer(*repos, **options))

        yield start


def access_to(hub: HubServer, token: str | None = None) -> Access:
    return Access(HubAccess(hub.endpoint, token), HubAccess(hub.endpoint, token))


def settings(tmp_path: Path, source: str | None = None, **values: Any) -> DownloadConfig:
    defaults: dict[str, Any] = {
        "source": source,
        "models_uri": str(tmp_path / "models"),
        "cache_dir": str(tmp_path / "cache"),
        "retry_budget_s": 20.0,
    }
    return DownloadConfig(**{**defaults, **values})
