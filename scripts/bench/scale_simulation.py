"""N engines in simulated time: how much of N times one engine's speed a whole run reaches, from 1 to 64 GPUs.

    .venvs/dev/bin/python scripts/bench/scale_simulation.py                  100,000 interactions; ten minutes
    .venvs/dev/bin/python scripts/bench/scale_simulation.py --interactions 20000 --gpus 1 8 64

Real: the planner (`plan_order`, `cut`), the ledger (claims, commits, splits; a store in memory), the admission gate in
each engine, and the pool's order: shards in plan order, the next to the engine with the fewest.
Simulated: the engines (t2s.gpu_plan.pace, held against an H100), nodes and time. All of them have their model when time
begins; what a load costs is told beside.

    even        each database has ten interactions, schemas as the benchmark's
    skewed      databases' sizes by Zipf's law, from 2,000 interactions to one, and long schemas among them
    stragglers  skewed, and one engine in twenty (at least one) at half speed, all others 95 to 105 %
    losses      stragglers, and 5 % of the nodes lost per hour: its shards wait for the engine's next start, 88 s later,
                and then run alone, one by one, as an engine's death under them wants it
    one lost    skewed, and one node for certain, after a third of the time

Efficiency is the time of one engine, over the time of all times their speeds added up; nodes that were lost count in
full.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import importlib
import json
import platform
import random
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench.scale_sets import engine_maker, make_set, speeds_of
from t2s.errors import ObjectMissing
from t2s.gpu_plan.devices import DEVICES
from t2s.gpu_plan.pace import PacedEngine, Work, settle
from t2s.ledger import ShardLedger
from t2s.prediction import Measurement, Prediction
from t2s.runner import _Quarantine
from t2s.shard import Shard, cut, plan_order
from t2s.storage import ObjectInfo

SCENARIOS = ("even", "skewed", "stragglers", "losses", "one lost")
LOST_PER_HOUR = 0.05
RELOAD_S = 88.0
"""A first start on a new node, as measured on an H100; with warm caches it took 25 s."""

MAX_ATTEMPTS = 3


class MemoryStore:
    """What the ledger needs of a store, in memory; `create` is create-only."""

    uri = "memory"

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        return key in self._objects

    def create(self, key: str, data: bytes) -> bool:
        """Write it, unless it is there."""
        if key in self._objects:
            return False
        self._objects[key] = data
        return True

    def write(self, key: str, data: bytes) -> None:
        """Create or replace."""
        self._objects[key] = data

    def read(self, key: str) -> bytes:
        """Its bytes."""
        if key not in self._objects:
            raise ObjectMissing(f"memory/{key}: wanted an object, found none")
        return self._objects[key]

    def delete(self, key: str) -> None:
        """Nothing happens if there is none."""
        self._objects.pop(key, None)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Those whose key begins so, sorted."""
        found = [(key, data) for key, data in self._objects.items() if key.startswith(prefix)]
        return (ObjectInfo(key, len(data), "") for key, data in sorted(found))


class Node:
    """One engine's place: what it holds stays with it when it dies, as Ray's restarted actors keep their tasks."""

    def __init__(self, number: int, speed: float, engine: PacedEngine) -> None:
        self.number, self.speed, self.engine = number, speed, engine
        self.held: list[Shard] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.back_at: float | None = None
        self.quarantine = _Quarantine()


class Outcome(NamedTuple):
    """Of one simulated run: seconds, nodes that were lost, interactions answered (again ones included), shards."""

    seconds: float
    lost: int
    answered: int
    shards: int


