"""What every store promises, on a folder, on a real S3 server over HTTP, and over TLS."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from t2s.errors import ObjectMissing, StorageError
from t2s.storage import Store, open_store
from t2s.storage.local import LocalStore

UNICODE_KEYS = ["database/购书平台.sqlite", "库/注册资本（万）.json", "a b/+&=#?%20.txt", "e\u0301.db", "𠮷/x"]
BAD_KEYS = ["", "/a", "../a", "a/../../b", "a/..", "./a", "a//b", "a/", "a\\..\\b", "a\0b", "a\nb", "a/.t2s-tmp-1"]


def test_what_was_written_is_read_listed_and_replaced(store: Store) -> None:
    for key in ("a", "deep/er/still.jsonl", *UNICODE_KEYS):
        assert not store.exists(key)
        store.write(key, b"first")
        assert store.read(key) == b"first"
        [listed] = store.list()
        assert (listed.key, listed.size) == (key, 5)
        store.write(key, b"other")
        assert store.read(key) == b"other"
        [relisted] = store.list()
        assert relisted.version != listed.version, "the version follows the content"
        assert store.exists(key)
        store.delete(key)


def test_an_empty_object_is_an_object(store: Store, tmp_path: Path) -> None:
    store.write("empty", b"")
    assert store.exists("empty")
    assert store.read("empty") == b""
    assert [(info.key, info.size) for info in store.list()] == [("empty", 0)]
    assert store.download("empty", tmp_path / "empty") == hashlib.sha256().hexdigest()
    assert (tmp_path / "empty").read_bytes() == b""
    assert not store.create("empty", b"1")


def test_what_is_not_there_is_missing_and_can_be_deleted(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ObjectMissing, match="there/not"):
        store.read("there/not")
    with pytest.raises(ObjectMissing, match="there/not"):
        store.download("there/not", tmp_path / "file")
    assert list(tmp_path.glob("file*")) == []
    assert not store.exists("there/not")
    assert list(store.list()) == []
    store.delete("there/not")


def test_a_folder_of_objects_is_no_object(store: Store, tmp_path: Path) -> None:
    store.write("folder/a", b"1")
    assert not store.exists("folder")
    with pytest.raises(ObjectMissing):
        store.read("folder")
    with pytest.raises(ObjectMissing):
        store.download("folder", tmp_path / "file")
    store.delete("folder")
    assert store.read("folder/a") == b"1"


def test_a_deleted_object_is_gone_and_its_neighbours_stay(store: Store) -> None:
    store.write("a", b"1")
    store.write("ab", b"2")
    store.delete("a")
    assert [info.key for info in store.list()] == ["ab"]
    assert store.create("a", b"3")


def test_the_first_creation_wins_and_stays(store: Store) -> None:
    assert store.create("shard.done", b"attempt 1")
    assert not store.create("shard.done", b"attempt 2")
    assert store.read("shard.done") == b"attempt 1"
    assert store.create("shard.done", b"attempt 1"), "the same bytes: it exists and holds them"
    store.write("shard.attempt-1", b"claim")
    assert not store.create("shard.attempt-1", b"another")


def test_of_eight_that_create_at_once_exactly_one_wins(store: Store) -> None:
    rounds = 200 if isinstance(store, LocalStore) else 3  # SeaweedFS backs off for seconds where many write one key
    with ThreadPoolExecutor(8) as pool:
        for number in range(rounds):
            key, barrier = f"race/{number}", threading.Barrier(8)
            wins = list(pool.map(lambda n, k=key, b=barrier: _create_at(b, store, k, n), range(8)))
            assert wins.count(True) == 1
            assert store.read(key) == b"%d" % wins.index(True)
    assert len(list(store.list())) == rounds


def _create_at(barrier: threading.Barrier, store: Store, key: str, number: int) -> bool:
    barrier.wait()
    return store.create(key, b"%d" % number)


def test_a_store_is_sent_to_other_processes_and_one_of_them_wins(store: Store) -> None:
    store.probe()
    for secret in (b"t2s-test-secret", b"t2s-test-key"):
        assert secret not in pickle.dumps(store), "credentials stay where they are"
    with ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as pool:
        wins = list(pool.map(store.create, ["one"] * 3, [b"0", b"1", b"2"]))
    assert wins.count(True) == 1
    assert store.read("one") == b"%d" % wins.index(True)


def test_a_list_is_sorted_by_key_and_cut_by_prefix(store: Store) -> None:
    keys = ["a", "a.b", "a-b", "ab/c", "ab/d/e", "ab-c", "b", "B", "购/1", "购/2", "é", "𠮷", "_", ".hidden"]
    for key in keys:
        store.write(key, key.encode())
    assert [info.key for info in store.list()] == sorted(keys)
    for prefix in ("a", "ab/", "ab/d", "购/", "none", "ab/d/e", "ab/d/e/"):
        assert [info.key for info in store.list(prefix)] == sorted(k for k in keys if k.startswith(prefix)), prefix
    assert all(info.size == len(info.key.encode()) for info in store.list())


def test_a_list_goes_on_behind_the_first_thousand(store: Store) -> None:
    keys = [f"many/{number:05d}" for number in range(1200)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: store.write(key, b"x"), keys))
    store.write("one-more", b"x")
    assert [info.key for info in store.list("many/")] == keys
    assert len(list(store.list())) == 1201


def test_a_file_of_20_mb_comes_back_with_its_digest(store: Store, tmp_path: Path) -> None:
    data = os.urandom(20_000_000)
    (tmp_path / "from").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    assert store.upload(tmp_path / "from", "模型/model.safetensors") == digest
    assert store.download("模型/model.safetensors", tmp_path / "new" / "folder" / "to") == digest
    assert (tmp_path / "new" / "folder" / "to").read_bytes() == data
    assert [info.size for info in store.list("模型/")] == [20_000_000]
    (tmp_path / "from").write_bytes(b"small")
    store.upload(tmp_path / "from", "模型/model.safetensors")
    assert store.read("模型/model.safetensors") == b"small"
    with pytest.raises(ObjectMissing, match="no-such-file"):
        store.upload(tmp_path / "no-such-file", "x")
    assert not store.exists("x")


def test_a_download_replaces_a_file_or_leaves_it_as_it_was(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(ObjectMissing):
        store.download("missing", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"old"
    store.write("there", b"new")
    store.download("there", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert [path.name for path in tmp_path.glob("*") if path.is_file()] == ["file"]
    with pytest.raises(StorageError, match="stands where its folder should be"):
        store.download("there", tmp_path / "file" / "below")


def test_a_reader_never_sees_half_an_object(store: Store) -> None:
    versions = [bytes([letter]) * 300_000 for letter in b"ab"]
    store.write("key", versions[0])
    seen, done = set(), threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(store.read("key"))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(40):
        store.write("key", versions[number % 2])
    done.set()
    reader.join()
    assert seen <= set(versions)


def test_a_key_that_climbs_out_or_fits_no_store_is_refused(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    calls: list[Callable[[str], object]] = [
        store.read,
        lambda key: store.write(key, b"x"),
        lambda key: store.create(key, b"x"),
        store.exists,
        store.delete,
        lambda key: store.upload(file, key),
        lambda key: store.download(key, file),
    ]
    for key in BAD_KEYS:
        for call in calls:
            with pytest.raises(StorageError, match="wanted a key"):
                call(key)
    for prefix in ("../", "/", "a//", "a/../", "..\\"):
        with pytest.raises(StorageError, match="wanted the beginning of a key"):
            store.list(prefix)
    assert list(store.list()) == []


def test_a_probe_succeeds_and_leaves_nothing(store: Store) -> None:
    store.probe()
    store.probe()
    assert list(store.list()) == []
    assert store.create("a", b"1")


def test_the_uri_opens_the_same_store_again(store: Store) -> None:
    store.write("a", b"1")
    assert not store.uri.endswith("/")
    for uri in (store.uri, store.uri + "/"):
        assert open_store(uri).read("a") == b"1"
        assert open_store(uri).uri == store.uri
