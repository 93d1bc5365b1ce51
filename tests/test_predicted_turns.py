from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from t2s.dataset import read_interactions
from t2s.errors import DatasetError
from t2s.interaction import Interaction, Turn
from t2s.predict import predict, run_shards_local
from t2s.predict_config import PredictConfig
from t2s.predicted_turns import PredictedTurn, read_predictions
from tests.small_dataset import write_dataset

GOLD = [
    Interaction(db_id="甲", turns=tuple(Turn(question_id=key, question="?", gold_sql="SELECT 1") for key in "ab")),
    Interaction(db_id="乙", turns=(Turn(question_id="c", question="?", gold_sql="SELECT 1"),)),
]
SINGLE = [Interaction(db_id="甲", turns=(Turn(question_id=key, question="?", gold_sql="SELECT 1"),)) for key in "abc"]


def write_predictions(path: Path, content: Any) -> str:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 1}, "the file: wanted a list of interactions, found an object"),
        ([{"a": 1}], r"\[0\]: wanted a list of turns, found an object"),
        ([[], ["x"]], r"\[1\]\[0\]: wanted an object with question_id and query, found a text"),
        ([[{"query": ""}]], r"\[0\]\[0\].question_id: wanted a text, found null"),
        ([[{"question_id": "a", "query": None}]], r"\[0\]\[0\].query: wanted a text, found null"),
        ([[{"question_id": "a", "query": "", "db_id": 3}]], r"\[0\]\[0\].db_id: wanted a text or null, found a number"),
    ],
)
def test_a_predictions_file_of_another_form_is_refused_with_the_place(
    content: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=message):
        read_predictions(write_predictions(tmp_path / "predictions.json", content), GOLD)


def test_a_predictions_file_that_is_no_json_is_refused_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "predictions.json"
    with pytest.raises(DatasetError, match="wanted a predictions file, found none"):
        read_predictions(str(path), GOLD)
    path.write_text("[\n [{]", encoding="utf-8")
    with pytest.raises(DatasetError, match="line 2, column 4: malformed JSON"):
        read_predictions(str(path), GOLD)
    path.write_bytes("[]".encode("utf-16"))
    with pytest.raises(DatasetError, match="wanted UTF-8"):
        read_predictions(str(path), GOLD)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "predictions.json"
    path.write_bytes(b'\xef\xbb\xbf[[{"question_id": "a", "query": "SELECT 1", "question": "?"}]]')
    assert read_predictions(str(path), GOLD) == [PredictedTurn("a", None, "SELECT 1")]


def test_rows_of_a_jsonl_file_are_read_and_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "shard.jsonl"
    good = '{"question_id": "a", "db_id": "甲", "predicted_sql": "SELECT  ", "completion": "…", "error": null}'
    path.write_text(good + "\n" + '{"question_id": "b", "predicted_sql": "", "error": "too long"}' + "\n", "utf-8")
    assert read_predictions(str(path), GOLD) == [
        PredictedTurn("a", "甲", "SELECT  "),
        PredictedTurn("b", None, "", "too long"),
    ]
    path.write_text(good + "\n{", encoding="utf-8")
    with pytest.raises(DatasetError, match="line 2, column 2: malformed JSON"):
        read_predictions(str(path), GOLD)
    path.write_text(good + "\n[]", encoding="utf-8")
    with pytest.raises(DatasetError, match="line 2: wanted an object with question_id and predicted_sql"):
        read_predictions(str(path), GOLD)


