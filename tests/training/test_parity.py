"""The gate: LLaMA-Factory's own dataset code against the inference side, with templates that are wrong on purpose."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from t2s.engine import Message
from t2s.engine.chat import ChatTokenizer
from t2s.errors import DatasetError, MissingExtra, ParityError, SettingsError
from t2s.prepare_config import ExampleForm
from t2s.sample_model import ensure_sample_model
from t2s.training import llamafactory_args, upstream_examples
from t2s.training.parity import IGNORE, Encoded, Training, first_difference
from t2s.training.sft import dataset_info
from t2s.training.sft_folder import open_sft_folder
from t2s.training.upstream_examples import Examined, encode_upstream, examine
from tests.engine.llama3 import meta_ids, write_llama3_tokenizer
from tests.training.tiny import example_messages, write_prepared

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.train,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

SYSTEM: Message = {"role": "system", "content": "CREATE TABLE 城市 (id TEXT);\n\n只写 SQL。"}
QUESTION: Message = {"role": "user", "content": "它们有几个？"}
ANSWER: Message = {"role": "assistant", "content": "select count(*) from 城市"}

Gate = Callable[..., Examined]


@pytest.fixture(scope="session")
def smollm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small real model's tokenizer; its weights are not needed."""
    try:
        return ensure_sample_model(ROOT / "models")
    except MissingExtra as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def llama3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_llama3_tokenizer(tmp_path_factory.mktemp("llama3"))
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture(scope="session", autouse=True)
def wrong_templates() -> Iterator[None]:
    """Llama 3's template with one thing wrong in each."""
    from llamafactory.data.formatter import EmptyFormatter, StringFormatter
    from llamafactory.data.template import TEMPLATES, register_template

    def register(name: str, **changes: Any) -> None:
        head = "<|start_header_id|>{}<|end_header_id|>\n\n"
        slots = {
            "format_user": [head.format("user") + "{{content}}<|eot_id|>" + head.format("assistant")],
            "format_assistant": ["{{content}}<|eot_id|>"],
            "format_system": [head.format("system") + "{{content}}<|eot_id|>"],
            **changes,
        }
        prefix = slots.pop("format_prefix", [{"bos_token"}])
        formatters = {key: StringFormatter(slots=value) for key, value in slots.items()}
        register_template(
            name=name, **formatters, format_prefix=EmptyFormatter(slots=prefix), stop_words=["<|eot_id|>"]
        )

    before = set(TEMPLATES)
    register("right")
    register("two_bos", format_prefix=[{"bos_token"}, {"bos_token"}])
    register("no_bos", format_prefix=[""])
    register("no_stop", format_assistant=["{{content}}"])
    register("other_stop", format_assistant=["{{content}}", {"eos_token"}])
    register("other_history", format_assistant=["{{content}}<|eot_id|>\n"])
    register("other_header", format_system=["<|start_header_id|>System<|end_header_id|>\n\n{{content}}<|eot_id|>"])
    register(
        "other_question",
        format_user=[
            "<|start_header_id|>user<|end_header_id|>\n\n问：{{content}}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
        ],
    )
    yield
    for name in set(TEMPLATES) - before:
        del TEMPLATES[name]


@functools.cache
def chat_of(model: Path) -> ChatTokenizer:
    return ChatTokenizer(str(model))


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """Runs the gate on a model and examples, with some upstream keys."""

    def run(model: Path, *, allow_cut: bool = False, prepared: Path | None = None, **block: Any) -> Examined:
        folder = prepared or write_prepared(tmp_path / "prepared", 6, cutoff_len=None)
        sft = open_sft_folder(str(folder), str(tmp_path / "cache"))
        args = llamafactory_args.compose(block, sft.keys, use_gpu=False)
        places = {"model_path": str(model), "sft_path": str(sft.path), "work_dir": str(tmp_path / "work")}
        checked = llamafactory_args.checked(llamafactory_args.with_places(args, **places, use_gpu=False))
        return examine(checked, sft, chat_of(model), allow_cut=allow_cut)

    return run


