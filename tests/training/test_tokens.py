"""Lengths are the tokens that predict and LLaMA-Factory see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from t2s.dataset import find_databases, read_interactions
from t2s.engine import Message
from t2s.errors import ModelError
from t2s.prompt import PromptConfig, PromptTemplate
from t2s.sample_model import SAMPLE_WHEEL_ROOT, ensure_sample_model
from t2s.training.sft import Example, ExampleMaker
from t2s.training.tokens import CharacterLengths, Lengths, open_lengths
from tests.training.byte_tokenizer import write_byte_tokenizer

ROOT = Path(__file__).resolve().parents[2]

TURNS: list[Message] = [
    {"role": "system", "content": "CREATE TABLE 城市 (名称 TEXT);\n\n只写一条SQL。"},
    {"role": "user", "content": "有几个？"},
    {"role": "assistant", "content": "select count(*) from 城市"},
]
# Bytes of the contents, and four of each message's own: the two special tokens, "\n" behind each; the role's name.
_CONTENT = sum(len(message["content"].encode()) + len(message["role"]) + 4 for message in TURNS)
_HEADER = 1 + len("assistant\n")


def needs_tokenizers() -> None:
    pytest.importorskip("tokenizers", reason="the package tokenizers is not in this environment")


@pytest.fixture
def byte_folder(tmp_path: Path) -> Path:
    needs_tokenizers()
    return write_byte_tokenizer(tmp_path / "model")


def opened(folder: Path, cache: Path | None = None) -> Lengths:
    return open_lengths(str(folder), "models", str(cache or folder.parent / "cache"))


def test_without_a_model_lengths_are_characters() -> None:
    lengths = open_lengths(None, "models", "cache")
    assert isinstance(lengths, CharacterLengths)
    assert lengths.unit == "characters"
    assert lengths.example(TURNS) == sum(len(message["content"]) for message in TURNS)
    assert lengths.answer("select 名称") == 9


def test_tokens_are_those_of_the_chat_template_with_the_answers_header_or_its_end(byte_folder: Path) -> None:
    lengths = opened(byte_folder)
    assert (lengths.unit, lengths.context_tokens) == ("tokens", 4096)
    assert lengths.example(TURNS) == _CONTENT
    assert lengths.prompt(TURNS) == _CONTENT + _HEADER
    assert lengths.prompt(TURNS[:2]) == lengths.example(TURNS) - lengths.answer(TURNS[2]["content"])
    assert lengths.answer("select 名称") == len("select 名称".encode()) + len("\n") + 1


def test_the_second_question_to_a_schema_is_counted_like_the_first(byte_folder: Path) -> None:
    lengths = opened(byte_folder)
    other: list[Message] = [TURNS[0], {"role": "user", "content": "<|im_end|>还有呢？"}]
    fresh = opened(byte_folder).prompt(other)
    lengths.prompt(TURNS)
    assert lengths.prompt(other) == fresh == lengths.prompt(other)


def test_a_tokenizer_is_known_by_its_content_wherever_it_lies(byte_folder: Path, tmp_path: Path) -> None:
    other = write_byte_tokenizer(tmp_path / "elsewhere" / "model")
    (other / "model.safetensors").write_bytes(b"never read")
    assert opened(byte_folder).digest == opened(other).digest
    config = json.loads((other / "tokenizer_config.json").read_text(encoding="utf-8"))
    (other / "tokenizer_config.json").write_text(json.dumps({**config, "pad_token": "<|pad|>"}), encoding="utf-8")
    assert opened(byte_folder).digest != opened(other).digest


TEMPLATES: dict[str, str] = {
    "generation": "{% for m in messages %}{% generation %}{{ m['content'] }}{% endgeneration %}{% endfor %}",
    "loops": "{% for m in messages %}{% if loop.index > 3 %}{% break %}{% endif %}{{ m['content'] }}{% endfor %}",
    "a date": "{{ strftime_now('%Y')[:0] }}{% for m in messages %}{{ m['content'] }}{% endfor %}",
    "tokens by name": "{% for m in messages %}{{ m['content'] }}{% endfor %}{{ eos_token[:0] }}",
    "json": "{% for m in messages %}{{ (m['content'] | tojson)[1:-1] }}{% endfor %}",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_find_what_transformers_gives_them(byte_folder: Path, name: str) -> None:
    (byte_folder / "chat_template.jinja").write_text(TEMPLATES[name], encoding="utf-8")
    one_line: list[Message] = [{"role": "system", "content": "城市"}, *TURNS[1:]]
    assert opened(byte_folder).example(one_line) == sum(len(message["content"].encode()) for message in one_line)


def edited(name: str, change: Any) -> Any:
    def edit(folder: Path) -> None:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
        change(found)
        (folder / name).write_text(json.dumps(found), encoding="utf-8")

    return edit


def only_sentencepiece(folder: Path) -> None:
    (folder / "tokenizer.json").rename(folder / "tokenizer.model")


def emptied(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


WRONG: dict[str, tuple[Any, str]] = {
    "no folder": (emptied, "wanted a model's folder, found no files; set model_uri"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), r"wanted a tokenizer \(tokenizer.json\)"),
    "sentencepiece alone": (only_sentencepiece, "save_pretrained writes it from tokenizer.model"),
    "half a tokenizer": (
        lambda folder: (folder / "tokenizer.json").write_text('{"version": "1.0", "model": {'),
        r"tokenizer\.json: wanted a tokenizer, found",
    ),
    "no template": (
        edited("tokenizer_config.json", lambda found: found.pop("chat_template")),
        "wanted a chat template, found neither",
    ),
    "a broken template": (
        edited("tokenizer_config.json", lambda found: found.update(chat_template="{% for m in %}")),
        "its chat template cannot be read",
    ),
    "a template without system messages": (
        edited("tokenizer_config.json", lambda found: found.update(chat_template="{{ raise_exception('no system') }}")),
        r"its chat template refuses the messages \(system, user, assistant\): no system",
    ),
    "config.json of another kind": (lambda folder: (folder / "config.json").write_text("[]"), "wanted a JSON object"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_tokenizer_that_is_not_whole_is_one_clear_line(byte_folder: Path, name: str) -> None:
    spoil, said = WRONG[name]
    spoil(byte_folder)
    with pytest.raises(ModelError, match=said):
        opened(byte_folder)


def examples(dataset: Path, databases: Path, cache: Path) -> Iterator[Example]:
    found = find_databases(str(databases), cache_dir=cache)
    maker = ExampleMaker(PromptTemplate(PromptConfig()), found, "turn", CharacterLengths().prompt, 1 << 40)
    for one in read_interactions(str(dataset))[:60]:
        yield from maker.examples(one, "gold", [turn.gold_sql or "" for turn in one.turns])


@pytest.fixture
def llama3_folder(tmp_path: Path) -> Path:
    """Llama 3's tokenizer as its repository has it: adds BOS to every text that it is given."""
    vocabulary = SAMPLE_WHEEL_ROOT / "llama_models" / "llama3" / "tokenizer.model"
    if not vocabulary.is_file():
        pytest.skip(f"{vocabulary} is not there: make setup-predict")
    from tokenizers.processors import Sequence, TemplateProcessing
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import TikTokenConverter

    special = ["<|begin_of_text|>", "<|end_of_text|>", *(f"<|reserved_special_token_{index}|>" for index in range(4))]
    special += ["<|start_header_id|>", "<|end_header_id|>", "<|reserved_special_token_4|>", "<|eot_id|>"]
    special += [f"<|reserved_special_token_{index}|>" for index in range(5, 251)]
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    fast = TikTokenConverter(str(vocabulary), pattern=pattern, extra_special_tokens=special).converted()
    bos = TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", fast.token_to_id("<|begin_of_text|>"))]
    )
    fast.post_processor = Sequence([fast.post_processor, bos])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=fast, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>")
    tokenizer.chat_template = (
        "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + "
        "'<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    )
    tokenizer.save_pretrained(tmp_path / "llama3")
    return tmp_path / "llama3"


@pytest.mark.engine
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("model", ["smollm2", "llama3"])
def test_every_length_is_what_transformers_counts(
    model: str, request: pytest.FixtureRequest, shared: Path, tmp_path: Path
) -> None:
    from t2s.engine.chat import ChatTokenizer

    if model == "smollm2":
        folder = ensure_sample_model(ROOT / "models")
    else:
        folder = request.getfixturevalue("llama3_folder")
    lengths, theirs = opened(folder, tmp_path / "cache"), ChatTokenizer(str(folder))
    chase = shared / "data" / "chase_c" / "train_data"
    number = 0
    for example in examples(chase, chase / "database", tmp_path / "cache"):
        whole = theirs.tokenizer.encode(theirs.render(example.messages, False), add_special_tokens=False)
        assert lengths.prompt(example.messages[:-1]) == theirs.count(example.messages[:-1])
        assert lengths.example(example.messages) == len(whole)
        number += 1
    assert number > 200
