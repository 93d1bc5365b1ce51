from __future__ import annotations

from pathlib import Path

import pytest

from t2s.sample_model import SAMPLE_WHEEL_ROOT, ensure_sample_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def sample_model() -> Path:
    """The small real model, made on first use."""
    return ensure_sample_model(ROOT / "models")


@pytest.fixture(scope="session")
def llama3_vocabulary() -> Path:
    """Llama 3's `tokenizer.model`, from a package."""
    file = SAMPLE_WHEEL_ROOT / "llama_models" / "llama3" / "tokenizer.model"
    if not file.is_file():
        pytest.skip(f"{file} is not there: make setup-predict")
    return file
