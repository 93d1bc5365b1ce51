"""Make the sample data: Chinese databases of different fields and interactions over them, in the users' own layout.

    python scripts/make_sample.py                          data/sample: train_data, dev_data, test_data
    python scripts/make_sample.py --interactions 100000    data/load-100000: load.json for load tests, same databases

    data/sample/train_data/train.json                      with gold
    data/sample/dev_data/dev.json, dev_gold.json           questions only; with gold
    data/sample/test_data/test.json, test_gold.json
    data/sample/*_data/database/<db_id>.sqlite

The same seed gives the same bytes of JSON and the same rows, whatever the Python. Running it again does nothing.

Exit: 0 done or up to date; 1 the folder cannot be written; 2 wrong arguments or not our folder; 3 stopped, nothing left
"""

from __future__ import annotations

import argparse
import signal
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script, only scripts/ is on the path

from scripts.sample.domains import DOMAINS
from scripts.sample.folder import is_up_to_date, locked, read_summary, replaced, sources_digest
from scripts.sample.interactions import SampleInteraction, compose
from scripts.sample.model import Domain
from scripts.sample.values import Rng
from scripts.sample.world import World, build_database
from scripts.sample.writing import as_record, question_ids, stream_records, without_gold, write_records
from t2s.errors import Stopped, T2SError

# Interactions per database; in all 360, 80 and 128.
_NUM_INTERACTIONS = {"train": 36, "dev": 40, "test": 32}

# A load set repeats this many different interactions per database under fresh ids: making them takes most of its time.
_MAX_LOAD_POOL = 250


def build_sample(output: Path, seed: int = 0) -> None:
    """Make the sample, or leave it alone if it is what this generator makes with this seed.

    Raises:
        SettingsError: `output` holds something that was not made here.
        StorageError: `output` cannot be written.
    """
    output = output.resolve()
    digest = sources_digest(f"sample/{seed}")
    with locked(output):
        if is_up_to_date(output, digest):
            return
        summary: list[str] = []
        with replaced(output, digest, summary) as folder:
            summary += [_row("split", "databases", "interactions", "turns", "need context", "empty gold")]
            ids = question_ids()
            for split in ("train", "dev", "test"):
                _build_split(folder / f"{split}_data", split, seed, ids, summary)


