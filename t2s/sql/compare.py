"""Whether two results are the same by the rules of the field's official evaluator.

    gold       (("北京", 2189), ("上海", 2487))
    predicted  ((2487, "上海"), (2189, "北京"))     the same, unless rows are ordered: columns are swapped as a whole

Rules, read in taoyds/test-suite-sql-eval exec_eval.py@14784c3 (`result_eq`) and probed; written anew:

- two empty results are the same, whatever their columns;
- as many rows and as many columns, or they differ;
- some permutation of the predicted columns, one for the whole table, makes the rows equal: as a list where order
  counts, else as a multiset;
- values are equal as in Python: 1 = 1.0, '1' differs from 1, NULL = NULL, floats to the last bit;
- a quirk, kept (`quick_rej` there): before that, the values of each row are sorted by their text, and these sorted rows
  must be equal too, as a list where order counts, else as a set. So (1, 1.5) and (1.0, 1.5) differ, since "1.0" sorts
  before "1.5" and "1<" behind it, while (1,) and (1.0,) are the same.
- TEXT that is not UTF-8 loses its odd bytes before it is compared.

The official search runs over all permutations, sampled down; ours assigns column by column and drops a branch as soon
as the rows made of the assigned columns differ, which gives the same verdict without the factorial.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence

from t2s.sql.sandbox import Outcome, Row, Value

# Columns assigned so far, a number for each row made of them in gold and in predicted, predicted columns used.
_Branch = tuple[int, list[int], list[int], frozenset[int]]

_SURROGATE_ESCAPES = re.compile("[\udc80-\udcff]")


def same_result(gold: Outcome, predicted: Outcome, *, ordered: bool) -> bool:
    """Compare what two queries returned; a query that returned no rows object (an error) equals nothing."""
    if gold.rows is None or predicted.rows is None:
        return False
    return same_rows(
        gold.rows if gold.all_utf8 else _without_odd_bytes(gold.rows),
        predicted.rows if predicted.all_utf8 else _without_odd_bytes(predicted.rows),
        ordered=ordered,
    )


def same_rows(gold: Sequence[Row], predicted: Sequence[Row], *, ordered: bool) -> bool:
    """Compare two tables, lists of rows of equal length each."""
    if not gold and not predicted:
        return True
    if len(gold) != len(predicted) or len(gold[0]) != len(predicted[0]):
        return False
    if not _same_sorted_rows(gold, predicted, ordered):
        return False
    gold_columns = list(zip(*gold, strict=True))
    predicted_columns = list(zip(*predicted, strict=True))
    if ordered:
        # With the rows in place, a permutation exists exactly when the columns are the same multiset.
        return Counter(gold_columns) == Counter(predicted_columns)
    return _some_assignment_fits(gold_columns, predicted_columns)


def _without_odd_bytes(rows: Iterable[Row]) -> list[Row]:
    return [
        tuple(_SURROGATE_ESCAPES.sub("", value) if isinstance(value, str) else value for value in row) for row in rows
    ]


def _same_sorted_rows(gold: Sequence[Row], predicted: Sequence[Row], ordered: bool) -> bool:
    """The official necessary condition: rows with their values sorted by text and type."""
    gold_sorted = [tuple(sorted(row, key=_text_and_type)) for row in gold]
    predicted_sorted = [tuple(sorted(row, key=_text_and_type)) for row in predicted]
    if ordered:
        return gold_sorted == predicted_sorted
    return set(gold_sorted) == set(predicted_sorted)


def _text_and_type(value: Value) -> str:
    return f"{value!s}{type(value)!s}"


def _some_assignment_fits(gold: Sequence[Row], predicted: Sequence[Row]) -> bool:
    """Whether the predicted columns can be put in an order that gives the same multiset of rows.

    Both hold columns, not rows: as many in each, and all equally long.
    """
    gold_colours, predicted_colours = _colour_columns(gold, predicted)
    if Counter(gold_colours) != Counter(predicted_colours):
        return False
    candidates: dict[int, list[int]] = {}
    for position, colour in enumerate(predicted_colours):
        candidates.setdefault(colour, []).append(position)
    # Columns with the fewest candidates first: the rows they make prune the others.
    order = sorted(range(len(gold)), key=lambda position: len(candidates[gold_colours[position]]))
    num_rows = len(gold[0])

    def children(
        depth: int, gold_rows: list[int], predicted_rows: list[int], used: frozenset[int]
    ) -> Iterator[_Branch]:
        if depth == len(order):
            return
        position = order[depth]
        tried: set[Row] = set()
        for candidate in candidates[gold_colours[position]]:
            if candidate in used or predicted[candidate] in tried:
                continue  # a column equal to one that failed fails too
            tried.add(predicted[candidate])
            numbers: dict[Hashable, int] = {}
            next_gold = _number(zip(gold_rows, gold[position], strict=True), numbers)
            next_predicted = _number(zip(predicted_rows, predicted[candidate], strict=True), numbers)
            if Counter(next_gold) == Counter(next_predicted):
                yield depth + 1, next_gold, next_predicted, used | {candidate}

    # Depth first on a stack of our own: a result may have 2,000 columns, Python's has 1,000 frames.
    stack = [children(0, [0] * num_rows, [0] * num_rows, frozenset())]
    while stack:
        branch = next(stack[-1], None)
        if branch is None:
            stack.pop()
        elif branch[0] == len(order):
            return True
        else:
            stack.append(children(*branch))
    return False


def _colour_columns(gold: Sequence[Row], predicted: Sequence[Row]) -> tuple[list[int], list[int]]:
    """Give columns that may correspond the same number: by their values, then by the rows those values stand in."""
    numbers: dict[Hashable, int] = {}
    colours = [_number((_bag(column) for column in table), numbers) for table in (gold, predicted)]
    num_colours = 0
    while num_colours < len(numbers) < len(gold):
        num_colours = len(numbers)
        row_numbers: dict[Hashable, int] = {}
        rows = [
            _number((_bag(zip(table_colours, row, strict=True)) for row in zip(*table, strict=True)), row_numbers)
            for table, table_colours in zip((gold, predicted), colours, strict=True)
        ]
        numbers = {}
        colours = [
            _number(
                (
                    (colour, _bag(zip(table_rows, column, strict=True)))
                    for colour, column in zip(table_colours, table, strict=True)
                ),
                numbers,
            )
            for table, table_colours, table_rows in zip((gold, predicted), colours, rows, strict=True)
        ]
    return colours[0], colours[1]


def _bag(items: Iterable[Hashable]) -> Hashable:
    return frozenset(Counter(items).items())


def _number(keys: Iterable[Hashable], numbers: dict[Hashable, int]) -> list[int]:
    """Replace equal keys by equal small numbers; `numbers` is shared by the two tables that are compared."""
    return [numbers.setdefault(key, len(numbers)) for key in keys]
