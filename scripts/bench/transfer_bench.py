"""How near transfers with verification come to boto3's bare transfer manager, and what memory they take, in one run.

    .venvs/dev/bin/python scripts/bench/transfer_bench.py                      a real S3 server on this machine
    .venvs/dev/bin/python scripts/bench/transfer_bench.py --store s3://bucket/prefix --size-mb 4096

Up: `upload_file` of a client as boto3 makes it, against `Store.upload`, which returns the sha256 of what was sent.
Down: `download_file` against `Store.download` (ranged reads, sha256, flushed to the disk), of the same object. Passes
of both take turns, so that a machine that changes its speed changes both; the ratio is the median of those of
neighbouring passes. Memory is the highest of a process of its own that does nothing but ours. One JSON object is
printed at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from t2s.storage import Store, open_store
from t2s.storage.ranges import sha256_of

MB = 1_000_000


class Passes(NamedTuple):
    """Seconds of neighbouring passes."""

    bare_s: list[float]
    ours_s: list[float]

    @property
    def ratio(self) -> float:
        """Throughput of ours, as a part of the bare one's: the median over pairs."""
        return statistics.median(bare / ours for bare, ours in zip(self.bare_s, self.ours_s, strict=True))


def write_random(path: Path, size: int) -> None:
    """A file that no store can compress."""
    with path.open("wb") as file:
        for start in range(0, size, 16 * MB):
            file.write(os.urandom(min(16 * MB, size - start)))


def measure(store: Store, file: Path, folder: Path, repeats: int) -> dict[str, Passes]:
    """Time both, up and down, pass by pass.

    Args:
        store: Where to; an S3 store.
        file: What.
        folder: Where downloads go.
        repeats: Pairs of passes, after one that is not counted.
    """
    import boto3.session

    client = boto3.session.Session().client("s3")
    bucket, _, prefix = store.uri.removeprefix("s3://").partition("/")
    there, here = f"{prefix}/bench" if prefix else "bench", folder / "down"
    wanted = sha256_of(file)

    def checked(digest: str) -> None:
        assert digest == wanted, "the sha256 is that of the file"

    ways: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "up": (lambda: client.upload_file(str(file), bucket, there), lambda: checked(store.upload(file, "bench"))),
        "down": (
            lambda: client.download_file(bucket, there, str(here)),
            lambda: checked(store.download("bench", here)),
        ),
    }
    found = {}
    for name, (bare, ours) in ways.items():
        passes = Passes([], [])
        for number in range(repeats + 1):
            # Who comes second in one pair comes first in the next: the page cache favours neither.
            pair = [(bare, passes.bare_s), (ours, passes.ours_s)]
            for way, seconds in pair if number % 2 else reversed(pair):
                here.unlink(missing_ok=True)
                os.sync()  # ours flushes, and would wait for what the bare way left unwritten too
                began = time.perf_counter()
                way()
                if number:
                    seconds.append(time.perf_counter() - began)
        found[name] = passes
    here.unlink(missing_ok=True)
    store.delete("bench")
    return found


def peak_mb(uri: str, file: Path, folder: Path) -> dict[str, float]:
    """Highest memory, in MB, of a process that uploads the file and of one that downloads it again, by our way."""
    peaks = {}
    for way in ("up", "down"):
        words = [sys.executable, str(Path(__file__)), "--memory-of", way, uri, str(file), str(folder / "down")]
        peaks[way] = float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    (folder / "down").unlink()
    open_store(uri).delete("memory")
    return peaks


def _memory_of(way: str, uri: str, file: str, target: str) -> None:
    store = open_store(uri)
    if way == "up":
        store.upload(Path(file), "memory")
    else:
        store.download("memory", Path(target))
    # Not getrusage: its maximum is inherited from the process that was forked.
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    print(int(line.split()[1]) * 1024 / MB)


@contextlib.contextmanager
def local_store() -> Iterator[Store]:
    """A store on a real S3 server of this machine, for as long as the block runs."""
    from tests.servers import S3Server

    with tempfile.TemporaryDirectory(prefix="t2s-bench-s3-") as folder, S3Server(Path(folder)) as server:
        os.environ.update(server.env)
        yield open_store(f"s3://{server.bucket}/bench")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", help="s3://bucket/prefix of a server that boto3's variables name")
    parser.add_argument("--size-mb", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory-of", nargs=4, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.memory_of:
        _memory_of(*words.memory_of)
        return
    opened = contextlib.nullcontext(open_store(words.store)) if words.store else local_store()
    with opened as store, tempfile.TemporaryDirectory(prefix="t2s-bench-") as folder:
        file = Path(folder) / "file"
        write_random(file, words.size_mb * MB)
        result: dict[str, Any] = {"size_mb": words.size_mb, "cpus": os.cpu_count(), "machine": platform.machine()}
        for way, passes in measure(store, file, Path(folder), words.repeats).items():
            result[way] = {
                "bare_mb_per_s": round(words.size_mb / statistics.median(passes.bare_s), 1),
                "ours_mb_per_s": round(words.size_mb / statistics.median(passes.ours_s), 1),
                "ratio": round(passes.ratio, 3),
            }
        result["peak_mb"] = peak_mb(store.uri, file, Path(folder))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
