from __future__ import annotations

import statistics
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from t2s.metrics.bleu import bleu_4
from tests.metrics.overlap_pairs import MEAN_BLEU_4, PAIRS, OverlapPair


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: repr(pair.predicted[:20]))
def test_a_pair_has_the_bleu_of_llamafactory(pair: OverlapPair) -> None:
    assert 100 * bleu_4(pair.gold, pair.predicted) == pytest.approx(pair.bleu_4, abs=1e-4)


def test_the_mean_is_that_of_llamafactory() -> None:
    mean = statistics.fmean(bleu_4(pair.gold, pair.predicted) for pair in PAIRS)
    assert 100 * mean == pytest.approx(MEAN_BLEU_4, abs=1e-4)


def test_the_example_worked_by_hand() -> None:
    expected = (15 / 17 * 14 / 16 * 13 / 15 * 12 / 14) ** 0.25
    assert bleu_4("SELECT 名称 FROM 城市", "SELECT 名称 FROM 公司") == pytest.approx(expected, rel=1e-12)


_TEXTS = st.text(st.sampled_from("ab名称 ，\n"), max_size=12)


@settings(deadline=None)
@given(_TEXTS, _TEXTS)
def test_any_pair_has_the_bleu_of_nltk_over_characters(gold: str, predicted: str) -> None:
    theirs = sentence_bleu([list(gold)], list(predicted), smoothing_function=SmoothingFunction().method3)
    assert bleu_4(gold, predicted) == pytest.approx(theirs, abs=1e-12)


def test_a_hundred_thousand_characters_take_a_moment() -> None:
    started = time.perf_counter()
    assert 0 < bleu_4("SELECT 名称 FROM 城市", "SELECT 名称 FROM 公司 " * 6_000) < 0.001
    assert time.perf_counter() - started < 10  # 0.05 s on one idle core
