"""The record every job passes on: an `Interaction`, ordered turns over one database.

From the users' own layout

    {"db_list": ["购书平台"], "interaction": [{"question_id": "h83oa", "question": "我需要图书的详细信息。"}, ...]}

a reader makes

    Interaction(db_id="购书平台", turns=(Turn(question_id="h83oa", question="我需要图书的详细信息。"), ...))
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen record that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Turn(Record):
    """One question and, where the dataset is annotated, its SQL.

    Attributes:
        question_id: Unique in a file.
        question: The user's words.
        gold_sql: The annotated SQL, or None.
    """

    question_id: str
    question: str
    gold_sql: str | None = None


class Interaction(Record):
    """Ordered turns over one database; turn 3 may need what turn 2 answered.

    Attributes:
        db_id: Key of the database.
        turns: At least one; `turn_index` is the position, 0-based.
    """

    db_id: str
    turns: tuple[Turn, ...]

    @property
    def interaction_id(self) -> str:
        """`<first question_id>@<db_id>`: unique in a dataset, since a question is (`db_id`, `question_id`)."""
        return f"{self.turns[0].question_id}@{self.db_id}"
