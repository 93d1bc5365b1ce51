"""From what a model wrote to the SQL it meant: `extract_sql(completion)`, one line of SQL or "".

    好的，SQL如下：
    ```sql
    SELECT 名称，人口
    FROM 城市；
    ```
    这条语句查询……                       ->   SELECT 名称,人口 FROM 城市

What is taken, in this order; thoughts (`<think>…</think>`) are cut off first, also where they are never closed:

1. a statement at the very beginning, or behind a label such as 「SQL:」: small models answer at once and then ramble
   on;
2. the first code fence that holds a statement: what stands before it is talk;
3. the first statement anywhere.

A statement begins with SELECT, or with WITH and a name: nothing else answers a question. The first one is taken, since
a model that goes on after its answer invents the next question, or explains with examples. It ends at its semicolon, at
the end of its fence, at a second SELECT that nothing joins to it, or where it goes over into prose (`_Reader` says how
that is seen).

The text inside literals, quoted identifiers and bare names is never changed; comments go, runs of blanks become one,
and full-width signs become what they mean (`t2s.sql.tokens.normalise_full_width`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from t2s.sql.reader import Statement, read_statement

_THOUGHT_TAGS = re.compile(r"(</?think(?:ing)?>)", re.IGNORECASE)
_FENCE = re.compile(r"(?:```|~~~)[ \t]*(?:[A-Za-z0-9_+-]+(?=\s))?")
# A word of ASCII letters ends where Chinese begins: 答案是SELECT…
_START = re.compile(
    r"(?<![A-Za-z0-9_$])(?:"
    r"select(?![A-Za-z0-9_$])"
    r"|with\s+(?:recursive\s+)?(?:[^\s()（）]{1,200}|\"[^\"\n]{1,200}\")\s*(?:\([^()]{0,400}\)\s*)?"
    r"as\s*(?:(?:not\s+)?materialized\s*)?[(（]"
    r")",
    re.IGNORECASE,
)
# What may stand before an answer that begins at once: nothing, or a short label that ends in a colon.
_LABEL = re.compile(r"(?:[^\n]{0,40}[:：])?[\s*#>`\"'「『“(（-]*")
_CODE_WORDS = re.compile(r"^(?:sql|sqlite|sqlite3|mysql|postgresql|text|plaintext)$", re.IGNORECASE)
# Reading may go over a text so many times in all: it bounds the work where "select (" stands a thousand times in a row.
_MAX_READINGS = 4


class _Candidate(NamedTuple):
    start: int
    statement: Statement


def extract_sql(completion: str) -> str:
    """Take the SQL out of a completion; "" when there is none. Linear time; never raises.

    Args:
        completion: Raw model text.

    Returns:
        One statement, without its semicolon, on one line unless a literal holds a line break.
    """
    for segment in reversed(_outside_thoughts(completion)):  # a model that thinks again after an answer corrects it
        if sql := _first_sql(segment):
            return sql
    return ""


def _first_sql(text: str) -> str:
    candidates = _candidates(text)
    first = next(candidates, None)
    if first is None:
        return ""
    if first.statement.rank == "sure" and _LABEL.fullmatch(text, 0, first.start):
        return first.statement.sql
    fenced = (candidate for block in _fenced_blocks(text) for candidate in _candidates(block))
    second_best: dict[str, str] = {}
    for candidate in chain(fenced, [first], candidates):
        if candidate.statement.rank == "sure":
            return candidate.statement.sql
        second_best.setdefault(candidate.statement.rank, candidate.statement.sql)
    return second_best.get("calculation") or second_best.get("doubtful") or ""


def _outside_thoughts(text: str) -> list[str]:
    """The pieces of a text that are no thoughts; a thought may be opened by the prompt, and may never be closed."""
    segments = [""]
    is_thought = False
    for piece in _THOUGHT_TAGS.split(text):
        if _THOUGHT_TAGS.fullmatch(piece) is None:
            if not is_thought:
                segments.append(piece.strip())
        elif piece.startswith("</"):
            if not is_thought and len(segments) == 2:
                segments.clear()  # what stands before a first closing tag was a thought
            is_thought = False
        else:
            is_thought = True
    return segments


def _fenced_blocks(text: str) -> Iterator[str]:
    """The content of each code fence; one that is not closed goes on to the end."""
    position = 0
    while (opening := _FENCE.search(text, position)) is not None:
        mark = opening.group()[:3]
        closing = text.find(mark, opening.end())
        if closing < 0:
            closing = len(text)
        yield text[opening.end() : closing]
        position = closing + 3


def _candidates(text: str) -> Iterator[_Candidate]:
    """Statements in order of their beginnings, those left out that are plainly English prose ("to select the …")."""
    num_chars_read = 0
    for match in _START.finditer(text):
        if num_chars_read > _MAX_READINGS * len(text):
            break
        start = match.start()
        in_english = _follows_english_word(text, start)
        if in_english and not match.group()[:4].isupper():
            continue
        opener = text[start - 1 : start]
        source, begin = text, start
        if opener == '"' and (unquoted := _json_string(text, start)) is not None:
            source, begin, opener = unquoted, 0, ""
        statement = read_statement(source, begin, opener)
        num_chars_read += statement.num_chars
        if not (in_english and statement.rank == "doubtful"):
            yield _Candidate(start, statement)


def _follows_english_word(text: str, start: int) -> bool:
    before = text[max(0, start - 40) : start].rpartition("\n")[2]
    stripped = before.rstrip(" \t")
    word = re.search(r"[A-Za-z0-9,']+$", stripped)
    return before != stripped and word is not None and not _CODE_WORDS.match(word.group())


def _json_string(text: str, start: int) -> str | None:
    r"""The SQL in `{"sql": "SELECT \"名称\" FROM 城市"}`, unescaped; None if the quote before it is no such thing."""
    try:
        content, end = json.decoder.scanstring(text, start, False)  # type: ignore[attr-defined]
    except ValueError:
        return None
    after = text[end : end + 1]
    return str(content) if after != '"' and not after.isalnum() and re.search(r"\bfrom\b", content, re.I) else None
