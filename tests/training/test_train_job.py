"""The job train with its own Ray on this machine: through kills and stops, with two workers, with all of it in S3."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from t2s.storage import open_store
from tests.cluster.ray_cluster import command_of, is_alive, wait_for
from tests.servers import S3Server
from tests.training.conftest import DEV_PROGRAMS, Train
from tests.training.job import ROOT, TrainJob, losses

pytestmark = [pytest.mark.train, pytest.mark.timeout(3000)]


def done_steps(run: Path) -> list[int]:
    return sorted(int(path.stem.partition("-")[2]) for path in run.glob("train/checkpoints/*.done"))


def long(settings: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Long enough to be killed on the way: some ten seconds."""
    block = {**settings["llamafactory"], "max_steps": 200, "save_steps": 20, "report_to": "none", **more}
    return {**settings, "llamafactory": block}


def test_a_killed_worker_is_replaced_and_the_loss_curve_goes_on(
    training_settings: dict[str, Any], train: Train, tmp_path: Path
) -> None:
    settings, run = long(training_settings), tmp_path / "run"
    # Relative ones are relative to the job's working directory; the workers have another.
    settings |= {name: os.path.relpath(value, ROOT) for name, value in settings.items() if isinstance(value, str)}
    with TrainJob(settings, tmp_path) as job:
        job.wait_for(lambda: max(done_steps(run), default=0) >= 40, "the checkpoint of step 40")
        [worker] = job.workers()
        os.kill(worker, signal.SIGKILL)
        last_done = max(done_steps(run))
        assert job.ended() == 0, job.log
        left = job.processes()
    assert f"going on from the checkpoint of step {last_done}" in job.log
    assert "200 steps, loss" in job.log.splitlines()[-1]
    assert left == []
    status = json.loads((run / "train" / "status.json").read_bytes())
    assert (status["state"], status["counts"]["restarts"], status["counts"]["done_steps"]) == ("done", 1, 200)
    assert (run / "train" / "loss.png").read_bytes().startswith(b"\x89PNG")

    manifest = json.loads((run / "adapter" / "manifest.json").read_bytes())
    assert manifest["base_model"]["uri"] == settings["model_uri"]

    undisturbed = long(training_settings | {"run_uri": str(tmp_path / "u"), "adapter_uri": str(tmp_path / "ua")})
    wanted = train(undisturbed)
    assert wanted.error == "", wanted.message
    assert losses((run / "train" / "history.json").read_bytes()) == pytest.approx(wanted.losses(), abs=1e-6)
    weights = (run / "adapter" / "adapter_model.safetensors").read_bytes()
    assert weights == (tmp_path / "ua" / "adapter_model.safetensors").read_bytes()


def test_sigterm_saves_first_and_the_same_command_goes_on_from_there(
    training_settings: dict[str, Any], tmp_path: Path
) -> None:
    settings, run = long(training_settings), tmp_path / "run"
    with TrainJob(settings, tmp_path) as job:
        job.wait_for(lambda: max(done_steps(run), default=0) >= 20, "the checkpoint of step 20")
        job.process.send_signal(signal.SIGTERM)
        assert job.ended(150) == 3, job.log
        left = job.processes()
    assert left == []
    saved = max(done_steps(run))
    assert f"error: stopped at step {saved} of 200; its checkpoint is stored" in job.error_line()
    assert json.loads((run / "train" / "status.json").read_bytes())["state"] == "stopped"

    with TrainJob(settings, tmp_path) as job:
        assert job.ended() == 0, job.log
    assert f"going on from the checkpoint of step {saved}" in job.log
    assert list(losses((run / "train" / "history.json").read_bytes())) == list(range(1, 201))

    began = time.monotonic()
    with TrainJob(settings, tmp_path) as job:  # all is done: no Ray is started, nothing is trained
        assert job.ended() == 0, job.log
    assert "starting Ray" not in job.log and "200 steps, loss" in job.log
    assert time.monotonic() - began < 120

    other = {**settings, "llamafactory": {**settings["llamafactory"], "learning_rate": 2e-2}}
    with TrainJob(other, tmp_path) as job:
        assert job.ended() == 2, job.log
    assert "another training has made" in job.error_line()


