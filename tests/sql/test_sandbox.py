from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from t2s.errors import SandboxError
from t2s.sql.sandbox import Limits, Outcome, Sandbox

ROOT = Path(__file__).parents[2]
ENDLESS = "WITH RECURSIVE a(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM a) SELECT count(*) FROM a"
ENDLESS_IN_C = "SELECT count(*) FROM 城市 WHERE instr(zeroblob(900000), zeroblob(450000) || x'01')"


def make_database(path: Path, script: str = "") -> Path:
    connection = sqlite3.connect(path)
    connection.executescript(
        script or "CREATE TABLE 城市 (名称 TEXT, 人口 REAL); INSERT INTO 城市 VALUES ('北京', 2189.3), ('上海', NULL);"
    )
    connection.close()
    return path


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_database(tmp_path_factory.mktemp("databases") / "中国城市.sqlite")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(2, Limits(deadline_s=20, max_rows=1_000, max_bytes=100_000)) as opened:
        yield opened


def wait_until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, "waited in vain"
        time.sleep(0.01)


def process_limits(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return {line[:26].strip(): line[26:].split()[0] for line in lines[1:]}


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_query_gives_its_rows_with_the_types_of_sqlite(sandbox: Sandbox, database: Path) -> None:
    outcome = sandbox.run(database, "SELECT 名称, 人口, 7, x'00ff', 9223372036854775807, 1e999 FROM 城市;")
    assert outcome.kind == "rows"
    assert outcome.rows == (
        ("北京", 2189.3, 7, b"\x00\xff", 9223372036854775807, float("inf")),
        ("上海", None, 7, b"\x00\xff", 9223372036854775807, float("inf")),
    )
    assert len(outcome.names) == 6
    assert outcome.all_utf8
    assert 0 < outcome.elapsed_s < 20


def test_an_empty_result_still_has_its_columns(sandbox: Sandbox, database: Path) -> None:
    outcome = sandbox.run(database, "SELECT 名称, 人口 FROM 城市 WHERE 0")
    assert (outcome.kind, outcome.rows, len(outcome.names)) == ("rows", (), 2)


def test_a_wrong_query_says_what_sqlite_says(sandbox: Sandbox, database: Path) -> None:
    assert sandbox.run(database, "SELECT 面积 FROM 城市")[:4] == ("error", None, (), "no such column: 面积")
    assert "syntax error" in sandbox.run(database, "SELEC 1").message


@pytest.mark.parametrize("sql", ["", " \n", ";", " ; ;", "-- 什么都没有", "/* nothing */ ;", "/* never closed"])
def test_sql_without_a_statement_is_its_own_kind(sql: str, sandbox: Sandbox, database: Path) -> None:
    assert sandbox.run(database, sql).kind == "empty_sql"


def test_several_statements_are_an_error_and_none_runs(sandbox: Sandbox, database: Path) -> None:
    outcome = sandbox.run(database, "SELECT 1; SELECT 2")
    assert outcome.kind == "error"
    assert "one statement" in outcome.message
    assert sandbox.run(database, "SELECT 1; -- a comment is none").rows == ((1,),)


def test_text_that_is_not_utf8_comes_back_with_its_odd_bytes_escaped(sandbox: Sandbox, database: Path) -> None:
    outcome = sandbox.run(database, "SELECT CAST(x'4142ff43' AS TEXT)")
    assert outcome.rows == (("AB\udcffC",),)
    assert not outcome.all_utf8
    assert sandbox.run(database, "SELECT 1").all_utf8, "the next answer is judged anew"


def test_a_database_whose_path_needs_quoting_is_found(sandbox: Sandbox, tmp_path: Path) -> None:
    assert sandbox.run(make_database(tmp_path / "a b?c#d%41&e=中.sqlite"), "SELECT count(*) FROM 城市").rows == ((2,),)


def test_a_database_that_changes_is_read_anew(sandbox: Sandbox, tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.sqlite")
    assert sandbox.run(path, "SELECT count(*) FROM 城市").rows == ((2,),)
    make_database(tmp_path / "b.sqlite", "CREATE TABLE 城市 (a); INSERT INTO 城市 VALUES (1), (2), (3);").replace(path)
    assert all(sandbox.run(path, "SELECT count(*) FROM 城市").rows == ((3,),) for _ in range(4))


def test_results_beyond_the_limits_are_too_large(sandbox: Sandbox, database: Path) -> None:
    numbers = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT {}) SELECT {} FROM n"
    assert len(sandbox.run(database, numbers.format(1_000, "x")).rows or ()) == 1_000
    assert sandbox.run(database, numbers.format(1_001, "x")).message == "more than 1,000 rows"
    assert sandbox.run(database, numbers.format(300, "hex(zeroblob(200))")).message == "more than 100,000 bytes"
    assert sandbox.run(database, numbers.format(300, "zeroblob(400)")).message == "more than 100,000 bytes"
    assert sandbox.run(database, f"SELECT '{'长' * 40_000}'").kind == "too_large"


def test_a_text_longer_than_a_megabyte_can_be_read_where_the_database_holds_one(tmp_path: Path) -> None:
    long = make_database(
        tmp_path / "long.sqlite",
        "CREATE TABLE t (a, b); INSERT INTO t VALUES (hex(zeroblob(1000000)), zeroblob(1000000));",
    )
    short = make_database(tmp_path / "short.sqlite")
    with Sandbox(1, Limits(deadline_s=20)) as sandbox:
        assert sandbox.run(long, "SELECT length(a) FROM t ORDER BY a, b").rows == ((2_000_000,),)
        assert sandbox.run(long, "SELECT zeroblob(9000000)").kind == "too_large"
        assert sandbox.run(short, "SELECT zeroblob(2000000)").kind == "too_large"


def test_outcomes_come_in_the_order_of_the_queries_from_many_threads(sandbox: Sandbox, database: Path) -> None:
    queries = [(database, f"SELECT {n}") for n in range(200)]
    assert [outcome.rows for outcome in sandbox.run_many(queries)] == [((n,),) for n in range(200)]


def test_an_endless_query_does_not_hold_up_its_neighbours(database: Path) -> None:
    with Sandbox(2, Limits(deadline_s=1.5)) as sandbox:
        endless = [(database, ENDLESS), (database, ENDLESS_IN_C)]
        quick = [(database, "SELECT count(*) FROM 城市")] * 20
        outcomes = sandbox.run_many([endless[0], *quick, endless[1], *quick])
        assert [outcome.kind for outcome in outcomes] == ["timeout", *["rows"] * 20, "timeout", *["rows"] * 20]
        assert outcomes[21].message == "stopped by force"


def test_the_spare_worker_takes_over_at_once_and_is_replaced(database: Path) -> None:
    with Sandbox(1, Limits(deadline_s=0.5)) as sandbox:
        wait_until(lambda: len(sandbox.worker_pids) == 2)
        before = set(sandbox.worker_pids)
        assert sandbox.run(database, ENDLESS_IN_C).kind == "timeout"
        assert sandbox.run(database, "SELECT 1").kind == "rows"
        wait_until(lambda: len(sandbox.worker_pids) == 2 and len(before & set(sandbox.worker_pids)) == 1)


def run_in_thread(sandbox: Sandbox, database: Path, sql: str) -> tuple[threading.Thread, list[Outcome]]:
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(sandbox.run(database, sql)))
    thread.start()
    return thread, outcomes


