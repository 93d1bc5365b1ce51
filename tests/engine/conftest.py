from __future__ import annotations

from pathlib import Path

import pytest

from t2s.sample_model import ensure_sample_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def sample_model() -> Path:
    """The small real model, made on first use."""
    return ensure_sample_model(ROOT / "models")
