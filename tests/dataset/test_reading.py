from __future__ import annotations

import gc
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from t2s.dataset import default_databases_uri, read_dataset, read_interactions
from t2s.dataset.location import split_uri
from t2s.errors import DatasetError
from t2s.interaction import Interaction, Turn

ROOT = Path(__file__).parents[2]


def entry(*question_ids: str, db_list: list[Any] | None = None) -> dict[str, Any]:
    turns = [
        {"question_id": question_id, "question": f"问{question_id}", "query": "select 1"}
        for question_id in question_ids
    ]
    return {"db_list": ["城市"] if db_list is None else db_list, "interaction": turns}


def write(path: Path, content: object) -> str:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return str(path)


def refusal(path: Path, content: object) -> str:
    with pytest.raises(DatasetError) as caught:
        read_dataset(write(path, content))
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_the_users_layout_becomes_interactions_in_the_files_order(tmp_path: Path) -> None:
    content = [entry("a", "b"), {"db_list": ["省份"], "interaction": [{"question_id": "a", "question": "无标注"}]}]
    dataset = read_dataset(write(tmp_path / "dev.json", content))
    assert dataset.interactions == [
        Interaction(
            db_id="城市",
            turns=(
                Turn(question_id="a", question="问a", gold_sql="select 1"),
                Turn(question_id="b", question="问b", gold_sql="select 1"),
            ),
        ),
        Interaction(db_id="省份", turns=(Turn(question_id="a", question="无标注"),)),
    ]
    assert dataset.layout == "users"
    assert dataset.digest == hashlib.sha256((tmp_path / "dev.json").read_bytes()).hexdigest()
    assert dataset.uri == str(tmp_path / "dev.json")


def test_an_entry_with_several_databases_becomes_one_interaction_each_in_that_order(tmp_path: Path) -> None:
    uri = write(tmp_path / "dev.json", [entry("a", db_list=["乙", "甲", "丙"]), entry("b")])
    assert [one.interaction_id for one in read_interactions(uri)] == ["a@乙", "a@甲", "a@丙", "b@城市"]


def test_limit_counts_interactions_after_databases_are_told_apart(tmp_path: Path) -> None:
    uri = write(tmp_path / "dev.json", [entry("a", db_list=["乙", "甲"]), entry("b")])
    assert [one.db_id for one in read_interactions(uri, limit=2)] == ["乙", "甲"]


def test_chases_own_layout_gets_ids_from_the_files_name_and_the_positions(tmp_path: Path) -> None:
    turn = {
        "utterance": "主办方都有谁？",
        "utterance_toks": ["主"],
        "query": "select 姓名 from 主办方",
        "sql": {"from": {}},
    }
    content = [{"database_id": "party_host", "interaction": [turn, {**turn, "utterance": "国籍呢？"}]}] * 2
    dataset = read_dataset(write(tmp_path / "train.json", content))
    assert dataset.layout == "chase"
    assert [turn.question_id for one in dataset.interactions for turn in one.turns] == [
        "train-0-0", "train-0-1", "train-1-0", "train-1-1",
    ]  # fmt: skip
    assert dataset.interactions[0].db_id == "party_host"
    assert dataset.interactions[0].turns[1] == Turn(
        question_id="train-0-1", question="国籍呢？", gold_sql="select 姓名 from 主办方"
    )


def test_sparcs_final_goal_is_no_turn(tmp_path: Path) -> None:
    content = [
        {
            "database_id": "car_1",
            "interaction": [{"utterance": "Which cars?", "utterance_toks": [], "query": "SELECT 1;", "sql": {}}],
            "final": {"utterance": "Name the makers.", "query": "SELECT 2;"},
        }
    ]
    dataset = read_dataset(write(tmp_path / "dev.json", content))
    assert dataset.layout == "sparc"
    assert dataset.interactions == [
        Interaction(db_id="car_1", turns=(Turn(question_id="dev-0-0", question="Which cars?", gold_sql="SELECT 1;"),))
    ]


