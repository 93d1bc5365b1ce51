"""Exactly once, whatever dies: how a shard's rows become part of a run.

    predictions/shard-00003-of-00016.attempt-1                the claim, later replaced by the rows (JSONL)
    predictions/shard-00003-of-00016.attempt-1.measurements   JSONL of Measurement, one a row
    predictions/shard-00003-of-00016.attempt-1.died           by whoever saw the engine die under this attempt
    predictions/shard-00003-of-00016.done                     create-only, last: names the attempt that counts

Whoever creates `.done` has won; readers read only what it names; the loser deletes its rows. A `.done` may instead name
two halves (`"split"`): that is how a shard that keeps killing its engine is taken apart, decided by the same one
winner.

Which attempts count against a shard: those whose engine was seen to die (`.died`), and those that this driver opened
and that never ended (their worker process died with the engine). An attempt of another driver without an end says
nothing about the shard: that driver was stopped or killed. It is numbered, but not counted, or three kills of an
innocent driver would turn good questions into errors.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from pydantic import BaseModel

from t2s.errors import DigestMismatch, PlanMismatch, StorageError
from t2s.interaction import Record
from t2s.prediction import Measurement, Prediction
from t2s.shard import Shard
from t2s.storage import Store

FOLDER = "predictions"

_Row = TypeVar("_Row", bound=BaseModel)


class Done(Record):
    """What a `.done` object says.

    Attributes:
        plan: Digest of the plan that it belongs to.
        attempt: The attempt whose rows count; 0 for a split.
        rows, errors: Number of rows, and of those with an error.
        sha256, measurements_sha256: Of the two objects' bytes.
        split: Names of the two halves that stand for this shard, or empty.
        token: Makes this object its writer's own, so that a lost answer to its creation can be told from a lost race.
    """

    plan: str
    attempt: int
    rows: int
    errors: int
    sha256: str = ""
    measurements_sha256: str = ""
    split: tuple[str, ...] = ()
    token: str


class Attempt(NamedTuple):
    """One try at a shard: `number` is 1-based, `num_deaths` says how many earlier ones the shard is to blame for."""

    shard_name: str
    number: int
    num_deaths: int

    @property
    def key(self) -> str:
        """Where its rows go."""
        return f"{FOLDER}/{self.shard_name}.attempt-{self.number}"


class ShardLedger:
    """Claims, commits and reads the shards of one run.

    Args:
        store: Opened on the `run_uri`.
        plan_digest: Of the plan that everything here belongs to.
        driver_id: Unique to this start of the driver.
    """

    def __init__(self, store: Store, plan_digest: str, driver_id: str) -> None:
        self._store = store
        self._plan = plan_digest
        self._driver_id = driver_id

    def done_names(self) -> set[str]:
        """Names of everything that has a `.done`: shards, halves and retries. One listing, no reads."""
        prefix, suffix = f"{FOLDER}/", ".done"
        return {info.key[len(prefix) : -len(suffix)] for info in self._store.list(prefix) if info.key.endswith(suffix)}

    @staticmethod
    def plan_of(store: Store, name: str) -> str:
        """The plan that a committed shard belongs to: for those who only read a run, and made no plan."""
        return _read_done(store, name).plan

    def done(self, name: str) -> Done:
        """Read a `.done`; `ObjectMissing` if there is none, `PlanMismatch` if it belongs to another plan."""
        done = _read_done(self._store, name)
        if done.plan != self._plan:
            raise PlanMismatch(
                f"{self._store.uri}/{FOLDER}/{name}.done belongs to plan {done.plan[:12]}, this run is plan "
                f"{self._plan[:12]}: use another run_uri"
            )
        return done

    def open_attempt(self, shard: Shard) -> Attempt | None:
        """Claim the next attempt on a shard; None when the shard is committed already."""
        if self._store.exists(f"{FOLDER}/{shard.name}.done"):
            return None
        prefix = f"{FOLDER}/{shard.name}.attempt-"
        keys = [info.key.removeprefix(prefix) for info in self._store.list(prefix)]
        deaths = {int(key.removesuffix(".died")) for key in keys if key.endswith(".died")}
        numbers = {int(key) for key in keys if key.isdigit()}
        deaths |= {number for number in numbers - deaths if self._opened_here(f"{prefix}{number}")}
        number = max(numbers, default=0) + 1
        claim = {"driver_id": self._driver_id, "pid": os.getpid(), "nonce": uuid.uuid4().hex}
        while not self._store.create(f"{prefix}{number}", json.dumps(claim).encode()):
            number += 1  # another driver took this number between our listing and now
        return Attempt(shard.name, number, len(deaths))

    def _opened_here(self, key: str) -> bool:
        first_line = self._store.read(key).split(b"\n", 1)[0]
        try:
            claim = json.loads(first_line)
        except ValueError:
            return False
        return isinstance(claim, dict) and claim.get("driver_id") == self._driver_id

    def record_death(self, attempt: Attempt, reason: str) -> None:
        """Say that the engine died under this attempt."""
        data = json.dumps({"driver_id": self._driver_id, "reason": reason}, ensure_ascii=False).encode()
        self._store.write(f"{attempt.key}.died", data)

    def commit(self, attempt: Attempt, rows: Sequence[Prediction], measurements: Sequence[Measurement]) -> bool:
        """Write the rows, then try to make them the shard's; False when another attempt was first."""
        body, measured = _jsonl(rows), _jsonl(measurements)
        self._store.write(attempt.key, body)
        self._store.write(f"{attempt.key}.measurements", measured)
        done = Done(
            plan=self._plan,
            attempt=attempt.number,
            rows=len(rows),
            errors=sum(row.error is not None for row in rows),
            sha256=hashlib.sha256(body).hexdigest(),
            measurements_sha256=hashlib.sha256(measured).hexdigest(),
            token=uuid.uuid4().hex,
        )
        if self._create_done(attempt.shard_name, done):
            return True
        self._store.delete(attempt.key)
        self._store.delete(f"{attempt.key}.measurements")
        return False

    def commit_split(self, shard: Shard, attempt: Attempt) -> bool:
        """Let two halves stand for a shard that keeps killing its engine; False when it was committed meanwhile."""
        halves = tuple(half.name for half in shard.halves())
        self._store.delete(attempt.key)
        done = Done(plan=self._plan, attempt=0, rows=0, errors=0, split=halves, token=uuid.uuid4().hex)
        return self._create_done(shard.name, done)

    def _create_done(self, name: str, done: Done) -> bool:
        return self._store.create(f"{FOLDER}/{name}.done", done.model_dump_json().encode())

    def read_rows(self, name: str, done_names: set[str]) -> Iterator[Prediction]:
        """The committed rows of a shard and its halves, with retries in the place of what they did again."""
        done = self.done(name)
        rows: Iterable[Prediction]
        if done.split:
            rows = (row for half in done.split for row in self.read_rows(half, done_names))
        else:
            rows = self._read_body(f"{FOLDER}/{name}.attempt-{done.attempt}", done.sha256, Prediction)
        retry = retry_name(name, 1)
        while retry in done_names:
            redone = {(row.db_id, row.question_id): row for row in self.read_rows(retry, done_names)}
            rows = [redone.get((row.db_id, row.question_id), row) for row in rows]
            retry = retry_name(name, int(retry.rsplit("-", 1)[1]) + 1)
        yield from rows

    def read_measurements(self, name: str) -> Iterator[Measurement]:
        """The committed measurements of a shard and its halves."""
        done = self.done(name)
        if done.split:
            for half in done.split:
                yield from self.read_measurements(half)
        else:
            key = f"{FOLDER}/{name}.attempt-{done.attempt}.measurements"
            yield from self._read_body(key, done.measurements_sha256, Measurement)

    def _read_body(self, key: str, sha256: str, kind: type[_Row]) -> Iterator[_Row]:
        body = self._store.read(key)
        found = hashlib.sha256(body).hexdigest()
        if found != sha256:
            raise DigestMismatch(
                f"{self._store.uri}/{key}: wanted sha256 {sha256[:12]} as committed, found {found[:12]}; the object "
                "was changed after its commit: restore it, or delete its .done and run again"
            )
        return (kind.model_validate_json(line) for line in body.splitlines())


def _read_done(store: Store, name: str) -> Done:
    data = store.read(f"{FOLDER}/{name}.done")
    try:
        return Done.model_validate_json(data)
    except ValueError as error:
        raise StorageError(
            f"{store.uri}/{FOLDER}/{name}.done: wanted a commit marker, found {data[:80]!r}; "
            "it was not written by t2s: move it away or use another run_uri"
        ) from error


def retry_name(name: str, generation: int) -> str:
    """Name of the shard that does a shard's failed interactions again, for the `generation`-th time."""
    return f"{name}-retry-{generation}"


def _jsonl(rows: Iterable[BaseModel]) -> bytes:
    # One JSON object a line; a newline inside a text is escaped by JSON, so splitlines() on bytes finds only ours.
    return b"".join(row.model_dump_json().encode() + b"\n" for row in rows)
