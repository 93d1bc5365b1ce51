"""Prepare's input: gold that does not run, predictions as history, a tokenizer's lengths, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from t2s.dataset import read_interactions
from t2s.errors import DatasetError, InputError, ModelError, PlanMismatch, SettingsError
from tests.preparing import Entries, config, lines, model, objects, predicted, rewrite, run
from tests.small_dataset import write_dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Ten databases, 4 interactions of 3 turns over each."""
    return write_dataset(tmp_path / "data", num_databases=10, interactions_per_database=4)


def failing(entries: Entries) -> None:
    """The second turn of the first interaction fails, the first one of the second, the last one of the third."""
    entries[0]["interaction"][1]["query"] = "SELECT 没有 FROM 没有"
    entries[1]["interaction"][0]["query"] = "DELETE FROM 城市"
    entries[2]["interaction"][2]["query"] = (
        "WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n FROM a) SELECT max(n) FROM a"
    )


@pytest.mark.parametrize("form", ["interaction", "turn"])
def test_an_interaction_ends_before_gold_that_does_not_run(dataset: Path, form: str) -> None:
    rewrite(dataset, failing)
    settings = config(dataset, example_form=form, split={"test_fraction": 0}, limits={"deadline_s": 1})
    counted = run(settings).statistics
    part = counted.parts["train"]
    assert part.num_gold_failed == {"error": 1, "refused": 1, "timeout": 1}
    assert (part.num_after_failed, part.num_interactions_lost) == (1 + 2, 1)
    assert (part.num_interactions, part.num_turns) == (39, 120 - 3 - 3)
    assert part.turns == {"1": 1, "2": 1, "3": 37}
    ids = [turn.question_id for one in read_interactions(settings.output_uri) for turn in one.turns]
    assert set(ids) & {"q-0-0-0", "q-0-0-1", "q-0-0-2"} == {"q-0-0-0"}
    assert set(ids) & {"q-1-0-0", "q-1-0-1", "q-1-0-2"} == set()
    assert set(ids) & {"q-2-0-0", "q-2-0-1", "q-2-0-2"} == {"q-2-0-0", "q-2-0-1"}
    trained = [question_id for line in lines(settings, "train") for question_id in line["question_ids"]]
    assert sorted(trained) == sorted(ids)
    assert [(one.question_id, one.kind) for one in counted.gold_failures] == [
        ("q-0-0-1", "error"),
        ("q-1-0-0", "refused"),
        ("q-2-0-2", "timeout"),
    ]
    assert "没有" in counted.gold_failures[0].message


def test_gold_that_returns_nothing_is_counted_and_stays(dataset: Path) -> None:
    rewrite(dataset, lambda entries: entries[0]["interaction"][2].update(query="SELECT 名称 FROM 城市 WHERE 人口 < 0"))
    part = run(config(dataset, split={"test_fraction": 0})).statistics.parts["train"]
    assert (part.num_empty_results, part.num_turns) == (1, 120)


def test_hardness_and_gold_that_predict_would_read_otherwise_are_counted(dataset: Path) -> None:
    def change(entries: Entries) -> None:
        turns = entries[0]["interaction"]
        turns[0]["query"] = "SELECT 名称 FROM 城市"
        turns[1]["query"] = "SELECT 名称 FROM 城市 -- 都要"
        turns[2]["query"] = "SELECT 名称 FROM 城市 WHERE 人口 = (SELECT max(人口) FROM 城市)"

    rewrite(dataset, change)
    counted = run(config(dataset, split={"test_fraction": 0}, limit=1)).statistics
    assert (counted.num_rewritten, counted.rewritten) == (1, ("q-0-0-1",))
    hardness = counted.parts["train"].hardness
    assert {level: number for level, number in hardness.items() if number} == {"easy": 1, "hard": 1, "unknown": 1}


