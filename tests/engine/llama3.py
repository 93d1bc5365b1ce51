"""Llama 3's tokenizer as a model folder, out of the vocabulary that a package ships; and Meta's own chat format."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from t2s.engine import Message
from t2s.sample_model import SAMPLE_WHEEL_ROOT

LLAMA3_TEMPLATE = (
    "{% for message in messages %}"
    "{% set text = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + "
    "'<|eot_id|>' %}{% if loop.first %}{{ bos_token }}{% endif %}{{ text }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
LLAMA3_SPECIAL = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    *(f"<|reserved_special_token_{index}|>" for index in range(4)),
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|reserved_special_token_4|>",
    "<|eot_id|>",
    *(f"<|reserved_special_token_{index}|>" for index in range(5, 251)),
]


def llama3_vocabulary() -> Path:
    """Llama 3's `tokenizer.model`; skips the test where the package is not."""
    file = SAMPLE_WHEEL_ROOT / "llama_models" / "llama3" / "tokenizer.model"
    if not file.is_file():
        pytest.skip(f"{file} is not there: make setup-predict")
    return file


def write_llama3_tokenizer(folder: Path) -> Path:
    """As its repository has it: a tokenizer that adds BOS to every text that it is given."""
    from tokenizers.processors import Sequence as Processors
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import TikTokenConverter

    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    vocabulary = str(llama3_vocabulary())
    fast = TikTokenConverter(vocabulary, pattern=pattern, extra_special_tokens=LLAMA3_SPECIAL).converted()
    bos = TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", fast.token_to_id("<|begin_of_text|>"))]
    )
    fast.post_processor = Processors([fast.post_processor, bos])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=fast, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>"
    )
    tokenizer.chat_template = LLAMA3_TEMPLATE
    tokenizer.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [128001, 128009]}), encoding="utf-8")
    return folder


def meta_ids(messages: Sequence[Message]) -> list[int]:
    """A prompt's ids by Meta's own ChatFormat, the header of the answer included: the oracle."""
    llama3_vocabulary()
    sys.path.insert(0, str(SAMPLE_WHEEL_ROOT))
    try:
        from llama_models.datatypes import RawMessage
        from llama_models.llama3.chat_format import ChatFormat
        from llama_models.llama3.tokenizer import Tokenizer
    finally:
        sys.path.remove(str(SAMPLE_WHEEL_ROOT))
    dialog = [
        RawMessage(**message, **({"stop_reason": "end_of_turn"} if message["role"] == "assistant" else {}))
        for message in messages
    ]
    ids: list[int] = ChatFormat(Tokenizer.get_instance()).encode_dialog_prompt(dialog).tokens
    return ids