@pytest.mark.parametrize(
    ("why", "gold", "text", "sql"),
    [
        ("as it should be", GOLD, "S1\nS2\n\nS3\n", ["S1", "S2", "S3"]),
        ("no newline at the end", GOLD, "S1\nS2\n\nS3", ["S1", "S2", "S3"]),
        ("blank lines at the end", GOLD, "S1\nS2\n\nS3\n\n\n", ["S1", "S2", "S3"]),
        ("Windows", GOLD, "S1\r\nS2\r\n\r\nS3\r\n", ["S1", "S2", "S3"]),
        ("a turn without SQL", GOLD, "S1\n\n\nS3\n", ["S1", "", "S3"]),
        ("the first turn without SQL", GOLD, "\nS2\n\nS3\n", ["", "S2", "S3"]),
        ("the last turn without SQL", GOLD, "S1\nS2\n\n\n", ["S1", "S2", ""]),
        ("the database behind a tab", GOLD, "S1\t甲\nS2\t甲\n\nS3\t乙\n", ["S1", "S2", "S3"]),
        ("a line separator inside a text", GOLD, "S 1\nS2\n\nS3", ["S 1", "S2", "S3"]),
        ("one turn each", SINGLE, "S1\nS2\nS3\n", ["S1", "S2", "S3"]),
        ("one turn each, one without SQL", SINGLE, "S1\n\nS3\n", ["S1", "", "S3"]),
        ("one turn each, with blank lines", SINGLE, "S1\n\nS2\n\nS3\n", ["S1", "S2", "S3"]),
    ],
)
def test_lines_of_the_text_format_belong_to_gold_by_position(
    why: str, gold: list[Interaction], text: str, sql: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "predictions.txt"
    path.write_bytes(text.encode())
    turns = read_predictions(str(path), gold)
    assert [turn.sql for turn in turns] == sql, why
    assert [(turn.db_id, turn.question_id) for turn in turns] == [
        (one.db_id, turn.question_id) for one in gold for turn in one.turns
    ]


@pytest.mark.parametrize(
    ("why", "gold", "text"),
    [
        ("a line less", GOLD, "S1\n\nS3\n"),
        ("a line more", GOLD, "S1\nS2\nS3\n\nS4\n"),
        ("an interaction less", GOLD, "S1\nS2\n"),
        ("an interaction more", GOLD, "S1\nS2\n\nS3\n\nS4\n"),
        ("no blank lines", GOLD, "S1\nS2\nS3\n"),
        ("one turn each, a line less", SINGLE, "S1\nS2\n"),
        ("one turn each, a line more", SINGLE, "S1\nS2\nS3\nS4\n"),
        ("nothing", GOLD, ""),
    ],
)
def test_lines_that_do_not_fit_gold_are_refused_never_shifted(
    why: str, gold: list[Interaction], text: str, tmp_path: Path
) -> None:
    path = tmp_path / "predictions.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=r"wanted a line for each of 3 turns and a blank line between"):
        read_predictions(str(path), gold)


def test_with_a_limit_the_file_may_go_on_behind_the_first_interactions(tmp_path: Path) -> None:
    path = tmp_path / "predictions.txt"
    path.write_text("S1\nS2\n\nS3\n", encoding="utf-8")
    assert [turn.sql for turn in read_predictions(str(path), GOLD[:1], whole_gold=False)] == ["S1", "S2"]
    path.write_text("S1\nS2\nS3\n", encoding="utf-8")
    assert [turn.sql for turn in read_predictions(str(path), SINGLE[:2], whole_gold=False)] == ["S1", "S2"]
    with pytest.raises(DatasetError, match="wanted a line for each of 2 turns"):
        read_predictions(str(path), SINGLE[:2])


class NoStop:
    """Nobody stops."""

    requested = False

    def add_callback(self, loop: object, callback: object) -> None:
        """Never called back."""


class Silent:
    """Progress that nobody looks at."""

    def begin(self, total_turns: int, done_turns: int) -> None:
        """Nothing to show."""

    def turn(self, measurement: object) -> None:
        """Nothing to show."""

    def end(self) -> None:
        """Nothing to show."""


@pytest.fixture(scope="module")
def run_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of 18 turns in several shards, 6 of them unanswered at first, 2 also when asked again."""
    folder = tmp_path_factory.mktemp("scripted")
    dataset = write_dataset(folder / "data", num_databases=2, interactions_per_database=3)
    questions = [turn.question for one in read_interactions(str(dataset)) for turn in one.turns]
    answers = folder / "answers.json"
    for retry, missing in enumerate(("问：人口超过20", "第1组第2问")):
        table = {q: f"SELECT {n} AS n" for n, q in enumerate(questions) if missing not in q}
        answers.write_text(json.dumps(table), encoding="utf-8")
        config = PredictConfig.model_validate(
            {
                "dataset_uri": str(dataset),
                "databases_uri": str(dataset.parent / "database"),
                "run_uri": str(folder / "run"),
                "engine": {"kind": "scripted", "scripted": {"answers_uri": str(answers)}},
                "shard_turns": 4,
                "cache_dir": str(folder / "cache"),
                "max_error_rate": 1.0,
                "retry_errors": bool(retry),
            }
        )
        predict(config, run_shards_local, NoStop(), Silent())
    return str(folder / "run")


def test_a_runs_shards_tell_what_predictions_json_cannot(run_uri: str) -> None:
    from_shards = {(turn.db_id, turn.question_id): turn for turn in read_predictions(f"{run_uri}/predictions", GOLD)}
    assert len(from_shards) == 18
    failed = [key for key, turn in from_shards.items() if turn.error is not None]
    assert all(from_shards[key].sql == "" for key in failed) and len(failed) == 2
    assert all(turn.measurement is not None for turn in from_shards.values())
    assert {(turn.db_id, turn.question_id): turn for turn in read_predictions(run_uri, GOLD)} == from_shards
    merged = read_predictions(f"{run_uri}/predictions.json", GOLD)
    assert {(turn.db_id, turn.question_id): turn._replace(sql=turn.sql.strip()) for turn in merged} == from_shards


def test_an_edited_predictions_file_is_not_mixed_with_the_shards(run_uri: str, tmp_path: Path) -> None:
    content = json.loads(Path(run_uri, "predictions.json").read_bytes())
    content[0][0]["query"] = " SELECT 'edited'"
    copy = tmp_path / "run"
    shutil.copytree(run_uri, copy)
    write_predictions(copy / "predictions.json", content)
    turns = read_predictions(f"{copy}/predictions.json", GOLD)
    assert turns[0].measurement is None
    assert all(turn.measurement is not None for turn in turns[1:])


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="found no committed shard; set predictions_uri"):
        read_predictions(str(tmp_path), GOLD)