@pytest.mark.parametrize("form", ["", "/predictions.json"])
def test_history_may_be_what_an_earlier_run_predicted(dataset: Path, form: str) -> None:
    run_uri = str(dataset.parent.parent / "run")
    predicted(dataset, run_uri)
    settings = config(dataset, example_form="turn", history="predicted", predictions_uri=run_uri + form)
    assert run(settings).prepared.history == {"train": "predicted", "test": "predicted"}
    answers = {
        (turn["db_id"], turn["question_id"]): turn["query"].strip()
        for one in json.loads(Path(run_uri, "predictions.json").read_text(encoding="utf-8"))
        for turn in one
    }
    for line in lines(settings, "train"):
        stem, _, turn = line["question_ids"][0].rpartition("-")
        shown = [message["content"] for message in line["messages"] if message["role"] == "assistant"]
        assert shown[:-1] == [answers[line["db_id"], f"{stem}-{index}"] for index in range(int(turn))]


def test_predictions_of_the_training_part_alone_leave_gold_to_the_test_part(dataset: Path) -> None:
    first = config(dataset, "first")
    run(first)
    root = dataset.parent.parent
    predicted(Path(first.output_uri, "train.json"), str(root / "run"))
    settings = config(dataset, "second", example_form="turn", history="predicted", predictions_uri=str(root / "run"))
    assert run(settings).statistics.history == {"train": "predicted", "test": "gold"}
    shown = {part: json.dumps(lines(settings, part)) for part in ("train", "test")}
    assert "AS answer" in shown["train"] and "AS answer" not in shown["test"]


def test_predictions_that_lack_a_question_are_refused(dataset: Path) -> None:
    root = dataset.parent.parent
    predicted(dataset, str(root / "run"))
    path = root / "run" / "predictions.json"
    answers = json.loads(path.read_text(encoding="utf-8"))
    (root / "some.json").write_text(json.dumps([one[1:] for one in answers], ensure_ascii=False), encoding="utf-8")
    settings = config(dataset, example_form="turn", history="predicted", predictions_uri=str(root / "some.json"))
    with pytest.raises(DatasetError, match=r"some\.json: wanted a prediction for each of the 56 turns.*none for 28"):
        run(settings)


def test_other_predictions_are_other_settings_but_the_last_turn_of_an_interaction_is_nobodys_history(
    dataset: Path,
) -> None:
    root = dataset.parent.parent
    predicted(dataset, str(root / "run"))
    answers = json.loads((root / "run" / "predictions.json").read_text(encoding="utf-8"))

    def run_with(changed: object) -> None:
        (root / "some.json").write_text(json.dumps(changed, ensure_ascii=False), encoding="utf-8")
        run(config(dataset, example_form="turn", history="predicted", predictions_uri=str(root / "some.json")))

    run_with(answers)
    run_with([one[:-1] for one in answers])
    answers[7][0]["query"] = "SELECT 7"
    with pytest.raises(PlanMismatch, match="different: predictions"):
        run_with(answers)


def without_gold(entries: Entries) -> None:
    del entries[3]["interaction"][1]["query"]


def all_fail(entries: Entries) -> None:
    for entry in entries:
        entry["interaction"][0]["query"] = "SELECT 1 FROM 没有"


