"""Which files of a folder belong to the model in it, and which of them are its tokenizer's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

_TOKENIZER_FILES = frozenset(
    {
        "generation_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
        "spiece.model",
    }
)  # fmt: skip


def is_model_file(path: Path) -> bool:
    """Whether a file belongs to the model: configuration, weights (safetensors alone), tokenizer."""
    weights = path.suffix == ".safetensors" or path.name == "model.safetensors.index.json"
    return path.is_file() and (weights or path.name == "config.json" or is_tokenizer_file(path))


def is_tokenizer_file(path: Path) -> bool:
    """Whether a file decides what text becomes of messages, what ids of a text, and which ids end an answer."""
    return path.name in _TOKENIZER_FILES or path.name.startswith(("tokenizer", "chat_template."))


def copy_tokenizer(source: Path, target: Path) -> None:
    """Put a model's own tokenizer, chat template and stop tokens in place of another's.

    Both folders have a config.json; what the source's says of special tokens goes into the target's.
    """
    for path in [path for path in target.iterdir() if is_tokenizer_file(path)]:
        path.unlink()
    for path in source.iterdir():
        if is_tokenizer_file(path):
            shutil.copyfile(path, target / path.name)
    own, config = (json.loads((folder / "config.json").read_bytes()) for folder in (source, target))
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        config.pop(key, None)
        if key in own:
            config[key] = own[key]
    (target / "config.json").write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def name_base_model(adapter_config: Path, model_uri: str) -> None:
    """Put the model's URI where peft has written a node's path of it."""
    config = json.loads(adapter_config.read_bytes())
    config["base_model_name_or_path"] = model_uri
    adapter_config.write_text(json.dumps(config, ensure_ascii=False, indent=2), encoding="utf-8")
