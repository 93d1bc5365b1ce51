"""How long a prompt or an example is: in tokens of the model that will be trained, or in characters without a model.

    lengths = open_lengths("models/smollm2-135m-instruct", "models", "~/.cache/t2s")
    lengths.prompt([system, user])               # the header of the answer included, as predict counts it
    lengths.example([system, user, assistant])   # the end of the answer included, as LLaMA-Factory trains on it

This is the light environment's way, with the package tokenizers and jinja2. Predict counts with transformers
(`engine.chat`); a test holds the two together, since prompts are pruned by these numbers in both places.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from t2s.engine import Message
from t2s.errors import MissingExtra, ModelError
from t2s.model_folder import SAMPLE
from t2s.storage import open_store
from t2s.storage.cache import NodeCache, folder_digest

Unit = Literal["tokens", "characters"]

# What a tokenizer is made of. Of a model in object storage nothing else is fetched.
_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
    "chat_template.json", "config.json",
)  # fmt: skip
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_MAX_PREFIXES = 1024
_PROBE = "t2s probe"


class Lengths(Protocol):
    """Measures messages.

    Attributes:
        unit: Of all its numbers.
        digest: Of all that decides them.
        context_tokens: The model's context; None where it is not known.
    """

    unit: Unit
    digest: str
    context_tokens: int | None

    def prompt(self, messages: Sequence[Message]) -> int:
        """A prompt, the header of the answer included."""

    def example(self, messages: Sequence[Message]) -> int:
        """An example that ends with an answer."""

    def answer(self, sql: str) -> int:
        """An answer alone, with the token that ends it."""


class CharacterLengths:
    """Characters of the messages' contents, for a look at a dataset without a model."""

    unit: Unit = "characters"
    digest = "characters"
    context_tokens: int | None = None

    def prompt(self, messages: Sequence[Message]) -> int:
        """Characters of all contents."""
        return sum(len(message["content"]) for message in messages)

    def example(self, messages: Sequence[Message]) -> int:
        """Characters of all contents."""
        return self.prompt(messages)

    def answer(self, sql: str) -> int:
        """Its characters."""
        return len(sql)


class TokenLengths:
    """Tokens, by a model's tokenizer and chat template.

    Args:
        files: A model folder's files by name: `tokenizer.json`, and a chat template in one of the usual places.
        digest: Of these files.

    Raises:
        ModelError: Something of it is missing or cannot be read.
        MissingExtra: The package tokenizers is not in this environment.
    """

    unit: Unit = "tokens"

    def __init__(self, files: Mapping[str, Path], digest: str) -> None:
        self.digest = digest
        config = _read_json(files, "tokenizer_config.json")
        self.context_tokens = _context_tokens(_read_json(files, "config.json"))
        special = _special_tokens({**_read_json(files, "special_tokens_map.json"), **config})
        self._tokenizer = _load_tokenizer(files["tokenizer.json"], config, special)
        self._render = _load_template(files, config, special)
        self._boundary = _boundary_pattern(self._tokenizer)
        self._prefixes: dict[str, int] = {}
        probe: list[Message] = [{"role": role, "content": _PROBE} for role in ("system", "user", "assistant")]
        ended = self._render(probe, False)
        # What the template adds behind an answer's text, and the header that it puts before the next one.
        self._ending = len(self._ids(ended.rpartition(_PROBE)[2]))
        self._header = len(self._ids(self._render(probe, True))) - len(self._ids(ended))

    def prompt(self, messages: Sequence[Message]) -> int:
        """Tokens of a prompt, the header of the answer included; the same as `ChatTokenizer.count`."""
        text = self._render(messages, True)
        cut = self._prefix_end(text, messages)
        if cut == 0:
            return len(self._ids(text))
        known = self._prefixes.get(text[:cut])
        if known is not None:
            return known + len(self._ids(text[cut:]))
        whole, prefix = len(self._ids(text)), len(self._ids(text[:cut]))
        if whole != prefix + len(self._ids(text[cut:])):
            self._boundary = None  # the whole is always right
            return whole
        if len(self._prefixes) >= _MAX_PREFIXES:
            self._prefixes.pop(next(iter(self._prefixes)))
        self._prefixes[text[:cut]] = prefix
        return whole

    def example(self, messages: Sequence[Message]) -> int:
        """Tokens of an example that ends with an answer."""
        return self.prompt(messages) - self._header

    def answer(self, sql: str) -> int:
        """Tokens of an answer, and of what ends it."""
        return len(self._ids(sql)) + self._ending

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids  # the template wrote BOS itself
        return ids

    def _prefix_end(self, text: str, messages: Sequence[Message]) -> int:
        """Where the first special token after the system message begins; 0 where nothing is to be kept.

        The schema is most of a prompt and the same for all questions to a database: it is read once.
        """
        content = messages[0]["content"].strip()  # templates trim
        if self._boundary is None or messages[0]["role"] != "system" or not content:
            return 0
        start = text.find(content)
        match = self._boundary.search(text, start + len(content)) if start >= 0 else None
        return match.start() if match else 0


