"""Finds double-quoted words that name nothing in SQL that cannot be parsed; an approximation by its tokens."""

from __future__ import annotations

from collections.abc import Mapping

from t2s.sql.clauses.pieces import unquoted
from t2s.sql.clauses.scopes import TableNames
from t2s.sql.clauses.sqlglot_reading import MAX_CHARACTERS
from t2s.sql.clauses.terms import ascii_lower
from t2s.sql.tokens import Token, tokens

_BEFORE_A_VALUE = frozenset(("=", "<", ">", "like", "glob", "between", "match", "regexp"))


def quoted_by_tokens(sql: str, tables: Mapping[str, TableNames]) -> tuple[tuple[str, bool], ...]:
    """Words in double quotes that no table, column or alias has, and whether each stands where a value would."""
    known = set(tables).union(*(table.columns for table in tables.values()))
    found: list[tuple[str, bool]] = []
    pieces = [token for token in tokens(sql[:MAX_CHARACTERS]) if token.kind not in ("space", "comment")]
    in_values = False
    for index, token in enumerate(pieces):
        before = pieces[index - 1] if index else None
        after = pieces[index + 1] if index + 1 < len(pieces) else None
        if before is not None and before.text != "," and not (in_values and _is_operand(before)):
            in_values = before.text.lower() in _BEFORE_A_VALUE or (before.text == "(" and _is_list(pieces, index))
        if token.kind not in ("name", "word") or token.keyword:
            continue
        name = ascii_lower(unquoted(token.text) if token.kind == "name" else token.text)
        if before is not None and (before.keyword == "as" or _is_operand(before)):
            known.add(name)  # it is an alias
        elif after is not None and after.keyword == "as":
            known.add(name)  # a CTE's name, if it names nothing else
        elif token.text[0] == '"' and token.closed and "." not in (before and before.text, after and after.text):
            found.append((unquoted(token.text), in_values))
    return tuple(dict.fromkeys((text, is_value) for text, is_value in found if ascii_lower(text) not in known))


def _is_list(pieces: list[Token], index: int) -> bool:
    """Whether the bracket before a piece is that of an IN."""
    return index > 1 and pieces[index - 2].keyword == "in"


def _is_operand(token: Token) -> bool:
    return token.text == ")" or (token.kind in ("name", "word", "literal", "number") and not token.keyword)
