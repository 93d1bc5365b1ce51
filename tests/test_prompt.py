from __future__ import annotations

import bisect
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from t2s.dataset import read_interactions, read_schema
from t2s.engine import Message
from t2s.errors import EngineError, PromptTooLong
from t2s.interaction import Interaction, Turn
from t2s.prompt import Exchange, InteractionPrompt, PromptConfig, PromptTemplate, SchemaPrompt
from t2s.schema import Column, ForeignKey, Schema, Table
from tests.dataset.awkward import write_awkward

ROOT = Path(__file__).parents[1]

PLENTY = 1_000_000


def count_chars(messages: Sequence[Message]) -> int:
    """A tokenizer of one token a character and ten for a message's header."""
    return sum(len(message["content"]) + 10 for message in messages)


def interaction(*questions: str, db_id: str = "城市", gold_sql: str | None = None) -> Interaction:
    turns = [Turn(question_id=f"q{index}", question=text, gold_sql=gold_sql) for index, text in enumerate(questions)]
    return Interaction(db_id=db_id, turns=tuple(turns))


def table(name: str, *columns: str, refers_to: dict[str, str] | None = None) -> Table:
    keys = [
        ForeignKey(columns=(column,), other_table=other, other_columns=("id",))
        for column, other in (refers_to or {}).items()
    ]
    return Table(
        name=name,
        columns=tuple(Column(name=column, type="TEXT") for column in ("id", *columns)),
        foreign_keys=tuple(keys),
    )


CITIES = Schema(
    db_id="城市",
    tables=(
        Table(
            name="省份",
            columns=(
                Column(name="省份id", type="INTEGER", primary_key=1, examples=(1, 2, 3, 4)),
                Column(name="名称", type="TEXT", comment="全称", examples=("河北省", "it's")),
                Column(name="面积（万）", type="NUMERIC", examples=(18.5,)),
            ),
        ),
        Table(
            name="城市",
            comment="地级市",
            columns=(
                Column(name="城市id", type="TEXT", primary_key=1, examples=("c1",)),
                Column(name="省份id", type="INTEGER", examples=(1, 2)),
                Column(name="order", type=""),
            ),
            foreign_keys=(ForeignKey(columns=("省份id",), other_table="省份", other_columns=("省份id",)),),
        ),
    ),
)

CITIES_TEXT = """\
CREATE TABLE 省份 (
省份id INTEGER PRIMARY KEY, -- 例: 1, 2, 3
名称 TEXT, -- 全称; 例: '河北省', 'it''s'
"面积（万）" NUMERIC -- 例: 18.5
);
CREATE TABLE 城市 ( -- 地级市
城市id TEXT PRIMARY KEY, -- 例: 'c1'
省份id INTEGER REFERENCES 省份(省份id),
"order"
);"""

# Forty tables with a name of their own each, far more than a small context holds.
WIDE = Schema(
    db_id="大库",
    tables=(
        table("订单", "金额", "客户编号", refers_to={"客户编号": "客户"}),
        *(table(f"无关{number:02d}", *(f"字段{number:02d}{letter}" for letter in "甲乙丙丁")) for number in range(36)),
        table("客户", "姓名", "城市编号", refers_to={"城市编号": "地区"}),
        table("日志", "内容"),
        table("地区", "名称"),
    ),
)


# The schema's text


def test_a_schema_is_written_as_compact_create_statements_with_keys_comments_and_examples() -> None:
    assert PromptTemplate(PromptConfig()).schema_text(CITIES) == CITIES_TEXT


def test_tables_left_out_take_the_foreign_keys_to_them_along_and_give_the_column_its_examples_back() -> None:
    text = PromptTemplate(PromptConfig()).schema_text(CITIES, ["城市"])
    assert "REFERENCES" not in text and "CREATE TABLE 省份" not in text
    assert "省份id INTEGER, -- 例: 1, 2" in text


def test_tables_stand_in_the_databases_order_whatever_order_they_are_asked_in() -> None:
    assert PromptTemplate(PromptConfig()).schema_text(CITIES, ["城市", "省份"]) == CITIES_TEXT


def test_examples_can_be_fewer_or_none_and_are_cut() -> None:
    assert "例" not in PromptTemplate(PromptConfig(examples_per_column=0)).schema_text(CITIES)
    text = PromptTemplate(PromptConfig(examples_per_column=1, example_max_chars=2)).schema_text(CITIES)
    assert "-- 全称; 例: '河北…'\n" in text and "-- 例: 1\n" in text


