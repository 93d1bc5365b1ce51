"""ROUGE-L of two SQL texts over jieba's words, equal to what LLaMA-Factory reports after training.

    gold       SELECT 城市名称 FROM 城市     ->  SELECT 城市 名称 FROM 城市
    predicted  SELECT 名称 FROM 城市         ->  SELECT 名称 FROM 城市
    longest common subsequence 4 of 5 and of 4 words: recall 4/5, precision 4/4, F = 2 · 0.8 / 1.8 = 0.8889

It says how alike the texts are, nothing about what the SQL returns; the team compares with figures it has.

Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", section 3, as one pair of word sequences. Rules read
in hiyouga/LLaMA-Factory src/llamafactory/train/sft/metric.py@v0.9.5 (`ComputeSimilarity`) and rouge-chinese 1.0.3
rouge_score.py, rouge.py (`rouge_l_summary_level`, `cut_sent`), probed, and written anew. Kept from there: F has 1e-8
in its divisor, and a line of blanks between two lines counts as a word. Not kept: its table of all pairs of words, a
dictionary of 10 million entries for two texts of 3,000 words. Ours holds the table's row in the bits of one integer
(Hyyrö 2004, "Bit-parallel LCS-length computation revisited"): 30,000 words against 30,000 take half a second.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Protocol

MAX_HMM_CHARACTERS = 20_000
"""Longer texts are cut by jieba's dictionary alone, without its hidden Markov model, and may so differ a little from
LLaMA-Factory's figure. The model copies its path at each character: 33,000 rare ones in a row take it 3.6 s, 100,000
half a minute. The longest SQL in the field's datasets has under 2,000 characters."""

_EPSILON = 1e-8

# Where the original begins a new line, as far as jieba's words, one blank between them, can hold such a place: behind
# a mark that ends a sentence, and within a run of dots behind each six.
_SENTENCE_END = re.compile(r"([。！？?]|\.{6})([^”’])")


# jieba itself cuts a text into runs of these characters and runs of others, and looks at each run alone (`cut` with its
# `re_han_default`, 0.42.1).
_PIECES = re.compile(r"[\u4e00-\u9fd5a-zA-Z0-9+#&._%-]+|[^\u4e00-\u9fd5a-zA-Z0-9+#&._%-]+")


class _Cutter(Protocol):
    def cut(self, sentence: str, cut_all: bool = False, HMM: bool = True) -> Iterator[str]: ...


def rouge_l(gold: str, predicted: str) -> float:
    """Compute the F measure, 0..1; 0.0 where one of the two has no word.

    The first call in a process reads jieba's dictionary, about 0.7 s.

    Args:
        gold: The annotated SQL.
        predicted: The predicted SQL, as it is to be judged: letter case counts, the number of blanks does not.
    """
    gold_words, predicted_words = _words(gold), _words(predicted)
    if not any(gold_words) or not any(predicted_words):
        return 0.0
    common = _common_subsequence_length(gold_words, predicted_words)
    recall, precision = common / len(gold_words), common / len(predicted_words)
    return 2 * precision * recall / (precision + recall + _EPSILON)


def _words(text: str) -> list[str]:
    with_hmm = len(text) <= MAX_HMM_CHARACTERS
    cut = " ".join(word for piece in _PIECES.findall(text) for word in _piece_words(piece, with_hmm))
    lines = _SENTENCE_END.sub(r"\1" "\n" r"\2", cut).rstrip().split("\n")
    return [word for line in lines if line for word in line.split() or [""]]


@lru_cache(maxsize=50_000)
def _piece_words(piece: str, with_hmm: bool) -> tuple[str, ...]:
    # The names and keywords of one database come again and again: of 6 s for 4,000 turns this saves 4.
    return tuple(_cutter().cut(piece, HMM=with_hmm))


def _common_subsequence_length(one: list[str], other: list[str]) -> int:
    places: dict[str, int] = {}
    for position, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << position
    all_bits = (1 << len(one)) - 1
    row = all_bits  # a 0 at a word of `one` where the length grows by one
    for word in other:
        matches = row & places.get(word, 0)
        if matches:
            row = (row + matches | row - matches) & all_bits
    return len(one) - row.bit_count()


_loading = threading.Lock()


def _cutter() -> _Cutter:
    with _loading:
        return _load_cutter()


@cache
def _load_cutter() -> _Cutter:
    """Make a cutter of our own, with jieba's own dictionary.

    Its `initialize` would do so too, but writes to stderr and trusts a file `jieba.cache` in the shared temp folder,
    where anybody may have put one: it is read by `marshal`, which a crafted file can crash.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its patterns have escapes that Python deprecates; pkg_resources where it is
        import jieba
    tokenizer = jieba.Tokenizer()
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    return tokenizer  # type: ignore[no-any-return]