def busy_worker(sandbox: Sandbox) -> int:
    """The worker that uses the processor now."""

    def ticks(pid: int) -> int:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            return 0
        return int(fields[11]) + int(fields[12])

    first = {pid: ticks(pid) for pid in sandbox.worker_pids}
    give_up_at = time.monotonic() + 20
    while time.monotonic() < give_up_at:
        time.sleep(0.02)
        for pid, before in first.items():
            if ticks(pid) > before + 5:
                return pid
    raise AssertionError("no worker is busy")


def test_a_query_whose_process_dies_runs_once_more_elsewhere(database: Path) -> None:
    with Sandbox(1, Limits(deadline_s=30)) as sandbox:
        long = "WITH RECURSIVE a(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM a LIMIT 3000000) SELECT count(*) FROM a"
        wait_until(lambda: len(sandbox.worker_pids) == 2)
        thread, outcomes = run_in_thread(sandbox, database, long)
        os.kill(busy_worker(sandbox), signal.SIGKILL)
        thread.join()
        assert outcomes[0].rows == ((3_000_000,),)


def test_a_query_whose_process_dies_twice_has_crashed(database: Path) -> None:
    with Sandbox(1, Limits(deadline_s=60)) as sandbox:
        wait_until(lambda: len(sandbox.worker_pids) == 2)
        thread, outcomes = run_in_thread(sandbox, database, ENDLESS)
        for _ in range(2):
            os.kill(busy_worker(sandbox), signal.SIGKILL)
        thread.join()
        assert outcomes[0].kind == "crashed"
        assert outcomes[0].message == "its process ended with -9"
        assert sandbox.run(database, "SELECT 1").rows == ((1,),)