def test_a_byte_order_mark_changes_nothing_but_the_digest(tmp_path: Path) -> None:
    plain = read_dataset(write(tmp_path / "plain.json", [entry("a")]))
    (tmp_path / "bom.json").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "plain.json").read_bytes())
    marked = read_dataset(str(tmp_path / "bom.json"))
    assert marked.interactions == plain.interactions
    assert marked.digest != plain.digest


def test_a_blank_query_means_not_annotated(tmp_path: Path) -> None:
    turns = [
        {"question_id": str(number), "question": "问", "query": query} for number, query in enumerate(["", " ", None])
    ]
    [interaction] = read_interactions(write(tmp_path / "x.json", [{"db_list": ["d"], "interaction": turns}]))
    assert [turn.gold_sql for turn in interaction.turns] == [None, None, None]


def test_questions_stay_as_they_are_written(tmp_path: Path) -> None:
    turn = {"question_id": "a", "question": " 全角：（１）\n“引号”\t😀 "}
    [interaction] = read_interactions(write(tmp_path / "x.json", [{"db_list": ["d"], "interaction": [turn]}]))
    assert interaction.turns[0].question == turn["question"]


def test_a_folder_with_one_json_file_is_as_good_as_the_file(tmp_path: Path) -> None:
    write(tmp_path / "dev.json", [entry("a")])
    (tmp_path / "README.md").write_text("x", encoding="utf-8")
    (tmp_path / "._dev.json").write_bytes(b"\x00")
    (tmp_path / "database").mkdir()
    write(tmp_path / "database" / "tables.json", [])
    for uri in (str(tmp_path), f"{tmp_path}/", f"file://{tmp_path}"):
        dataset = read_dataset(uri)
        assert dataset.uri.endswith("/dev.json")
        assert default_databases_uri(dataset.uri).endswith(f"{tmp_path}/database")


def test_a_folder_with_several_json_files_is_refused_with_their_names(tmp_path: Path) -> None:
    write(tmp_path / "dev.json", [entry("a")])
    write(tmp_path / "dev_gold.json", [entry("a")])
    with pytest.raises(DatasetError, match=r"found 2: dev\.json, dev_gold\.json; name one of them"):
        read_dataset(str(tmp_path))


def test_a_folder_without_json_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "questions.txt").write_text("x", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"holds no \.json file"):
        read_dataset(str(tmp_path))


