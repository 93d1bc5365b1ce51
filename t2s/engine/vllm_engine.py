"""vLLM's async engine, CUDA and CPU builds, behind our `Engine`.

Prompts go in as token ids, answers come back whole (streaming would wake the driver for every token). The engine runs
in a process of its own; the lifeline takes it down with the driver. Written for vLLM 0.32.

Start on two CPU cores, the sample model, after 13 to 15 s of imports: 25 s here (43 s in vLLM's default arrangement on
CPUs, two nested processes). Inside the driver's own process it would be 9 s, but then a crash of the engine is a crash
of the driver, and its threads and memory policy become the driver's.
"""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import itertools
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from t2s import process_env
from t2s.engine import Completion, EngineConfig, EngineInfo, Message
from t2s.engine.chat import ChatTokenizer
from t2s.engine.lifeline import Lifeline
from t2s.errors import EngineDead, EngineError, MissingExtra, ModelError, PromptTooLong, SettingsError

logger = logging.getLogger(__name__)

MAX_MODEL_LEN_TOKENS = 8192
"""Default context, if the model's own is longer: schema, history and answer need no more, and KV cache is dear."""

_ELSEWHERE = {
    "model": "engine.model_uri",
    "tokenizer": "engine.model_uri",
    "trust_remote_code": "engine.trust_remote_code",
    "enable_lora": "engine.adapter_uri",
}
_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM's max_lora_rank may be


