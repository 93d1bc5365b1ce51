"""Folders and stores as origins: whole ones come and keep their revision, others are refused by name."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

import pytest

from t2s.download import Access, download
from t2s.errors import DigestMismatch, ModelError, ObjectMissing, T2SError
from t2s.storage import open_store
from tests.download.conftest import OpenHub, access_to, settings
from tests.download.small_model import others, safetensors, small_model
from tests.hub_server_repos import Repo
from tests.servers import S3Server
from tests.storage.conftest import use

FILES = small_model()
SHARD = "model-00002-of-00002.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole model, as a colleague would hand it over."""
    path = tmp_path / "theirs" / "small-model"
    path.mkdir(parents=True)
    for name, data in FILES.items():
        (path / name).write_bytes(data)
    return path


@pytest.fixture
def published(tmp_path: Path, folder: Path) -> Path:
    """The same, published by us: with a manifest."""
    [done] = download(settings(tmp_path, str(folder), models_uri=str(tmp_path / "first")), Access())
    return Path(done.uri)


def refused(tmp_path: Path, source: Path | str, error: type[T2SError], words: str, **values: object) -> None:
    with pytest.raises(error, match=words) as caught:
        download(settings(tmp_path, str(source), **values), Access())
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "models").rglob("manifest.json"))


def test_a_folder_is_published_under_a_digest_of_its_bytes(tmp_path: Path, folder: Path) -> None:
    [done] = download(settings(tmp_path, str(folder)), Access())
    assert done.published.name == "small-model"
    assert len(done.published.revision) == 16
    assert done.published.licence is None
    assert {file.checked for file in done.published.files} == {"nothing"}, "nobody promised anything"
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES), "the folder is as it was"
    assert not download(settings(tmp_path, str(folder)), Access())[0].is_new
    (folder / "README.md").write_bytes(b"another")
    [other] = download(settings(tmp_path, str(folder)), Access())
    assert other.is_new
    assert other.uri != done.uri


def test_a_published_folder_keeps_its_revision_and_licence_wherever_it_goes(tmp_path: Path, open_hub: OpenHub) -> None:
    repo = Repo("LLM-Research/tiny", FILES, licence="llama3")
    hub = open_hub(repo)
    first = settings(tmp_path, "modelscope://LLM-Research/tiny", models_uri=str(tmp_path / "first"))
    [origin] = download(first, access_to(hub))
    [copy] = download(settings(tmp_path, origin.uri), Access())
    assert Path(copy.uri) == tmp_path / "models" / "tiny" / repo.head
    assert (copy.published.licence, copy.published.digest) == ("llama3", origin.published.digest)
    assert {file.checked for file in copy.published.files} == {"record"}


def test_one_flipped_byte_is_found_by_the_manifest(tmp_path: Path, published: Path) -> None:
    data = bytearray((published / SHARD).read_bytes())
    data[len(data) // 2] ^= 1
    (published / SHARD).write_bytes(data)
    refused(tmp_path, published, DigestMismatch, rf"{SHARD}: wanted the bytes that its manifest\.json promises")


def test_a_file_that_the_manifest_promises_and_is_gone_is_named(tmp_path: Path, published: Path) -> None:
    (published / "README.md").unlink()
    refused(tmp_path, published, ObjectMissing, r"wanted README\.md, which its manifest\.json promises, found none")


def test_a_missing_shard_is_named(tmp_path: Path, folder: Path) -> None:
    (folder / SHARD).unlink()
    refused(tmp_path, folder, ModelError, rf"wanted a whole model with {SHARD}, found no such file")


def test_a_shard_that_was_cut_is_named(tmp_path: Path, folder: Path) -> None:
    (folder / SHARD).write_bytes(FILES[SHARD][:-1])
    refused(tmp_path, folder, ModelError, rf"{SHARD}: wanted \d+ bytes as its header says")


def test_a_shard_without_a_tensor_of_the_index_is_named(tmp_path: Path, folder: Path) -> None:
    (folder / SHARD).write_bytes(safetensors({"layers.2.bias": (10,)}))
    refused(tmp_path, folder, ModelError, rf"the tensor layers\.2\.weight in {SHARD}, as the index says, found none")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "old/weights.pth", "optimizer.PT"])
