"""What is published, and what predict compares before it takes it; needs no model and no heavy package."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from t2s.errors import DigestMismatch, ModelError, PlanMismatch
from t2s.model_folder import resolve_model
from t2s.prompt import PromptConfig
from t2s.storage import open_store
from t2s.storage.cache import NodeCache
from t2s.training.adapter import (
    MANIFEST_NAME,
    AdapterManifest,
    BaseModelRef,
    Wanted,
    check,
    manifest_in,
    publish,
    read_manifest,
)

WANTED = Wanted(base_digest="b" * 64, prompt_digest="5" * 64, probe_digest="9" * 64)


def manifest(**changes: Any) -> AdapterManifest:
    values: dict[str, Any] = {
        "kind": "adapter",
        "digest": "",
        "base_model": BaseModelRef(uri="s3://team/models/llama3", digest=WANTED.base_digest),
        "prompt": PromptConfig(),
        "prompt_digest": WANTED.prompt_digest,
        "probe_digest": WANTED.probe_digest,
        "template": "llama3",
        "data_digest": "2" * 64,
        "plan_digest": "1" * 64,
        "settings": {"run_uri": "runs/训练"},
        "metrics": {"loss": 0.25},
        "packages": {},
        "created_at": "2026-11-24T04:25:00+00:00",
    }
    return AdapterManifest.model_validate(values | changes)


def write_adapter(folder: Path) -> Path:
    """Whole files without a weight in them."""
    folder.mkdir()
    header = b"{}"
    (folder / "adapter_model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    (folder / "adapter_config.json").write_text('{"r": 8}', encoding="utf-8")
    return folder


def test_the_digest_of_a_published_adapter_is_what_the_node_cache_finds(tmp_path: Path) -> None:
    names = ["adapter_config.json", "adapter_model.safetensors"]
    published = publish(write_adapter(tmp_path / "output"), names, str(tmp_path / "adapter"), manifest())
    folder = NodeCache(tmp_path / "cache").folder(str(tmp_path / "adapter"))
    assert published.digest == folder.digest
    assert manifest_in(folder.path) == published == read_manifest(open_store(str(tmp_path / "adapter")))
    check(published, "adapter", folder.digest, WANTED, strict=True)


def test_publishing_again_is_no_harm_and_another_trainings_result_is_never_replaced(tmp_path: Path) -> None:
    output, uri = write_adapter(tmp_path / "output"), str(tmp_path / "adapter")
    first = publish(output, ["adapter_config.json"], uri, manifest())
    assert publish(output, ["adapter_config.json"], uri, manifest(created_at="2027-01-01T00:00:00+00:00")) == first
    with pytest.raises(PlanMismatch, match="another adapter_uri"):
        publish(output, ["adapter_config.json"], uri, manifest(plan_digest="7" * 64))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"base_model": {"uri": "models/other", "digest": "c" * 64}},
            r"trained on the model models/other .digest c{12}",
        ),
        ({"prompt_digest": "6" * 64}, r"another prompt .*prompt: \{\"language\":\"zh\""),
        ({"prompt_digest": None}, "nothing says which prompt"),
        ({"probe_digest": "8" * 64}, "chat template renders another text here .probe 8{12}, here 9{12}"),
    ],
)
def test_what_belongs_to_another_model_prompt_or_template_is_refused_or_warned_of(
    changes: dict[str, Any], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = manifest(**changes, digest="d" * 64)
    with pytest.raises(ModelError, match=f"runs/a: .*{told}.*adapter_check: warn takes it"):
        check(other, "runs/a", "d" * 64, WANTED, strict=True)
    with caplog.at_level(logging.WARNING):
        check(other, "runs/a", "d" * 64, WANTED, strict=False)
    assert len(caplog.records) == 1


def test_everything_that_differs_is_said_at_once() -> None:
    other = manifest(
        base_model={"uri": "models/other", "digest": "c" * 64},
        prompt_digest="6" * 64,
        probe_digest="8" * 64,
        digest="d",
    )
    with pytest.raises(ModelError) as refusal:
        check(other, "a", "d", WANTED, strict=True)
    assert str(refusal.value).count("; ") >= 2


def test_a_merged_model_belongs_to_itself_but_prompt_and_template_count(tmp_path: Path) -> None:
    merged = manifest(kind="model", digest="d", base_model={"uri": "models/other", "digest": "c" * 64})
    check(merged, "models/merged", "d", WANTED, strict=True)
    with pytest.raises(ModelError, match="another prompt"):
        check(merged.model_copy(update={"prompt_digest": "6" * 64}), "models/merged", "d", WANTED, strict=True)


def test_an_adapter_without_manifest_is_refused_unless_a_warning_will_do(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ModelError, match=r"wanted an adapter with manifest\.json"):
        check(None, "runs/a", "d", WANTED, strict=True)
    with caplog.at_level(logging.WARNING):
        check(None, "runs/a", "d", WANTED, strict=False)
    assert "manifest.json" in caplog.text


def test_files_that_are_not_those_that_were_published_are_refused_in_any_case(tmp_path: Path) -> None:
    for strict in (True, False):
        with pytest.raises(DigestMismatch, match="wanted the files that were published"):
            check(manifest(digest="d"), "runs/a", "e", WANTED, strict=strict)


def test_another_jobs_manifest_is_none_of_an_adapter_and_a_broken_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_NAME).write_text('{"job": "download", "files": {}}', encoding="utf-8")
    assert manifest_in(tmp_path) is None
    record = json.loads(manifest().model_dump_json()) | {"digest": 5, "later": "field"}
    (tmp_path / MANIFEST_NAME).write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ModelError, match="wanted the manifest of an adapter of format 1"):
        manifest_in(tmp_path)


def test_an_adapter_that_is_a_pickle_is_refused(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "pickled")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"adapter_model\.bin, but pickles are never loaded"):
        resolve_model(str(folder), str(tmp_path / "models"), str(tmp_path / "cache"))
