"""BIRD's execution accuracy: the two results hold the same set of rows.

    gold       (("北京",), ("上海",))
    predicted  (("上海",), ("北京",), ("北京",))     the same: neither order nor repetition counts
    predicted  (("北京", 1), ("上海", 2))            another result: a column more

Li et al. 2023, "Can LLM Already Serve as A Database Interface? A BIg Bench for Large-Scale Database Grounded
Text-to-SQLs", appendix B.7; rules read in AlibabaResearch/DAMO-ConvAI
bird/llm/src/evaluation.py@dec31ae (`execute_sql`) and written anew:

- rows are compared as Python compares tuples: columns in the order in which they were selected, 1 = 1.0, '1' differs
  from 1, NULL = NULL, floats to the last bit;
- both queries run as they are written, DISTINCT and all;
- two empty results are the same, whatever their columns;
- a text that is not UTF-8 is an error there, in gold as well as in the prediction, and so wrong.

A figure by these rules stands next to BIRD's leaderboard, never next to Spider's or CHASE's: they count what a set
forgets.
"""

from __future__ import annotations

from t2s.sql.sandbox import Outcome


def bird_same_result(gold: Outcome, predicted: Outcome) -> bool:
    """Compare what the two queries, unchanged, returned; a query without a result equals nothing."""
    if gold.rows is None or predicted.rows is None or not (gold.all_utf8 and predicted.all_utf8):
        return False
    return set(predicted.rows) == set(gold.rows)
