"""How long a store that does not answer is waited for."""

from __future__ import annotations

import random
import time

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0  # a server that comes back is noticed within 5 s


class Patience:
    """The pauses of one operation: jittered, doubling, until `budget_s` have gone by since the first failure.

    Args:
        budget_s: For how long to try again, in seconds.
    """

    def __init__(self, budget_s: float) -> None:
        self._budget_s = budget_s
        self._since: float | None = None
        self._num_failures = 0

    @property
    def waited_s(self) -> float:
        """Seconds since the first failure; 0 while there was none."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    @property
    def left_s(self) -> float:
        """Seconds of the budget that are left."""
        return max(0.0, self._budget_s - self.waited_s)

    def next_pause(self) -> float | None:
        """Count a failure; seconds to wait before the next try, or None when the budget is used up."""
        if self._since is None:
            self._since = time.monotonic()
        self._num_failures += 1
        longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self._num_failures, 16))
        # Half of it by chance: a thousand shards that lost the same server must not come back in step.
        pause = longest * random.uniform(0.5, 1.0)
        return pause if pause < self.left_s else None
