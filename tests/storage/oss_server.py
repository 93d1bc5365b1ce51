"""The part of Alibaba OSS's S3 interface in which it differs from AWS, as its documentation has it.

- no `If-None-Match` on a put (501); create-only is the header `x-oss-forbid-overwrite: true`, 409 FileAlreadyExists for
  the loser, and without effect on a bucket with versioning;
- no `aws-chunked` bodies (400), which boto3 sends over HTTPS when it adds checksums of its own;
- deleting many objects at once wants a Content-MD5 (400).

Signatures are not looked at.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

import trustme

from tests.servers import BUCKET, s3_env


class OssServer:
    """One bucket in memory, over TLS; `versioned` switches the forbid-overwrite header off, as versioning does."""

    bucket = BUCKET

    def __init__(self, folder: Path, *, versioned: bool = False) -> None:
        authority = trustme.CA()
        self._ca_file = folder / "oss-ca.pem"
        authority.cert_pem.write_to_path(str(self._ca_file))
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.versioned = versioned
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def env(self) -> dict[str, str]:
        return s3_env(f"https://127.0.0.1:{self._server.server_port}", ca_file=self._ca_file)

    @property
    def objects(self) -> dict[str, bytes]:
        return self._server.objects

    @property
    def num_requests(self) -> int:
        return self._server.num_requests

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # kept-alive connections end with the test's process

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.lock = threading.RLock()  # a refusal is counted while a put holds it
        self.versioned = False
        self.num_requests = 0

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients close connections as they like."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *arguments: Any) -> None:
        """Keep quiet."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        with self.server.lock:
            self.server.num_requests += 1

    def _target(self) -> tuple[str, dict[str, list[str]]]:
        split = urlsplit(self.path)
        return unquote(split.path).removeprefix(f"/{BUCKET}").lstrip("/"), parse_qs(split.query, keep_blank_values=True)

    def _send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())

    def do_GET(self) -> None:
        key, query = self._target()
        if "list-type" in query:
            prefix = query.get("prefix", [""])[0]
            rows = "".join(
                f"<Contents><Key>{quote(name)}</Key><Size>{len(data)}</Size><ETag>{_etag(data)}</ETag>"
                "<LastModified>2026-11-24T00:00:00.000Z</LastModified></Contents>"
                for name, data in sorted(self.server.objects.items())
                if name.startswith(prefix)
            )
            self._send(200, f"<ListBucketResult><EncodingType>url</EncodingType>{rows}</ListBucketResult>".encode())
        elif (found := self.server.objects.get(key)) is None:
            self._refuse(404, "NoSuchKey")
        elif asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(asked[1]), min(int(asked[2] or len(found)), len(found) - 1)
            content_range = f"bytes {start}-{end}/{len(found)}"
            self._send(206, found[start : end + 1], ETag=_etag(found), Content_Range=content_range)
        else:
            self._send(200, found, ETag=_etag(found))

    def do_HEAD(self) -> None:
        found = self.server.objects.get(self._target()[0])
        if found is None:
            self._send(404)
        else:
            self._send(200, ETag=_etag(found), Content_Length=str(len(found)))

    def do_DELETE(self) -> None:
        self.server.objects.pop(self._target()[0], None)
        self._send(204)

    def do_PUT(self) -> None:
        key, query = self._target()
        if "aws-chunked" in self.headers.get("Content-Encoding", "") or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            return self._refuse(400, "NotImplemented")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "If-None-Match" in self.headers or "If-Match" in self.headers:
            return self._refuse(501, "NotImplemented")
        if "uploadId" in query:
            self.server.parts[query["uploadId"][0]][int(query["partNumber"][0])] = body
            return self._send(200, ETag=_etag(body))
        with self.server.lock:
            forbids = self.headers.get("x-oss-forbid-overwrite") == "true" and not self.server.versioned
            if forbids and key in self.server.objects:
                return self._refuse(409, "FileAlreadyExists")
            self.server.objects[key] = body
        return self._send(200, ETag=_etag(body))

    def do_POST(self) -> None:
        key, query = self._target()
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "delete" in query and "Content-MD5" not in self.headers:
            return self._refuse(400, "MissingArgument")
        if "uploads" in query:
            upload_id = str(len(self.server.parts))
            self.server.parts[upload_id] = {}
            answer = f"<UploadId>{upload_id}</UploadId><Key>{escape(key)}</Key>"
            return self._send(200, f"<InitiateMultipartUploadResult>{answer}</InitiateMultipartUploadResult>".encode())
        parts = self.server.parts.pop(query["uploadId"][0])
        self.server.objects[key] = b"".join(parts[number] for number in sorted(parts))
        return self._send(200, b"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
