from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from t2s.errors import DatasetError
from t2s.evaluate import evaluate, evaluate_run
from t2s.interaction import Interaction, Turn
from t2s.predicted_turns import PredictedTurn
from t2s.report import TURNS_KEY, Report, TurnDetail
from t2s.report.turn_detail import ResultPreview
from t2s.sql.sandbox import Limits
from tests.small_dataset import write_dataset


class Folder:
    """Databases as they lie in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, db_id: str) -> Path:
        return self._folder / f"{db_id}.sqlite"

    def digest(self, db_id: str) -> str:
        return hashlib.sha256(self.path(db_id).read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = tmp_path_factory.mktemp("databases")
    for db_id, rows in {"甲": "('北京', 20), ('上海', 25), ('北京', 30)", "乙": "('广州', 18)"}.items():
        connection = sqlite3.connect(folder / f"{db_id}.sqlite")
        connection.executescript(f"CREATE TABLE 城市 (名称 TEXT, 人口 INTEGER); INSERT INTO 城市 VALUES {rows};")
        connection.close()
    return Folder(folder)


def interaction(db_id: str, **gold: str) -> Interaction:
    turns = tuple(Turn(question_id=key, question=f"问{key}", gold_sql=sql) for key, sql in gold.items())
    return Interaction(db_id=db_id, turns=turns)


def score(databases: Folder, gold: list[Interaction], db_id: str | None = None, /, **predicted: str) -> Report:
    predictions = [PredictedTurn(key, db_id, sql) for key, sql in predicted.items()]
    return evaluate(gold, predictions, databases, num_workers=1, limits=Limits(deadline_s=20)).report


@pytest.mark.parametrize(
    ("why", "gold_sql", "predicted_sql", "ex", "ex_keep_distinct", "verdict"),
    [
        ("values are equal", "SELECT 名称 FROM 城市", " select T.名称 from 城市 as T ;", 1, 1, "right"),
        ("names are equal, values differ", "SELECT 1 AS x", "SELECT 2 AS x", 0, 0, "wrong_column"),
        ("names differ, values are equal", "SELECT 1 AS x", "SELECT 1 AS y", 1, 1, "right"),
        ("DISTINCT missing", "SELECT DISTINCT 名称 FROM 城市", "SELECT 名称 FROM 城市", 1, 0, "right"),
        ("DISTINCT too much", "SELECT 名称 FROM 城市", "SELECT DISTINCT 名称 FROM 城市", 1, 0, "right"),
        ("a row twice", "SELECT 名称 FROM 城市", "SELECT 名称 FROM 城市 GROUP BY 1", 0, 0, "wrong_aggregation"),
        ("order ignored", "SELECT 人口 FROM 城市", "SELECT 人口 FROM 城市 ORDER BY 人口 DESC", 1, 1, "right"),
        ("order counts", "SELECT 1 UNION SELECT 2 ORDER BY 1", "SELECT 2 UNION ALL SELECT 1", 0, 0, "wrong_structure"),
        ("columns swapped", "SELECT 名称, 人口 FROM 城市", "SELECT 人口, 名称 FROM 城市", 1, 1, "right"),
        ("both empty", "SELECT 名称 FROM 城市 WHERE 0", "SELECT 1, 2 WHERE 0", 1, 1, "right"),
        ("NULL", "SELECT NULL", "SELECT max(人口) FROM 城市 WHERE 0", 1, 1, "right"),
        ("a second statement", "SELECT 1", "SELECT 1; SELECT 2", 1, 0, "right"),
        ("broken", "SELECT 1", "SELECT FROM", 0, 0, "syntax_error"),
        ("no such table", "SELECT 1", "SELECT * FROM 省份", 0, 0, "no_such_table"),
        ("refused", "SELECT 1 WHERE 0", "DELETE FROM 城市", 0, 0, "refused"),
        ("too much", "SELECT 1", "SELECT zeroblob(900000000)", 0, 0, "too_large"),
        ("nothing", "SELECT 1", "", 0, 0, "no_sql"),
        ("blank", "SELECT 1 WHERE 0", " ", 0, 0, "no_sql"),
        ("a comment, which the official program takes for an empty result", "SELECT 1 WHERE 0", "-- x", 0, 0, "no_sql"),
    ],
)  # fmt: skip
def test_a_turn_is_judged(
    why: str, gold_sql: str, predicted_sql: str, ex: int, ex_keep_distinct: int, verdict: str, databases: Folder
) -> None:
    result = score(databases, [interaction("甲", q=gold_sql)], q=predicted_sql).per_question["q"]
    assert (result.ex, result.ex_keep_distinct, result.verdict) == (ex, ex_keep_distinct, verdict), why


def test_a_query_past_its_deadline_is_a_timeout(databases: Folder) -> None:
    endless = "WITH RECURSIVE a(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM a) SELECT count(*) FROM a"
    predictions = [PredictedTurn("a", "甲", endless), PredictedTurn("b", "甲", "SELECT 1")]
    gold = [interaction("甲", a="SELECT 1", b="SELECT 1")]
    report = evaluate(gold, predictions, databases, num_workers=1, limits=Limits(deadline_s=1)).report
    assert [report.per_question[key].verdict for key in "ab"] == ["timeout", "right"]


def test_scores_are_by_turn_by_database_and_by_interaction(databases: Folder) -> None:
    gold = [
        interaction("甲", a0="SELECT 0", a1="SELECT 1", a2="SELECT 2", a3="SELECT 3", a4="SELECT 4", a5="SELECT 5"),
        interaction("甲", b0="SELECT 0"),
        interaction("乙", c0="SELECT 0", c1="SELECT 1"),
    ]
    right = dict.fromkeys(("a0", "b0", "c0"), "SELECT 0") | {"a1": "SELECT 1", "a4": "SELECT 4"}
    report = score(databases, gold, **right, a2="SELECT 9", a3="SELECT 9", a5="SELECT", c1="SELECT 9")
    assert report.num_turns == 9
    assert report.execution_accuracy == 5 / 9
    assert report.valid_sql_rate == 8 / 9
    figures = {group: (one.num_turns, one.execution_accuracy) for group, one in report.by_turn.items()}
    assert figures == {"1": (3, 1.0), "2": (2, 0.5), "3": (1, 0.0), "4": (1, 0.0), ">4": (2, 0.5)}
    assert {db_id: one.num_turns for db_id, one in report.by_db.items()} == {"甲": 7, "乙": 2}
    assert (report.num_interactions, report.interaction_match_ex) == (3, 1 / 3)
    counts = {kind: count for kind, count in report.verdicts.items() if count}
    assert counts == {"right": 5, "wrong_column": 3, "syntax_error": 1}


def test_pairing_is_by_id_never_by_position(databases: Folder) -> None:
    gold = [interaction("甲", a="SELECT 1", b="SELECT 2"), interaction("乙", c="SELECT 3")]
    report = score(databases, gold, c="SELECT 3", b="SELECT 2", a="SELECT 1")
    assert report.execution_accuracy == 1.0


def test_a_question_on_two_databases_is_paired_by_both_keys(databases: Folder) -> None:
    sql = "SELECT count(*) FROM 城市"
    gold = [interaction("甲", q=sql), interaction("乙", q=sql)]
    predictions = [PredictedTurn("q", "乙", "SELECT 1"), PredictedTurn("q", "甲", "SELECT 4")]
    report = evaluate(gold, predictions, databases, num_workers=1).report
    assert {key: one.ex for key, one in report.per_question.items()} == {"q@甲": 0, "q@乙": 1}
    with pytest.raises(DatasetError, match="q has no db_id, and gold has this question for 2 databases: 甲, 乙"):
        evaluate(gold, [PredictedTurn("q", None, "SELECT 1")], databases)


def test_missing_predictions_count_as_wrong_and_unknown_ones_for_nothing(databases: Folder) -> None:
    gold = [interaction("甲", a="SELECT 1", b="SELECT 1 WHERE 0")]
    predictions = [PredictedTurn("a", "甲", "SELECT 1"), PredictedTurn("z", None, ""), PredictedTurn("b", "丙", "")]
    report = evaluate(gold, predictions, databases, num_workers=1).report
    assert report.missing_predictions == ("b",)
    assert report.unknown_predictions == ("z", "b@丙")
    assert (report.num_turns, report.execution_accuracy, report.interaction_match_ex) == (2, 0.5, 0.0)
    assert report.per_question["b"].verdict == "missing"


def test_a_gold_query_that_fails_is_left_out_with_its_interaction(databases: Folder) -> None:
    gold = [interaction("甲", a="SELECT 1", b="SELECT * FROM 没有"), interaction("乙", c="SELECT 1")]
    report = score(databases, gold, a="SELECT 1", b="SELECT 1", c="SELECT 2")
    assert report.gold_failed == {"b": "error: no such table: 没有"}
    assert (report.num_turns, report.num_gold_failed, report.execution_accuracy) == (2, 1, 0.5)
    assert (report.num_interactions, report.interaction_match_ex) == (1, 0.0)
    assert report.per_question["b"].model_dump() == {
        "ex": None, "ex_keep_distinct": None, "ex_strict": None, "ex_bird": None, "em": None, "em_own": None,
        "hardness": "unknown", "bleu_4": None, "rouge_l": None, "valid_sql": 0, "verdict": "gold_failed",
        "warnings": (),
    }  # fmt: skip


def test_where_no_gold_runs_there_is_no_score(databases: Folder) -> None:
    report = score(databases, [interaction("甲", a="SELECT * FROM 没有")], a="SELECT 1")
    assert (report.num_turns, report.execution_accuracy, report.interaction_match_ex) == (0, None, None)


def test_predictions_of_another_dataset_are_refused(databases: Folder) -> None:
    with pytest.raises(DatasetError, match="none of 1 is for one of the 1 questions of gold; the first is for z"):
        score(databases, [interaction("甲", a="SELECT 1")], z="SELECT 1")


def test_two_predictions_for_one_question_are_refused(databases: Folder) -> None:
    predictions = [PredictedTurn("a", "甲", "SELECT 1"), PredictedTurn("a", None, "SELECT 2")]
    with pytest.raises(DatasetError, match="wanted one for a of 甲, found two"):
        evaluate([interaction("甲", a="SELECT 1")], predictions, databases)


def test_gold_without_sql_is_refused(databases: Folder) -> None:
    turns = (Turn(question_id="a", question="?", gold_sql="SELECT 1"), Turn(question_id="b", question="?"))
    with pytest.raises(DatasetError, match=r"for each of 2 turns, found 1 without; first: b"):
        score(databases, [Interaction(db_id="甲", turns=turns)], a="SELECT 1")


def test_progress_is_told_up_to_the_end(databases: Folder) -> None:
    told: list[tuple[int, int]] = []
    gold = [interaction("甲", **{f"q{n}": f"SELECT {n % 3}" for n in range(9)})]
    predictions = [PredictedTurn("q0", "甲", "SELECT 0")]
    evaluate(gold, predictions, databases, num_workers=2, on_progress=lambda *numbers: told.append(numbers))
    assert told == sorted(told)
    assert told[-1] == (9, 9)


def test_a_stop_in_the_middle_does_not_wait_for_deadlines(databases: Folder) -> None:
    endless = "WITH RECURSIVE a(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM a) SELECT count(*) FROM a"
    gold = [interaction("甲", a="SELECT 1", b="SELECT 2", c="SELECT 2", d="SELECT 3")]
    predictions = [PredictedTurn(key, "甲", sql) for key, sql in zip("abcd", ["SELECT 1", *[endless] * 3], strict=True)]

    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        evaluate(gold, predictions, databases, num_workers=2, limits=Limits(deadline_s=300), on_progress=stop)
    assert time.monotonic() - started < 20


def write_predictions(path: Path, content: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return str(path)


def test_a_run_is_scored_into_its_report(tmp_path: Path) -> None:
    gold_file = write_dataset(tmp_path / "data", num_databases=2, interactions_per_database=2)
    run = tmp_path / "run"
    content = [
        [
            {"question_id": turn["question_id"], "db_id": entry["db_list"][0], "query": " " + turn["query"]}
            for turn in entry["interaction"]
        ]
        for entry in json.loads(gold_file.read_text(encoding="utf-8"))
    ]
    content[0][2]["query"] = ""
    write_predictions(run / "predictions.json", content)
    report = evaluate_run(gold_uri=str(gold_file), run_uri=str(run), num_workers=1)
    assert (report.num_turns, report.execution_accuracy, report.interaction_match_ex) == (12, 11 / 12, 3 / 4)
    assert report.history is None
    assert Report.model_validate_json((run / "report.json").read_bytes()) == report
    turns = [TurnDetail.model_validate_json(line) for line in (run / TURNS_KEY).read_bytes().splitlines()]
    assert {turn.name: turn.result for turn in turns} == report.per_question
    assert turns[0].gold_result == turns[0].predicted_result
    assert turns[0].gold_result == ResultPreview(columns=("count(*)",), rows=(("3",),), num_rows=1, num_columns=1)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "第0组第0问" in page and "http://" not in page.replace("http://www.w3.org/", "")


def test_a_database_that_is_absent_is_told_before_anything_runs(tmp_path: Path) -> None:
    gold_file = write_dataset(tmp_path / "data", num_databases=2, interactions_per_database=1)
    (tmp_path / "data" / "database" / "城市1.sqlite").unlink()
    write_predictions(tmp_path / "run" / "predictions.json", [[{"question_id": "q-0-0-0", "query": "SELECT 1"}]])
    with pytest.raises(DatasetError, match="城市1"):
        evaluate_run(gold_uri=str(gold_file), run_uri=str(tmp_path / "run"))
    assert not (tmp_path / "run" / "report.json").exists()


@pytest.mark.parametrize(
    ("why", "gold_sql", "predicted_sql", "warnings"),
    [
        ("nothing odd", "SELECT 名称 FROM 城市", "SELECT 名称 FROM 城市", ()),
        ("both empty", "SELECT 名称 FROM 城市 WHERE 0", "SELECT 人口 FROM 城市 WHERE 0", ("both_empty",)),
        ("DISTINCT", "SELECT DISTINCT 名称 FROM 城市", "SELECT 名称 FROM 城市", ("distinct_ignored",)),
        ("a text, not a column", "SELECT '面积' FROM 城市", 'SELECT "面积" FROM 城市', ("quoted_string",)),
        ("a quoted column", 'SELECT "名称" FROM 城市', 'SELECT "名称" FROM "城市"', ()),
    ],
)
def test_a_turn_that_is_right_for_an_odd_reason_is_marked(
    why: str, gold_sql: str, predicted_sql: str, warnings: tuple[str, ...], databases: Folder
) -> None:
    report = score(databases, [interaction("甲", q=gold_sql)], q=predicted_sql)
    assert (report.per_question["q"].ex, report.per_question["q"].warnings) == (1, warnings), why
    assert {kind: count for kind, count in report.warnings.items() if count} == dict.fromkeys(warnings, 1)


def test_where_an_interaction_goes_wrong_first_is_counted_and_what_is_right_after_that_marked(
    databases: Folder,
) -> None:
    gold = [
        interaction("甲", a="SELECT 1", b="SELECT 2", c="SELECT 3"),
        interaction("甲", d="SELECT 1"),
        interaction("乙", e="SELECT 1", f="SELECT 2"),
        interaction("乙", g="SELECT 1", h="SELECT * FROM 没有"),
    ]
    report = score(databases, gold, a="SELECT 1", b="SELECT 9", c="SELECT 3", d="SELECT 1", e="SELECT 9", f="SELECT 9")
    assert report.first_wrong_turn == {"1": 1, "2": 1, "3": 0, "4": 0, ">4": 0, "none": 1}
    assert [key for key, one in report.per_question.items() if "right_after_wrong" in one.warnings] == ["c"]


def test_the_comparisons_stand_side_by_side_and_are_never_mixed(databases: Folder) -> None:
    ordered = "SELECT 人口 FROM 城市 ORDER BY 人口"
    gold = [interaction("甲", order=ordered, twice="SELECT 名称 FROM 城市", swapped="SELECT 名称, 人口 FROM 城市")]
    predicted = {
        "order": "SELECT 人口 FROM 城市 ORDER BY 人口 DESC",
        "twice": "SELECT DISTINCT 名称 FROM 城市",
        "swapped": "SELECT 人口, 名称 FROM 城市",
    }
    results = score(databases, gold, **predicted).per_question
    found = {key: (one.ex, one.ex_keep_distinct, one.ex_strict, one.ex_bird) for key, one in results.items()}
    assert found == {"order": (0, 0, 0, 1), "twice": (1, 0, 0, 1), "swapped": (1, 1, 0, 0)}


def test_a_turn_that_the_engine_did_not_answer_is_the_engines_error(databases: Folder) -> None:
    predictions = [PredictedTurn("a", "甲", "", "EngineDead: out of memory")]
    evaluation = evaluate([interaction("甲", a="SELECT 1")], predictions, databases, num_workers=1)
    assert evaluation.report.per_question["a"].verdict == "engine_error"
    assert evaluation.turns[0].message == "EngineDead: out of memory"


def test_intervals_hold_the_share_and_are_the_same_in_every_run(databases: Folder) -> None:
    gold = [interaction("甲", **{f"q{n}": "SELECT 1"}) for n in range(40)]
    predicted = {f"q{n}": f"SELECT {n % 4}" for n in range(40)}
    first, second = (score(databases, gold, **predicted) for _ in range(2))
    assert first == second
    low, high = first.intervals["execution_accuracy"]
    assert 0.05 < low < 0.25 < high < 0.45
