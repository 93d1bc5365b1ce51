"""What the report page and `t2s compare` show of one turn, beside its `QuestionResult`.

`<run_uri>/evaluate/turns.jsonl` holds one `TurnDetail` a line, in the gold's order: turn by turn, interaction after
interaction.
"""

from __future__ import annotations

from t2s.interaction import Record
from t2s.prediction import Measurement
from t2s.report.record import QuestionResult

TURNS_KEY = "evaluate/turns.jsonl"


class ResultPreview(Record):
    """The first rows of a result.

    Attributes:
        columns: Names, as SQLite gives them; at most `MAX_COLUMNS`.
        rows: At most `MAX_ROWS`; each value as text of at most `MAX_CHARACTERS`, None for NULL.
        num_rows, num_columns: Of the whole result.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    num_rows: int
    num_columns: int


class TurnDetail(Record):
    """One turn.

    Attributes:
        name: Its key in `Report.per_question`.
        interaction_index: 0-based position of its interaction in the gold.
        turn_index: 0-based.
        predicted_sql: None where there is no prediction.
        message: Why the prediction has no result, or the gold none; "" where both have one.
        gold_result, predicted_result: None where the query did not run.
        result: Its verdict and figures.
        measurement: What answering took; None where the predictions do not say.
    """

    name: str
    db_id: str
    interaction_index: int
    turn_index: int
    question: str
    gold_sql: str
    predicted_sql: str | None
    message: str
    gold_result: ResultPreview | None
    predicted_result: ResultPreview | None
    result: QuestionResult
    measurement: Measurement | None = None


MAX_ROWS = 5
MAX_COLUMNS = 12
MAX_CHARACTERS = 60
