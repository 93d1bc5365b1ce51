from __future__ import annotations

import json
from pathlib import Path

import pytest

from t2s.errors import DigestMismatch, PlanMismatch, StorageError
from t2s.interaction import Interaction, Turn
from t2s.ledger import Attempt, ShardLedger, retry_name
from t2s.prediction import Measurement, Prediction
from t2s.shard import Shard
from t2s.storage import Store, open_store

SHARD = Shard(
    name="shard-00000-of-00001",
    interactions=tuple(
        Interaction(db_id="城市", turns=(Turn(question_id=f"q{i}", question="多少？"),)) for i in range(4)
    ),
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "run"))


def ledger(store: Store, driver_id: str = "driver-1", plan: str = "plan-1") -> ShardLedger:
    return ShardLedger(store, plan, driver_id)


def rows(shard: Shard, sql: str = "SELECT 1", error: str | None = None) -> list[Prediction]:
    return [
        Prediction(
            db_id=one.db_id,
            question_id=turn.question_id,
            interaction_id=one.interaction_id,
            turn_index=index,
            predicted_sql=sql,
            completion=f"{sql}\r\n\u2028;",
            error=error,
        )
        for one in shard.interactions
        for index, turn in enumerate(one.turns)
    ]


def measured(shard: Shard) -> list[Measurement]:
    return [Measurement(db_id=row.db_id, question_id=row.question_id) for row in rows(shard)]


def opened(of: ShardLedger, shard: Shard = SHARD) -> Attempt:
    attempt = of.open_attempt(shard)
    assert attempt is not None
    return attempt


def test_committed_rows_come_back_equal_and_a_committed_shard_is_not_opened_again(store: Store) -> None:
    mine = ledger(store)
    assert mine.commit(opened(mine), rows(SHARD), measured(SHARD))
    assert list(mine.read_rows(SHARD.name, mine.done_names())) == rows(SHARD)
    assert list(mine.read_measurements(SHARD.name)) == measured(SHARD)
    assert mine.open_attempt(SHARD) is None


def test_of_two_attempts_the_first_to_commit_counts_and_the_other_ones_rows_are_dropped(store: Store) -> None:
    first, second = ledger(store, "driver-1"), ledger(store, "driver-2")
    one, two = opened(first), opened(second)
    assert (one.number, two.number) == (1, 2)
    assert second.commit(two, rows(SHARD, "SELECT 2"), measured(SHARD))
    assert not first.commit(one, rows(SHARD, "SELECT 1"), measured(SHARD))
    assert {row.predicted_sql for row in first.read_rows(SHARD.name, first.done_names())} == {"SELECT 2"}
    assert not store.exists(one.key) and store.exists(two.key)


def test_a_killed_driver_does_not_count_against_the_shard(store: Store) -> None:
    for number in range(1, 6):
        attempt = opened(ledger(store, f"driver-{number}"))
        assert (attempt.number, attempt.num_deaths) == (number, 0)


def test_an_engine_that_was_seen_to_die_counts_whichever_driver_saw_it(store: Store) -> None:
    first = ledger(store, "driver-1")
    first.record_death(opened(first), "gone")
    assert opened(ledger(store, "driver-2")).num_deaths == 1


def test_an_attempt_of_this_driver_that_never_ended_counts(store: Store) -> None:
    mine = ledger(store)
    opened(mine)  # its worker process was killed: nobody could say so
    assert opened(mine).num_deaths == 1
    assert opened(mine).num_deaths == 2


def test_a_claim_that_another_driver_takes_in_between_is_skipped(store: Store) -> None:
    store.create(f"predictions/{SHARD.name}.attempt-1", b"{}")
    assert opened(ledger(store)).number == 2


def test_halves_stand_for_a_shard_that_was_taken_apart(store: Store) -> None:
    mine = ledger(store)
    assert mine.commit_split(SHARD, opened(mine))
    for index, half in enumerate(SHARD.halves()):
        assert mine.commit(opened(mine, half), rows(half, f"SELECT {index}"), measured(half))
    found = list(mine.read_rows(SHARD.name, mine.done_names()))
    assert [row.question_id for row in found] == ["q0", "q1", "q2", "q3"]
    assert [row.predicted_sql for row in found] == ["SELECT 0"] * 2 + ["SELECT 1"] * 2
    assert list(mine.read_measurements(SHARD.name)) == measured(SHARD)


def test_a_shard_is_either_committed_or_taken_apart_never_both(store: Store) -> None:
    first, second = ledger(store, "driver-1"), ledger(store, "driver-2")
    one, two = opened(first), opened(second)
    assert first.commit(one, rows(SHARD), measured(SHARD))
    assert not second.commit_split(SHARD, two)
    assert list(second.read_rows(SHARD.name, second.done_names())) == rows(SHARD)


def test_a_later_retry_stands_in_the_place_of_the_rows_that_it_did_again(store: Store) -> None:
    mine = ledger(store)
    mine.commit(opened(mine), rows(SHARD, "", "EngineError: x"), measured(SHARD))
    for generation, sql in [(1, "SELECT 1"), (2, "SELECT 2")]:
        again = Shard(name=retry_name(SHARD.name, generation), interactions=SHARD.interactions[generation - 1 : 2])
        mine.commit(opened(mine, again), rows(again, sql), measured(again))
    found = [row.predicted_sql for row in mine.read_rows(SHARD.name, mine.done_names())]
    assert found == ["SELECT 1", "SELECT 2", "", ""]


def test_another_plans_commit_is_refused(store: Store) -> None:
    mine = ledger(store)
    mine.commit(opened(mine), rows(SHARD), measured(SHARD))
    with pytest.raises(PlanMismatch, match="another run_uri"):
        ledger(store, plan="plan-2").done(SHARD.name)


def test_rows_changed_after_their_commit_are_noticed(store: Store) -> None:
    mine = ledger(store)
    attempt = opened(mine)
    mine.commit(attempt, rows(SHARD), measured(SHARD))
    store.write(attempt.key, store.read(attempt.key).replace(b"SELECT 1", b"SELECT 7"))
    with pytest.raises(DigestMismatch, match="changed after its commit"):
        list(mine.read_rows(SHARD.name, mine.done_names()))


def test_a_foreign_file_in_the_place_of_a_marker_is_named(store: Store) -> None:
    store.write(f"predictions/{SHARD.name}.done", b"hello")
    with pytest.raises(StorageError, match=r"shard-00000-of-00001\.done.*hello"):
        ledger(store).done(SHARD.name)


def test_the_marker_says_what_a_reader_needs(store: Store) -> None:
    mine = ledger(store)
    mine.commit(opened(mine), rows(SHARD, "", "EngineError: x"), measured(SHARD))
    done = json.loads(store.read(f"predictions/{SHARD.name}.done"))
    assert (done["plan"], done["attempt"], done["rows"], done["errors"]) == ("plan-1", 1, 4, 4)
    assert len(done["sha256"]) == 64
