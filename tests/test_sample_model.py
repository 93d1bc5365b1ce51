from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from t2s.errors import ModelError
from t2s.sample_model import SAMPLE_MODEL_NAME, SAMPLE_WHEEL_ROOT, ensure_sample_model

ROOT = Path(__file__).resolve().parents[1]
MAKE = "import sys, pathlib, t2s.sample_model as m; print(m.ensure_sample_model(pathlib.Path(sys.argv[1])))"


def test_without_the_package_the_error_names_the_make_target(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="make setup-predict"):
        ensure_sample_model(tmp_path / "models", tmp_path / "no wheel")
    assert [file.name for file in (tmp_path / "models").iterdir()] == [f".{SAMPLE_MODEL_NAME}.lock"]


def test_a_model_that_is_there_needs_no_package(tmp_path: Path) -> None:
    (tmp_path / SAMPLE_MODEL_NAME).mkdir()
    assert ensure_sample_model(tmp_path, tmp_path / "no wheel") == tmp_path / SAMPLE_MODEL_NAME


def test_who_comes_while_another_makes_it_waits_and_takes_that_one(tmp_path: Path) -> None:
    with (tmp_path / f".{SAMPLE_MODEL_NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, "-c", MAKE, str(tmp_path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as second:
            try:
                time.sleep(1)
                assert second.poll() is None
                (tmp_path / SAMPLE_MODEL_NAME).mkdir()
                fcntl.flock(lock, fcntl.LOCK_UN)
                assert second.communicate(timeout=20)[0].strip() == str(tmp_path / SAMPLE_MODEL_NAME)
            finally:
                second.kill()


@pytest.mark.engine
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_the_package_becomes_a_model_folder_of_the_usual_form(tmp_path: Path) -> None:
    if not SAMPLE_WHEEL_ROOT.is_dir():
        pytest.skip(f"{SAMPLE_WHEEL_ROOT} is not there: make setup-predict")
    abandoned = tmp_path / f".{SAMPLE_MODEL_NAME}-killed"
    abandoned.mkdir()
    folder = ensure_sample_model(tmp_path)
    try:
        assert not abandoned.exists()
        names = sorted(file.name for file in folder.iterdir())
        assert names == [
            "chat_template.jinja",
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        ]
        from safetensors import safe_open
        from transformers import AutoTokenizer

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        with safe_open(folder / "model.safetensors", framework="np") as weights:
            assert len(list(weights.keys())) == 2 + 9 * config["num_hidden_layers"]
            embedding = weights.get_slice("model.embed_tokens.weight")
            assert (embedding.get_shape(), embedding.get_dtype()) == ([49152, 576], "F32")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert (tokenizer.eos_token, tokenizer.eos_token_id, len(tokenizer)) == ("<|im_end|>", 2, 49152)
        for text in ("价格是 12345 元", "SELECT * FROM t WHERE a = 'b'\n\n  x", "it's"):
            ids = tokenizer.encode(text)
            assert tokenizer.decode(ids) == text
            assert all(sum(sign.isdigit() for sign in tokenizer.decode([token])) <= 1 for token in ids)
        assert tokenizer.encode("<|im_start|>user") == [1, 4093]
    finally:
        (folder / "model.safetensors").unlink()  # pytest keeps the folders of its last runs: 538 MB each
