"""What a training will do, fixed and checked before a worker starts: nothing is written, no weight is loaded.

A `run_uri` belongs to the first plan that claims it. Its digest covers the model, the examples, the prompt they were
rendered with, the number of examples in a step, and every upstream key that can change what comes of it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from t2s.engine.chat import ChatTokenizer
from t2s.errors import PlanMismatch
from t2s.model_folder import SAMPLE, resolve_model
from t2s.plan_claim import parts_digest
from t2s.storage import open_store
from t2s.training import llamafactory_args, memory_estimate
from t2s.training.adapter import AdapterManifest, read_manifest
from t2s.training.gpu_speed import flops_per_token
from t2s.training.llamafactory_run import TrainTask
from t2s.training.model_shape import ModelShape, read_shape
from t2s.training.probe import probe
from t2s.training.sft_folder import open_sft_folder
from t2s.training.train_config import TrainConfig
from t2s.training.upstream_examples import Examined, examine

PLAN_KEY = "train/plan.json"


@dataclass(frozen=True)
class TrainPlan:
    """A training's work.

    Attributes:
        task: For the workers.
        parts: What decides the result, by name, each as a digest or a short text.
        digest: Of `parts`.
        shape: The base model's size.
        examined: What the check of the examples found.
        global_batch: Examples in a step, over all workers.
        published: The result, where this plan has already been carried out.
    """

    task: TrainTask
    parts: dict[str, str]
    digest: str
    shape: ModelShape
    examined: Examined
    global_batch: int
    published: AdapterManifest | None

    @property
    def flops_per_token(self) -> float:
        """What training on one token costs."""
        return flops_per_token(self.task.args, self.shape, self.examined.num_tokens / self.examined.num_examples)

    @property
    def memory(self) -> memory_estimate.Estimate | None:
        """What a GPU must hold, by estimate; None where that cannot be told, or there is no GPU."""
        if not self.task.use_gpu:
            return None
        return memory_estimate.estimate(self.task.args, self.shape, self.examined.longest_tokens)


def make_train_plan(config: TrainConfig, settings: dict[str, Any], *, use_gpu: bool) -> TrainPlan:
    """Read and check everything that a training needs, the parity of its examples with predict included.

    Args:
        config: Of the job.
        settings: As they go into the adapter's manifest, without secrets.
        use_gpu: Whether a worker has a GPU.

    Raises:
        InputError: Anything that is wrong with settings, examples or model.
        StorageError: The store failed or refused.
    """
    llamafactory_args.check_block(config.llamafactory)
    sft = open_sft_folder(config.dataset_uri, config.cache_dir, config.cache_max_bytes)
    model = resolve_model(config.model_uri, config.models_dir, config.cache_dir, config.cache_max_bytes)
    composed = llamafactory_args.compose(config.llamafactory, sft.keys, use_gpu=use_gpu)
    complete = llamafactory_args.checked(
        llamafactory_args.with_places(
            composed, model_path=str(model.path), sft_path=str(sft.path), work_dir="unused", use_gpu=use_gpu
        )
    )
    llamafactory_args.parsed(complete)
    chat = ChatTokenizer(str(model.path), bool(complete.get("trust_remote_code", False)))
    examined = examine(complete, sft, chat, allow_cut=config.allow_cut)
    args = {key: complete[key] for key in composed}
    global_batch = llamafactory_args.global_batch(args, config.ray.num_workers)
    parts = {
        "model": model.digest,
        "examples": sft.digest,
        "prompt": sft.prepared.prompt_digest,
        "global_batch": str(global_batch),
        **{f"llamafactory.{key}": _text(value) for key, value in sorted(args.items()) if _decides(key)},
    }
    digest = parts_digest(parts)
    task = TrainTask(
        args=args,
        dataset_uri=_absolute(config.dataset_uri),
        model_uri=_absolute(config.model_uri) if config.model_uri != SAMPLE else SAMPLE,
        run_uri=_absolute(config.run_uri),
        adapter_uri=_absolute(config.adapter_uri),
        models_dir=_absolute(config.models_dir),
        cache_dir=_absolute(config.cache_dir),
        cache_max_bytes=config.cache_max_bytes,
        base_uri=config.model_uri,
        model_digest=model.digest,
        sft_digest=sft.digest,
        plan_digest=digest,
        prepared=sft.prepared,
        probe_digest=probe(chat).digest,
        settings=settings,
        longest_tokens=examined.longest_tokens,
        use_gpu=use_gpu,
        refuse_memory=config.memory_check == "refuse",
    )
    shape = read_shape(model.path)
    return TrainPlan(task, parts, digest, shape, examined, global_batch, _published(config.adapter_uri, digest))


def _absolute(uri: str) -> str:
    return uri if "://" in uri else os.path.abspath(os.path.expanduser(uri))


def _published(adapter_uri: str, digest: str) -> AdapterManifest | None:
    store = open_store(adapter_uri)
    found = read_manifest(store)
    if found is not None and found.plan_digest != digest:
        raise PlanMismatch(
            f"{store.uri} holds what another training has made ({found.kind} of {found.created_at}); use another "
            "adapter_uri"
        )
    return found


def _decides(key: str) -> bool:
    batch = ("per_device_train_batch_size", "gradient_accumulation_steps")  # the global batch stands for both
    return key not in llamafactory_args.OPERATIONAL and key not in batch


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
