"""What prepare counts, for each part: what there is, what was left out, how long examples are and what would be cut.

Kept while examples stream by: a few counters, and four bytes for the length of each example and answer.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from t2s.interaction import Interaction, Record
from t2s.prepare_config import ExampleForm
from t2s.prompt import History
from t2s.training.gold import Checked
from t2s.training.sft import Example, Part
from t2s.training.tokens import Unit

HARDNESS = ("easy", "medium", "hard", "extra", "unknown")

_NUM_NAMED = 10
_NUM_FAILURES = 20
_MAX_BINS = 40


class LengthSummary(Record):
    """Lengths of some things, in the statistics' unit; `p95`: 95 of 100 are not longer."""

    shortest: int
    median: int
    p95: int
    longest: int
    total: int


class GoldFailure(Record):
    """A turn whose gold does not run; `kind` and `message` as in the sandbox's outcome."""

    part: Part
    db_id: str
    question_id: str
    kind: str
    message: str


class PartStatistics(Record):
    """One part of the split.

    Attributes:
        num_databases, num_interactions, num_turns: In its JSON file.
        num_examples: In its file for LLaMA-Factory.
        num_gold_failed: Turns whose gold does not run, by what came of it.
        num_after_failed: Turns behind one of those, left out with it.
        num_interactions_lost: Interactions of which no turn is left.
        num_too_long: Turns in the JSON file that are in no example, since their prompt does not fit the context.
        num_empty_results: Turns whose gold returns nothing.
        turns: Number of interactions by their number of turns.
        hardness: Number of turns by the hardness of their gold.
        example_length, answer_length: Of the examples, and of the SQL in them.
        num_longer_answers: Answers longer than predict's `max_tokens`.
        num_cut: Examples that LLaMA-Factory would cut.
        cut: The first ten of them, by the last `question_id`.
        num_tables_pruned, num_turns_pruned: Examples whose prompt leaves out tables, or earlier turns.
        histogram: Number of examples by length, bin after bin from 0.
        databases: Number of interactions by `db_id`.
    """

    num_databases: int
    num_interactions: int
    num_turns: int
    num_examples: int
    num_gold_failed: dict[str, int]
    num_after_failed: int
    num_interactions_lost: int
    num_too_long: int
    num_empty_results: int
    turns: dict[str, int]
    hardness: dict[str, int]
    example_length: LengthSummary | None
    answer_length: LengthSummary | None
    num_longer_answers: int
    num_cut: int
    cut: tuple[str, ...]
    num_tables_pruned: int
    num_turns_pruned: int
    histogram: tuple[int, ...]
    databases: dict[str, int]


class Statistics(Record):
    """Everything that prepare counted; `prepare/statistics.json`.

    Attributes:
        dataset_uri, model_uri: What was counted, and with whose tokenizer.
        example_form, history: As set; the history for each part, since a held-out part may have no predictions.
        unit: Of all lengths.
        max_model_len_tokens: Context that prompts were pruned to; None: not pruned.
        cutoff_len: What train must not go below, or None without a model.
        bin_width: Of the histograms.
        databases_in_both: `db_id`s with interactions in both parts.
        num_rewritten: Turns whose gold predict would not take from a completion as it stands (several statements,
            comments, …): a model that learns it is scored on another text.
        rewritten: The first ten of them.
        gold_failures: The first twenty.
        parts: train, and test where something is held out.
    """

    dataset_uri: str
    model_uri: str | None
    example_form: ExampleForm
    history: dict[Part, History]
    unit: Unit
    max_model_len_tokens: int | None
    cutoff_len: int | None
    bin_width: int
    databases_in_both: tuple[str, ...]
    num_rewritten: int
    rewritten: tuple[str, ...]
    gold_failures: tuple[GoldFailure, ...]
    parts: dict[Part, PartStatistics]


