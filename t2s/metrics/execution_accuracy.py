"""Execution accuracy (EX): the predicted SQL returns what the gold SQL returns, as the official evaluator sees it.

    gold       SELECT DISTINCT 名称 FROM 城市 ORDER BY 人口
    predicted  select 名称 from 城市 order by 人口 ;
    EX 1 (DISTINCT is removed from both by default); EX with DISTINCT kept: 1 if no 名称 occurs twice, else 0

Zhong, Yu and Klein 2020, "Semantic Evaluation for Text-to-SQL with Distilled Test Suites"; rules read in
taoyds/test-suite-sql-eval, evaluation.py and exec_eval.py@14784c3, probed, and written anew. Before the queries run:

1. `value` inside the prediction becomes `1` (anywhere, in names and strings too: a relic of models that left values
   open);
2. `> =`, `< =` and `! =` lose their blank, in both;
3. by default both are cut to their first statement and lose each token DISTINCT, wherever it stands (`count(DISTINCT
   x)` too). With DISTINCT kept, nothing is cut, and a second statement is an error;
4. `YEAR(CURDATE())` becomes 2020, in both.

Row order counts when `order by`, one blank between, stands anywhere in the gold of step 3, in lower case. compare.py
holds the comparison.

On purpose ours differs here, where the official verdict says nothing about the SQL: a prediction without a statement
(empty, or a comment) is wrong, where the official program fails on the first and takes the second for an empty result;
a statement that would write is refused and so wrong, where the official program runs it; a query is stopped at its
deadline, where the official limit is not enforced.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# What sqlparse, which the official evaluator uses for step 3, takes for one token: a word, a literal or a comment is
# never looked into. Words end at anything but letters, digits, _, $ and #.
_TOKENS = re.compile(
    r"""
    (?P<comment> (?:--|\#\ )[^\r\n]*(?:\r\n|\r|\n|$) | /\*[\s\S]*?\*/ )
  | (?P<literal> '(?:''|\\'|[^'])*' | "(?:""|\\"|[^"])*" | `(?:``|[^`])*` | (?<![\w\])])\[[^\]\[]+\] )
  | (?P<word> [@:$\\]? \w[\w$\#]* )
  | (?P<other> [\s\S] )
    """,
    re.VERBOSE,
)
_CURRENT_YEAR = re.compile(r"YEAR\s*\(\s*CURDATE\s*\(\s*\)\s*\)\s*", re.IGNORECASE)


class Comparison(NamedTuple):
    """What runs, and how the results are compared.

    Attributes:
        gold_sql, predicted_sql: The queries as they run.
        ordered: Whether row order counts.
    """

    gold_sql: str
    predicted_sql: str
    ordered: bool


def official_comparison(gold_sql: str, predicted_sql: str, *, keep_distinct: bool) -> Comparison:
    """Prepare one turn as the official evaluator does."""
    gold = _join_comparisons(gold_sql.strip())
    predicted = _join_comparisons(predicted_sql.strip().replace("value", "1"))
    if not keep_distinct:
        gold, predicted = first_statement_without_distinct(gold), first_statement_without_distinct(predicted)
    return Comparison(
        gold_sql=_CURRENT_YEAR.sub("2020", gold),
        predicted_sql=_CURRENT_YEAR.sub("2020", predicted),
        ordered="order by" in gold.lower(),
    )


def first_statement_without_distinct(sql: str) -> str:
    """Cut to the first statement and drop its DISTINCT tokens; text inside literals and comments stays."""
    kept: list[str] = []
    depth = 0
    ended = False
    for match in _TOKENS.finditer(sql):
        token = match.group()
        if ended and not (match.lastgroup == "comment" and not token.startswith("/*")) and not token.isspace():
            break  # what follows the statement on its way: blanks and line comments go with it
        if token == "(":
            depth += 1
        elif token == ")":
            depth -= 1
        elif token == ";" and depth <= 0:
            ended = True
        if token.lower() != "distinct":
            kept.append(token)
    return "".join(kept)


def _join_comparisons(sql: str) -> str:
    return sql.replace("> =", ">=").replace("< =", "<=").replace("! =", "!=")
