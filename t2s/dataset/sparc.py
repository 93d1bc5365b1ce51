"""SParC's own layout (https://github.com/taoyds/sparc, README, "Data Content and Format").

    {"database_id": "car_1",
     "interaction": [{"utterance": "…", "utterance_toks": [...], "query": "Select …;", "sql": {...}}, ...],
     "final": {"utterance": "…", "query": "…"}}

CHASE took its layout from here and left out `final`: the goal of the whole interaction in one sentence, which is no
turn and is not read.
"""

from __future__ import annotations

from typing import Any

from t2s.dataset.chase import read

__all__ = ["NAME", "matches", "read"]

NAME = "sparc"


def matches(entry: dict[str, Any]) -> bool:
    """Whether a file whose first object is `entry` has this layout."""
    return "database_id" in entry and "final" in entry
