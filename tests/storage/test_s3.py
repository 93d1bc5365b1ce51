"""S3 when something is wrong: with the settings (told at once), with the server or the network (waited for)."""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import botocore.exceptions
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from t2s.errors import AccessRefused, ObjectMissing, SettingsError, StorageError
from t2s.storage import open_store
from t2s.storage.s3 import S3Store
from tests.servers import S3Server, WeakS3Server, s3_env
from tests.storage.conftest import use
from tests.storage.cutting_proxy import CuttingProxy
from tests.storage.oss_server import OssServer

SOME_KEY, SOME_SECRET = "AKIAWRONGWRONG", "a-secret-that-is-wrong"


def methods_of(store: S3Store, file: Path) -> dict[str, Callable[[], object]]:
    return {
        "read": lambda: store.read("a"),
        "write": lambda: store.write("a", b"1"),
        "create": lambda: store.create("a", b"1"),
        "exists": lambda: store.exists("a"),
        "list": store.list,
        "delete": lambda: store.delete("a"),
        "upload": lambda: store.upload(file, "a"),
        "download": lambda: store.download("a", file),
        "probe": store.probe,
    }


# What is set wrongly, the error, and what its message must name.
WRONG_SETTINGS: dict[str, tuple[dict[str, str | None], type[StorageError], str]] = {
    "access key": ({"AWS_ACCESS_KEY_ID": SOME_KEY}, AccessRefused, "AWS_ACCESS_KEY_ID"),
    "secret": ({"AWS_SECRET_ACCESS_KEY": SOME_SECRET}, AccessRefused, "AWS_SECRET_ACCESS_KEY"),
    "no credentials": (
        {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
        AccessRefused,
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    "half of the credentials": ({"AWS_SECRET_ACCESS_KEY": None}, AccessRefused, "set AWS_ACCESS_KEY_ID and"),
    "profile": ({"AWS_PROFILE": "nobody"}, AccessRefused, "AWS_PROFILE"),
    "endpoint without scheme": ({"AWS_ENDPOINT_URL": "127.0.0.1:9"}, StorageError, "AWS_ENDPOINT_URL"),
    "dead endpoint": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, StorageError, "http://127.0.0.1:9 .*refused"),
    "unknown host": ({"AWS_ENDPOINT_URL": "http://no-such-host.invalid"}, StorageError, "no-such-host.invalid"),
    "TLS asked of HTTP": ({"AWS_ENDPOINT_URL": "https"}, StorageError, "no TLS with https.*AWS_ENDPOINT_URL"),
}


@pytest.mark.s3
@pytest.mark.parametrize("what", WRONG_SETTINGS)
def test_a_wrong_setting_is_told_soon_by_every_method_and_no_foreign_error_or_secret_comes_out(
    what: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    changes, kind, named = WRONG_SETTINGS[what]
    use(monkeypatch, s3_server.env)
    for name, value in changes.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, s3_server.endpoint_url.replace("http:", "https:") if value == "https" else value)
    (tmp_path / "file").write_bytes(b"x")
    store = S3Store(f"s3://{s3_server.bucket}/run", retry_budget_s=0.5, probe_budget_s=0.5)
    for name, call in methods_of(store, tmp_path / "file").items():
        started = time.monotonic()
        with pytest.raises(StorageError, match=named) as caught:
            call()
        assert type(caught.value) is kind, name
        assert time.monotonic() - started < 5, name
        message = str(caught.value)
        assert "\n" not in message
        for secret in (SOME_SECRET, *(s3_server.env[n] for n in ("AWS_SECRET_ACCESS_KEY",))):
            assert secret not in message
        assert caught.value.__cause__ is not None, "raised from what boto3 said"


@pytest.mark.s3
def test_a_wrong_secret_is_not_waited_for_however_long_the_patience(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, {**s3_server.env, "AWS_SECRET_ACCESS_KEY": SOME_SECRET})
    started = time.monotonic()
    with pytest.raises(AccessRefused, match="SignatureDoesNotMatch"):
        S3Store(f"s3://{s3_server.bucket}", retry_budget_s=60).read("a")
    assert time.monotonic() - started < 5


@pytest.mark.s3
def test_a_bucket_that_is_not_there_is_told_and_not_made(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, s3_server.env)
    store = S3Store("s3://t2s-no-such-bucket/run")
    methods = methods_of(store, tmp_path / "file")
    for name in ("read", "exists", "list", "download", "probe", "create", "exists"):
        with pytest.raises(
            StorageError, match=rf"t2s-no-such-bucket.*wanted its bucket at {s3_server.endpoint_url}"
        ) as e:
            methods[name]()
        assert not isinstance(e.value, ObjectMissing), name


@pytest.mark.s3
def test_a_certificate_that_nobody_vouches_for_is_told_at_once(
    s3_tls_server: S3Server, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, s3_tls_server.env)
    import trustme

    trustme.CA().cert_pem.write_to_path(str(tmp_path / "another-ca.pem"))
    for ca_file in (tmp_path / "another-ca.pem", tmp_path / "no-such-file.pem"):
        monkeypatch.setenv("AWS_CA_BUNDLE", str(ca_file))
        started = time.monotonic()
        with pytest.raises(StorageError, match=r"no TLS with https.*AWS_CA_BUNDLE"):
            S3Store(f"s3://{s3_tls_server.bucket}").read("a")
        assert time.monotonic() - started < 5


@pytest.mark.s3
def test_a_dead_endpoint_is_given_up_after_the_probe_s_budget(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use(monkeypatch, s3_env("http://127.0.0.1:9"))
    started = time.monotonic()
    with caplog.at_level(logging.INFO, "t2s"), pytest.raises(StorageError, match="tried for 2 s"):
        S3Store("s3://bucket/run", retry_budget_s=600, probe_budget_s=2).probe()
    assert 0.5 < time.monotonic() - started < 6
    assert "s3://bucket/run: waiting for http://127.0.0.1:9 ([Errno 111] Connection refused)" in caplog.text


@pytest.mark.s3
@pytest.mark.parametrize("how", ["killed", "paused"])
def test_a_server_that_is_away_for_some_seconds_is_waited_for(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with S3Server(tmp_path / "s3") as server:
        use(monkeypatch, server.env)
        store = S3Store(f"s3://{server.bucket}/run")
        store.probe()
        file = tmp_path / "file"
        file.write_bytes(os.urandom(20_000_000))
        written: list[int] = []
        digests: set[str] = set()
        enough = threading.Event()

        def write() -> None:
            while not enough.is_set():
                number = len(written)
                assert store.create(f"done/{number:04d}", b"%d" % number)
                store.write(f"rows/{number:04d}", b"%d" % number)
                assert store.exists(f"rows/{number:04d}")
                written.append(number)

        def transfer() -> None:
            while not enough.is_set():
                digests.add(store.upload(file, "model"))
                digests.add(store.download("model", tmp_path / "copy"))

        threads = [threading.Thread(target=target) for target in (write, transfer)]
        with caplog.at_level(logging.INFO, "t2s"):
            for thread in threads:
                thread.start()
            time.sleep(1)
            if how == "killed":
                server.process.kill()
                before = len(written)
                time.sleep(4)
                server.start()
            else:
                server.process.pause()
                before = len(written)
                time.sleep(4)
                server.process.resume()
            deadline = time.monotonic() + 60
            while len(written) < before + 5 and time.monotonic() < deadline:
                time.sleep(0.1)
            enough.set()
            for thread in threads:
                thread.join()
        assert len(written) >= before + 5
        assert [info.key for info in store.list("done/")] == [f"done/{number:04d}" for number in written]
        assert all(store.read(f"rows/{number:04d}") == b"%d" % number for number in written)
        assert len(digests) == 1
        if how == "killed":
            assert f"{store.uri}: waiting for {server.endpoint_url}" in caplog.text
            assert f"{server.endpoint_url} answers again after" in caplog.text


@pytest.mark.s3
def test_a_creation_whose_answer_was_lost_is_won_and_a_lost_race_stays_lost(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CuttingProxy(s3_server.port) as proxy:
        use(monkeypatch, {**s3_server.env, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"})
        store = S3Store(f"s3://{s3_server.bucket}/{uuid.uuid4().hex}")
        store.probe()
        proxy.lose_answers_to(b"PUT", times=2)
        assert store.create("done", b"mine"), "the first try made it; the second was told 412"
        assert proxy.num_lost == 2
        proxy.lose_answers_to(b"PUT", times=1)
        assert not store.create("done", b"another's")
        assert proxy.num_lost == 3
        assert store.read("done") == b"mine"


@pytest.mark.s3
def test_a_body_that_breaks_off_is_read_again(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with CuttingProxy(s3_server.port) as proxy:
        use(monkeypatch, {**s3_server.env, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"})
        store = S3Store(f"s3://{s3_server.bucket}/{uuid.uuid4().hex}")
        data = os.urandom(3_000_000)
        store.write("big", data)
        proxy.lose_answers_to(b"GET", times=2, after_bytes=1_000_000)
        assert store.read("big") == data
        proxy.lose_answers_to(b"GET", times=2, after_bytes=1_000_000)
        store.download("big", tmp_path / "big")
        assert (tmp_path / "big").read_bytes() == data
        assert proxy.num_lost == 4
        proxy.lose_answers_to(b"GET", times=1000, after_bytes=1_000_000)
        store.download("big", tmp_path / "goes on where it broke")
        assert (tmp_path / "goes on where it broke").read_bytes() == data
        impatient = store_with_budget(store, 1)
        with pytest.raises(StorageError, match="does not answer"):
            impatient.read("big")
        proxy.lose_answers_to(b"GET", times=1000)
        with pytest.raises(StorageError, match="does not answer"):
            impatient.download("big", tmp_path / "again")
        assert not (tmp_path / "again").exists()
        assert not list(tmp_path.glob(".t2s-*")), "nothing half is left behind"


def store_with_budget(store: S3Store, seconds: float) -> S3Store:
    return S3Store(store.uri, retry_budget_s=seconds, probe_budget_s=seconds)


@pytest.mark.s3
def test_a_store_that_lets_everybody_create_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WeakS3Server(tmp_path) as server:
        use(monkeypatch, server.env)
        store = open_store(f"s3://{server.bucket}/run")
        for call in (store.probe, lambda: store.create("a", b"1")):
            with pytest.raises(StorageError, match=r"If-None-Match is ignored.*use another store as run_uri"):
                call()
        assert list(store.list()) == []
        store.write("a", b"1")
        [before] = store.list()
        time.sleep(1.1)
        store.write("a", b"2")
        [after] = store.list()
        assert before.version != after.version, "also without an ETag"


@pytest.mark.s3
def test_on_oss_the_other_header_makes_one_winner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with OssServer(tmp_path) as server:
        use(monkeypatch, server.env)
        store = open_store(f"s3://{server.bucket}/运行")
        assert store.create("done", b"1"), "finds the way by itself"
        assert not store.create("done", b"2")
        assert store.create("done", b"1")
        store.write("done", b"3")
        assert store.read("done") == b"3", "plain writes still replace"
        sent = pickle.loads(pickle.dumps(store))
        before = server.num_requests
        assert not sent.create("done", b"4")
        assert server.num_requests == before + 2, "one to create, one to look who won: the way was sent along"
        (tmp_path / "file").write_bytes(os.urandom(20_000_000))
        digest = store.upload(tmp_path / "file", "模型")
        assert store.download("模型", tmp_path / "copy") == digest
        store.delete("模型")
        assert [info.key for info in store.list()] == ["done"]
        assert list(server.objects) == ["运行/done"], "the probe cleans up"


@pytest.mark.s3
def test_an_oss_bucket_with_versions_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with OssServer(tmp_path, versioned=True) as server:
        use(monkeypatch, server.env)
        refused = "If-None-Match is refused .*; x-oss-forbid-overwrite is ignored.*without versioning"
        with pytest.raises(StorageError, match=refused):
            open_store(f"s3://{server.bucket}").probe()


@pytest.mark.s3
def test_what_a_dead_process_left_behind_is_not_listed(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3.session

    use(monkeypatch, s3_server.env)
    store = S3Store(f"s3://{s3_server.bucket}/{uuid.uuid4().hex}")
    client = boto3.session.Session().client("s3")
    for key in (".t2s-probe-1", "a/.t2s-tmp-1", "made-by-a-web-console/"):
        client.put_object(Bucket=s3_server.bucket, Key=f"{store.uri.rpartition('/')[2]}/{key}")
    store.write("a/b", b"1")
    assert [info.key for info in store.list()] == ["a/b"]


FORKED = """
import os, sys
from t2s.storage import open_store
store = open_store(sys.argv[1])
assert store.create("zero", b"0") and store.read("there") == b"1"  # its connections are open now
children = []
for number in range(3):
    pid = os.fork()
    if not pid:
        ok = all(store.read("there") == b"1" for _ in range(20))
        os._exit(10 + store.create("one", b"%d" % number) if ok else 1)
    children.append(pid)
assert all(store.read("there") == b"1" for _ in range(20))
codes = sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children)
assert codes == [10, 10, 11], codes
"""


@pytest.mark.s3
def test_a_store_that_was_used_may_be_forked(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, s3_server.env)
    store = open_store(f"s3://{s3_server.bucket}/{uuid.uuid4().hex}")
    store.write("there", b"1")
    subprocess.run([sys.executable, "-c", FORKED, store.uri], check=True, cwd=Path(__file__).parents[2], timeout=60)


@pytest.mark.parametrize("uri", ["s3://", "s3:///key", "s3://b", "s3://no bucket/x"])
def test_a_uri_without_a_possible_bucket_is_a_wrong_setting(uri: str) -> None:
    with pytest.raises(SettingsError, match=r"wanted .*bucket"):
        open_store(uri)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("https://s3.oss-cn-hangzhou.aliyuncs.com", "https://some-bucket.s3.oss-cn-hangzhou.aliyuncs.com/"),
        ("https://s3.oss-cn-beijing-internal.aliyuncs.com", "https://some-bucket.s3.oss-cn-beijing-internal.aliyuncs"),
        ("http://127.0.0.1:8333", "http://127.0.0.1:8333/some-bucket"),
        ("http://seaweedfs:8333", "http://seaweedfs:8333/some-bucket"),
        ("https://aliyuncs.com.example.org", "https://aliyuncs.com.example.org/some-bucket"),
    ],
)
def test_buckets_stand_in_the_host_name_on_oss_and_in_the_path_elsewhere(
    endpoint: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, s3_env(endpoint))
    client = S3Store("s3://some-bucket")._client()
    assert client.generate_presigned_url("list_objects_v2", Params={"Bucket": "some-bucket"}).startswith(url)


def test_making_a_store_connects_to_nothing_and_needs_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in s3_env(""):
        monkeypatch.delenv(name, raising=False)
    assert pickle.loads(pickle.dumps(open_store("s3://some-bucket/a/b/"))).uri == "s3://some-bucket/a/b"


def test_whatever_the_library_can_raise_is_of_a_kind_that_is_translated() -> None:
    kinds = [kind for kind in vars(botocore.exceptions).values() if isinstance(kind, type)]
    errors = {k for k in kinds if issubclass(k, Exception) and k.__module__ == "botocore.exceptions"}
    assert len(errors) > 50
    others = {k.__name__ for k in errors if not issubclass(k, BotoCoreError | ClientError | Warning)}
    assert others == {"UndefinedModelAttributeError", "MissingServiceIdError"}, "these two: a broken installation"
