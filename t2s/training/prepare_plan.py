"""What a prepare job will do, fixed before anything is written: the split, whose SQL is history, longest prompts.

Its digest covers all that decides a byte of the output: dataset, databases, prompt, form and history, predictions,
split, tokenizer, context, cutoff, and what a gold query may take. An `output_uri` belongs to the first plan that claims
it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from t2s.dataset import Databases, find_databases, read_dataset
from t2s.errors import DatasetError, SettingsError
from t2s.interaction import Interaction
from t2s.plan_claim import parts_digest
from t2s.predicted_turns import PredictedTurn, read_predictions
from t2s.prepare_config import PrepareConfig, conflicts
from t2s.prompt import History, PromptTemplate
from t2s.training.sft import PARTS, Part
from t2s.training.split import Split, read_list, split_interactions
from t2s.training.tokens import Lengths, open_lengths

logger = logging.getLogger(__name__)

_NO_LIMIT = 1 << 40
_Key = tuple[str, str]


@dataclass(frozen=True)
class PreparePlan:
    """A prepare job's work.

    Attributes:
        interactions: In the dataset's order, every turn with gold.
        split: Which of them are held out.
        measured: Positions of those that held-out examples are made of.
        databases: Checked.
        template: The prompt's words.
        lengths: Measures prompts and examples.
        budget_tokens: Longest prompt.
        max_model_len_tokens: Context that prompts are pruned to; None: not pruned.
        max_answer: Longest answer that predict would let a model write; None without a model.
        cut_above: Examples longer than this would be cut; None: none would.
        history: For each part, whose SQL stands in the history.
        predicted: SQL of earlier turns by (db_id, question_id), under `history: predicted`.
        parts: What decides the output, by name.
        digest: Of `parts`.
        num_turns: Of all interactions.
    """

    interactions: list[Interaction]
    split: Split
    measured: frozenset[int]
    databases: Databases
    template: PromptTemplate
    lengths: Lengths
    budget_tokens: int
    max_model_len_tokens: int | None
    max_answer: int | None
    cut_above: int | None
    history: dict[Part, History]
    predicted: dict[_Key, str]
    parts: dict[str, str]
    digest: str
    num_turns: int

    @property
    def part_names(self) -> tuple[Part, ...]:
        """train, and test where something is held out."""
        return PARTS if any(self.split.is_test) else PARTS[:1]

    def part(self, index: int) -> Part:
        """The part of an interaction."""
        return "test" if self.split.is_test[index] else "train"

    def past_sql(self, interaction: Interaction, history: History) -> list[str]:
        """For each turn the SQL that later turns see of it; "" where there is none."""
        if history == "predicted":
            return [self.predicted.get((interaction.db_id, turn.question_id), "") for turn in interaction.turns]
        return [turn.gold_sql or "" for turn in interaction.turns]


def make_prepare_plan(config: PrepareConfig) -> PreparePlan:
    """Read and check everything that prepare needs. Runs no SQL, writes nothing.

    Raises:
        InputError: Anything that is wrong with settings, dataset, databases, predictions, list or tokenizer.
        StorageError: A store failed or refused.
    """
    wrong = [f"{'.'.join(one.key)}: wanted {one.wanted}, found {one.found!r}" for one in conflicts(config.model_dump())]
    if wrong:
        raise SettingsError("\n  ".join(wrong))
    dataset = read_dataset(config.dataset_uri, limit=config.limit)
    interactions = dataset.interactions
    _demand_gold(interactions, config.dataset_uri)
    databases = find_databases(config.databases_uri, Path(config.cache_dir), config.cache_max_bytes)
    db_ids = sorted({one.db_id for one in interactions})
    databases.check(db_ids)
    digests = {db_id: databases.digest(db_id) for db_id in db_ids}
    split = split_interactions(interactions, config.split, digests, config.dataset_uri)
    parts = {
        "dataset": dataset.digest if config.limit is None else f"{dataset.digest}, first {config.limit}",
        "databases": parts_digest(digests),
        "split": config.split.model_dump_json(exclude={"list_uri"}),
        "example_form": config.example_form,
        "history": config.history,
        "gold": config.limits.model_dump_json(),
    }
    if config.held_out_interactions is not None:
        parts["held_out_interactions"] = str(config.held_out_interactions)
    if config.split.list_uri is not None:
        parts["split.list_uri"] = hashlib.sha256("\n".join(read_list(config.split.list_uri)).encode()).hexdigest()
    predicted: dict[_Key, str] = {}
    history: dict[Part, History] = {part: config.history for part in PARTS if part == "train" or any(split.is_test)}
    if config.predictions_uri is not None:
        predicted = _needed(interactions, _paired(config.predictions_uri, interactions))
        history = _histories(interactions, split, predicted, config.predictions_uri)
        found = "\n".join(f"{key}{predicted[key]!r}" for key in sorted(predicted))
        parts["predictions"] = hashlib.sha256(found.encode()).hexdigest()
    lengths = open_lengths(config.model_uri, config.models_dir, config.cache_dir, config.cache_max_bytes)
    max_len = _max_model_len(config, lengths)
    parts["lengths"] = lengths.digest
    if max_len is not None:
        parts["max_model_len_tokens"] = f"{max_len}, {config.max_tokens} of them for the answer"
        parts["cutoff_len"] = f"{config.cutoff_len}{', cut' if config.allow_cut else ''}"
    template = PromptTemplate(config.prompt)
    parts["prompt"] = template.digest
    return PreparePlan(
        interactions=interactions,
        split=split,
        measured=_spread(split.is_test, config.held_out_interactions),
        databases=databases,
        template=template,
        lengths=lengths,
        budget_tokens=_NO_LIMIT if max_len is None else max_len - config.max_tokens,
        max_model_len_tokens=max_len,
        max_answer=None if max_len is None else config.max_tokens,
        # A token stays free: packing takes one (cutoff_len - 1), and so do templates that end an example with an EOS.
        cut_above=None if max_len is None else (config.cutoff_len or max_len) - 1,
        history=history,
        predicted=predicted,
        parts=parts,
        digest=parts_digest(parts),
        num_turns=sum(len(one.turns) for one in interactions),
    )


def _spread(is_test: Sequence[int], number: int | None) -> frozenset[int]:
    """Positions of `number` interactions of the test part, evenly spread: a dataset is often sorted by database."""
    held_out = [index for index, flag in enumerate(is_test) if flag]
    taken = len(held_out) if number is None else min(number, len(held_out))
    return frozenset(held_out[place * len(held_out) // taken] for place in range(taken))


def _max_model_len(config: PrepareConfig, lengths: Lengths) -> int | None:
    """The context that prompts are pruned to; None where tokens are not counted."""
    if lengths.unit == "characters":
        return None
    max_len = config.max_model_len_tokens or lengths.context_tokens
    if max_len is None:
        raise SettingsError(
            f"max_model_len_tokens: wanted the model's context, found neither this setting nor a config.json with "
            f"max_position_embeddings in {config.model_uri}; set it to what predict will have (vllm.max_model_len)"
        )
    if max_len <= config.max_tokens:
        raise SettingsError(
            f"max_tokens: wanted less than the context of {max_len} tokens, found {config.max_tokens}: no room is left "
            "for a prompt"
        )
    return max_len


def _demand_gold(interactions: Sequence[Interaction], dataset_uri: str) -> None:
    turns = [(one.db_id, turn) for one in interactions for turn in one.turns]
    for wanted, missing in (
        ("gold SQL (query) for every turn", [(db_id, turn) for db_id, turn in turns if turn.gold_sql is None]),
        ("a question in every turn", [(db_id, turn) for db_id, turn in turns if not turn.question.strip()]),
    ):
        if missing:
            db_id, turn = missing[0]
            raise DatasetError(
                f"{dataset_uri}: wanted {wanted}, found {len(missing)} of {len(turns)} without; the first is "
                f"{turn.question_id} of {db_id}"
            )


def _paired(predictions_uri: str, interactions: Sequence[Interaction]) -> dict[_Key, str]:
    """The predictions by key; those that do not say their database belong to the only one that has the question."""
    db_ids: dict[str, list[str]] = {}
    for one in interactions:
        for turn in one.turns:
            db_ids.setdefault(turn.question_id, []).append(one.db_id)
    found: dict[_Key, str] = {}
    for prediction in read_predictions(predictions_uri, interactions):
        db_id = prediction.db_id or _only(db_ids.get(prediction.question_id, []), prediction, predictions_uri)
        found[db_id, prediction.question_id] = prediction.sql.strip()
    return found


def _only(db_ids: Sequence[str], prediction: PredictedTurn, predictions_uri: str) -> str:
    if len(db_ids) > 1:
        raise DatasetError(
            f"{predictions_uri}: {prediction.question_id} has no db_id, and the dataset has this question for "
            f"{len(db_ids)} databases: {', '.join(db_ids[:5])}; give each prediction its db_id"
        )
    return db_ids[0] if db_ids else ""


def _needed(interactions: Sequence[Interaction], found: dict[_Key, str]) -> dict[_Key, str]:
    """Of the predictions those that stand in a history: never an interaction's last one."""
    keys = ((one.db_id, turn.question_id) for one in interactions for turn in one.turns[:-1])
    return {key: found[key] for key in keys if key in found}


def _histories(
    interactions: Sequence[Interaction], split: Split, predicted: dict[_Key, str], predictions_uri: str
) -> dict[Part, History]:
    """For each part whose SQL is history; a test part without any predictions gets gold."""
    history: dict[Part, History] = {}
    for part in PARTS:
        needed = [
            (one.db_id, turn.question_id)
            for one, is_test in zip(interactions, split.is_test, strict=True)
            if is_test == (part == "test")
            for turn in one.turns[:-1]
        ]
        missing = [key for key in needed if key not in predicted]
        if part == "test" and needed and len(missing) == len(needed):
            history[part] = "gold"
            logger.info("%s has no prediction for the test part: its history is gold", predictions_uri)
        elif missing:
            db_id, question_id = missing[0]
            raise DatasetError(
                f"{predictions_uri}: wanted a prediction for each of the {len(needed)} turns of the part {part} that "
                f"another turn follows, found none for {len(missing)}; the first is {question_id} of {db_id}; predict "
                "all of the dataset first"
            )
        elif part == "train" or any(split.is_test):
            history[part] = "predicted"
    return history
