"""The node cache: local files stay where they are, S3's come once, everything with its digest."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from t2s.errors import ObjectMissing, StorageError
from t2s.storage import Store, open_store
from t2s.storage.cache import NodeCache, folder_digest
from t2s.storage.ranges import OnBytes
from tests.servers import S3Server
from tests.storage.conftest import use

ROOT = Path(__file__).parents[2]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def old(path: Path, *, seconds: int = 60) -> None:
    """Let a file look as if it had not been touched for a while."""
    past = time.time_ns() - seconds * 10**9
    os.utime(path, ns=(past, past))


def remembered(root: Path) -> list[Path]:
    return sorted((root / "known").glob("*.json"))


def tree(root: Path) -> dict[str, tuple[int, int]]:
    return {str(p.relative_to(root)): (p.stat().st_mtime_ns, p.stat().st_ino) for p in root.rglob("*")}


def test_a_local_file_is_used_where_it_is_and_nothing_is_written_beside_it(tmp_path: Path) -> None:
    (tmp_path / "data" / "database").mkdir(parents=True)
    path = tmp_path / "data" / "database" / "购书平台.sqlite"
    path.write_bytes(b"rows")
    before = tree(tmp_path / "data")
    file = NodeCache(tmp_path / "cache").file(open_store(str(tmp_path / "data")), "database/购书平台.sqlite")
    assert file == (path, sha256(b"rows"))
    assert tree(tmp_path / "data") == before


def test_a_digest_is_remembered_and_found_again_while_the_file_is_untouched(tmp_path: Path) -> None:
    path, cache = tmp_path / "model", tmp_path / "cache"
    store = open_store(str(tmp_path))
    path.write_bytes(b"weights")
    old(path)
    assert NodeCache(cache).file(store, "model").digest == sha256(b"weights")
    [note] = remembered(cache)
    note.write_text(note.read_text(encoding="utf-8").replace(sha256(b"weights"), "f" * 64), encoding="utf-8")
    assert NodeCache(cache).file(store, "model").digest == "f" * 64, "it was not hashed again"
    status = path.stat()
    path.write_bytes(b"WEIGHTS")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert NodeCache(cache).file(store, "model").digest == sha256(b"WEIGHTS"), "also when the date was set back"
    note.write_bytes(b"{spoilt")
    assert NodeCache(cache).file(store, "model").digest == sha256(b"WEIGHTS")


def test_the_digest_of_a_file_that_was_just_written_is_not_remembered(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        (tmp_path / "fresh").write_bytes(content)
        assert NodeCache(tmp_path / "cache").file(open_store(str(tmp_path)), "fresh").digest == sha256(content)
    assert remembered(tmp_path / "cache") == []


def test_what_is_not_there_is_missing(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path / "cache")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ObjectMissing, match=r"none\.sqlite: wanted a file, found none"):
        cache.file(open_store(str(tmp_path)), "none.sqlite")
    with pytest.raises(ObjectMissing, match="empty: wanted a file, found a folder"):
        cache.file(open_store(str(tmp_path)), "empty")
    for name in ("empty", "none"):
        with pytest.raises(ObjectMissing, match=f"{name}: wanted a folder with files in it"):
            cache.folder(str(tmp_path / name))


def test_a_folder_s_digest_follows_names_and_bytes_and_nothing_else(tmp_path: Path) -> None:
    def digest() -> str:
        folder = NodeCache(tmp_path / "cache").folder(str(tmp_path / "model"))
        assert folder.path == tmp_path / "model"
        return folder.digest

    (tmp_path / "model" / "sub").mkdir(parents=True)
    (tmp_path / "model" / "config.json").write_bytes(b"{}")
    (tmp_path / "model" / "sub" / "w").write_bytes(b"1")
    first = digest()
    assert first == folder_digest({"sub/w": sha256(b"1"), "config.json": sha256(b"{}")})
    (tmp_path / "model" / "manifest.json").write_bytes(b"{}")
    (tmp_path / "model" / ".cache").mkdir()
    (tmp_path / "model" / ".cache" / "lock").write_bytes(b"")
    old(tmp_path / "model" / "config.json")
    assert digest() == first
    (tmp_path / "model" / "sub" / "manifest.json").write_bytes(b"{}")
    assert digest() != first, "only the folder's own manifest is left out"
    (tmp_path / "model" / "sub" / "manifest.json").unlink()
    (tmp_path / "model" / "sub" / "w").write_bytes(b"2")
    assert digest() != first
    (tmp_path / "model" / "sub" / "w").rename(tmp_path / "model" / "sub" / "v")
    assert digest() != first
    assert folder_digest({"a": "b c", "d": "e"}) != folder_digest({"a b": "c", "d": "e"})


@pytest.fixture
def remote(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Store:
    use(monkeypatch, s3_server.env)
    return open_store(f"s3://{s3_server.bucket}/{uuid.uuid4().hex}")


@pytest.mark.s3
def test_an_object_is_fetched_read_only_and_only_once_for_a_version(
    remote: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    remote.write("database/购书平台.sqlite", b"rows")
    remote.write("database/购书平台.sqlite-wal", b"another")
    cache = NodeCache(tmp_path)
    with caplog.at_level("INFO", "t2s"):
        file = cache.file(remote, "database/购书平台.sqlite")
        assert file.digest == sha256(b"rows")
        assert file.path.read_bytes() == b"rows"
        assert file.path.suffix == ".sqlite"
        assert file.path.stat().st_mode & 0o222 == 0, "a database of a dataset is never written to"
        assert NodeCache(tmp_path).file(remote, "database/购书平台.sqlite") == file
        assert caplog.text.count("fetching") == 1
        remote.write("database/购书平台.sqlite", b"more rows")
        newer = cache.file(remote, "database/购书平台.sqlite")
        assert newer.path.read_bytes() == b"more rows"
        assert file.path.read_bytes() == b"rows", "who still reads the old one is not disturbed"
        assert caplog.text.count("fetching") == 2
    with pytest.raises(ObjectMissing, match=r"none\.sqlite"):
        cache.file(remote, "database/none.sqlite")
    assert list((tmp_path / "incoming").iterdir()) == []


@pytest.mark.s3
def test_a_cached_file_that_lost_bytes_or_is_gone_is_fetched_again(remote: Store, tmp_path: Path) -> None:
    remote.write("a.db", b"0123456789")
    cache = NodeCache(tmp_path)
    path = cache.file(remote, "a.db").path
    path.chmod(0o644)
    path.write_bytes(b"012")
    assert cache.file(remote, "a.db").path.read_bytes() == b"0123456789"
    path.unlink()
    assert cache.file(remote, "a.db").path.read_bytes() == b"0123456789"


@pytest.mark.s3
def test_a_folder_comes_whole_and_a_change_in_it_makes_another(remote: Store, tmp_path: Path) -> None:
    contents = {"config.json": b"{}", "model.safetensors": os.urandom(10_000_000), "sub/词.txt": b"1"}
    for name, content in {**contents, "manifest.json": b"{}", ".git/config": b"x"}.items():
        remote.write(name, content)
    cache = NodeCache(tmp_path / "cache")
    folder = cache.folder(remote.uri)
    assert {p.relative_to(folder.path).as_posix() for p in folder.path.rglob("*") if p.is_file()} == {
        *contents,
        "manifest.json",
    }
    assert all((folder.path / name).read_bytes() == content for name, content in contents.items())
    shutil.copytree(folder.path, tmp_path / "local")
    assert cache.folder(str(tmp_path / "local")).digest == folder.digest, "the same digest as that of a local folder"
    assert cache.folder(remote.uri) == folder
    (folder.path / "sub" / "词.txt").unlink()
    assert (cache.folder(remote.uri).path / "sub" / "词.txt").read_bytes() == b"1", "made whole again"
    remote.write("manifest.json", b'{"new": 1}')
    newer = cache.folder(remote.uri)
    assert (newer.path / "manifest.json").read_bytes() == b'{"new": 1}'
    assert newer.digest == folder.digest
    weights = [f.path / "model.safetensors" for f in (folder, newer)]
    assert weights[0].samefile(weights[1]), "what did not change takes no more room"
    with pytest.raises(ObjectMissing, match="wanted a folder with files in it"):
        cache.folder(f"{remote.uri}/nothing")


FETCH = """
import logging, sys
from pathlib import Path
from t2s.storage import open_store
from t2s.storage.cache import NodeCache
logging.basicConfig(level=logging.INFO)
file = NodeCache(Path(sys.argv[1])).file(open_store(sys.argv[2]), "model")
print(file.digest, file.path)
"""


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.s3
def test_of_many_processes_one_fetches_and_the_dead_are_not_waited_for(
    remote: Store, tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    (tmp_path / "from").write_bytes(os.urandom(40_000_000))
    digest = remote.upload(tmp_path / "from", "model")

    def start() -> subprocess.Popen[str]:
        words = [sys.executable, "-c", FETCH, str(tmp_path / "cache"), remote.uri]
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(words, cwd=ROOT, stdout=pipe, stderr=pipe, text=True))
        return processes[-1]

    holder = start()
    deadline = time.monotonic() + 30
    while not list((tmp_path / "cache" / "incoming").glob("*/.t2s-tmp*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert holder.returncode == -signal.SIGKILL, "it was killed in the middle"
    assert list((tmp_path / "cache" / "incoming").glob("*/*"))

    outputs = [process.communicate(timeout=60) for process in [start() for _ in range(3)]]
    assert {output.split()[0] for output, _ in outputs} == {digest}
    assert len({output for output, _ in outputs}) == 1
    logs = "".join(log for _, log in outputs)
    assert logs.count("fetching s3://") == 1, logs
    assert list((tmp_path / "cache" / "incoming").iterdir()) == [], "what the dead one left is gone"


@pytest.mark.s3
def test_an_object_that_changes_all_the_time_is_told_instead_of_mixed_up(remote: Store, tmp_path: Path) -> None:
    class Changing:
        """The store, with somebody who replaces the object during every download."""

        uri = remote.uri

        def list(self, prefix: str = "") -> object:
            return remote.list(prefix)

        def download(self, key: str, path: Path, on_bytes: OnBytes | None = None) -> str:
            digest = remote.download(key, path, on_bytes)
            remote.write(key, os.urandom(5))
            return digest

    remote.write("a", b"12345")
    with pytest.raises(StorageError, match="a: changes while it is being read; wait until"):
        NodeCache(tmp_path).file(Changing(), "a")  # type: ignore[arg-type]
    assert remembered(tmp_path) == []
