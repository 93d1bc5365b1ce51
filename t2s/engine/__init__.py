"""Who generates. An engine sees messages and returns text: it knows nothing of SQL, gold, shards or URIs.

`open_engine(config)` imports the engine's library only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypedDict

from pydantic import BaseModel, ConfigDict, Field


class Message(TypedDict):
    """One chat message; the first of a prompt is always the system message."""

    role: Literal["system", "user", "assistant"]
    content: str


class Completion(NamedTuple):
    """One answer: `text` and `finish_reason`; the rest are measurements.

    Attributes:
        latency_s: From sending the request to its last token.
        waited_s: Of that, in the engine's own queue.
        prefill_s: From there to the first token; None where the engine does not say.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    latency_s: float
    preemptions: int = 0
    waited_s: float = 0.0
    prefill_s: float | None = None


class EngineInfo(NamedTuple):
    """What a started engine has.

    Attributes:
        name, version: E.g. "vllm", "0.32.0 (cpu)".
        max_model_len_tokens: Prompt and completion together.
        kv_cache_tokens: Tokens that the KV cache holds in all; None where the engine has no such limit.
        max_num_seqs: Most requests that run at once.
        block_size_tokens: Granularity of the prefix cache; 1 where there is none.
        device: What its GPUs are called; "" on a CPU.
        num_gpus: That it holds; 0 on a CPU.
    """

    name: str
    version: str
    max_model_len_tokens: int
    kv_cache_tokens: int | None
    max_num_seqs: int
    block_size_tokens: int = 1
    device: str = ""
    num_gpus: int = 0


class Engine(Protocol):
    """An engine lives in one event loop. Requests are concurrent: call `generate` from as many coroutines as wanted."""

    async def start(self) -> EngineInfo:
        """Load everything; minutes for a big model."""

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the rendered prompt, the header of the answer included. Cheap: called for every prompt."""

    async def generate(self, messages: Sequence[Message]) -> Completion:
        """Answer one prompt with the generation settings of the engine's config.

        Raises:
            PromptTooLong: The prompt and `max_tokens` do not fit `max_model_len_tokens`.
            EngineDead: Nothing more will come from this engine.
            EngineError: This request alone failed.
        """

    async def close(self) -> None:
        """Free everything; no process of the engine is left when it returns. May be called twice."""


class GenerationConfig(BaseModel):
    """How text is generated, the same for every engine; greedy by default, since this is scoring.

    Attributes:
        temperature: 0 is greedy.
        top_p: Share of probability kept when sampling.
        max_tokens: Longest completion.
        seed: For sampling.
        stop: Texts that end a completion, beside the model's own stop tokens.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float = Field(0.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(256, gt=0)
    seed: int = 0
    stop: tuple[str, ...] = ()


class ScriptedConfig(BaseModel):
    """The scripted engine: answers from a table, with delays and faults that can be set.

    Attributes:
        answers_uri: JSON file of {question: completion}, or null for answers made from a digest of the prompt.
        delay_s: How long an answer takes.
        process: Answer in a child process, which dies (`die_on`) and can be killed as a real engine's.
        die_on: The engine dies when a question contains this text.
        fail_on: The request fails when a question contains this text.
        kv_cache_tokens, max_model_len_tokens, max_num_seqs: What it claims to have.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    answers_uri: str | None = None
    delay_s: float = Field(0.0, ge=0)
    process: bool = False
    die_on: str | None = None
    fail_on: str | None = None
    kv_cache_tokens: int | None = 100_000
    max_model_len_tokens: int = 8192
    max_num_seqs: int = 256


class EngineConfig(BaseModel):
    """Which engine, which model, how.

    Attributes:
        kind: `vllm`, `transformers` (the fallback, and the baseline) or `scripted` (tests and rehearsals).
        model_uri: A model folder (safetensors); the special word `sample` is the packaged small model.
        adapter_uri: A LoRA adapter folder, or null.
        adapter_check: Whether an adapter, or a trained model, that does not belong to this model, prompt or chat
            template is refused, or only warned of.
        generation: How text is generated.
        vllm: vLLM's own engine options, with upstream's own names.
        transformers_batch_size: Prompts that one `generate` call of transformers takes.
        trust_remote_code: Run code from the model folder; off unless the user turns it on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    kind: Literal["vllm", "transformers", "scripted"] = "vllm"
    model_uri: str | None = None
    adapter_uri: str | None = None
    adapter_check: Literal["refuse", "warn"] = "refuse"
    generation: GenerationConfig = GenerationConfig()
    vllm: dict[str, Any] = {}
    transformers_batch_size: int = Field(8, gt=0)
    scripted: ScriptedConfig = ScriptedConfig()
    trust_remote_code: bool = False


def open_engine(config: EngineConfig, model_path: str | None, adapter_path: str | None = None) -> Engine:
    """Make the engine of `config.kind` on local folders; nothing is loaded before `start`."""
    if config.kind == "scripted" and config.scripted.process:
        from t2s.engine.scripted_process import ScriptedProcessEngine

        return ScriptedProcessEngine(config)
    if config.kind == "scripted":
        from t2s.engine.scripted import ScriptedEngine

        return ScriptedEngine(config)
    assert model_path is not None, "settings demand model_uri for every engine but scripted"
    if config.kind == "vllm":
        from t2s.engine.vllm_engine import VllmEngine

        return VllmEngine(config, model_path, adapter_path)
    from t2s.engine.transformers_engine import TransformersEngine

    return TransformersEngine(config, model_path, adapter_path)


def open_counter(config: EngineConfig, model_path: str | None) -> Callable[[Sequence[Message]], int]:
    """The engine's `count_tokens`, without starting the engine."""
    if config.kind == "scripted":
        from t2s.engine.scripted import ScriptedEngine

        return ScriptedEngine(config).count_tokens
    assert model_path is not None, "settings demand model_uri for every engine but scripted"
    from t2s.engine.chat import ChatTokenizer

    return ChatTokenizer(model_path, config.trust_remote_code).count
