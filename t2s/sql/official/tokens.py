"""SQL cut into the words that the official grammar knows; the package's first lines say by which rules.

SELECT T1."注册资本（万）" FROM 公司 AS T1 WHERE T1.名称 ! = 'Ａ公司'
select   (t1, 注册资本（万）)   from 公司 as t1 where t1.名称 !=   value
"""

from __future__ import annotations

import re
from typing import NamedTuple

from t2s.schema import quote_identifier
from t2s.sql.official.rejection import Reason, reject

# What nltk's word_tokenize, written for English, cuts off inside SQL: NLTKWordTokenizer in nltk/tokenize/destructive.py
# of nltk 3.10. A run is what it leaves in one piece; quoted pieces stay in the run that they touch, since the official
# program puts a word in their place before it cuts.
_RUNS = re.compile(
    r"""
    (?P<blank> \s++ )
  | (?P<word> (?: [^\s()\[\]{}<>;@\#$%&?!*,:\-"'`]
                | -(?!-)
                | [,:](?=\d)(?!\d*+[A-Za-z_]*+[^\x00-\x7f]) )++ (?!["'`\[]) )
  | (?P<run>  (?: [^\s()\[\]{}<>;@\#$%&?!*,:\-"'`]
                | -(?!-)
                | [,:](?=\d)(?!\d*+[A-Za-z_]*+[^\x00-\x7f])
                | "[^"]*(?:""[^"]*)*" | '[^']*(?:''[^']*)*' | `[^`]*(?:``[^`]*)*` | \[[^\[\]]*\] )+ )
  | (?P<sign> -- | [\s\S] )
    """,
    re.VERBOSE,
)
_QUOTED = r"""(?: "[^"]*(?:""[^"]*)*" | `[^`]*(?:``[^`]*)*` | \[[^\[\]]*\] )"""
_BARE = r"""[^\s."'`\[\]]+"""
_NAME = re.compile(rf"(?: (?P<table> {_QUOTED} | {_BARE} ) \. )? (?P<column> {_QUOTED} | {_BARE} )", re.VERBOSE)
_TEXT = re.compile(r""""[^"]*(?:""[^"]*)*"|'[^']*(?:''[^']*)*'""")
_QUOTE_SIGNS = "\"'`["
_CLOSERS = frozenset(")]}>")
_COMPARISON_STARTS = frozenset("!><")


class Token(NamedTuple):
    """A word of SQL.

    Attributes:
        word: A bare word or a sign, in lower case; "" where quotes have a part in it, so that it is no keyword.
        names: (column) or (table, column) where quotes have a part in it, in lower case, unquoted; None where it can be
            no name.
        value: What stands between the quotes, as written; None where it is no quoted value.
        flaw: What is wrong with it where it is no name.
    """

    word: str
    names: tuple[str, ...] | None = None
    value: str | None = None
    flaw: Reason | None = None

    @property
    def path(self) -> tuple[str, ...]:
        """The names that it consists of: (column) or (table, column); nothing known has any other number."""
        if self.word:
            return tuple(self.word.split("."))
        return self.names or ()


END = Token("\0")


def tokenize(sql: str, *, quotes_any_name: bool) -> list[Token]:
    """Cut SQL into tokens; linear time.

    Args:
        sql: Any text.
        quotes_any_name: Whether also what needs no quotes is a name in quotes; `OfficialSchema.quotes_any_name`.

    Raises:
        Rejected: A quote is never closed.
    """
    tokens: list[Token] = []
    for match in _RUNS.finditer(sql):
        kind = match.lastgroup
        if kind == "blank":
            continue
        piece = match.group()
        if kind == "run" and any(sign in piece for sign in _QUOTE_SIGNS):
            tokens.append(_quoted(piece, quotes_any_name))
            continue
        if piece in ("'", '"'):
            reject("odd number of quotes")
        tokens.append(Token(piece.lower()))
    _cut_final_period(tokens)
    _join_comparisons(tokens)
    return tokens


def _quoted(run: str, quotes_any_name: bool) -> Token:
    """A piece with quotes in it: a value, a name, a name with its table, or nothing that the grammar knows."""
    content = run[1:-1]
    value: str | None = None
    flaw: Reason | None = None
    if _TEXT.fullmatch(run):
        # With a quote inside, the official program sees several values in one word.
        value, flaw = (None, "quote in a value") if "'" in content or '"' in content else (content, None)
        if run[0] == "'":
            return Token("", None, value, flaw)
    match = _NAME.fullmatch(run)
    if match is None:
        return Token("", flaw="operator without blanks")
    parts = [part for part in match.group("table", "column") if part is not None]
    names = tuple(map(_unquoted, parts))
    for part, name in zip(parts, names, strict=True):
        if part[0] in _QUOTE_SIGNS and not quotes_any_name and quote_identifier(name) == name:
            return Token("", None, value, flaw or "quoted name")
    return Token("", names, value, flaw)


def _unquoted(part: str) -> str:
    if part[0] in '"`':
        return part[1:-1].replace(part[0] * 2, part[0]).lower()
    return (part[1:-1] if part[0] == "[" else part).lower()


def _cut_final_period(tokens: list[Token]) -> None:
    """`ORDER BY name.` ends in a period of its own; brackets may follow it."""
    for position in range(len(tokens) - 1, -1, -1):
        word = tokens[position].word
        if word in _CLOSERS:
            continue
        if len(word) > 1 and word.endswith(".") and not word.endswith(".."):
            tokens[position : position + 1] = [Token(word[:-1]), Token(".")]
        return


def _join_comparisons(tokens: list[Token]) -> None:
    """`! =`, `> =` and `< =` are one word; with or without a blank they were cut into two."""
    for position in range(len(tokens) - 1, 0, -1):
        if tokens[position].word == "=" and tokens[position - 1].word in _COMPARISON_STARTS:
            tokens[position - 1 : position + 1] = [Token(tokens[position - 1].word + "=")]
