from __future__ import annotations

import logging
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2s.metrics.rouge import MAX_HMM_CHARACTERS, rouge_l
from tests.metrics.overlap_pairs import MEAN_ROUGE_L, PAIRS, OverlapPair

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: repr(pair.predicted[:20]))
def test_a_pair_has_the_rouge_of_llamafactory(pair: OverlapPair) -> None:
    assert 100 * rouge_l(pair.gold, pair.predicted) == pytest.approx(pair.rouge_l, abs=1e-4)


def test_the_mean_is_that_of_llamafactory() -> None:
    mean = statistics.fmean(rouge_l(pair.gold, pair.predicted) for pair in PAIRS)
    assert 100 * mean == pytest.approx(MEAN_ROUGE_L, abs=1e-4)


def test_the_example_worked_by_hand() -> None:
    f = rouge_l("SELECT 城市名称 FROM 城市", "SELECT 名称 FROM 城市")
    assert f == pytest.approx(2 * 0.8 * 1 / 1.8, abs=1e-7)


@cache
def _packages() -> tuple[Any, Any]:
    """A cutter as others use it, with its cache in a folder of its own, and rouge-chinese's scorer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both have escapes in their patterns that Python deprecates
        import jieba
        from rouge_chinese import Rouge
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = jieba.Tokenizer()
        tokenizer.tmp_dir = folder
        jieba.setLogLevel(logging.ERROR)
        tokenizer.initialize()
    return tokenizer, Rouge(metrics=["rouge-l"])


def by_rouge_chinese(gold: str, predicted: str) -> float:
    tokenizer, scorer = _packages()
    words = [" ".join(tokenizer.cut(text)) for text in (predicted, gold)]
    if not all(one.split() for one in words):
        return 0.0
    f: float = scorer.get_scores(*words)[0]["rouge-l"]["f"]
    return f


_PIECES = st.sampled_from(
    [*"ab1.-%_#?。！？”’…，,名称中国龘 \n\t", "......", ".......", "\n \n", "\r\n", "SELECT ", "中国人民"]
)
_TEXTS = st.lists(_PIECES, max_size=25).map("".join)


@settings(deadline=None)
@given(_TEXTS, _TEXTS)
def test_any_pair_has_the_rouge_of_rouge_chinese_over_the_words_of_jieba(gold: str, predicted: str) -> None:
    assert rouge_l(gold, predicted) == pytest.approx(by_rouge_chinese(gold, predicted), abs=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "龘" * 100_000,
        "".join(chr(0x9E00 + random.Random(5).randrange(400)) for _ in range(100_000)),
        "SELECT 名称 FROM 城市 UNION " * 4_500,
        "名 " * 50_000,
        "." * 100_000,
        "\n" * 50_000 + "a" + "\n" * 49_999,
    ],
    ids=["one rare character", "rare characters", "SQL", "single words", "dots", "blank lines"],
)
def test_a_hundred_thousand_characters_take_a_moment(text: str) -> None:
    gold = "SELECT 名称 FROM 城市 WHERE 人口 > 1000"
    rouge_l(gold, gold)  # reads the dictionary
    started = time.perf_counter()
    assert rouge_l(gold, text) < 0.02
    assert rouge_l(text, gold) < 0.02
    assert rouge_l(text, text) == pytest.approx(1, abs=1e-6)
    assert time.perf_counter() - started < 30  # 2 s on one idle core


def test_the_longest_text_that_is_cut_as_llamafactory_cuts_it_takes_a_moment() -> None:
    generator = random.Random(5)
    text = "".join(chr(0x9E00 + generator.randrange(400)) for _ in range(MAX_HMM_CHARACTERS))
    started = time.perf_counter()
    assert rouge_l("SELECT 名称 FROM 城市", text) == 0.0
    assert time.perf_counter() - started < 30  # 1.4 s on one idle core


def test_jieba_prints_nothing_warns_of_nothing_and_keeps_no_cache(tmp_path: Path) -> None:
    planted = tmp_path / "jieba.cache"
    planted.write_bytes(b"whoever reads this gets no words from it")
    code = "from t2s.metrics.rouge import rouge_l; print(rouge_l('SELECT 城市名称', 'SELECT 名称'))"
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", code],
        cwd=ROOT,
        env={"TMPDIR": str(tmp_path), "PYTHONPYCACHEPREFIX": str(tmp_path / "none")},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert float(done.stdout) == pytest.approx(0.8, abs=1e-6)
    assert planted.read_bytes() == b"whoever reads this gets no words from it"
    assert [path.name for path in tmp_path.iterdir()] == ["jieba.cache"]
