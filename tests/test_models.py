"""`t2s models`: what a store of models has, and what in it is not whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from t2s.download import Access, download
from t2s.errors import ModelError
from t2s.models import find_models, print_models
from t2s.storage import open_store
from tests.download.conftest import settings
from tests.download.small_model import small_model


def publish(tmp_path: Path, name: str, seed: int = 0) -> Path:
    folder = tmp_path / "from" / f"{name}-{seed}"
    folder.mkdir(parents=True)
    for file, data in small_model(seed=seed).items():
        (folder / file).write_bytes(data)
    [done] = download(settings(tmp_path, str(folder), name=name), Access())
    return Path(done.uri)


def test_models_are_listed_by_name_with_what_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, other = publish(tmp_path, "mine", 1), publish(tmp_path, "mine", 2), publish(tmp_path, "Another")
    (tmp_path / "models" / "by-hand").mkdir()
    (tmp_path / "models" / "by-hand" / "config.json").write_bytes(b"{}")
    (tmp_path / "models" / "sample" / "x").mkdir(parents=True)
    store = open_store(str(tmp_path / "models"))
    shelf = find_models(store)
    assert next(iter(shelf.models)) == f"Another/{other.name}"
    assert set(shelf.models) == {f"{path.parent.name}/{path.name}" for path in (other, first, second)}
    assert (shelf.damaged, shelf.unfinished) == ({}, ())
    print_models(store.uri, shelf)
    printed = capsys.readouterr().out
    manifest = shelf.models[f"Another/{other.name}"]
    row = next(line for line in printed.splitlines() if line.startswith("Another"))
    for cell in (other.name, "0.2 MB", "BF16", "0.1 M", manifest.verified_at[:10]):
        assert cell in row
    # A long origin goes on in the next lines.
    assert manifest.origin.split("/")[-1] in "".join(
        line[len(row) - len(row.split()[-1]) :] for line in printed.splitlines()
    )


def test_what_is_not_whole_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = publish(tmp_path, "mine")
    (path / "model-00001-of-00002.safetensors").unlink()
    (path / "tokenizer.json").write_bytes(b"{}")
    store = open_store(str(tmp_path / "models"))
    store.write("begun/0123/.incoming/begun", b"{}")
    store.write("strange/0123/manifest.json", b"[]")
    shelf = find_models(store)
    assert set(shelf.damaged) == {f"mine/{path.name}", "strange/0123"}
    assert shelf.unfinished == ("begun/0123",)
    print_models(store.uri, shelf)
    printed = " ".join(capsys.readouterr().out.split())
    assert "model-00001-of-00002.safetensors is gone; tokenizer.json has 2 bytes instead of" in printed
    assert "begun/0123: its download has not ended; running it again goes on" in printed
    assert "(damaged)" in printed


def test_a_store_without_models_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="wanted models, each as <name>/<revision>/"):
        find_models(open_store(str(tmp_path)))
