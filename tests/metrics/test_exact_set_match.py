"""Official exact set match, case by case: exact_set_match_cases.txt beside this file says what is expected and why."""

from __future__ import annotations

import pickle
import re
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from t2s.metrics.exact_set_match import ExactSetMatch, exact_set_match
from t2s.sql.official.schema import OfficialSchema
from tests.sql.official.databases import EN, ZH

CASES = Path(__file__).with_name("exact_set_match_cases.txt")


class Case(NamedTuple):
    """One of the file's cases."""

    em: bool
    why: str
    gold: str
    predicted: str


def cases() -> list[Case]:
    text = CASES.read_text(encoding="utf-8")
    found = re.findall(r"^([=!]) (.+)\n  (.+)\n  (.*)\n", text, flags=re.MULTILINE)
    assert len(found) == len(re.findall(r"^[=!]", text, flags=re.MULTILINE))
    return [Case(sign == "=", why, gold, predicted) for sign, why, gold, predicted in found]


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{'same' if case.em else 'other'}: {case.why}")
def test_the_prediction_matches_or_not(case: Case) -> None:
    found = exact_set_match(case.gold, case.predicted, EN if case.gold.isascii() else ZH)
    assert found.gold_rejected is None
    assert found.em is case.em
    assert found.hardness != "unknown"


@pytest.mark.parametrize("case", [case for case in cases() if case.em], ids=lambda case: case.why)
def test_what_matches_matches_the_other_way_round_too(case: Case) -> None:
    if "value" not in case.predicted:
        assert exact_set_match(case.predicted, case.gold, EN if case.gold.isascii() else ZH).em is True


def test_there_are_cases_of_both_kinds_in_both_languages() -> None:
    kinds = [(case.em, case.gold.isascii()) for case in cases()]
    assert min(kinds.count((em, ascii)) for em in (True, False) for ascii in (True, False)) >= 4
    assert len(kinds) >= 90


def test_gold_that_is_not_taken_has_no_verdict_and_the_prediction_still_a_reason() -> None:
    gold, predicted = "SELECT Name AS n FROM singer", "SELECT Name FROM singer WHERE Age IN (1, 2)"
    assert exact_set_match(gold, gold, EN) == ExactSetMatch(None, "unknown", "column alias", "column alias")
    assert exact_set_match(gold, predicted, EN) == ExactSetMatch(None, "unknown", "column alias", "list of values")
    taken = "SELECT Name FROM singer"
    assert exact_set_match(taken, predicted, EN) == ExactSetMatch(False, "easy", None, "list of values")
    assert exact_set_match(taken, taken, EN) == ExactSetMatch(True, "easy", None, None)
    assert exact_set_match(taken, "", EN) == ExactSetMatch(False, "easy", None, "no SELECT")


def test_two_subqueries_in_from_stop_the_official_program_and_are_compared_here() -> None:
    one, other = "(SELECT Name FROM singer)", "(SELECT Title FROM song)"
    gold = f"SELECT count(*) FROM {one} {other}"
    assert exact_set_match(gold, f"SELECT count(*) FROM {other} {one}", EN).em is True
    assert exact_set_match(gold, f"SELECT count(*) FROM {one} {one}", EN).em is False


def test_the_same_gold_on_another_database_is_another_gold() -> None:
    other = OfficialSchema(tables={"song": EN.tables["song"]}, representatives={}, quotes_any_name=False)
    sql = "SELECT Name FROM singer"
    assert exact_set_match(sql, sql, EN).em is True
    assert exact_set_match(sql, sql, other).gold_rejected == "unknown table"
    assert exact_set_match(sql, sql, pickle.loads(pickle.dumps(EN))).em is True


def test_a_query_takes_well_under_a_millisecond() -> None:
    gold = (
        "SELECT T1.书名 , count(*) FROM 图书 AS T1 JOIN 电子书 AS T2 ON T1.图书id = T2.书名id WHERE T2.售价 > 10 "
        "GROUP BY T1.书名 ORDER BY count(*) DESC LIMIT 3"
    )
    started = time.process_time()
    for number in range(1000):
        assert exact_set_match(gold, gold.replace("10", str(number)), ZH).em
    assert time.process_time() - started < 2  # measured: 0.15 s
