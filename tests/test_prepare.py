"""Prepare as a whole: what it writes, that it writes it once, and that a stop or a refusal leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from t2s.dataset import read_interactions
from t2s.errors import DatasetError, PlanMismatch, SettingsError
from t2s.prompt import PromptConfig, PromptTemplate
from t2s.storage import open_store
from t2s.training.prepared import read_prepared
from tests.preparing import Entries, Watch, config, lines, objects, rewrite, run
from tests.servers import S3Server
from tests.small_dataset import write_dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Ten databases, 4 interactions of 3 turns over each."""
    return write_dataset(tmp_path / "data", num_databases=10, interactions_per_database=4)


def test_a_dataset_becomes_two_parts_in_the_users_layout_and_examples_of_both(dataset: Path) -> None:
    settings = config(dataset)
    watch = Watch()
    outcome = run(settings, watch)
    assert (watch.begun, watch.done, watch.ended) == ((120, 0), 120, True)
    files = objects(settings.output_uri)
    assert set(files) == {
        "train.json", "test.json",
        "sft/train.jsonl", "sft/test.jsonl", "sft/dataset_info.json", "sft/llamafactory.json",
        "prepare/statistics.json", "prepare/statistics.png", "prepare/plan.json", "prepare/done.json",
    }  # fmt: skip
    entries = {part: json.loads(files[f"{part}.json"]) for part in ("train", "test")}
    all_entries = json.loads(dataset.read_text(encoding="utf-8"))
    assert sorted(map(json.dumps, [*entries["train"], *entries["test"]])) == sorted(map(json.dumps, all_entries))
    for part, number in (("train", 28), ("test", 12)):
        assert len(entries[part]) == len(lines(settings, part)) == number
        for entry, line in zip(entries[part], lines(settings, part), strict=True):
            assert [line["db_id"]] == entry["db_list"]
            assert line["question_ids"] == [turn["question_id"] for turn in entry["interaction"]]
            said = [(message["role"], message["content"]) for message in line["messages"]]
            assert said[0][0] == "system" and said[0][1].startswith("CREATE TABLE 城市")
            told = [[("user", turn["question"]), ("assistant", turn["query"])] for turn in entry["interaction"]]
            assert said[1:] == [pair for turn in told for pair in turn]
    assert outcome.prepared.num_examples == {"train": 28, "test": 12}
    assert json.loads(files["sft/llamafactory.json"]) == outcome.prepared.llamafactory
    assert files["prepare/statistics.png"].startswith(b"\x89PNG")


def test_the_held_out_loss_can_be_measured_on_a_few_interactions_of_every_database(dataset: Path) -> None:
    whole = run(config(dataset))
    settings = config(dataset, output_uri=str(dataset.parent / "few"), held_out_interactions=6)
    outcome = run(settings)
    assert whole.prepared.num_examples == {"train": 28, "test": 12}
    assert outcome.prepared.num_examples == {"train": 28, "test": 6}
    test = json.loads(objects(settings.output_uri)["test.json"])
    assert len(test) == 12, "the part itself stays whole"
    assert [line["question_ids"] for line in lines(settings, "test")] == [
        [turn["question_id"] for turn in entry["interaction"]] for entry in test[::2]
    ]
    assert {line["db_id"] for line in lines(settings, "test")} == {entry["db_list"][0] for entry in test}
    with pytest.raises(PlanMismatch):
        run(config(dataset, held_out_interactions=6))


def test_the_mark_names_every_file_with_its_digest_and_how_prompts_were_made(dataset: Path) -> None:
    settings = config(dataset, prompt={"language": "en"})
    outcome = run(settings)
    found = read_prepared(settings.output_uri)
    assert found == outcome.prepared
    files = objects(settings.output_uri)
    assert found.files == {
        key: hashlib.sha256(data).hexdigest()
        for key, data in files.items()
        if key not in ("prepare/plan.json", "prepare/done.json")
    }
    assert found.prompt == PromptConfig(language="en")
    assert found.prompt_digest == PromptTemplate(PromptConfig(language="en")).digest
    assert json.loads(files["prepare/plan.json"])["parts"]["prompt"] == found.prompt_digest


