from __future__ import annotations

from pathlib import Path

import pytest

from t2s.manifest import StatusWriter
from t2s.run_status import find_jobs, print_table
from t2s.storage import open_store
from t2s.training.gpu_speed import flops_per_token, peak_flops
from t2s.training.model_shape import ModelShape
from t2s.training.train_progress import StepReport, TrainProgress, finite_values

SHAPE = ModelShape(8_030_000_000, 6_980_000_000, 4096, 14336, 32, 128_256, 80_896, 2)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def report(step: int, tokens: float, **values: float) -> StepReport:
    return StepReport(step, 100, {"num_input_tokens_seen": tokens, **values})


def test_steps_tokens_mfu_and_time_left_are_those_of_what_was_done() -> None:
    clock = Clock()
    progress = TrainProgress(clock)
    assert progress.snapshot().line() == "the workers are starting"
    progress.started(flops_per_token=1e9, device="NVIDIA A10", num_workers=2)
    progress.report(report(10, 1000))  # goes on from a checkpoint
    for step in range(11, 21):
        clock.now += 2
        progress.report(report(step, 1000 + 25_000 * (step - 10), loss=1 / step, learning_rate=9.1e-5))
    found = progress.snapshot()
    assert (found.done_steps, found.total_steps, found.tokens_per_s, found.time_left_s) == (20, 100, 12_500.0, 160.0)
    assert found.mfu == pytest.approx(1e9 * 12_500 / (2 * 125e12))
    progress.report(report(20, 251_000, eval_loss=0.53))
    assert progress.snapshot().line() == (
        "step 20/100 (20.0 %), loss 0.05, held-out loss 0.53, lr 9.1e-05, 12,500 tokens/s, MFU 5%, 3 min left"
    )


def test_after_a_restart_rates_count_anew_and_the_steps_are_those_of_the_checkpoint() -> None:
    clock = Clock()
    progress = TrainProgress(clock)
    progress.started(1e9, "cpu", 1)
    for step in range(1, 11):
        clock.now += 1
        progress.report(report(step, 100 * step, loss=2.0))
    clock.now += 300  # a node is replaced
    progress.started(1e9, "cpu", 1)
    progress.report(report(5, 500))
    found = progress.snapshot()
    assert (found.done_steps, found.restarts, found.tokens_per_s, found.time_left_s, found.mfu) == (5, 1, 0, None, None)
    clock.now += 1
    progress.report(report(6, 600))
    assert progress.snapshot().time_left_s == 94.0


def test_the_table_of_a_run_shows_steps_where_a_job_counts_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = TrainProgress()
    progress.report(report(7, 700, loss=1.0))
    store = open_store(str(tmp_path))
    writer = StatusWriter(store, "train", lambda: progress.snapshot()._asdict())
    writer.start()
    writer.finish("stopped", "stopped at step 7 of 100")
    print_table(store.uri, find_jobs(store))
    shown = capsys.readouterr().out
    assert "7/100 steps" in shown and "stopped at step 7 of 100" in shown


def test_only_numbers_are_passed_on() -> None:
    assert finite_values({"loss": 1, "epoch": 0.5, "name": "x", "none": None}) == {"loss": 1.0, "epoch": 0.5}


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("NVIDIA A10", 125e12),
        ("NVIDIA A10G", 70e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("Tesla T4", 65e12),
        ("cpu", None),
        ("NVIDIA GeForce GTX 1050", None),
    ],
)
def test_a_gpu_is_known_by_its_name(name: str, flops: float | None) -> None:
    assert peak_flops(name) == flops


def test_what_a_token_costs_depends_on_what_is_trained() -> None:
    lora = flops_per_token({"finetuning_type": "lora"}, SHAPE, 1000)
    full = flops_per_token({"finetuning_type": "full"}, SHAPE, 1000)
    assert lora == pytest.approx(4 * 8.03e9 + 6 * 32 * 4096 * 1000)
    assert full - lora == pytest.approx(2 * 8.03e9)
