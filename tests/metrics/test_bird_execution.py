from __future__ import annotations

from collections.abc import Sequence

import pytest

from t2s.metrics.bird_execution import bird_same_result
from t2s.sql.sandbox import Outcome, Row

A, B = (1, "北京"), (2, "上海")


def outcome(rows: Sequence[Row]) -> Outcome:
    return Outcome("rows", rows=tuple(rows), names=("a",) * len(rows[0]) if rows else ("a",))


@pytest.mark.parametrize(
    ("why", "gold", "predicted", "is_same"),
    [
        ("equal", [A, B], [A, B], True),
        ("other row order", [A, B], [B, A], True),
        ("a row twice", [A, B], [A, A, B], True),
        ("values differ", [A, B], [A, (2, "广州")], False),
        ("a row less", [A, B], [A], False),
        ("columns in another order", [A], [("北京", 1)], False),
        ("a column more", [(1,)], [(1, 1)], False),
        ("1 and 1.0", [(1,)], [(1.0,)], True),
        ("1 and '1'", [(1,)], [("1",)], False),
        ("noise in the last bit", [(0.3,)], [(0.1 + 0.2,)], False),
        ("NULL", [(None,)], [(None,)], True),
        ("NULL and 0", [(None,)], [(0,)], False),
        ("both empty", [], [], True),
        ("one empty", [A], [], False),
    ],
)
def test_results_are_compared_as_sets_of_rows(why: str, gold: list[Row], predicted: list[Row], is_same: bool) -> None:
    assert bird_same_result(outcome(gold), outcome(predicted)) == is_same, why
    assert bird_same_result(outcome(predicted), outcome(gold)) == is_same, why


def test_names_of_columns_do_not_count() -> None:
    gold, predicted = Outcome("rows", rows=(A,), names=("a", "b")), Outcome("rows", rows=(A,), names=("c", "d"))
    assert bird_same_result(gold, predicted)


def test_a_query_without_result_equals_nothing_not_even_itself() -> None:
    failed = Outcome("error", message="no such table: 城市")
    assert not bird_same_result(failed, failed)
    assert not bird_same_result(outcome([]), failed)
    assert not bird_same_result(failed, outcome([]))


def test_text_that_is_not_utf8_is_an_error_there() -> None:
    odd = Outcome("rows", rows=(("\udcff",),), names=("a",), all_utf8=False)
    assert not bird_same_result(odd, odd)
