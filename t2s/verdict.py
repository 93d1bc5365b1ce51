"""The fixed words for what came of a turn: verdicts, warnings, and the official levels of hardness."""

from __future__ import annotations

from typing import Literal, get_args

Verdict = Literal[
    "right",
    "wrong_table",
    "wrong_column",
    "extra_or_missing_column",
    "wrong_join",
    "wrong_condition",
    "wrong_value",
    "wrong_aggregation",
    "wrong_order_or_limit",
    "wrong_distinct",
    "wrong_structure",
    "empty_result",
    "unexplained",
    "no_such_table",
    "no_such_column",
    "ambiguous_column",
    "syntax_error",
    "wrong_function",
    "other_error",
    "timeout",
    "refused",
    "too_large",
    "crashed",
    "no_sql",
    "engine_error",
    "missing",
    "gold_failed",
]
"""What came of a turn; the first that fits, in this order of questions:

`gold_failed`: the gold SQL itself does not run, so the turn is not scored; `missing`: no prediction; `engine_error`:
the engine gave no answer; `no_sql`: an answer without SQL; `refused`, `timeout`, `too_large`, `crashed`: as the sandbox
says; `no_such_table` to `other_error`: SQLite says why it does not run; `right`: the gold's result. Else it ran and
returned something else: `wrong_table` to `wrong_structure` say where its clauses differ from the gold's
(`wrong_structure`: a set operation, a subquery), `empty_result`: it returned no row where gold did and no clause tells
why; `unexplained`: no clause differs."""

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

TurnWarning = Literal["quoted_string", "both_empty", "distinct_ignored", "right_after_wrong"]
"""What makes a verdict worth a second look: `quoted_string`: a double-quoted name that no table or column has, which
SQLite takes for a text; `both_empty`: right only because both results are empty; `distinct_ignored`: right only because
the official rules drop DISTINCT; `right_after_wrong`: right on a wrong earlier turn."""

WARNINGS: tuple[TurnWarning, ...] = get_args(TurnWarning)

Hardness = Literal["easy", "medium", "hard", "extra", "unknown"]
HARDNESSES: tuple[Hardness, ...] = get_args(Hardness)
