"""The process in which a model's SQL runs. Started by sandbox.py, by path, as `python -I -S worker.py SETTINGS`.

It imports the standard library alone, so it starts in about 50 ms and holds nothing of ours that SQL could reach. It
reads
requests from stdin and writes answers to stdout, each one a frame: length (4 bytes, big-endian), then JSON in ASCII.
JSON,
not pickle: whoever takes this process over must not thereby get the parent.

    {"op": "query", "database": path, "sql": …, "deadline_s": 10, "length_limit": 1000000}
    -> {"kind": "rows", "rows": [[1, "北京"], …], "names": ["id", "名称"], "elapsed_s": 0.001, "all_utf8": true, …}
    {"op": "longest_row", "database": path}      -> {"kind": "rows", "rows": [[bytes]], …}

TEXT that is not UTF-8 comes back with surrogate escapes (nothing is lost, nothing crashes) and `all_utf8` false. A BLOB
is `{"blob": hex}`. What keeps a query in: a read-only immutable connection; an authorizer that knows four actions;
SQLite's limits; a progress handler at the deadline; limits of the operating system. The parent kills what these cannot
stop. (FTS5
tables cannot be read: their module runs `PRAGMA data_version`, and no PRAGMA passes.)
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import signal
import sqlite3
import struct
import sys
import time
from collections import OrderedDict
from typing import Any, BinaryIO

# Everything in SQLite's own manual that computes and does nothing else. Left out on purpose: load_extension,
# fts3_tokenizer, fts5 (pointers), optimize, rtreecheck (run SQL of their own), sqlite_log (writes the error log).
ALLOWED_FUNCTIONS = frozenset(
    """
    -> ->> abs acos acosh asin asinh atan atan2 atanh avg bm25 ceil ceiling changes char coalesce concat concat_ws cos
    cosh count cume_dist current_date current_time current_timestamp date datetime degrees dense_rank exp first_value
    floor format glob group_concat hex highlight if ifnull iif instr json json_array json_array_length
    json_error_position json_extract json_group_array json_group_object json_insert json_object json_patch json_pretty
    json_quote json_remove json_replace json_set json_type json_valid jsonb jsonb_array jsonb_extract jsonb_group_array
    jsonb_group_object jsonb_insert jsonb_object jsonb_patch jsonb_remove jsonb_replace jsonb_set julianday lag
    last_insert_rowid last_value lead length like likelihood likely ln log log10 log2 lower ltrim match matchinfo max
    median min mod nth_value ntile nullif octet_length offsets percent_rank percentile percentile_cont percentile_disc
    pi pow power printf quote radians random randomblob rank replace round row_number rtrim sign sin sinh snippet
    soundex sqlite_source_id sqlite_version sqrt strftime string_agg substr substring subtype sum tan tanh time timediff
    total total_changes trim trunc typeof unhex unicode unistr unistr_quote unixepoch unlikely upper zeroblob
    """.split()
)

_ACTIONS = {
    getattr(sqlite3, name): name.removeprefix("SQLITE_")
    for name in dir(sqlite3)
    if name.startswith(("SQLITE_CREATE_", "SQLITE_DROP_", "SQLITE_ALTER_"))
    or name
    in {
        f"SQLITE_{action}"
        for action in "ANALYZE ATTACH DELETE DETACH FUNCTION INSERT PRAGMA REINDEX SAVEPOINT TRANSACTION UPDATE".split()
    }
}

# How often the progress handler looks at the clock: 1,000 steps of the virtual machine are well under a millisecond.
_STEPS_BETWEEN_LOOKS = 1_000
_OPEN_DATABASES = 8
_COMMENTS = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_VALUE_OVERHEAD_BYTES = 16


class _TooLarge(Exception):
    """The result passed the limit of rows or bytes."""


class _Database:
    """One database, opened so that SQL can read it and do nothing else."""

    def __init__(self, path: str, length_limit: int, settings: dict[str, Any]) -> None:
        self.refused: str | None = None
        self.bytes_read = 0
        self.all_utf8 = True
        self._deadline = 0.0
        self.timed_out = False
        self._max_bytes: int = settings["max_bytes"]
        self.connection = open_readonly(path)
        self.connection.text_factory = self._text
        for pragma in (
            "temp_store = MEMORY",  # a big sort must not become a file; RLIMIT_FSIZE would stop it anyway
            "mmap_size = 0",
            "query_only = ON",
            "cell_size_check = ON",
            f"hard_heap_limit = {settings['memory_bytes'] // 2}",  # SQLite gives up before the process runs dry
        ):
            self.connection.execute(f"PRAGMA {pragma}").fetchall()
        for category, limit in (
            (sqlite3.SQLITE_LIMIT_LENGTH, length_limit),
            (sqlite3.SQLITE_LIMIT_SQL_LENGTH, settings["max_sql_bytes"]),
            (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, settings["max_pattern_bytes"]),
            (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 1_000),  # SQLite's own default, which a build can raise
            (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 100),  # gold has at most a handful; each term costs planning time
            (sqlite3.SQLITE_LIMIT_VDBE_OP, 250_000),
            (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
            (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1),
            (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
        ):
            self.connection.setlimit(category, limit)
        self._connect_virtual_tables()
        self.connection.set_progress_handler(self._look_at_the_clock, _STEPS_BETWEEN_LOOKS)
        self.connection.set_authorizer(self._authorize)  # last: from here on not even we may use a PRAGMA

    def query(self, sql: str, deadline: float, max_rows: int) -> tuple[list[tuple[Any, ...]], list[str]]:
        """Run one statement; rows and the columns' names, none where there was no statement."""
        self.refused, self.timed_out, self.all_utf8 = None, False, True
        self.bytes_read = 0
        self._deadline = deadline
        cursor = self.connection.execute(sql)
        try:
            names = [column[0] for column in cursor.description or ()]
            rows: list[tuple[Any, ...]] = []
            for row in cursor:
                self.bytes_read += _VALUE_OVERHEAD_BYTES * len(names)
                self.bytes_read += sum(len(value) for value in row if type(value) is bytes)
                if len(rows) >= max_rows:
                    raise _TooLarge(f"more than {max_rows:,} rows")
                if self.bytes_read > self._max_bytes:
                    raise _TooLarge(f"more than {self._max_bytes:,} bytes")
                rows.append(row)
            return rows, names
        finally:
            cursor.close()

    def _connect_virtual_tables(self) -> None:
        """Use each virtual table once: SQLite asks the authorizer for writes when it first connects to one."""
        names = [
            *self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage = 0"),
            *self.connection.execute("SELECT name FROM pragma_module_list WHERE name IN ('json_each', 'json_tree')"),
        ]
        for (name,) in names:
            try:
                self.connection.execute(f"SELECT 1 FROM {quoted(name)} LIMIT 0").fetchall()
            except sqlite3.OperationalError:
                continue  # its module is not in this build: the queries that want it will hear so

    def _text(self, raw: bytes) -> str:
        self.bytes_read += len(raw)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            self.all_utf8 = False
            return raw.decode("utf-8", "surrogateescape")

    def _look_at_the_clock(self) -> bool:
        self.timed_out = time.monotonic() > self._deadline
        return self.timed_out

    def _authorize(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in ALLOWED_FUNCTIONS:
            return sqlite3.SQLITE_OK
        if self.refused is None:
            name = _ACTIONS.get(action, f"action {action}")
            self.refused = " ".join(part for part in (name, first, second) if part)
        return sqlite3.SQLITE_DENY


def open_readonly(path: str) -> sqlite3.Connection:
    """Open a database for reading, without locks and without side files; every odd byte of the path is quoted."""
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/"
    quoted = "".join(chr(byte) if byte in plain else f"%{byte:02X}" for byte in os.fsencode(path))
    return sqlite3.connect(f"file:{quoted}?mode=ro&immutable=1", uri=True, isolation_level=None, cached_statements=0)


def quoted(name: str) -> str:
    """An identifier that SQLite takes for nothing else."""
    return '"' + name.replace('"', '""') + '"'


def longest_row(path: str) -> int:
    """Bytes of the longest row: SQLite's length limit holds for whole rows too. Reads the file once; SQL of our own."""
    connection = open_readonly(path)
    try:
        longest = 0
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0").fetchall()
        for (table,) in tables:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({quoted(table)})")]
            lengths = " + ".join(f"coalesce(length(CAST({quoted(column)} AS BLOB)), 0)" for column in columns)
            (length,) = connection.execute(f"SELECT max({lengths}) FROM {quoted(table)}").fetchone()
            longest = max(longest, length or 0)
        return longest
    finally:
        connection.close()


class _Worker:
    """Answers requests, one at a time."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._databases: OrderedDict[tuple[object, ...], _Database] = OrderedDict()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one request; whatever the query does wrong is a kind of answer."""
        started = time.monotonic()
        if request["op"] == "longest_row":
            try:
                longest = longest_row(request["database"])
            except (sqlite3.Error, MemoryError) as error:
                return _answer("error", started, message=f"{type(error).__name__}: {error}")
            return _answer("rows", started, rows=[(longest,)], names=["longest"])
        try:
            database = self._database(request["database"], request["length_limit"])
        except (sqlite3.Error, OSError) as error:
            return _answer("error", started, message=f"cannot open the database: {error}")
        try:
            rows, names = database.query(request["sql"], started + request["deadline_s"], self._settings["max_rows"])
        except MemoryError:
            message = f"needs more than {self._settings['memory_bytes']:,} bytes of memory"
            return _answer("too_large", started, message=message) | {"retire": True}
        except _TooLarge as error:
            return _answer("too_large", started, message=str(error))
        except (sqlite3.Error, sqlite3.Warning, UnicodeError, ValueError) as error:
            return _answer(_kind(error, database), started, message=database.refused or str(error))
        if not names:
            if _COMMENTS.sub("", request["sql"]).strip(" \t\r\n\f;"):
                return _answer("refused", started, message="a statement that is no query")
            return _answer("empty_sql", started, message="no statement")
        return _answer("rows", started, rows=rows, names=names, all_utf8=database.all_utf8)

    def _database(self, path: str, length_limit: int) -> _Database:
        stat = os.stat(path)
        key = (path, stat.st_ino, stat.st_size, stat.st_mtime_ns, length_limit)
        if key not in self._databases:
            self._databases[key] = _Database(path, length_limit, self._settings)
            if len(self._databases) > _OPEN_DATABASES:
                _, oldest = self._databases.popitem(last=False)
                oldest.connection.close()
        self._databases.move_to_end(key)
        return self._databases[key]


def _kind(error: Exception, database: _Database) -> str:
    if database.refused is not None:
        return "refused"
    if database.timed_out:
        return "timeout"
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_TOOBIG or isinstance(error, sqlite3.DataError):
        return "too_large"  # DataError: the statement itself is longer than the limit
    return "error"


def _answer(kind: str, started: float, **more: object) -> dict[str, Any]:
    return {"kind": kind, "elapsed_s": time.monotonic() - started, **more}


def _encode_blob(value: object) -> dict[str, str]:
    assert isinstance(value, bytes), f"SQLite has no such type: {type(value)}"
    return {"blob": value.hex()}


def read_frame(stream: BinaryIO) -> bytes | None:
    """Read one frame; None when the other side is gone."""
    header = stream.read(4)
    if len(header) < 4:
        return None
    (length,) = struct.unpack(">I", header)
    body = stream.read(length)
    return body if len(body) == length else None


def write_frame(stream: BinaryIO, body: bytes) -> None:
    """Write one frame."""
    stream.write(struct.pack(">I", len(body)) + body)
    stream.flush()


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to end this process with the thread that started it, also when that is killed with -9."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1  # linux/prctl.h
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(0)  # the parent died before we asked to die with it


def confine(parent_pid: int, memory_bytes: int) -> None:
    """Give up what a query never needs: files, memory beyond the limit, other processes, life after the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    die_with_parent(parent_pid)
    if sys.platform == "linux":
        pr_set_no_new_privs = 38
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_no_new_privs, 1, 0, 0, 0)
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        _, hard = resource.getrlimit(limit)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))


def main() -> None:
    """Serve until stdin ends."""
    settings = json.loads(sys.argv[1])
    confine(settings["parent_pid"], settings["memory_bytes"])
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    worker = _Worker(settings)
    write_frame(answers, json.dumps({"kind": "ready", "sqlite": sqlite3.sqlite_version}).encode())
    while (body := read_frame(requests)) is not None:
        try:
            answer = worker.answer(json.loads(body))
            encoded = json.dumps(answer, default=_encode_blob).encode()
        except MemoryError:
            encoded = (
                b'{"kind": "too_large", "elapsed_s": 0, "message": "the result does not fit memory", "retire": true}'
            )
        write_frame(answers, encoded)


if __name__ == "__main__":
    main()
