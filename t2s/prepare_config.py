"""What prepare can be told; `settings.PrepareSettings` loads it from YAML, environment and arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from t2s.prompt import History, PromptConfig
from t2s.sql.sandbox import Limits

ExampleForm = Literal["interaction", "turn"]
"""One example for all turns of an interaction, loss on every SQL; or one for each turn, loss on its SQL alone."""


class SplitConfig(BaseModel):
    """Which interactions are held out.

    Attributes:
        by: `db_id`: whole databases, so that the test part asks about databases that training never saw; `interaction`:
            whole interactions, whatever their database; `list`: what `list_uri` names.
        test_fraction: About which share of the interactions is held out; 0: none, everything is for training.
        seed: Another one holds out others.
        list_uri: A file of `db_id`s or `question_id`s, one a line or as a JSON list: the test part.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Literal["db_id", "interaction", "list"] = "db_id"
    test_fraction: float = Field(0.3, ge=0, lt=1)
    seed: int = 0
    list_uri: str | None = None


class PrepareConfig(BaseModel):
    """Settings of the job `prepare`.

    Attributes:
        dataset_uri: A JSON file, or a folder that holds exactly one; every turn with its gold SQL.
        databases_uri: Folder of SQLite databases.
        output_uri: Where everything is written.
        example_form: What one example is; see `ExampleForm`.
        history: Which earlier SQL the model sees; `predicted` and `none` need `example_form: turn`.
        predictions_uri: Under `history: predicted`, an earlier predict run on these questions (its `run_uri`,
            or its `predictions.json`).
        prompt: How the prompt is worded; the same as predict will have it.
        split: Which interactions are held out.
        held_out_interactions: Train measures its held-out loss on so many interactions of the test part, evenly spread;
            null: on all of them. The test part itself stays whole.
        model_uri: The model that will be trained: its tokenizer counts tokens (nothing else of it is read), and prompts
            are pruned to its context as predict does it. Null: lengths are characters, and nothing is pruned or cut.
        max_model_len_tokens: The context that predict will have (`vllm.max_model_len`); null: what the model says.
        max_tokens: Predict's `engine.generation.max_tokens`: a prompt gets the context less this.
        cutoff_len: Train's `llamafactory.cutoff_len`; null: the longest example's tokens, so that nothing is cut.
        allow_cut: Let LLaMA-Factory cut the examples that are longer than `cutoff_len`.
        limit: Only the first N interactions; null for all.
        num_workers: Gold queries that run at once; null: one per CPU.
        limits: What one gold query may take.
        models_dir: Where the packaged small model (`model_uri: sample`) is made.
        cache_dir: This node's cache of databases and tokenizers; files are also put together there.
        cache_max_bytes: Most that the cache may hold; what was used longest ago goes first. Null: no limit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    dataset_uri: str
    databases_uri: str
    output_uri: str
    example_form: ExampleForm = "interaction"
    history: History = "gold"
    predictions_uri: str | None = None
    prompt: PromptConfig = PromptConfig()
    split: SplitConfig = SplitConfig()
    held_out_interactions: int | None = Field(None, gt=0)
    model_uri: str | None = None
    max_model_len_tokens: int | None = Field(None, gt=0)
    max_tokens: int = Field(256, gt=0)
    cutoff_len: int | None = Field(None, gt=0)
    allow_cut: bool = False
    limit: int | None = Field(None, gt=0)
    num_workers: int | None = Field(None, gt=0)
    limits: Limits = Limits()
    models_dir: str = "models"
    cache_dir: str = "~/.cache/t2s"
    cache_max_bytes: int | None = Field(None, gt=0)


class Conflict(NamedTuple):
    """Settings that are right each by itself and not together; `key` is the one to change."""

    key: tuple[str, ...]
    wanted: str
    found: Any


def conflicts(values: Mapping[str, Any]) -> Iterator[Conflict]:
    """What does not go together; `values` as a user wrote them, not validated yet."""
    history = values.get("history", "gold")
    if values.get("example_form", "interaction") == "interaction" and history in ("predicted", "none"):
        text = (
            f"turn, since history: {history} gives each turn a prompt of its own (interaction goes with history: gold)"
        )
        yield Conflict(("example_form",), text, "interaction")
    predictions_uri = values.get("predictions_uri")
    if (history == "predicted") != (predictions_uri is not None):
        wanted = "an earlier predict run, since history is predicted" if history == "predicted" else _NO_PREDICTIONS
        yield Conflict(("predictions_uri",), wanted, predictions_uri)
    split = values.get("split", {})
    if isinstance(split, Mapping):
        list_uri, by = split.get("list_uri"), split.get("by", "db_id")
        if (by == "list") != (list_uri is not None):
            wanted = "a file, since split.by is list" if by == "list" else f"null, since split.by is {by}"
            yield Conflict(("split", "list_uri"), wanted, list_uri)
    if values.get("model_uri") is None:
        for key in ("max_model_len_tokens", "cutoff_len"):
            if values.get(key) is not None:
                yield Conflict((key,), "null, since tokens are counted only where model_uri names a model", values[key])


_NO_PREDICTIONS = "null, unless history is predicted"