@pytest.mark.parametrize("template", ["smollm2", "chatml", None])
def test_smollm2s_own_templates_pass(smollm: Path, gate: Gate, template: str | None) -> None:
    assert gate(smollm, template=template).num_examples == 6


@pytest.mark.parametrize("template", ["llama3", "right", None])
def test_llama3s_own_templates_pass(llama3: Path, gate: Gate, template: str | None) -> None:
    found = gate(llama3, template=template)
    assert (found.num_examples, found.num_cut) == (6, 0)


@pytest.mark.parametrize(
    "block", [{"mask_history": True}, {"train_on_prompt": True}, {"packing": True}, {"neat_packing": True}]
)
def test_what_is_trained_on_may_be_chosen(smollm: Path, tmp_path: Path, gate: Gate, block: dict[str, Any]) -> None:
    form: ExampleForm = "turn" if "mask_history" in block else "interaction"
    prepared = write_prepared(tmp_path / "chosen", 4, form=form, cutoff_len=None)
    keys = json.loads((prepared / "prepare" / "done.json").read_bytes())
    keys["llamafactory"].pop("train_on_prompt")
    (prepared / "prepare" / "done.json").write_text(json.dumps(keys), encoding="utf-8")
    assert gate(smollm, prepared=prepared, template="smollm2", **block).num_examples == 4


def test_llamafactorys_llama3_is_metas_own_chat_format(llama3: Path, tmp_path: Path) -> None:
    sft = open_sft_folder(str(write_prepared(tmp_path / "prepared", 3)), str(tmp_path / "cache"))
    args = llamafactory_args.compose({"template": "llama3"}, sft.keys, use_gpu=False)
    places = {"model_path": str(llama3), "sft_path": str(sft.path), "work_dir": str(tmp_path / "work")}
    encoded = encode_upstream(llamafactory_args.with_places(args, **places, use_gpu=False), sft)
    for number, (ids, labels) in enumerate(encoded):
        messages = example_messages(number)
        prompt = meta_ids(messages[:-1])
        assert ids[: len(prompt)] == prompt
        assert meta_ids(messages)[: len(ids)] == ids
        assert labels[len(prompt) :] == ids[len(prompt) :] and ids[-1] == 128009


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        (
            "two_bos",
            [r"Turn 1, token 1: two BOS tokens instead of one", r"LLaMA-Factory:   '<\|begin_of_text\|>' \(128000\)"],
        ),
        ("no_bos", [r"Turn 1, token 0: another beginning", r"predict:         '<\|begin_of_text\|>'"]),
        ("chatml", [r"token 0: another beginning: the template of another model", r"LLaMA-Factory:   '' \(128257\)"]),
        ("other_header", [r"token 2: another beginning", r"predict:         'system'", r"LLaMA-Factory:   'System'"]),
        ("other_question", [r"Turn 1, .*the question is rendered otherwise", r"predict:         '第'"]),
        ("no_stop", [r"Turn 1, .*no stop token '<\|eot_id\|>' \(128009\) behind the answer"]),
        ("other_stop", [r"no stop token '<\|eot_id\|>'", r"LLaMA-Factory:   '<\|end_of_text\|>' \(128001\)"]),
        (
            "other_history",
            [r"Turn 2, .*the history is rendered otherwise", r"both begin: .*select 0 from 城市0<\|eot_id\|>'"],
        ),
    ],
)
def test_a_wrong_template_is_refused_with_the_first_difference(
    llama3: Path, gate: Gate, template: str, wanted: Sequence[str]
) -> None:
    with pytest.raises(ParityError) as refusal:
        gate(llama3, template=template)
    for pattern in wanted:
        assert refusal.match(pattern)
    assert "Nothing was trained." in str(refusal.value)


def test_an_example_without_system_message_is_refused_where_the_default_systems_differ(
    smollm: Path, tmp_path: Path, gate: Gate
) -> None:
    prepared = write_prepared(tmp_path / "no-system", examples=[[QUESTION, ANSWER]])
    with pytest.raises(ParityError, match=r"another system message") as refusal:
        gate(smollm, prepared=prepared, template="smollm2")
    assert "named SmolLM, trained by Hugging Face'\n" in str(refusal.value)
    assert refusal.match(r"LLaMA-Factory:   '\.' \(30\)")


