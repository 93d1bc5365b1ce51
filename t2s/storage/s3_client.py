"""The requests of an S3 store: clients by process, and what is waited for and how long.

Endpoint, region, credentials and CA file come from boto3's own variables and from nowhere else.
"""

from __future__ import annotations

import functools
import logging
import os
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Literal

import boto3.session
import botocore.session
from botocore.config import Config
from botocore.exceptions import ConnectionError as NoConnection
from botocore.exceptions import (
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)
from botocore.loaders import Loader, create_loader
from botocore.parsers import ResponseParserError

from t2s.errors import StorageError
from t2s.storage.patience import Patience
from t2s.storage.s3_answers import forbid_overwrite, is_oss, parsed_answer

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

logger = logging.getLogger(__name__)

CreateWay = Literal["If-None-Match", "x-oss-forbid-overwrite"]

# A body that broke off after its headers: outside of what botocore would send again.
BROKEN_BODY = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
_LOG_EVERY_S = 5.0


class S3Clients:
    """boto3 clients for one store, each request of which is tried again while the server is away or not well.

    Args:
        uri: Of the store, for messages.
    """

    def __init__(self, uri: str) -> None:
        self.endpoint = "the endpoint"
        self._uri = uri
        self._logged_at, self._is_waiting = 0.0, False
        # By process: a forked child must share neither connections nor a lock that another thread held at the fork.
        self._locks: dict[int, threading.Lock] = {}
        self._clients: dict[tuple[int, float, CreateWay | None], S3Client] = {}

    def get(self, budget_s: float, way: CreateWay | None = None) -> S3Client:
        """This process's client for requests that may take `budget_s`; with the OSS way all its puts create."""
        name = (os.getpid(), budget_s, way if way == "x-oss-forbid-overwrite" else None)
        with self._locks.setdefault(os.getpid(), threading.Lock()):
            client = self._clients.get(name)
            if client is None:
                client = self._clients[name] = self._new(budget_s)
                if name[2]:
                    client.meta.events.register("before-call.s3.PutObject", forbid_overwrite)
        return client

    def _new(self, budget_s: float) -> S3Client:
        session = botocore.session.get_session()  # boto3's default one is not made for threads
        session.register_component("data_loader", _loader())
        own = boto3.session.Session(botocore_session=session)
        config = Config(
            # boto3's own checksums break OSS over HTTPS, where it sends them in aws-chunked bodies.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"mode": "standard", "total_max_attempts": 1},  # ours is `_again`
            connect_timeout=min(10.0, budget_s),
            read_timeout=min(60.0, budget_s),
            max_pool_connections=32,
            tcp_keepalive=True,
        )
        try:
            client = own.client("s3", config=config)
            if is_oss(client.meta.endpoint_url):
                client = own.client("s3", config=config.merge(Config(s3={"addressing_style": "virtual"})))
        except ValueError as error:
            raise StorageError(
                f"{self._uri}: wanted an endpoint such as http://10.0.0.7:8333, found: {error}; "
                "look at AWS_ENDPOINT_URL"
            ) from error
        self.endpoint = client.meta.endpoint_url

        def again(**facts: Any) -> float | None:
            return self._again(budget_s, facts["response"], facts["caught_exception"], facts["request_dict"])

        client.meta.events.register("needs-retry.s3", again)  # type: ignore[arg-type] # the stubs forget the answer
        return client

    def _again(self, budget_s: float, reply: Any, caught: Exception | None, request: dict[str, Any]) -> float | None:
        """Decide after each single request: seconds to wait before it is sent again, or None (botocore's event)."""
        patience = request["context"].setdefault("t2s_patience", Patience(budget_s))
        if caught is not None:
            return self.pause(patience, reason(caught)) if is_transient(caught) else None
        answer = parsed_answer(reply[1])
        if answer.may_pass:
            return self.pause(patience, f"it answers {answer.status} {answer.code}".rstrip())
        if patience.waited_s > 0 and self._is_waiting:
            self._is_waiting = False  # one line for a server that comes back, however many requests waited for it
            logger.info("%s: %s answers again after %.1f s", self._uri, self.endpoint, patience.waited_s)
        return None

    def pause(self, patience: Patience, why: str) -> float | None:
        """Seconds to wait before the next try, or None; says now and then that, and for what, is waited."""
        pause = patience.next_pause()
        if pause is not None and time.monotonic() - self._logged_at > _LOG_EVERY_S:
            self._logged_at, self._is_waiting = time.monotonic(), True
            logger.warning(
                "%s: waiting for %s (%s), giving up in %.0f s", self._uri, self.endpoint, why, patience.left_s
            )
        return pause


@functools.cache
def _loader() -> Loader:
    """What S3 is, as botocore's files have it: reading them is 53 of a client's 64 ms, and each store has a client."""
    return create_loader()


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, SSLError):  # a wrong certificate stays wrong; a connection cut during the handshake does not
        return isinstance(_root(error), ssl.SSLEOFError | ConnectionError | TimeoutError)
    return isinstance(error, (HTTPClientError, NoConnection, ResponseParserError, *BROKEN_BODY))


def reason(error: BaseException) -> str:
    """The system's own text: botocore's repeat the whole URL."""
    root = _root(error)
    return str(root) or type(root).__name__


def _root(error: BaseException) -> BaseException:
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error
