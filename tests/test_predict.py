from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from t2s.dataset import read_interactions
from t2s.errors import DatasetError, PlanMismatch, Stopped, TooManyErrors
from t2s.ledger import ShardLedger
from t2s.merge import Merged
from t2s.plan import make_plan
from t2s.predict import predict, run_shards_local
from t2s.predict_config import PredictConfig
from t2s.prediction import Measurement, Prediction
from t2s.shard import Shard
from t2s.storage import open_store
from tests.small_dataset import write_dataset


class Switch:
    """A stop that the test asks for."""

    def __init__(self) -> None:
        self.requested = False
        self._callbacks: list[tuple[asyncio.AbstractEventLoop, Callable[[], object]]] = []

    def add_callback(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        self._callbacks.append((loop, callback))

    def flip(self) -> None:
        self.requested = True
        for loop, callback in self._callbacks:
            loop.call_soon_threadsafe(callback)


class Counter:
    """Counts turns, and flips a switch after so many."""

    def __init__(self, switch: Switch | None = None, after: int = 0) -> None:
        self.turns = 0
        self.begun: tuple[int, int] | None = None
        self.ended = False
        self._switch, self._after = switch, after

    def begin(self, total_turns: int, done_turns: int) -> None:
        self.begun = (total_turns, done_turns)

    def turn(self, measurement: Measurement) -> None:
        self.turns += 1
        if self._switch and self.turns == self._after:
            threading.Thread(target=self._switch.flip).start()

    def end(self) -> None:
        self.ended = True


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data")


def config(dataset: Path, run: str = "run", **changes: Any) -> PredictConfig:
    values: dict[str, Any] = {
        "dataset_uri": str(dataset),
        "databases_uri": str(dataset.parent / "database"),
        "run_uri": str(dataset.parent.parent / run),
        "engine": {"kind": "scripted"},
        "shard_turns": 10,
        "cache_dir": str(dataset.parent.parent / "cache"),
    }
    return PredictConfig.model_validate({**values, **changes})


def run(settings: PredictConfig, switch: Switch | None = None, counter: Counter | None = None) -> Merged:
    return predict(settings, run_shards_local, switch or Switch(), counter or Counter())


def predictions(settings: PredictConfig) -> Any:
    return json.loads(Path(settings.run_uri, "predictions.json").read_text(encoding="utf-8"))


def rows(settings: PredictConfig) -> list[Prediction]:
    plan = make_plan(settings)
    ledger = ShardLedger(open_store(settings.run_uri), plan.digest, "reader")
    names = ledger.done_names()
    return [row for shard in plan.shards for row in ledger.read_rows(shard.name, names)]


def objects(settings: PredictConfig) -> dict[str, tuple[bytes, int]]:
    files = [path for path in Path(settings.run_uri).rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_every_question_is_answered_once_in_the_datasets_order(dataset: Path) -> None:
    settings = config(dataset)
    merged = run(settings)
    asked = [
        [(turn["question_id"], turn["question"], entry["db_list"][0]) for turn in entry["interaction"]]
        for entry in json.loads(dataset.read_text(encoding="utf-8"))
    ]
    found = [[(turn["question_id"], turn["question"], turn["db_id"]) for turn in one] for one in predictions(settings)]
    assert found == asked
    assert merged.num_turns == 72 and merged.num_errors == 0
    assert all(
        turn["query"].startswith(" ") and turn["query"][1] != " " for one in predictions(settings) for turn in one
    )


def test_the_leading_space_can_be_left_out(dataset: Path) -> None:
    settings = config(dataset, predictions={"leading_space": False})
    run(settings)
    assert not any(turn["query"].startswith(" ") for one in predictions(settings) for turn in one)


def test_limit_takes_the_first_interactions_of_the_file(dataset: Path) -> None:
    settings = config(dataset, limit=4)
    run(settings)
    assert [one[0]["question_id"] for one in predictions(settings)] == ["q-0-0-0", "q-1-0-0", "q-2-0-0", "q-0-1-0"]


def test_the_same_command_again_does_nothing(dataset: Path) -> None:
    settings = config(dataset)
    run(settings)
    before = objects(settings)
    counter = Counter()
    run(settings, counter=counter)
    assert objects(settings) == before
    assert (counter.turns, counter.begun) == (0, (72, 72))


def test_a_stopped_run_keeps_complete_shards_and_goes_on_to_the_same_result(dataset: Path) -> None:
    undisturbed = config(dataset, "undisturbed")
    run(undisturbed)
    settings = config(dataset, engine={"kind": "scripted", "scripted": {"delay_s": 0.01}}, max_interactions=3)
    switch, counter = Switch(), Counter()
    counter = Counter(switch, after=30)
    with pytest.raises(Stopped):
        run(settings, switch, counter)
    done = list(Path(settings.run_uri, "predictions").glob("*.done"))
    assert 0 < len(done) < 6 and counter.ended
    committed = {path: path.read_bytes() for path in done}
    again = Counter()
    run(settings, counter=again)
    assert again.turns < 72
    assert all(path.read_bytes() == data for path, data in committed.items())
    assert rows(settings) == rows(undisturbed)
    left, right = (Path(one.run_uri, "predictions.json").read_bytes() for one in (settings, undisturbed))
    assert left == right


@pytest.mark.parametrize(
    "change",
    [
        {"shard_turns": 20},
        {"history": "gold"},
        {"limit": 5},
        {"prompt": {"language": "en"}},
        {"engine": {"kind": "scripted", "generation": {"max_tokens": 99}}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_plan_in_the_same_run_uri_is_refused_and_says_what_differs(
    dataset: Path, change: dict[str, Any]
) -> None:
    settings = config(dataset)
    run(settings)
    before = objects(settings)
    with pytest.raises(PlanMismatch, match=r"different: .*Use another run_uri"):
        run(config(dataset, **change))
    assert objects(settings) == before


def test_a_changed_database_is_another_plan(dataset: Path) -> None:
    run(config(dataset))
    import sqlite3

    connection = sqlite3.connect(dataset.parent / "database" / "城市1.sqlite")
    connection.execute("ALTER TABLE 城市 ADD COLUMN 省份 TEXT")
    connection.commit()
    connection.close()
    with pytest.raises(PlanMismatch, match="databases"):
        run(config(dataset))


def test_what_only_changes_the_speed_is_the_same_plan(dataset: Path) -> None:
    run(config(dataset))
    run(config(dataset, max_interactions=2, engine={"kind": "scripted", "scripted": {"delay_s": 0.5}}))


def test_a_failed_request_is_a_row_with_its_error_and_the_later_turns_are_asked(dataset: Path) -> None:
    settings = config(dataset, engine={"kind": "scripted", "scripted": {"fail_on": "第3组第1问"}})
    with pytest.raises(TooManyErrors, match="3 of 72"):
        run(settings)
    failed = [row for row in rows(settings) if row.error]
    assert {(row.turn_index, row.predicted_sql, row.completion) for row in failed} == {(1, "", "")}
    assert len(failed) == 3
    queries = {turn["question_id"]: turn["query"] for one in predictions(settings) for turn in one}
    assert queries["q-1-3-1"] == "" and queries["q-1-3-2"] != ""
    tolerant = config(dataset, engine={"kind": "scripted", "scripted": {"fail_on": "第3组第1问"}}, max_error_rate=0.05)
    assert run(tolerant).num_errors == 3


def test_an_interaction_that_kills_its_engine_is_found_and_costs_only_itself(dataset: Path) -> None:
    undisturbed = config(dataset, "undisturbed")
    run(undisturbed)
    settings = config(dataset, engine={"kind": "scripted", "scripted": {"die_on": "第2组第1问"}}, max_attempts=2)
    with pytest.raises(TooManyErrors, match="9 of 72"):
        run(settings)
    for row, wanted in zip(rows(settings), rows(undisturbed), strict=True):
        if row.question_id.split("-")[2] == "2":
            assert row.error is not None and row.error.startswith("EngineDead")
        else:
            assert row == wanted


def test_rows_with_errors_are_done_again_beside_what_is_committed(dataset: Path) -> None:
    undisturbed = config(dataset, "undisturbed")
    run(undisturbed)
    answers = dataset.parent / "answers.json"
    questions = [
        turn["question"] for entry in json.loads(dataset.read_text(encoding="utf-8")) for turn in entry["interaction"]
    ]
    answers.write_text(json.dumps({q: "SELECT 1" for q in questions if "第3组第1问" not in q}), encoding="utf-8")
    settings = config(
        dataset, engine={"kind": "scripted", "scripted": {"answers_uri": str(answers)}}, max_error_rate=1.0
    )
    assert run(settings).num_errors == 3  # a question that the table lacks is a failed request
    before = objects(settings)
    answers.write_text(json.dumps(dict.fromkeys(questions, "SELECT 1")), encoding="utf-8")
    again = Counter()
    assert run(config(dataset, **{**dump(settings), "retry_errors": True}), counter=again).num_errors == 0
    assert again.turns == 9
    assert all(objects(settings)[path] == old for path, old in before.items() if ".done" in path or ".attempt" in path)
    assert {row.predicted_sql for row in rows(settings)} == {"SELECT 1"}
    assert all(turn["query"] == " SELECT 1" for one in predictions(settings) for turn in one)


def dump(settings: PredictConfig) -> dict[str, Any]:
    return settings.model_dump(exclude={"dataset_uri", "databases_uri", "run_uri", "cache_dir"})


def test_histories_differ_from_the_second_turn_on(dataset: Path) -> None:
    by_history = {}
    for history in ("predicted", "gold", "none"):
        settings = config(dataset, history, history=history)
        run(settings)
        by_history[history] = rows(settings)
    for predicted, gold, none in zip(*by_history.values(), strict=True):
        answers = {predicted.completion, gold.completion, none.completion}
        assert len(answers) == (1 if predicted.turn_index == 0 else 3)


def test_gold_history_without_gold_is_refused(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", gold=False)
    with pytest.raises(DatasetError, match="history: gold"):
        run(config(dataset, history="gold"))


def test_a_gold_file_without_questions_is_good_for_evaluate_alone(dataset: Path) -> None:
    entries = json.loads(dataset.read_text(encoding="utf-8"))
    entries[1]["interaction"][2]["question"] = ""
    dataset.write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    assert read_interactions(str(dataset))[1].turns[2].question == ""
    with pytest.raises(DatasetError, match="q-1-0-2"):
        run(config(dataset))


def test_nothing_is_written_when_the_input_is_wrong(tmp_path: Path, dataset: Path) -> None:
    (dataset.parent / "database" / "城市2.sqlite").unlink()
    with pytest.raises(DatasetError, match="城市2"):
        run(config(dataset))
    assert not (tmp_path / "run").exists()


def test_two_drivers_on_one_run_end_with_one_result(dataset: Path) -> None:
    undisturbed = config(dataset, "undisturbed")
    run(undisturbed)
    settings = config(dataset, engine={"kind": "scripted", "scripted": {"delay_s": 0.002}}, max_interactions=4)
    failures: list[BaseException] = []

    def drive() -> None:
        try:
            run(settings)
        except BaseException as error:
            failures.append(error)

    drivers = [threading.Thread(target=drive) for _ in range(2)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert failures == []
    assert rows(settings) == rows(undisturbed)
    assert len(list(Path(settings.run_uri, "predictions").glob("*.done"))) == 6


def test_halves_left_by_a_driver_that_died_are_done_by_the_next(dataset: Path) -> None:
    settings = config(dataset)
    plan = make_plan(settings)
    ledger = ShardLedger(open_store(settings.run_uri), plan.digest, "dead")
    attempt = ledger.open_attempt(plan.shards[0])
    assert attempt is not None
    ledger.commit_split(plan.shards[0], attempt)

    def only_the_first(settings: PredictConfig, shards: Sequence[Shard], *rest: Any) -> None:
        assert [shard.name for shard in shards[:2]] == ["shard-00000-of-00006-a", "shard-00000-of-00006-b"]
        run_shards_local(settings, shards, *rest)

    merged = predict(settings, only_the_first, Switch(), Counter())
    assert merged.num_turns == 72
