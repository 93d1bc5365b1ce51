"""Why a turn is wrong: one verdict, the first that a person would name who has both queries and both results.

`error_verdict` reads SQLite's message where a prediction did not run. `wrong_result_verdict` compares the clauses where
it ran and returned something else:

1. `wrong_table`: anywhere in the query it reads a table that gold does not, or the other way round. Nothing after that
   can be judged: other tables have other columns. One exception: where tables were only added, columns were only added,
   and as many rows came, the table was joined for the column: `extra_or_missing_column`.
2. Then the numbers of rows tell where to look, since result columns cannot change how many rows there are:

   - another number: what decides about rows comes first, in the order in which a query is evaluated:
     `wrong_structure` (a set operation or subquery that the other does not have), `wrong_join`, `wrong_condition`,
     `wrong_aggregation` (GROUP BY, HAVING, or an aggregate on one side alone), LIMIT (`wrong_order_or_limit`),
     `wrong_value`. Only then the result columns;
   - the same number: what is in the rows comes first: `extra_or_missing_column`, `wrong_aggregation` (another
     function), `wrong_column`; then what decides about rows.

   ORDER BY comes last in both.

   A condition is another one if it differs in more than values. So `wrong_value` means that the query is right but for
   what it compares with (a name spelt otherwise, another year): sample values in the prompt help there.
3. A subquery, or a side of a set operation, that both have and that differs inside is judged by the same rules, and
   its verdict is the turn's: `max` for `min` in it is `wrong_aggregation`.
4. `wrong_distinct`: nothing else differs. Execution accuracy removes DISTINCT by default, so it hardly ever explains.
5. `empty_result`: it returned no row where gold did, and no clause that decides about rows says why. A condition or
   value that lets no row pass is named as such, since that is what to look at.
6. `unexplained`: the clauses are the same, or one of the queries cannot be parsed, and the sizes tell nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from t2s.schema import Schema
from t2s.sql.clauses import Clauses, Selected, Term, clause_reader
from t2s.verdict import Verdict

# Parts of SQLite's messages (3.40's sources and Python's sqlite3 module), the first that fits.
_ERRORS: tuple[tuple[str, Verdict], ...] = (
    (r"no such table|no such view|no such database|unknown database", "no_such_table"),
    (r"ambiguous (?:column name|reference)", "ambiguous_column"),
    # … and names of columns that only a part of the query has: ORDER BY after UNION, USING.
    (r"no such column|cannot join using column|term does not match any column|term out of range", "no_such_column"),
    (
        r"no such function|wrong number of arguments|misuse of (?:aliased )?(?:aggregate|window)|unable to use function"
        r"|aggregate functions are not allowed|may not be used as a window function|no such window"
        r"|DISTINCT (?:aggregates must|is not supported)|FILTER (?:clause )?may (?:only|not) be used"
        r"|first argument to|to function|user-defined (?:function|aggregate)",
        "wrong_function",
    ),
    # A second statement is a form that no reader of one query takes, like any other text after it.
    (
        r"syntax error|incomplete input|unrecognized token|one statement at a time|unknown (?:or unsupported )?join"
        r"|(?:ORDER BY|LIMIT) clause should come after|a NATURAL join may not|a JOIN clause is required before"
        r"|a GROUP BY clause is required before HAVING|HAVING clause on a non-aggregate|no tables specified"
        r"|null character",
        "syntax_error",
    ),
    (r"not authorized|prohibited", "refused"),
    (r"interrupted", "timeout"),
    (r"too big|too long|out of memory|query string is too large", "too_large"),
)
_ERROR_PATTERNS = [(re.compile(pattern, re.IGNORECASE), verdict) for pattern, verdict in _ERRORS]


def error_verdict(message: str) -> Verdict:
    """What SQLite's message says of a query that does not run; `other_error` for what has no verdict of its own."""
    # A name in the message can be any word, but it comes last: the first pattern to begin wins.
    found = [(match.start(), verdict) for pattern, verdict in _ERROR_PATTERNS if (match := pattern.search(message))]
    return min(found, key=lambda one: one[0])[1] if found else "other_error"


