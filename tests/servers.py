"""Real servers for tests, on 127.0.0.1 alone: S3 (SeaweedFS), a weak S3 (JuiceFS's gateway), a proxy that cuts.

    with S3Server(tmp_path / "s3") as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        open_store(f"s3://{server.bucket}/run").write("a", b"1")

A server is a child of the test's process, and dies with it: also when the test is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

ACCESS_KEY = "t2s-test-key"
SECRET_KEY = "t2s-test-secret"
BUCKET = "t2s-test"

_READY_S = 60.0
_GRACE_S = 1.0  # SIGTERM takes SeaweedFS 15 s; what it acknowledged survives a kill
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def s3_env(endpoint_url: str, *, ca_file: Path | None = None) -> dict[str, str]:
    """boto3's variables for a test server; nothing of the machine's own configuration shines through."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
        **({"AWS_CA_BUNDLE": str(ca_file)} if ca_file else {}),
    }


def binary(name: str) -> str:
    """Path of a program of the development environment; skips the test where there is none."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not in this environment; the s3 tests run in the development environment")
    return found


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on, nor on the one 10,000 above (SeaweedFS takes it too); below the ephemeral ones."""
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        while len(ports) < number:
            port = random.SystemRandom().randrange(12_000, 22_000)
            try:
                for candidate in (port, port + 10_000):
                    held.enter_context(socket.create_server(("127.0.0.1", candidate)))
            except OSError:
                continue
            ports.append(port)
    return ports


class ServerProcess:
    """A server program that is started, paused, killed and started again on the same ports and folder."""

    def __init__(self, arguments: list[str], folder: Path, env: dict[str, str]) -> None:
        self._arguments = arguments
        self._env = {**os.environ, **env}
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.log_file = folder / "server.log"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments,
                env=self._env,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                preexec_fn=_die_with_parent,
            )

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self.resume()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        self.kill()

    def log_tail(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")[-2000:]


class S3Server:
    """SeaweedFS with one bucket, over HTTP or, with a certificate and its CA file, over TLS."""

    bucket = BUCKET

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        self._folder = folder
        self._tls = tls
        self._process: ServerProcess | None = None
        self.ca_file = folder / "ca.pem" if tls else None
        self.port = 0

    @property
    def endpoint_url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        return s3_env(self.endpoint_url, ca_file=self.ca_file)

    @property
    def process(self) -> ServerProcess:
        assert self._process is not None, "the server was started"
        return self._process

    def __enter__(self) -> Self:
        weed = binary("weed")
        for _ in range(3):  # another test may take a port between the choice and the start
            self._process = ServerProcess(self._command(weed), self._folder, _AWS_KEYS)
            self.start()
            if self._process.is_running():
                return self
        raise AssertionError(f"the S3 server does not start:\n{self.process.log_tail()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.stop()

    def start(self) -> None:
        """Start it, or start it again after `process.kill()`, and wait until it stores and reads."""
        self.process.start()
        deadline = time.monotonic() + _READY_S
        while self.process.is_running() and not self._works():
            assert time.monotonic() < deadline, f"the S3 server does not get ready:\n{self.process.log_tail()}"
            time.sleep(0.1)

    def _works(self) -> bool:
        # /healthz answers a second before reads work.
        import boto3.session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        config = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5)
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
            verify=str(self.ca_file) if self.ca_file else None,
            config=config,
        )
        try:
            client.put_object(Bucket=BUCKET, Key=".ready", Body=b"1")
            client.get_object(Bucket=BUCKET, Key=".ready")["Body"].read()
        except (BotoCoreError, ClientError):
            return False
        return True

    def _command(self, weed: str) -> list[str]:
        self._folder.mkdir(parents=True, exist_ok=True)
        s3, master, filer, volume, admin, https = free_ports(6)
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        self.port = https if self._tls else s3
        command = [weed, "-logtostderr=true", "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        command += [f"-s3.port={s3}", f"-master.port={master}", f"-filer.port={filer}", f"-volume.port={volume}"]
        command += [f"-admin.port={admin}", "-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0"]
        command += ["-s3.port.lance=0", "-master.telemetry=false", f"-bucket={BUCKET}"]
        if self._tls:
            import trustme

            authority = trustme.CA()
            certificate = authority.issue_cert("127.0.0.1", "localhost")
            authority.cert_pem.write_to_path(str(self.ca_file))
            certificate.private_key_pem.write_to_path(str(self._folder / "key.pem"))
            with (self._folder / "cert.pem").open("wb") as file:
                file.writelines(blob.bytes() for blob in certificate.cert_chain_pems)
            command += [f"-s3.port.https={https}", f"-s3.cert.file={self._folder / 'cert.pem'}"]
            command += [f"-s3.key.file={self._folder / 'key.pem'}"]
        return command


_AWS_KEYS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}


class WeakS3Server:
    """JuiceFS's gateway: speaks S3, but ignores `If-None-Match` without a word, so that all creators win."""

    bucket = BUCKET

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._meta = f"sqlite3://{folder / 'meta.db'}"
        self._juicefs = binary("juicefs")
        self._process: ServerProcess | None = None
        self.port = 0

    @property
    def env(self) -> dict[str, str]:
        return s3_env(f"http://127.0.0.1:{self.port}")

    def __enter__(self) -> Self:
        data = f"{self._folder / 'data'}/"
        words = ["format", "--storage", "file", "--bucket", data, "--trash-days", "0", self._meta, BUCKET]
        subprocess.run([self._juicefs, "--no-agent", *words], check=True, capture_output=True)
        self.port, metrics = free_ports(2)
        words = ["--no-agent", "gateway", "--no-usage-report", "--no-banner", "--no-bgjob"]
        words += ["--cache-dir", str(self._folder / "cache"), "--log", str(self._folder / "gateway.log")]
        words += ["--metrics", f"127.0.0.1:{metrics}", self._meta, f"127.0.0.1:{self.port}"]
        keys = {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY}
        self._process = ServerProcess([self._juicefs, *words], self._folder, keys)
        self._process.start()
        deadline = time.monotonic() + _READY_S
        while not _answers(self.port):
            ready_or_gone = self._process.is_running() and time.monotonic() < deadline
            assert ready_or_gone, f"the gateway does not get ready:\n{self._process.log_tail()}"
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.stop()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"GET /minio/health/ready HTTP/1.0\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.")
    except OSError:
        return False
