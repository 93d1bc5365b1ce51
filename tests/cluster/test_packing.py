from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from t2s.cluster import packing
from t2s.cluster.packing import pack
from t2s.errors import SettingsError


def write(folder: Path, *names: str, size: int = 1) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.urandom(size))


def names_in(archive: Path) -> set[str]:
    with zipfile.ZipFile(archive) as opened:
        return set(opened.namelist())


def test_code_and_settings_go_along_environments_data_and_history_stay(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    write(
        folder,
        "jobs/predict.py",
        "t2s/models/表.py",
        "configs/a.yaml",
        "t2s/__pycache__/x.pyc",
        ".venvs/core/bin/python",
    )
    write(
        folder,
        ".git/HEAD",
        ".cache/m.bin",
        "data/test.json",
        "runs/a/x",
        "models/8b/w.safetensors",
        "scripts/data/s.py",
    )
    pack(folder, tmp_path / "w.zip")
    assert names_in(tmp_path / "w.zip") == {
        "jobs/predict.py",
        "t2s/models/表.py",
        "configs/a.yaml",
        "scripts/data/s.py",
    }


def test_what_rayignore_names_stays(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    write(folder, "jobs/predict.py", "notebooks/a/b.ipynb", "big/x.bin", "t2s/y.bin")
    (folder / ".rayignore").write_text("# what the jobs do not need\nnotebooks/\n*.bin\n", encoding="utf-8")
    pack(folder, tmp_path / "w.zip")
    assert names_in(tmp_path / "w.zip") == {"jobs/predict.py", ".rayignore"}


def test_equal_files_give_an_equal_archive_whenever_and_wherever_they_were_written(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "jobs").mkdir(parents=True)
        (tmp_path / name / "jobs" / "predict.py").write_text("print(1)\n", encoding="utf-8")
    os.utime(tmp_path / "two" / "jobs" / "predict.py", (1, 1))
    pack(tmp_path / "one", tmp_path / "one.zip")
    pack(tmp_path / "two", tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_a_folder_that_is_too_big_is_refused_with_the_names_of_the_biggest(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    write(folder, "jobs/predict.py")
    write(folder, "checkpoints/a.bin", size=60_000_000)
    write(folder, "dumps/b.bin", size=40_000_000)
    with pytest.raises(
        SettingsError, match=r"at most 95 MB when packed, found 100 MB; .*checkpoints 60 MB, dumps 40 MB"
    ):
        pack(folder, tmp_path / "w.zip")


def test_a_folder_far_too_big_is_refused_before_it_is_packed(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    write(folder, "jobs/predict.py")
    with open(folder / "model.safetensors", "wb") as sparse:
        sparse.truncate(10 * packing.MAX_BYTES + 1)
    with pytest.raises(SettingsError, match=r"model\.safetensors 950 MB"):
        pack(folder, tmp_path / "w.zip")
    assert not (tmp_path / "w.zip").exists()
