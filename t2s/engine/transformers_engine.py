"""Plain transformers: the fallback where vLLM does not run, and with a batch of one the loop that it replaces.

Prompts that wait are taken together, up to `transformers_batch_size`, padded on the left, and generated in one call in
a worker thread; a batch is as slow as its longest answer. Everything lives in the driver's process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from t2s import process_env
from t2s.engine import Completion, EngineConfig, EngineInfo, Message
from t2s.engine.chat import ChatTokenizer
from t2s.errors import EngineDead, EngineError, MissingExtra, ModelError, PromptTooLong, SettingsError

MAX_MODEL_LEN_TOKENS = 8192
"""Default context if the model's own is longer; the same as for vLLM."""


class _Answer(NamedTuple):
    text: str
    finish_reason: str
    num_tokens: int


class _Request(NamedTuple):
    ids: list[int]
    answer: asyncio.Future[_Answer]


class TransformersEngine:
    """A model in this process.

    Args:
        config: `transformers_batch_size` and `generation` count.
        model_path: Model folder.
        adapter_path: Must be None: the predict environment has no peft.
    """

    def __init__(self, config: EngineConfig, model_path: str, adapter_path: str | None) -> None:
        if adapter_path is not None:
            raise SettingsError(
                "engine.adapter_uri: the transformers engine takes no adapter; use engine.kind vllm, or merge it into "
                "a model folder"
            )
        self._config = config
        self._model_path = model_path
        # One thread: torch uses all cores inside it, and the model is not safe for two callers.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="transformers")
        self._queue: asyncio.Queue[_Request] = asyncio.Queue()
        self._running: list[_Request] = []
        self._worker: asyncio.Task[None] | None = None
        self._dead = "transformers: the engine is not started"
        self._closing = False
        self._model: Any = None
        self._tokenizer: ChatTokenizer | None = None
        self._pad_id = 0
        self._longest_prompt = 0

    async def start(self) -> EngineInfo:
        """Load the model: fp32 on a CPU, bf16 on a GPU."""
        process_env.prepare_engine_libraries()
        info = await asyncio.get_running_loop().run_in_executor(self._thread, self._load)
        self._dead = ""
        self._worker = asyncio.create_task(self._work())
        return info

    def _load(self) -> EngineInfo:
        try:
            import torch
            import transformers
        except ImportError as error:
            raise MissingExtra(
                f"engine.kind transformers needs the package {error.name!r}: make setup-predict"
            ) from error
        transformers.utils.logging.disable_progress_bar()
        self._tokenizer = ChatTokenizer(self._model_path, self._config.trust_remote_code)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            model = transformers.AutoModelForCausalLM.from_pretrained(
                self._model_path,
                dtype=torch.bfloat16 if device == "cuda" else torch.float32,  # bf16 is 4 times slower without AMX
                trust_remote_code=self._config.trust_remote_code,
                local_files_only=True,
            )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"{self._model_path}: wanted a model that transformers can load, found: {error}"
            ) from error
        self._model = model.eval().to(device)
        pad = self._tokenizer.tokenizer.pad_token_id
        self._pad_id = self._tokenizer.stop_token_ids[0] if pad is None else pad
        # A fresh one: the model's own may sample or punish repetitions, and no engine of ours takes that from it.
        self._model.generation_config = transformers.GenerationConfig(**self._generation())
        own = getattr(model.config.get_text_config(), "max_position_embeddings", MAX_MODEL_LEN_TOKENS)
        context = min(own, MAX_MODEL_LEN_TOKENS)
        self._longest_prompt = context - self._config.generation.max_tokens
        return EngineInfo(
            name="transformers",
            version=f"{transformers.__version__} ({device})",
            max_model_len_tokens=context,
            kv_cache_tokens=None,
            max_num_seqs=self._config.transformers_batch_size,
            device=torch.cuda.get_device_name() if device == "cuda" else "",
            num_gpus=1 if device == "cuda" else 0,
        )

    def _generation(self) -> dict[str, Any]:
        assert self._tokenizer is not None
        generation = self._config.generation
        options: dict[str, Any] = {
            "max_new_tokens": generation.max_tokens,
            "do_sample": generation.temperature > 0,
            "eos_token_id": list(self._tokenizer.stop_token_ids),
            "pad_token_id": self._pad_id,
        }
        if generation.temperature > 0:
            options |= {"temperature": generation.temperature, "top_p": generation.top_p, "top_k": 0}
        if generation.stop:
            options["stop_strings"] = list(generation.stop)
        return options

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the rendered prompt."""
        assert self._tokenizer is not None, "start comes first"
        return self._tokenizer.count(messages)

    async def generate(self, messages: Sequence[Message]) -> Completion:
        """Answer one prompt, together with others that wait."""
        if self._dead:
            raise EngineDead(self._dead)
        assert self._tokenizer is not None
        ids = self._tokenizer.encode(messages)
        if len(ids) > self._longest_prompt:
            raise PromptTooLong(
                f"transformers: wanted a prompt of at most {self._longest_prompt} tokens (context less max_tokens), "
                f"found {len(ids)}; shorten it"
            )
        started = time.monotonic()
        request = _Request(ids, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(request)
        answer = await request.answer
        return Completion(
            text=answer.text,
            finish_reason=answer.finish_reason,
            prompt_tokens=len(ids),
            cached_tokens=0,
            completion_tokens=answer.num_tokens,
            latency_s=time.monotonic() - started,
        )

    async def _work(self) -> None:
        while True:
            batch = [await self._queue.get()]
            await asyncio.sleep(0)  # those who were woken together come together
            while len(batch) < self._config.transformers_batch_size and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            batch = [request for request in batch if not request.answer.done()]  # cancelled while they waited
            if batch:
                self._running = batch
                await self._answer(batch)

    async def _answer(self, batch: list[_Request]) -> None:
        import torch

        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._thread, self._generate, [request.ids for request in batch])
        except torch.OutOfMemoryError as error:
            await loop.run_in_executor(self._thread, torch.cuda.empty_cache)
            _fail(batch, EngineError(f"transformers: {error}; lower engine.transformers_batch_size"))
        except Exception as error:  # whose fault it is cannot be told, nor whether the device is still usable
            self._die(f"transformers: a batch of {len(batch)} failed: {type(error).__name__}: {error}")
        else:
            for request, answer in zip(batch, answers, strict=True):
                if not request.answer.done():
                    request.answer.set_result(answer)

    def _generate(self, prompts: list[list[int]]) -> list[_Answer]:
        """In the worker thread. `prompts`: (batch, differing lengths)."""
        import torch

        assert self._tokenizer is not None
        width = max(len(ids) for ids in prompts)
        padding = [width - len(ids) for ids in prompts]
        device = self._model.device
        input_ids = [[self._pad_id] * pad + ids for pad, ids in zip(padding, prompts, strict=True)]
        mask = [[0] * pad + [1] * len(ids) for pad, ids in zip(padding, prompts, strict=True)]
        torch.manual_seed(self._config.generation.seed)
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=torch.tensor(input_ids, device=device),
                attention_mask=torch.tensor(mask, device=device),
                tokenizer=self._tokenizer.tokenizer,  # for stop texts
                stopping_criteria=[lambda *_: self._closing],
            )
        return [self._cut(ids) for ids in output[:, width:].tolist()]

    def _cut(self, ids: list[int]) -> _Answer:
        """What stands before the first stop token or stop text; the stop token counts, as it does for vLLM."""
        assert self._tokenizer is not None
        stops = self._tokenizer.stop_token_ids
        end = next((index for index, token in enumerate(ids) if token in stops), None)
        text: str = self._tokenizer.tokenizer.decode(ids[:end], skip_special_tokens=True)
        places = [place for place in (text.find(stop) for stop in self._config.generation.stop) if place >= 0]
        if places:
            return _Answer(text[: min(places)], "stop", len(ids) if end is None else end + 1)
        return _Answer(text, "length", len(ids)) if end is None else _Answer(text, "stop", end + 1)

    def _die(self, reason: str) -> None:
        self._dead = reason
        waiting = self._running
        while not self._queue.empty():
            waiting.append(self._queue.get_nowait())
        _fail(waiting, EngineDead(reason))

    async def close(self) -> None:
        """Give the model back; a batch that runs ends at its next token."""
        self._closing = True
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])
        self._die("transformers: the engine is closed")
        await asyncio.to_thread(self._thread.shutdown)
        self._model = None


def _fail(batch: list[_Request], error: EngineError) -> None:
    for request in batch:
        if not request.answer.done():
            request.answer.set_exception(error)
