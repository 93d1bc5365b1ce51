"""The loop that predict replaces: `transformers`, one question at a time, over requests that t2s sent.

The whole prompt is read again for every turn. Greedy; answers have their fixed lengths, as everywhere in the benchmark.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from scripts.bench.gpu_replay import Chain, Pass


def one_by_one(model_path: str, chains: Sequence[Chain], dummy_weights: bool) -> Pass:
    """Answer the chains after the first, which only warms up; loading the model is not counted.

    Args:
        model_path: Model folder.
        chains: Two or more.
        dummy_weights: Make up the weights from config.json's shape, as vLLM's `load_format: dummy` does.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = _load(model_path, device, dummy_weights)
    warm_up, *timed = chains
    _answer(model, device, warm_up[:1])
    began = time.perf_counter()
    for chain in timed:
        _answer(model, device, chain)
    seconds = time.perf_counter() - began
    requests = [request for chain in timed for request in chain]
    return Pass(
        seconds=seconds,
        interactions=len(timed),
        turns=len(requests),
        prompt_tokens=sum(len(request.ids) for request in requests),
        output_tokens=sum(request.num_tokens for request in requests),
        cached_tokens=0,
        running=1.0,
        peak_running=1,
    )


def _load(model_path: str, device: str, dummy_weights: bool) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    if not dummy_weights:
        return AutoModelForCausalLM.from_pretrained(model_path, dtype=dtype, local_files_only=True).eval().to(device)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model_path)).eval()
    finally:
        torch.set_default_dtype(before)


def _answer(model: Any, device: str, chain: Chain) -> None:
    import torch

    for request in chain:
        ids = torch.tensor([request.ids], device=device)
        with torch.inference_mode():
            output = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=request.num_tokens,
                min_new_tokens=request.num_tokens,
                do_sample=False,
                pad_token_id=0,
            )
        assert output.shape[1] == len(request.ids) + request.num_tokens
        output.tolist()  # waits for the device