def build_load_set(output: Path, interactions: int, seed: int = 0) -> None:
    """Make `load.json` with that many interactions over the sample's databases, or leave it alone if it is there.

    Raises:
        SettingsError: `output` holds something that was not made here.
        StorageError: `output` cannot be written.
    """
    output = output.resolve()
    digest = sources_digest(f"load/{interactions}/{seed}")
    with locked(output):
        if is_up_to_date(output, digest):
            return
        summary: list[str] = []
        with replaced(output, digest, summary) as folder:
            summary += [_row("split", "databases", "interactions", "turns", "need context", "empty gold")]
            (folder / "database").mkdir()
            each = min(_MAX_LOAD_POOL, -(-interactions // len(DOMAINS)))
            pool: list[SampleInteraction] = []
            num_empty = 0
            for domain in DOMAINS:
                found, empty = _compose(domain, folder / "database", seed, f"load/{interactions}", each)
                pool += found
                num_empty += empty
            rng = Rng(f"{seed}/load/order")
            used: list[SampleInteraction] = []
            while len(used) < interactions:
                used += rng.shuffled(pool)
            used = used[:interactions]
            ids = question_ids("q")  # six characters: none is an id of the sample
            stream_records(folder / "load.json", (as_record(interaction, ids) for interaction in used))
            share = num_empty / sum(len(interaction.turns) for interaction in pool)
            summary += [_split_row("load", len(DOMAINS), used, share)]


def _build_split(folder: Path, split: str, seed: int, ids: Iterator[str], summary: list[str]) -> None:
    (folder / "database").mkdir(parents=True)
    found: list[SampleInteraction] = []
    num_empty = 0
    domains = [domain for domain in DOMAINS if domain.split == split]
    for domain in domains:
        composed, empty = _compose(domain, folder / "database", seed, "sample", _NUM_INTERACTIONS[split])
        found += composed
        num_empty += empty
    found = Rng(f"{seed}/{split}/order").shuffled(found)
    if split == "test":
        found = _easy_ones_first(found, [domain.db_id for domain in domains])
    records = [as_record(interaction, ids) for interaction in found]
    if split == "train":
        write_records(folder / "train.json", records)
    else:
        write_records(folder / f"{split}_gold.json", records)
        write_records(folder / f"{split}.json", [without_gold(record) for record in records])
    share = num_empty / sum(len(interaction.turns) for interaction in found)
    summary += [_split_row(split, len(domains), found, share)]


def _compose(domain: Domain, databases: Path, seed: int, name: str, number: int) -> tuple[list[SampleInteraction], int]:
    """Interactions over a database that is built on the way, and how many of their gold SQL give no row."""
    path = databases / f"{domain.db_id}.sqlite"
    build_database(domain, path, seed)
    world = World(domain, path)
    try:
        found = compose(world, Rng(f"{seed}/{domain.db_id}/{name}"), number)
        return found, sum(not world.run(turn.gold_sql) for interaction in found for turn in interaction.turns)
    finally:
        world.close()


def _easy_ones_first(interactions: list[SampleInteraction], db_ids: list[str]) -> list[SampleInteraction]:
    """Three easy interactions of each database lead, the databases taking turns: what a demo of a dozen shows."""
    leading: list[SampleInteraction] = []
    starts: set[str] = set()
    for _ in range(3):
        for db_id in db_ids:
            easy = [i for i in interactions if i.db_id == db_id and i.kind == "easy" and i not in leading]
            new = [i for i in easy if _shape(i) not in starts]
            leading.append((new or easy)[0])
            starts.add(_shape(leading[-1]))
    return leading + [interaction for interaction in interactions if interaction not in leading]


def _shape(interaction: SampleInteraction) -> str:
    """What the first turn selects from where, without the value: the demo shows each but once."""
    return interaction.db_id + interaction.turns[0].gold_sql.split(" = ")[0]


def _row(*cells: str) -> str:
    padded = [cell + " " * max(0, 14 - _width(cell)) for cell in cells]
    return "".join(padded).rstrip()


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _split_row(split: str, num_databases: int, found: list[SampleInteraction], empty_share: float) -> str:
    later = [turn.needs_context for interaction in found for turn in interaction.turns[1:]]
    num_turns = len(later) + len(found)
    share = sum(later) / len(later)
    return _row(split, str(num_databases), str(len(found)), str(num_turns), f"{share:.1%}", f"{empty_share:.1%}")


def _stop(signum: int, frame: object) -> NoReturn:
    raise Stopped("stopped; nothing was left behind, run it again to build")


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the sample data of Chinese databases and interactions.")
    parser.add_argument("--output", type=Path, help="folder to make (default: data/sample, or data/load-N)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other rows and questions (default: 0)")
    parser.add_argument("--interactions", type=int, metavar="N", help="make load.json with N interactions instead")
    arguments = parser.parse_args()
    number: int | None = arguments.interactions
    if number is not None and number < 1:
        parser.error(f"--interactions: wanted 1 or more, found {number}")
    output: Path = arguments.output or Path("data/sample" if number is None else f"data/load-{number}")
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        name = f"sample/{arguments.seed}" if number is None else f"load/{number}/{arguments.seed}"
        if is_up_to_date(output, sources_digest(name)):
            print(f"{output} is up to date")
        elif number is None:
            build_sample(output, arguments.seed)
        else:
            build_load_set(output, number, arguments.seed)
        print(read_summary(output))
        print("\n".join(str(path) for path in sorted(output.rglob("*.json"))))
    except T2SError as error:
        print(f"make_sample: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