def test_a_job_that_is_killed_leaves_no_process_behind_and_can_be_run_again(
    training_settings: dict[str, Any], tmp_path: Path
) -> None:
    settings, run = long(training_settings), tmp_path / "run"
    with TrainJob(settings, tmp_path) as job:
        job.wait_for(lambda: max(done_steps(run), default=0) >= 20, "the checkpoint of step 20")
        below = {pid: command_of(pid) for pid in job.processes()}
        job.process.kill()
    # Two agents of Ray look for the head for another minute; they hold nothing.
    workers = [pid for pid, command in below.items() if "Agent" not in command]
    wait_for(lambda: not any(map(is_alive, workers)), 30, f"the end of {below}")
    wait_for(lambda: not any(map(is_alive, below)), 200, f"the end of {below}")
    last_done = max(done_steps(run))
    with TrainJob(settings, tmp_path) as job:
        assert job.ended() == 0, job.log
    assert f"going on from the checkpoint of step {last_done}" in job.log


def test_two_workers_give_the_same_loss_curve_as_one_with_the_same_global_batch(
    training_settings: dict[str, Any], train: Train, tmp_path: Path
) -> None:
    block = {**training_settings["llamafactory"], "max_steps": 20, "gradient_accumulation_steps": 4}
    one = train({**training_settings, "llamafactory": block})
    assert one.error == "", one.message
    settings = {
        **training_settings,
        "run_uri": str(tmp_path / "two"),
        "adapter_uri": str(tmp_path / "two" / "adapter"),
        "llamafactory": {**block, "gradient_accumulation_steps": 2},
        "ray": {"num_workers": 2},
    }
    with TrainJob(settings, tmp_path) as job:
        assert job.ended() == 0, job.log
    found = losses((tmp_path / "two" / "train" / "history.json").read_bytes())
    assert list(found) == list(range(1, 21))
    assert found == pytest.approx(one.losses(), abs=1e-3)
    files = [path.name for path in tmp_path.glob("two/train/checkpoints/step-00000020.*/*")]
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= set(files), "each worker's own state is kept"


@pytest.mark.slow
def test_a_worker_that_is_killed_while_everything_is_in_s3_goes_on_from_there(
    training_settings: dict[str, Any], prepared: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{DEV_PROGRAMS}:{os.environ['PATH']}")  # where the server's program is
    with S3Server(tmp_path / "s3") as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        bucket = f"s3://{server.bucket}"
        for folder, name in ((prepared, "prepared"), (tiny_model, "model")):
            store = open_store(f"{bucket}/{name}")
            for path in (path for path in folder.rglob("*") if path.is_file()):
                store.upload(path, path.relative_to(folder).as_posix())
        places = {"dataset_uri": f"{bucket}/prepared", "model_uri": f"{bucket}/model", "run_uri": f"{bucket}/runs/one"}
        settings = long(training_settings | places | {"adapter_uri": f"{bucket}/adapters/one"})
        settings["ray"] = {"num_workers": 2}
        run = open_store(settings["run_uri"])

        def done() -> list[str]:
            return [info.key for info in run.list("train/checkpoints/") if info.key.endswith(".done")]

        with TrainJob(settings, tmp_path, server.env) as job:
            job.wait_for(lambda: len(done()) >= 2, "two checkpoints")
            os.kill(job.workers()[-1], signal.SIGKILL)
            assert job.ended() == 0, job.log
        assert "going on from the checkpoint of step" in job.log
        assert list(losses(run.read("train/history.json"))) == list(range(1, 201))
        assert len(done()) == 2, "older ones are deleted"
        bodies = {info.key.split("/")[2].partition(".")[0] for info in run.list("train/checkpoints/")}
        assert bodies == {Path(key).stem for key in done()}
        manifest = json.loads(open_store(settings["adapter_uri"]).read("manifest.json"))
        assert manifest["base_model"]["uri"] == f"{bucket}/model"
        assert server.env["AWS_SECRET_ACCESS_KEY"] not in json.dumps(manifest) + job.log
