"""Cutting a dataset into shards: the unit of commit, never of scheduling.

    three databases, shard_turns = 1000
    [a a a b b | b b c | c c c]      shard-00000-of-00003 ... shard-00002-of-00003

Plan order: interactions of a database stand next to each other (the engine reads their schema once), databases in the
order in which they first appear, interactions of a database in the dataset's order. Shards hold whole interactions,
since turn 3 needs turn 2's prediction. A shard ends where a database does, if that is near: the database's schema would
be read by two engines. The cut is a pure function of the dataset and `shard_turns`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from t2s.interaction import Interaction, Record


class Shard(Record):
    """About `shard_turns` turns of consecutive databases, committed in one piece.

    Attributes:
        name: `shard-00003-of-00016`; a half of a shard that kept killing its engine has `-a` or `-b` behind it.
        interactions: Whole interactions, in plan order.
    """

    name: str
    interactions: tuple[Interaction, ...]

    @property
    def num_turns(self) -> int:
        """Rows that this shard becomes."""
        return sum(len(interaction.turns) for interaction in self.interactions)

    def halves(self) -> tuple[Shard, Shard]:
        """Two shards that together hold this one's interactions; needs at least two."""
        middle = len(self.interactions) // 2
        assert middle > 0, "a single interaction cannot be halved"
        return (
            Shard(name=f"{self.name}-a", interactions=self.interactions[:middle]),
            Shard(name=f"{self.name}-b", interactions=self.interactions[middle:]),
        )


EARLIEST_END = 0.75
"""Of `shard_turns`: from there on a shard ends with its database. With shards of 62 interactions and databases of ten
this is worth 5 % on 64 GPUs (simulated: scripts/bench/RESULTS.md)."""


def plan_order(interactions: Iterable[Interaction]) -> list[Interaction]:
    """Sort so that a database's interactions stand together; stable otherwise."""
    by_database: dict[str, list[Interaction]] = {}
    for interaction in interactions:
        by_database.setdefault(interaction.db_id, []).append(interaction)
    return [interaction for group in by_database.values() for interaction in group]


def cut(interactions: Sequence[Interaction], shard_turns: int) -> list[Shard]:
    """Cut interactions, already in plan order.

    A shard has at least `shard_turns` turns, or `EARLIEST_END` of them and ends with its database; the last one has the
    rest.
    """
    pieces: list[list[Interaction]] = []
    turns_in_piece = 0
    for interaction in interactions:
        enough = turns_in_piece >= shard_turns or (
            turns_in_piece >= EARLIEST_END * shard_turns and pieces[-1][-1].db_id != interaction.db_id
        )
        if not pieces or enough:
            pieces.append([])
            turns_in_piece = 0
        pieces[-1].append(interaction)
        turns_in_piece += len(interaction.turns)
    return [
        Shard(name=f"shard-{index:05d}-of-{len(pieces):05d}", interactions=tuple(piece))
        for index, piece in enumerate(pieces)
    ]