BAD: dict[str, tuple[Callable[[Entries], object], dict[str, Any], type[InputError], str]] = {
    "no gold": (
        without_gold,
        {},
        DatasetError,
        r"wanted gold SQL \(query\) for every turn, found 1 of 120 without.*q-3-0-1",
    ),
    "no question": (
        lambda entries: entries[0]["interaction"][0].update(question=" "),
        {},
        DatasetError,
        "wanted a question in every turn",
    ),
    "gold of other databases": (
        all_fail,
        {},
        DatasetError,
        r"wanted examples for the part train, found none: 28 gold queries do not run; the first, .*没有.*belong",
    ),
    "one database": (
        lambda entries: entries.__delitem__(slice(1, None)),
        {},
        DatasetError,
        r"wanted two parts, split by db_id, found 1 database",
    ),
    "predicted history without predictions": (
        lambda entries: None,
        {"history": "predicted", "example_form": "turn"},
        SettingsError,
        "predictions_uri: wanted an earlier predict run",
    ),
    "interaction examples without gold history": (
        lambda entries: None,
        {"history": "none"},
        SettingsError,
        "example_form: wanted turn",
    ),
    "a list that split.by does not use": (
        lambda entries: None,
        {"split": {"list_uri": "x"}},
        SettingsError,
        r"split\.list_uri: wanted null, since split\.by is db_id",
    ),
    "a cutoff without a tokenizer": (lambda entries: None, {"cutoff_len": 9}, SettingsError, "cutoff_len: wanted null"),
    "no such tokenizer": (
        lambda entries: None,
        {"model_uri": "no/such/folder"},
        ModelError,
        "no/such/folder: wanted a model's folder, found no files",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_line_and_leaves_nothing_behind(dataset: Path, name: str) -> None:
    change, settings, kind, said = BAD[name]
    rewrite(dataset, change)
    with pytest.raises(kind, match=said):
        run(config(dataset, **settings))
    assert objects(config(dataset).output_uri) == {}
    assert list((dataset.parent.parent / "cache").glob("prepare/*/*")) == []


def test_with_a_tokenizer_lengths_are_tokens_and_nothing_is_cut_by_default(dataset: Path) -> None:
    outcome = run(config(dataset, model_uri=model(dataset)))
    part = outcome.statistics.parts["train"]
    assert part.example_length is not None and part.answer_length is not None
    settings = config(dataset)
    sizes = [
        sum(len(message["content"].encode()) + len(message["role"]) + 4 for message in line["messages"])
        for line in lines(settings, "train")
    ]
    assert (part.example_length.longest, part.example_length.total) == (max(sizes), sum(sizes))
    assert part.answer_length.longest == len("SELECT count(*) FROM 城市 WHERE 人口 > 20".encode()) + 2
    cutoff = outcome.prepared.llamafactory["cutoff_len"]
    assert max(sizes) < cutoff <= max(sizes) + 128 and cutoff % 128 == 0
    assert sum(part.histogram) == part.num_examples


def test_a_cutoff_that_would_cut_is_refused_and_the_folder_stays_free(dataset: Path) -> None:
    settings = config(dataset, model_uri=model(dataset), cutoff_len=1000)
    with pytest.raises(
        SettingsError, match=r"cutoff_len: wanted room for each of 40 examples, found 40 longer.*allow_cut"
    ):
        run(settings)
    assert objects(settings.output_uri) == {}
    outcome = run(config(dataset, model_uri=model(dataset), cutoff_len=1000, allow_cut=True))
    assert outcome.prepared.llamafactory["cutoff_len"] == 1000
    assert {part: counted.num_cut for part, counted in outcome.statistics.parts.items()} == {"train": 28, "test": 12}


def test_a_cutoff_one_token_longer_than_the_longest_example_is_enough(dataset: Path) -> None:
    part = run(config(dataset, model_uri=model(dataset))).statistics.parts["train"]
    assert part.example_length is not None
    longest = part.example_length.longest
    run(config(dataset, "enough", model_uri=model(dataset), cutoff_len=longest + 1))
    with pytest.raises(SettingsError, match="cutoff_len"):
        run(config(dataset, "short", model_uri=model(dataset), cutoff_len=longest))


def test_prompts_are_pruned_to_the_context_and_what_does_not_fit_is_counted(dataset: Path) -> None:
    whole = run(config(dataset, model_uri=model(dataset), example_form="turn")).statistics.parts["train"]
    assert whole.example_length is not None and whole.num_turns_pruned == 0
    context = whole.example_length.longest - 100
    settings = {"model_uri": model(dataset), "max_model_len_tokens": context, "max_tokens": 60}
    turns = run(config(dataset, "turns", example_form="turn", **settings)).statistics.parts["train"]
    assert turns.num_turns_pruned == 28 and turns.num_examples == whole.num_examples
    interactions = run(config(dataset, "interactions", **settings)).statistics.parts["train"]
    assert (interactions.num_too_long, interactions.num_examples) == (28, 28)


def test_answers_that_predict_would_break_off_are_counted(dataset: Path) -> None:
    settings = config(
        dataset, model_uri=model(dataset), max_tokens=len("SELECT count(*) FROM 城市 WHERE 人口 > 0".encode()) + 2
    )
    part = run(settings).statistics.parts["train"]
    assert part.num_longer_answers == part.num_turns * 2 // 3


def test_a_model_that_does_not_say_its_context_needs_it_set(dataset: Path) -> None:
    folder = Path(model(dataset))
    (folder / "config.json").unlink()
    with pytest.raises(SettingsError, match="max_model_len_tokens: wanted the model's context, found neither"):
        run(config(dataset, model_uri=str(folder)))
    run(config(dataset, model_uri=str(folder), max_model_len_tokens=4096))
