"""What the local hub can be told to do wrong, and what it remembers of every answer."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Mapping
from typing import Literal, NamedTuple

Kind = Literal["info", "list", "file", "cdn"]
"""What is asked for: facts of a repository, its files, one file (answered by a redirect where it is big), the bytes."""


class Trouble(NamedTuple):
    """Something that goes wrong.

    Attributes:
        kind, name: Which requests: their kind, and a pattern for the file ("" for lists).
        status, headers: Answer this.
        cut_after: Close the connection after so many bytes of the body.
        stall_after: Send nothing more after so many bytes, until the client goes away.
        bytes_per_s: Send no faster.
        flip: Send one wrong bit in the middle.
        expired: Redirect to an address whose signature has expired.
        left_out: Leave this file out of the list.
        grown: List this file with one byte more than it has.
    """

    kind: Kind
    name: str = "*"
    status: int = 0
    headers: Mapping[str, str] = {}
    cut_after: int = -1
    stall_after: int = -1
    bytes_per_s: float = 0
    flip: bool = False
    expired: bool = False
    left_out: str = ""
    grown: str = ""


class Served(NamedTuple):
    """One answer: of which kind, for which file, from which byte on, how many were sent, and who was told the token."""

    kind: Kind
    name: str
    status: int
    start: int
    sent: int
    host: str
    authorized: bool


class Troubles:
    """Which answers go wrong, in the order in which they were told; and what was answered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: list[tuple[Trouble, int]] = []
        self.log: list[Served] = []
        self.asked: list[tuple[str, int]] = []
        """Files whose bytes were asked for, and from which byte on, in order; also where nothing was sent then."""

    def add(self, trouble: Trouble, times: int = 1) -> None:
        """Let the next `times` matching answers go wrong; -1: all of them."""
        with self._lock:
            self._left.append((trouble, times))

    def clear(self) -> None:
        with self._lock:
            self._left.clear()

    def take(self, kind: Kind, name: str) -> Trouble | None:
        with self._lock:
            for number, (trouble, times) in enumerate(self._left):
                if trouble.kind == kind and fnmatch.fnmatch(name, trouble.name):
                    if times == 1:
                        del self._left[number]
                    elif times > 0:
                        self._left[number] = (trouble, times - 1)
                    return trouble
        return None

    def served(self, served: Served) -> int:
        """Remember an answer that begins; its number is for `count`."""
        with self._lock:
            self.log.append(served)
            return len(self.log) - 1

    def count(self, number: int, sent: int) -> None:
        """So many bytes of an answer have been sent; of no meaning once the log was cleared."""
        with self._lock:
            if number < len(self.log):
                self.log[number] = self.log[number]._replace(sent=sent)

    def starts(self, name: str) -> list[int]:
        """From which byte on a file's bytes were asked for, once for each answer that gave some."""
        with self._lock:
            return [one.start for one in self.log if one.name == name and one.status in (200, 206) and _is_bytes(one)]

    def sent(self, name: str = "*") -> int:
        """How many bytes of files were sent in all."""
        with self._lock:
            return sum(one.sent for one in self.log if fnmatch.fnmatch(one.name, name) and _is_bytes(one))


def _is_bytes(one: Served) -> bool:
    return one.kind in ("file", "cdn") and one.sent > 0
