"""SQL in pieces: tokens without blanks and comments, brackets paired, up to the end of the first statement."""

from __future__ import annotations

from typing import NamedTuple

from t2s.sql.tokens import Token, tokens

# Brackets and CASEs in each other. Gold has at most 6; sqlglot's parser needs about 12 stack frames for each.
MAX_DEPTH = 30
_SIGNS = frozenset("()+-*/%|&<>=!~,.;?:@$")


class Unreadable(Exception):
    """The query is none that SQLite would run, or beyond the limits."""


class Piece(NamedTuple):
    """A token that counts: no blank, no comment.

    Attributes:
        kind: As in `Token`.
        text: As in `Token`.
        word: In lower case, "" if it is no bare word.
        glued: Whether it touches the piece before it.
        pair: For a bracket, the position of the other one.
    """

    kind: str
    text: str
    word: str
    glued: bool
    pair: int = -1


def cut(sql: str) -> list[Piece]:
    """Cut the first statement into pieces; raises `Unreadable` for what SQLite would not, or what is too deep."""
    pieces: list[Piece] = []
    opened: list[int] = []
    glued = False
    for token in tokens(sql):
        if token.kind in ("space", "comment"):
            if token.text[0] == "#":
                raise Unreadable  # a comment to MySQL alone
            glued = False
            continue
        if token.kind == "end" or not token.closed:
            raise Unreadable
        for piece in _signs(token, glued):
            pair = -1
            if piece.text == "(" and piece.kind == "sign":
                opened.append(len(pieces))
                if len(opened) > MAX_DEPTH:
                    raise Unreadable
            elif piece.text == ")" and piece.kind == "sign":
                if not opened:
                    raise Unreadable
                pair = opened.pop()
                pieces[pair] = pieces[pair]._replace(pair=len(pieces))
            elif piece.text == ";" and piece.kind == "sign":
                if pieces:
                    if opened:
                        raise Unreadable
                    return pieces
                continue
            pieces.append(piece._replace(pair=pair))
        glued = True
    if opened or not pieces:
        raise Unreadable
    return pieces


def _signs(token: Token, glued: bool) -> list[Piece]:
    """Full-width signs can stand for two signs (`≥`)."""
    if token.kind == "sign":
        if not set(token.text) <= _SIGNS:
            raise Unreadable
        return [Piece("sign", sign, "", glued or index > 0) for index, sign in enumerate(token.text)]
    return [Piece(token.kind, token.text, token.text.lower() if token.kind == "word" else "", glued)]


def unquoted(text: str) -> str:
    """The name in "…", `…` or […], or the text in '…'."""
    return text[1:-1].replace(text[0] * 2, text[0]) if text[0] != "[" else text[1:-1]