class PartCounter:
    """Counts one part.

    Args:
        part: Which.
        max_answer: Longest answer that predict would let a model write; None: not known.
        cut_above: Examples longer than this would be cut; None: none is.
    """

    def __init__(self, part: Part, max_answer: int | None, cut_above: int | None) -> None:
        self._part, self._max_answer, self._cut_above = part, max_answer, cut_above
        self._databases: Counter[str] = Counter()
        self._turns: Counter[int] = Counter()
        self._gold_failed: Counter[str] = Counter()
        self._hardness: Counter[str] = Counter()
        self._num_after_failed = self._num_lost = self._num_empty = self._num_too_long = 0
        self._num_cut = self._num_tables_pruned = self._num_turns_pruned = 0
        self._cut: list[str] = []
        self.lengths = array("I")
        self._answers = array("I")
        self.gold_failures: list[GoldFailure] = []

    @property
    def num_interactions(self) -> int:
        """Interactions of which something is left."""
        return self._databases.total()

    @property
    def longest(self) -> int:
        """Of the examples so far."""
        return max(self.lengths, default=0)

    def checked(self, interaction: Interaction, checked: Checked) -> None:
        """Count an interaction whose gold was run."""
        num_left = len(checked.interaction.turns) if checked.interaction else 0
        if checked.failed is not None:
            turn, failed = interaction.turns[num_left], checked.failed
            self._gold_failed[failed.kind] += 1
            self._num_after_failed += len(interaction.turns) - num_left - 1
            if len(self.gold_failures) < _NUM_FAILURES:
                failure = GoldFailure(
                    part=self._part,
                    db_id=interaction.db_id,
                    question_id=turn.question_id,
                    kind=failed.kind,
                    message=failed.message,
                )
                self.gold_failures.append(failure)
        if num_left:
            self._databases[interaction.db_id] += 1
            self._turns[num_left] += 1
            self._num_empty += checked.num_empty
        else:
            self._num_lost += 1

    def hardness(self, levels: Iterable[str]) -> None:
        """Count the hardness of turns."""
        self._hardness.update(levels)

    def example(self, example: Example, length: int, answers: Iterable[int]) -> None:
        """Count an example and the answers that are trained on in it."""
        self.lengths.append(length)
        self._answers.extend(answers)
        kinds = {name.partition(":")[0] for name in example.pruned}
        self._num_tables_pruned += "table" in kinds
        self._num_turns_pruned += "turn" in kinds
        if self._cut_above is not None and length > self._cut_above:
            self._num_cut += 1
            if len(self._cut) < _NUM_NAMED:
                self._cut.append(example.question_ids[-1])

    def too_long(self, num_turns: int) -> None:
        """Count turns that are in no example."""
        self._num_too_long += num_turns

    def finish(self, bin_width: int) -> PartStatistics:
        """All that was counted."""
        bins = Counter(length // bin_width for length in self.lengths)
        longer = 0 if self._max_answer is None else sum(length > self._max_answer for length in self._answers)
        return PartStatistics(
            num_databases=len(self._databases),
            num_interactions=self.num_interactions,
            num_turns=sum(number * count for number, count in self._turns.items()),
            num_examples=len(self.lengths),
            num_gold_failed=dict(sorted(self._gold_failed.items())),
            num_after_failed=self._num_after_failed,
            num_interactions_lost=self._num_lost,
            num_too_long=self._num_too_long,
            num_empty_results=self._num_empty,
            turns={str(number): self._turns[number] for number in sorted(self._turns)},
            hardness={level: self._hardness[level] for level in HARDNESS},
            example_length=summary(self.lengths),
            answer_length=summary(self._answers),
            num_longer_answers=longer,
            num_cut=self._num_cut,
            cut=tuple(self._cut),
            num_tables_pruned=self._num_tables_pruned,
            num_turns_pruned=self._num_turns_pruned,
            histogram=tuple(bins[index] for index in range(max(bins, default=-1) + 1)),
            databases=dict(sorted(self._databases.items())),
        )


def summary(lengths: Sequence[int]) -> LengthSummary | None:
    """Sum lengths up; None where there are none."""
    if not lengths:
        return None
    ordered = sorted(lengths)
    return LengthSummary(
        shortest=ordered[0],
        median=ordered[(len(ordered) - 1) // 2],
        p95=ordered[-(-len(ordered) * 95 // 100) - 1],
        longest=ordered[-1],
        total=sum(ordered),
    )


def bin_width(longest: int) -> int:
    """Width of a histogram's bins: 1, 2 or 5 times a power of ten, at most 40 bins."""
    power = 1
    while True:
        for step in (1, 2, 5):
            if longest // (step * power) < _MAX_BINS:
                return step * power
        power *= 10


class Cut(NamedTuple):
    """What would be cut: examples, of so many, and the first of them."""

    num_cut: int
    num_examples: int
    longest: int
    first: tuple[str, ...]


def what_is_cut(parts: Mapping[Part, PartStatistics]) -> Cut:
    """Sum up over the parts."""
    return Cut(
        sum(part.num_cut for part in parts.values()),
        sum(part.num_examples for part in parts.values()),
        max((part.example_length.longest for part in parts.values() if part.example_length), default=0),
        tuple(question_id for part in parts.values() for question_id in part.cut)[:_NUM_NAMED],
    )
