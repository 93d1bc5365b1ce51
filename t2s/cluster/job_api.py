"""Ray's job API over HTTP, by Ray's own client, with its failures as `ClusterError` of one line."""

from __future__ import annotations

import logging
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from t2s import process_env
from t2s.errors import ClusterError, SettingsError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

CONNECT_TIMEOUT_S = 10.0
DEFAULT_ADDRESS = "http://127.0.0.1:8265"


def resolve_address(address: str | None) -> str:
    """The URL of the head's dashboard: as given, from the environment, or this machine's.

    Raises:
        SettingsError: It is no http URL, or the environment names another, which Ray's client would take instead.
    """
    from_environment = next(iter(process_env.ray_addresses().items()), None)
    if address is None and from_environment is not None:
        address = from_environment[1]
    address = (address or DEFAULT_ADDRESS).rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise SettingsError(f"--address: wanted the URL of the head's dashboard, http://HOST:8265, found {address!r}")
    if from_environment is not None and from_environment[1].rstrip("/") != address:
        raise SettingsError(
            f"--address is {address}, but {from_environment[0]}={from_environment[1]} is set, which Ray's client "
            f"prefers: unset {from_environment[0]}"
        )
    return address


def connect(address: str | None, token: str | None) -> JobSubmissionClient:
    """A client for the cluster at `address`; looks first whether it answers, for 10 s, and takes the token.

    Raises:
        ClusterError: It does not answer, or refuses the token.
    """
    url = resolve_address(address)
    probe(url, headers(token))
    from ray.job_submission import JobSubmissionClient

    for name in ("ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they tell of uploads and closed sockets
    with as_cluster_errors(url):
        return JobSubmissionClient(url, headers=headers(token))


def headers(token: str | None) -> dict[str, str]:
    """What makes a request one of ours."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def probe(url: str, with_headers: Mapping[str, str], timeout_s: float = CONNECT_TIMEOUT_S) -> None:
    """Ask for Ray's version: the one question with a time limit, since Ray's client has none."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"{url}/api/version", headers=dict(with_headers)), timeout=timeout_s
        ):
            return
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise ClusterError(_refused(url, error.code)) from error
        raise ClusterError(f"{url}: wanted a Ray dashboard, found HTTP status {error.code}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ClusterError(
            f"{url}: wanted a Ray dashboard, found no answer ({reason}): is the cluster up, and its port 8265 "
            "reachable from here (kubectl port-forward, ssh -L)?"
        ) from error


@contextmanager
def as_cluster_errors(url: str) -> Iterator[None]:
    """Translate what Ray's client raises."""
    import requests
    from ray.exceptions import AuthenticationError

    try:
        yield
    except AuthenticationError as error:
        raise ClusterError(_refused(url, 403)) from error
    except requests.RequestException as error:
        raise ClusterError(f"{url}: the cluster does not answer any more: {type(error).__name__}") from error
    except RuntimeError as error:  # the client's word for every status that is not 200
        text = " ".join(str(error).split())
        raise ClusterError(f"{url}: {text[:500]}") from error


def _refused(url: str, status: int) -> str:
    found = "none" if status == 401 else "one that it does not know"
    return f"{url}: the cluster wants its token, found {found}: set RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH)"