@pytest.mark.parametrize("name", ["dev.json", "nowhere", "nowhere/dev.json"])
def test_a_file_that_is_not_there_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match=rf"{name}: no such (file|folder)") as caught:
        read_dataset(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dev.jsonl").write_text("{}", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"dev\.jsonl: wanted a file whose name ends in \.json"):
        read_dataset(str(tmp_path / "dev.jsonl"))


def test_malformed_json_is_refused_with_file_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    path.write_text('[\n {"db_list": ["城市"],\n  "interaction": [}\n]', encoding="utf-8")
    with pytest.raises(DatasetError, match=r"dev\.json, line 3, column 19: malformed JSON: Expecting value"):
        read_dataset(str(path))


def test_json_nested_too_deep_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    path.write_text("[" * 200_000, encoding="utf-8")
    with pytest.raises(DatasetError, match="nested too deep"):
        read_dataset(str(path))


def test_a_file_that_is_not_utf8_is_refused_with_the_place_and_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    path.write_bytes(b"[\n" + json.dumps([entry("a")], ensure_ascii=False).encode("gb18030"))
    with pytest.raises(DatasetError, match=r"wanted UTF-8, found the byte 0x\w\w at offset \d+, line 2; .*iconv"):
        read_dataset(str(path))
    path.write_bytes("[]".encode("utf-16"))
    with pytest.raises(DatasetError, match="found a UTF-16 file"):
        read_dataset(str(path))


def test_a_duplicate_question_id_is_refused_with_both_places(tmp_path: Path) -> None:
    message = refusal(tmp_path / "dev.json", [entry("a", "b"), entry("c"), entry("d", "b")])
    assert "[2].interaction[1].question_id" in message
    assert "'b', which [0].interaction[1] has" in message
    assert "\n" not in message
    within = refusal(tmp_path / "dev.json", [entry("a", "a")])
    assert "[0].interaction[1].question_id" in within and "[0].interaction[0] has" in within


def test_the_same_question_id_in_two_databases_is_no_duplicate(tmp_path: Path) -> None:
    uri = write(tmp_path / "dev.json", [entry("a", db_list=["甲", "乙"]), entry("a", db_list=["丙"])])
    assert len(read_interactions(uri)) == 3
    assert "database 乙, found 'a', which [0].interaction[0] has" in refusal(
        tmp_path / "dev.json", [entry("a", db_list=["甲", "乙"]), entry("a", db_list=["乙"])]
    )


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ({"db_list": []}, "wanted a list of objects with db_list"),
        ("text", "found a text ('text')"),
        (None, "found null"),
        ([], "holds no interactions"),
        ([[{"question_id": "a"}]], "[0]: wanted an object with db_list and interaction"),
        ([{"db_id": "x", "table_names": []}], "[0]: wanted an object with db_list and interaction"),
        ([entry("a"), 7], "[1]: wanted an object with db_list and interaction, found a number (7)"),
        ([entry("a"), {"interaction": entry("b")["interaction"]}], "[1].db_list: wanted a list of databases' names"),
        ([entry("a", db_list=[])], "[0].db_list: wanted a list of databases' names, found an empty list"),
        ([entry("a", db_list=["甲", 3])], "[0].db_list[1]: wanted a database's name, found a number (3)"),
        ([entry("a", db_list=["甲", "甲"])], "[0].db_list[1]: names 甲 twice"),
        ([{"db_list": "甲", "interaction": entry("a")["interaction"]}],
         "[0].db_list: wanted a list of databases' names, found a text ('甲')"),
        ([{"db_list": ["甲"]}], "[0].interaction: wanted a list of turns, found none"),
        ([entry("a"), entry()], "[1].interaction: empty; wanted at least one turn"),
        ([{"db_list": ["甲"], "interaction": [3]}], "[0].interaction[0]: wanted an object, found a number (3)"),
        ([{"db_list": ["甲"], "interaction": [{"question": "问"}]}], "[0].interaction[0].question_id: missing"),
        ([{"db_list": ["甲"], "interaction": [{"question_id": "a", "utterance": "问"}]}],
         "[0].interaction[0].question: missing; the keys here are question_id, utterance"),
        ([{"db_list": ["甲"], "interaction": [{"question_id": "a", "question": " 　"}]}],
         "[0].interaction[0].question: empty; wanted a text"),
        ([{"db_list": ["甲"], "interaction": [{"question_id": "", "question": "问"}]}],
         "[0].interaction[0].question_id: empty; wanted a text"),
        ([{"db_list": ["甲"], "interaction": [{"question_id": 5, "question": "问"}]}],
         "[0].interaction[0].question_id: wanted a text, found a number (5)"),
        ([{"db_list": ["甲"], "interaction": [{"question_id": "a", "question": "问", "query": ["x"]}]}],
         "[0].interaction[0].query: wanted SQL or null, found a list of 1"),
        ([{"database_id": True, "interaction": [{"utterance": "问"}]}],
         "[0].database_id: wanted a text, found a boolean (true)"),
        ([{"database_id": "x", "interaction": [{"utterance": "问"}, {"utterance": None}]}],
         "[0].interaction[1].utterance: wanted a text, found null"),
    ],
)  # fmt: skip
def test_a_wrong_shape_is_refused_in_one_line_with_entry_and_key(tmp_path: Path, content: object, wanted: str) -> None:
    message = refusal(tmp_path / "dev.json", content)
    assert wanted in message
    assert message.startswith(str(tmp_path / "dev.json"))
    assert "\n" not in message