def test_the_same_command_again_does_nothing(dataset: Path) -> None:
    settings = config(dataset)
    first = run(settings)
    times = {path: path.stat().st_mtime_ns for path in Path(settings.output_uri).rglob("*")}
    watch = Watch()
    assert run(settings, watch) == first
    assert watch.begun == (120, 120)
    assert {path: path.stat().st_mtime_ns for path in Path(settings.output_uri).rglob("*")} == times


def test_a_file_that_went_away_is_made_again(dataset: Path) -> None:
    settings = config(dataset)
    run(settings)
    before = objects(settings.output_uri)
    Path(settings.output_uri, "sft", "test.jsonl").unlink()
    run(settings)
    assert objects(settings.output_uri) == before


def test_equal_settings_give_equal_bytes(dataset: Path) -> None:
    one, other = (
        config(dataset, "one", example_form="turn"),
        config(dataset, "other", example_form="turn", num_workers=1),
    )
    assert run(one).prepared == run(other).prepared
    assert objects(one.output_uri) == objects(other.output_uri)


OTHER_SETTINGS: list[dict[str, Any]] = [
    {"split": {"seed": 1}},
    {"split": {"by": "interaction"}},
    {"example_form": "turn"},
    {"example_form": "turn", "history": "none"},
    {"limit": 20},
    {"prompt": {"examples_per_column": 1}},
    {"limits": {"deadline_s": 3}},
]


@pytest.mark.parametrize("change", OTHER_SETTINGS, ids=lambda change: next(iter(change)))
def test_other_settings_into_the_same_folder_are_refused_and_change_nothing(
    dataset: Path, change: dict[str, Any]
) -> None:
    settings = config(dataset)
    run(settings)
    before = objects(settings.output_uri)
    with pytest.raises(PlanMismatch, match=r"different: .*Use another folder"):
        run(config(dataset, **change))
    assert objects(settings.output_uri) == before


def test_other_rows_in_a_database_are_other_settings(dataset: Path) -> None:
    import sqlite3

    run(config(dataset))
    connection = sqlite3.connect(dataset.parent / "database" / "城市1.sqlite")
    connection.execute("INSERT INTO 城市 VALUES (4, '丁', 40)")
    connection.commit()
    connection.close()
    with pytest.raises(PlanMismatch, match="different: databases"):
        run(config(dataset))


def test_files_that_prepare_did_not_write_are_never_written_over(dataset: Path) -> None:
    mine = dataset.parent.parent / "mine"
    mine.mkdir()
    (mine / "train.json").write_bytes(dataset.read_bytes())
    with pytest.raises(DatasetError, match=r"found train\.json, which prepare did not write; use another output_uri"):
        run(config(dataset, "mine"))
    assert [path.name for path in mine.iterdir()] == ["train.json"]


def test_one_entry_over_two_databases_is_one_entry_again_in_one_part(dataset: Path) -> None:
    rewrite(dataset, lambda entries: entries[5].update(db_list=["城市5", "城市6"]))
    settings = config(dataset)
    run(settings)
    both = [
        json.loads(data) for key, data in objects(settings.output_uri).items() if key in ("train.json", "test.json")
    ]
    parts = [{db_id for entry in entries for db_id in entry["db_list"]} & {"城市5", "城市6"} for entries in both]
    assert sorted(map(len, parts)) == [0, 2]
    assert ["城市5", "城市6"] in [entry["db_list"] for entries in both for entry in entries]


def test_other_layouts_come_out_in_the_users_layout_with_their_generated_ids(dataset: Path) -> None:
    def as_chase(entries: Entries) -> None:
        for entry in entries:
            [entry["database_id"]] = entry.pop("db_list")
            for turn in entry["interaction"]:
                turn["utterance"] = turn.pop("question")
                del turn["question_id"]

    rewrite(dataset, as_chase)
    settings = config(dataset, split={"test_fraction": 0})
    run(settings)
    assert read_interactions(settings.output_uri) == read_interactions(str(dataset))
    assert read_interactions(settings.output_uri)[3].turns[1].question_id == "data-3-1"


