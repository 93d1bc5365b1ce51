"""Strict execution match: our own comparison of results, without what the official one forgives or cannot see.

    gold       SELECT 名称, 均价 FROM 书 ORDER BY 均价     (("论语", 18.1), ("史记", 30.3))
    predicted  … 0.3 computed in another order             (("论语", 18.1), ("史记", 30.299999999999997))   the same
    predicted  SELECT 均价, 名称 …                          ((18.1, "论语"), …)                    another result

A figure of its own, for our own use; it never enters the official ones (execution_accuracy.py). The rules:

1. both queries run as they are written: DISTINCT stays, nothing is replaced;
2. row order counts exactly when the outer query of gold has an ORDER BY: not one in a subquery, a window, a string, a
   name or a comment. Rows that tie in it count in gold's order too, since the result does not tell what was sorted by;
3. else rows are a multiset: a row twice is not a row once;
4. as many columns, in gold's order; their names do not count. Two empty results are the same if they have as many
   columns (`both_empty` flags that they say little);
5. two whole numbers are equal exactly. A number with a fraction (REAL) equals a number that is within a billionth of
   it, or within 1e-9: sums made in another order differ in the 16th digit, and prices, ratios and dates in days do not
   come so near each other by chance. 1 = 1.0;
6. NULL = NULL; TEXT, BLOB and numbers never equal each other ('1' is not 1); TEXT is compared byte for byte.

"Within a billionth" is no equivalence: a ≈ b and b ≈ c, yet a and c may differ. So two multisets are the same if their
rows can be paired, one to one, so that each pair is equal. Rows that could be equal are gathered first, by their exact
values and by runs of neighbouring numbers. Inside such a group, nearly always of one row, they are paired as sorted, or
else a matching by augmenting paths decides. Results built to make that long are given up, as different, after 2 million
comparisons of rows: some 3 s.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from t2s.sql.sandbox import Outcome, Row, Value
from t2s.sql.tokens import tokens

RELATIVE_TOLERANCE = 1e-9
ABSOLUTE_TOLERANCE = 1e-9

_MAX_COMPARISONS = 2_000_000


def strict_same_result(gold: Outcome, predicted: Outcome, *, gold_sql: str) -> bool:
    """Compare what the two queries, unchanged, returned; a query without a result equals nothing.

    Args:
        gold: What `gold_sql` returned.
        predicted: What the prediction returned.
        gold_sql: Says whether row order counts.
    """
    if gold.rows is None or predicted.rows is None or len(gold.rows) != len(predicted.rows):
        return False
    if not gold.rows:
        return len(gold.names) == len(predicted.names)
    if len(gold.rows[0]) != len(predicted.rows[0]):
        return False
    if outer_query_orders(gold_sql):
        return all(map(_same_row, gold.rows, predicted.rows))
    return _same_multiset(gold.rows, predicted.rows)


def outer_query_orders(sql: str) -> bool:
    """Whether a query has an ORDER BY of its own, outside of every bracket."""
    depth = 0
    before = ""
    for token in tokens(sql):
        if token.kind in ("space", "comment"):
            continue
        word = token.text.lower()  # of a literal or a quoted name with its quotes
        if word == "(":
            depth += 1
        elif word == ")":
            depth -= 1
        elif depth == 0 and before == "order" and word == "by":
            return True
        before = word
    return False


def same_value(one: Value, other: Value) -> bool:
    """Whether two values are equal by rules 5 and 6."""
    if isinstance(one, float) or isinstance(other, float):
        return isinstance(one, (int, float)) and isinstance(other, (int, float)) and _is_close(one, other)
    return one == other


def _same_row(one: Row, other: Row) -> bool:
    return one == other or all(map(same_value, one, other))


def _same_multiset(gold: Sequence[Row], predicted: Sequence[Row]) -> bool:
    if Counter(gold) == Counter(predicted):
        return True
    runs = {
        column: numbers
        for column, values in enumerate(zip(*gold, *predicted, strict=True))
        if (numbers := _runs_of_numbers(values))
    }
    if not runs:
        return False
    groups: dict[Row, tuple[list[Row], list[Row]]] = {}
    for side, rows in enumerate((gold, predicted)):
        for row in rows:
            groups.setdefault(_group_key(row, runs), ([], []))[side].append(row)
    if any(len(ours) != len(theirs) for ours, theirs in groups.values()):
        return False
    search = _PairSearch(list(runs))
    return all(search.pairs_all(ours, theirs) for ours, theirs in groups.values())


def _runs_of_numbers(values: Sequence[Value]) -> dict[int | float, int]:
    """Number the runs of a column's numbers; two in one run may be equal, two in different runs are not.

    Returns:
        For each number its run; empty for a column without REAL, where equal means equal.
    """
    if not any(isinstance(value, float) for value in values):
        return {}
    runs: dict[int | float, int] = {}
    run, last = 0, None
    for number in sorted({value for value in values if isinstance(value, (int, float))}):
        if last is not None and not _is_close(last, number):
            run += 1
        runs[number] = run
        last = number
    return runs


def _group_key(row: Row, runs: dict[int, dict[int | float, int]]) -> Row:
    """The row with each number of a REAL column replaced by its run; such a column has no other whole numbers."""
    key = list(row)
    for column, of_number in runs.items():
        value = row[column]
        if isinstance(value, (int, float)):
            key[column] = of_number[value]
    return tuple(key)


class _PairSearch:
    """Pairs rows of a group one to one.

    Args:
        columns: Those that hold REAL.
    """

    def __init__(self, columns: Sequence[int]) -> None:
        self._columns = columns
        self._comparisons_left = _MAX_COMPARISONS

    def pairs_all(self, gold: Sequence[Row], predicted: Sequence[Row]) -> bool:
        """Whether each row of `gold` gets a row of `predicted` that equals it; both have as many."""
        columns = [column for column in self._columns if isinstance(gold[0][column], (int, float))]
        if len(gold) == 1 or not columns:
            return self._are_equal(gold[0], predicted[0])
        # By the widest column first, so that few rows come into question for each.
        columns.sort(key=lambda column: -_width_in_tolerances([_number(row[column]) for row in gold]))
        gold, predicted = _sorted_by(gold, columns), _sorted_by(predicted, columns)
        match_of = {i: i for i in range(len(gold)) if self._are_equal(gold[i], predicted[i])}
        if len(match_of) == len(gold):
            return True
        sorted_numbers = [_number(row[columns[0]]) for row in predicted]

        def candidates(index: int) -> Iterator[int]:
            number = _number(gold[index][columns[0]])
            width = 2 * _tolerance(number)
            first = bisect_left(sorted_numbers, number - width)
            for position in range(first, bisect_right(sorted_numbers, number + width)):
                if self._are_equal(gold[index], predicted[position]):
                    yield position

        taken_by = {position: index for index, position in match_of.items()}
        return all(
            _augment(index, candidates, match_of, taken_by) for index in range(len(gold)) if index not in match_of
        )

    def _are_equal(self, one: Row, other: Row) -> bool:
        self._comparisons_left -= 1
        return self._comparisons_left >= 0 and _same_row(one, other)


def _augment(
    start: int, candidates: Callable[[int], Iterator[int]], match_of: dict[int, int], taken_by: dict[int, int]
) -> bool:
    """Match one more row, moving others to another match where that helps; breadth first."""
    reached_from: dict[int, int] = {}
    waiting = [start]
    for index in waiting:
        for position in candidates(index):
            if position in reached_from:
                continue
            reached_from[position] = index
            if position in taken_by:
                waiting.append(taken_by[position])
                continue
            while True:
                index = reached_from[position]
                given_up = match_of.get(index)
                match_of[index], taken_by[position] = position, index
                if given_up is None:
                    return True
                position = given_up
    return False


def _sorted_by(rows: Sequence[Row], columns: Sequence[int]) -> list[Row]:
    return sorted(rows, key=lambda row: [_number(row[column]) for column in columns])


def _width_in_tolerances(numbers: Sequence[int | float]) -> float:
    low, high = min(numbers), max(numbers)
    return 0.0 if low == high else (high - low) / _tolerance(max(abs(low), abs(high)))


def _tolerance(number: int | float) -> float:
    return max(ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE * abs(number))


def _number(value: Value) -> int | float:
    assert isinstance(value, (int, float)), "rows of a group have numbers in the same columns"
    return value


def _is_close(one: int | float, other: int | float) -> bool:
    return math.isclose(one, other, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)
