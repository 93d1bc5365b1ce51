"""A model folder of Llama-3-8B's shape without its weights: real tokenizer and chat format, nothing to download.

    .venvs/predict-cpu/bin/python scripts/bench/gpu_model.py models/llama3-8b-shape

vLLM fills it with random weights (`vllm.load_format: dummy`), so it answers at the real model's speed, in no language.
The vocabulary comes out of the package `llama-models` (Meta's licence, never committed), which `make setup-predict`
unpacks. The one weight in `model.safetensors` is there because t2s takes no model folder without weights; nobody reads
it.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from t2s.errors import ModelError
from t2s.sample_model import SAMPLE_WHEEL_ROOT

NAME = "llama3-8b-shape"

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "rope_theta": 500000.0,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.40.0.dev0",  # as Meta's own says; without it transformers suspects a Mistral tokenizer
    "tie_word_embeddings": False,
}

# The 256 ids behind the 128,000 of the vocabulary file (meta-llama/llama-models, llama3/tokenizer.py).
_NAMED = {0: "begin_of_text", 1: "end_of_text", 6: "start_header_id", 7: "end_header_id", 9: "eot_id"}
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
    "{{ message.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


def special_tokens() -> list[str]:
    """Llama 3's 256 special tokens, in the order of their ids."""
    reserved = iter(range(256))
    return [f"<|{_NAMED[index] if index in _NAMED else _reserved(next(reserved))}|>" for index in range(256)]


def _reserved(number: int) -> str:
    return f"reserved_special_token_{number}"


def ensure_llama3_shape(folder: Path, wheel_root: Path = SAMPLE_WHEEL_ROOT) -> Path:
    """Return the folder, making it on first use (5 s, most of it imports).

    Args:
        folder: The model folder.
        wheel_root: Where `llama-models` is unpacked; not looked at when the folder is there.

    Raises:
        ModelError: The vocabulary is not under `wheel_root`.
    """
    if (folder / "config.json").is_file():  # written last
        return folder
    vocabulary = wheel_root / "llama_models" / "llama3" / "tokenizer.model"
    if not vocabulary.is_file():
        raise ModelError(f"{vocabulary}: wanted Llama 3's vocabulary, found no such file; run: make setup-predict")
    folder.mkdir(parents=True, exist_ok=True)
    _write_tokenizer(vocabulary, folder)
    _write_json(folder / "generation_config.json", {"bos_token_id": 128000, "eos_token_id": [128001, 128009]})
    header = json.dumps({"unread": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(2))
    _write_json(folder / "config.json", CONFIG)
    return folder


def _write_tokenizer(vocabulary: Path, folder: Path) -> None:
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import TikTokenConverter

    special = special_tokens()
    converted = TikTokenConverter(str(vocabulary), pattern=_SPLIT, extra_special_tokens=special).converted()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=converted, bos_token=special[0], eos_token=special[1])
    tokenizer.chat_template = _CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    print(ensure_llama3_shape(Path(sys.argv[1])))
