"""`t2s plan evaluate` and `--dry-run`: what would be scored; runs no SQL and writes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from t2s.dataset import find_databases
from t2s.evaluate import read_gold
from t2s.predicted_turns import read_predictions

if TYPE_CHECKING:
    from rich.console import Console


def show_evaluate_plan(
    gold_uri: str,
    databases_uri: str,
    predictions_uri: str,
    run_uri: str,
    cache_dir: Path,
    console: Console,
    limit: int | None = None,
) -> None:
    """Read and check what evaluate reads, and print what it would do.

    Raises:
        DatasetError: As evaluate itself would.
    """
    from rich.table import Table

    gold = read_gold(gold_uri, limit=limit)
    predictions = read_predictions(predictions_uri, gold, whole_gold=limit is None)
    db_ids = {interaction.db_id for interaction in gold}
    find_databases(databases_uri, cache_dir=cache_dir).check(db_ids)
    num_turns = sum(len(interaction.turns) for interaction in gold)
    table = Table(title="evaluate: plan", show_header=False, title_justify="left")
    table.add_row("gold", f"{gold_uri}: {len(gold)} interactions, {num_turns} turns")
    table.add_row("databases", f"{databases_uri}: {len(db_ids)}")
    table.add_row("predictions", f"{predictions_uri}: {len(predictions)} turns")
    table.add_row("writes", f"{run_uri}/report.json, {run_uri}/report.html, {run_uri}/evaluate/")
    console.print(table)
