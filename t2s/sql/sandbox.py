"""The one door through which a model's SQL runs.

    with Sandbox(num_workers=2) as sandbox:
        sandbox.run(Path("database/中国城市.sqlite"), "SELECT 名称 FROM 城市 WHERE 人口 > 1000")
        # Outcome(kind="rows", rows=(("北京",), ("上海",)), names=("名称",), elapsed_s=0.0004, all_utf8=True)

A query runs in one of `num_workers` processes (worker.py says what holds it in there). SQLite looks at the clock
between the steps of its virtual machine, never inside one C function (`instr(zeroblob(900000),
zeroblob(450000)||x'01')` runs 5 s past any deadline), so the process is killed 0.2 s after the deadline and a warm
spare takes its place. Workers die with this process, also when it is killed with -9: their stdin ends, and the kernel
is asked to kill them (PR_SET_PDEATHSIG).

A query's own failure is an `Outcome`; only a failure of the sandbox itself raises (`SandboxError`). That a file is a
database at all is seen before work starts, by `t2s.dataset.Databases.check`.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from t2s.errors import SandboxError
from t2s.sql.worker_process import WorkerDied, WorkerProcess

Value = None | int | float | str | bytes
Row = tuple[Value, ...]
Kind = Literal["rows", "error", "timeout", "refused", "too_large", "crashed", "empty_sql"]

_KILL_AFTER_S = 0.2
_DEATHS_AT_START = 2  # the kernel may kill a bystander; what fails three times fails always
_READ_FILE_TIMEOUT_S = 600.0
_CLOSED = "the sandbox is closed"


class Limits(BaseModel):
    """What one query may take.

    Attributes:
        deadline_s: Seconds until it is stopped.
        max_rows: Rows of a result.
        max_bytes: Bytes of a result: its texts and BLOBs, and 16 for each value.
        memory_bytes: Address space of a worker process; SQLite itself gets half of it.
        max_sql_bytes: Length of the SQL, UTF-8.
        max_value_bytes: Length of a text, a BLOB or a row, unless the database holds a longer row.
        max_pattern_bytes: Length of a LIKE or GLOB pattern.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    deadline_s: float = Field(10.0, gt=0)
    max_rows: int = Field(200_000, gt=0)
    max_bytes: int = Field(32 << 20, gt=0)
    memory_bytes: int = Field(512 << 20, ge=128 << 20)
    max_sql_bytes: int = Field(100_000, gt=0)
    max_value_bytes: int = Field(1_000_000, gt=0)
    max_pattern_bytes: int = Field(1_000, gt=0)


class Outcome(NamedTuple):
    """What came of one query.

    Attributes:
        kind: `rows`: it ran. `error`: SQLite says why not (several statements are one of these reasons). `timeout`:
            the deadline. `refused`: it wanted more than reading. `too_large`: rows, bytes, memory or the SQL itself.
            `crashed`: its process died. `empty_sql`: there was no statement.
        rows: The result for `rows`, else None.
        names: Names of its columns, as SQLite gives them.
        message: Why there are no rows; for people.
        elapsed_s: Seconds it took.
        all_utf8: False where a text was not UTF-8; its odd bytes stand in it as surrogate escapes.
    """

    kind: Kind
    rows: tuple[Row, ...] | None = None
    names: tuple[str, ...] = ()
    message: str = ""
    elapsed_s: float = 0.0
    all_utf8: bool = True


