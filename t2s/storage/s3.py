"""S3 and what speaks like it (AWS, SeaweedFS and its kin, Alibaba OSS) as a store.

    S3Store("s3://bucket/runs/first").write("predictions/a.jsonl", b"…")    ->    bucket: runs/first/predictions/a.jsonl

Endpoint, region, credentials and CA file come from boto3's own variables (AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL,
AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_CA_BUNDLE, …) and from nowhere else. Files go up by boto3's
transfer manager and come down by ranged reads of our own, hashed on the way (`ranges`). Ours are besides: what is
waited for and how long (`s3_client`, for every single request, parts of big files included), the create-only primitive
and its proof (`create`, `probe`), and the errors (`_told`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
)
from botocore.parsers import ResponseParserError
from s3transfer.exceptions import RetriesExceededError
from s3transfer.futures import TransferFuture
from s3transfer.subscribers import BaseSubscriber

from t2s.errors import AccessRefused, ObjectMissing, SettingsError, StorageError
from t2s.storage import ObjectInfo
from t2s.storage.keys import check_key, check_prefix, is_own, own_name
from t2s.storage.os_errors import told
from t2s.storage.patience import Patience
from t2s.storage.ranges import BLOCK_BYTES, OnBytes, fetch, sha256_of, unchanged
from t2s.storage.s3_answers import (
    Answer,
    Request,
    is_oss,
    no_answer,
    no_credentials,
    parsed_answer,
    refusal,
    version,
)
from t2s.storage.s3_client import BROKEN_BODY, CreateWay, S3Clients, is_transient, reason

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

logger = logging.getLogger(__name__)

_TRANSFER = TransferConfig(preferred_transfer_client="classic")
_MAX_FETCHES = 3
_REPLACED = 412  # what If-Match is answered with when the object is another one by now
_NOT_SUPPORTED = {400, 501}


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
        self._bucket_is_there = False
        self._clients = S3Clients(self.uri)

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
                        found.append(ObjectInfo(key, item["Size"], version(item)))
        return iter(sorted(found))  # SeaweedFS puts a/b before a-b, AWS behind it

    def delete(self, key: str) -> None:
        """Delete an object; nothing happens if there is none."""
        with self._told("delete", key):
            self._client().delete_object(Bucket=self._bucket, Key=self._full(key))

    def upload(self, path: Path, key: str, on_bytes: OnBytes | None = None) -> str:
        """Store a local file, of any size; returns its sha256 (hex)."""
        full = self._full(key)
        # In this order: some of botocore's errors are OSErrors too, and must not pass for the local file's. The file is
        # read twice, side by side and from the page cache: 512 MB take 4.3 s, of which the sha256 alone would be 0.3.
        with told("read", path), self._told("write", key), unchanged(path), ThreadPoolExecutor(1, "sha256") as hasher:
            digest = hasher.submit(sha256_of, path)
            told_of = _Told(on_bytes)
            with create_transfer_manager(self._client(), _TRANSFER) as manager:
                future = manager.upload(str(path), self._bucket, full, subscribers=[told_of])
                if (error := told_of.wait()) is not None:
                    future.cancel()
                    raise error
                future.result()
            return digest.result()

    def download(self, key: str, path: Path, on_bytes: OnBytes | None = None) -> str:
        """Fetch an object into a local file, whole or not at all; returns its sha256 (hex).

        An object that is replaced meanwhile is fetched again from its beginning, at most three times.
        """
        full = self._full(key)
        temporary = path.parent / own_name("tmp")
        with told("write", path), self._told("read", key):
            path.parent.mkdir(parents=True, exist_ok=True)
            for _ in range(_MAX_FETCHES):
                head = self._client().head_object(Bucket=self._bucket, Key=full)
                tag = head.get("ETag", "")
                try:
                    digest = fetch(
                        lambda start, end, tag=tag: self._blocks(full, tag, start, end),  # type: ignore[misc]
                        head["ContentLength"],
                        temporary,
                        on_bytes,
                    )
                    os.replace(temporary, path)
                    return digest
                except ClientError as error:
                    if _answer(error).status != _REPLACED:
                        raise
                finally:
                    temporary.unlink(missing_ok=True)
        raise StorageError(f"{self.uri}/{key}: is replaced again and again while it is being read; run again later")

    def _blocks(self, full: str, tag: str, start: int, end: int) -> Iterator[bytes]:
        """Bytes of one version of an object; what breaks off is taken up again where it broke."""
        only = {"IfMatch": tag} if tag else {}  # JuiceFS's gateway gives no ETag
        patience = Patience(self._retry_budget_s)
        while start < end:
            wanted = f"bytes={start}-{end - 1}"
            body = self._client().get_object(Bucket=self._bucket, Key=full, Range=wanted, **only)["Body"]  # type: ignore[arg-type]
            try:
                while block := body.read(BLOCK_BYTES):
                    start += len(block)
                    patience = Patience(self._retry_budget_s)
                    yield block
            except BROKEN_BODY as error:
                pause = self._clients.pause(patience, str(error))
                if pause is None:
                    raise
                time.sleep(pause)

    def probe(self) -> None:
        """Find out that the bucket can be written and that `create` really has one winner; `StorageError` if not."""
        self._create_way = self._find_create_way(self._probe_budget_s)

    def _find_create_way(self, budget_s: float) -> CreateWay:
        with self._told("list", "", budget_s):
            self._client(budget_s).list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)
        ways: tuple[CreateWay, ...] = ("If-None-Match", "x-oss-forbid-overwrite")
        if is_oss(self._clients.endpoint):
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
            f"{self.uri}: wanted a store where of two that create one object only one wins, found at "
            f"{self._clients.endpoint}: {'; '.join(found)}. It cannot hold a run: use another store as run_uri "
            "(datasets and models may stay), or on OSS a bucket without versioning"
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
                except BROKEN_BODY as error:
                    pause = self._clients.pause(patience, str(error))
                    if pause is None:
                        raise
                    time.sleep(pause)

    def _full(self, key: str) -> str:
        return self._prefix + check_key(key, self.uri)

    def _client(self, budget_s: float | None = None, way: CreateWay | None = None) -> S3Client:
        return self._clients.get(self._retry_budget_s if budget_s is None else budget_s, way)

    @contextlib.contextmanager
    def _told(self, action: str, key: str, budget_s: float | None = None) -> Iterator[None]:
        """Translate everything that boto3 raises: the one place where that happens."""

        def request() -> Request:  # made late: the endpoint is known when there is a client
            tried_s = self._retry_budget_s if budget_s is None else budget_s
            return Request(action, self.uri, key, self._clients.endpoint, tried_s)

        try:
            yield
        except ClientError as error:
            raise refusal(request(), _answer(self._explained(error))) from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise no_credentials(request()) from error
        except ProfileNotFound as error:
            raise AccessRefused(f"{self.uri}: {error}; look at AWS_PROFILE") from error
        except RetriesExceededError as error:
            raise no_answer(request(), reason(error.last_exception)) from error
        except (BotoCoreError, ResponseParserError) as error:
            if is_transient(error):
                raise no_answer(request(), reason(error)) from error
            if isinstance(error, SSLError):
                advice = "look at AWS_ENDPOINT_URL and AWS_CA_BUNDLE"
                what = f"no TLS with {self._clients.endpoint} ({reason(error)}); {advice}"
            else:
                what = f"cannot {action} {key or 'it'} at {self._clients.endpoint}: {' '.join(str(error).split())}"
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


class _Told(BaseSubscriber):
    """Passes on what boto3's transfer manager has sent; less than nothing when it sends a part again.

    What `on_bytes` raises ends the upload, but not from inside of boto3, which would take it for a broken connection.
    """

    def __init__(self, on_bytes: OnBytes | None) -> None:
        self._on_bytes, self._ended = on_bytes, threading.Event()
        self.error: BaseException | None = None

    def on_progress(self, future: TransferFuture, bytes_transferred: int, **_: Any) -> None:
        if self._on_bytes is None or self.error is not None:
            return
        try:
            self._on_bytes(bytes_transferred)
        except BaseException as error:
            self.error = error
            self._ended.set()

    def on_done(self, future: TransferFuture, **_: Any) -> None:
        self._ended.set()

    def wait(self) -> BaseException | None:
        """Wait for the end; what `on_bytes` raised, if it did."""
        self._ended.wait()
        return self.error


def _answer(error: ClientError) -> Answer:
    return parsed_answer(error.response)
