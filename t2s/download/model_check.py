"""Whether files are a whole model: before the gigabytes come, as far as the list tells, and when all are there.

    before      config.json is JSON, the index's shards are in the list, a tokenizer and a chat template are there
    after       every tensor of the index is in its shard, whose header was read when it came; dtype, parameters

The tokenizer is loaded by the package `tokenizers` where it is installed; where not, tokenizer.json is read as far as
it can be wrong: its vocabulary, its merges, its added tokens. A LoRA adapter is a model without a tokenizer of its own.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

from t2s.download.selection import is_pickle_name
from t2s.download.target import KeptFile
from t2s.errors import ModelError
from t2s.model_folder import ADAPTER_CONFIG, TOKENIZERS
from t2s.storage.published import ModelFacts

Read = Callable[[str], bytes]

_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")


class ModelCheck:
    """Checks one model.

    Args:
        where: Its source, for messages.
        names: Of all its files.
        pickles: Names of pickles that were left, for messages.
        chat_template: Whether it must have one.
    """

    def __init__(self, where: str, names: Collection[str], pickles: Collection[str], chat_template: bool) -> None:
        self._where, self._names, self._pickles = where, set(names), sorted(pickles)
        self._wants_template = chat_template
        self._is_adapter = ADAPTER_CONFIG in self._names and "config.json" not in self._names
        self._stem = "adapter_model" if self._is_adapter else "model"

    @property
    def small_files(self) -> list[str]:
        """Files that `before` reads, as far as they are there."""
        wanted = ("config.json", ADAPTER_CONFIG, self._index, *_TEMPLATE_FILES, *TOKENIZERS, "tokenizer_config.json")
        return sorted({name for name in wanted if name in self._names})

    @property
    def _index(self) -> str:
        return f"{self._stem}.safetensors.index.json"

    def before(self, read: Read) -> None:
        """Check what small files tell; `read` gives a file's bytes.

        Raises:
            ModelError: Names what is missing or wrong.
        """
        config = "adapter_config.json" if self._is_adapter else "config.json"
        if config not in self._names:
            raise self._wrong("config.json", "no such file")
        self._object(config, read)
        shards = self._shards(read)
        missing = sorted(set(shards) - self._names)
        if missing:
            raise self._wrong(", ".join(missing[:5]), f"no such file{self._hint()}")
        if not self._is_adapter:
            self._tokenizer(read)
            if self._wants_template and not self._has_template(read):
                raise self._wrong(
                    "a chat template (chat_template.jinja, or in tokenizer_config.json)",
                    "none: a base model, not one that was made to answer? chat_template=false takes it all the same",
                )

    def after(self, kept: Mapping[str, KeptFile], read: Read) -> ModelFacts:
        """Check the whole model; returns what it is.

        Raises:
            ModelError: Names what is missing or wrong.
        """
        self.before(read)
        parameters: dict[str, int] = {}
        for shard, tensors in sorted(self._shards(read).items()):
            weights = kept[shard].weights
            if weights is None:
                raise self._wrong(shard, "a file that is no safetensors file")
            lacking = sorted(tensors - set(weights.names))
            if lacking:
                raise self._wrong(f"the tensor {lacking[0]} in {shard}, as the index says", "none there")
            for dtype, count in weights.parameters.items():
                parameters[dtype] = parameters.get(dtype, 0) + count
        if not parameters:
            raise self._wrong("weights", "files without a tensor")
        config = self._object("config.json", read) if "config.json" in self._names else {}
        architectures = config.get("architectures")
        return ModelFacts(
            dtype=max(parameters, key=lambda dtype: parameters[dtype]),
            num_parameters=sum(parameters.values()),
            architecture=str(architectures[0]) if isinstance(architectures, list) and architectures else None,
            tokenizer="none" if self._is_adapter else self._tokenizer(read),
            chat_template=self._has_template(read),
        )

    def _shards(self, read: Read) -> dict[str, set[str]]:
        """Tensors by shard, as the index says; where there is no index, the one file, and nothing about its tensors."""
        if self._index not in self._names:
            alone = f"{self._stem}.safetensors"
            shards = [name for name in self._names if name.endswith(".safetensors")]
            if alone not in self._names:
                found = f"{', '.join(sorted(shards)[:3])} without {self._index}" if shards else "none"
                raise self._wrong(f"weights ({alone}, or an index with its shards)", f"{found}{self._hint()}")
            return {alone: set()}
        index = self._object(self._index, read).get("weight_map")
        if not isinstance(index, dict) or not index or not all(isinstance(shard, str) for shard in index.values()):
            raise self._wrong(f"{self._index} with a weight_map", "none in it")
        shards_of: dict[str, set[str]] = {}
        for tensor, shard in index.items():
            shards_of.setdefault(shard, set()).add(tensor)
        return shards_of

    def _tokenizer(self, read: Read) -> Literal["loaded", "read"]:
        name = next((name for name in TOKENIZERS if name in self._names), None)
        if name is None:
            raise self._wrong(f"a tokenizer ({' or '.join(TOKENIZERS)})", "none")
        data = read(name)
        if name != "tokenizer.json":
            if not data:
                raise self._wrong(name, "an empty file")
            return "read"
        if importlib.util.find_spec("tokenizers") is not None:
            self._load(data)
            return "loaded"
        self._read_tokenizer(self._object(name, read))
        return "read"

    def _load(self, data: bytes) -> None:
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_buffer(data)
        except Exception as error:  # what tokenizers raises: it has no class of its own
            raise self._wrong(
                "tokenizer.json that loads", f"one that does not ({' '.join(str(error).split())})"
            ) from error
        if not tokenizer.encode("select * from 城市").ids:
            raise self._wrong("tokenizer.json that makes tokens of text", "one that makes none")

    def _read_tokenizer(self, tokenizer: dict[str, Any]) -> None:
        model: Any = tokenizer.get("model")
        vocab = model.get("vocab") if isinstance(model, dict) else None
        if not isinstance(vocab, dict | list) or not vocab:
            raise self._wrong("tokenizer.json with a vocabulary", "none in it")
        if isinstance(vocab, dict) and len(set(vocab.values())) != len(vocab):
            raise self._wrong("tokenizer.json with a number for each token", "tokens that share one")
        for merge in [] if model.get("continuing_subword_prefix") else model.get("merges") or []:
            left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
            if left + right not in vocab:
                raise self._wrong("tokenizer.json whose merges make tokens of its vocabulary", f"{left} + {right}")
        for token in tokenizer.get("added_tokens") or []:
            if not isinstance(token.get("id"), int) or not isinstance(token.get("content"), str):
                raise self._wrong("tokenizer.json with added tokens of a number and a text", f"{token}")

    def _has_template(self, read: Read) -> bool:
        for name in _TEMPLATE_FILES:
            if name in self._names and read(name).strip():
                return True
        if "tokenizer_config.json" not in self._names:
            return False
        return bool(self._object("tokenizer_config.json", read).get("chat_template"))

    def _object(self, name: str, read: Read) -> dict[str, Any]:
        try:
            value = json.loads(read(name))
        except ValueError as error:
            raise self._wrong(f"{name} with JSON in it", f"none ({error})") from error
        if not isinstance(value, dict):
            raise self._wrong(f"{name} with an object in it", f"a {type(value).__name__}")
        return value

    def _hint(self) -> str:
        named = [name for name in self._pickles if is_pickle_name(name)]
        return f"; {', '.join(named[:5])} are pickles, which run code when they are loaded" if named else ""

    def _wrong(self, wanted: str, found: str) -> ModelError:
        return ModelError(f"{self._where}: wanted a whole model with {wanted}, found {found}; nothing was published")
