"""A model of two layers with a byte tokenizer, and prepare's output of a few dozen examples: a step is milliseconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from t2s.engine import Message
from t2s.prepare_config import ExampleForm
from t2s.prompt import PromptConfig
from t2s.training.prepared import Prepared
from t2s.training.sft import PARTS, Part, dataset_info, file_name, llamafactory_keys
from tests.training.byte_tokenizer import write_byte_tokenizer

PROMPT_DIGEST = "5" * 64


def write_model(folder: Path, seed: int = 0, hidden_size: int = 32) -> Path:
    """Random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    write_byte_tokenizer(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=264,
        hidden_size=hidden_size,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=256,
        eos_token_id=257,
        pad_token_id=257,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def example_messages(number: int, num_turns: int = 2) -> list[Message]:
    """Messages of one example; the last one is an answer."""
    messages: list[Message] = [{"role": "system", "content": f'CREATE TABLE 城市{number} ("id" TEXT);\n\n只写 SQL。'}]
    for turn in range(num_turns):
        messages.append({"role": "user", "content": f"第{turn}问：{number}？"})
        messages.append({"role": "assistant", "content": f"select {turn} from 城市{number}"})
    return messages


def write_prepared(
    folder: Path,
    num_examples: int = 24,
    *,
    form: ExampleForm = "interaction",
    parts: Sequence[Part] = PARTS,
    examples: Sequence[list[Message]] | None = None,
    cutoff_len: int | None = 256,
    info: dict[str, Any] | None = None,
    history: Literal["gold", "none"] = "gold",
) -> Path:
    """What prepare leaves; `examples` stand for the training part, `info` for its dataset_info.json."""
    sft = folder / "sft"
    sft.mkdir(parents=True)
    train = examples if examples is not None else [example_messages(number) for number in range(num_examples)]
    content = {"train": train, "test": [example_messages(1000 + number) for number in range(4)]}
    for part in parts:
        lines = (json.dumps({"messages": messages}, ensure_ascii=False) + "\n" for messages in content[part])
        (sft / file_name(part)).write_text("".join(lines), encoding="utf-8")
    (sft / "dataset_info.json").write_text(json.dumps(info or dataset_info(parts)), encoding="utf-8")
    keys = llamafactory_keys(form, parts, cutoff_len)
    (sft / "llamafactory.json").write_text(json.dumps(keys), encoding="utf-8")
    prepared = Prepared(
        plan_digest="1" * 64,
        digest="2" * 64,
        files={f"sft/{path.name}": "3" * 64 for path in sft.iterdir()},
        num_examples={part: len(content[part]) for part in parts},
        example_form=form,
        history={part: history for part in parts},
        prompt=PromptConfig(),
        prompt_digest=PROMPT_DIGEST,
        tokenizer_digest="characters",
        max_model_len_tokens=None,
        llamafactory=keys,
    )
    (folder / "prepare").mkdir()
    (folder / "prepare" / "done.json").write_text(prepared.model_dump_json(), encoding="utf-8")
    return folder
