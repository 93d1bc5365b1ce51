from __future__ import annotations

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from scripts.make_sample import build_load_set, build_sample
from scripts.sample.domains import DOMAINS
from scripts.sample.folder import STAMP
from scripts.sample.interactions import from_script
from scripts.sample.query import identifier
from scripts.sample.values import Rng
from scripts.sample.world import World, content_digest
from t2s.errors import SettingsError

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "make_sample.py"

# What seed 0 gives on every Python: JSON files by their bytes, databases by their statements and rows. A change of the
# generator changes them: the failing test prints the new ones.
DIGESTS: dict[str, str] = {
    "dev.json": "83eb837992d2364b90fc6dc340bc3c55d849b9ae5e5bd92f4090dec19fda6e22",
    "dev_gold.json": "3ac6da3b049b5848d0f194e4325ea82fcf75c3e163a7f6cfe5c75427dc8fe8ad",
    "test.json": "041b4a2b0620379b23d434db42aff1a234f8a4976f2da38158728dfbf2b88e8e",
    "test_gold.json": "412e9e45aed17041991bc32f4ba1c2af9351a93669ed72cc836324e9e2501153",
    "train.json": "4822f2ebb768f14ed1355771ef6709a205a611bc4da7c72e8b4a56544f890c50",
    "博物馆藏品.sqlite": "67653e10132825cd234d03506ef3b95611565062a77da9751e54afc5938c6882",
    "足球联赛.sqlite": "0b9ef9b51211784fd3dc05fef712638b4e15f664900ff70ae5179928fd025a54",
    "外卖平台.sqlite": "505c405f30ec3300ff41166fcbf87e484d9ef7c039680ed31cd40c3cb29e25c8",
    "快递物流.sqlite": "88f197299867e4dd88e06d02c7f5818d64d77fb51265502f194941606754b4ec",
    "铁路客运.sqlite": "6e24fddb631bd91b661360f9680a586be4773dc0e6840a05f517c1f9db560099",
    "音乐平台.sqlite": "97636fa7a928f1191e4f210c02a272e9efc8234e48fb268d3cac8039492693f6",
    "企业信息.sqlite": "881ca7bd6555ff5fc9cf1af8639eb558512f35e06a200b4ae8a9197a6bf4226d",
    "农场种植.sqlite": "3634fd18357f4b5f26a54bf49196442a1a539e2b7570e2f520c70860473db821",
    "城市图书馆.sqlite": "2c1321e445298d6f6eb05d1d664e7cc84130c27251cd0e91b705723279bff37c",
    "大学教务.sqlite": "30deef02433a5feb25ff79938c1d858167360066d7471dcd3317638c0f220c78",
    "市立医院.sqlite": "2df2fac0a04a484e18535d835a902bc7cf0820c031d4cfbb9559cafa78933910",
    "旅游景区.sqlite": "b1177daf758921e06cde7905427941476bce24958f3f61e5549d97d9008b7edb",
    "气象观测.sqlite": "4a5da317370ad05e577695832563cb28b2668b2800caacf00b1023ac2ff872aa",
    "电力公司.sqlite": "47483cb28ef653f13b4fb4091dfec590bd3ba9f43e066735e0355ac5d1accf6b",
    "电影票房.sqlite": "39e4fc2745a3a4d9c215bffe0d34dfaf53f98d75ce256cb3e18f8fa9f9261cc8",
    "连锁超市.sqlite": "8621021cba7538c8f0becb158076c6488e159133b6cde616f2666bf0e9cf0083",
}

Entry = dict[str, Any]  # one entry of a JSON file: db_list, interaction


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "sample"
    build_sample(folder)
    return folder


@pytest.fixture
def own_sample(sample: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(sample, tmp_path / "sample"))


def read(path: Path) -> list[Entry]:
    entries: list[Entry] = json.loads(path.read_text(encoding="utf-8"))
    return entries


def with_gold(sample: Path) -> dict[str, list[Entry]]:
    """Split -> entries."""
    return {
        "train": read(sample / "train_data" / "train.json"),
        "dev": read(sample / "dev_data" / "dev_gold.json"),
        "test": read(sample / "test_data" / "test_gold.json"),
    }


def databases(sample: Path) -> dict[str, Path]:
    """Database -> its file, over all splits."""
    return {path.stem: path for path in sorted(sample.glob("*_data/database/*.sqlite"))}


def gold_of(sample: Path) -> Iterator[tuple[str, str]]:
    """(database, gold SQL) of every turn."""
    for entries in with_gold(sample).values():
        for entry in entries:
            for turn in entry["interaction"]:
                yield entry["db_list"][0], turn["query"]


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)


