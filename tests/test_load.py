"""100,000 interactions with the scripted engine: nothing lost, memory flat, time in proportion."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

DRIVER = """
import resource, runpy, sys, threading, time
peaks = []
def watch():
    while True:
        with open("/proc/self/statm") as file:
            peaks.append(int(file.read().split()[1]) * resource.getpagesize() >> 20)
        time.sleep(0.5)
threading.Thread(target=watch, daemon=True).start()
sys.argv = ["jobs/predict.py", *sys.argv[1:]]
try:
    runpy.run_path("jobs/predict.py", run_name="__main__")
finally:
    times = resource.getrusage(resource.RUSAGE_SELF)
    print("MEASURED", times.ru_utime + times.ru_stime, *peaks, file=sys.stderr)
"""


class Measured(NamedTuple):
    """CPU seconds of the driver, and its memory every half second, in MB."""

    cpu_s: float
    memory_mb: list[int]


def predict(folder: Path, num_interactions: int) -> Measured:
    data = folder / f"load-{num_interactions}"
    make = [sys.executable, "scripts/make_sample.py", "--interactions", str(num_interactions), "--output", str(data)]
    subprocess.run(make, cwd=ROOT, check=True, capture_output=True)
    run = folder / f"run-{num_interactions}"
    arguments = [f"dataset_uri={data}/load.json", f"run_uri={run}", "engine.kind=scripted"]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    )
    wanted = [
        [turn["question_id"] for turn in entry["interaction"]]
        for entry in json.loads((data / "load.json").read_bytes())
    ]
    found = [[turn["question_id"] for turn in one] for one in json.loads((run / "predictions.json").read_bytes())]
    assert found == wanted and len(found) == num_interactions
    line = next(line for line in done.stderr.splitlines() if line.startswith("MEASURED"))
    cpu_s, *memory = line.split()[1:]
    return Measured(float(cpu_s), [int(one) for one in memory])


def test_a_hundred_thousand_interactions_take_ten_times_as_long_as_ten_thousand_and_flat_memory(tmp_path: Path) -> None:
    small, large = predict(tmp_path, 10_000), predict(tmp_path, 100_000)
    print(f"\n10,000: {small.cpu_s:.1f} s CPU, peak {max(small.memory_mb)} MB")
    print(f"100,000: {large.cpu_s:.1f} s CPU, peak {max(large.memory_mb)} MB, over time {large.memory_mb[::20]}")
    # Both drivers use one core all the time; CPU time is what a busy machine does not change.
    assert large.cpu_s <= 11 * small.cpu_s
    assert max(large.memory_mb) < 1000
    middle = large.memory_mb[len(large.memory_mb) // 3 : 2 * len(large.memory_mb) // 3]
    assert max(middle) - min(middle) < 30, "memory grows while shards run"
