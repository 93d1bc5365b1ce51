"""A model or adapter as a local folder: fetched through the node cache, and whole before anything loads it.

models/smollm2-135m-instruct/
    config.json  generation_config.json  tokenizer.json  tokenizer_config.json  chat_template.jinja
    model.safetensors        or model-0000k-of-0000n.safetensors + model.safetensors.index.json
    manifest.json            where the job download has published it: the digest of every file
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any, NamedTuple

from t2s.errors import DigestMismatch, ModelError, ObjectMissing
from t2s.storage import open_store
from t2s.storage.cache import CachedFolder, NodeCache
from t2s.storage.os_errors import told
from t2s.storage.published import MANIFEST_KEY

SAMPLE = "sample"
"""`model_uri: sample` is the small model that a Python package ships (see sample_model.py)."""

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")
ADAPTER_CONFIG = "adapter_config.json"

# What safetensors calls its types, and the bytes of one value (safetensors/src/tensor.rs, Dtype).
_DTYPE_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
_MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit; the 8B model's headers have 9 KB each


class Tensors(NamedTuple):
    """What a safetensors file holds, as its header says.

    Attributes:
        names: Of its tensors, in the file's order.
        parameters: How many values there are of each type, e.g. {"BF16": 4_000_000}.
    """

    names: tuple[str, ...]
    parameters: dict[str, int]


def resolve_model(
    model_uri: str | None, models_dir: str, cache_dir: str, cache_max_bytes: int | None = None
) -> CachedFolder:
    """Bring a model or adapter to this node and check it.

    Args:
        model_uri: A folder, `file://`, `s3://`, or `sample`. `<models>/<name>` stands for its one published revision.
        models_dir: Where the packaged small model is made on first use.
        cache_dir: Root of the node cache.
        cache_max_bytes: Most that the cache may hold.

    Raises:
        ModelError: The folder is not a whole model, or not the one that its manifest promises; says which file.
    """
    if model_uri is None:
        raise ModelError("engine.model_uri: wanted a model folder (or the word sample), found nothing")
    if model_uri == SAMPLE:
        from t2s.sample_model import ensure_sample_model

        model_uri = str(ensure_sample_model(Path(models_dir)))
    model_uri = _published_revision(model_uri) or model_uri
    try:
        folder = NodeCache(Path(cache_dir), cache_max_bytes).folder(model_uri)
    except (DigestMismatch, ObjectMissing) as error:
        raise ModelError(f"{error} (a model folder has config.json in it)") from error
    if (folder.path / ADAPTER_CONFIG).is_file():
        check_weights(folder.path, "adapter_model")
    else:
        check_model(folder.path)
    return folder


def _published_revision(model_uri: str) -> str | None:
    """The one revision below `<models>/<name>`; None where `model_uri` is something else."""
    store = open_store(model_uri)
    keys = [info.key for info in store.list()]
    revisions = sorted({key.split("/")[0] for key in keys if key.endswith(f"/{MANIFEST_KEY}") and key.count("/") == 1})
    if not revisions or any("/" not in key for key in keys):
        return None
    if len(revisions) > 1:
        raise ModelError(
            f"{model_uri}: wanted a model folder, found {len(revisions)} published revisions: {', '.join(revisions)}; "
            "name one of them"
        )
    return f"{store.uri}/{revisions[0]}"


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
    if not any((path / name).is_file() for name in TOKENIZERS):
        raise ModelError(f"{path}: wanted a tokenizer ({' or '.join(TOKENIZERS)}), found none")
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
        read_tensors(path / name)


def read_tensors(file: Path) -> Tensors:
    """Open a safetensors file: read its header, and find all the bytes that it promises.

    Raises:
        ModelError: It is none, or not whole.
    """
    # 8 bytes little-endian length of the header, the header as JSON, then the tensors up to the last offset.
    with told("read", file):
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 0 < length <= min(size - 8, _MAX_HEADER_BYTES):
                found = f"{size} bytes that begin with a header of {length}"
                raise ModelError(f"{file}: wanted a safetensors file, found {found}; fetch it again")
            text = stream.read(length)
    try:
        header: dict[str, dict[str, Any]] = json.loads(text)
        entries = sorted(
            (item for item in header.items() if item[0] != "__metadata__"), key=lambda item: item[1]["data_offsets"]
        )
        parameters: dict[str, int] = {}
        end = 0
        for name, entry in entries:
            # No hole and no overlap: safetensors itself refuses both.
            if entry["data_offsets"][0] != end:
                raise ValueError(f"{name} begins at {entry['data_offsets'][0]}, {end} was to come")
            count, dtype = math.prod(entry["shape"]), entry["dtype"]
            end = entry["data_offsets"][1]
            if dtype in _DTYPE_BYTES and end - entry["data_offsets"][0] != count * _DTYPE_BYTES[dtype]:
                raise ValueError(f"{name}: {count} values of {dtype} in {end - entry['data_offsets'][0]} bytes")
            parameters[dtype] = parameters.get(dtype, 0) + count
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ModelError(f"{file}: wanted a safetensors file, found an unreadable header ({error})") from error
    wanted = 8 + length + end
    if size != wanted:
        raise ModelError(f"{file}: wanted {wanted} bytes as its header says, found {size}; fetch it again")
    return Tensors(tuple(name for name, _ in entries), parameters)


def read_header(file: Path) -> dict[str, dict[str, Any]]:
    """`dtype`, `shape` and `data_offsets` of each tensor of a safetensors file that was checked (`check_weights`)."""
    with told("read", file), file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header: dict[str, dict[str, Any]] = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    return header