class VllmEngine:
    """An engine process and its client.

    Args:
        config: `vllm` holds vLLM's own options.
        model_path: Model folder.
        adapter_path: LoRA adapter folder in PEFT's form, or None.
    """

    def __init__(self, config: EngineConfig, model_path: str, adapter_path: str | None) -> None:
        self._config = config
        self._model_path = Path(model_path)
        self._adapter_path = None if adapter_path is None else Path(adapter_path)
        self._lifeline = Lifeline()
        self._loading: asyncio.Future[EngineInfo] | None = None
        self._closed = False
        self._client: Any = None
        self._tokenizer: ChatTokenizer | None = None
        self._lora: Any = None
        self._sampling: Any = None
        self._longest_prompt = 0
        self._request_ids = itertools.count()

    async def start(self) -> EngineInfo:
        """Start the engine process and load the model; the event loop stays free meanwhile.

        Raises:
            SettingsError: An option that vLLM does not know or does not take.
            ModelError: The folder cannot be used.
            MissingExtra: vLLM is not in this environment.
            EngineError: The engine process did not come up; it has said why on standard error.
        """
        process_env.prepare_engine_libraries()
        self._lifeline.start()
        self._loading = asyncio.get_running_loop().run_in_executor(None, self._load)
        return await asyncio.shield(self._loading)

    def _load(self) -> EngineInfo:
        """In a worker thread: all that blocks."""
        try:
            import vllm
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.platforms import current_platform
            from vllm.v1.engine.async_llm import AsyncLLM
        except ImportError as error:
            raise MissingExtra(f"engine.kind vllm needs the package {error.name!r}: make setup-predict") from error
        is_cpu: bool = current_platform.is_cpu()
        if is_cpu:
            process_env.prepare_cpu_engine()
        self._tokenizer = ChatTokenizer(str(self._model_path), self._config.trust_remote_code)
        names = {field.name for field in dataclasses.fields(AsyncEngineArgs)}
        check_options(self._config.vllm, names)
        options = self._options(is_cpu)
        self._sampling = self._sampling_params()
        if self._adapter_path is not None:
            from vllm.lora.request import LoRARequest

            self._lora = LoRARequest(self._adapter_path.name, 1, str(self._adapter_path))
        with self._lifeline.marking():
            try:
                # What an older vLLM does not have yet is a matter of speed or log lines, never of answers.
                arguments = AsyncEngineArgs(**{name: value for name, value in options.items() if name in names})
                vllm_config = arguments.create_engine_config()
            except (ValueError, TypeError, NotImplementedError) as error:
                raise SettingsError(f"vllm: wanted options that vLLM takes, found: {_flat(error)}") from error
            if self._closed:
                raise EngineDead("vLLM: closed while it started")
            try:
                self._client = AsyncLLM.from_vllm_config(
                    vllm_config,
                    enable_log_requests=False,
                    disable_log_stats=arguments.disable_log_stats,
                )
            except Exception as error:  # vLLM gives a RuntimeError of its own, or whatever its start met
                raise EngineError(
                    f"vLLM's engine did not start with {self._model_path}: {_flat(error)}; the lines of the engine "
                    "process above say why"
                ) from error
        cache = vllm_config.cache_config
        max_model_len: int = vllm_config.model_config.max_model_len
        self._longest_prompt = max_model_len - self._config.generation.max_tokens
        return EngineInfo(
            name="vllm",
            version=f"{vllm.__version__.partition('+')[0]} ({'cpu' if is_cpu else 'cuda'})",
            max_model_len_tokens=max_model_len,
            kv_cache_tokens=cache.num_gpu_blocks * cache.block_size,
            max_num_seqs=vllm_config.scheduler_config.max_num_seqs,
            block_size_tokens=cache.block_size,
            device="" if is_cpu else current_platform.get_device_name(),
            num_gpus=0 if is_cpu else vllm_config.parallel_config.world_size,
        )

    def _options(self, is_cpu: bool) -> dict[str, Any]:
        """What vLLM is started with: our options, then the user's over them."""
        model = _read_json(self._model_path / "config.json")
        options: dict[str, Any] = {
            "model": str(self._model_path),
            "trust_remote_code": self._config.trust_remote_code,
            "seed": self._config.generation.seed,
            "enable_prefix_caching": True,
            "disable_log_stats": False,  # the only way to learn of preemptions; nothing is printed
            "use_tqdm_on_load": False,
        }
        context = model.get("max_position_embeddings") or model.get("text_config", {}).get("max_position_embeddings")
        if context:
            options["max_model_len"] = min(context, MAX_MODEL_LEN_TOKENS)
        if is_cpu:
            options |= {
                "block_size": 32,  # 128 by default: prompts shorter than that never meet the prefix cache
                "max_num_seqs": 64,
                # Compiling takes 110 s at each first start and made the sample model slower (178 against 247 tokens/s).
                "enforce_eager": True,
            }
            if "gpu_memory_utilization" not in self._config.vllm:
                options["kv_cache_memory_bytes"] = 2 << 30  # the sample model: 46,000 tokens; default: most of the host
            if "float32" in (model.get("dtype"), model.get("torch_dtype")):
                options["dtype"] = "float32"  # "auto" would make it bf16: 4 times slower without AMX
        else:
            options["max_num_seqs"] = 256
        if self._adapter_path is not None:
            options |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": adapter_rank(self._adapter_path)}
        parallel = self._config.vllm.get("tensor_parallel_size", 1) * self._config.vllm.get("pipeline_parallel_size", 1)
        if parallel > 1:
            # In a Ray actor vLLM would ask Ray for workers: beside the GPUs that the actor holds, out of the lifeline's
            # reach.
            options["distributed_executor_backend"] = "mp"
        return options | self._config.vllm

    def _sampling_params(self) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        assert self._tokenizer is not None
        generation = self._config.generation
        return SamplingParams(
            temperature=generation.temperature,
            top_p=generation.top_p,
            max_tokens=generation.max_tokens,
            seed=generation.seed if generation.temperature > 0 else None,  # a seed of its own slows a greedy batch
            stop=list(generation.stop),
            stop_token_ids=list(self._tokenizer.stop_token_ids),
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the rendered prompt."""
        assert self._tokenizer is not None, "start comes first"
        return self._tokenizer.count(messages)

    async def generate(self, messages: Sequence[Message]) -> Completion:
        """Answer one prompt."""
        if self._closed or self._client is None:
            raise EngineDead("vLLM: the engine is closed" if self._closed else "vLLM: the engine is not started")
        assert self._tokenizer is not None
        ids = self._tokenizer.encode(messages)
        if len(ids) > self._longest_prompt:
            raise PromptTooLong(
                f"vLLM: wanted a prompt of at most {self._longest_prompt} tokens (context less max_tokens), found "
                f"{len(ids)}; shorten it or raise vllm.max_model_len"
            )
        return await self._ask(ids)

    async def _ask(self, ids: list[int]) -> Completion:
        from vllm.v1.engine.exceptions import EngineDeadError

        started = time.monotonic()
        result: Any = None
        try:
            stream = self._client.generate(
                {"type": "token", "prompt_token_ids": ids},
                self._sampling,
                str(next(self._request_ids)),
                lora_request=self._lora,
            )
            async for output in stream:
                result = output
        except EngineDeadError as error:
            reason = (
                "closed while the request ran" if self._closed else "its process is gone; its last lines may say why"
            )
            raise EngineDead(f"vLLM: {reason}") from error
        except Exception as error:  # vLLM's own kinds differ from version to version; none may get past here
            cause = error.__cause__ or error
            raise EngineError(f"vLLM: a request of {len(ids)} tokens failed: {_flat(cause)}") from error
        [answer] = result.outputs
        if answer.finish_reason not in ("stop", "length"):
            raise EngineError(f"vLLM: wanted a request that ends with stop or length, found {answer.finish_reason!r}")
        return Completion(
            text=answer.text,
            finish_reason=answer.finish_reason,
            prompt_tokens=len(result.prompt_token_ids),
            cached_tokens=result.num_cached_tokens or 0,
            completion_tokens=len(answer.token_ids),
            latency_s=time.monotonic() - started,
            preemptions=getattr(result.metrics, "num_preemptions", 0),
            **_phases(result.metrics),
        )

    async def close(self) -> None:
        """End the engine process, also one that is still starting; requests that run end with `EngineDead`."""
        self._closed = True
        if self._loading is not None:
            while not self._loading.done():  # without its processes the start fails within a second
                await asyncio.to_thread(self._lifeline.kill)
                await asyncio.wait([self._loading], timeout=0.2)
            if not self._loading.cancelled() and self._loading.exception() is not None:
                logger.debug("vLLM's start ended with %r", self._loading.exception())
        client, self._client = self._client, None
        if client is not None:
            from vllm.v1.engine.exceptions import EngineDeadError

            # First the task that would report the end of the process as a failure, with a traceback.
            handler = client.output_handler
            if handler is not None:
                handler.cancel()
                await asyncio.wait([handler])
                client.output_processor.propagate_error(EngineDeadError())
            await asyncio.to_thread(client.shutdown)
        await asyncio.to_thread(self._lifeline.kill)
        self._lifeline.stop()


def _phases(metrics: Any) -> dict[str, float]:
    """When the engine took a request and gave its first token, by its own clock; nothing where it does not say."""
    queued, taken, first = (getattr(metrics, f"{name}_ts", 0.0) for name in ("queued", "scheduled", "first_token"))
    if not 0 < queued <= taken <= first:
        return {}
    return {"waited_s": taken - queued, "prefill_s": first - taken}


def check_options(options: dict[str, Any], names: set[str]) -> None:
    """Raise `SettingsError` unless each of the user's options is one of vLLM's own, and not set elsewhere."""
    problems = []
    for option in options:
        if option in _ELSEWHERE:
            problems.append(f"vllm.{option}: set {_ELSEWHERE[option]} instead")
        elif option not in names:
            near = difflib.get_close_matches(option, names, n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            problems.append(f"vllm.{option}: wanted one of vLLM's engine options, found none of that name{hint}")
    if problems:
        raise SettingsError("\n".join(problems))


def adapter_rank(adapter_path: Path) -> int:
    """The smallest of vLLM's ranks that the adapter fits into."""
    config = _read_json(adapter_path / "adapter_config.json")
    rank = max([config.get("r", 0), *config.get("rank_pattern", {}).values()])
    for allowed in _LORA_RANKS:
        if 0 < rank <= allowed:
            return allowed
    raise ModelError(f"{adapter_path}: wanted a LoRA rank of 1 to {_LORA_RANKS[-1]}, found {rank}")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: wanted a JSON file, found: {error}") from error
    return value


def _flat(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:1000]
