"""Two or more scored runs side by side: which is better, by how much, and on what.

    compare_runs(["runs/base", "runs/adapter"])
        reads     <run_uri>/report.json, and <run_uri>/evaluate/turns.jsonl where it is there
        returns   a Comparison (report/comparison.py), over the questions that all of them were scored on

A difference comes with two answers to "is it chance?". The paired bootstrap draws interactions, whole, and holds for
every figure. McNemar's test asks how the questions split on which exactly one of the two is right; it takes questions
to be independent, which interactions are and the turns of one are not. So for a decision: the intervals, or the test of
the interaction match. Both tests: Dror et al. 2018, "The Hitchhiker's Guide to Testing Statistical Significance in
Natural Language Processing".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pydantic import ValidationError

from t2s.errors import DatasetError, SettingsError
from t2s.interaction import Record
from t2s.metrics.mcnemar import mcnemar
from t2s.report.comparison import (
    AgainstBase,
    ChangedTurn,
    ComparedRun,
    Comparison,
    Difference,
    GroupChange,
    JudgedSql,
    Mean,
    PairedTest,
)
from t2s.report.record import TURN_GROUPS, QuestionResult, Report
from t2s.report.turn_detail import TURNS_KEY, TurnDetail
from t2s.sql.tokens import tokens
from t2s.storage import Store, open_store
from t2s.verdict import HARDNESSES, VERDICTS, Verdict

if TYPE_CHECKING:
    from t2s.metrics.intervals import Floats

_REPORT_KEY = "report.json"
_NUM_NAMED = 3

_Parsed = TypeVar("_Parsed", bound=Record)
_Group = TypeVar("_Group", bound=str)
_Get = Callable[[QuestionResult], float | None]

TURN_FIGURES: dict[str, _Get] = {
    "execution_accuracy": lambda result: result.ex,
    "execution_accuracy_keep_distinct": lambda result: result.ex_keep_distinct,
    "execution_accuracy_strict": lambda result: result.ex_strict,
    "execution_accuracy_bird": lambda result: result.ex_bird,
    "exact_set_match": lambda result: result.em,
    "exact_set_match_own": lambda result: result.em_own,
    "valid_sql_rate": lambda result: None if result.ex is None else result.valid_sql,
    "bleu_4": lambda result: result.bleu_4,
    "rouge_l": lambda result: result.rouge_l,
}
INTERACTION_FIGURES: dict[str, _Get] = {
    "interaction_match_ex": TURN_FIGURES["execution_accuracy"],
    "interaction_match_em": TURN_FIGURES["exact_set_match"],
    "interaction_match_em_own": TURN_FIGURES["exact_set_match_own"],
}
_OVERLAPS = ("bleu_4", "rouge_l")


class _Run(NamedTuple):
    """A scored run; `details` by question, None where its `turns.jsonl` is not there."""

    uri: str
    report: Report
    details: dict[str, TurnDetail] | None


class _Values(NamedTuple):
    """A figure of all runs.

    Attributes:
        of_runs: For each run, one number for each turn (or interaction) that has the figure in all runs.
        interactions: The interaction of each, as a position; empty where unknown.
    """

    of_runs: list[list[float]]
    interactions: list[int]


def compare_runs(run_uris: Sequence[str]) -> Comparison:
    """Compare scored runs; the first is the base.

    Args:
        run_uris: Two or more, each with its `report.json`.

    Raises:
        SettingsError: Fewer than two runs, or one twice.
        DatasetError: A run is not scored, or no question is common to all.
        StorageError: A store failed or refused.
    """
    if len(run_uris) < 2:
        raise SettingsError(f"wanted two or more runs to compare, found {len(run_uris)}")
    stores = [open_store(uri) for uri in run_uris]
    for position, store in enumerate(stores):
        if store.uri in [other.uri for other in stores[:position]]:
            raise SettingsError(f"wanted different runs to compare, found {store.uri} twice")
    warnings: list[str] = []
    runs = [_read_run(uri, store, warnings) for uri, store in zip(run_uris, stores, strict=True)]
    names = _common_questions(runs, warnings)
    _warn_of_histories(runs, warnings)
    places = next((run.details for run in runs if run.details is not None), None)
    if places is None:
        warnings.append(
            f"no run has its {TURNS_KEY}: no interaction match, no interval, no SQL; evaluate one of them again"
        )
    values = _values(runs, names, places)
    means, differences = _means_and_differences(values, num_runs=len(runs))
    scored = [name for name in names if all(run.report.per_question[name].ex is not None for run in runs)]
    return Comparison(
        num_turns=len(scored),
        num_interactions=len({places[name].interaction_index for name in scored}) if places else None,
        runs=tuple(
            ComparedRun(run_uri=run.uri, history=run.report.history, means=means[position])
            for position, run in enumerate(runs)
        ),
        against_base=tuple(
            _against_base(runs[0], run, differences[position], scored, places)
            for position, run in enumerate(runs[1:], 1)
        ),
        warnings=tuple(warnings),
    )


def _read_run(uri: str, store: Store, warnings: list[str]) -> _Run:
    if not store.exists(_REPORT_KEY):
        raise DatasetError(f"{uri}: wanted a scored run, found no {_REPORT_KEY}; t2s run evaluate makes it")
    report = _parse(Report, store.read(_REPORT_KEY), f"{uri}/{_REPORT_KEY}")
    if not store.exists(TURNS_KEY):
        return _Run(uri, report, None)
    lines = store.read(TURNS_KEY).splitlines()
    turns = [_parse(TurnDetail, line, f"{uri}/{TURNS_KEY}, line {number}") for number, line in enumerate(lines, 1)]
    details = {turn.name: turn for turn in turns}
    if details.keys() != report.per_question.keys():
        warnings.append(f"{uri}: {TURNS_KEY} is of another evaluation than {_REPORT_KEY} and is left alone")
        return _Run(uri, report, None)
    return _Run(uri, report, details)


def _parse(kind: type[_Parsed], data: bytes, place: str) -> _Parsed:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        what = f"{where}: {first['msg']}" if where else first["msg"]
        raise DatasetError(
            f"{place}: wanted what this version of t2s evaluate writes, found {what}; evaluate the run again"
        ) from error


def _common_questions(runs: Sequence[_Run], warnings: list[str]) -> list[str]:
    """The questions of the base that all runs were scored on with the same gold SQL; warns of the others."""
    base = runs[0]
    common = [name for name in base.report.per_question if all(name in run.report.per_question for run in runs)]
    known = set(common)
    for run in runs:
        without = [name for name in run.report.per_question if name not in known]
        if without and common:
            total = len(run.report.per_question)
            warnings.append(f"{run.uri}: {len(without)} of {total} questions are not in all runs: {_some(without)}")
    kept: list[str] = []
    other_gold: list[str] = []
    for name in common:
        gold = {(run.details[name].db_id, run.details[name].gold_sql) for run in runs if run.details is not None}
        if len(gold) > 1:  # perhaps it is only written in another way
            gold = {(db_id, _as_sqlite_reads(sql)) for db_id, sql in gold}
        (kept if len(gold) < 2 else other_gold).append(name)
    if not kept:
        reason = f"{len(other_gold)} questions have other gold SQL or another database: {_some(other_gold)}"
        firsts = ", ".join(f"{run.uri} has {_some(run.report.per_question)}" for run in runs)
        raise DatasetError(
            "wanted runs that were scored on the same questions, found none that all have; "
            + (reason if other_gold else firsts)
        )
    if other_gold:
        warnings.append(
            f"{len(other_gold)} of {len(common)} questions have other gold SQL in another run and are left out: "
            f"{_some(other_gold)}"
        )
    failed = [
        name for name in kept if len({run.report.per_question[name].verdict == "gold_failed" for run in runs}) == 2
    ]
    if failed:
        warnings.append(f"{len(failed)} questions are left out, since their gold failed in some run: {_some(failed)}")
    return kept


def _as_sqlite_reads(sql: str) -> str:
    """The tokens in lower case, but for strings: spacing, comments and a last semicolon say nothing."""
    kept = [token for token in tokens(sql) if token.kind not in ("space", "comment")]
    return " ".join(token.text if token.kind == "literal" else token.text.lower() for token in kept).removesuffix(" ;")


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_NUM_NAMED]) + (", …" if len(names) > _NUM_NAMED else "")


def _warn_of_histories(runs: Sequence[_Run], warnings: list[str]) -> None:
    if len({run.report.history for run in runs}) > 1:
        told = ", ".join(f"{run.uri}: {run.report.history or 'unknown'}" for run in runs)
        warnings.append(f"the runs saw different histories ({told}), which alone makes scores differ")


def _values(runs: Sequence[_Run], names: Sequence[str], places: Mapping[str, TurnDetail] | None) -> dict[str, _Values]:
    found: dict[str, _Values] = {}
    for figure, get in TURN_FIGURES.items():
        rows = [(name, [get(run.report.per_question[name]) for run in runs]) for name in names]
        kept = [(name, [float(value) for value in row if value is not None]) for name, row in rows if None not in row]
        of_runs = [list(column) for column in zip(*(row for _, row in kept), strict=True)]
        found[figure] = _Values(of_runs, [places[name].interaction_index for name, _ in kept] if places else [])
    if places is None:
        return found
    interactions: dict[int, list[str]] = {}
    for detail in places.values():
        interactions.setdefault(detail.interaction_index, []).append(detail.name)
    known = set(names)
    for figure, get in INTERACTION_FIGURES.items():
        matches: dict[int, list[float]] = {}
        for index, members in interactions.items():
            flags = [[get(run.report.per_question[name]) for name in members if name in known] for run in runs]
            if len(flags[0]) == len(members) and not any(None in row for row in flags):
                matches[index] = [float(all(row)) for row in flags]
        found[figure] = _Values([list(column) for column in zip(*matches.values(), strict=True)], list(matches))
    return found


def _means_and_differences(
    values: Mapping[str, _Values], num_runs: int
) -> tuple[list[dict[str, Mean]], list[dict[str, Difference]]]:
    """For each run its means, and its differences to the first run; one bootstrap for all intervals."""
    import numpy as np

    from t2s.metrics.intervals import bootstrap_intervals

    num_interactions = 1 + max((index for one in values.values() for index in one.interactions), default=0)
    sums: list[Floats] = []
    counts: list[Floats] = []
    for one in values.values():
        if not one.interactions or not one.of_runs:
            continue
        count = np.bincount(one.interactions, minlength=num_interactions).astype(np.float64)
        of_runs: list[Floats] = [
            np.bincount(one.interactions, weights=row, minlength=num_interactions).astype(np.float64)
            for row in one.of_runs
        ]
        sums += [*of_runs, *(of_run - of_runs[0] for of_run in of_runs[1:])]
        counts += [count] * (2 * num_runs - 1)
    # Interactions that no figure is about would only be drawn in vain, and make intervals depend on what was left out.
    if sums:
        used = np.flatnonzero(np.sum(counts, axis=0))
        intervals = iter(bootstrap_intervals(np.array(sums)[:, used], np.array(counts)[:, used]))
    means: list[dict[str, Mean]] = [{} for _ in range(num_runs)]
    differences: list[dict[str, Difference]] = [{} for _ in range(num_runs)]
    for figure, one in values.items():
        if not one.of_runs:
            continue
        averages = [sum(row) / len(row) for row in one.of_runs]
        for run in range(num_runs):
            interval = next(intervals) if one.interactions else None
            means[run][figure] = Mean(value=averages[run], count=len(one.of_runs[run]), interval=interval)
        for run in range(1, num_runs):
            differences[run][figure] = Difference(
                value=averages[run] - averages[0],
                interval=next(intervals) if one.interactions else None,
                test=None if figure in _OVERLAPS else _test(one.of_runs[0], one.of_runs[run]),
            )
    return means, differences


def _test(base: Sequence[float], other: Sequence[float]) -> PairedTest:
    table = mcnemar([bool(flag) for flag in base], [bool(flag) for flag in other])
    return PairedTest(
        num_won=table.only_b,
        num_lost=table.only_a,
        num_both=table.both,
        num_neither=table.neither,
        p_value=table.p_value,
    )


def _against_base(
    base: _Run,
    other: _Run,
    differences: dict[str, Difference],
    scored: Sequence[str],
    places: Mapping[str, TurnDetail] | None,
) -> AgainstBase:
    before, after = base.report.per_question, other.report.per_question
    verdicts: dict[Verdict, dict[Verdict, int]] = {}
    pairs = Counter((before[name].verdict, after[name].verdict) for name in scored)
    for first, second in sorted(pairs, key=lambda pair: (VERDICTS.index(pair[0]), VERDICTS.index(pair[1]))):
        verdicts.setdefault(first, {})[second] = pairs[first, second]

    def grouped(groups: Iterable[_Group], group_of: Callable[[str], _Group]) -> dict[_Group, GroupChange]:
        members: dict[_Group, list[str]] = {group: [] for group in groups}
        for name in scored:
            members[group_of(name)].append(name)
        return {
            group: _group_change([(before[name].ex == 1, after[name].ex == 1) for name in turns])
            for group, turns in members.items()
            if turns
        }

    changed = [name for name in scored if before[name].ex != after[name].ex]
    return AgainstBase(
        run_uri=other.uri,
        differences=differences,
        by_turn=grouped(TURN_GROUPS, lambda name: TURN_GROUPS[min(places[name].turn_index, len(TURN_GROUPS) - 1)])
        if places
        else {},
        by_hardness=grouped(HARDNESSES, lambda name: before[name].hardness),
        by_db=grouped(dict.fromkeys(places[name].db_id for name in scored), lambda name: places[name].db_id)
        if places
        else {},
        verdicts=verdicts,
        won=tuple(_changed_turn(name, base, other, places) for name in changed if after[name].ex == 1),
        lost=tuple(_changed_turn(name, base, other, places) for name in changed if after[name].ex != 1),
    )


def _group_change(pairs: Sequence[tuple[bool, bool]]) -> GroupChange:
    return GroupChange(
        num_turns=len(pairs),
        num_base_right=sum(before for before, _ in pairs),
        num_right=sum(after for _, after in pairs),
        num_won=sum(after and not before for before, after in pairs),
        num_lost=sum(before and not after for before, after in pairs),
    )


def _changed_turn(name: str, base: _Run, other: _Run, places: Mapping[str, TurnDetail] | None) -> ChangedTurn:
    place = places[name] if places else None
    sides = {"base": _judged_sql(name, base), "other": _judged_sql(name, other)}
    hardness = base.report.per_question[name].hardness
    if place is None:
        return ChangedTurn(name=name, hardness=hardness, **sides)
    return ChangedTurn(
        name=name,
        hardness=hardness,
        **sides,
        db_id=place.db_id,
        interaction_index=place.interaction_index,
        turn_index=place.turn_index,
        question=place.question,
        gold_sql=place.gold_sql,
        gold_result=place.gold_result,
    )


def _judged_sql(name: str, run: _Run) -> JudgedSql:
    result = run.report.per_question[name]
    detail = run.details[name] if run.details is not None else None
    return JudgedSql(
        sql=detail.predicted_sql if detail else None,
        verdict=result.verdict,
        warnings=result.warnings,
        message=detail.message if detail else "",
        result=detail.predicted_result if detail else None,
    )
