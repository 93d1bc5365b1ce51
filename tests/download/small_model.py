"""A model of a few hundred kilobytes with everything that a real one has: shards, an index, a tokenizer, a template."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping

from tests.hub_server_repos import sha256

_DTYPE_BYTES = {"BF16": 2, "F32": 4}


def safetensors(tensors: Mapping[str, tuple[int, ...]], dtype: str = "BF16", seed: int = 0) -> bytes:
    """A safetensors file with these tensors, by name and shape; its bytes follow from `seed`."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in tensors.items():
        start, end = end, end + math.prod(shape) * _DTYPE_BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    block = bytes.fromhex(sha256(str(seed).encode())) * 128
    return struct.pack("<Q", len(text)) + text + (block * (end // len(block) + 1))[:end]


def small_model(num_shards: int = 2, values: int = 60_000, seed: int = 0) -> dict[str, bytes]:
    """Files of a model by name; each shard holds one tensor of so many BF16 values, and one of ten."""
    weight_map: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for number in range(1, num_shards + 1):
        shard = f"model-{number:05}-of-{num_shards:05}.safetensors"
        tensors = {f"layers.{number}.weight": (values // 10, 10), f"layers.{number}.bias": (10,)}
        files[shard] = safetensors(tensors, seed=100 * seed + number)
        weight_map |= dict.fromkeys(tensors, shard)
    vocab = {chr(97 + number): number for number in range(26)} | {"ab": 26, "<|end|>": 27}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "pre_tokenizer": None,
        "post_processor": None, "decoder": None,
        "added_tokens": [
            {"id": 27, "content": "<|end|>", "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True}
        ],
        "model": {"type": "BPE", "vocab": vocab, "merges": ["a b"]},
    }  # fmt: skip
    template = "{% for message in messages %}{{ message.content }}<|end|>{% endfor %}"
    return files | {
        "config.json": json.dumps({"architectures": ["LlamaForCausalLM"], "hidden_size": 10}).encode(),
        "generation_config.json": b"{}",
        "model.safetensors.index.json": json.dumps({"metadata": {}, "weight_map": weight_map}).encode(),
        "tokenizer.json": json.dumps(tokenizer).encode(),
        "tokenizer_config.json": json.dumps({"chat_template": template}).encode(),
        "README.md": "---\nlicense: apache-2.0\n---\n# 小模型\n".encode(),
    }


def others() -> dict[str, bytes]:
    """What repositories hold beside, and nobody here wants."""
    return {
        ".gitattributes": b"*.safetensors filter=lfs",
        "pytorch_model.bin": b"\x80\x02pickle" + bytes(20_000),
        "original/consolidated.00.pth": b"PK\x03\x04" + bytes(20_000),
        "original/params.json": b"{}",
        "onnx/model.onnx": bytes(100),
    }
