"""The field's text format: one SQL a line, a blank line between interactions.

    gold.txt                                    predictions.txt
    SELECT * FROM 图书<tab>购书平台              select * from 图书
    SELECT 书名 FROM 图书<tab>购书平台           select 书名 from 图书

    SELECT count(*) FROM 城市<tab>中国城市        select count(*) from 城市

It knows no question and no key: a line belongs to the gold line at the same place. So the two files are walked together
and every count is checked. A file without blank lines holds interactions of one turn (Spider's form; so reads it
taoyds/test-suite-sql-eval evaluation.py@893d0df). What follows a tab in a predictions file is not SQL.
"""

from __future__ import annotations

from collections.abc import Sequence

from t2s.dataset.location import split_uri
from t2s.dataset.problems import Problems
from t2s.errors import DatasetError
from t2s.interaction import Interaction, Turn
from t2s.storage import open_store

SUFFIXES = (".txt", ".sql")


def is_text_name(uri: str) -> bool:
    """Whether a file of this name is taken for this format."""
    return uri.lower().endswith(SUFFIXES)


def read_text_gold(gold_uri: str, *, limit: int | None = None) -> list[Interaction]:
    """Read gold SQL; questions are empty, a `question_id` is `<file stem>-<index>-<turn_index>`.

    Raises:
        DatasetError: No such file, not UTF-8, a line without a database, or two databases in one interaction.
        StorageError: The store failed or refused.
    """
    lines = _read_lines(gold_uri, "gold_uri")
    stem = split_uri(gold_uri).name.rpartition(".")[0]
    problems = Problems(gold_uri)
    interactions: list[Interaction] = []
    for index, block in enumerate(_blocks(lines)):
        turns, db_ids = [], set()
        for turn_index, number in enumerate(block):
            sql, _, db_id = lines[number].rpartition("\t")
            if not sql.strip() or not db_id.strip():
                problems.add(f"line {number + 1}", "wanted SQL, a tab and the database, found no tab between the two")
                continue
            db_ids.add(db_id.strip())
            turns.append(Turn(question_id=f"{stem}-{index}-{turn_index}", question="", gold_sql=sql.strip()))
        if len(db_ids) > 1:
            wanted = "one database in an interaction (blank lines stand between interactions)"
            problems.add(f"line {block[0] + 1}", f"wanted {wanted}, found {', '.join(sorted(db_ids))}")
        elif turns:
            interactions.append(Interaction(db_id=db_ids.pop(), turns=tuple(turns)))
    problems.raise_if_any()
    return interactions[:limit]


def read_text_predictions(predictions_uri: str, gold: Sequence[Interaction], *, whole_gold: bool = True) -> list[str]:
    """Read one SQL for each turn of gold, in gold's order; "" for a line that is blank where a turn stands.

    Args:
        predictions_uri: The file.
        gold: What its lines belong to.
        whole_gold: Whether gold is all there is; False: the file may go on behind it.

    Raises:
        DatasetError: No such file, not UTF-8, or its lines do not fit gold's turns.
        StorageError: The store failed or refused.
    """
    lines = [line.partition("\t")[0].strip() for line in _read_lines(predictions_uri, "predictions_uri")]
    # Only where no interaction has a second turn can lines stand without separators.
    single = all(len(interaction.turns) == 1 for interaction in gold)
    num_lines = next((number for number in range(len(lines), 0, -1) if lines[number - 1]), 0)
    unbroken = "" not in lines[:num_lines] and (num_lines == len(gold) or (num_lines > len(gold) and not whole_gold))
    if single and (unbroken or len(lines) == len(gold)):
        return lines[: len(gold)]
    sql: list[str] = []
    place = 0
    for index, interaction in enumerate(gold):
        found = lines[place : place + len(interaction.turns)]
        place += len(interaction.turns)
        last = index + 1 == len(gold)
        fits = not any(lines[place:]) if last and whole_gold else not any(lines[place : place + 1])
        if len(found) < len(interaction.turns) or not fits:
            raise DatasetError(_mismatch(predictions_uri, lines, gold, index, place))
        sql += found
        place += 1
    return sql


def _mismatch(uri: str, lines: Sequence[str], gold: Sequence[Interaction], index: int, place: int) -> str:
    num_turns = sum(len(interaction.turns) for interaction in gold)
    blocks = _blocks(lines)
    first_line = place - len(gold[index].turns) + 1
    return (
        f"{uri}: wanted a line for each of {num_turns} turns and a blank line between {len(gold)} interactions, found "
        f"{sum(map(len, blocks))} lines in {len(blocks)} interactions; they part at interaction {index + 1} (line "
        f"{first_line}), which has {len(gold[index].turns)} turns in gold. A turn without SQL is a blank line of its "
        "own; a JSON file, which knows question_ids, needs no counting"
    )


def _blocks(lines: Sequence[str]) -> list[list[int]]:
    """Line numbers, 0-based, of each interaction."""
    filled = [number for number, line in enumerate(lines) if line.strip()]
    if filled == list(range(len(filled))):  # none stands between two of them
        return [[number] for number in filled]
    blocks: list[list[int]] = []
    previous = -2
    for number in filled:
        if number != previous + 1:
            blocks.append([])
        blocks[-1].append(number)
        previous = number
    return blocks


def _read_lines(uri: str, setting: str) -> list[str]:
    folder, name = split_uri(uri)
    store = open_store(folder)
    if not name or not store.exists(name):
        raise DatasetError(f"{uri}: wanted a text file with one SQL a line, found none; set {setting}")
    try:
        text = store.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{uri}: wanted UTF-8, found byte {error.start} is not") from error
    # Not splitlines(): U+2028 and the like may stand inside a text literal.
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")