def test_a_text_that_the_models_template_trims_is_refused(llama3: Path, tmp_path: Path, gate: Gate) -> None:
    spaced: Message = {"role": "user", "content": "它们有几个？ "}
    prepared = write_prepared(tmp_path / "spaced", examples=[[SYSTEM, QUESTION, ANSWER], [SYSTEM, spaced, ANSWER]])
    with pytest.raises(ParityError, match="example 2 of 2"):
        gate(llama3, prepared=prepared, template="llama3")


def test_examples_that_llamafactory_drops_without_a_word_are_noticed(smollm: Path, tmp_path: Path, gate: Gate) -> None:
    info = dataset_info(("train", "test"))
    del info["t2s_train"]["tags"]["system_tag"]
    prepared = write_prepared(tmp_path / "untagged", 3, info=info)
    with pytest.raises(DatasetError, match="valid samples"):  # all of them
        gate(smollm, prepared=prepared, template="smollm2")
    odd = [example_messages(0), [SYSTEM, QUESTION, QUESTION, ANSWER]]
    with pytest.raises(ParityError, match="makes 1 examples of 2"):
        gate(smollm, prepared=write_prepared(tmp_path / "odd", examples=odd), template="smollm2")


def test_labels_on_what_is_no_answer_and_answers_without_labels_are_noticed(llama3: Path) -> None:
    chat = chat_of(llama3)
    messages = example_messages(0)
    ids = chat.encode_whole(messages)
    start, end = len(chat.encode(messages[:2])), len(chat.encode_whole(messages[:3]))
    right = [IGNORE] * len(ids)
    right[start:end] = ids[start:end]
    last = len(chat.encode(messages[:4]))
    right[last:] = ids[last:]
    both, only_last = Training(history=True), Training(history=False)
    assert first_difference(Encoded(ids, right), messages, chat, both) is None

    assert "is no part of an answer" in str(first_difference(Encoded(ids, right), messages, chat, only_last))
    assert "is no part of an answer" in str(first_difference(Encoded(ids, ids), messages, chat, both))
    assert first_difference(Encoded(ids, ids), messages, chat, Training(prompt=True)) is None
    no_stop = [*right[:-1], IGNORE]
    assert "the stop token, '<|eot_id|>' (128009), is not trained on" in str(
        first_difference(Encoded(ids, no_stop), messages, chat, both)
    )
    shifted = [*right[1:], IGNORE]
    assert "a token of the answer" in str(first_difference(Encoded(ids, shifted), messages, chat, both))
    longer = Encoded([*ids, 1, 2], [*right, 1, 2])
    assert "Behind the last answer stands" in str(first_difference(longer, messages, chat, both))


def test_a_cutoff_that_would_cut_is_refused_unless_it_is_asked_for(smollm: Path, gate: Gate, tmp_path: Path) -> None:
    prepared = write_prepared(tmp_path / "long", 5, cutoff_len=None)
    longest = gate(smollm, prepared=prepared, template="smollm2").longest_tokens
    assert gate(smollm, prepared=prepared, template="smollm2", cutoff_len=longest).num_cut == 0
    with pytest.raises(
        SettingsError, match=rf"longest example, {longest} tokens, found {longest - 1}.* at least {longest},"
    ):
        gate(smollm, prepared=prepared, template="smollm2", cutoff_len=longest - 1)
    with pytest.raises(SettingsError, match=rf"at least {longest + 1},"):  # packing keeps one for itself
        gate(smollm, prepared=prepared, template="smollm2", cutoff_len=longest, packing=True)
    assert gate(smollm, prepared=prepared, allow_cut=True, template="smollm2", cutoff_len=longest - 1).num_cut > 0


def test_of_many_examples_some_are_looked_at_the_longest_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = [100] * 10_000
    lengths[4567] = 101
    chosen = upstream_examples._spread(lengths)
    assert len(chosen) in (2000, 2001) and 4567 in chosen and chosen == sorted(set(chosen))
    assert upstream_examples._spread([1, 2, 3]) == [0, 1, 2]