def quoted_strings(sql: str, schema: Schema, *, values: bool = False) -> tuple[str, ...]:
    """Words in double quotes that name nothing in scope, which SQLite takes for texts without a word.

        SELECT "名城" FROM 城市 WHERE 省份 = "河北省"   ->   ("名城",)

    Args:
        sql: Any SQL; where it cannot be parsed, its tokens tell.
        schema: Of its database.
        values: Also those that stand where a value does: compared with something from the database (`"河北省"`), in an
            IN-list, in LIKE. A text is what was meant there, and most gold is written so; anywhere else it is a
            misspelt column, and the query runs and means something else.
    """
    return clause_reader(schema).quoted_strings(sql, values=values)


def wrong_result_verdict(
    gold: Clauses | None,
    predicted: Clauses | None,
    *,
    gold_num_rows: int,
    predicted_num_rows: int,
    gold_num_columns: int,
    predicted_num_columns: int,
) -> Verdict:
    """Why a prediction that ran returned something else than gold; the module's first lines say how.

    Args:
        gold: The gold query; None if it cannot be parsed.
        predicted: The predicted one, likewise.
        gold_num_rows: Rows of the gold's result.
        predicted_num_rows: Rows of the prediction's.
        gold_num_columns: Columns of the gold's result.
        predicted_num_columns: Columns of the prediction's.
    """
    sizes = _Sizes(gold_num_rows, predicted_num_rows, gold_num_columns, predicted_num_columns)
    is_empty = predicted_num_rows == 0 < gold_num_rows
    if gold is not None and predicted is not None:
        decides_rows, verdict = _first_difference(gold, predicted, sizes)
        if verdict and (decides_rows or not is_empty):
            return verdict
    elif sizes.columns_differ:
        return "extra_or_missing_column"
    return "empty_result" if is_empty else "unexplained"


class _Sizes(NamedTuple):
    gold_rows: int
    predicted_rows: int
    gold_columns: int
    predicted_columns: int

    @property
    def columns_differ(self) -> bool:
        return self.gold_columns != self.predicted_columns


class _Found(NamedTuple):
    """A difference. `decides_rows`: whether it can change how many rows there are."""

    decides_rows: bool
    verdict: Verdict | None


_NOTHING = _Found(False, None)


def _first_difference(gold: Clauses, predicted: Clauses, sizes: _Sizes | None) -> _Found:
    """The difference that explains; `sizes` is None inside a subquery, whose results nobody has."""
    rows_differ = sizes is None or sizes.gold_rows != sizes.predicted_rows
    if gold.all_tables != predicted.all_tables:
        if sizes and not rows_differ and _is_column_with_its_table(gold, predicted):
            return _Found(False, "extra_or_missing_column")
        return _Found(True, "wrong_table")
    about_rows: list[Callable[[], _Found]] = [
        lambda: _structure(gold, predicted),
        lambda: _clause("wrong_join", (gold.tables, gold.joins), (predicted.tables, predicted.joins)),
        lambda: _clause("wrong_condition", _outlines(gold.conditions), _outlines(predicted.conditions)),
        lambda: _grouping(gold, predicted),
        lambda: _inside(gold, predicted),
        lambda: _clause("wrong_order_or_limit", _limit(gold), _limit(predicted)),
        lambda: _clause("wrong_value", _texts(gold), _texts(predicted)),
    ]
    about_columns: list[Callable[[], _Found]] = [lambda: _columns(gold, predicted, sizes)]
    rest: list[Callable[[], _Found]] = [
        lambda: _order(gold, predicted),
        lambda: _Found(True, "wrong_distinct") if _distincts(gold) != _distincts(predicted) else _NOTHING,
    ]
    for find in [*about_rows, *about_columns, *rest] if rows_differ else [*about_columns, *about_rows, *rest]:
        found = find()
        if found.verdict:
            return found
    return _NOTHING


def _is_column_with_its_table(gold: Clauses, predicted: Clauses) -> bool:
    """Whether tables and result columns were only added."""
    missing, added = _only_in_one(gold, predicted)
    return gold.all_tables < predicted.all_tables and not missing and bool(added)


