"""Models as predict takes them: whole safetensors files, one published revision, or a line that says what is wrong."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from t2s.errors import ModelError
from t2s.model_folder import Tensors, read_tensors, resolve_model
from tests.download.small_model import safetensors
from tests.test_models import publish


def header(text: bytes, rest: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text)) + text + rest


def entry(start: int, end: int, shape: tuple[int, ...] = (2,), dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def test_names_and_numbers_of_a_whole_file_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(safetensors({"x": (3, 4), "y": (), "empty": (0,)}, dtype="BF16"))
    assert read_tensors(tmp_path / "a") == Tensors(("x", "y", "empty"), {"BF16": 13})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "found 0 bytes"),
        (b"\x80\x02}q\x00.", "found 6 bytes"),
        (header(b"{}")[:-1], "that begin with a header of 2"),
        (struct.pack("<Q", 1 << 60), "that begin with a header"),
        (header(b"{]"), "an unreadable header"),
        (header(b"[]"), "an unreadable header"),
        (header(b'{"x": {}}'), "an unreadable header"),
        (header(json.dumps({"x": entry(0, 8)}).encode(), bytes(7)), r"wanted \d+ bytes as its header says"),
        (header(json.dumps({"x": entry(0, 8)}).encode(), bytes(9)), r"wanted \d+ bytes as its header says"),
        (header(json.dumps({"x": entry(0, 7)}).encode(), bytes(7)), "x: 2 values of F32 in 7 bytes"),
        (header(json.dumps({"x": entry(0, 8), "y": entry(4, 12)}).encode(), bytes(12)), "y begins at 4, 8 was to come"),
        (header(json.dumps({"x": entry(8, 16)}).encode(), bytes(16)), "x begins at 8, 0 was to come"),
    ],
)
def test_what_is_no_whole_safetensors_file_is_told(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match=words):
        read_tensors(tmp_path / "model.safetensors")


def test_a_model_s_folder_of_revisions_stands_for_the_only_one(tmp_path: Path) -> None:
    first = publish(tmp_path, "mine", 1)
    cache = str(tmp_path / "cache")
    assert resolve_model(str(tmp_path / "models" / "mine"), "", cache).path == first
    second = publish(tmp_path, "mine", 2)
    with pytest.raises(ModelError, match=f"found 2 published revisions: .*{second.name}.*; name one of them"):
        resolve_model(str(tmp_path / "models" / "mine"), "", cache)
    assert resolve_model(str(second), "", cache).path == second


def test_a_published_model_with_other_bytes_is_refused_by_the_file_s_name(tmp_path: Path) -> None:
    path = publish(tmp_path, "mine")
    data = bytearray((path / "model-00002-of-00002.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "model-00002-of-00002.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match=r"model-00002-of-00002\.safetensors: wanted the bytes that its manifest"):
        resolve_model(str(path), "", str(tmp_path / "cache"))
