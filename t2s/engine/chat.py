"""Messages to token ids, once: the model's own chat template, its tokenizer, one BOS.

    [{"role": "system", "content": "CREATE TABLE …"}, {"role": "user", "content": "有几个城市？"}]
    -> [128000, 128006, 9125, 128007, …]         Llama-3: <|begin_of_text|><|start_header_id|>system<|end_header_id|>…

Engines get these ids and never the text: a rendered text that is tokenised again gets a second BOS, which costs points
without a word. The schema's ids are kept per database, since reading it again for each turn is most of the work.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from t2s import process_env
from t2s.engine import Message
from t2s.errors import EngineError, MissingExtra, ModelError

_MAX_PREFIXES = 128  # of about 100 KB each; plan order comes back to a database never
_PROBE = "t2s probe"


class ChatTokenizer:
    """A model's tokenizer and chat template.

    Args:
        model_path: The model folder.
        trust_remote_code: Run a tokenizer's own code from that folder.

    Attributes:
        tokenizer: transformers' own, freshly loaded.
        eot: Id of the token that ends an answer in the template (`<|eot_id|>`, `<|im_end|>`); None if it is plain text.
        stop_token_ids: Ids that end an answer: `eot`, the tokenizer's EOS and those of generation_config.json, sorted.

    Raises:
        ModelError: No tokenizer, no chat template, or one that takes no system message.
        MissingExtra: transformers is not in this environment.
    """

    def __init__(self, model_path: str, trust_remote_code: bool = False) -> None:
        process_env.prepare_engine_libraries()
        try:
            from jinja2 import TemplateError
            from transformers import AutoTokenizer
        except ImportError as error:
            raise MissingExtra(f"tokenizing needs the package {error.name!r}: make setup-predict") from error
        self._template_error = TemplateError
        self._folder = Path(model_path)
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(
                model_path, trust_remote_code=trust_remote_code, local_files_only=True
            )
        except Exception as error:  # transformers raises many kinds, OSError and ValueError among them
            raise ModelError(f"{model_path}: wanted a tokenizer that transformers can load, found: {error}") from error
        if not self.tokenizer.chat_template:
            raise ModelError(
                f"{model_path}: wanted a chat template, found neither chat_template.jinja nor the key chat_template in "
                "tokenizer_config.json; a base model has none: take its Instruct version, or add the file it was "
                "trained with"
            )
        self._prefixes: dict[str, list[int]] = {}
        self._boundary = _boundary_pattern(self.tokenizer)
        self.eot = self._find_eot()
        self.stop_token_ids = self._find_stop_token_ids()

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of the prompt, the header of the answer included.

        Raises:
            EngineError: The chat template refuses the messages.
        """
        text = self.render(messages)
        cut = self._prefix_end(text, messages)
        if cut == 0:
            return self.encode_text(text)
        prefix = self._prefixes.get(text[:cut])
        if prefix is not None:
            return [*prefix, *self.encode_text(text[cut:])]
        whole, prefix = self.encode_text(text), self.encode_text(text[:cut])
        if whole != [*prefix, *self.encode_text(text[cut:])]:
            self._boundary = None  # never seen; the whole is always right
            return whole
        if len(self._prefixes) >= _MAX_PREFIXES:
            self._prefixes.pop(next(iter(self._prefixes)))
        self._prefixes[text[:cut]] = prefix
        return whole

    def encode_whole(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of messages that end with an answer, its end included and nothing behind it begun."""
        return self.encode_text(self.render(messages, add_generation_prompt=False))

    def count(self, messages: Sequence[Message]) -> int:
        """How many ids `encode` gives."""
        return len(self.encode(messages))

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = True) -> str:
        """The prompt as text, special tokens written out; for people and tests."""
        try:
            text: str = self.tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=add_generation_prompt
            )
        except self._template_error as error:
            roles = ", ".join(message["role"] for message in messages)
            raise EngineError(f"{self._folder}: its chat template refuses the messages ({roles}): {error}") from error
        return text

    def encode_text(self, text: str) -> list[int]:
        """Token ids of rendered text, special tokens written out."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)  # the template wrote BOS itself
        return ids

    def _prefix_end(self, text: str, messages: Sequence[Message]) -> int:
        """Where the first special token after the system message begins; 0 where nothing is to be kept.

        A tokenizer takes special tokens out of the text first and handles what lies between them piece by piece, so
        the ids before such a token do not depend on what comes after.
        """
        content = messages[0]["content"].strip()  # templates trim
        if self._boundary is None or messages[0]["role"] != "system" or not content:
            return 0
        start = text.find(content)
        if start < 0:
            return 0
        match = self._boundary.search(text, start + len(content))
        return match.start() if match else 0

    def _find_eot(self) -> int | None:
        messages: list[Message] = [
            {"role": "system", "content": _PROBE},
            {"role": "user", "content": _PROBE},
            {"role": "assistant", "content": _PROBE},
        ]
        try:
            text = self.render(messages, add_generation_prompt=False)
        except EngineError as error:
            raise ModelError(
                f"{error}; wanted a template that takes a system message, as every prompt has one"
            ) from error
        ids = self.encode_text(text.rpartition(_PROBE)[2].strip())
        return ids[0] if ids and ids[0] in self.tokenizer.added_tokens_decoder else None

    def _find_stop_token_ids(self) -> tuple[int, ...]:
        found: set[int] = set()
        if self.eot is not None:
            found.add(self.eot)
        if self.tokenizer.eos_token_id is not None:
            found.add(self.tokenizer.eos_token_id)
        # transformers, too, looks into config.json only where there is no generation_config.json.
        for name in ("generation_config.json", "config.json"):
            file = self._folder / name
            if file.is_file():
                eos = json.loads(file.read_bytes()).get("eos_token_id")
                found.update(eos if isinstance(eos, list) else [] if eos is None else [eos])
                break
        return tuple(sorted(found))


def _boundary_pattern(tokenizer: Any) -> re.Pattern[str] | None:
    """Matches special tokens at which a text may be cut without a change of ids; None where there are none."""
    added = list(tokenizer.added_tokens_decoder.values())
    if not tokenizer.is_fast or any(token.lstrip or token.rstrip for token in added):  # those eat spaces next to them
        return None
    special = [token.content for token in added if token.special and not token.normalized and not token.single_word]
    if not special:
        return None
    return re.compile("|".join(re.escape(content) for content in sorted(special, key=len, reverse=True)))
