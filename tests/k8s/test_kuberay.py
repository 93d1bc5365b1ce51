"""`t2s submit --kuberay`: what is rendered for a run, and what kubectl is asked to do with it."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from t2s.cluster import kuberay
from t2s.errors import ClusterError, MissingExtra, SettingsError
from t2s.settings import JOB_SETTINGS
from t2s.settings.train import TrainSettings
from tests.k8s.kubernetes_api import KubernetesApi
from tests.k8s.policies import POLICIES
from tests.k8s.rendering import OVERLAYS, ROOT, Object, kubectl
from tests.k8s.schemas import faults

OVERLAY = ROOT / "k8s" / "overlays" / "one-a10"
CONFIG = "configs/predict_cluster.yaml"
RUN_URI = "s3://t2s/runs/中文-a10"
NAME = "t2s-predict-" + kuberay._digest(RUN_URI)


@pytest.fixture(autouse=True)
def _as_a_user_in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name in [name for name in os.environ if name.startswith("T2S_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{Path(kubectl()).parent}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def schemas(shared: Path) -> Path:
    return shared / "k8s-schemas"


@pytest.fixture
def api(tmp_path: Path, schemas: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    api = KubernetesApi(tmp_path, schemas)
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig))
    monkeypatch.setenv("KUBECACHEDIR", str(tmp_path / "cache"))
    yield api
    api.close()


@cache
def template(overlay: Path = OVERLAY) -> Object:
    return kuberay.read_template(overlay, "predict")


def rendered(*overrides: str, overlay: Path = OVERLAY) -> Object:
    settings = JOB_SETTINGS["predict"].load([CONFIG, f"run_uri={RUN_URI}", *overrides])
    return kuberay.render(template(overlay), settings, "t2s-predict-0123abcd-1")


def settings_file(ray_job: Object, folder: Path) -> Path:
    """The file that the downward API makes of the annotation."""
    head = ray_job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]
    (volume,) = (one for one in head["spec"]["volumes"] if "downwardAPI" in one)
    (item,) = volume["downwardAPI"]["items"]
    (mount,) = (one for one in head["spec"]["containers"][0]["volumeMounts"] if one["name"] == volume["name"])
    assert ray_job["spec"]["entrypoint"].split()[-1] == f"{mount['mountPath']}/{item['path']}"
    key = item["fieldRef"]["fieldPath"].removeprefix("metadata.annotations['").removesuffix("']")
    path = folder / "run.yaml"
    path.write_text(head["metadata"]["annotations"][key], encoding="utf-8")
    return path


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_a_rendered_run_is_valid_and_keeps_every_policy(overlay: Path, schemas: Path) -> None:
    gpus = ["ray.num_gpus_per_engine=0"] if overlay.name == "development" else []
    ray_job = yaml.safe_load(kuberay.to_yaml(rendered(*gpus, overlay=overlay)))
    assert faults(ray_job, schemas) == []
    assert [fault for policy in POLICIES for fault in policy(ray_job)] == []


def test_the_job_in_the_container_loads_the_settings_of_the_submission(tmp_path: Path) -> None:
    words = [
        f"run_uri={RUN_URI}",
        "limit=3",
        'engine.generation.stop=[";", "\\n\\n", "\'\\"$x"]',
        "vllm.max_model_len=4096",
    ]
    wanted = JOB_SETTINGS["predict"].load([CONFIG, *words])
    found = JOB_SETTINGS["predict"].load([str(settings_file(rendered(*words), tmp_path))])
    assert found == wanted


def test_only_the_last_word_of_the_entrypoint_changes() -> None:
    before, after = template()["spec"]["entrypoint"], rendered()["spec"]["entrypoint"]
    assert before.split()[:-1] == after.split()[:-1]
    assert after == "/opt/venv/bin/python /opt/t2s/jobs/predict.py /etc/t2s/run.yaml"


def test_the_template_is_left_as_it_was() -> None:
    before = kuberay.to_yaml(template())
    rendered("executor.num_engines=3")
    assert kuberay.to_yaml(template()) == before


def test_no_variable_of_this_machine_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "much-too-secret")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "also-too-secret")
    text = kuberay.to_yaml(rendered())
    assert "too-secret" not in text
    assert "t2s-store-credentials" in text and "t2s-ray-token" in text


def test_as_many_workers_train_as_the_settings_say() -> None:
    words = [f"{key}=s3://t2s/{key}" for key in ("dataset_uri", "model_uri", "run_uri")]
    settings = TrainSettings.load(["executor.kind=ray", "ray.num_workers=2", *words])
    ray_job = kuberay.render(kuberay.read_template(OVERLAY, "train"), settings, "t2s-train-0123abcd-1")
    (group,) = ray_job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert (group["groupName"], group["replicas"], group["maxReplicas"]) == ("train", 2, 2)


def test_as_many_workers_as_engines_are_asked_for() -> None:
    (group,) = rendered("executor.num_engines=3")["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (3, 3, 3)
    (group,) = rendered()["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert group["replicas"] == 1, "else what the overlay says"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["dataset_uri=data/testA_data"], "dataset_uri: wanted s3://"),
        (["engine.adapter_uri=adapters/mine"], "engine.adapter_uri"),
        (["executor.kind=local"], "executor.kind: wanted ray"),
        (["ray.resource=t2s_predcit"], "offer (t2s_predict), found t2s_predcit"),
        (["vllm.tensor_parallel_size=2"], "wanted 2 GPUs on one worker"),
        (["prompt.template_uri=prompts/mine.jinja"], "prompt.template_uri"),
    ],
)
def test_what_cannot_work_there_is_said_before_anything_is_created(
    overrides: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/dev/null")
    with pytest.raises(SettingsError) as caught:
        kuberay.submit("predict", CONFIG, overrides, overlay=OVERLAY, detach=True)
    assert said in str(caught.value)


def test_an_overlay_that_is_not_there_or_lacks_the_job_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no-such/jobs/kustomization\.yaml, found none"):
        kuberay.read_template(tmp_path / "no-such", "predict")
    with pytest.raises(
        SettingsError, match="component=dance, found those of download, evaluate, predict, prepare, train"
    ):
        kuberay.read_template(OVERLAY, "dance")


def test_without_kubectl_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtra, match="kubectl"):
        kuberay.read_template(OVERLAY, "predict")


class Run:
    """`submit` in a thread, and what it showed."""

    def __init__(self, *overrides: str, **options: Any) -> None:
        self.text = ""
        self.code: int | None = None
        self.error: BaseException | None = None
        words = [f"run_uri={RUN_URI}", *overrides]
        options = {"overlay": OVERLAY, "show": self._show, **options}
        self._thread = threading.Thread(target=self._run, args=(words, options))
        self._thread.start()

    def _show(self, piece: str) -> None:
        self.text += piece

    def _run(self, words: list[str], options: dict[str, Any]) -> None:
        try:
            self.code = kuberay.submit("predict", CONFIG, words, **options)
        except Exception as error:
            self.error = error

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + 60
        while text not in self.text:
            assert time.monotonic() < deadline and self._thread.is_alive(), (
                f"{text!r} not in {self.text!r}: {self.error}"
            )
            time.sleep(0.05)

    def end(self) -> int | None:
        self._thread.join(timeout=60)
        assert not self._thread.is_alive(), self.text
        if self.error is not None:
            raise self.error
        return self.code


def test_printing_creates_nothing_and_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/dev/null")
    run = Run(print_only=True)
    assert run.end() == 0
    assert yaml.safe_load(run.text)["metadata"]["name"] == f"{NAME}-1"
    assert RUN_URI in run.text, "Chinese as it is"
    assert re.search(r"^ +t2s-settings: \|\n( +)dataset_uri: s3://", run.text, re.MULTILINE), "lines as lines"


def test_a_run_is_created_followed_and_ends_with_its_jobs_end(api: KubernetesApi) -> None:
    run = Run()
    run.wait_for(f"created RayJob {NAME}-1 in t2s")
    api.set_status(f"{NAME}-1", "Initializing")
    run.wait_for("Initializing")
    api.logs[f"{NAME}-1"] = ["shard 1/2 done"]
    api.set_status(f"{NAME}-1", "Running", "RUNNING")
    run.wait_for("shard 1/2 done\n")
    api.logs[f"{NAME}-1"].append("分片 2/2 done")
    run.wait_for("分片 2/2 done\n")
    api.set_status(f"{NAME}-1", "Complete", "SUCCEEDED")
    api.log_ended.set()
    assert run.end() == 0
    assert run.text.count("shard 1/2 done") == run.text.count("分片 2/2 done") == 1
    assert api.ray_jobs[f"{NAME}-1"]["metadata"]["annotations"]["t2s-run-uri"] == RUN_URI


@pytest.mark.parametrize(
    ("deployment", "job", "code"),
    [("Failed", "FAILED", 1), ("Complete", "STOPPED", 3), ("Failed", "", 1), ("ValidationFailed", "", 1)],
)
def test_the_exit_code_says_how_it_ended(api: KubernetesApi, deployment: str, job: str, code: int) -> None:
    run = Run()
    run.wait_for("created")
    api.log_ended.set()
    api.set_status(f"{NAME}-1", deployment, job, message="the GPU never came")
    assert run.end() == code


def test_the_reason_of_a_failure_is_said(api: KubernetesApi, caplog: pytest.LogCaptureFixture) -> None:
    run = Run()
    run.wait_for("created")
    api.set_status(f"{NAME}-1", "Failed", "", message="the GPU never came")
    assert run.end() == 1
    assert "the GPU never came" in caplog.text


def test_a_run_that_still_runs_is_followed_and_one_that_has_ended_is_begun_again(api: KubernetesApi) -> None:
    assert Run(detach=True).end() == 0
    second = Run(detach=True)
    assert second.end() == 0
    assert "runs already" in second.text
    assert list(api.ray_jobs) == [f"{NAME}-1"]
    api.set_status(f"{NAME}-1", "Failed", "FAILED")
    assert Run(detach=True).end() == 0
    assert list(api.ray_jobs) == [f"{NAME}-1", f"{NAME}-2"]


def test_one_job_is_applied_by_its_label_without_t2s(api: KubernetesApi) -> None:
    words = ["apply", "-k", str(OVERLAY / "jobs"), "-l", "app.kubernetes.io/component=predict"]
    done = subprocess.run([kubectl(), *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "rayjob.ray.io/t2s-predict created\n"), done.stderr
    assert list(api.ray_jobs) == ["t2s-predict"]


def test_a_run_that_is_deleted_while_it_is_followed_counts_as_stopped(api: KubernetesApi) -> None:
    run = Run()
    run.wait_for("created")
    del api.ray_jobs[f"{NAME}-1"]
    assert run.end() == 3
    assert "was deleted" in run.text


def test_a_cluster_that_does_not_answer_is_one_line(api: KubernetesApi) -> None:
    api.kubeconfig.write_text(api.kubeconfig.read_text().replace("127.0.0.1:", "127.0.0.1:1/?"), encoding="utf-8")
    with pytest.raises(ClusterError, match="kubectl get") as caught:
        Run(detach=True).end()
    assert "\n" not in str(caught.value)


def test_what_the_server_refuses_is_said(api: KubernetesApi, tmp_path: Path) -> None:
    overlay = tmp_path / "misspelt"
    (overlay / "jobs").mkdir(parents=True)
    ray_job = copy.deepcopy(template())
    ray_job["spec"]["activeDeadlineSecs"] = 5
    (overlay / "jobs" / "job.yaml").write_text(kuberay.to_yaml(ray_job), encoding="utf-8")
    (overlay / "jobs" / "kustomization.yaml").write_text("resources: [job.yaml]", encoding="utf-8")
    with pytest.raises(ClusterError, match="activeDeadlineSecs"):
        Run(overlay=overlay, detach=True).end()