def names_in(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Table -> its columns."""
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {t: [row[1] for row in connection.execute(f"PRAGMA table_info({identifier(t)})")] for t in tables}


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=100)


def test_splits_share_no_database_and_hold_as_many_interactions_as_promised(sample: Path) -> None:
    splits = with_gold(sample)
    used = {split: {entry["db_list"][0] for entry in entries} for split, entries in splits.items()}
    assert {split: len(found) for split, found in used.items()} == {"train": 10, "dev": 2, "test": 4}
    assert len(set().union(*used.values())) == 16
    for split, found in used.items():
        assert found == {path.stem for path in (sample / f"{split}_data" / "database").iterdir()}
    assert {split: len(entries) for split, entries in splits.items()} == {"train": 360, "dev": 80, "test": 128}
    assert {len(entry["interaction"]) for entries in splits.values() for entry in entries} == {2, 3, 4, 5, 6}


def test_each_data_folder_has_the_users_layout(sample: Path) -> None:
    for split in ("dev", "test"):
        gold, bare = (read(sample / f"{split}_data" / name) for name in (f"{split}_gold.json", f"{split}.json"))
        for entry in gold:
            for turn in entry["interaction"]:
                assert list(turn) == ["question_id", "question", "query"]
                del turn["query"]
        assert bare == gold
    assert sorted(path.name for path in sample.iterdir()) == [STAMP, "dev_data", "test_data", "train_data"]


def test_question_ids_are_short_and_unique_over_the_whole_sample(sample: Path) -> None:
    entries = [entry for part in with_gold(sample).values() for entry in part]
    ids = [turn["question_id"] for entry in entries for turn in entry["interaction"]]
    assert len(set(ids)) == len(ids) > 2000
    assert all(re.fullmatch("[a-z][a-z0-9]{4}", question_id) for question_id in ids)


def test_no_two_interactions_ask_the_same(sample: Path) -> None:
    asked = [
        (entry["db_list"][0], *(turn["question"] for turn in entry["interaction"]))
        for entries in with_gold(sample).values()
        for entry in entries
    ]
    assert len(set(asked)) == len(asked)


def test_every_question_ends_like_a_sentence_and_none_stumbles(sample: Path) -> None:
    for entries in with_gold(sample).values():
        for question in (turn["question"] for entry in entries for turn in entry["interaction"]):
            assert question[-1] in "？。", question
            assert not re.search("的的|呢呢|那那|在在|[，、。？]{2}|[{}$|]", question), question


def test_every_gold_sql_runs_and_hardly_any_gives_nothing(sample: Path) -> None:
    connections = {db_id: connect(path) for db_id, path in databases(sample).items()}
    results = [connections[db_id].execute(sql).fetchall() for db_id, sql in gold_of(sample)]
    for connection in connections.values():
        connection.close()
    num_empty = sum(all(value is None for row in rows for value in row) for rows in results)
    assert num_empty / len(results) < 0.02


def test_gold_gives_the_same_when_the_rows_lie_in_another_order(sample: Path, tmp_path: Path) -> None:
    """A superlative with a tie, or an order that leaves something open, would answer by where the rows lie."""
    for db_id, path in databases(sample).items():
        turned = tmp_path / path.name
        with sqlite3.connect(turned) as connection:
            connection.execute(f"ATTACH '{path}' AS original")
            for table in names_in(connect(path)):
                name = identifier(table)
                connection.execute(f"CREATE TABLE {name} AS SELECT * FROM original.{name} ORDER BY rowid DESC")
        connection.close()
        straight, reverse = connect(path), connect(turned)
        for sql in sorted({sql for of, sql in gold_of(sample) if of == db_id}):
            found = [[_rounded(row) for row in side.execute(sql)] for side in (straight, reverse)]
            if " ORDER BY " not in re.sub(r"\(SELECT .*\)", "", sql):
                found = [sorted(rows, key=repr) for rows in found]
            assert found[0] == found[1], f"{db_id}: {sql}"
        straight.close()
        reverse.close()


def _rounded(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Sums in another order differ in the last digits."""
    return tuple(f"{value:.9g}" if isinstance(value, float) else value for value in row)


def test_every_quoted_name_in_gold_is_a_name_of_its_database(sample: Path) -> None:
    """SQLite reads an unknown "name" as a string, without an error."""
    known = {db_id: names_in(connect(path)) for db_id, path in databases(sample).items()}
    for db_id, sql in gold_of(sample):
        outside_strings = re.sub("'(?:[^']|'')*'", "''", _names_aside(sql))
        names = {*known[db_id], *(column for columns in known[db_id].values() for column in columns)}
        for quoted in re.findall('"(?:[^"]|"")*"', outside_strings):
            name = quoted[1:-1].replace('""', '"').replace("\x00", "'")
            assert name in names, f"{db_id}: {sql}"
            assert identifier(name) == '"' + name.replace('"', '""') + '"', f"{name} needs no quotes: {sql}"


def _names_aside(sql: str) -> str:
    """The SQL with apostrophes inside quoted names replaced by NUL, so that they open no string."""
    return re.sub('"[^"]*"', lambda match: match[0].replace("'", "\x00"), sql)


def test_about_a_quarter_of_the_turns_is_simple_enough_for_a_tiny_model(sample: Path) -> None:
    name = r'(?:"(?:[^"]|"")*"|[^\s,()"]+)'
    simple = re.compile(rf"SELECT (?:COUNT\(\*\)|{name}) FROM {name}(?: WHERE {name} = (?:'(?:[^']|'')*'|[0-9.]+))?")
    found = [bool(simple.fullmatch(sql)) for _, sql in gold_of(sample)]
    assert 0.22 < sum(found) / len(found) < 0.36


def test_later_questions_leave_out_what_their_sql_needs(sample: Path) -> None:
    """A question that names neither its table nor its values cannot be answered alone; a few carry both by chance."""
    incomplete = []
    for entries in with_gold(sample).values():
        for entry in entries:
            for turn in entry["interaction"][1:]:
                values = [v.strip("%") for v in re.findall("'((?:[^']|'')*)'", turn["query"])]
                tables = [t.strip('"') for t in re.findall(r"(?:FROM|JOIN) ([^\s()]+)", turn["query"])]
                incomplete.append(any(word not in turn["question"] for word in values + tables))
    assert sum(incomplete) / len(incomplete) > 0.9


def test_the_first_dozen_of_the_test_split_is_easy_and_from_all_of_its_databases(sample: Path) -> None:
    dozen = with_gold(sample)["test"][:12]
    assert len({entry["db_list"][0] for entry in dozen}) == 4
    sqls = [turn["query"] for entry in dozen for turn in entry["interaction"]]
    assert not any(re.search("JOIN|ORDER BY|GROUP BY|[(]SELECT", sql) for sql in sqls)
    assert len({entry["interaction"][0]["query"].partition(" WHERE ")[0] for entry in dozen}) >= 8


def test_databases_have_keys_comments_awkward_names_and_sizes_like_real_ones(sample: Path) -> None:
    names: set[str] = set()
    num_large = 0
    for db_id, path in databases(sample).items():
        connection = connect(path)
        tables = names_in(connection)
        assert 2 <= len(tables) <= 5, db_id
        statements = [row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table'")]
        assert all("PRIMARY KEY" in statement for statement in statements), db_id
        assert any("REFERENCES" in statement for statement in statements), db_id
        assert any("--" in statement for statement in statements), db_id
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        sizes = [connection.execute(f"SELECT COUNT(*) FROM {identifier(table)}").fetchone()[0] for table in tables]
        num_large += max(sizes) >= 2000
        names |= {*tables, *(column for columns in tables.values() for column in columns)}
        connection.close()
    assert num_large >= 8
    assert {"order", "group", "from", "to", "index", "check"} <= names
    assert {
        "注册资本（万）",
        "单价(元)",
        "公司 ID",
        "排名 No.",
        '俗称"别名"',
        "director's cut时长",
        "车次#",
        "PM2.5",
    } <= names
    assert any(name[0].isdecimal() for name in names)
    assert any(name.isascii() for name in names)


def test_values_hold_quotes_full_width_signs_and_nulls(sample: Path) -> None:
    seen, num_null = "", 0
    for path in databases(sample).values():
        connection = connect(path)
        for table in names_in(connection):
            for row in connection.execute(f"SELECT * FROM {identifier(table)} LIMIT 300"):
                seen += "".join(value for value in row if isinstance(value, str))
                num_null += row.count(None)
        connection.close()
    assert set("'\"“”，。（）！？·") - set(seen) <= {"。"}
    assert num_null > 100


def test_every_script_of_a_domain_is_sound_with_the_rows_of_seed_0(sample: Path) -> None:
    for domain in DOMAINS:
        world = World(domain, databases(sample)[domain.db_id])
        for script in domain.scripts:
            tries = (from_script(world, Rng(f"{n}"), script) for n in range(40))
            assert any(tries), f"{domain.db_id}: {script.turns[0][0]}"
        world.close()


def test_names_are_quoted_only_where_sql_needs_it() -> None:
    bare = ["店名", "T1", "作者ID", "_x", "2区"[1:]]
    assert [identifier(name) for name in bare] == bare
    quoted = {
        "order": '"order"',
        "Group": '"Group"',
        "2024年营收": '"2024年营收"',
        'a"b': '"a""b"',
        "席（张）": '"席（张）"',
    }
    assert {name: identifier(name) for name in quoted} == quoted


def test_a_seed_gives_the_same_bytes_and_rows_on_every_python(sample: Path) -> None:
    found = {p.name: sha256(p.read_bytes()).hexdigest() for p in sorted(sample.glob("*_data/*.json"))}
    found |= {path.name: content_digest(path) for path in databases(sample).values()}
    lines = "\n".join(f'    "{name}": "{digest}",' for name, digest in found.items())
    assert found == DIGESTS, f"if the generator was changed on purpose, the new digests are:\n{lines}"


def test_another_seed_gives_other_rows_and_questions(sample: Path, tmp_path: Path) -> None:
    build_load_set(tmp_path / "zero", 16)
    build_load_set(tmp_path / "one", 16, seed=1)
    assert (tmp_path / "one" / "load.json").read_bytes() != (tmp_path / "zero" / "load.json").read_bytes()
    for db_id, path in databases(sample).items():
        digests = [content_digest(tmp_path / seed / "database" / path.name) for seed in ("zero", "one")]
        assert digests[0] == content_digest(path) != digests[1], db_id


def test_running_again_changes_nothing_and_says_so(own_sample: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in own_sample.rglob("*")}
    again = run_script("--output", str(own_sample))
    assert again.returncode == 0, again.stderr
    assert "up to date" in again.stdout
    assert str(own_sample / "test_data" / "test.json") in again.stdout
    assert re.search(r"^test +4 +128 +\d+ +[\d.]+% +0\.0%$", again.stdout, re.MULTILINE)
    assert {path: path.stat().st_mtime_ns for path in own_sample.rglob("*")} == before


def test_a_folder_that_lost_a_file_is_built_again(tmp_path: Path) -> None:
    build_load_set(tmp_path / "load", 16)
    lost = tmp_path / "load" / "load.json"
    before = lost.read_bytes()
    lost.unlink()
    build_load_set(tmp_path / "load", 16)
    assert lost.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["load"]


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(own_sample: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"notes\.txt"):
        build_sample(mine)
    (own_sample / "dev_data" / "mine.json").write_text("[]", encoding="utf-8")
    build_sample(own_sample)  # nothing to write: nothing to refuse
    with pytest.raises(SettingsError, match=r"mine\.json was not made"):
        build_sample(own_sample, seed=1)
    (own_sample / "dev_data" / "mine.json").unlink()
    (own_sample / "train_data" / "train.json").write_text("[]", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"train\.json was changed"):
        build_sample(own_sample)
    assert (own_sample / "train_data" / "train.json").read_text(encoding="utf-8") == "[]"
    refused = run_script("--output", str(mine / "notes.txt"))
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    below = run_script("--output", str(mine / "notes.txt" / "sample"))
    assert (below.returncode, below.stderr.count("\n")) == (1, 1)
    (own_sample / STAMP).write_text("", encoding="utf-8")
    with pytest.raises(SettingsError, match=STAMP):
        build_sample(own_sample)
    assert [path.name for path in mine.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 3), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_build_that_is_stopped_leaves_nothing_half_made(tmp_path: Path, number: int, code: int) -> None:
    output = tmp_path / "load"
    command = [sys.executable, str(SCRIPT), "--output", str(output), "--interactions", "16"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            deadline = time.monotonic() + 60
            while not any(tmp_path.glob(".load*/database/*.sqlite")):
                assert process.poll() is None, "it ended before it could be stopped"
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.send_signal(number)
            assert process.wait(60) == code
        finally:
            process.kill()
    assert not output.exists()
    assert number == signal.SIGKILL or list(tmp_path.iterdir()) == []
    build_load_set(output, 16)
    assert [path.name for path in tmp_path.iterdir()] == ["load"]


def test_a_load_set_has_the_number_asked_for_under_ids_of_its_own(sample: Path, tmp_path: Path) -> None:
    build_load_set(tmp_path / "load", 80)
    assert sorted(path.name for path in (tmp_path / "load").iterdir()) == [STAMP, "database", "load.json"]
    entries = read(tmp_path / "load" / "load.json")
    assert len(entries) == 80
    assert {entry["db_list"][0] for entry in entries} == set(databases(sample))
    assert {path.stem for path in (tmp_path / "load" / "database").iterdir()} == set(databases(sample))
    ids = [turn["question_id"] for entry in entries for turn in entry["interaction"]]
    assert len(set(ids)) == len(ids) > 3 * 80
    old = {t["question_id"] for found in with_gold(sample).values() for e in found for t in e["interaction"]}
    assert not old & set(ids)


def test_what_the_repository_holds_of_it_is_small() -> None:
    sources = [SCRIPT, *(SCRIPT.parent / "sample").rglob("*.py")]
    assert len(sources) > 16
    assert sum(path.stat().st_size for path in sources) < 3_000_000
