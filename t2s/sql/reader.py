"""Reading one statement from the place where it begins to the place where it ends, in text that may go on as prose.

    SELECT 名称 FROM 城市                  SELECT name FROM city This query returns all names.
    这条语句查询所有城市的名称。              ^^^^^^^^^^^^^^^^^^^^^
    -> SELECT 名称 FROM 城市                -> SELECT name FROM city

SQL never has three bare words in a row: after a complete operand comes a keyword, a sign or an alias, and after an
alias no word. So outside of parentheses prose shows itself, and the statement is cut before it:

- on a new line, a bare word, a number, a quote, a bracket or a list's dash after a complete operand (an implicit alias
  never stands on a line of its own, unless behind a `)`), or a keyword in Title Case ("In this query …") in a statement
  whose own keywords are not;
- on the same line, a bare word after an alias or where no alias can be (after WHERE, ORDER BY …), if more words follow.

What is broken otherwise stays as it is, for SQLite to reject: nobody's SQL is repaired here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import Literal, NamedTuple

from t2s.sql.tokens import Token, tokens

_MAX_CHARS = 20_000  # of one statement; the sandbox takes 100,000 bytes
_ALIAS_CLAUSES = frozenset({"select", "from", "join"})
_CLAUSES = _ALIAS_CLAUSES | frozenset("where group order having limit on using window offset fetch".split())
_JOINS = frozenset("left right full inner outer cross natural".split())
_COMPOUND = frozenset("union intersect except minus".split())
_AFTER_ALIAS_LIKE = frozenset("asc desc isnull notnull row rows".split())
_OPERANDS = frozenset("end null true false current_date current_time current_timestamp".split())
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_SIGNS_OF_PROSE = re.compile("[：、—…]")


Rank = Literal["sure", "calculation", "doubtful", "none"]


class Statement(NamedTuple):
    """A statement that was read.

    Attributes:
        sql: On one line, without semicolon.
        rank: `sure`: it selects something FROM something. `calculation`: it has no FROM and needs none (`SELECT 1`).
            `doubtful`: bare words in a row stand in its SELECT list, so it is prose, or lacks commas. `none`: no
            statement.
        num_chars: How much text was read.
    """

    sql: str
    rank: Rank
    num_chars: int


def read_statement(text: str, start: int, opener: str = "") -> Statement:
    """Read the statement that begins at `start`.

    Args:
        text: All of the text.
        start: Where SELECT or WITH stands.
        opener: The character before it, which may be a quote around the whole statement.
    """
    return _Reader(text, start, opener).read()


class _Piece(NamedTuple):
    """A token that is neither blank nor comment, and what stands before it."""

    token: Token
    after_gap: bool
    after_new_line: bool
    after_blank_line: bool

    @property
    def is_bare_word(self) -> bool:
        return self.token.kind == "word" and not self.token.keyword

    def is_sign(self, signs: str) -> bool:
        return self.token.kind == "sign" and self.token.text in signs


class _State(Enum):
    """What the last token leaves open, outside of parentheses."""

    WANTS = auto()  # an operand must follow
    WANTS_ALIAS = auto()  # the name after AS
    COMPLETE = auto()  # an operand ended; an alias may follow where the clause allows it
    CLOSED = auto()  # an alias, or a word after which none can be


class _Reader:
    """One statement's tokens so far, and where it stands."""

    def __init__(self, text: str, start: int, opener: str) -> None:
        self._text = text
        self._start = start
        self._opener = opener if opener in ("'", '"', "`") else ""
        self._source = _pieces(text[: start + _MAX_CHARS], start)
        self._ahead: list[_Piece] = []
        self._kept: list[_Piece] = []
        self._depth = 0
        self._state = _State.WANTS
        self._clause = ""
        self._implicit_alias_at = -1
        self._blank_line_at = -1
        self._main_select_seen = False
        self._has_from = False
        self._is_doubtful = False

    def read(self) -> Statement:
        while (piece := self._peek(0)) is not None:
            if self._kept and self._ends_before(piece):
                break
            self._take(piece)
            self._ahead.pop(0)
        num_chars = (self._ahead[-1] if self._ahead else self._kept[-1]).token.end - self._start
        if self._depth > 0 and self._blank_line_at >= 0:
            del self._kept[self._blank_line_at :]  # a parenthesis that nobody closes must not swallow what follows
        if [piece.token.text for piece in self._kept[-2:]] == ["*", "*"]:
            del self._kept[-2:]  # **SELECT …** in Markdown
        sql = "".join((" " if piece.after_gap else "") + piece.token.text for piece in self._kept).strip()
        rank: Rank = "calculation" if self._is_calculation() else "none"
        if self._has_from:
            rank = "doubtful" if self._is_doubtful else "sure"
        return Statement(sql, rank, num_chars)

    def _peek(self, distance: int) -> _Piece | None:
        while len(self._ahead) <= distance:
            piece = next(self._source, None)
            if piece is None:
                return None
            self._ahead.append(piece)
        return self._ahead[distance]

    # Where it ends

    def _ends_before(self, piece: _Piece) -> bool:
        token = piece.token
        complete = self._depth == 0 and self._state in (_State.COMPLETE, _State.CLOSED)
        if token.kind == "end" or piece.is_sign(";"):
            if token.kind == "end":
                self._drop_prose_alias()
            return True
        if self._opener and token.text[0] == self._opener and (complete or not token.closed):
            return True
        if self._depth > 0:
            return False
        if piece.is_sign(")]}") or (complete and piece.is_sign("?:")):
            return True
        if piece.is_sign(".") and self._ends_sentence():
            return True
        if piece.is_sign(",") and self._text[token.start] == "，" and self._drop_prose_alias():
            return True
        if token.keyword == "select":
            return complete and (self._main_select_seen or self._kept[0].token.keyword != "with")
        if not complete:
            return False
        if token.keyword == "with":
            return True
        if piece.after_new_line:
            return self._is_prose_line(piece)
        return piece.is_bare_word and self._is_prose_word(piece)

    def _is_prose_line(self, piece: _Piece) -> bool:
        """Whether a line that begins with this piece, after something complete, is no part of the statement."""
        token = piece.token
        if piece.is_bare_word:
            following = self._peek(1)
            return not (  # …)\n T1 JOIN …
                token.text.isascii()
                and self._kept[-1].is_sign(")")
                and following is not None
                and following.token.keyword in _CLAUSES | _JOINS
                and following.token.text.isupper() == self._kept[0].token.text.isupper()
            )
        if token.keyword:
            return token.text.istitle() and not self._kept[0].token.text.istitle()
        if token.kind in ("literal", "name", "number") or piece.is_sign("({"):
            return True
        following = self._peek(1)
        is_list_mark = piece.is_sign("*-|") and (following is None or following.after_gap)
        return is_list_mark and self._clause != "select"

    def _is_prose_word(self, piece: _Piece) -> bool:
        """Whether a bare word on the same line, after something complete, begins prose."""
        in_alias_clause = self._clause in _ALIAS_CLAUSES
        if self._state is _State.COMPLETE and in_alias_clause:
            return self._clause != "select" and _SIGNS_OF_PROSE.search(piece.token.text) is not None
        if self._clause == "select":
            self._is_doubtful = True
            return False
        following = self._peek(1)
        goes_on = following is not None and (following.token.kind in ("word", "end") and not following.after_new_line)
        if not goes_on and not _BEYOND_ASCII.search(piece.token.text):
            return False
        if self._implicit_alias_at == len(self._kept) - 1:
            self._kept.pop()
        return True

    def _drop_prose_alias(self) -> bool:
        """Drop the last word where it passed for an alias: in `FROM 城市 这条语句查询名称。` it does."""
        if self._implicit_alias_at != len(self._kept) - 1 or self._clause not in ("from", "join"):
            return False
        if not _BEYOND_ASCII.search(self._kept[-1].token.text):
            return False
        self._kept.pop()
        return True

    def _ends_sentence(self) -> bool:
        following, second = self._peek(1), self._peek(2)
        if following is None or following.after_new_line:
            return True
        return (
            following.after_gap
            and following.is_bare_word
            and following.token.text.istitle()
            and second is not None
            and second.is_bare_word
        )

    # Where it stands

    def _take(self, piece: _Piece) -> None:
        token = piece.token
        if piece.is_sign("("):
            self._depth += 1
        elif piece.is_sign(")"):
            self._depth -= 1
            if self._depth == 0:
                self._state = _State.COMPLETE
        elif self._depth == 0:
            self._step(piece)
        elif token.keyword == "from":
            self._has_from = True
        if self._depth > 0 and piece.after_blank_line and self._blank_line_at < 0:
            self._blank_line_at = len(self._kept)
        self._kept.append(piece)

    def _step(self, piece: _Piece) -> None:
        token = piece.token
        if self._state is _State.WANTS_ALIAS and token.kind in ("word", "name", "literal"):
            if token.keyword not in ("not", "materialized"):
                self._state = _State.CLOSED
        elif token.keyword:
            self._step_keyword(token.keyword)
        elif token.kind == "sign":
            is_star = token.text == "*" and self._state is _State.WANTS
            self._state = _State.COMPLETE if is_star else _State.WANTS
        elif self._state is _State.WANTS or token.kind == "number":
            self._state = _State.COMPLETE
        elif self._clause in _ALIAS_CLAUSES:
            self._implicit_alias_at = len(self._kept) if self._state is _State.COMPLETE else -1
            self._state = _State.CLOSED

    def _step_keyword(self, keyword: str) -> None:
        if keyword in _OPERANDS:
            self._state = _State.COMPLETE
            return
        if keyword in _AFTER_ALIAS_LIKE:
            self._state = _State.CLOSED
            return
        self._state = _State.WANTS_ALIAS if keyword == "as" else _State.WANTS
        previous = self._kept[-1].token.keyword if self._kept else ""
        if keyword == "from":
            if self._clause != "select" and previous == "distinct":
                return  # IS NOT DISTINCT FROM
            self._has_from = self._has_from or bool(self._select_list())
        if keyword in _JOINS:
            self._clause = "join"
        elif keyword in _CLAUSES or keyword in _COMPOUND:
            self._clause = keyword
        self._main_select_seen = self._main_select_seen or keyword == "select"

    def _select_list(self) -> list[_Piece]:
        """What stands behind the first SELECT (or WITH) and its DISTINCT."""
        pieces = self._kept[1:]
        return pieces[1:] if pieces and pieces[0].token.keyword in ("distinct", "all") else pieces

    def _is_calculation(self) -> bool:
        pieces = self._select_list()
        if self._is_doubtful or not pieces or pieces[0].is_sign("*"):
            return False
        if not pieces[0].is_bare_word:
            return True
        return len(pieces) > 1 and pieces[1].is_sign("(") and pieces[0].token.text.isascii()


def _pieces(text: str, start: int) -> Iterator[_Piece]:
    gap, new_lines = False, 0
    for token in tokens(text, start):
        if token.kind == "space":
            gap, new_lines = True, new_lines + token.text.count("\n") + token.text.count("\\n")
        elif token.kind == "comment":
            gap = True
        else:
            yield _Piece(token, gap, new_lines > 0, new_lines > 1)
            gap, new_lines = False, 0
