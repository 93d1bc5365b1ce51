"""Own exact set match on pairs worked by hand, in own_set_match_cases.txt, and on real data.

Each pair that is only written otherwise is run, too: what the metric calls equal must give the same rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from t2s.metrics.own_set_match import own_set_match, same_clauses
from t2s.sql.clauses import read_clauses
from tests.sql.company import Company, build_company, in_no_order


class Case(NamedTuple):
    """A paragraph of the file. `mark`: `=`, `~` or `!`."""

    mark: str
    why: str
    gold: str
    predicted: str


def read_cases() -> list[Case]:
    text = Path(__file__).with_name("own_set_match_cases.txt").read_text(encoding="utf-8")
    cases = []
    for paragraph in text.split("\n\n")[1:]:
        first, gold, predicted = [line for line in paragraph.strip().split("\n") if not line.startswith("#")]
        cases.append(Case(first[0], first[2:], gold.strip(), predicted.strip()))
    return cases


def cases(*marks: str) -> pytest.MarkDecorator:
    found = [case for case in read_cases() if case.mark in marks]
    return pytest.mark.parametrize("case", found, ids=[case.why for case in found])


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    return build_company(tmp_path_factory.mktemp("company"))


def test_the_file_of_cases_is_read_whole() -> None:
    counts = {mark: sum(case.mark == mark for case in read_cases()) for mark in "=~!"}
    assert counts == {"=": 83, "~": 16, "!": 48}


@cases("=")
def test_what_is_only_written_otherwise_matches_and_gives_the_same_rows(case: Case, company: Company) -> None:
    gold, predicted = read_clauses(case.gold, company.schema), read_clauses(case.predicted, company.schema)
    assert gold is not None and predicted is not None
    assert gold.key == predicted.key
    assert gold.text == predicted.text, "values are the same"
    assert in_no_order(company.run(case.gold)) == in_no_order(company.run(case.predicted))


@cases("=", "~")
def test_it_matches_either_way_round(case: Case, company: Company) -> None:
    assert own_set_match(case.gold, case.predicted, company.schema) is True
    assert own_set_match(case.predicted, case.gold, company.schema) is True


@cases("!")
def test_other_clauses_do_not_match(case: Case, company: Company) -> None:
    for sql in (case.gold, case.predicted):
        assert own_set_match(sql, sql, company.schema) is True, "it is read"
    assert own_set_match(case.gold, case.predicted, company.schema) is False
    assert own_set_match(case.predicted, case.gold, company.schema) is False


def test_gold_that_cannot_be_parsed_has_no_verdict_and_such_a_prediction_is_wrong(company: Company) -> None:
    good, bad = "SELECT 姓名 FROM 员工", "SELECT 姓名 FROM 员工 WHERE"
    assert own_set_match(bad, good, company.schema) is None
    assert own_set_match(bad, bad, company.schema) is None
    assert own_set_match(good, bad, company.schema) is False
    assert own_set_match(good, "", company.schema) is False
    assert same_clauses(None, None) is None
    assert same_clauses(read_clauses(good, company.schema), None) is False
