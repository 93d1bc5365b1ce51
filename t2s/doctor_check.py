"""What `t2s doctor` says about one thing."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Check(NamedTuple):
    """One thing that was looked at.

    Attributes:
        state: `fail` stops a run, `warn` may.
        topic: What was looked at.
        text: What was found, and for warn and fail what to do.
    """

    state: Literal["ok", "warn", "fail"]
    topic: str
    text: str
