from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from t2s.engine import Message
from t2s.engine.chat import ChatTokenizer
from t2s.errors import EngineError, ModelError
from tests.engine.llama3 import LLAMA3_TEMPLATE, meta_ids, write_llama3_tokenizer

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

SYSTEM = 'CREATE TABLE 城市 (\n"城市 id" TEXT, "注册资本（万）" REAL -- 例: 1.5, 20\n);\n\n只写一条SQL。  '
TURNS: list[Message] = [
    {"role": "system", "content": SYSTEM},
    {"role": "user", "content": "哪个城市的人口最多？"},
    {"role": "assistant", "content": "select 名称 from 城市 order by 人口 desc limit 1"},
    {"role": "user", "content": "它位于哪个省份？ 12345 <|im_end|> <s>"},
]


@pytest.fixture(scope="module")
def smollm(sample_model: Path) -> ChatTokenizer:
    return ChatTokenizer(str(sample_model))


@pytest.fixture(scope="module")
def llama3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama3_tokenizer(tmp_path_factory.mktemp("llama3"))


@pytest.fixture(scope="module")
def llama3(llama3_folder: Path) -> ChatTokenizer:
    return ChatTokenizer(str(llama3_folder))


@pytest.fixture(params=["smollm", "llama3"])
def chat(request: pytest.FixtureRequest) -> ChatTokenizer:
    tokenizer: ChatTokenizer = request.getfixturevalue(request.param)
    return tokenizer


def rendered_by_transformers(chat: ChatTokenizer, messages: list[Message]) -> list[int]:
    ids: list[int] = chat.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    return ids


def test_a_prompt_has_exactly_one_bos(llama3: ChatTokenizer) -> None:
    for messages in (TURNS[:1], TURNS[:2], TURNS):
        ids = llama3.encode(messages)
        assert ids[0] == 128000 and ids.count(128000) == 1
    twice = llama3.tokenizer.encode(llama3.render(TURNS))  # what this class is there to prevent
    assert twice[:2] == [128000, 128000]


def test_smollm_begins_with_one_bos_and_opens_each_message_with_the_same_token(smollm: ChatTokenizer) -> None:
    ids = smollm.encode(TURNS)
    bos = smollm.tokenizer.bos_token_id
    assert ids[0] == bos and ids[1] != bos
    assert ids.count(bos) == len(TURNS) + 1


def test_llama3s_ids_are_those_of_metas_own_chat_format(llama3: ChatTokenizer) -> None:
    for end in (2, 4):
        assert llama3.encode(TURNS[:end]) == meta_ids(
            [{**one, "content": one["content"].strip()} for one in TURNS[:end]]
        )


def test_ids_are_the_same_with_and_without_the_schema_kept(chat: ChatTokenizer) -> None:
    for system in (SYSTEM, SYSTEM + "\n", "  x", "", "<|eot_id|>a<|im_end|> b", "12", "a" * 1000):
        for end in (1, 2, 4):
            messages: list[Message] = [{"role": "system", "content": system}, *TURNS[1:end]]
            wanted = rendered_by_transformers(chat, messages)
            assert chat.encode(messages) == wanted  # the first time
            assert chat.encode(messages) == wanted  # and with what was kept
            assert chat.count(messages) == len(wanted)
    assert chat._boundary is not None and chat._prefixes


def test_only_so_many_schemas_are_kept(chat: ChatTokenizer) -> None:
    for number in range(300):
        chat.count([{"role": "system", "content": f"库{number}"}, *TURNS[1:]])
    assert len(chat._prefixes) == 128


def test_the_answer_ends_at_the_end_of_turn_and_at_every_eos_of_the_model(
    smollm: ChatTokenizer, llama3: ChatTokenizer
) -> None:
    assert (smollm.eot, smollm.stop_token_ids) == (2, (2,))
    assert (llama3.eot, llama3.stop_token_ids) == (128009, (128001, 128009))


def copy_of(folder: Path, target: Path, template: str | None) -> Path:
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.safetensors", "chat_template.jinja"))
    if template is not None:
        (target / "chat_template.jinja").write_text(template, encoding="utf-8")
    return target


def test_the_end_of_turn_stops_also_where_no_file_of_the_model_says_so(llama3_folder: Path, tmp_path: Path) -> None:
    folder = copy_of(llama3_folder, tmp_path / "copy", LLAMA3_TEMPLATE)
    (folder / "generation_config.json").unlink()
    assert ChatTokenizer(str(folder)).stop_token_ids == (128001, 128009)


def test_a_model_without_a_chat_template_is_refused_and_says_which_file_it_lacks(
    sample_model: Path, tmp_path: Path
) -> None:
    folder = copy_of(sample_model, tmp_path / "copy", None)
    with pytest.raises(ModelError, match=r"chat_template\.jinja"):
        ChatTokenizer(str(folder))


def test_a_template_that_takes_no_system_message_is_refused(sample_model: Path, tmp_path: Path) -> None:
    template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    with pytest.raises(ModelError, match="no system role"):
        ChatTokenizer(str(copy_of(sample_model, tmp_path / "copy", template)))


def test_messages_that_the_template_refuses_fail_alone(sample_model: Path, tmp_path: Path) -> None:
    template = "{% for m in messages %}{% if m['content'] == 'bad' %}{{ raise_exception('bad') }}{% endif %}"
    template += "{{ m['content'] }}<|im_end|>{% endfor %}"
    chat = ChatTokenizer(str(copy_of(sample_model, tmp_path / "copy", template)))
    bad: list[Message] = [{"role": "system", "content": "x"}, {"role": "user", "content": "bad"}]
    with pytest.raises(EngineError, match="system, user"):
        chat.encode(bad)
    assert chat.encode(bad[:1])


@pytest.mark.parametrize("content", [None, "{}", "no json"])
def test_a_folder_without_a_usable_tokenizer_is_refused(tmp_path: Path, content: Any) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match="tokenizer"):
        ChatTokenizer(str(tmp_path))
