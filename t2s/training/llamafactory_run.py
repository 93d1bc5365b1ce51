"""One worker's part of a training: its files, the checkpoint to go on from, LLaMA-Factory's own run, what is published.

Called in every worker at the same time, by Ray Train or, for a single process, by anyone. All that a worker needs is in
the `TrainTask`; models and examples come through the node's cache.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s import process_env
from t2s.engine.chat import ChatTokenizer
from t2s.errors import ClusterError, DatasetError, ModelError, StorageError, T2SError, TrainError
from t2s.manifest import now, package_versions
from t2s.model_folder import resolve_model
from t2s.storage import open_store
from t2s.storage.cache import CachedFolder
from t2s.training import adapter, llamafactory_args, memory_estimate
from t2s.training.adapter import AdapterManifest, BaseModelRef
from t2s.training.checkpoints import HISTORY_KEY, Checkpoint, Checkpoints
from t2s.training.model_files import copy_tokenizer, is_model_file, name_base_model
from t2s.training.model_shape import ModelShape, read_shape
from t2s.training.prepared import Prepared
from t2s.training.probe import probe
from t2s.training.ranks import Ranks
from t2s.training.sft_folder import SftFolder, open_sft_folder
from t2s.training.train_progress import Link

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainTask:
    """A training as a worker gets it; goes over the network.

    Attributes:
        args: LLaMA-Factory's arguments, checked, without this node's places.
        dataset_uri, model_uri, run_uri, adapter_uri, models_dir, cache_dir: As in `TrainConfig`, local paths absolute:
            Ray Train's workers have a working directory of their own.
        cache_max_bytes: As in `TrainConfig`.
        base_uri: `model_uri` as it was written, for the manifest.
        model_digest, sft_digest: What these must be on every node.
        plan_digest: Checkpoints belong to it.
        prepared: What prepare says of the examples.
        probe_digest: For the manifest.
        settings: For the manifest, without secrets.
        longest_tokens: Of the longest example.
        use_gpu: Whether the workers have one each.
        refuse_memory: Whether settings that do not fit by estimate are an error.
    """

    args: dict[str, Any]
    dataset_uri: str
    model_uri: str
    run_uri: str
    adapter_uri: str
    models_dir: str
    cache_dir: str
    cache_max_bytes: int | None
    model_digest: str
    sft_digest: str
    base_uri: str
    plan_digest: str
    prepared: Prepared
    probe_digest: str
    settings: dict[str, Any]
    longest_tokens: int
    use_gpu: bool
    refuse_memory: bool


def run_training(task: TrainTask, ranks: Ranks, link: Link) -> None:
    """Train to the end and publish; returns in every worker when the result is in the store.

    Args:
        task: What to do.
        ranks: The other workers.
        link: Where progress goes and a stop comes from.

    Raises:
        Stopped: A stop was requested; the checkpoint is stored.
        TrainError: The loss is no number, or the GPU's memory does not hold it.
        InputError: This node's model or examples are not those of the plan.
        StorageError: The store failed or refused.
        RuntimeError: What torch raises when another worker is lost, among others.
    """
    process_env.prepare_training_libraries()
    model = resolve_model(task.model_uri, task.models_dir, task.cache_dir, task.cache_max_bytes)
    sft = open_sft_folder(task.dataset_uri, task.cache_dir, task.cache_max_bytes)
    _demand_same(task, model, sft)
    shape = read_shape(model.path)
    if task.use_gpu:
        _check_gpu_memory(task, shape)
    with _work_dir(task, ranks) as work_dir, _no_disk_full(work_dir):
        _train(task, ranks, link, model, sft, work_dir)


def _train(task: TrainTask, ranks: Ranks, link: Link, model: CachedFolder, sft: SftFolder, work_dir: Path) -> None:
    import torch
    from datasets import disable_progress_bars  # type: ignore[import-not-found]
    from llamafactory.train.tuner import run_exp

    from t2s.training.callback import TrainingCallback

    disable_progress_bars()
    llamafactory_args.join_logs()
    store = open_store(task.run_uri)
    args = llamafactory_args.with_places(
        task.args, model_path=str(model.path), sft_path=str(sft.path), work_dir=str(work_dir), use_gpu=task.use_gpu
    )
    output = Path(args["output_dir"])
    checkpoint = _fetch_checkpoint(Checkpoints(store, task.plan_digest), ranks, output)
    if checkpoint is not None:
        args["resume_from_checkpoint"] = str(output / f"checkpoint-{checkpoint.step}")
    process_env.set_tensorboard_folder(str(work_dir / "tensorboard"))
    callback = TrainingCallback(store, task.plan_digest, ranks, link, work_dir / "tensorboard")
    # Its prints (a whole example as ids, a dictionary a step) belong to nobody's log.
    with (work_dir / f"worker-{ranks.rank}.log").open("w", encoding="utf-8") as log:
        with contextlib.redirect_stdout(log):
            try:
                run_exp(args, callbacks=[callback])
            except torch.OutOfMemoryError as error:
                raise TrainError(
                    f"{llamafactory_args.flat(error)[:300]}; {_memory_advice(task, read_shape(model.path))}"
                ) from error
    if ranks.is_first:
        state = json.loads((output / "trainer_state.json").read_bytes())
        state["log_history"] = callback.history
        store.write(HISTORY_KEY, json.dumps(callback.history, ensure_ascii=False, indent=0).encode())
        callback.tensorboard.upload()
        publish_result(task, model, output, state)
    ranks.gather(None)  # nobody ends before the result is published


def publish_result(task: TrainTask, model: CachedFolder, output: Path, state: dict[str, Any]) -> AdapterManifest:
    """Store what upstream has left in its output folder, as something that predict can trust."""
    is_adapter = (output / "adapter_config.json").is_file()
    if is_adapter:
        name_base_model(output / "adapter_config.json", task.base_uri)
        names = list(adapter.ADAPTER_FILES)
    else:
        # Upstream's tokenizer is an altered one (special tokens, padding, at times the template): the base's own stays.
        copy_tokenizer(model.path, output)
        chat = ChatTokenizer(str(output), bool(task.args.get("trust_remote_code", False)))
        if probe(chat).digest != task.probe_digest:
            raise TrainError(
                f"{output}: the trained model renders another text than its base model; nothing is published"
            )
        names = sorted(path.name for path in output.iterdir() if is_model_file(path))
    for name in names:
        if not (output / name).is_file():
            raise TrainError(f"{output / name}: wanted the trained weights as safetensors, found no such file")
    manifest = AdapterManifest(
        kind="adapter" if is_adapter else "model",
        digest="",
        base_model=BaseModelRef(uri=task.base_uri, digest=task.model_digest),
        prompt_digest=task.prepared.prompt_digest,
        prompt=task.prepared.prompt,
        probe_digest=task.probe_digest,
        template=task.args.get("template"),
        data_digest=task.prepared.digest,
        plan_digest=task.plan_digest,
        settings=task.settings,
        metrics=_metrics(state),
        packages=package_versions(),
        created_at=now(),
    )
    published = adapter.publish(output, names, task.adapter_uri, manifest)
    logger.info("%s published: %s, digest %s", published.kind, task.adapter_uri, published.digest[:12])
    return published


def _check_gpu_memory(task: TrainTask, shape: ModelShape) -> None:
    import torch

    room_gib = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory / 2**30
    memory_estimate.demand_room(
        task.args, shape, task.longest_tokens, room_gib, torch.cuda.get_device_name(), refuse=task.refuse_memory
    )


def _memory_advice(task: TrainTask, shape: ModelShape) -> str:
    """After the memory was not enough, whatever was estimated: what by estimate needs a fifth less than there is."""
    import torch

    room_gib = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory / 2**30
    changes = memory_estimate.advice(task.args, shape, task.longest_tokens, 0.8 * room_gib)
    return f"what would fit: {', or '.join(changes)}" if changes else "no setting makes it fit: take a bigger GPU"


def _demand_same(task: TrainTask, model: CachedFolder, sft: SftFolder) -> None:
    if model.digest != task.model_digest:
        raise ModelError(
            f"{task.model_uri}: wanted the model that the job began with (digest {task.model_digest[:12]}), found "
            f"another one on this node ({model.digest[:12]}); use one that all nodes share, such as s3://"
        )
    if sft.digest != task.sft_digest:
        raise DatasetError(
            f"{task.dataset_uri}: wanted the examples that the job began with (digest {task.sft_digest[:12]}), found "
            f"others on this node ({sft.digest[:12]}); use a URI that all nodes share, such as s3://"
        )


def _fetch_checkpoint(checkpoints: Checkpoints, ranks: Ranks, output: Path) -> Checkpoint | None:
    """The last checkpoint, on every node; the first worker says which, so that all take the same one."""
    found: Checkpoint | T2SError | None = None
    if ranks.is_first:
        try:
            found = checkpoints.latest()
        except T2SError as error:
            found = error
    found = ranks.gather(found)[0]
    failure: T2SError | None = found if isinstance(found, T2SError) else None
    if ranks.local_rank == 0 and isinstance(found, Checkpoint):
        try:
            _fetch(checkpoints, found, output)
        except T2SError as error:
            failure = error
    failure = next((error for error in ranks.gather(failure) if error is not None), None)
    if failure is not None:
        raise failure
    assert not isinstance(found, T2SError)
    if found is not None and ranks.is_first:
        logger.info("going on from the checkpoint of step %d", found.step)
    return found


def _fetch(checkpoints: Checkpoints, checkpoint: Checkpoint, output: Path) -> None:
    folder = output / f"checkpoint-{checkpoint.step}"
    checkpoints.fetch(checkpoint, folder)
    state_file = folder / "trainer_state.json"
    state = json.loads(state_file.read_bytes())
    if state.get("best_model_checkpoint"):
        best = int(state["best_model_checkpoint"].rpartition("-")[2])
        state["best_model_checkpoint"] = str(output / f"checkpoint-{best}")
        state_file.write_text(json.dumps(state, ensure_ascii=False), encoding="utf-8")
        if best != checkpoint.step and (other := checkpoints.find(best)) is not None:
            checkpoints.fetch(other, output / f"checkpoint-{best}")


@contextlib.contextmanager
def _work_dir(task: TrainTask, ranks: Ranks) -> Iterator[Path]:
    """This node's folder for the run, empty at the start and gone at the end; one training of a run at a time."""
    name = hashlib.sha256(f"{task.run_uri} {task.plan_digest}".encode()).hexdigest()[:16]
    folder = Path(task.cache_dir).expanduser().absolute() / "train" / f"{name}-{ranks.node_rank}"
    failure: T2SError | None = None
    with contextlib.ExitStack() as held:
        if ranks.local_rank == 0:
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context(folder.with_suffix(".lock").open("ab"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                failure = ClusterError(
                    f"{task.run_uri}: another training of this run goes on on this node; stop it first"
                )
            else:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
        failure = next((error for error in ranks.gather(failure) if error is not None), None)
        if failure is not None:
            raise failure
        try:
            yield folder
        finally:
            if ranks.local_rank == 0:
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _no_disk_full(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageError(
            f"{folder}: the disk of this node is full; free some space, or set cache_dir to a disk with room"
        ) from error


def _metrics(state: dict[str, Any]) -> dict[str, float]:
    """The last of each number that was logged, and how far it went."""
    metrics: dict[str, float] = {}
    for entry in state["log_history"]:
        for key, value in entry.items():
            # Not upstream's train_loss: after a restart it is the sum of the last part over the steps of all.
            if key in ("loss", "eval_loss", "epoch") and math.isfinite(value):
                metrics[key] = float(value)
    metrics["steps"] = float(state["global_step"])
    metrics["tokens"] = float(state.get("num_input_tokens_seen", 0))
    return metrics
