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
4. Where one of the results is empty, and a column that both queries compare with a value is compared with another one,
   it is `wrong_value` before anything but `wrong_table`: no other difference empties results as often.
5. Where nothing else differs: `wrong_column` for a column that a join makes equal to the gold's and that is of another
   type (1 and '1'); then `wrong_distinct`. Execution accuracy removes DISTINCT by default, from both queries, so that
   one seldom explains, but for a GROUP BY of all result columns in its place: that is not removed.
6. `empty_result`: it returned no row where gold did, and no clause that decides about rows says why. A condition or
   value that lets no row pass is named as such, since that is what to look at.
7. `unexplained`: the clauses are the same, or one of the queries cannot be parsed, and the sizes tell nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from t2s.schema import Schema
from t2s.sql.clauses import Clauses, ComparedValue, Selected, Term, clause_reader
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

# The second label of a table that stands twice: 公司#2.
_COPY = re.compile(r"#\d+$")
# A number in quotes: most columns make it a number, and where they do not, `_texts` still sees a difference.
_NUMBER_AS_TEXT = re.compile(r"^'(-?\d+(?:\.\d+)?)'$")


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
    if sizes and bool(sizes.gold_rows) != bool(sizes.predicted_rows) and _compare_with_other_values(gold, predicted):
        return _Found(True, "wrong_value")
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
        lambda: _named_columns(gold, predicted),
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
        # The same tables in all, but other ones in FROM: one of the two reads some in a subquery.
        tables = {_COPY.sub("", label) for label in clauses.tables}
        return clauses.operator, len(clauses.parts), len(clauses.nested), tables

    return _clause("wrong_structure", structure(gold), structure(predicted))


def _grouping(gold: Clauses, predicted: Clauses) -> _Found:
    def grouping(clauses: Clauses) -> tuple[object, ...]:
        is_one_row = not clauses.group and any(one.aggregates for one in clauses.select)
        return _outlines(clauses.group), _outlines(clauses.having), is_one_row

    for one, other in ((gold, predicted), (predicted, gold)):
        if "select" in one.distinct and not one.group and not other.having and _groups_its_columns(other):
            return _clause("wrong_distinct", gold.group, predicted.group)
    return _clause("wrong_aggregation", grouping(gold), grouping(predicted))


def _groups_its_columns(clauses: Clauses) -> bool:
    """Whether GROUP BY does what DISTINCT would."""
    return set(clauses.group) == {one.term for one in clauses.select}


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
    if num_columns[0] != num_columns[1]:
        # Rows where gold counts or sums them up, or the other way round: no matter of how many columns.
        is_other_question = (
            missing and added and {bool(one.aggregates) for one in missing} == {not one.aggregates for one in added}
        )
        return _Found(False, "wrong_aggregation" if is_other_question else "extra_or_missing_column")
    if not missing and not added:
        return _NOTHING
    if all(any(not one.aggregates for one in ones) for ones in (missing, added)):
        return _Found(False, "wrong_column")
    rows_counted = ["*" in one.columns for ones in (missing, added) for one in ones]
    if _aggregates(missing) != _aggregates(added) or (any(rows_counted) and not all(rows_counted)):
        return _Found(False, "wrong_aggregation")
    return _Found(False, "wrong_column")


def _order(gold: Clauses, predicted: Clauses) -> _Found:
    verdict: Verdict = "wrong_order_or_limit"
    differ = [one.outline for one in gold.order] != [one.outline for one in predicted.order]
    return _Found(False, verdict) if differ else _NOTHING


def _named_columns(gold: Clauses, predicted: Clauses) -> _Found:
    names, other_names = (sorted(one.columns for one in clauses.select) for clauses in (gold, predicted))
    return _Found(False, "wrong_column") if names != other_names else _NOTHING


def _compare_with_other_values(gold: Clauses, predicted: Clauses) -> bool:
    values: tuple[dict[str, set[str]], dict[str, set[str]]] = ({}, {})
    for clauses, by_compared in zip((gold, predicted), values, strict=True):
        for one in _values(clauses):
            by_compared.setdefault(one.compared, set()).add(_NUMBER_AS_TEXT.sub(r"\1", one.value))
    shared = values[0].keys() & values[1].keys()
    return any(values[0][compared] != values[1][compared] for compared in shared)


def _values(clauses: Clauses) -> Iterator[ComparedValue]:
    yield from clauses.values
    for inner in (*clauses.nested, *clauses.parts):
        yield from _values(inner)


def _clause(verdict: Verdict, gold: object, predicted: object) -> _Found:
    return _Found(True, verdict) if gold != predicted else _NOTHING


def _outlines(terms: Iterable[Term]) -> list[str]:
    return sorted(term.outline for term in terms)


def _texts(clauses: Clauses) -> list[str]:
    return sorted(term.text for term in (*clauses.joins, *clauses.conditions, *clauses.having))


def _limit(clauses: Clauses) -> str:
    return clauses.limit.text if clauses.limit else ""


def _only_in_one(gold: Clauses, predicted: Clauses) -> tuple[list[Selected], list[Selected]]:
    """Result columns that gold alone has, and those that the prediction alone has.

    Shared are those that are equal by their query's joins, and those that have the same names: queries that join
    differently write equal columns differently.
    """
    missing, added = list(gold.select), list(predicted.select)
    for same in (lambda one: one.term.outline, lambda one: (one.form, one.columns)):
        shared = Counter(map(same, missing)) & Counter(map(same, added))
        missing, added = _without(missing, shared, same), _without(added, shared, same)
    return missing, added


def _without(selected: list[Selected], shared: Counter[object], same: Callable[[Selected], object]) -> list[Selected]:
    left = Counter(shared)
    kept = []
    for one in selected:
        if left[same(one)]:
            left[same(one)] -= 1
        else:
            kept.append(one)
    return kept


def _aggregates(selected: Iterable[Selected]) -> list[str]:
    return sorted(name for one in selected for name in one.aggregates)


def _distincts(clauses: Clauses) -> list[str]:
    inner = [name for one in (*clauses.nested, *clauses.parts) for name in _distincts(one)]
    return sorted([*clauses.distinct, *inner])
