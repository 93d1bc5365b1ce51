"""Why the official grammar does not take a query: one code of a fixed list, so that they can be counted."""

from __future__ import annotations

from typing import Literal, NoReturn, get_args

Reason = Literal[
    "column alias",
    "CASE",
    "function",
    "outer join",
    "inner join",
    "other join",
    "comma join",
    "USING",
    "table alias without AS",
    "subquery alias",
    "alias of a table's name",
    "alias of two tables",
    "subquery in SELECT",
    "subquery in JOIN",
    "list of values",
    "IS NULL",
    "EXISTS",
    "UNION ALL",
    "OFFSET",
    "WITH",
    "<>",
    "operator without blanks",
    "other operator",
    "brackets",
    "table.*",
    "constant as column",
    "aggregate as value",
    "unknown table",
    "unknown column",
    "quoted name",
    "quote in a value",
    "odd number of quotes",
    "no SELECT",
    "no FROM",
    "too long",
    "too deep",
    "syntax",
]
"""`other join`: CROSS, NATURAL; `alias of two tables`: in two subqueries, say; `OFFSET`: in a subquery, elsewhere it is
ignored; `operator without blanks`: `a=1`, `a>=1`, `a+b`; `other operator`: `==`, `||`, GLOB, a sum of three; `quoted
name`: a plain word in quotes or backticks in a database that needs none; `too long`, `too deep`: limits of ours;
`syntax`: none of the others."""

REASONS: tuple[Reason, ...] = get_args(Reason)


class Rejected(Exception):
    """The parser stops here; never leaves `parser.parse`."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def reject(reason: Reason) -> NoReturn:
    """Stop parsing."""
    raise Rejected(reason)
