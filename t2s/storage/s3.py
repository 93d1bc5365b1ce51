"""S3 and what speaks like it (AWS, SeaweedFS and its kin, Alibaba OSS) as a store.

    S3Store("s3://bucket/runs/first").write("predictions/a.jsonl", b"…")    ->    bucket: runs/first/predictions/a.jsonl

Endpoint, region, credentials and CA file come from boto3's own variables (AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL,
AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_CA_BUNDLE, …) and from nowhere else. Transfers of files are
boto3's transfer manager. Ours are three things: what is waited for and how long (`_Watch`, for every single request,
parts of big files included), the create-only primitive and its proof (`create`, `probe`), and the errors (`_told`).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import boto3.session
from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError
from s3transfer.exceptions import RetriesExceededError

from t2s.errors import AccessRefused, ObjectMissing, SettingsError, StorageError
from t2s.storage import ObjectInfo
from t2s.storage.keys import check_key, check_prefix, is_own, own_name
from t2s.storage.os_errors import told
from t2s.storage.patience import Patience
from t2s.storage.s3_answers import Answer, Request, no_answer, no_credentials, refusal

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

logger = logging.getLogger(__name__)

CreateWay = Literal["If-None-Match", "x-oss-forbid-overwrite"]

_TRANSFER = TransferConfig(num_download_attempts=10, preferred_transfer_client="classic")
_OSS_DOMAIN = ".aliyuncs.com"

# A body that broke off after its headers: outside of what botocore would send again.
_BROKEN_BODY = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
_NOT_SUPPORTED = {400, 501}
_LOG_EVERY_S = 5.0


class S3Store:
    """The objects of a bucket below a prefix. May be sent to other processes, forked, and used by many threads at once.

    Args:
        uri: `s3://bucket` or `s3://bucket/prefix`.
        retry_budget_s: How long one request is tried again when the server cannot be reached or is not well.
        probe_budget_s: The same for `probe`, the first contact: a wrong endpoint is told soon.

    Raises:
        SettingsError: The URI names no bucket, or one that cannot be.
    """

    def __init__(self, uri: str, *, retry_budget_s: float = 120.0, probe_budget_s: float = 10.0) -> None:
        bucket, _, prefix = uri.removeprefix("s3://").rstrip("/").partition("/")
        if not bucket or not uri.startswith("s3://"):
            raise SettingsError(f"{uri}: wanted s3://bucket or s3://bucket/prefix, found no bucket; name one")
        if not re.fullmatch(r"[A-Za-z0-9._-]{3,63}", bucket):
            raise SettingsError(
                f"{uri}: wanted a bucket name of 3 to 63 letters, digits, '.' and '-', found {bucket!r}"
            )
        self._bucket = bucket
        self._prefix = f"{check_key(prefix, uri)}/" if prefix else ""
        self._retry_budget_s = retry_budget_s
        self._probe_budget_s = probe_budget_s
        self._create_way: CreateWay | None = None
        self._endpoint = "the endpoint"
        self._bucket_is_there = False
        self._logged_at, self._is_waiting = 0.0, False
        # By process: a forked child must share neither connections nor a lock that another thread held at the fork.
        self._locks: dict[int, threading.Lock] = {}
        self._clients: dict[tuple[int, float, CreateWay | None], S3Client] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.uri, self._retry_budget_s, self._probe_budget_s, self._create_way)

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def read(self, key: str) -> bytes:
        """Return the object's bytes; `ObjectMissing` if there is none."""
        self._full(key)
        return self._read(key, self._retry_budget_s)

    def write(self, key: str, data: bytes) -> None:
        """Create or replace an object; `data` is at most 5 GiB, S3's limit for one request."""
        with self._told("write", key):
            self._client().put_object(Bucket=self._bucket, Key=self._full(key), Body=data)

    def create(self, key: str, data: bytes) -> bool:
        """Create an object only if there is none; True when it then holds `data`.

        Finds out first, where `probe` was not called, how this server does it.
        """
        self._full(key)
        if self._create_way is None:
            self._create_way = self._find_create_way(self._retry_budget_s)
        with self._told("create", key):
            return self._put_new(self._create_way, key, data, self._retry_budget_s)

    def exists(self, key: str) -> bool:
        """Whether the object exists; a bucket that is not there is an error."""
        with self._told("look for", key):
            try:
                self._client().head_object(Bucket=self._bucket, Key=self._full(key))
            except ClientError as error:
                if _answer(error).status == 404 and (self._bucket_is_there or self._explained(error) is error):
                    return False
                raise
        return True

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects whose key begins with `prefix`, sorted by key."""
        found = []
        with self._told("list", check_prefix(prefix, self.uri)):
            pages = self._client().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                for item in page.get("Contents", []):
                    key = item["Key"].removeprefix(self._prefix)
                    if not key.endswith("/") and not is_own(key):  # "folders" that web consoles make
                        found.append(ObjectInfo(key, item["Size"], _version(item)))
        return iter(sorted(found))  # SeaweedFS puts a/b before a-b, AWS behind it

    def delete(self, key: str) -> None:
        """Delete an object; nothing happens if there is none."""
        with self._told("delete", key):
            self._client().delete_object(Bucket=self._bucket, Key=self._full(key))

    def upload(self, path: Path, key: str) -> str:
        """Store a local file, of any size; returns its sha256 (hex)."""
        full = self._full(key)
        # In this order: some of botocore's errors are OSErrors too, and must not pass for the local file's.
        with told("read", path), self._told("write", key):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            with create_transfer_manager(self._client(), _TRANSFER) as manager:
                manager.upload(str(path), self._bucket, full).result()
        return digest

    def download(self, key: str, path: Path) -> str:
        """Fetch an object into a local file, whole or not at all; returns its sha256 (hex)."""
        full = self._full(key)
        temporary = path.parent / own_name("tmp")
        with told("write", path), self._told("read", key):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with create_transfer_manager(self._client(), _TRANSFER) as manager:
                    manager.download(self._bucket, full, str(temporary)).result()
                with temporary.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                    os.fsync(file.fileno())
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        return digest

    def probe(self) -> None:
        """Find out that the bucket can be written and that `create` really has one winner; `StorageError` if not."""
        self._create_way = self._find_create_way(self._probe_budget_s)

    def _find_create_way(self, budget_s: float) -> CreateWay:
        with self._told("list", "", budget_s):
            self._client(budget_s).list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)
        ways: tuple[CreateWay, ...] = ("If-None-Match", "x-oss-forbid-overwrite")
        if _is_oss(self._endpoint):
            ways = ("x-oss-forbid-overwrite",)
        found = []
        for way in ways:
            key = own_name("probe")
            with self._told("create", key, budget_s):
                try:
                    self._put_new(way, key, b"first", budget_s)
                except ClientError as error:
                    if _answer(error).status not in _NOT_SUPPORTED:
                        raise
                    found.append(f"{way} is refused ({_answer(error).code})")
                    continue
                try:
                    if not self._put_new(way, key, b"second", budget_s):
                        return way
                finally:
                    self._client(budget_s).delete_object(Bucket=self._bucket, Key=self._prefix + key)
            found.append(f"{way} is ignored: two creations of one object both won")
        raise StorageError(
            f"{self.uri}: wanted a store where of two that create one object only one wins, found at {self._endpoint}: "
            f"{'; '.join(found)}. It cannot hold a run: use another store as run_uri (datasets and models may stay), "
            "or on OSS a bucket without versioning"
        )

    def _put_new(self, way: CreateWay, key: str, data: bytes, budget_s: float) -> bool:
        client, full = self._client(budget_s, way), self._prefix + key
        try:
            if way == "If-None-Match":
                client.put_object(Bucket=self._bucket, Key=full, Body=data, IfNoneMatch="*")
            else:
                client.put_object(Bucket=self._bucket, Key=full, Body=data)
        except ClientError as error:
            if not _answer(error).has_lost:
                raise
        else:
            return True
        # The answer to an earlier try may have been lost on its way: then what is there is ours, and we have won.
        try:
            return self._read(key, budget_s) == data
        except ObjectMissing:  # deleted since; it was there when we came
            return False

    def _read(self, key: str, budget_s: float) -> bytes:
        patience = Patience(budget_s)
        with self._told("read", key, budget_s):
            while True:
                body = self._client(budget_s).get_object(Bucket=self._bucket, Key=self._prefix + key)["Body"]
                try:
                    return body.read()
                except _BROKEN_BODY as error:
                    pause = self._pause(patience, str(error))
                    if pause is None:
                        raise
                    time.sleep(pause)

    def _full(self, key: str) -> str:
        return self._prefix + check_key(key, self.uri)

    def _client(self, budget_s: float | None = None, way: CreateWay | None = None) -> S3Client:
        """This process's client for requests that may take `budget_s`; with the OSS way all its puts create."""
        budget_s = self._retry_budget_s if budget_s is None else budget_s
        name = (os.getpid(), budget_s, way if way == "x-oss-forbid-overwrite" else None)
        with self._locks.setdefault(os.getpid(), threading.Lock()):
            client = self._clients.get(name)
            if client is None:
                client = self._clients[name] = self._new_client(budget_s)
                if name[2]:
                    client.meta.events.register("before-call.s3.PutObject", _forbid_overwrite)
        return client

    def _new_client(self, budget_s: float) -> S3Client:
        session = boto3.session.Session()  # the module's default one is not made for threads
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
            client = session.client("s3", config=config)
            if _is_oss(client.meta.endpoint_url):
                client = session.client("s3", config=config.merge(Config(s3={"addressing_style": "virtual"})))
        except ValueError as error:
            raise StorageError(
                f"{self.uri}: wanted an endpoint such as http://10.0.0.7:8333, found: {error}; look at AWS_ENDPOINT_URL"
            ) from error
        self._endpoint = client.meta.endpoint_url

        def again(**facts: Any) -> float | None:
            return self._again(budget_s, facts["response"], facts["caught_exception"], facts["request_dict"])

        client.meta.events.register("needs-retry.s3", again)  # type: ignore[arg-type] # the stubs forget the answer
        return client

    def _again(self, budget_s: float, response: Any, caught: Exception | None, request: dict[str, Any]) -> float | None:
        """Decide after each single request: seconds to wait before it is sent again, or None (botocore's event)."""
        patience = request["context"].setdefault("t2s_patience", Patience(budget_s))
        if caught is not None:
            return self._pause(patience, _reason(caught)) if _is_transient(caught) else None
        answer = _answer_of(response[1])
        if answer.may_pass:
            return self._pause(patience, f"it answers {answer.status} {answer.code}".rstrip())
        if patience.waited_s > 0 and self._is_waiting:
            self._is_waiting = False  # one line for a server that comes back, however many requests waited for it
            logger.info("%s: %s answers again after %.1f s", self.uri, self._endpoint, patience.waited_s)
        return None

    def _pause(self, patience: Patience, reason: str) -> float | None:
        pause = patience.next_pause()
        if pause is not None and time.monotonic() - self._logged_at > _LOG_EVERY_S:
            self._logged_at, self._is_waiting = time.monotonic(), True
            logger.warning(
                "%s: waiting for %s (%s), giving up in %.0f s", self.uri, self._endpoint, reason, patience.left_s
            )
        return pause

    @contextlib.contextmanager
    def _told(self, action: str, key: str, budget_s: float | None = None) -> Iterator[None]:
        """Translate everything that boto3 raises: the one place where that happens."""

        def request() -> Request:  # made late: the endpoint is known when there is a client
            tried_s = self._retry_budget_s if budget_s is None else budget_s
            return Request(action, self.uri, key, self._endpoint, tried_s)

        try:
            yield
        except ClientError as error:
            raise refusal(request(), _answer(self._explained(error))) from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise no_credentials(request()) from error
        except ProfileNotFound as error:
            raise AccessRefused(f"{self.uri}: {error}; look at AWS_PROFILE") from error
        except RetriesExceededError as error:
            raise no_answer(request(), _reason(error.last_exception)) from error
        except (BotoCoreError, ResponseParserError) as error:
            if _is_transient(error):
                raise no_answer(request(), _reason(error)) from error
            if isinstance(error, SSLError):
                what = f"no TLS with {self._endpoint} ({_reason(error)}); look at AWS_ENDPOINT_URL and AWS_CA_BUNDLE"
            else:
                what = f"cannot {action} {key or 'it'} at {self._endpoint}: {' '.join(str(error).split())}"
            raise StorageError(f"{self.uri}: {what}") from error

    def _explained(self, error: ClientError) -> ClientError:
        """The error itself, or a fuller one: the answer to HEAD has no body, so it never says what was wrong."""
        if _answer(error).is_bare:
            try:
                self._client().list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)
                self._bucket_is_there = True
            except ClientError as fuller:
                return fuller
            except BotoCoreError as silence:
                logger.info("%s: nothing more is known of the refusal: %s", self.uri, silence)
        return error