def test_idle_workers_that_were_killed_are_replaced_without_a_lost_query(database: Path) -> None:
    with Sandbox(1, Limits(deadline_s=30)) as sandbox:
        wait_until(lambda: len(sandbox.worker_pids) == 2)
        os.kill(sandbox.worker_pids[0], signal.SIGKILL)
        assert [sandbox.run(database, "SELECT 1").kind for _ in range(3)] == ["rows"] * 3


def test_no_worker_is_left_after_the_with_block(database: Path) -> None:
    with Sandbox(2) as sandbox:
        sandbox.run(database, "SELECT 1")
        pids = sandbox.worker_pids
    assert pids
    assert not any(map(is_alive, pids))
    assert sandbox.worker_pids == []
    sandbox.close()


def test_a_query_under_way_ends_when_the_sandbox_is_closed(database: Path) -> None:
    with Sandbox(1, Limits(deadline_s=300)) as sandbox:
        raised: list[SandboxError] = []

        def run() -> None:
            try:
                sandbox.run(database, ENDLESS)
            except SandboxError as error:
                raised.append(error)

        threads = [threading.Thread(target=run) for _ in range(3)]
        wait_until(lambda: len(sandbox.worker_pids) == 2)
        for thread in threads:
            thread.start()
        busy_worker(sandbox)
        sandbox.close()
        for thread in threads:
            thread.join(20)
        assert [str(error) for error in raised] == ["the sandbox is closed"] * 3
    with pytest.raises(SandboxError, match="closed"):
        sandbox.run(database, "SELECT 1")


def test_workers_that_cannot_start_are_an_error_that_says_why_and_nobody_waits(database: Path) -> None:
    nonsense = Limits.model_construct(**(Limits().model_dump() | {"memory_bytes": -(1 << 70)}))
    with Sandbox(2, nonsense) as sandbox:
        for _ in range(3):
            with pytest.raises(
                SandboxError, match="cannot start its worker processes: its process ended with 1: OverflowError"
            ):
                sandbox.run(database, "SELECT 1")
        assert sandbox.worker_pids == []


def test_workers_die_with_a_parent_that_is_killed_even_inside_one_c_function(database: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
from threading import Thread
from t2s.sql.sandbox import Limits, Sandbox
with Sandbox(1, Limits(deadline_s=500)) as sandbox:
    Thread(target=sandbox.run, args=(Path({str(database)!r}), {ENDLESS_IN_C!r}), daemon=True).start()
    while len(sandbox.worker_pids) < 2: time.sleep(0.01)
    print(*sandbox.worker_pids, flush=True)
    time.sleep(500)
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        try:
            assert len(pids) == 2
            time.sleep(0.5)  # let the query get into the function
            assert all(map(is_alive, pids))
        finally:
            parent.kill()
    wait_until(lambda: not any(map(is_alive, pids)), timeout_s=5)


def test_workers_see_nothing_of_the_environment_and_cannot_write_or_dump(database: Path) -> None:
    with Sandbox(1, Limits(memory_bytes=200 << 20)) as sandbox:
        wait_until(lambda: len(sandbox.worker_pids) == 2)
        for pid in sandbox.worker_pids:
            assert Path(f"/proc/{pid}/environ").read_bytes() == b""
            # The process confines itself right after its start; only then does it take a query.
            wait_until(lambda pid=pid: process_limits(pid)["Max address space"] == str(200 << 20))  # type: ignore[misc]
            wait_until(lambda pid=pid: process_limits(pid)["Max processes"] == "0")  # type: ignore[misc]
            assert process_limits(pid)["Max file size"] == process_limits(pid)["Max core file size"] == "0"


def test_a_database_that_cannot_be_opened_is_an_error_of_the_query(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "no.sqlite"
    path.write_text("这不是数据库" * 100, encoding="utf-8")
    assert (
        sandbox.run(path, "SELECT * FROM sqlite_master").message == "cannot open the database: file is not a database"
    )


def test_a_database_that_is_gone_is_an_error_of_the_sandbox(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"gone\.sqlite: the database cannot be read: No such file"):
        sandbox.run(tmp_path / "gone.sqlite", "SELECT 1")
