from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from t2s.sql.sandbox import Limits, Sandbox
from tests.sql.attacks import ATTACKS, Attack

DEADLINE_S = 0.5
MEMORY_BYTES = 256 << 20
HONEST_SQL = "SELECT 值 FROM 数 WHERE 号 = 7"


class Field(NamedTuple):
    """Where the attacks run."""

    sandbox: Sandbox
    database: Path
    folder: Path


def make_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE 数 (号 INTEGER PRIMARY KEY, 值 TEXT)")
    connection.executemany("INSERT INTO 数 VALUES (?, ?)", [(n, f"值{n}") for n in range(2_000)])
    connection.execute("CREATE INDEX 值的索引 ON 数 (值)")
    connection.execute("CREATE TABLE 文 (文本 TEXT)")
    connection.execute("INSERT INTO 文 VALUES (?)", ["a" * 60_000])
    connection.commit()
    connection.close()


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    folder = tmp_path_factory.mktemp("field")
    database = folder / "数据.sqlite"
    make_database(database)
    before = digests(folder)
    with Sandbox(2, Limits(deadline_s=DEADLINE_S, memory_bytes=MEMORY_BYTES)) as sandbox:
        yield Field(sandbox, database, folder)
    assert digests(folder) == before, "a file appeared or changed"


def peak_bytes(pid: int) -> int:
    """The most address space a process ever had; 0 if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return max((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmPeak")), default=0)


class Witness(threading.Thread):
    """Runs an honest query again and again beside an attack, and watches the workers' memory."""

    def __init__(self, field: Field) -> None:
        super().__init__()
        self._field = field
        self._done = threading.Event()
        self.answers: set[object] = set()
        self.peak_bytes = 0

    def run(self) -> None:
        while not self._done.is_set():
            outcome = self._field.sandbox.run(self._field.database, HONEST_SQL)
            if outcome.kind != "timeout":  # half a second may pass on a machine that is busy with other things
                self.answers.add(outcome.rows or outcome.message)
            self.peak_bytes = max(self.peak_bytes, *map(peak_bytes, self._field.sandbox.worker_pids))
            self._done.wait(0.02)

    def stop(self) -> None:
        self._done.set()
        self.join()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_is_a_verdict_in_time_and_hurts_nobody(attack: Attack, field: Field) -> None:
    witness = Witness(field)
    witness.start()
    try:
        took = []
        for _ in range(3):  # the machine may be busy with other things: once in time is in time
            started = time.monotonic()
            outcome = field.sandbox.run(field.database, attack.sql.replace("{folder}", str(field.folder)))
            took.append(time.monotonic() - started)
            assert outcome.kind in attack.kinds, outcome
            assert outcome.kind == "rows" or outcome.message, "a failure says why"
            if took[-1] < DEADLINE_S + 0.5:
                break
    finally:
        witness.stop()
    assert min(took) < DEADLINE_S + 0.5
    assert witness.answers == {(("值7",),)}, "the neighbour got another answer"
    assert 0 < witness.peak_bytes <= MEMORY_BYTES


def test_there_are_sixty_attacks_and_their_names_differ() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 60
