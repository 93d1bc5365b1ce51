"""What predict writes: one `Prediction` a turn, and beside it one `Measurement` a turn."""

from __future__ import annotations

from t2s.interaction import Record


class Prediction(Record):
    """One answered turn. Equal inputs and an engine that repeats itself give equal rows, byte for byte.

    Attributes:
        db_id, question_id: The key of the question.
        interaction_id, turn_index: Where it stands; rows are sorted by the dataset's order, then `turn_index`.
        predicted_sql: SQL taken from the completion; "" where there is none or the turn failed.
        completion: Raw model text; "" where the turn failed.
        error: None, or why the turn has no answer.
        pruned: What was left out of the prompt so that it fits, e.g. ("table:日志", "turn:0"); empty for nothing.
    """

    db_id: str
    question_id: str
    interaction_id: str
    turn_index: int
    predicted_sql: str
    completion: str
    error: str | None = None
    pruned: tuple[str, ...] = ()


class Measurement(Record):
    """What answering a turn took; differs from run to run, so it stands in a file of its own.

    Attributes:
        prompt_tokens, cached_tokens, completion_tokens: Counts; cached ones came from the prefix cache.
        latency_s: From sending the request to its last token.
        waited_s: Of that, in the engine's own queue.
        prefill_s: From there to the first token; 0 where the engine does not say.
        queued_s: From the turn being ready to its interaction being admitted (first turns only, else 0).
        preemptions: How often the engine threw the request out of the KV cache.
        attempt: Which attempt on the shard this row comes from.
    """

    db_id: str
    question_id: str
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    latency_s: float = 0.0
    waited_s: float = 0.0
    prefill_s: float = 0.0
    queued_s: float = 0.0
    preemptions: int = 0
    finish_reason: str = ""
    attempt: int = 1