def test_examples_that_are_equal_once_they_are_cut_stand_once() -> None:
    schema = Schema(
        db_id="x", tables=(Table(name="t", columns=(Column(name="a", type="", examples=("长长长一", "长长长二")),)),)
    )
    assert "-- 例: '长长…'\n" in PromptTemplate(PromptConfig(example_max_chars=2)).schema_text(schema)


def test_signs_of_the_chat_template_in_a_database_lose_their_force() -> None:
    schema = Schema(
        db_id="x",
        tables=(Table(name="t", columns=(Column(name="a", type="", comment="<|im_end|>", examples=("<|eot_id|>",)),)),),
    )
    text = PromptTemplate(PromptConfig()).schema_text(schema)
    assert "<|" not in text and "'< |eot_id|>'" in text


def columns_of(connection: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE TABLE%'")]
    return {
        name: connection.execute("SELECT name, upper(type), pk FROM pragma_table_info(?)", (name,)).fetchall()
        for name in names
    }


def test_sqlite_takes_the_text_of_awkward_names_back_and_means_the_same(tmp_path: Path) -> None:
    path = write_awkward(tmp_path / "x.sqlite")
    text = PromptTemplate(PromptConfig()).schema_text(read_schema(path, "公司"))
    with closing(sqlite3.connect(":memory:")) as copy, closing(sqlite3.connect(path)) as original:
        copy.executescript(text)
        found = columns_of(copy)
        assert found.pop("视图/一") == [("名称", "TEXT", 0), ("数量", "", 0)]
        assert found == columns_of(original)
        keys = copy.execute('SELECT "table", "from", "to" FROM pragma_foreign_key_list(\'明细\')').fetchall()
        assert keys == [("select", "a", "公司"), ("select", "b", "group")]
    assert 'CREATE TABLE "视图/一" ( -- 视图\n' in text
    assert 'PRIMARY KEY (公司, "group")' in text


def test_every_database_of_chase_is_written_as_statements_that_run_its_gold(shared: Path) -> None:
    chase = shared / "data" / "chase_c"
    template = PromptTemplate(PromptConfig())
    texts: dict[str, str] = {}
    for path in sorted(chase.glob("*/database/*.sqlite")):
        texts[path.stem] = template.schema_text(read_schema(path, path.stem))
        assert template.schema_text(read_schema(path, path.stem)) == texts[path.stem]
    assert len(texts) == 67
    num_gold = 0
    gold = [chase / "train_data" / "train.json", chase / "dev_data" / "dev_gold.json"]
    by_database: dict[str, list[str]] = {}
    for one in [one for file in gold for one in read_interactions(str(file))]:
        by_database.setdefault(one.db_id, []).extend(turn.gold_sql or "" for turn in one.turns)
    for db_id, queries in by_database.items():
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript(texts[db_id])
            for query in queries:
                connection.execute(f"EXPLAIN {query}")
                num_gold += 1
    assert num_gold == 3637


# Messages


def test_the_schema_stands_first_and_then_the_rules() -> None:
    template = PromptTemplate(PromptConfig())
    system = template.system(CITIES_TEXT)
    assert system.startswith(CITIES_TEXT + "\n")
    for rule in ("SQLite", "单引号", "双引号", "一条", "只输出 SQL"):
        assert rule in system[len(CITIES_TEXT) :]


def test_english_words_say_the_same() -> None:
    template = PromptTemplate(PromptConfig(language="en"))
    text = template.schema_text(CITIES)
    assert "名称 TEXT, -- 全称; e.g. '河北省', 'it''s'" in text
    system = template.system(text)
    assert system.startswith(text + "\n")
    for rule in ("SQLite", "Single quotes", "double quotes", "one single query", "SQL alone"):
        assert rule in system[len(text) :]


def test_turn_two_prompt_shows_the_predicted_sql_of_turn_one_not_the_gold() -> None:
    template = PromptTemplate(PromptConfig())
    prompt = InteractionPrompt(
        template, CITIES, interaction("哪个最大？", "它在哪？", gold_sql="select 金"), count_chars, PLENTY
    )
    rendered = prompt.render([Exchange("哪个最大？", " select 预测\n")], 1)
    assert rendered.messages == [
        {"role": "system", "content": template.system(CITIES_TEXT)},
        {"role": "user", "content": "哪个最大？"},
        {"role": "assistant", "content": "select 预测"},
        {"role": "user", "content": "它在哪？"},
    ]
    assert rendered.pruned == ()
    assert "金" not in json.dumps(rendered.messages, ensure_ascii=False)


def test_without_history_a_later_turn_is_asked_alone() -> None:
    prompt = InteractionPrompt(
        PromptTemplate(PromptConfig()), CITIES, interaction("哪个最大？", "它在哪？"), count_chars, PLENTY
    )
    rendered = prompt.render([], 1)
    assert [message["role"] for message in rendered.messages] == ["system", "user"]
    assert rendered.messages[1]["content"] == "它在哪？"
    assert rendered.pruned == ()


def test_a_turn_without_sql_is_told_as_such() -> None:
    for language, words in (("zh", "（本轮没有得到 SQL）"), ("en", "(no SQL for this turn)")):
        template = PromptTemplate(PromptConfig.model_validate({"language": language}))
        prompt = InteractionPrompt(template, CITIES, interaction("一", "二"), count_chars, PLENTY)
        assert prompt.render([Exchange("一", "")], 1).messages[2] == {"role": "assistant", "content": words}


def test_prompts_of_a_database_begin_with_the_same_bytes(tmp_path: Path) -> None:
    template = PromptTemplate(PromptConfig())
    path = write_awkward(tmp_path / "x.sqlite")
    shared = template.schema_prompt(path, "公司")
    others = [template.schema_prompt(path, "公司"), SchemaPrompt(template, read_schema(path, "公司"))]
    systems = [
        InteractionPrompt(template, schema, interaction(*questions), count_chars, PLENTY).render([], 0).messages[0]
        for schema in (shared, *others)
        for questions in (("一",), ("二", "三"))
    ]
    assert all(system == {"role": "system", "content": shared.system} for system in systems)


def test_the_prompt_is_the_same_in_another_process_with_another_hash_seed(tmp_path: Path) -> None:
    path = write_awkward(tmp_path / "x.sqlite")
    script = (
        "import sys, json; from pathlib import Path\n"
        "from t2s.prompt import *; from t2s.interaction import *\n"
        "from tests.test_prompt import WIDE, count_chars\n"
        "template = PromptTemplate(PromptConfig())\n"
        "turns = (Turn(question_id='a', question='每个客户的订单金额？'),)\n"
        "prompt = InteractionPrompt(template, WIDE, Interaction(db_id='大库', turns=turns), count_chars, 1200)\n"
        "schema = template.schema_prompt(Path(sys.argv[1]), 'x')\n"
        "print(json.dumps([template.digest, schema.system, prompt.render([], 0)]))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script, str(path)],
            cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(outputs) == 1 and outputs != {b""}


# What does not fit


def shown(prompt: InteractionPrompt) -> list[str]:
    lines = prompt.system_message["content"].splitlines()
    return [line.split()[2] for line in lines if line.startswith("CREATE TABLE ")]


@pytest.fixture
def template() -> Iterator[PromptTemplate]:
    yield PromptTemplate(PromptConfig())


def test_nothing_is_left_out_where_everything_fits_to_the_last_token(template: PromptTemplate) -> None:
    one = interaction("每个客户的订单金额？", "按地区分呢？")
    full = count_chars([{"role": "system", "content": template.system(template.schema_text(WIDE))}])

    def pruned(budget: int) -> tuple[str, ...]:
        return InteractionPrompt(template, WIDE, one, count_chars, budget).render([], 0).pruned

    enough = bisect.bisect_left(range(full + 400), True, key=lambda budget: budget > full and not pruned(budget))
    assert full < enough < full + 400
    assert pruned(enough) == () and pruned(enough - 1) != ()


def test_tables_that_the_questions_are_about_stay_with_those_that_a_join_needs(template: PromptTemplate) -> None:
    one = interaction("每个客户的订单金额？", "哪个地区最多？")
    prompt = InteractionPrompt(template, WIDE, one, count_chars, 1000)
    assert [name for name in shown(prompt) if not name.startswith("无关")] == ["订单", "客户", "地区"]
    rendered = prompt.render([], 0)
    assert count_chars(rendered.messages) <= 1000
    everything = {table.name for table in WIDE.tables}
    left_out = [name.removeprefix("table:") for name in rendered.pruned]
    assert set(left_out) == everything - set(shown(prompt))
    assert left_out == [table.name for table in WIDE.tables if table.name in left_out]


def test_a_table_between_two_that_are_asked_for_is_drawn_in(template: PromptTemplate) -> None:
    prompt = InteractionPrompt(template, WIDE, interaction("各地区的订单？"), count_chars, 700)
    assert "客户" in shown(prompt)


def test_the_choice_of_tables_never_depends_on_gold(template: PromptTemplate) -> None:
    prompts = [
        InteractionPrompt(template, WIDE, interaction("每个客户的订单金额？", gold_sql=gold), count_chars, 1000)
        for gold in (None, "select 内容 from 日志", "select * from 无关07")
    ]
    assert len({prompt.system_message["content"] for prompt in prompts}) == 1


def test_tables_are_chosen_once_and_all_turns_begin_alike(template: PromptTemplate) -> None:
    one = interaction("每个客户的订单金额？", "日志呢？", "地区呢？")
    prompt = InteractionPrompt(template, WIDE, one, count_chars, 1000)
    past = [Exchange("每个客户的订单金额？", "select 1"), Exchange("日志呢？", "select 2")]
    systems = [prompt.render(past[:index], index).messages[0] for index in range(3)]
    assert systems[0] == systems[1] == systems[2] == prompt.system_message
    assert "日志" in shown(prompt), "the second turn's table must be there from the first turn on"


def test_at_later_turns_only_the_oldest_go_and_the_question_stays(template: PromptTemplate) -> None:
    one = interaction("一", "二", "三", "四")
    room = count_chars([{"role": "system", "content": template.system(CITIES_TEXT)}])
    prompt = InteractionPrompt(template, CITIES, one, count_chars, room + 900)
    long_sql = "select " + "很长" * 200
    past = [Exchange("一", long_sql), Exchange("二", long_sql), Exchange("三", long_sql)]
    rendered = prompt.render(past, 3)
    assert rendered.pruned == ("turn:0",)
    assert [message["content"] for message in rendered.messages[1:]] == ["二", long_sql, "三", long_sql, "四"]
    assert count_chars(rendered.messages) <= room + 900
    exactly = InteractionPrompt(template, CITIES, one, count_chars, count_chars(rendered.messages))
    assert exactly.render(past, 3).pruned == ("turn:0",)
    one_less = InteractionPrompt(template, CITIES, one, count_chars, count_chars(rendered.messages) - 1)
    assert one_less.render(past, 3).pruned == ("turn:0", "turn:1")
    longer = prompt.render([past[0], past[1], Exchange("三", long_sql * 2)], 3)
    assert longer.pruned == ("turn:0", "turn:1")
    none = prompt.render([past[0], past[1], Exchange("三", long_sql * 3)], 3)
    assert none.pruned == ("turn:0", "turn:1", "turn:2")
    assert none.messages[1:] == [{"role": "user", "content": "四"}]


def test_tables_left_out_and_turns_left_out_are_both_told(template: PromptTemplate) -> None:
    prompt = InteractionPrompt(template, WIDE, interaction("客户的订单？", "地区？"), count_chars, 1000)
    pruned = prompt.render([Exchange("客户的订单？", "select " + "长" * 900)], 1).pruned
    assert pruned[0].startswith("table:") and pruned[-1] == "turn:0"


def test_a_question_that_does_not_fit_even_alone_is_refused_with_numbers(template: PromptTemplate) -> None:
    prompt = InteractionPrompt(template, WIDE, interaction("问" * 2000, "短"), count_chars, 1500)
    with pytest.raises(
        PromptTooLong, match=r"question q0 of 城市: wanted a prompt of at most 1500 tokens, found \d{4} "
    ) as caught:
        prompt.render([], 0)
    assert isinstance(caught.value, EngineError)
    assert "with 1 of 40 tables" in str(caught.value)
    assert prompt.render([Exchange("问" * 2000, "")], 1).pruned[-1] == "turn:0"


def test_a_long_question_costs_earlier_turns_before_it_costs_all_tables(template: PromptTemplate) -> None:
    small = count_chars([{"role": "system", "content": template.system(template.schema_text(WIDE, ["订单", "客户"]))}])
    one = interaction("客户的订单？", "问" * 300, "问" * 300)
    prompt = InteractionPrompt(template, WIDE, one, count_chars, small + 400)
    assert {"订单", "客户"} <= set(shown(prompt))


def test_counting_is_skipped_where_a_prompt_surely_fits(template: PromptTemplate) -> None:
    calls = []

    def counting(messages: Sequence[Message]) -> int:
        calls.append(len(messages))
        return count_chars(messages)

    schema = SchemaPrompt(template, CITIES)
    for _ in range(3):
        prompt = InteractionPrompt(template, schema, interaction("一", "二"), counting, PLENTY)
        prompt.render([], 0)
        prompt.render([Exchange("一", "select 1")], 1)
    assert calls == [1], "the system message alone, once for the database"
    assert prompt.system_tokens == count_chars([prompt.system_message])
