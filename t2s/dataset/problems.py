"""Collecting what is wrong with a file, so that a user sees more than the first mistake."""

from __future__ import annotations

from t2s.errors import DatasetError

_NUM_SHOWN = 10


class Problems:
    """Problems of one file or folder; the first ten are told, the others counted."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._lines: list[str] = []
        self._num_all = 0

    def add(self, place: str, text: str) -> None:
        """Note one; `place` is a path as in `[17].interaction[2].question`, or a file's name."""
        self._num_all += 1
        if len(self._lines) < _NUM_SHOWN:
            self._lines.append(f"{place}: {text}")

    def raise_if_any(self) -> None:
        """Raise all that was noted as one `DatasetError`: a line each."""
        if not self._num_all:
            return
        if self._num_all == 1:
            raise DatasetError(f"{self._uri}: {self._lines[0]}")
        lines = [f"{self._uri}: {self._num_all} problems", *self._lines]
        if self._num_all > len(self._lines):
            lines.append(f"… and {self._num_all - len(self._lines)} more")
        raise DatasetError("\n  ".join(lines))


def describe(value: object) -> str:
    """Name a parsed JSON value in a message: `a number (7)`, `an object with the keys db_id, table_names`."""
    match value:
        case None:
            return "null"
        case bool():
            return f"a boolean ({str(value).lower()})"
        case str():
            return f"a text ({_shorten(value)!r})"
        case int() | float():
            return f"a number ({_shorten(str(value))})"
        case dict():
            names = [_shorten(str(key)) for key in list(value)[:8]]
            return f"an object with the keys {', '.join(names)}" if names else "an empty object"
        case list():
            return f"a list of {len(value)}" if value else "an empty list"
    raise AssertionError(f"JSON has no {type(value)}")


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "…"
