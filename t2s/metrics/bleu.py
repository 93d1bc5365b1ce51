"""BLEU-4 of two SQL texts over their characters, equal to what LLaMA-Factory reports after training.

    gold       SELECT 名称 FROM 城市
    predicted  SELECT 名称 FROM 公司
    17 characters each; of the prediction's n-grams 15 of 17, 14 of 16, 13 of 15 and 12 of 14 stand in gold too
    bleu_4 = (15/17 · 14/16 · 13/15 · 12/14) ** 0.25 = 0.8703

It says how alike the texts are, nothing about what the SQL returns; the team compares with figures it has.

Papineni et al. 2002, "BLEU: a method for automatic evaluation of machine translation", section 2, for one reference;
orders without a match are smoothed by "method 3" of Chen and Cherry 2014, "A Systematic Comparison of Smoothing
Techniques for Sentence-Level BLEU". Rules read in hiyouga/LLaMA-Factory src/llamafactory/train/sft/metric.py@v0.9.5
(`ComputeSimilarity`) and nltk/nltk nltk/translate/bleu_score.py@3.9, and written anew: importing nltk takes 0.9 s. Not
kept: LLaMA-Factory rounds each pair to a ten-thousandth of a percent.
"""

from __future__ import annotations

import math
from collections import Counter

_MAX_ORDER = 4


def bleu_4(gold: str, predicted: str) -> float:
    """Compute the overlap, 0..1; 0.0 where the two share no character, as where one is empty.

    Args:
        gold: The annotated SQL.
        predicted: The predicted SQL, as it is to be judged: blanks and letter case count.
    """
    log_sum = 0.0
    num_unmatched_orders = 0
    for order in range(1, _MAX_ORDER + 1):
        found = _n_grams(predicted, order)
        wanted = _n_grams(gold, order)
        matched = sum(min(count, wanted[n_gram]) for n_gram, count in found.items() if n_gram in wanted)
        if order == 1 and not matched:
            return 0.0
        total = max(1, len(predicted) - order + 1)
        if not matched:
            num_unmatched_orders += 1
        log_sum += math.log((matched or 0.5**num_unmatched_orders) / total)
    brevity_penalty = 1.0 if len(predicted) > len(gold) else math.exp(1 - len(gold) / len(predicted))
    return brevity_penalty * math.exp(log_sum / _MAX_ORDER)


def _n_grams(text: str, order: int) -> Counter[str]:
    # A list, not a generator: half the time of a turn's BLEU went into resuming it.
    return Counter([text[start : start + order] for start in range(len(text) - order + 1)])
