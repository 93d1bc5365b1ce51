"""Errors on their way between processes: ours by name, Ray's in one line."""

from __future__ import annotations

from t2s import errors
from t2s.errors import T2SError


def named(kind: str, message: str) -> T2SError:
    """The error of ours whose class is called `kind`; made anew, since Ray would wrap it into its own on the way."""
    found = getattr(errors, kind)
    assert issubclass(found, T2SError), f"{kind} is no error of ours"
    error: T2SError = found(message)
    return error


def told(error: BaseException) -> str:
    """An error of Ray in one line: its text holds whole remote tracebacks, whose last line says what went wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else 'no message'}"