@pytest.mark.parametrize("history", ["gold", "none"])
def test_in_the_form_turn_each_turn_has_an_example_with_its_history(dataset: Path, history: str) -> None:
    settings = config(dataset, example_form="turn", history=history, limit=8)
    run(settings)
    found = lines(settings, "train") + lines(settings, "test")
    assert len(found) == 24
    for line in found:
        turn = int(line["question_ids"][0].rpartition("-")[2])
        assert len(line["messages"]) == 3 + (2 * turn if history == "gold" else 0)


class Enough(BaseException):
    """A stop, as a signal raises it."""


def test_a_stopped_job_leaves_its_claim_alone_and_goes_on_to_the_same_result(dataset: Path) -> None:
    undisturbed = config(dataset, "undisturbed")
    run(undisturbed)
    settings = config(dataset)

    def stop(done: int) -> None:
        if done > 50:
            raise Enough

    watch = Watch(stop)
    threads = threading.active_count()
    with pytest.raises(Enough):
        run(settings, watch)
    assert watch.ended
    assert set(objects(settings.output_uri)) == {"prepare/plan.json"}
    assert list((dataset.parent.parent / "cache").glob("prepare/*/*")) == []
    assert threading.active_count() == threads
    run(settings)
    assert objects(settings.output_uri) == objects(undisturbed.output_uri)


def test_two_at_once_into_one_folder_do_not_write_into_each_other(dataset: Path) -> None:
    settings = config(dataset)
    refused: list[str] = []

    def second(done: int) -> None:
        if not refused:
            with pytest.raises(SettingsError) as caught:
                run(settings)
            refused.append(str(caught.value))

    run(settings, Watch(second))
    assert "another prepare on this machine writes" in refused[0]
    assert read_prepared(settings.output_uri).num_examples == {"train": 28, "test": 12}


def test_what_prepare_has_not_finished_is_not_its_output(dataset: Path) -> None:
    with pytest.raises(DatasetError, match=r"wanted the folder of a prepare job, found no prepare/done\.json"):
        read_prepared(str(dataset.parent))


@pytest.mark.s3
def test_everything_may_be_in_object_storage(
    dataset: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.env.items():
        monkeypatch.setenv(name, value)
    here = config(dataset)
    wanted = run(here)
    uri = f"s3://{s3_server.bucket}/{dataset.parent.parent.name}"
    store = open_store(f"{uri}/data")
    for path in dataset.parent.rglob("*"):
        if path.is_file():
            store.upload(path, path.relative_to(dataset.parent).as_posix())
    changes = {"dataset_uri": f"{uri}/data", "databases_uri": f"{uri}/data/database", "output_uri": f"{uri}/prepared"}
    settings = config(dataset, **changes)
    prepared = run(settings).prepared
    assert prepared.digest == wanted.prepared.digest
    differing = {key for key, digest in prepared.files.items() if digest != wanted.prepared.files[key]}
    assert differing == {"prepare/statistics.json"}, "it names the dataset"
    assert read_prepared(settings.output_uri) == prepared
    assert run(settings).prepared == prepared


def test_all_of_chase_becomes_examples(shared: Path, tmp_path: Path) -> None:
    chase = shared / "data" / "chase_c" / "train_data"
    settings = config(tmp_path / "data" / "x.json", dataset_uri=str(chase), databases_uri=str(chase / "database"))
    counted = run(settings).statistics
    parts = counted.parts.values()
    assert sum(part.num_interactions for part in parts) == 721
    assert sum(part.num_turns for part in parts) == 2774
    assert [part.num_gold_failed for part in parts] == [{}, {}]
    assert sum(part.num_databases for part in parts) == 44
    assert counted.num_rewritten == 0
    assert sum(part.hardness["unknown"] for part in parts) == 0
