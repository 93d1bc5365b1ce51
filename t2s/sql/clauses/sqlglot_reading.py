r"""SQL into sqlglot's tree, by SQLite's rules: `parse_sqlite(sql)`, None for what is no query of SQLite's.

sqlglot reads thirty dialects with one grammar, so it takes what SQLite does not (`SELECT a, FROM t`, `a::int`),
stumbles on names that are keywords elsewhere (`interval`), and forgets which quotes a name had. So it never sees the
SQL itself, but this, made of `t2s.sql.tokens`:

    select T1.key，COUNT（*） cnt from "公司" AS T1 where [注册资本（万）]＞"北京"; select 2
    select "T1" . "key" , f_count ( * ) "cnt" from "公司\x01" as "T1" where "注册资本（万）" > "北京\x01"

- every word that is no keyword of SQLite's at its place is a quoted name; a name that was in double quotes ends in
  `DOUBLE_QUOTED`, since SQLite takes it for a text where nothing has that name;
- every function is `f_NAME`, so that sqlglot has no meaning of its own for it;
- a type in CAST is its affinity (https://www.sqlite.org/datatype3.html, 3.1); a literal where only a name can stand
  (`AS '别名'`, `FROM '表'`) is a name; `> =` is `>=`, as the official evaluator has it; `IN 表` is `IN (SELECT * FROM
  表)`;
- the first statement alone, as in the official evaluator's default mode; comments go.

Hostile SQL costs little: its length and depth are limited before sqlglot sees it, and what sqlglot raises is None.
"""

from __future__ import annotations

import logging
import re
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

from t2s.sql.clauses.pieces import MAX_DEPTH, Piece, Unreadable, cut, unquoted

if TYPE_CHECKING:
    from sqlglot import exp

# The longest gold of Spider, SParC and CHASE has under 1,000 characters; 20,000 take 0.1 s at worst.
MAX_CHARACTERS = 20_000
DOUBLE_QUOTED = "\x01"
FUNCTION_PREFIX = "f_"

# Words that are never names here unless quoted or behind a dot.
_HARD = frozenset(
    """
    all and as between case collate cross current_date current_time current_timestamp distinct else escape except exists
    false from full group having in inner intersect is isnull join left limit natural not notnull null on or order outer
    right select then true union using values when where with
    """.split()
)
_FRAME = frozenset("unbounded preceding following current row exclude no others ties".split())
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE]\d*)?")
# What may not follow a comma or SELECT, where sqlglot forgives it.
_AFTER_ITEMS = frozenset("from where group having order limit union intersect except".split())
# The order of a SELECT's clauses, which sqlglot does not insist on.
_CLAUSES = {"from": 1, "where": 2, "group": 3, "having": 4, "window": 5, "order": 6, "limit": 7}
# Keywords that an expression or a sort term can end with.
_ENDS = frozenset("null true false isnull notnull end asc desc first last".split()) | _FRAME
FAILURES = (RecursionError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError)
"""What comes of SQL that nobody foresaw: sqlglot raises its own errors for most of what it does not take, and one of
these now and then; or its tree has a form that no query of SQLite's has."""
_QUERIES = frozenset(("select", "union", "intersect", "except", "values"))


def parse_sqlite(sql: str) -> exp.Expr | None:
    """Parse a query; None if SQLite would not take it, or it passes the limits. Never raises."""
    if len(sql) > MAX_CHARACTERS or "\x00" in sql or DOUBLE_QUOTED in sql:
        return None
    try:
        text = rewrite(sql)
    except Unreadable:
        return None
    sqlglot = _sqlglot()
    try:
        statements = sqlglot.parse(text, read="sqlite")
    except (sqlglot.errors.SqlglotError, *FAILURES):
        return None
    root: exp.Expr | None = statements[0] if len(statements) == 1 else None
    return root if root is not None and root.key in _QUERIES else None


@cache
def _sqlglot() -> ModuleType:
    import sqlglot

    # It warns of what it cannot place in a tree and goes on; a user can do nothing about a model's odd JSON path.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    return sqlglot


def rewrite(sql: str) -> str:
    """The first statement as sqlglot gets it; raises `Unreadable`."""
    return " ".join(_Rewriting(cut(sql)).texts())