def test_a_pickle_is_named(tmp_path: Path, folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"\x80\x04")
    refused(tmp_path, folder, ModelError, rf"wanted a folder without pickles .*found {name}; .*exclude")
    [done] = download(settings(tmp_path, str(folder), exclude=(f"*{Path(name).suffix}",)), Access())
    assert name not in [file.name for file in done.published.files]


def test_a_pickle_comes_when_a_pattern_asks_for_it(tmp_path: Path, folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
    [done] = download(settings(tmp_path, str(folder), include=("*.bin", "*.json", "*.safetensors")), Access())
    assert "pytorch_model.bin" in [file.name for file in done.published.files]


@pytest.mark.parametrize("start", [b"\x80\x04\x95", b"PK\x03\x04"])
def test_a_pickle_under_another_name_is_named(tmp_path: Path, folder: Path, start: bytes) -> None:
    (folder / SHARD).write_bytes(start + bytes(1000))
    refused(tmp_path, folder, ModelError, rf"wanted {SHARD} to be what its name says, found a pickle")


def test_a_symbolic_link_is_named(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(FILES[SHARD])
    (folder / SHARD).unlink()
    (folder / SHARD).symlink_to(tmp_path / "elsewhere")
    refused(tmp_path, folder, ModelError, rf"found the symbolic link {SHARD} -> .*elsewhere")
    (folder / SHARD).unlink()
    (folder / "more").symlink_to("/")
    refused(tmp_path, folder, ModelError, "found the symbolic link more -> /")


def test_what_is_neither_file_nor_folder_is_named(tmp_path: Path, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    refused(tmp_path, folder, ModelError, "found pipe, which is neither")


def test_a_folder_that_is_not_there_or_empty_is_told(tmp_path: Path) -> None:
    refused(tmp_path, tmp_path / "none", ObjectMissing, "none: wanted a f")
    (tmp_path / "empty").mkdir()
    refused(tmp_path, tmp_path / "empty", ObjectMissing, "empty: wanted a folder with files in it, found none")


@pytest.mark.parametrize("scheme", ["modelscope", "hf"])
@pytest.mark.parametrize("name", ["../outside.json", "sub/../../outside.json", "/etc/outside.json", "a\\b.json"])
def test_a_path_that_climbs_out_is_refused_by_name(scheme: str, name: str, tmp_path: Path, open_hub: OpenHub) -> None:
    hub = open_hub(Repo("LLM-Research/tiny", FILES | {name: b"{}"}))
    with pytest.raises(ModelError, match=r"outside|a.*b") as caught:
        download(settings(tmp_path, f"{scheme}://LLM-Research/tiny"), access_to(hub))
    assert repr(name) in str(caught.value)
    assert not list(tmp_path.rglob("outside.json"))
    assert hub.troubles.sent() == 0, "nothing of such a repository is taken"


def test_a_model_with_nothing_but_pickles_names_them(tmp_path: Path, open_hub: OpenHub) -> None:
    files = {name: data for name, data in FILES.items() if "safetensors" not in name}
    hub = open_hub(Repo("LLM-Research/tiny", files | others()))
    with pytest.raises(ModelError, match=r"pytorch_model\.bin are pickles, which run code"):
        download(settings(tmp_path, "modelscope://LLM-Research/tiny"), access_to(hub))


@pytest.mark.s3
def test_a_model_goes_to_object_storage_and_back(
    tmp_path: Path, published: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, s3_server.env)
    models_uri = f"s3://{s3_server.bucket}/{uuid.uuid4().hex}/models"
    [up] = download(settings(tmp_path, str(published), models_uri=models_uri), Access())
    assert sorted(info.key for info in open_store(up.uri).list()) == sorted([*FILES, "manifest.json"])
    [down] = download(settings(tmp_path, up.uri), Access())
    assert down.published.digest == up.published.digest
    assert all((Path(down.uri) / name).read_bytes() == data for name, data in FILES.items())
    flipped = bytearray(FILES[SHARD])
    flipped[-1] ^= 1
    open_store(up.uri).write(SHARD, bytes(flipped))
    shutil.rmtree(down.uri)
    refused(tmp_path, up.uri, DigestMismatch, rf"{SHARD}: wanted the bytes that its manifest\.json promises")
