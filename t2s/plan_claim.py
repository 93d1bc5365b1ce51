"""A folder of a store belongs to the first plan that claims it; another plan is refused and told what differs.

prepare/plan.json    {"digest": "5f0c…", "parts": {"dataset": "…", "split": "…", …}}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from t2s.errors import PlanMismatch
from t2s.storage import Store


def parts_digest(parts: Mapping[str, str]) -> str:
    """Sha256 (hex) of all that decides what a job writes."""
    return hashlib.sha256(json.dumps(dict(parts), sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def claim(store: Store, key: str, parts: Mapping[str, str]) -> None:
    """Make the folder this plan's; `PlanMismatch` if it is another's, naming what differs."""
    wanted = {"digest": parts_digest(parts), "parts": dict(parts)}
    if not store.create(key, json.dumps(wanted, ensure_ascii=False, indent=1).encode()):
        is_claimed(store, key, parts)


def is_claimed(store: Store, key: str, parts: Mapping[str, str]) -> bool:
    """Whether the folder is this plan's already; `PlanMismatch` if it is another's."""
    if not store.exists(key):
        return False
    data = store.read(key)
    try:
        found: dict[str, Any] = json.loads(data)
        digest, others = found["digest"], dict(found["parts"])
    except (ValueError, KeyError, TypeError) as error:
        raise PlanMismatch(f"{store.uri}/{key}: wanted a plan, found {data[:80]!r}: use another folder") from error
    if digest != parts_digest(parts):
        changed = [
            f"{name} ({str(others.get(name))[:40]} there, {str(parts.get(name))[:40]} now)"
            for name in sorted(others.keys() | parts.keys())
            if others.get(name) != parts.get(name)
        ]
        raise PlanMismatch(
            f"{store.uri} holds what another plan wrote; different: {'; '.join(changed)}. "
            "Use another folder, or the settings and data that it was begun with"
        )
    return True