class _Rewriting:
    """One pass over the pieces of a statement."""

    def __init__(self, pieces: list[Piece]) -> None:
        self._pieces = pieces
        self._num_cases = 0
        self._frame_ends_at = -1
        # For each open CAST: its closing bracket, and how many brackets are open inside it.
        self._casts: list[tuple[int, int]] = []
        # For each open bracket: the last clause in it.
        self._clauses = [0]
        # Whether what stands before is something that an operator, an alias or a sort direction can follow.
        self._after_operand = False

    def texts(self) -> list[str]:
        pieces = self._pieces
        out: list[str] = []
        index = 0
        if pieces[0].word not in ("select", "with", "values"):
            raise Unreadable
        while index < len(pieces):
            piece = pieces[index]
            text, num_pieces = self._rewritten(piece, index)
            if out and self._belongs_to_the_one_before(index):
                out[-1] += text
            else:
                out.append(text)
            index += num_pieces
        if self._num_cases or not self._after_operand:
            raise Unreadable
        return out

    def _word(self, index: int) -> str:
        return self._pieces[index].word if 0 <= index < len(self._pieces) else ""

    def _sign(self, index: int) -> str:
        inside = 0 <= index < len(self._pieces) and self._pieces[index].kind == "sign"
        return self._pieces[index].text if inside else ""

    def _belongs_to_the_one_before(self, index: int) -> bool:
        piece, before = self._pieces[index], self._pieces[index - 1]
        if piece.kind == before.kind == "sign":
            return (piece.glued and piece.text in "<>=|-" and before.text in "<>=!|-") or (
                piece.text == "=" and before.text in "<>!"
            )
        # 1e-5 comes as three pieces.
        return piece.glued and (
            (before.kind == "number" and before.text[-1] in "eE" and piece.text in ("+", "-"))
            or (
                piece.kind == "number"
                and before.text in ("+", "-")
                and self._pieces[index - 2].kind == "number"
                and self._pieces[index - 2].text[-1] in "eE"
                and before.glued
            )
        )

    def _rewritten(self, piece: Piece, index: int) -> tuple[str, int]:
        """The piece for sqlglot, and how many pieces it stands for."""
        match piece.kind:
            case "literal":
                is_name = (
                    self._after_operand or self._word(index - 1) in ("as", "from", "join") or self._is_column(index)
                )
                self._after_operand = True
                return (_quoted(unquoted(piece.text)) if is_name else piece.text), 1
            case "name":
                self._after_operand = True
                return _quoted(unquoted(piece.text) + (DOUBLE_QUOTED if piece.text[0] == '"' else "")), 1
            case "number":
                if not _NUMBER.fullmatch(piece.text):
                    raise Unreadable
                self._after_operand = True
                return piece.text, 1
            case "sign":
                self._check_sign(piece, index)
                self._after_operand = piece.text in ")?" or (piece.text == "*" and not self._after_operand)
                return piece.text, 1
        return self._rewritten_word(piece, index)

    def _check_sign(self, piece: Piece, index: int) -> None:
        """Refuse what sqlglot forgives, and keep count of brackets."""
        after = self._word(index + 1)
        if piece.text == "," and (not self._after_operand or after in _AFTER_ITEMS or self._sign(index + 1) == ")"):
            raise Unreadable
        if piece.text == ")" and not self._after_operand and self._sign(index - 1) != "(":
            raise Unreadable
        if piece.text == "*" and self._sign(index - 1) == "(" and self._word(index - 2) in ("", *_HARD):
            raise Unreadable
        if piece.text == ":" and self._sign(index + 1) == ":":
            raise Unreadable
        if piece.text == "(":
            self._clauses.append(0)
        elif piece.text == ")":
            self._clauses.pop()
            if self._casts and self._casts[-1][0] == index:
                self._casts.pop()

    def _is_column(self, index: int) -> bool:
        return self._sign(index - 1) == "."

    def _rewritten_word(self, piece: Piece, index: int) -> tuple[str, int]:
        word, before, after = piece.word, self._word(index - 1), self._word(index + 1)
        opens = self._sign(index + 1) == "("
        if word == "x" and index + 1 < len(self._pieces):
            blob = self._pieces[index + 1]
            if blob.kind == "literal" and blob.glued:
                self._after_operand = True
                return f"x{blob.text}", 2
        if not self._is_column(index) and self._is_keyword(index, word, before, after, opens):
            return self._keyword(word, index, after)
        is_function = opens and not self._is_column(index) and not self._names_a_cte(index)
        self._after_operand = not is_function
        if is_function:
            if not piece.text.isidentifier():
                raise Unreadable
            return FUNCTION_PREFIX + word, 1
        return _quoted(piece.text), 1

    def _is_keyword(self, index: int, word: str, before: str, after: str, opens: bool) -> bool:
        match word:
            case "by":
                return before in ("group", "order", "partition", "indexed")
            case "indexed":
                return after == "by"
            case "asc" | "desc":
                return self._after_operand
            case "end":
                return self._num_cases > 0 and self._after_operand
            case "like" | "glob" | "regexp" | "match":
                return self._after_operand or before == "not"
            case "offset":
                return self._after_operand and after != "from"
            case "nulls":
                return after in ("first", "last")
            case "first" | "last":
                return before == "nulls"
            case "over":
                return self._sign(index - 1) == ")"
            case "filter":
                return self._sign(index - 1) == ")" and opens
            case "window":
                return self._after_operand and self._word(index + 2) == "as"
            case "partition":
                return after == "by"
            case "rows" | "range" | "groups":
                return after in ("between", "unbounded", "current") or self._word(index + 2) in (
                    "preceding",
                    "following",
                )
            case "recursive":
                return before == "with"
            case "materialized":
                return before in ("as", "not")
            case "cast":
                return opens
        return word in _HARD or (index < self._frame_ends_at and word in _FRAME)

    def _keyword(self, word: str, index: int, after: str) -> tuple[str, int]:
        self._check_order(word, index)
        self._after_operand = word in _ENDS or word.startswith("current_")
        if word == "select" and (after in _AFTER_ITEMS or index + 1 == len(self._pieces)):
            raise Unreadable
        if word == "on" and self._word(index - 1) == "distinct":
            raise Unreadable
        if word == "not" and after == "indexed":
            self._after_operand = True
            return "", 2
        if word == "in" and (num_pieces := self._num_pieces_of_table(index + 1)):
            self._after_operand = True
            table = " . ".join(
                self._rewritten(self._pieces[at], at)[0] for at in range(index + 1, index + 1 + num_pieces, 2)
            )
            return f"in ( select * from {table} )", 1 + num_pieces
        if word == "case":
            self._num_cases += 1
            if self._num_cases > MAX_DEPTH:
                raise Unreadable
        elif word == "end":
            self._num_cases -= 1
        elif word in ("rows", "range", "groups"):
            self._frame_ends_at = next(
                (at for at in range(index, len(self._pieces)) if self._sign(at) == ")"), len(self._pieces)
            )
        elif word == "cast":
            self._casts.append((self._pieces[index + 1].pair, len(self._clauses) + 1))
        elif word == "as" and self._casts and self._casts[-1][1] == len(self._clauses):
            end = self._casts[-1][0]
            declared = " ".join(piece.text for piece in self._pieces[index + 1 : end])
            self._after_operand = True
            return f"as {affinity(declared)}", end - index
        return word, 1

    def _num_pieces_of_table(self, index: int) -> int:
        """Of the table in `x IN table`; 0 where a bracket stands there."""

        def is_name(at: int) -> bool:
            piece = self._pieces[at] if at < len(self._pieces) else None
            return piece is not None and (piece.kind == "name" or (piece.kind == "word" and piece.word not in _HARD))

        if not is_name(index):
            return 0
        return 3 if self._sign(index + 1) == "." and is_name(index + 2) else 1

    def _check_order(self, word: str, index: int) -> None:
        """Refuse clauses in an order, or at places, that SQLite does not take."""
        is_operator = word in ("union", "intersect", "except")
        if word == "join" and self._clauses[-1] > _CLAUSES["from"]:
            raise Unreadable
        if not is_operator and (word not in _CLAUSES or self._word(index - 1) == "distinct"):  # IS DISTINCT FROM
            return
        if not self._after_operand and self._sign(index - 1) != "(":
            raise Unreadable
        if self._clauses[-1] >= (_CLAUSES["order"] if is_operator else _CLAUSES[word]):
            raise Unreadable
        self._clauses[-1] = 0 if is_operator else _CLAUSES[word]

    def _names_a_cte(self, index: int) -> bool:
        """Whether the bracket after a word lists a CTE's columns: `WITH 汇总(年份, 总额) AS (`."""
        end = self._pieces[index + 1].pair
        return self._word(end + 1) == "as" and (
            self._sign(end + 2) == "(" or self._word(end + 2) in ("not", "materialized")
        )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def affinity(declared: str) -> str:
    """What SQLite makes of a declared type."""
    upper = declared.upper()
    for affinity_name, marks in (
        ("INTEGER", ("INT",)),
        ("TEXT", ("CHAR", "CLOB", "TEXT")),
        ("BLOB", ("BLOB",)),
        ("REAL", ("REAL", "FLOA", "DOUB")),
    ):
        if any(mark in upper for mark in marks):
            return affinity_name
    return "NUMERIC" if declared else "BLOB"
