"""A model or adapter as a local folder: fetched through the node cache, and whole before anything loads it.

models/smollm2-135m-instruct/
    config.json  generation_config.json  tokenizer.json  tokenizer_config.json  chat_template.jinja
    model.safetensors        or model-0000k-of-0000n.safetensors + model.safetensors.index.json
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

from t2s.errors import ModelError, ObjectMissing
from t2s.storage.cache import CachedFolder, NodeCache

SAMPLE = "sample"
"""`model_uri: sample` is the small model that a Python package ships (see sample_model.py)."""

_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")


def resolve_model(model_uri: str | None, models_dir: str, cache_dir: str) -> CachedFolder:
    """Bring a model or adapter to this node and check it.

    Args:
        model_uri: A folder, `file://`, `s3://`, or `sample`.
        models_dir: Where the packaged small model is made on first use.
        cache_dir: Root of the node cache.

    Raises:
        ModelError: The folder is not a whole model; says which file.
    """
    if model_uri is None:
        raise ModelError("engine.model_uri: wanted a model folder (or the word sample), found nothing")
    if model_uri == SAMPLE:
        from t2s.sample_model import ensure_sample_model

        model_uri = str(ensure_sample_model(Path(models_dir)))
    try:
        folder = NodeCache(Path(cache_dir).expanduser()).folder(model_uri)
    except ObjectMissing as error:
        raise ModelError(f"{model_uri}: wanted a model folder with config.json in it, found no files") from error
    if (folder.path / "adapter_config.json").is_file():
        check_weights(folder.path, "adapter_model")
    else:
        check_model(folder.path)
    return folder


def check_model(path: Path) -> None:
    """Raise `ModelError` unless the folder holds a whole model: configuration, tokenizer, every weight."""
    if not path.is_dir():
        raise ModelError(f"{path}: wanted a model folder, found {'a file' if path.exists() else 'nothing'}")
    config = path / "config.json"
    if not config.is_file():
        raise ModelError(f"{path}: wanted a model folder, found no config.json in it")
    try:
        json.loads(config.read_bytes())
    except ValueError as error:
        raise ModelError(f"{config}: wanted JSON, found {error}; fetch the model again") from error
    if not any((path / name).is_file() for name in _TOKENIZERS):
        raise ModelError(f"{path}: wanted a tokenizer ({' or '.join(_TOKENIZERS)}), found none")
    check_weights(path, "model")


def check_weights(path: Path, stem: str) -> None:
    """Raise `ModelError` unless all safetensors files are there with all the bytes that their headers promise."""
    index = path / f"{stem}.safetensors.index.json"
    if index.is_file():
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    else:
        names = [f"{stem}.safetensors"]
    for name in names:
        if not (path / name).is_file():
            pickles = sorted(file.name for file in path.iterdir() if file.suffix in (".bin", ".pth", ".pt"))
            hint = f"; it has {', '.join(pickles)}, but pickles are never loaded" if pickles else ""
            raise ModelError(f"{path}: wanted the weights {name}, found no such file{hint}")
        _check_size(path / name)


def _check_size(file: Path) -> None:
    # safetensors: 8 bytes little-endian header length, the header as JSON, then the tensors up to the last offset.
    size = file.stat().st_size
    with file.open("rb") as stream:
        try:
            (header_length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(header_length)) if header_length < size else None
        except (struct.error, ValueError) as error:
            raise ModelError(f"{file}: wanted a safetensors file, found an unreadable header ({error})") from error
    if header is None:
        raise ModelError(f"{file}: wanted a safetensors file, found {size} bytes, less than its header")
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    wanted = 8 + header_length + max(ends, default=0)
    if size != wanted:
        raise ModelError(f"{file}: wanted {wanted} bytes as its header says, found {size}; fetch it again")
