"""A query in normal form: `read_clauses(sql, schema)`, for own exact set match and for saying why a query is wrong.

    SELECT a.名称 n FROM 公司 a, 利润 b WHERE b.利润 > 100 AND a.id = b.公司id ORDER BY n
    SELECT 公司.名称 FROM 利润 JOIN 公司 ON 利润.公司id = 公司.id WHERE 200 < 利润 ORDER BY 1 ASC

    both: select [公司.名称] from [公司; 利润] join [公司.id = 利润.公司id] where [利润.利润 > ?] order [公司.名称]

All of SQLite's SELECT is read (`sqlglot_reading`: what is not, and what a statement is). Two queries are the same here
if they must give the same rows, in any order of columns, but for the values they compare with. The rules, each with its
reason:

Names
- Aliases of tables are resolved, and bare columns by the schema, as SQLite does it (`scopes`); letter case of ASCII
  makes no difference. A double-quoted word that names nothing is a text. A name that does not exist or is ambiguous
  equals nothing: SQLite does not run it.
- Result aliases are what they stand for, positions in ORDER BY and GROUP BY too: their names are not in the rows.
- `*` is the columns that it stands for.
- A table that stands twice has no order: the labels are tried both ways.

FROM
- Inner joins, commas, CROSS JOIN, NATURAL and USING are the same; tables are a multiset. ON of an inner join and WHERE
  are the same, since SQLite itself moves one into the other.
- Columns that a query equates (a.id = b.a_id, in ON or WHERE) are interchangeable everywhere in it. That is what the
  official evaluator's foreign keys are for, which it takes from the schema and without looking at ON. So two
  queries that join on different columns are equal to it, and are not here.
- RIGHT JOIN is a LEFT JOIN turned round. The conditions of an outer join are its own.
- A CTE is a subquery in FROM at each place where it is used.

Conditions
- AND, OR, IN-lists and comparisons have no order (`5 < x` is `x > 5`); NOT goes inside; BETWEEN is `>=` and `<=`;
  `x = 1 OR x = 2` is `x IN (1, 2)`, and its negation likewise; `<>` is `!=`; the `1 = 1` of generated SQL is nothing.
- Values are left out of `key`: constants, and what is computed from constants alone, on one side of a comparison, in
  an IN-list, a LIKE or BETWEEN, and in LIMIT and OFFSET. How many an IN-list has is part of its values, but for one,
  which is `=`. Other constants say what is computed (`substr(日期, 1, 4)`, `THEN 1`) and stay; NULL is no value.

Results
- SELECT is a multiset, GROUP BY a set, ORDER BY a list with ASC as default. The order inside an IN or EXISTS
  without LIMIT counts for nothing, and what EXISTS selects neither.
- count(*), count(1) and count of a column that is never NULL (declared so, or joined on) are the same.
- DISTINCT is left out of `key`, as the official default has it, and kept in `distinct`. UNION is not UNION ALL.
- UNION and INTERSECT have no order, EXCEPT has.
- `a + b` is `b + a`, `IIF` is `CASE`, `IFNULL` is `COALESCE`, and so on; CAST goes by affinity.

Not seen as the same, though they may give the same rows: a join and an IN, `max()` and `ORDER BY … LIMIT 1`, GROUP BY
and DISTINCT, EXCEPT and NOT IN, a subquery in FROM and what it could be written as without one.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import lru_cache
from threading import Lock

from t2s.schema import Schema
from t2s.sql.clauses.pieces import Unreadable
from t2s.sql.clauses.queries import QueryReader
from t2s.sql.clauses.quoted import quoted_by_tokens
from t2s.sql.clauses.scopes import schema_names
from t2s.sql.clauses.sqlglot_reading import FAILURES, parse_sqlite
from t2s.sql.clauses.terms import Clauses, ComparedValue, Selected, Term

__all__ = ["ClauseReader", "Clauses", "ComparedValue", "Selected", "Term", "clause_reader", "read_clauses"]

logger = logging.getLogger(__name__)

# A query is asked for two or three times in a row, a gold once for each of its predictions.
_CACHED_QUERIES = 1_024
# Real queries have under 5,000 characters, but hostile ones are kept, too.
_MAX_CHARACTERS_KEPT = 200_000
_CACHED_SCHEMAS = 64


class ClauseReader:
    """Reads the queries of one database; remembers the last 1,024. May be used by several threads.

    Args:
        schema: The database's.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._tables = schema_names(schema)
        self._read = lru_cache(maxsize=_CACHED_QUERIES)(self._read_anew)

    def read(self, sql: str) -> Clauses | None:
        """Read a query: about 1 ms. None if it is none that SQLite would take, or too large (20,000 characters)."""
        return self._read(sql)

    def _read_anew(self, sql: str) -> Clauses | None:
        root = parse_sqlite(sql)
        if root is None:
            return None
        reader = QueryReader(self._tables)
        try:
            clauses = reader.query(root, None, None).clauses
        except (Unreadable, RecursionError):
            return None
        except FAILURES as error:  # a model's SQL must not end a run
            logger.warning("not compared by its clauses, %s: %.200s", type(error).__name__, sql)
            return None
        if len(clauses.text) > _MAX_CHARACTERS_KEPT:
            return None
        return replace(clauses, quoted_texts=reader.quoted_texts())

    def quoted_strings(self, sql: str, *, values: bool = False) -> tuple[str, ...]:
        """Words in double quotes that are texts; see `t2s.metrics.verdict.quoted_strings`."""
        clauses = self.read(sql)
        texts = clauses.quoted_texts if clauses is not None else quoted_by_tokens(sql, self._tables)
        return tuple(dict.fromkeys(text for text, is_value in texts if values or not is_value))


_readers: dict[int, tuple[Schema, ClauseReader]] = {}
_readers_lock = Lock()


def clause_reader(schema: Schema) -> ClauseReader:
    """The reader of a schema; made once for each of the last 64 schema objects."""
    with _readers_lock:
        # A schema's hash goes through every column; the object is what callers keep, and holding it keeps its id.
        found = _readers.pop(id(schema), None) or (schema, ClauseReader(schema))
        _readers[id(schema)] = found
        if len(_readers) > _CACHED_SCHEMAS:
            del _readers[next(iter(_readers))]
        return found[1]


def read_clauses(sql: str, schema: Schema) -> Clauses | None:
    """Read a query of a database; see `ClauseReader.read`."""
    return clause_reader(schema).read(sql)
