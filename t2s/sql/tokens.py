r"""SQL as SQLite cuts it into tokens, with the full-width signs that Chinese models write turned into what they mean.

    SELECT　COUNT（＊） FROM 公司 WHERE 注册资本（万）＞１００
    SELECT COUNT(*) FROM 公司 WHERE 注册资本（万）>100

SQLite takes every character beyond ASCII for a letter of an identifier: to it `名称，人口` is one name, `（` opens
nothing and a full-width space separates nothing. `normalise_full_width` is the one place where such signs are replaced.
What it leaves alone, and why:

- string literals, quoted identifiers ("…", `…`, […]) and comments: never touched;
- brackets glued to the end of a bare name: `注册资本（万）` is a column, kept whole up to its `）`. After an SQL
  keyword or a function that SQLite has (`COUNT（`, `IN（`), or after a blank or a sign, a bracket is a bracket;
- `＋ － ／ ％ ｜ ＆` inside a bare name (`收入－支出`, `占比％`): they are names more often than sums. Where a word
  would begin with them, they are operators;
- `、 ： ·` and the like: parts of names, never of SQL.

Markdown's `\_` and `\*`, and a `\n` that JSON left behind, are read as what they stand for, too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal, NamedTuple

from t2s.sql.worker import ALLOWED_FUNCTIONS

TokenKind = Literal["space", "comment", "literal", "name", "number", "word", "sign", "end"]

KEYWORDS = frozenset(
    """
    all and as asc between by case cast collate cross current_date current_time current_timestamp desc distinct div else
    end escape except exists false fetch filter from full glob group groups having if in indexed inner intersect is
    isnull join left like limit match materialized minus mod natural not notnull null nulls offset on or order outer
    over partition recursive regexp right rlike row rows select table then true union using values when where window
    with xor
    """.split()
)

_BLANKS = r"\s\u200b\ufeff"
_WORD_END = _BLANKS + r"，；（）＝＜＞＊．“”„‘’＂＇。？！」』】≥≤≠"
_OPERATORS_AT_WORD_START = "＋－／％｜＆"
_SIGNS = str.maketrans("，；（）＝＜＞＊．！" + _OPERATORS_AT_WORD_START, ",;()=<>*.!+-/%|&") | str.maketrans(
    {"≥": ">=", "≤": "<=", "≠": "<>"}
)

_TOKENS = re.compile(
    rf"""
    (?P<space>   (?: [{_BLANKS}] | \\[nrt] )+ )
  | (?P<comment> --[^\n]* | \#[^\n]* | /\*[\s\S]*?(?:\*/|\Z) )
  | (?P<end>     ``` | ~~~ | </ | <\|(?=[A-Za-z_]) | [。？」』】] | ！(?![＝=]) )
  | (?P<literal> '[^']*(?:''[^']*)*(?P<q1>') | '[^\n]* )
  | (?P<name>    "[^"]*(?:""[^"]*)*(?P<q2>") | `[^`]*(?:``[^`]*)*(?P<q3>`) | ["`][^\n]*
               | \[[^\]\n]{{0,200}}\] )
  | (?P<single>  [‘’＇][^‘’＇'\n]*[‘’＇'] )
  | (?P<double>  [“”„＂][^“”＂"\n]*[“”＂"] )
  | (?P<number>  \.?\d[\w.]* )
  | (?P<word>    (?: [A-Za-z_] | [^\x00-\x7f{_WORD_END}{_OPERATORS_AT_WORD_START}] )
                 (?: [A-Za-z0-9_$] | \\_ | [^\x00-\x7f{_WORD_END}] )* )
  | (?P<sign>    \\\* | [\s\S] )
    """,
    re.VERBOSE,
)
# Up to 40 characters: column names end in units and remarks, not in sentences.
_BRACKET_OF_NAME = re.compile(
    rf"（[^（）'\"`“”‘’;；\n]{{0,40}}）(?: [A-Za-z0-9_$] | [^\x00-\x7f{_WORD_END}] )*", re.VERBOSE
)
_CLOSING_QUOTES = "”’"
_BEFORE_A_VALUE = frozenset("=<>(,!")


class Token(NamedTuple):
    """A piece of SQL.

    Attributes:
        kind: `literal` is a string, `name` a quoted identifier, `word` a keyword or a bare one; `end` never stands in
            SQL.
        text: With full-width signs replaced.
        start, end: Where it stands in the text it was cut from.
        closed: False for a quote that nobody closes; it then ends with its line.
    """

    kind: TokenKind
    text: str
    start: int
    end: int
    closed: bool = True

    @property
    def keyword(self) -> str:
        """The keyword in lower case; "" for any other token."""
        lower = self.text.lower() if self.kind == "word" else ""
        return lower if lower in KEYWORDS else ""


def normalise_full_width(sql: str) -> str:
    """Replace full-width signs outside of literals, quoted identifiers and comments; see the module's first lines."""
    return "".join(token.text for token in tokens(sql))


def tokens(text: str, start: int = 0) -> Iterator[Token]:
    """Cut text into tokens; joined they are the text with its full-width signs replaced. Linear time."""
    position = start
    expects_value = False
    while position < len(text):
        token = _token(text, position, expects_value)
        position = token.end
        if token.kind not in ("space", "comment"):
            expects_value = (token.kind == "sign" and token.text[-1] in _BEFORE_A_VALUE) or bool(token.keyword)
        yield token


def _token(text: str, position: int, expects_value: bool) -> Token:
    match = _TOKENS.match(text, position)
    assert match is not None, "the last alternative matches anything"
    raw, end = match.group(), match.end()
    match match.lastgroup:
        case "literal" | "name" as kind:
            closed = raw[0] == "[" or any(match.group("q1", "q2", "q3"))
            return Token(kind, raw, position, end, closed)
        case "single" | "double":
            if raw[0] in _CLOSING_QUOTES and not expects_value:  # it closes what stands before this SQL
                return Token("end", raw[0], position, position + 1)
            quote = "'" if match.lastgroup == "single" else '"'
            content = raw[1:-1].replace(quote, quote * 2)
            return Token("literal" if quote == "'" else "name", f"{quote}{content}{quote}", position, end)
        case "space":
            return Token("space", "".join(" " if ord(sign) > 127 else sign for sign in raw), position, end)
        case "comment":
            return Token("comment", raw, position, end)
        case "end":
            return Token("end", raw, position, end)
        case "number":
            only_digits = raw.replace(".", "").isdigit()  # １００, not １号线
            return Token("number", unicodedata.normalize("NFKC", raw) if only_digits else raw, position, end)
        case "word":
            return _word(text, position, end)
    return Token(
        "end" if raw in _CLOSING_QUOTES else "sign", ("*" if raw == "\\*" else raw).translate(_SIGNS), position, end
    )


def _word(text: str, start: int, end: int) -> Token:
    """A bare word, with the brackets that belong to it."""
    while text.startswith("（", end):
        word = text[start:end].lower()
        bracket = _BRACKET_OF_NAME.match(text, end)
        if bracket is None or word in KEYWORDS or word in ALLOWED_FUNCTIONS:
            break
        end = bracket.end()
    return Token("word", text[start:end].replace("\\_", "_"), start, end)