def test_several_problems_are_told_at_once_ten_at_most(tmp_path: Path) -> None:
    message = refusal(tmp_path / "dev.json", [entry("a"), entry(), entry("a"), {}])
    assert message.splitlines() == [
        f"{tmp_path}/dev.json: 4 problems",
        "  [1].interaction: empty; wanted at least one turn",
        "  [2].interaction[0].question_id: wanted an id of its own in the database 城市, found 'a', which "
        "[0].interaction[0] has",
        "  [3].db_list: wanted a list of databases' names, found none",
        "  [3].interaction: wanted a list of turns, found none",
    ]
    many = refusal(tmp_path / "dev.json", [entry() for _ in range(37)])
    assert len(many.splitlines()) == 12
    assert many.endswith("… and 27 more")


def test_half_a_character_is_refused_since_nothing_could_write_it_again(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    path.write_text(json.dumps([entry("a")]).replace("\\u95ee", "\\ud83d"), encoding="utf-8")
    with pytest.raises(DatasetError, match=r"\[0\]\.interaction\[0\]: half a character in '\\ud83da'"):
        read_dataset(str(path))
    path.write_text(json.dumps([entry("😀")]), encoding="utf-8")
    assert read_interactions(str(path))[0].turns[0].question == "问😀"


def test_garbage_collection_is_on_again_after_reading_and_after_refusing(tmp_path: Path) -> None:
    assert gc.isenabled()
    read_dataset(write(tmp_path / "good.json", [entry("a")]))
    assert gc.isenabled()
    refusal(tmp_path / "bad.json", [entry()])
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("uri", "folder", "name"),
    [
        ("dev.json", ".", "dev.json"),
        ("/dev.json", "/", "dev.json"),
        ("a/b/dev.json", "a/b", "dev.json"),
        ("file:///a/dev.json", "file:///a", "dev.json"),
        ("file:///dev.json", "file:///", "dev.json"),
        ("s3://bucket/dev.json", "s3://bucket", "dev.json"),
        ("s3://bucket/a b/dev.json", "s3://bucket/a b", "dev.json"),
        ("s3://bucket", "s3://bucket", ""),
    ],
)
def test_a_uri_is_split_behind_its_last_slash(uri: str, folder: str, name: str) -> None:
    assert split_uri(uri) == (folder, name)


@pytest.mark.parametrize(
    ("uri", "databases_uri"),
    [
        ("data/dev.json", "data/database"),
        ("dev.json", "./database"),
        ("data/", "data/database"),
        ("data", "data/database"),
        ("s3://bucket/set/dev.json", "s3://bucket/set/database"),
        ("s3://bucket", "s3://bucket/database"),
    ],
)
def test_databases_are_looked_for_beside_the_dataset(uri: str, databases_uri: str) -> None:
    assert default_databases_uri(uri) == databases_uri


def test_many_interactions_are_read_quickly_and_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    with path.open("w", encoding="utf-8") as file:
        for index in range(25_000):
            turns = [
                {
                    "question_id": f"{index}-{turn}",
                    "question": f"第{index}组的第{turn}问：人口超过{index}的城市里，面积最大的是哪一个？",
                    "query": f"select T1.名称 from 城市 as T1 where T1.人口 > {index} order by 面积 desc limit {turn}",
                }
                for turn in range(4)
            ]
            line = json.dumps({"db_list": [f"库{index % 200}"], "interaction": turns}, ensure_ascii=False)
            file.write(f"{',' if index else '['}\n{line}")
        file.write("\n]")
    measure = (
        "import resource, sys, time\n"
        "from t2s.dataset import read_dataset\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "start = time.process_time()\n"
        "dataset = read_dataset(sys.argv[1])\n"
        "seconds = time.process_time() - start\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "print(len(dataset.interactions), sum(len(one.turns) for one in dataset.interactions), seconds, grown / 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", measure, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    num_interactions, num_turns, seconds, megabytes = done.stdout.split()
    assert (num_interactions, num_turns) == ("25000", "100000")
    # 100,000 interactions (96 MB) take 2.5 s and 424 MB, these a quarter; the bounds leave room for a busy machine.
    assert float(seconds) < 4
    assert float(megabytes) < 150
