from __future__ import annotations

from t2s.metrics.interaction_match import interaction_match


def test_an_interaction_is_right_when_every_turn_is() -> None:
    assert interaction_match([(True, True, True), (True, False), (True,), (False,)]) == (2, 4)


def test_an_interaction_with_a_turn_that_cannot_be_scored_is_left_out() -> None:
    assert interaction_match([(True, None), (None, False), (True,)]) == (1, 1)
    assert interaction_match([]) == (0, 0)
