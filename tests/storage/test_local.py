"""A folder as a store, when the disk, the file system or a neighbour is in the way."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from t2s.errors import AccessRefused, StorageError
from t2s.storage import open_store
from t2s.storage.local import LocalStore

ROOT = Path(__file__).parents[2]


def run(code: str, *arguments: object, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    words = [*before, sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_the_uri_is_the_absolute_path_however_the_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for uri in ("runs/a", f"{tmp_path}/runs/a/", f"file://{tmp_path}/runs/a", "runs/../runs/./a", "~/runs/a"):
        assert open_store(uri).uri == f"{tmp_path}/runs/a"


def test_opening_and_reading_makes_no_folder(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "none"))
    assert list(store.list()) == []
    assert not store.exists("a")
    store.delete("a")
    assert not (tmp_path / "none").exists()


def test_files_get_the_rights_that_the_user_s_umask_gives(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    old = os.umask(0o027)
    try:
        store.write("a", b"1")
        store.create("b", b"1")
    finally:
        os.umask(old)
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"} == {0o640}


LIMITED = """
import resource, sys
from t2s.errors import StorageError
from t2s.storage import open_store
store = open_store(sys.argv[1])
store.write("small", b"1")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for call in (store.write, store.create, lambda key, _: store.upload(sys.argv[2], key)):
    try:
        call("big", bytes(200_000))
    except StorageError as error:
        print(error)
"""


def test_a_file_that_does_not_fit_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "from").write_bytes(bytes(200_000))
    code = LIMITED.replace("sys.argv[2]", "__import__('pathlib').Path(sys.argv[2])")
    done = run(code, tmp_path / "store", tmp_path / "from")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert line.startswith(f"{tmp_path}/store/big: no room to write it (File too large; ")
        assert line.endswith("MiB free); make room there, or choose another place")
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["small"]


FULL = """
import subprocess, sys
from t2s.errors import StorageError
from t2s.storage import open_store
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", sys.argv[1]], check=True)
store = open_store(sys.argv[1])
store.write("rows", b"old")
for call in (store.write, store.create):
    try:
        call("rows" if call == store.write else "done", bytes(3_000_000))
    except StorageError as error:
        print(error)
print(store.read("rows"), [info.key for info in store.list()], __import__("os").listdir(sys.argv[1]))
"""


def test_a_full_disk_is_told_and_what_was_there_stays(tmp_path: Path) -> None:
    unshare = ("unshare", "--user", "--map-root-user", "--mount")
    if subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount a small disk of his own")
    done = run(FULL, tmp_path, before=unshare)
    assert done.returncode == 0, done.stderr
    first, second, rest = done.stdout.splitlines()
    assert first.startswith(f"{tmp_path}/rows: no room to write it (No space left on device; 1 MiB free); make room")
    assert second.startswith(f"{tmp_path}/done: no room")
    assert rest == "b'old' ['rows'] ['rows']"


def test_a_writer_that_is_killed_leaves_the_old_object_and_nothing_listed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.write("rows", b"old" * 1_000_000)
    code = (
        "import sys; from t2s.storage import open_store; store = open_store(sys.argv[1])\n"
        "while True: store.write('rows', b'new' * 10_000_000)"
    )
    for pause in (0.3, 0.4, 0.5):
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
        deadline = time.monotonic() + 20
        while not list(tmp_path.glob(".t2s-*")) and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(pause - 0.3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert store.read("rows") in (b"old" * 1_000_000, b"new" * 10_000_000)
        assert [info.key for info in store.list()] == ["rows"]


def test_leftovers_of_dead_writers_are_not_listed(tmp_path: Path) -> None:
    for name in (".t2s-tmp-1", ".t2s-probe-2", "a/.t2s-tmp-3", ".t2s-tmp-folder/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a" / ".hidden").write_bytes(b"")
    assert [info.key for info in LocalStore(tmp_path).list()] == ["a/.hidden"]


def test_without_hard_links_there_is_one_winner_too(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        for number in range(50):
            path, barrier = tmp_path / str(number), threading.Barrier(8)

            def create(n: int, path: Path = path, barrier: threading.Barrier = barrier) -> bool:
                barrier.wait()
                return store._create_in_place(path, b"%d" % n)

            wins = list(pool.map(create, range(8)))
            assert wins.count(True) == 1
            assert path.read_bytes() == b"%d" % wins.index(True)


def test_symbolic_links_are_followed_but_not_round_in_circles(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.sqlite").write_bytes(b"1")
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "a").write_bytes(b"1")
    (root / "folder" / "up").symlink_to(root)
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "dangling").symlink_to(tmp_path / "nothing")
    (root / "itself").symlink_to(root / "itself")
    store = LocalStore(root)
    assert [info.key for info in store.list()] == ["folder/a", "linked/b.sqlite"]
    assert store.read("linked/b.sqlite") == b"1"
    assert not store.exists("dangling")


def test_a_file_where_a_folder_should_be_is_told(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.write("a", b"1")
    for call in (store.write, store.create):
        with pytest.raises(StorageError, match="a file stands where its folder should be"):
            call("a/b", b"1")
    assert list(LocalStore(tmp_path / "a").list()) == [], "a file is no folder of objects"
    with pytest.raises(StorageError, match="a file stands where its folder should be"):
        LocalStore(tmp_path / "a").probe()


def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="File name too long"):
        LocalStore(tmp_path).write("长" * 100, b"1")
    with pytest.raises(StorageError, match="wanted a key"):
        LocalStore(tmp_path).write("a/" * 600 + "a", b"1")


def test_a_place_without_the_right_to_write_is_told_by_the_probe() -> None:
    # /proc refuses everybody, root too.
    with pytest.raises(StorageError, match=r"/proc/t2s.*: (cannot|may not) write it"):
        open_store("/proc/t2s").probe()


def test_a_folder_of_somebody_else_is_told_by_name(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read and write everywhere")
    (tmp_path / "locked").mkdir(mode=0o000)
    with pytest.raises(AccessRefused, match=f"{tmp_path}/locked: may not list it"):
        open_store(str(tmp_path)).list()
    tmp_path.chmod(0o500)
    with pytest.raises(AccessRefused, match="give this user the right, or choose another place"):
        open_store(str(tmp_path / "run")).probe()