class Sandbox:
    """A pool of worker processes; `run` may be called from as many threads as wanted.

    Args:
        num_workers: Queries that run at once; one more process stands by. None: one for each CPU.
        limits: What a query may take.
    """

    def __init__(self, num_workers: int | None = None, limits: Limits | None = None) -> None:
        self.num_workers = num_workers or os.cpu_count() or 1
        self.limits = limits or Limits()
        self._slots = threading.BoundedSemaphore(self.num_workers)
        # An error in the queue is for all: whoever takes it puts it back.
        self._idle: queue.LifoQueue[WorkerProcess | SandboxError] = queue.LifoQueue()
        self._dead: queue.SimpleQueue[WorkerProcess | None] = queue.SimpleQueue()
        self._workers: set[WorkerProcess] = set()
        self._keeper: threading.Thread | None = None
        self._error: SandboxError | None = None
        self._length_limits: dict[tuple[object, ...], int] = {}
        self._length_lock = threading.Lock()

    def __enter__(self) -> Sandbox:
        # One thread starts all workers and lives as long as they do: PR_SET_PDEATHSIG means the thread, not the
        # process.
        settings = json.dumps(self.limits.model_dump() | {"parent_pid": os.getpid()})
        self._keeper = threading.Thread(target=self._keep, args=(settings,), name="sandbox-keeper", daemon=True)
        self._keeper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every worker; none is left when it returns. May be called twice.

        A `run` that is under way in another thread raises SandboxError.
        """
        self._error = self._error or SandboxError(_CLOSED)
        if self._keeper is not None:
            self._dead.put(None)
            self._keeper.join()
            self._keeper = None

    @property
    def worker_pids(self) -> list[int]:
        """The processes that are there now, the spare one included."""
        return sorted(worker.pid for worker in list(self._workers))

    def run(self, database: Path, sql: str) -> Outcome:
        """Run one query.

        Raises:
            SandboxError: Workers cannot be started, the database file cannot be read, or the sandbox is closed.
        """
        if not sql.strip(" \t\r\n;"):
            return Outcome("empty_sql", message="no statement")
        num_bytes = len(sql.encode("utf-8", "surrogatepass"))
        if num_bytes > self.limits.max_sql_bytes:
            return Outcome("too_large", message=f"SQL of {num_bytes:,} bytes, allowed {self.limits.max_sql_bytes:,}")
        request: dict[str, Any] = {"op": "query", "database": str(database.absolute()), "sql": sql}
        with self._slots:
            request["length_limit"] = self._length_limit(database)
            return self._ask_twice(request)

    def run_many(self, queries: Sequence[tuple[Path, str]]) -> list[Outcome]:
        """Run queries side by side; outcomes in the order of the queries."""
        with ThreadPoolExecutor(self.num_workers) as threads:
            return list(threads.map(lambda query: self.run(*query), queries))

    def _ask_twice(self, request: dict[str, Any]) -> Outcome:
        """Ask; where the process died, ask another one in what is left of the time.

        The query may have been a bystander: the kernel, short of memory, kills the process it likes. A query that
        crashes SQLite does so again.
        """
        started = time.monotonic()
        for last in (False, True):
            left_s = self.limits.deadline_s - (time.monotonic() - started)
            outcome = self._ask_once(request, max(left_s, 0.001))
            if outcome.kind != "crashed" or last or time.monotonic() - started >= self.limits.deadline_s:
                break
        return outcome

    def _ask_once(self, request: dict[str, Any], deadline_s: float) -> Outcome:
        worker = self._idle.get()
        if isinstance(worker, SandboxError):
            self._idle.put(worker)
            raise SandboxError(str(worker)) from worker
        started = time.monotonic()
        usable = False
        try:
            answer = worker.ask(request | {"deadline_s": deadline_s}, deadline_s + _KILL_AFTER_S)
            usable = not answer.get("retire", False)
        except TimeoutError:
            return Outcome("timeout", message="stopped by force", elapsed_s=time.monotonic() - started)
        except WorkerDied as error:
            if self._error is not None:
                raise SandboxError(str(self._error)) from error
            return Outcome("crashed", message=str(error), elapsed_s=time.monotonic() - started)
        finally:
            if usable:
                self._idle.put(worker)
            else:
                worker.kill()
                self._dead.put(worker)
        if answer["kind"] != "rows":
            message = "the deadline" if answer["kind"] == "timeout" else answer["message"]
            return Outcome(answer["kind"], message=message, elapsed_s=answer["elapsed_s"])
        return Outcome(
            "rows",
            rows=tuple(tuple(row) for row in answer["rows"]),
            names=tuple(answer["names"]),
            elapsed_s=answer["elapsed_s"],
            all_utf8=answer.get("all_utf8", True),
        )

    def _length_limit(self, database: Path) -> int:
        """SQLite's length limit for a database: no shorter than its longest row, or that row could not be read."""
        try:
            stat = database.stat()
        except OSError as error:
            raise SandboxError(f"{database}: the database cannot be read: {error.strerror}") from error
        least = self.limits.max_value_bytes
        if stat.st_size <= least:
            return least
        key = (database.absolute(), stat.st_ino, stat.st_size, stat.st_mtime_ns)
        with self._length_lock:
            if key not in self._length_limits:
                request = {"op": "longest_row", "database": str(database.absolute())}
                outcome = self._ask_once(request, _READ_FILE_TIMEOUT_S)
                if outcome.kind != "rows":
                    raise SandboxError(f"{database}: its longest row cannot be found: {outcome.message}")
                assert outcome.rows is not None
                longest = outcome.rows[0][0]
                assert isinstance(longest, int)
                # A row in a sorter or a temporary table has a header of its own: 9 bytes a column are the most.
                self._length_limits[key] = max(least, longest + 9 * 2_000)
            return self._length_limits[key]

    def _keep(self, settings: str) -> None:
        """Start workers, replace dead ones, end all: the only place where a worker is born or buried."""
        try:
            self._start(self.num_workers + 1, settings)
            while (dead := self._dead.get()) is not None:
                self._workers.discard(dead)
                dead.bury()
                self._start(1, settings)
        except (SandboxError, OSError) as error:
            self._error = SandboxError(f"the sandbox cannot start its worker processes: {error}")
        finally:
            self._end_all()
            self._idle.put(self._error or SandboxError(_CLOSED))  # whoever waits for a worker waits no longer

    def _end_all(self) -> None:
        for worker in self._workers:
            worker.kill()
        while self._workers:  # those in use are handed in by the threads that use them: they see them die
            found: WorkerProcess | SandboxError | None
            try:
                found = self._idle.get_nowait()
            except queue.Empty:
                try:
                    found = self._dead.get(timeout=0.02)
                except queue.Empty:
                    continue
            if isinstance(found, WorkerProcess):
                found.bury()
                self._workers.discard(found)

    def _start(self, number: int, settings: str) -> None:
        """Start workers side by side; one that dies on the way is started anew, a few times."""
        born = [WorkerProcess(settings) for _ in range(number)]
        self._workers |= set(born)
        deaths = 0
        while born:
            worker = born.pop()
            try:
                worker.wait_until_ready()
            except SandboxError:
                self._forget([worker])
                deaths += 1
                if deaths > _DEATHS_AT_START:
                    self._forget(born)
                    raise
                born.append(WorkerProcess(settings))
                self._workers.add(born[-1])
            else:
                self._idle.put(worker)

    def _forget(self, workers: Sequence[WorkerProcess]) -> None:
        for worker in workers:
            worker.kill()
            worker.bury()
            self._workers.discard(worker)
