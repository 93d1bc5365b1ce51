from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.sql.compare import same_result, same_rows
from t2s.sql.sandbox import Outcome, Row

A, B = (1, "a"), (2, "b")
AB, BA = (0, 1), (1, 0)


def _times(*numbers: int) -> list[Row]:
    rows: list[Row] = [(0, "x"), (0, "y"), (1, "x"), (1, "y")]
    return [row for row, number in zip(rows, numbers, strict=True) for _ in range(number)]


@pytest.mark.parametrize(
    ("why", "gold", "predicted", "unordered", "ordered"),
    [
        ("equal", [A, B], [A, B], True, True),
        ("other values, same number of rows", [A, B], [A, (3, "c")], False, False),
        ("other row order", [A, B], [B, A], True, False),
        ("columns swapped in the whole table", [A, B], [("a", 1), ("b", 2)], True, True),
        ("columns swapped and rows too", [A, B], [("b", 2), ("a", 1)], True, False),
        ("columns swapped in one row alone", [A, B], [A, ("b", 2)], False, False),
        ("values paired wrongly", [(1, 2), (3, 4)], [(1, 4), (3, 2)], False, False),
        ("swapped per row, same sets of values", [(0, 1), (1, 0)], [(0, 1), (0, 1)], False, False),
        ("a row twice", [A, A, B], [A, B, B], False, False),
        ("the same rows, each as often as the other", _times(2, 1, 1, 2), _times(1, 2, 2, 1), False, False),
        ("the same two values in each row, in another order", [AB, BA, AB], [AB, AB, BA], True, False),
        ("a row twice and once", [A, A], [A], False, False),
        ("a column more", [(1,)], [(1, 1)], False, False),
        ("both empty", [], [], True, True),
        ("one empty", [A], [], False, False),
        ("the other empty", [], [A], False, False),
        ("1 and 1.0", [(1,)], [(1.0,)], True, True),
        ("1 and '1'", [(1,)], [("1",)], False, False),
        ("1.0 in a row with 1.5: the official quirk", [(1, 1.5)], [(1.0, 1.5)], False, False),
        ("1.0 in a row with text", [(1, "x")], [(1.0, "x")], True, True),
        ("floats to the last bit", [(0.3,)], [(0.1 + 0.2,)], False, False),
        ("NULL", [(None,)], [(None,)], True, True),
        ("NULL and 0", [(None,)], [(0,)], False, False),
        ("NULL and text", [(None,)], [("None",)], False, False),
        ("BLOB", [(b"a",)], [(b"a",)], True, True),
        ("BLOB and text", [(b"a",)], [("a",)], False, False),
        ("case of letters", [("A",)], [("a",)], False, False),
        ("blanks", [("a",)], [("a ",)], False, False),
    ],
)
def test_two_results_are_the_same_or_not(
    why: str, gold: list[Row], predicted: list[Row], unordered: bool, ordered: bool
) -> None:
    assert same_rows(gold, predicted, ordered=False) == unordered, why
    assert same_rows(gold, predicted, ordered=True) == ordered, why


def test_a_query_without_rows_equals_nothing_not_even_itself() -> None:
    failed, empty = Outcome("error", message="no such table"), Outcome("rows", rows=(), names=("a",))
    assert not same_result(failed, failed, ordered=False)
    assert not same_result(empty, failed, ordered=False)
    assert same_result(empty, Outcome("rows", rows=(), names=("a", "b", "c")), ordered=False)


def test_odd_bytes_are_left_out_of_the_comparison() -> None:
    odd = Outcome("rows", rows=(("AB\udcffC", 1),), names=("a", "b"), all_utf8=False)
    assert same_result(odd, Outcome("rows", rows=(("ABC", 1),), names=("a", "b")), ordered=True)
    assert not same_result(odd, Outcome("rows", rows=(("ABD", 1),), names=("a", "b")), ordered=True)


def by_all_permutations(gold: Sequence[Row], predicted: Sequence[Row], ordered: bool) -> bool:
    """The rule in its plainest form, for tables with rows of equal length, without the quirk of sorted rows."""
    for order in itertools.permutations(range(len(gold[0]))):
        turned = [tuple(row[position] for position in order) for row in predicted]
        if turned == list(gold) if ordered else Counter(turned) == Counter(gold):
            return True
    return False


@st.composite
def _tables(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    """A table and the same with columns and rows in another order, and perhaps two values of a row exchanged."""
    num_columns, num_rows = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    value = st.sampled_from([None, 0, 1, "a", b"a"][: draw(st.integers(2, 5))])
    gold: list[Row] = [tuple(draw(value) for _ in range(num_columns)) for _ in range(num_rows)]
    order = draw(st.permutations(range(num_columns)))
    predicted = [[row[position] for position in order] for row in gold]
    if draw(st.booleans()):
        predicted = list(draw(st.permutations(predicted)))
    if draw(st.booleans()):
        row, one, other = draw(st.tuples(st.sampled_from(predicted), *[st.integers(0, num_columns - 1)] * 2))
        row[one], row[other] = row[other], row[one]
    return gold, [tuple(row) for row in predicted]


@given(_tables(), st.booleans())
def test_the_search_finds_what_trying_all_permutations_finds(
    tables: tuple[list[Row], list[Row]], ordered: bool
) -> None:
    gold, predicted = tables
    assert same_rows(gold, predicted, ordered=ordered) == by_all_permutations(gold, predicted, ordered)


@pytest.mark.parametrize(("num_columns", "num_rows"), [(12, 100), (40, 30), (200, 10), (2_000, 2), (5, 20_000)])
def test_wide_tables_of_two_values_are_compared_in_a_moment(num_columns: int, num_rows: int) -> None:
    generator = random.Random(3)
    gold: list[Row] = [tuple(generator.randint(0, 1) for _ in range(num_columns)) for _ in range(num_rows)]
    order = generator.sample(range(num_columns), num_columns)
    same = [tuple(row[position] for position in order) for row in gold]
    generator.shuffle(same)
    other = [*same[1:], tuple(1 - int(str(value)) for value in same[0])]
    started = time.perf_counter()
    assert same_rows(gold, same, ordered=False)
    assert not same_rows(gold, other, ordered=False)
    assert time.perf_counter() - started < 10  # 0.3 s on one idle core; the factorial of 12 alone would take minutes