def open_lengths(model_uri: str | None, models_dir: str, cache_dir: str, cache_max_bytes: int | None = None) -> Lengths:
    """Fetch a model's tokenizer, and nothing else of it.

    Args:
        model_uri: A model's folder, `file://`, `s3://`, or `sample`; None: characters.
        models_dir: Where the packaged small model is made on first use.
        cache_dir: Root of the node cache.
        cache_max_bytes: Most that it may hold; None: no limit.

    Raises:
        ModelError: There is no such folder, or no tokenizer in it that can be used.
        MissingExtra: The package tokenizers is not in this environment.
        StorageError: The store failed or refused.
    """
    if model_uri is None:
        return CharacterLengths()
    if model_uri == SAMPLE:
        from t2s.sample_model import ensure_sample_model

        model_uri = str(ensure_sample_model(Path(models_dir)))
    store, cache = open_store(model_uri), NodeCache(Path(cache_dir).expanduser(), cache_max_bytes)
    found = {info.key for info in store.list() if "/" not in info.key}
    if "tokenizer.json" not in found:
        if not found:
            raise ModelError(f"{model_uri}: wanted a model's folder, found no files; set model_uri")
        hint = "; transformers' save_pretrained writes it from tokenizer.model" if "tokenizer.model" in found else ""
        raise ModelError(f"{model_uri}: wanted a tokenizer (tokenizer.json), found none{hint}")
    files = {name: cache.file(store, name) for name in _FILES if name in found}
    digest = folder_digest({name: file.digest for name, file in files.items()})
    return TokenLengths({name: file.path for name, file in files.items()}, digest)


def _read_json(files: Mapping[str, Path], name: str) -> dict[str, Any]:
    """A JSON object; an empty one where the folder has no such file."""
    if name not in files:
        return {}
    try:
        found = json.loads(files[name].read_bytes())
    except ValueError as error:
        raise ModelError(f"{files[name]}: wanted JSON, found {error}; fetch the model again") from error
    if not isinstance(found, dict):
        raise ModelError(f"{files[name]}: wanted a JSON object, found {type(found).__name__}; fetch the model again")
    return found


def _context_tokens(config: Mapping[str, Any]) -> int | None:
    # Models that also see put what concerns text into a block of its own.
    for block in (config, config.get("text_config")):
        value = block.get("max_position_embeddings") if isinstance(block, dict) else None
        if isinstance(value, int):
            return value
    return None


def _content(token: Any) -> str | None:
    """A special token is written as a text or as an object with its `content`."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else None


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """`bos_token` and so on, which templates write by name."""
    found = {name: _content(config.get(name)) for name in _SPECIAL}
    return {name: token for name, token in found.items() if token is not None}


def _load_tokenizer(file: Path, config: Mapping[str, Any], special: Mapping[str, str]) -> Any:
    try:
        from tokenizers import AddedToken, Tokenizer
    except ImportError as error:
        raise MissingExtra(
            f"counting tokens needs the package {error.name!r}: make setup; or model_uri=null, which counts characters"
        ) from error
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the package raises bare Exception for whatever it cannot read
        raise ModelError(f"{file}: wanted a tokenizer, found {error}; fetch the model again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # As transformers: what tokenizer_config.json calls a token of its own is one, whatever tokenizer.json says.
    declared = [_content(token) for token in config.get("added_tokens_decoder", {}).values()]
    declared += [_content(token) for token in config.get("additional_special_tokens") or []]
    known = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    missing = [token for token in dict.fromkeys([*declared, *special.values()]) if token and token not in known]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in missing])
    return tokenizer


def _load_template(
    files: Mapping[str, Path], config: Mapping[str, Any], special: Mapping[str, str]
) -> Callable[[Sequence[Message], bool], str]:
    """The model's chat template as a function of messages and whether the header of an answer follows.

    In the surroundings that transformers gives it (utils/chat_template_utils.py, 5.19).
    """
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, **{"ensure_ascii": False, **options})
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    source = _GENERATION.sub(r"{%\g<left>if true\g<right>%}", _template_text(files, config))
    source = _END_GENERATION.sub(r"{%\g<left>endif\g<right>%}", source)
    folder = files["tokenizer.json"].parent
    try:
        template = environment.from_string(source)
    except TemplateError as error:
        raise ModelError(f"{folder}: its chat template cannot be read: {error}") from error

    def render(messages: Sequence[Message], with_header: bool) -> str:
        try:
            return template.render(
                messages=list(messages), tools=None, documents=None, add_generation_prompt=with_header, **special
            )
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise ModelError(f"{folder}: its chat template refuses the messages ({roles}): {error}") from error

    return render


# Marks what an answer is, for transformers' own masks; changes no text.
_GENERATION = re.compile(r"\{%(?P<left>[-+]?)\s*generation\s*(?P<right>[-+]?)%\}")
_END_GENERATION = re.compile(r"\{%(?P<left>[-+]?)\s*endgeneration\s*(?P<right>[-+]?)%\}")


def _template_text(files: Mapping[str, Path], config: Mapping[str, Any]) -> str:
    if "chat_template.jinja" in files:
        return files["chat_template.jinja"].read_text(encoding="utf-8")
    found = _read_json(files, "chat_template.json").get("chat_template") or config.get("chat_template")
    if isinstance(found, list):  # several, by name
        named = {entry.get("name"): entry.get("template") for entry in found if isinstance(entry, dict)}
        found = named.get("default")
    if not isinstance(found, str) or not found:
        raise ModelError(
            f"{files['tokenizer.json'].parent}: wanted a chat template, found neither chat_template.jinja nor the key "
            "chat_template in tokenizer_config.json; a base model has none: take its Instruct version, or add the file"
        )
    return found


def _boundary_pattern(tokenizer: Any) -> re.Pattern[str] | None:
    """Matches special tokens at which a text may be cut without a change of ids; None where there are none."""
    added = list(tokenizer.get_added_tokens_decoder().values())
    if any(token.lstrip or token.rstrip for token in added):  # those eat spaces next to them
        return None
    special = [token.content for token in added if token.special and not token.normalized and not token.single_word]
    if not special:
        return None
    return re.compile("|".join(re.escape(content) for content in sorted(special, key=len, reverse=True)))