class Pool:
    """Shards through engines, in simulated time.

    Args:
        shards: In plan order.
        works: question_id of an interaction's first turn -> its tokens.
        speeds: Of each engine.
        make_engine: From a speed.
        shards_per_engine: At most so many in each at a time.
        losses: When each node is lost for the first time; empty: never.
        next_loss: From a start to the next loss, in seconds.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        works: dict[str, Work],
        speeds: Sequence[float],
        make_engine: Callable[[float], PacedEngine],
        shards_per_engine: int,
        losses: Sequence[float] = (),
        next_loss: Callable[[], float] = lambda: float("inf"),
    ) -> None:
        self._shards, self._works, self._make = list(shards), works, make_engine
        self._per_engine = shards_per_engine
        self._pending = deque(shards)
        self._nodes = [Node(number, speed, make_engine(speed)) for number, speed in enumerate(speeds)]
        self._ledger = ShardLedger(cast(Any, MemoryStore()), "simulated", "driver")
        self._now = 0.0
        self._left = len(shards)
        self._answered = self._lost = 0
        self._losses = list(losses) or [float("inf")] * len(speeds)
        self._next_loss = next_loss

    async def run(self) -> Outcome:
        """Until every shard is committed."""
        self._hand_out()
        await settle()
        while self._left:
            busy = [node for node in self._nodes if node.engine.busy and node.back_at is None]
            upcoming = [(at, node) for node, at in zip(self._nodes, self._losses, strict=True) if node.back_at is None]
            upcoming += [(node.back_at, node) for node in self._nodes if node.back_at is not None]
            at, other = min(upcoming, key=lambda pair: pair[0])
            if busy:
                node = min(busy, key=lambda one: one.engine.now)
                if node.engine.now < at:
                    self._now = node.engine.now
                    if node.engine.step():
                        self._now = node.engine.now
                        await settle()
                    continue
            if not busy and await self._woken():
                continue
            assert busy or at < float("inf"), f"{self._left} shards are left, and nobody works on them"
            self._now = max(self._now, at)
            self._restart(other) if other.back_at is not None else self._lose(other)
            await settle()
        self._check()
        return Outcome(max(self._now, self._end()), self._lost, self._answered, len(self._shards))

    async def _woken(self) -> bool:
        """Whether work was on its way: a commit, and what follows it, takes more turns of the event loop."""
        for _ in range(20):
            await settle()
            if not self._left or any(node.engine.busy for node in self._nodes if node.back_at is None):
                return True
        return False

    def _end(self) -> float:
        return max((node.engine.now for node in self._nodes if node.engine.prompt_tokens), default=0.0)

    def _hand_out(self) -> None:
        """The next shard to the engine with the fewest, as Ray Data's pool of actors does it."""
        while self._pending:
            node = min(self._nodes, key=lambda one: (len(one.held), one.number))
            if len(node.held) >= self._per_engine:
                return
            shard = self._pending.popleft()
            node.held.append(shard)
            if node.back_at is None:
                self._begin(node, shard)

    def _begin(self, node: Node, shard: Shard) -> None:
        if not node.engine.busy:
            node.engine.now = max(node.engine.now, self._now)
        task = asyncio.create_task(self._hold(node, shard))
        node.tasks.add(task)
        task.add_done_callback(node.tasks.discard)

    async def _hold(self, node: Node, shard: Shard) -> None:
        await self._commit(node, shard)
        node.held.remove(shard)
        self._left -= 1
        self._hand_out()

    async def _commit(self, node: Node, shard: Shard) -> None:
        """As `t2s.runner` does it, the engine's part simulated."""
        attempt = self._ledger.open_attempt(shard)
        if attempt is None:
            return
        if attempt.num_deaths >= MAX_ATTEMPTS and len(shard.interactions) > 1:
            self._ledger.commit_split(shard, attempt)
            for half in shard.halves():
                await self._commit(node, half)
            return
        alone = attempt.num_deaths > 0
        async with node.quarantine.alone() if alone else node.quarantine.together():
            works = [self._works[one.turns[0].question_id] for one in shard.interactions]
            await asyncio.gather(*(node.engine.answer(work) for work in works))
        self._answered += len(shard.interactions)
        rows, measurements = _rows(shard, attempt.number)
        assert self._ledger.commit(attempt, rows, measurements)

    def _lose(self, node: Node) -> None:
        self._lost += 1
        for task in node.tasks:
            task.cancel()
        node.back_at = self._now + RELOAD_S
        node.engine = self._make(node.speed)
        node.quarantine = _Quarantine()

    def _restart(self, node: Node) -> None:
        node.engine.now, node.back_at = self._now, None
        self._losses[node.number] = self._now + self._next_loss()
        for shard in node.held:
            self._begin(node, shard)

    def _check(self) -> None:
        """Every interaction is committed, once."""
        names = self._ledger.done_names()
        found = [row.question_id for shard in self._shards for row in self._ledger.read_rows(shard.name, names)]
        assert len(found) == len(set(found)) == len(self._works), f"{len(found)} rows, {len(self._works)} interactions"