def _reopened(uri: str, retry_budget_s: float, probe_budget_s: float, create_way: CreateWay | None) -> S3Store:
    store = S3Store(uri, retry_budget_s=retry_budget_s, probe_budget_s=probe_budget_s)
    store._create_way = create_way
    return store


def _forbid_overwrite(params: dict[str, Any], **_: Any) -> None:
    params["headers"]["x-oss-forbid-overwrite"] = "true"


def _is_oss(endpoint: str) -> bool:
    return (urlsplit(endpoint).hostname or "").endswith(_OSS_DOMAIN)


def _version(item: ObjectTypeDef) -> str:
    # JuiceFS's gateway gives no ETag unless told to keep them.
    return item.get("ETag", "").strip('"') or item["LastModified"].isoformat()


def _answer(error: ClientError) -> Answer:
    return _answer_of(error.response)


def _answer_of(parsed: Any) -> Answer:
    error = parsed.get("Error", {})
    status = parsed.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return Answer(status, str(error.get("Code", "")), str(error.get("Message", "")))


def _is_transient(error: Exception) -> bool:
    if isinstance(error, SSLError):  # a wrong certificate stays wrong; a connection cut during the handshake does not
        return isinstance(_root(error), ssl.SSLEOFError | ConnectionError | TimeoutError)
    return isinstance(error, (HTTPClientError, NoConnection, ResponseParserError, *_BROKEN_BODY))


def _reason(error: BaseException) -> str:
    root = _root(error)
    return str(root) or type(root).__name__


def _root(error: BaseException) -> BaseException:
    """The error behind all others: botocore's own texts repeat the whole URL."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error
