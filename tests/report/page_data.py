"""A scored run of any size, made up from a seed: what the page's tests, its benchmark and curious eyes open.

    report, turns = scored_run(863, seed=7)

Questions, databases and results are Chinese; predictions go wrong in every way that a verdict knows, more often the
later the turn, as real ones do.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, get_args

from t2s.prediction import Measurement
from t2s.report.record import TURN_GROUPS, QuestionResult, Report, Score
from t2s.report.turn_detail import MAX_ROWS, ResultPreview, TurnDetail
from t2s.verdict import HARDNESSES, VERDICTS, WARNINGS, Hardness, TurnWarning, Verdict

PLACES = "华东 华南 西北 东北 沿海 高原 湖畔 老城 新区 山城 滨江 云端".split()
SUBJECTS = {
    "购书平台": ("图书", "书名", "类别", "价格", "元"),
    "高校排名": ("高校", "校名", "省份", "学生人数", "人"),
    "医院挂号": ("医生", "姓名", "科室", "接诊人数", "人"),
    "足球联赛": ("球队", "队名", "城市", "积分", "分"),
    "电影票房": ("电影", "片名", "类型", "票房", "万"),
    "航班时刻": ("航班", "航班号", "起飞城市", "票价", "元"),
    "餐厅点评": ("餐厅", "店名", "菜系", "评分", "分"),
    "企业招聘": ("职位", "职位名称", "行业", "月薪", "元"),
    "地铁线路": ("车站", "站名", "线路", "日客流量（万人）", "万"),
    "博物馆": ("展品", "展品名称", "朝代", "年份", "年"),
}
VALUES = "文学 科技 历史 艺术 教育 经济 医学 法律 生活 少儿".split()

WRONG: tuple[tuple[Verdict, int], ...] = (
    ("wrong_column", 14),
    ("no_such_column", 12),
    ("wrong_condition", 12),
    ("wrong_value", 10),
    ("wrong_aggregation", 8),
    ("wrong_table", 5),
    ("extra_or_missing_column", 7),
    ("wrong_join", 4),
    ("wrong_order_or_limit", 4),
    ("wrong_distinct", 2),
    ("wrong_structure", 3),
    ("empty_result", 2),
    ("unexplained", 1),
    ("no_such_table", 4),
    ("ambiguous_column", 1),
    ("syntax_error", 3),
    ("wrong_function", 1),
    ("other_error", 1),
    ("timeout", 1),
    ("refused", 1),
    ("too_large", 1),
    ("crashed", 1),
    ("no_sql", 2),
    ("engine_error", 1),
    ("missing", 1),
    ("gold_failed", 1),
)
MESSAGES: dict[Verdict, str] = {
    "no_such_column": "no such column: 名字",
    "no_such_table": "no such table: 总表",
    "ambiguous_column": "ambiguous column name: 编号",
    "syntax_error": 'near "FORM": syntax error',
    "wrong_function": "no such function: YEAR",
    "other_error": "SELECTs to the left and right of UNION do not have the same number of result columns",
    "timeout": "stopped after 10.0 s",
    "refused": "not authorized: ATTACH",
    "too_large": "more than 200,000 rows",
    "crashed": "the process that ran it died of signal 11",
    "no_sql": "the completion holds no SQL",
    "engine_error": "prompt of 9,120 tokens is longer than the model's 8,192",
    "missing": "no prediction",
    "gold_failed": "gold: no such column: 出版社",
}
WITHOUT_RESULT = frozenset(MESSAGES)


class Ask(NamedTuple):
    """A question, its SQL and its level."""

    question: str
    sql: str
    hardness: Hardness


def asks(db: str, rng: random.Random) -> list[Ask]:
    """Up to six turns that build on each other."""
    table, name, kind, number, unit = SUBJECTS[db[-4:] if db[-4:] in SUBJECTS else db[-3:]]
    value, bound, limit = rng.choice(VALUES), rng.randrange(10, 9000), rng.randrange(2, 9)
    condition = f'{kind} = "{value}"'
    return [
        Ask(f"我想了解一下所有{table}的{name}和{kind}。", f"SELECT {name} , {kind} FROM {table}", "easy"),
        Ask(f"其中{kind}是{value}的有哪些？", f"SELECT {name} FROM {table} WHERE {condition}", "easy"),
        Ask(
            f"{number}超过{bound}{unit}的呢？",
            f"SELECT {name} FROM {table} WHERE {condition} AND {number} > {bound}",
            "medium",
        ),
        Ask(
            f"按{number}从高到低排列，只要前{limit}个。",
            f"SELECT {name} , {number} FROM {table} WHERE {condition} ORDER BY {number} DESC LIMIT {limit}",
            "hard",
        ),
        Ask(
            f"哪些{kind}的平均{number}高于总体平均？",
            f"SELECT {kind} , avg({number}) FROM {table} GROUP BY {kind} HAVING avg({number}) > "
            f"( SELECT avg({number}) FROM {table} )",
            "extra",
        ),
        Ask(f"那{kind}一共有多少种？", f"SELECT count(DISTINCT {kind}) FROM {table}", "medium"),
    ]


def spoiled(sql: str, verdict: Verdict, rng: random.Random) -> str | None:
    """The SQL with the fault that the verdict names."""
    select, _, rest = sql.partition(" FROM ")
    if verdict in ("missing", "no_sql", "engine_error"):
        return None if verdict == "missing" else ""
    faults: dict[str, str] = {
        "wrong_column": f"SELECT 编号 FROM {rest}",
        "no_such_column": f"SELECT 名字 FROM {rest}",
        "extra_or_missing_column": f"{select} , 编号 FROM {rest}",
        "wrong_table": f"{select} FROM 订单{rest[rest.find(' ') :] if ' ' in rest else ''}",
        "no_such_table": f"{select} FROM 总表",
        "syntax_error": f"{select} FORM {rest}",
        "wrong_value": sql.replace('"', "'").replace("= '", "= '其他") if '"' in sql else f"{sql} LIMIT 7",
        "wrong_condition": sql.replace(" > ", " >= ") if " > " in sql else f"{sql} WHERE 编号 < 100",
        "wrong_join": f"{select} FROM {rest.split(' ')[0]} AS T1 JOIN 订单 AS T2 ON T1.编号 = T2.编号",
        "wrong_distinct": sql.replace("SELECT", "SELECT DISTINCT", 1),
        "wrong_aggregation": sql.replace("avg(", "max(") if "avg(" in sql else f"SELECT count(*) FROM {rest}",
        "refused": "ATTACH DATABASE 'a' AS b",
        "wrong_structure": f"{sql} UNION {sql}",
    }
    return faults.get(verdict, sql.lower() if rng.random() < 0.5 else f"{sql} LIMIT 1")


def result_of(sql: str, rng: random.Random, num_rows: int) -> ResultPreview:
    columns = tuple(part.strip() for part in sql.removeprefix("SELECT ").partition(" FROM ")[0].split(" , "))
    shown = [
        tuple(
            None if rng.random() < 0.04 else str(round(rng.random() * 900, 1)) if "(" in column else rng.choice(VALUES)
            for column in columns
        )
        for _ in range(min(num_rows, MAX_ROWS))
    ]
    return ResultPreview(columns=columns, rows=tuple(shown), num_rows=num_rows, num_columns=len(columns))


def question_result(
    verdict: Verdict, hardness: Hardness, rng: random.Random, warnings: Iterable[TurnWarning]
) -> QuestionResult:
    right: Literal[0, 1] = 1 if verdict == "right" else 0
    em: Literal[0, 1] = 1 if right and rng.random() < 0.86 else 0
    failed = verdict == "gold_failed"
    overlap = round(0.75 + rng.random() / 4 if right else rng.random() * 0.9, 4)
    return QuestionResult(
        ex=None if failed else right,
        ex_keep_distinct=None if failed else right if rng.random() < 0.98 else 0,
        ex_strict=None if failed else right if rng.random() < 0.97 else 0,
        ex_bird=None if failed else right,
        em=None if hardness == "unknown" else em,
        em_own=em if rng.random() < 0.97 else right,
        hardness=hardness,
        bleu_4=None if failed else overlap,
        rouge_l=None if failed else min(1.0, overlap + 0.04),
        valid_sql=0 if verdict in WITHOUT_RESULT else 1,
        verdict=verdict,
        warnings=tuple(warnings),
    )


def measured(db: str, question_id: str, turn: int, rng: random.Random) -> Measurement:
    prompt = 900 + 60 * turn + rng.randrange(200)
    return Measurement(
        db_id=db,
        question_id=question_id,
        prompt_tokens=prompt,
        cached_tokens=int(prompt * (0.62 + 0.06 * min(turn, 5))) // 16 * 16,
        completion_tokens=rng.randrange(14, 90),
        latency_s=round(rng.lognormvariate(-0.4, 0.55), 4),
        preemptions=int(rng.random() < 0.01),
        finish_reason="length" if rng.random() < 0.004 else "stop",
        attempt=2 if rng.random() < 0.02 else 1,
    )


def make_turns(
    num_turns: int, seed: int = 7, num_databases: int = 24, with_measurements: bool = True
) -> list[TurnDetail]:
    """Turns in the gold's order, interaction after interaction."""
    rng = random.Random(seed)
    databases = [place + subject for place in PLACES for subject in SUBJECTS]
    rng.shuffle(databases)
    databases = (list(SUBJECTS) + databases)[:num_databases]
    kinds, weights = zip(*WRONG, strict=True)
    turns: list[TurnDetail] = []
    interaction = 0
    while len(turns) < num_turns:
        db = databases[interaction * num_databases // max(1, num_turns // 4 + 1) % num_databases]
        wrong_before = False
        for turn, ask in enumerate(asks(db, rng)[: rng.choice((2, 3, 4, 4, 5, 6))]):
            if len(turns) == num_turns:
                break
            spoil = rng.random() < 0.14 + 0.075 * turn + (0.1 if wrong_before else 0)
            verdict: Verdict = rng.choices(kinds, weights)[0] if spoil else "right"
            question_id = f"{rng.randrange(36**5):05x}-{len(turns)}"
            warnings: list[TurnWarning] = []
            if verdict == "right":
                warnings += ["both_empty"] if rng.random() < 0.02 else []
                warnings += ["right_after_wrong"] if wrong_before else []
            elif rng.random() < 0.05:
                warnings.append("quoted_string")
            hardness: Hardness = "unknown" if rng.random() < 0.02 else ask.hardness
            predicted = ask.sql if verdict == "right" and rng.random() < 0.8 else spoiled(ask.sql, verdict, rng)
            num_rows = 0 if "both_empty" in warnings else rng.choice((1, 2, 3, 5, 8, 41, 1234))
            gold_result = None if verdict == "gold_failed" else result_of(ask.sql, rng, num_rows)
            predicted_result = gold_result
            if verdict in WITHOUT_RESULT:
                predicted_result = None
            elif verdict != "right":
                predicted_result = result_of(
                    predicted or "", rng, 0 if verdict == "empty_result" else rng.randrange(1, 60)
                )
            turns.append(
                TurnDetail(
                    name=question_id,
                    db_id=db,
                    interaction_index=interaction,
                    turn_index=turn,
                    question=ask.question,
                    gold_sql=ask.sql,
                    predicted_sql=predicted,
                    message=MESSAGES.get(verdict, ""),
                    gold_result=gold_result,
                    predicted_result=predicted_result,
                    result=question_result(verdict, hardness, rng, warnings),
                    measurement=measured(db, question_id, turn, rng)
                    if with_measurements and verdict != "missing"
                    else None,
                )
            )
            wrong_before |= verdict != "right"
        interaction += 1
    return turns


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _interval(value: float | None, n: int) -> tuple[float, float] | None:
    if value is None or not n:
        return None
    half = 1.96 * math.sqrt(max(value * (1 - value), 0.02) / n)
    return max(0.0, value - half), min(1.0, value + half)


def score_values(turns: Sequence[TurnDetail]) -> dict[str, Any]:
    """The figures of a group of turns, with intervals by the normal approximation."""
    results = [turn.result for turn in turns if turn.result.verdict != "gold_failed"]
    figures = {
        "execution_accuracy": _mean(r.ex for r in results),
        "execution_accuracy_keep_distinct": _mean(r.ex_keep_distinct for r in results),
        "execution_accuracy_strict": _mean(r.ex_strict for r in results),
        "execution_accuracy_bird": _mean(r.ex_bird for r in results),
        "exact_set_match": _mean(r.em for r in results),
        "exact_set_match_own": _mean(r.em_own for r in results),
        "valid_sql_rate": _mean(r.valid_sql for r in results),
        "bleu_4": _mean(r.bleu_4 for r in results),
        "rouge_l": _mean(r.rouge_l for r in results),
    }
    intervals = {name: _interval(value, len(results)) for name, value in figures.items()}
    return {
        **figures,
        "num_turns": len(results),
        "num_turns_em": sum(r.em is not None for r in results),
        "intervals": {name: interval for name, interval in intervals.items() if interval},
    }


def make_report(turns: Sequence[TurnDetail], **changes: Any) -> Report:
    """The report that these turns would get; `changes` replaces fields."""
    interactions: dict[int, list[TurnDetail]] = {}
    for turn in turns:
        interactions.setdefault(turn.interaction_index, []).append(turn)
    scored = [group for group in interactions.values() if all(t.result.ex is not None for t in group)]
    first_wrong = dict.fromkeys((*TURN_GROUPS, "none"), 0)
    for group in scored:
        wrong = next((t.turn_index for t in group if not t.result.ex), None)
        first_wrong["none" if wrong is None else TURN_GROUPS[min(wrong, 4)]] += 1
    by_turn = {g: [t for t in turns if min(t.turn_index, 4) == n] for n, g in enumerate(TURN_GROUPS)}
    whole = score_values(turns)
    matches = {
        "interaction_match_ex": _mean(float(all(t.result.ex for t in group)) for group in scored),
        "interaction_match_em": _mean(float(all(t.result.em for t in group)) for group in scored),
        "interaction_match_em_own": _mean(float(all(t.result.em_own for t in group)) for group in scored),
    }
    for name, value in matches.items():
        if interval := _interval(value, len(scored)):
            whole["intervals"][name] = interval
    values: dict[str, Any] = {
        **whole,
        **matches,
        "num_interactions": len(scored),
        "num_gold_failed": sum(t.result.verdict == "gold_failed" for t in turns),
        "num_gold_rejected": sum(t.result.em is None for t in turns),
        "num_predictions_rejected": len(turns) // 40,
        "history": "predicted",
        "by_turn": {g: Score(**score_values(group)) for g, group in by_turn.items()},
        "by_hardness": {h: Score(**score_values([t for t in turns if t.result.hardness == h])) for h in HARDNESSES},
        "by_db": {
            db: Score(**score_values([t for t in turns if t.db_id == db]))
            for db in dict.fromkeys(t.db_id for t in turns)
        },
        "first_wrong_turn": first_wrong,
        "verdicts": {v: sum(t.result.verdict == v for t in turns) for v in VERDICTS},
        "warnings": {w: sum(w in t.result.warnings for t in turns) for w in WARNINGS},
        "missing_predictions": tuple(t.name for t in turns if t.result.verdict == "missing"),
        "unknown_predictions": ("x9-旧题", "x9-重复"),
        "gold_failed": {t.name: "no such column: 出版社" for t in turns if t.result.verdict == "gold_failed"},
        "rejections": {
            "column alias": {"gold": len(turns) // 90, "predicted": len(turns) // 70},
            "CASE": {"gold": 0, "predicted": len(turns) // 200},
        },
        "per_question": {t.name: t.result for t in turns},
    }
    return Report(**{**values, **changes})


def scored_run(num_turns: int, seed: int = 7, num_databases: int = 24) -> tuple[Report, list[TurnDetail]]:
    """A report and its turns."""
    turns = make_turns(num_turns, seed, num_databases)
    return make_report(turns), turns


FACTS = {
    "run": "s3://t2s/runs/llama3-8b-lora-r16",
    "model": "Meta-Llama-3-8B-Instruct",
    "adapter": "chase-lora-r16 (epoch 3)",
    "kind": "vllm",
    "date": "2025-11-24 10:06 UTC",
    "t2s": "0.1.0",
}

assert {kind for kind, _ in WRONG} | {"right"} == set(get_args(Verdict)), "every verdict occurs"
