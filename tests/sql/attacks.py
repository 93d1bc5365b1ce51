"""What a model, or someone who wrote into its prompt, might send: each with the outcomes that are right.

`{folder}` stands for a folder that exists, writable by this process; `数` has 2,000 rows, `文` one long text.
"""

from __future__ import annotations

from typing import NamedTuple


class Attack(NamedTuple):
    """A statement and the kinds of outcome that are right for it."""

    name: str
    sql: str
    kinds: tuple[str, ...]


_ENDLESS = "WITH RECURSIVE a(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM a)"
_DEEP = 3_000

REFUSED = {
    "attach a file": "ATTACH DATABASE '{folder}/new.sqlite' AS x",
    "attach memory": "ATTACH ':memory:' AS x",
    "detach": "DETACH main",
    "vacuum": "VACUUM",
    "vacuum into a file": "VACUUM INTO '{folder}/copy.sqlite'",
    "pragma journal_mode": "PRAGMA journal_mode = DELETE",
    "pragma query_only off": "PRAGMA query_only = OFF",
    "pragma writable_schema": "PRAGMA writable_schema = ON",
    "pragma temp_store_directory": "PRAGMA temp_store_directory = '{folder}'",
    "pragma hard_heap_limit": "PRAGMA hard_heap_limit = 0",
    "pragma without value": "PRAGMA database_list",
    "pragma as a table": "SELECT * FROM pragma_table_info('数')",
    "pragma as a table, files": "SELECT file FROM pragma_database_list",
    "insert": "INSERT INTO 数 VALUES (1, 'a')",
    "insert from select": "INSERT INTO 数 SELECT * FROM 数",
    "replace": "REPLACE INTO 数 VALUES (1, 'a')",
    "update": "UPDATE 数 SET 值 = 0",
    "delete": "DELETE FROM 数",
    "delete behind a with": "WITH x AS (SELECT 1) DELETE FROM 数",
    "insert that returns": "INSERT INTO 数 VALUES (1, 'a') RETURNING *",
    "drop table": "DROP TABLE 数",
    "create table": "CREATE TABLE x (a)",
    "create temporary table": "CREATE TEMP TABLE x (a)",
    "create table as": "CREATE TABLE x AS SELECT * FROM 数",
    "create view": "CREATE VIEW v AS SELECT 1",
    "create trigger": "CREATE TRIGGER t AFTER INSERT ON 数 BEGIN SELECT 1; END",
    "create index": "CREATE INDEX i ON 数 (值)",
    "create virtual table": "CREATE VIRTUAL TABLE f USING fts5(a)",
    "alter table": "ALTER TABLE 数 RENAME TO x",
    "reindex": "REINDEX",
    "reindex of nothing": "REINDEX 文",
    "analyze": "ANALYZE",
    "begin": "BEGIN IMMEDIATE",
    "commit": "COMMIT",
    "rollback": "ROLLBACK",
    "savepoint": "SAVEPOINT s",
    "explain of a write": "EXPLAIN DELETE FROM 数",
    "load_extension": "SELECT load_extension('{folder}/x.so')",
    "load_extension in where": "SELECT 1 FROM 数 WHERE load_extension('x') = 1",
    "tokenizer pointer": "SELECT fts3_tokenizer('simple', x'4141414141414141')",
    "error log": "SELECT sqlite_log(1, 'x')",
    "all pages": "SELECT sum(pgsize) FROM dbstat",
}
BROKEN = {
    "write the schema": "UPDATE sqlite_master SET sql = ''",
    "drop the schema": "DROP TABLE sqlite_master",
    "read a file": "SELECT readfile('/etc/passwd')",
    "write a file": "SELECT writefile('{folder}/x', 'a')",
    "regular expression": "SELECT 1 FROM 文 WHERE 文本 REGEXP '(a+)+$'",
    "two statements": "SELECT 1; DROP TABLE 数",
    "two statements, a comment between": "SELECT 1; -- x\n DELETE FROM 数",
    "parameter": "SELECT ?",
    "nul byte": "SELECT '\0' FROM 数",
    "half a character": "SELECT '\ud800'",
    "deep parentheses": "SELECT " + "(" * _DEEP + "1" + ")" * _DEEP,
    "deep subqueries": "SELECT " + "(SELECT " * _DEEP + "1" + ")" * _DEEP,
    "long chain of conditions": "SELECT 1 WHERE " + " AND ".join(["1"] * 20_000),
    "many selects joined": " UNION ALL ".join(["SELECT 1"] * 2_000),
    "many columns": "SELECT " + ",".join(["1"] * 10_000),
    "long pattern": "SELECT '" + "a" * 50_000 + "' LIKE '" + "%a" * 5_000 + "'",
}
TOO_LARGE = {
    "gigantic blob": "SELECT zeroblob(900000000)",
    "gigantic random blob": "SELECT length(randomblob(1500000000))",
    "blob doubled by hex": "SELECT hex(hex(hex(zeroblob(400000))))",
    "replace that grows": "SELECT replace(replace(hex(zeroblob(10000)), '0', hex(zeroblob(5000))), '0', 'aaaaaaaa')",
    "group_concat": "SELECT group_concat(hex(zeroblob(1000))) FROM 数 AS a, 数 AS b",
    "long json": "SELECT json_group_array(hex(zeroblob(1000))) FROM 数 AS a, 数 AS b",
    "rows of a cross join": "SELECT * FROM 数 AS a, 数 AS b, 数 AS c",
    "endless rows": f"{_ENDLESS} SELECT x FROM a",
    "bytes of many rows": "SELECT zeroblob(900000) FROM 数",
    "a megabyte of SQL": "SELECT '" + "a" * 1_000_000 + "'",
}
# Whatever comes first: the clock or a limit. All that counts is that something does.
STOPPED = {
    "endless recursion": f"{_ENDLESS} SELECT count(*) FROM a",
    "recursion that remembers": "WITH RECURSIVE a(x) AS (SELECT 1 UNION SELECT x + 1 FROM a) SELECT count(*) FROM a",
    "cross join": "SELECT count(*) FROM 数 AS a, 数 AS b, 数 AS c, 数 AS d",
    "cross join, sorted": "SELECT a.值 FROM 数 AS a, 数 AS b, 数 AS c ORDER BY a.值 || b.值 || c.值 LIMIT 1",
    "cross join, grouped": "SELECT count(DISTINCT a.号 * 4000000 + b.号 * 2000 + c.号) FROM 数 AS a, 数 AS b, 数 AS c",
    "window over a cross join": "SELECT max(n) FROM (SELECT rank() OVER (ORDER BY a.号 + b.号) AS n "
    "FROM 数 AS a, 数 AS b)",
    "one endless C function": "SELECT instr(zeroblob(900000), zeroblob(450000) || x'01')",
    "the same, in each row": "SELECT count(*) FROM 数 WHERE instr(zeroblob(900000), zeroblob(450000) || x'01')",
    "printf precision": "SELECT printf('%.*c', 900000000, 'x')",
    "memory by a sort of blobs": "SELECT count(*) FROM (SELECT randomblob(900000) AS b FROM 数 ORDER BY b)",
    "memory by a list of blobs": f"{_ENDLESS}, b AS MATERIALIZED (SELECT zeroblob(900000) AS z FROM a LIMIT 9000) "
    "SELECT count(*) FROM b AS x, b AS y WHERE x.z = y.z",
}
# SQLite of 2023 answers these at once; older and newer ones may differ.
ANY = {
    "printf width": "SELECT printf('%900000000d', 1)",
    "like bomb": f"SELECT 文本 LIKE '{'%a_' * 20}b' FROM 文",
    "glob bomb": f"SELECT 文本 GLOB '{'*a?' * 20}b' FROM 文",
}
ALLOWED = {
    "the schema": "SELECT name, sql FROM sqlite_master",
    "a plan": "EXPLAIN QUERY PLAN SELECT * FROM 数",
    "json": "SELECT value FROM json_each('[1, 2]')",
    "version": "SELECT sqlite_version()",
}

ATTACKS = [
    *(Attack(name, sql, ("refused",)) for name, sql in REFUSED.items()),
    *(Attack(name, sql, ("error", "refused", "too_large")) for name, sql in BROKEN.items()),
    *(Attack(name, sql, ("too_large", "timeout")) for name, sql in TOO_LARGE.items()),
    *(Attack(name, sql, ("timeout", "too_large")) for name, sql in STOPPED.items()),
    *(Attack(name, sql, ("rows", "timeout", "too_large")) for name, sql in ANY.items()),
    *(Attack(name, sql, ("rows",)) for name, sql in ALLOWED.items()),
]