def _structure(gold: Clauses, predicted: Clauses) -> _Found:
    def structure(clauses: Clauses) -> tuple[object, ...]:
        num_in_from = sum(label.startswith("(") for label in clauses.tables)
        return clauses.operator, len(clauses.parts), len(clauses.nested), num_in_from

    return _clause("wrong_structure", structure(gold), structure(predicted))


def _grouping(gold: Clauses, predicted: Clauses) -> _Found:
    def grouping(clauses: Clauses) -> tuple[object, ...]:
        is_one_row = not clauses.group and any(one.aggregates for one in clauses.select)
        return _outlines(clauses.group), _outlines(clauses.having), is_one_row

    return _clause("wrong_aggregation", grouping(gold), grouping(predicted))


def _inside(gold: Clauses, predicted: Clauses) -> _Found:
    """Subqueries and sides of a set operation, those that both have left aside."""
    for own, others in ((gold.nested, predicted.nested), (gold.parts, predicted.parts)):
        texts, other_texts = [one.text for one in own], [one.text for one in others]
        unlike = [one for one in own if one.text not in other_texts]
        unlike_others = [one for one in others if one.text not in texts]
        for one, other in zip(unlike, unlike_others, strict=False):
            verdict = _first_difference(one, other, None).verdict
            if verdict:
                return _Found(True, verdict)
    return _NOTHING


def _columns(gold: Clauses, predicted: Clauses, sizes: _Sizes | None) -> _Found:
    missing, added = _only_in_one(gold, predicted)
    num_columns = (sizes.gold_columns, sizes.predicted_columns) if sizes else (len(gold.select), len(predicted.select))
    gold_aggregates, aggregates = _aggregates(missing), _aggregates(added)
    if num_columns[0] != num_columns[1]:
        is_other_question = missing and added and bool(gold_aggregates) != bool(aggregates)
        return _Found(False, "wrong_aggregation" if is_other_question else "extra_or_missing_column")
    if not missing and not added:
        return _NOTHING
    rows_counted = ["*" in one.columns for ones in (missing, added) for one in ones]
    if gold_aggregates != aggregates or (any(rows_counted) and not all(rows_counted)):
        return _Found(False, "wrong_aggregation")
    return _Found(False, "wrong_column")


def _order(gold: Clauses, predicted: Clauses) -> _Found:
    verdict: Verdict = "wrong_order_or_limit"
    differ = [one.outline for one in gold.order] != [one.outline for one in predicted.order]
    return _Found(False, verdict) if differ else _NOTHING


def _clause(verdict: Verdict, gold: object, predicted: object) -> _Found:
    return _Found(True, verdict) if gold != predicted else _NOTHING


def _outlines(terms: Iterable[Term]) -> list[str]:
    return sorted(term.outline for term in terms)


def _texts(clauses: Clauses) -> list[str]:
    return sorted(term.text for term in (*clauses.joins, *clauses.conditions, *clauses.having))


def _limit(clauses: Clauses) -> str:
    return clauses.limit.text if clauses.limit else ""


def _only_in_one(gold: Clauses, predicted: Clauses) -> tuple[list[Selected], list[Selected]]:
    """Result columns that gold alone has, and those that the prediction alone has."""
    missing, added = Counter(_outlines_of(gold)), Counter(_outlines_of(predicted))
    shared = missing & added
    return _without(gold, shared), _without(predicted, shared)


def _outlines_of(clauses: Clauses) -> Iterator[str]:
    return (one.term.outline for one in clauses.select)


def _without(clauses: Clauses, shared: Counter[str]) -> list[Selected]:
    left = Counter(shared)
    kept = []
    for one in clauses.select:
        if left[one.term.outline]:
            left[one.term.outline] -= 1
        else:
            kept.append(one)
    return kept


def _aggregates(selected: Iterable[Selected]) -> list[str]:
    return sorted(name for one in selected for name in one.aggregates)


def _distincts(clauses: Clauses) -> list[str]:
    inner = [name for one in (*clauses.nested, *clauses.parts) for name in _distincts(one)]
    return sorted([*clauses.distinct, *inner])