def _rows(shard: Shard, attempt: int) -> tuple[list[Prediction], list[Measurement]]:
    """One of each for an interaction: a row a turn would only take four times as long to write."""
    rows, measurements = [], []
    for one in shard.interactions:
        key = {"db_id": one.db_id, "question_id": one.turns[0].question_id}
        rows.append(
            Prediction(**key, interaction_id=one.interaction_id, turn_index=0, predicted_sql="", completion="")
        )  # fmt: skip
        measurements.append(Measurement(**key, attempt=attempt))
    return rows, measurements


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each scenario and number of GPUs."""
    make_engine = engine_maker(arguments.device, json.loads(arguments.vllm))
    rows: list[dict[str, Any]] = []
    for skewed in (False, True):
        scenarios = [name for name in arguments.scenarios if (name != "even") == skewed]
        if not scenarios:
            continue
        interactions, works = make_set(arguments.interactions, skewed=skewed)
        shards = cut(plan_order(interactions), arguments.shard_turns)
        alone = asyncio.run(Pool(shards, works, [1.0], make_engine, len(shards)).run())
        _say(f"{'skewed' if skewed else 'even'}: one engine takes {alone.seconds:.0f} s, {len(shards)} shards")
        for scenario in scenarios:
            for number in arguments.gpus:
                rows.append(_row(scenario, number, shards, works, make_engine, alone, arguments))
                _say(json.dumps(rows[-1]))
    return rows


def _row(
    scenario: str,
    number: int,
    shards: Sequence[Shard],
    works: dict[str, Work],
    make_engine: Callable[[float], PacedEngine],
    alone: Outcome,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    found = []
    for seed in range(arguments.seeds if scenario in ("stragglers", "losses") and number > 1 else 1):
        speeds = speeds_of(number, scenario, seed)
        ideal_s = alone.seconds / sum(speeds)
        losses: list[float] = []
        next_loss: Callable[[], float] = lambda: float("inf")  # noqa: E731
        if scenario == "losses":
            next_loss = functools.partial(random.Random(f"losses {seed}").expovariate, LOST_PER_HOUR / 3600)
            losses = [next_loss() for _ in speeds]
        elif scenario == "one lost":
            losses = [ideal_s / 3, *[float("inf")] * (number - 1)]
        pool = Pool(shards, works, speeds, make_engine, arguments.shards_per_engine, losses, next_loss)
        outcome = asyncio.run(pool.run())
        found.append((ideal_s / outcome.seconds, outcome))
    shares = [share for share, _ in found]
    return {
        "scenario": scenario,
        "gpus": number,
        "seconds": round(statistics.mean(outcome.seconds for _, outcome in found), 1),
        "efficiency": round(statistics.mean(shares), 3),
        "worst": round(min(shares), 3),
        "nodes_lost": sum(outcome.lost for _, outcome in found),
        "interactions_per_s": round(statistics.mean(len(works) / outcome.seconds for _, outcome in found), 1),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Efficiency by scenario and number of GPUs."""
    numbers = sorted({row["gpus"] for row in rows})
    lines = [f"{'':12}" + "".join(f"{number:>18}" for number in numbers)]
    for scenario in dict.fromkeys(row["scenario"] for row in rows):
        cells = []
        for number in numbers:
            [row] = [row for row in rows if row["scenario"] == scenario and row["gpus"] == number]
            cells.append(f"{row['efficiency']:.3f} ({row['seconds']:,.0f} s)")
        lines.append(f"{scenario:12}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Efficiency over GPUs as a PNG."""
    altair = importlib.import_module("altair")
    chart = altair.Chart(altair.Data(values=list(rows))).mark_line(point=True)
    chart = chart.encode(
        x=altair.X("gpus:Q", scale=altair.Scale(type="log", base=2), title="GPUs"),
        y=altair.Y("efficiency:Q", scale=altair.Scale(domain=[0.5, 1.02]), title="efficiency"),
        color=altair.Color("scenario:N", sort=list(SCENARIOS), title=None),
    )
    chart.properties(width=420, height=260).save(str(path))


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Simulate, print, write JSON and a plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=int, default=100_000)
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--scenarios", nargs="+", default=list(SCENARIOS), choices=SCENARIOS)
    parser.add_argument("--device", default="H100", choices=list(DEVICES))
    parser.add_argument("--vllm", default='{"max_num_seqs": 512}', help="vLLM's options, as JSON")
    parser.add_argument("--shard-turns", type=int, default=250)
    parser.add_argument("--shards-per-engine", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=2, help="runs with other stragglers and losses (default: 2)")
    parser.add_argument("--output", type=Path, default=Path("runs/scale-simulation"))
    arguments = parser.parse_args()
    rows = measure(arguments)
    arguments.output.mkdir(parents=True, exist_ok=True)
    about = {**{key: str(value) for key, value in vars(arguments).items()}, "python": platform.python_version()}
    text = json.dumps({"about": about, "rows": rows}, indent=1)
    (arguments.output / "scale_simulation.json").write_text(text, encoding="utf-8")
    plot(rows, arguments.output / "scale_simulation.png")
    print(f"{arguments.interactions:,} interactions on {arguments.device}: efficiency (seconds), without loads\n")
    print(table(rows))


if __name__ == "__main__":
    main()
