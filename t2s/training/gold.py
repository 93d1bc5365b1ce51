"""Running gold SQL before it is trained on: what does not run is left out, what returns nothing is counted.

An interaction ends before its first turn whose gold does not run. The turns after it refer to that turn: their prompts
would show SQL that fails, or a hole, which is not what a model sees that answered it; and nobody knows whether their
gold is right where the gold that it was written from is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from t2s.interaction import Interaction
from t2s.sql.sandbox import Kind, Limits, Sandbox

_MAX_KNOWN = 100_000  # outcomes kept for gold that occurs again; of about 200 bytes each


class Ran(NamedTuple):
    """What came of one gold query: `kind` is "rows" where it ran; `is_empty`: it did, and returned none."""

    kind: Kind
    is_empty: bool
    message: str


class Checked(NamedTuple):
    """An interaction as far as its gold runs.

    Attributes:
        interaction: Without the turns from the first failing one on; None where that is the first turn.
        num_empty: Turns of it whose gold returns nothing.
        failed: What came of the turn that ended it; None where all ran.
    """

    interaction: Interaction | None
    num_empty: int
    failed: Ran | None


class DatabaseFolder(Protocol):
    """What is needed of `t2s.dataset.Databases`."""

    def path(self, db_id: str) -> Path:
        """A local file of the database."""


class GoldRunner:
    """Runs gold in the sandbox, some interactions ahead of whoever takes them; equal SQL of a database once.

    Args:
        databases: Checked.
        num_workers: Queries at once; None: one for each CPU.
        limits: What a query may take.
    """

    def __init__(self, databases: DatabaseFolder, num_workers: int | None, limits: Limits) -> None:
        self._databases = databases
        self._sandbox = Sandbox(num_workers, limits)
        self._threads = ThreadPoolExecutor(self._sandbox.num_workers, thread_name_prefix="gold")
        self._known: dict[tuple[str, str], Ran] = {}
        self._pending: dict[tuple[str, str], Future[Ran]] = {}

    def __enter__(self) -> Self:
        self._sandbox.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._sandbox.close()  # what runs now ends now, not at its deadline
        self._threads.shutdown(wait=True)

    def start(self, interactions: Sequence[Interaction]) -> None:
        """Let the gold of these run; `check` waits for it."""
        if len(self._known) > _MAX_KNOWN:
            self._known.clear()
        for interaction in interactions:
            path = self._databases.path(interaction.db_id)
            for turn in interaction.turns:
                key = (interaction.db_id, turn.gold_sql or "")
                if key not in self._known and key not in self._pending:
                    self._pending[key] = self._threads.submit(self._run, path, key[1])

    def check(self, interaction: Interaction) -> Checked:
        """What is left of an interaction that was started.

        Raises:
            SandboxError: Workers cannot be started.
        """
        outcomes = [self._ran(interaction.db_id, turn.gold_sql or "") for turn in interaction.turns]
        num_good = next((index for index, ran in enumerate(outcomes) if ran.kind != "rows"), len(outcomes))
        num_empty = sum(ran.is_empty for ran in outcomes[:num_good])
        if num_good == len(outcomes):
            return Checked(interaction, num_empty, None)
        rest = interaction.model_copy(update={"turns": interaction.turns[:num_good]}) if num_good else None
        return Checked(rest, num_empty, outcomes[num_good])

    def _ran(self, db_id: str, sql: str) -> Ran:
        key = (db_id, sql)
        future = self._pending.pop(key, None)
        if future is not None:
            self._known[key] = future.result()
        elif key not in self._known:  # it was, when it was to be started, and has been forgotten since
            self._known[key] = self._run(self._databases.path(db_id), sql)
        return self._known[key]

    def _run(self, database: Path, sql: str) -> Ran:
        outcome = self._sandbox.run(database, sql)
        return Ran(outcome.kind, outcome.rows == (), outcome.message)
