"""Which of the reasons it is, seen from where the parser could not go on: for counting; no verdict hangs on it."""

from __future__ import annotations

from collections.abc import Sequence

from t2s.sql.official.rejection import Reason
from t2s.sql.official.tokens import Token

_JOINS: dict[str, Reason] = {
    "left": "outer join",
    "right": "outer join",
    "full": "outer join",
    "outer": "outer join",
    "inner": "inner join",
    "cross": "other join",
    "natural": "other join",
    "using": "USING",
    ",": "comma join",
}
_OTHER_OPERATORS = frozenset("== || + - * / % & glob regexp match collate isnull notnull".split())
_OPERATOR_SIGNS = frozenset("=+-/|~")
# Words that say that something is missing before them, so neither a name nor a function.
_NOT_A_NAME = frozenset(
    """
    select from where group by having order limit union intersect except and or on join not in like between is asc desc
    ; )
    """.split()
)


def reason_for_column(tokens: Sequence[Token], position: int) -> Reason:
    """Why the token, which stands where a column should, is none."""
    token, following, before = tokens[position], tokens[position + 1].word, tokens[position - 1].word
    word = token.word
    if not word:  # something quoted
        return token.flaw or ("unknown column" if token.names else "constant as column")
    if word == "as":
        return "column alias"
    if word == "case":
        return "CASE"
    if word == "exists" or (word == "not" and following == "exists"):
        return "EXISTS"
    if word in ("null", "not") and before == "is":
        return "IS NULL"
    if word == ">" and before == "<":
        return "<>"
    if word == "(":
        return "subquery in SELECT" if following == "select" else "brackets"
    if word == "select":
        return "subquery in SELECT"
    if word in _NOT_A_NAME:
        return "syntax"
    if word.endswith(".") and following == "*":
        return "table.*"
    if following == "(" and word[0] not in _OPERATOR_SIGNS:
        return "function"
    if word.lstrip("+-").replace(".", "", 1).isdigit():
        return "constant as column"
    if word in ("=", "==", "||", "+", "-", "/", "!=", ">=", "<=", "<", ">"):
        return "other operator"
    if any(sign in _OPERATOR_SIGNS for sign in word):
        return "operator without blanks"
    return "unknown column" if word[0].isalnum() or word[0] == "_" else "syntax"


def reason_for_table(tokens: Sequence[Token], position: int, first: bool) -> Reason:
    """Why the token, which stands where a table or JOIN should, is none; `first`: right after FROM or JOIN."""
    token, before = tokens[position], tokens[position - 1].word
    word = token.word
    if token.flaw:
        return token.flaw
    if word in _JOINS:
        return _JOINS[word]
    if before == ")" and (word == "as" or word not in _NOT_A_NAME):
        return "subquery alias"
    if word == "(":
        return "subquery in JOIN" if tokens[position + 1].word == "select" else "brackets"
    if word in _NOT_A_NAME or (word and not (word[0].isalnum() or word[0] == "_")):
        return "syntax"
    return "unknown table" if first else "table alias without AS"


def reason_for_operator(tokens: Sequence[Token], position: int) -> Reason:
    """Why the token, which stands where a comparison should, is none."""
    token = tokens[position]
    if token.word in _OTHER_OPERATORS:
        return "other operator"
    if token.word and token.word[0] in _OPERATOR_SIGNS:
        return "operator without blanks"
    if token.word == "(":
        return "function"
    if token.flaw:
        return token.flaw
    if tokens[position - 1].word == ")" or token.word == ")":
        return "brackets"
    return "syntax"


def reason_for_end(tokens: Sequence[Token], position: int) -> Reason:
    """Why the token, which stands where a bracket in a condition should close, does not."""
    word = tokens[position].word
    return "list of values" if word == "," else "OFFSET" if word == "offset" else "brackets"
