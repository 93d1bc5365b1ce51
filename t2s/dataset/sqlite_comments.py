"""Comments in a stored CREATE TABLE statement: the only place where SQLite keeps what a column means.

    CREATE TABLE 城市 ( -- 全国的城市
      名称 TEXT, -- 不带“市”字
      /* 万人 */ 人口 NUMERIC
    )

gives `Comments(table="全国的城市", columns={"名称": "不带“市”字", "人口": "万人"})`. A comment belongs to what
stands before it on its line; alone on its line, to the column that follows.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
    (?P<comment> --[^\n]* | /\*.*?(?:\*/|\Z) )
  | (?P<quoted> "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\] | '(?:[^']|'')*' )
  | (?P<word> \w+ )
  | (?P<space> \s+ )
  | (?P<sign> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


class Comments(NamedTuple):
    """Comments on one line each; `columns` by lower-cased name."""

    table: str
    columns: dict[str, str]


class _Token(NamedTuple):
    kind: str
    text: str
    first_line: int
    last_line: int
    item: int
    """Which part of the body, 0-based; -1 before and behind the body. A comma belongs to the part that it ends."""


def read_comments(create_sql: str) -> Comments:
    """Read the comments of a CREATE TABLE statement as SQLite stores it."""
    if "--" not in create_sql and "/*" not in create_sql:
        return Comments("", {})
    tokens = _tokens(create_sql)
    names: dict[int, str] = {}
    for token in tokens:
        if token.kind != "comment" and token.item >= 0:
            names.setdefault(token.item, _unquote(token).lower())
    table: list[str] = []
    columns: dict[str, list[str]] = {}
    for position, token in enumerate(tokens):
        if token.kind != "comment":
            continue
        text = _text(token.text)
        item = _owner(tokens, position)
        if text:
            (table if item not in names else columns.setdefault(names[item], [])).append(text)
    return Comments(" ".join(table), {name: " ".join(texts) for name, texts in columns.items()})


def _owner(tokens: list[_Token], position: int) -> int:
    """The part of the body that the comment at `position` is about; -1 for the table as a whole."""
    comment = tokens[position]
    before = next((token for token in reversed(tokens[:position]) if token.kind != "comment"), None)
    after = next((token for token in tokens[position + 1 :] if token.kind != "comment"), None)
    leads = after is not None and after.item >= 0 and after.first_line == comment.last_line
    if before is None:
        return -1
    if before.last_line == comment.first_line:
        # `a TEXT, /* of b */ b TEXT` on one line: behind a comma or the opening bracket it leads the next column in.
        return after.item if leads and after is not None and before.text in (",", "(") else before.item
    return -1 if after is None else after.item


def _tokens(sql: str) -> list[_Token]:
    tokens = []
    line = depth = 0
    item = -1
    for match in _TOKEN.finditer(sql):
        kind, text = match.lastgroup or "", match[0]
        first_line = line
        line += text.count("\n")
        if kind == "space":
            continue
        closes = text == ")" and depth == 1
        tokens.append(_Token(kind, text, first_line, line, -1 if closes else item))
        if text == "(" and kind == "sign":
            depth += 1
            if depth == 1 and item < 0:
                item = 0
        elif text == ")" and kind == "sign":
            depth -= 1
            if depth == 0:
                item = -1
                depth = -1_000_000  # behind the body: `) STRICT, WITHOUT ROWID`
        elif text == "," and depth == 1:
            item += 1
    return tokens


def _unquote(token: _Token) -> str:
    if token.kind != "quoted":
        return token.text
    quote = token.text[-1]
    inner = token.text[1:-1]
    return inner if quote == "]" else inner.replace(quote * 2, quote)


def _text(comment: str) -> str:
    inner = comment[2:] if comment.startswith("--") else comment[2:].removesuffix("*/")
    return _BLANK.sub(" ", inner).strip(" -*")
