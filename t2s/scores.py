"""From judged turns to the report: shares, means, intervals, by turn, by hardness and by database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from t2s.execution import Executed, Key, ScoredTurn
from t2s.metrics.interaction_match import interaction_match
from t2s.metrics.intervals import bootstrap_intervals
from t2s.prediction import Measurement
from t2s.report.record import TURN_GROUPS, Flag, History, Interval, QuestionResult, Report, Score
from t2s.report.turn_detail import TurnDetail
from t2s.text_scores import TextScores
from t2s.verdict import HARDNESSES, VERDICTS, WARNINGS, TurnWarning

Figure = tuple[str, Callable[[QuestionResult], float | None]]

FIGURES: tuple[Figure, ...] = (
    ("execution_accuracy", lambda result: result.ex),
    ("execution_accuracy_keep_distinct", lambda result: result.ex_keep_distinct),
    ("execution_accuracy_strict", lambda result: result.ex_strict),
    ("execution_accuracy_bird", lambda result: result.ex_bird),
    ("exact_set_match", lambda result: result.em),
    ("exact_set_match_own", lambda result: result.em_own),
    ("valid_sql_rate", lambda result: result.valid_sql),
    ("bleu_4", lambda result: result.bleu_4),
    ("rouge_l", lambda result: result.rouge_l),
)
"""Figures that are a mean over turns, by their name in `Score`; None leaves the turn out of the mean."""


class Judged(NamedTuple):
    """All that is known of a turn."""

    turn: ScoredTurn
    executed: Executed
    texts: TextScores | None
    measurement: Measurement | None


def make_report(
    judged: Sequence[Judged], unknown: Sequence[str], history: History | None
) -> tuple[Report, list[TurnDetail]]:
    """Add up.

    Args:
        judged: Every turn of gold, in gold's order.
        unknown: Predictions for questions that gold does not have.
        history: Which earlier SQL the model saw.
    """
    names = _names([one.turn.key for one in judged])
    results = _results(judged)
    scored = [index for index, one in enumerate(judged) if one.executed.verdict != "gold_failed"]
    by_turn = [[i for i in scored if _turn_group(judged[i].turn.turn_index) == group] for group in TURN_GROUPS]
    by_hardness = [[i for i in scored if results[i].hardness == level] for level in HARDNESSES]
    db_ids = list(dict.fromkeys(one.turn.key.db_id for one in judged))
    members: dict[str, list[int]] = {db_id: [] for db_id in db_ids}
    for index in scored:
        members[judged[index].turn.key.db_id].append(index)
    groups = [scored, *by_turn, *by_hardness, *members.values()]
    matches = _interaction_matches(judged, results)
    scores, match_intervals = _scores(judged, results, groups, matches)
    turns_end = 1 + len(TURN_GROUPS)
    hardness_end = turns_end + len(HARDNESSES)
    verdicts = Counter(result.verdict for result in results)
    warnings = Counter(warning for result in results for warning in result.warnings)
    share_by_kind = {kind: _share(flags) for kind, flags in matches.items()}
    report = Report(
        **{**dict(scores[0]), "intervals": scores[0].intervals | match_intervals},
        num_interactions=interaction_match(matches["interaction_match_ex"])[1],
        num_gold_failed=verdicts["gold_failed"],
        num_gold_rejected=sum(one.texts is not None and one.texts.gold_rejected is not None for one in judged),
        num_predictions_rejected=sum(one.texts is not None and _predicted_rejected(one.texts) for one in judged),
        interaction_match_ex=share_by_kind["interaction_match_ex"],
        interaction_match_em=share_by_kind["interaction_match_em"],
        interaction_match_em_own=share_by_kind["interaction_match_em_own"],
        history=history,
        by_turn=dict(zip(TURN_GROUPS, scores[1:turns_end], strict=True)),
        by_hardness=dict(zip(HARDNESSES, scores[turns_end:hardness_end], strict=True)),
        by_db=dict(zip(db_ids, scores[hardness_end:], strict=True)),
        first_wrong_turn=_first_wrong_turns(matches["interaction_match_ex"]),
        verdicts={kind: verdicts[kind] for kind in VERDICTS},
        warnings={kind: warnings[kind] for kind in WARNINGS},
        missing_predictions=tuple(names[one.turn.key] for one in judged if one.turn.predicted_sql is None),
        unknown_predictions=tuple(unknown),
        gold_failed={
            names[one.turn.key]: one.executed.message for one in judged if one.executed.verdict == "gold_failed"
        },
        rejections=_rejections(judged),
        per_question={names[one.turn.key]: result for one, result in zip(judged, results, strict=True)},
    )
    details = [_detail(names[one.turn.key], one, result) for one, result in zip(judged, results, strict=True)]
    return report, details


def _names(keys: Sequence[Key]) -> dict[Key, str]:
    num_databases = Counter(key.question_id for key in keys)
    return {
        key: key.question_id if num_databases[key.question_id] == 1 else f"{key.question_id}@{key.db_id}"
        for key in keys
    }


def _turn_group(turn_index: int) -> str:
    return TURN_GROUPS[min(turn_index, len(TURN_GROUPS) - 1)]


def _predicted_rejected(texts: TextScores) -> bool:
    return texts.gold_rejected is None and texts.predicted_rejected is not None


def _results(judged: Sequence[Judged]) -> list[QuestionResult]:
    results: list[QuestionResult] = []
    wrong_before = False
    for one in judged:
        executed, texts = one.executed, one.texts
        if one.turn.turn_index == 0:
            wrong_before = False
        warnings: list[TurnWarning] = []
        if texts is not None and texts.has_quoted_string:
            warnings.append("quoted_string")
        if executed.ex and executed.both_empty:
            warnings.append("both_empty")
        if executed.ex and not executed.ex_keep_distinct:
            warnings.append("distinct_ignored")
        if executed.ex and wrong_before:
            warnings.append("right_after_wrong")
        wrong_before = wrong_before or executed.ex is False
        verdict = executed.verdict or (texts.verdict if texts is not None else None)
        assert verdict is not None, f"{one.turn.key} has no verdict"
        results.append(
            QuestionResult(
                ex=_flag(executed.ex),
                ex_keep_distinct=_flag(executed.ex_keep_distinct),
                ex_strict=_flag(executed.ex_strict),
                ex_bird=_flag(executed.ex_bird),
                em=_flag(texts.em) if texts is not None else None,
                em_own=_flag(texts.em_own) if texts is not None else None,
                hardness=texts.hardness if texts is not None else "unknown",
                bleu_4=texts.bleu_4 if texts is not None else None,
                rouge_l=texts.rouge_l if texts is not None else None,
                valid_sql=1 if executed.valid_sql else 0,
                verdict=verdict,
                warnings=tuple(warnings),
            )
        )
    return results


def _flag(right: bool | None) -> Flag | None:
    return None if right is None else 1 if right else 0


def _interaction_matches(
    judged: Sequence[Judged], results: Sequence[QuestionResult]
) -> dict[str, list[list[bool | None]]]:
    """For each kind of interaction match, whether each turn of each interaction is right."""
    kinds = {"interaction_match_ex": "ex", "interaction_match_em": "em", "interaction_match_em_own": "em_own"}
    matches: dict[str, list[list[bool | None]]] = {kind: [] for kind in kinds}
    for one, result in zip(judged, results, strict=True):
        for kind, field in kinds.items():
            if one.turn.turn_index == 0:
                matches[kind].append([])
            flag = getattr(result, field)
            matches[kind][-1].append(None if flag is None else bool(flag))
    return matches


def _share(interactions: Sequence[Sequence[bool | None]]) -> float | None:
    num_right, num_scored = interaction_match(interactions)
    return num_right / num_scored if num_scored else None


def _scores(
    judged: Sequence[Judged],
    results: Sequence[QuestionResult],
    groups: Sequence[Sequence[int]],
    matches: Mapping[str, Sequence[Sequence[bool | None]]],
) -> tuple[list[Score], dict[str, Interval]]:
    """The score of each group, and the intervals of the interaction matches: one bootstrap for all of them."""
    import numpy as np

    interactions = np.array([one.turn.interaction_index for one in judged], dtype=np.int64)
    num_interactions = len(next(iter(matches.values())))
    values = np.array([[_number(get(result)) for result in results] for _, get in FIGURES], dtype=np.float64)
    sums, counts = [], []
    for group in groups:
        members = np.array(group, dtype=np.int64)
        for row in values:
            kept = members[~np.isnan(row[members])] if len(members) else members
            sums.append(np.bincount(interactions[kept], weights=row[kept], minlength=num_interactions))
            counts.append(np.bincount(interactions[kept], minlength=num_interactions).astype(np.float64))
    for flags in matches.values():
        counts.append(np.array([float(None not in turns) for turns in flags]))
        sums.append(np.array([float(None not in turns and all(turns)) for turns in flags]))
    intervals = bootstrap_intervals(np.array(sums), np.array(counts))
    scores = []
    for number, group in enumerate(groups):
        first = number * len(FIGURES)
        means: dict[str, float | None] = {}
        found: dict[str, Interval] = {}
        for offset, (name, _) in enumerate(FIGURES):
            count = float(counts[first + offset].sum())
            means[name] = float(sums[first + offset].sum()) / count if count else None
            interval = intervals[first + offset]
            if interval is not None:
                found[name] = interval
        num_em = int(counts[first + [name for name, _ in FIGURES].index("exact_set_match")].sum())
        scores.append(Score(num_turns=len(group), num_turns_em=num_em, intervals=found, **means))
    of_matches = zip(matches, intervals[len(groups) * len(FIGURES) :], strict=True)
    return scores, {name: interval for name, interval in of_matches if interval is not None}


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _first_wrong_turns(interactions: Sequence[Sequence[bool | None]]) -> dict[str, int]:
    """Scored interactions by the place of their first wrong turn."""
    places = Counter(
        _turn_group(turns.index(False)) if False in turns else "none" for turns in interactions if None not in turns
    )
    return {place: places[place] for place in (*TURN_GROUPS, "none")}


def _rejections(judged: Sequence[Judged]) -> dict[str, dict[Literal["gold", "predicted"], int]]:
    found: dict[str, dict[Literal["gold", "predicted"], int]] = {}
    for one in judged:
        if one.texts is None:
            continue
        if one.texts.gold_rejected is not None:
            found.setdefault(one.texts.gold_rejected, {"gold": 0, "predicted": 0})["gold"] += 1
        elif one.texts.predicted_rejected is not None:
            found.setdefault(one.texts.predicted_rejected, {"gold": 0, "predicted": 0})["predicted"] += 1
    return dict(sorted(found.items(), key=lambda item: -sum(item[1].values())))


def _detail(name: str, one: Judged, result: QuestionResult) -> TurnDetail:
    return TurnDetail(
        name=name,
        db_id=one.turn.key.db_id,
        interaction_index=one.turn.interaction_index,
        turn_index=one.turn.turn_index,
        question=one.turn.question,
        gold_sql=one.turn.gold_sql,
        predicted_sql=one.turn.predicted_sql,
        message=one.executed.message,
        gold_result=one.executed.gold,
        predicted_result=one.executed.predicted,
        result=result,
        measurement=one.measurement,
    )
