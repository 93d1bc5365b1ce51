"""What happens between two steps: progress goes out, checkpoints are stored, a stop is heard, a broken loss ends it."""

from __future__ import annotations

import json
import logging
import math
import uuid
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from t2s.errors import Stopped, T2SError, TrainError
from t2s.storage import Store
from t2s.training.checkpoints import HISTORY_KEY, Checkpoints, Stored, files_of
from t2s.training.ranks import Ranks
from t2s.training.train_progress import Link, StepReport, finite_values

logger = logging.getLogger(__name__)

TENSORBOARD_FOLDER = "train/tensorboard/"


class TrainingCallback(TrainerCallback):  # type: ignore[misc]  # transformers has no types here
    """Given to LLaMA-Factory's trainer, in each worker.

    Args:
        store: Of the run.
        plan_digest: Checkpoints belong to it.
        ranks: The other workers.
        link: Where progress goes and a stop comes from.
        tensorboard: Folder of TensorBoard's files.

    Attributes:
        history: What was logged at each step; upstream's own file lacks what comes after the last step.

    Raises from inside the trainer, in all workers at the same step:
        Stopped: A stop was requested; the checkpoint is stored.
        TrainError: The loss or the weights are no numbers any more.
        StorageError: The store failed or refused.
    """

    def __init__(self, store: Store, plan_digest: str, ranks: Ranks, link: Link, tensorboard: Path) -> None:
        self._store, self._ranks, self._link = store, ranks, link
        self._checkpoints = Checkpoints(store, plan_digest)
        self._stopping = False
        self._logged_step = 0
        self.history: list[dict[str, Any]] = []
        self.tensorboard = _Mirror(store, tensorboard)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Say where it begins."""
        self._logged_step = state.global_step
        self.history = state.log_history
        if self._ranks.is_first:
            values = {"num_input_tokens_seen": float(state.num_input_tokens_seen)}
            self._link.report(StepReport(state.global_step, state.max_steps, values))

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """After an optimizer step."""
        self._hear_stop(state, control)

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Between two optimizer steps: the state is still that of the last one, and can be saved."""
        self._hear_stop(state, control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Upstream would evaluate here before it saves."""
        if self._stopping:
            control.should_evaluate = False

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Upstream evaluates once more after the training: not what it evaluated after the last step."""
        last = [entry for entry in state.log_history if entry["step"] == state.global_step]
        if any("eval_loss" in entry for entry in last) and not args.load_best_model_at_end:
            args.do_eval = False

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        """Pass the numbers on, unless they are none."""
        for key in ("loss", "grad_norm"):
            value = logs.get(key)
            # Under fp16 a step whose gradients overflow is skipped; that is what its scaler is for.
            if value is not None and not math.isfinite(value) and not (key == "grad_norm" and args.fp16):
                raise TrainError(
                    self._diverged("the loss" if key == "loss" else "the gradient", value, state.global_step)
                )
        self._logged_step = state.global_step
        if self._ranks.is_first:
            self._link.report(StepReport(state.global_step, state.max_steps, finite_values(logs)))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Store what upstream has just saved on this node."""
        model = kwargs["model"]
        broken = any(p.requires_grad and not bool(torch.isfinite(p).all()) for p in model.parameters())
        if self._ranks.any(broken):
            raise TrainError(self._diverged("a weight", math.nan, state.global_step))
        best = Path(state.best_model_checkpoint).name.rpartition("-")[2] if state.best_model_checkpoint else None
        self._store_checkpoint(
            Path(args.output_dir) / f"checkpoint-{state.global_step}",
            state.global_step,
            keep=args.save_total_limit,
            best=int(best) if best else None,
            history=state.log_history,
        )
        if self._stopping:
            raise Stopped(self._stopped(state))

    def _stopped(self, state: Any) -> str:
        return f"stopped at step {state.global_step} of {state.max_steps}; its checkpoint is stored"

    def _hear_stop(self, state: Any, control: Any) -> None:
        if self._stopping or not self._ranks.any(self._link.stop_requested):
            return
        if state.global_step == 0:
            raise Stopped(f"stopped before the first of {state.max_steps} steps was done")
        if self._checkpoints.find(state.global_step) is not None:
            raise Stopped(self._stopped(state))
        self._stopping = True
        control.should_save = control.should_training_stop = control.should_epoch_stop = True
        control.should_evaluate = False

    def _store_checkpoint(
        self, folder: Path, step: int, keep: int | None, best: int | None, history: list[dict[str, Any]]
    ) -> None:
        """All workers together: each node's first one uploads what its node has, the first of all commits."""
        attempt = self._ranks.gather(uuid.uuid4().hex[:12])[0]  # from here on every worker has written its files
        own = files_of(folder) if self._ranks.local_rank == 0 and folder.is_dir() else []
        offered = self._ranks.gather(own)
        earlier = {name for names in offered[: self._ranks.rank] for name in names}
        names = [name for name in own if name not in earlier]
        uploaded: dict[str, Stored] | T2SError
        try:
            uploaded = self._checkpoints.upload(step, attempt, folder, names)
        except T2SError as error:
            uploaded = error
        parts = self._ranks.gather(uploaded)
        failure = next((part for part in parts if isinstance(part, T2SError)), None)
        if failure is None and self._ranks.is_first:
            files = {name: stored for part in parts if not isinstance(part, T2SError) for name, stored in part.items()}
            try:
                self._commit(step, attempt, files, keep, best, history)
            except T2SError as error:
                failure = error
        failure = next((error for error in self._ranks.gather(failure) if error is not None), None)
        if failure is not None:
            raise failure

    def _commit(
        self,
        step: int,
        attempt: str,
        files: dict[str, Stored],
        keep: int | None,
        best: int | None,
        history: list[dict[str, Any]],
    ) -> None:
        self._store.write(HISTORY_KEY, json.dumps(history, ensure_ascii=False, indent=0).encode())
        self.tensorboard.upload()
        if not self._checkpoints.commit(step, attempt, files):
            logger.info("step %d has a checkpoint already; this one is dropped", step)
            self._checkpoints.drop(step, attempt, list(files))
            return
        size_mib = sum(stored.size for stored in files.values()) / 2**20
        logger.info("checkpoint of step %d stored, %.1f MiB", step, size_mib)
        if keep:
            self._checkpoints.prune(keep, best)

    def _diverged(self, what: str, value: float, step: int) -> str:
        span = (
            f"at step {step}" if step - self._logged_step <= 1 else f"between steps {self._logged_step + 1} and {step}"
        )
        return (
            f"{what} is {value} {span}: training has diverged and was ended there; the checkpoints before it are "
            "whole. Lower llamafactory.learning_rate, lengthen warmup_steps, or use bf16 in place of fp16, with "
            "another run_uri"
        )


class _Mirror:
    """Keeps a copy of TensorBoard's growing files in the run's store."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store, self._folder = store, folder
        self._sizes: dict[str, int] = {}

    def upload(self) -> None:
        """Store what has grown since the last time."""
        for path in sorted(self._folder.rglob("*")) if self._folder.is_dir() else ():
            name = path.relative_to(self._folder).as_posix()
            if path.is_file() and self._sizes.get(name) != path.stat().st_size:
                self._sizes[name] = path.stat().st_size
                self._store.upload(path, TENSORBOARD_FOLDER + name)
