from __future__ import annotations

import json
import re
import string
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from t2s.prediction import Measurement
from t2s.report.charts import chart_specs
from t2s.report.layout import filter_link
from t2s.report.page import FIGURES, SMALL_TILES, big_tiles, render_page, small_tiles
from t2s.report.page_turns import MAX_SQL_CHARACTERS, turns_content
from t2s.report.record import TURN_GROUPS, History, Report, Score
from t2s.report.speed import measured_speed
from t2s.report.turn_detail import ResultPreview, TurnDetail
from t2s.report.words import FAMILIES, PAGE_LANGUAGES, page_words, say
from t2s.verdict import HARDNESSES, VERDICTS, WARNINGS
from tests.report.page_data import FACTS, make_report, make_turns, scored_run
from tests.report.page_parts import HOSTILE, PageParts, digest

TEMPLATES = Path(str(resources.files("t2s.report"))) / "templates"
RUN = scored_run(120, num_databases=6)


def parts_of(report: Report, turns: list[TurnDetail], title: str = "一次评测", facts: Any = FACTS) -> PageParts:
    page = render_page(report, turns, title=title, facts=facts)
    assert page.encode("utf-8").decode("utf-8") == page
    return PageParts(page)


@pytest.fixture(scope="module")
def parts() -> PageParts:
    return parts_of(*RUN)


def hostile_run() -> tuple[Report, list[TurnDetail]]:
    """Every text of every turn is one that would like to be more than text."""
    turns = []
    for number, turn in enumerate(make_turns(60, num_databases=4)):
        evil = HOSTILE[number % len(HOSTILE)]
        result = ResultPreview(columns=(evil, "b"), rows=((evil, None), (None, evil)), num_rows=2, num_columns=2)
        changes: dict[str, Any] = {
            "name": f"{evil}-{number}",
            "db_id": f"{HOSTILE[turn.interaction_index % len(HOSTILE)]}库",
            "question": evil,
            "gold_sql": f"SELECT '{evil}' FROM \"{evil}\" -- {evil}",
            "predicted_sql": None if turn.predicted_sql is None else evil,
            "message": evil,
            "gold_result": result,
            "predicted_result": None,
        }
        turns.append(turn.model_copy(update=changes))
    report = make_report(
        turns,
        unknown_predictions=HOSTILE,
        missing_predictions=HOSTILE,
        gold_failed=dict.fromkeys(HOSTILE, HOSTILE[0]),
        rejections={evil: {"gold": 1, "predicted": 2} for evil in HOSTILE},
    )
    return report, turns


# One file, and nothing in it that could run or load anything else


def test_the_page_names_nothing_outside_itself(parts: PageParts) -> None:
    for tag, attributes in parts.tags:
        assert tag not in ("iframe", "object", "embed", "img", "base", "audio", "video"), tag
        for name, value in attributes.items():
            assert not name.startswith("on"), f"{tag} {name}"
            if name in ("src", "srcset", "href", "action", "data"):
                assert (value or "").startswith(("#", "data:,")), f"{tag} {name}={value}"
    assert parts.styles and not re.search(r"url\(|@import", parts.styles[0])


def test_the_policy_allows_the_scripts_and_the_style_of_the_page_and_nothing_else(parts: PageParts) -> None:
    assert len(parts.scripts) == 2 and len(parts.styles) == 1 and len(parts.bundle) > 500_000
    assert parts.policy["default-src"] == ["'none'"]
    assert Counter(parts.policy["script-src"]) == Counter(digest(t) for t in [*parts.scripts, parts.bundle])
    assert parts.policy["style-src"] == [digest(parts.styles[0])]
    assert parts.policy["require-trusted-types-for"] == ["'script'"]
    assert not any(attributes.get("style") for _, attributes in parts.tags), "a style attribute would be refused"


def test_hostile_texts_stay_texts(parts: PageParts) -> None:
    report, turns = hostile_run()
    kinds = {tag for tag, _ in parts.tags} | {"li", "tr", "td"}
    for evil in HOSTILE[:2]:
        hostile = parts_of(report, turns, title=evil, facts={text: text for text in HOSTILE})
        assert {tag for tag, _ in hostile.tags} <= kinds
        assert len(hostile.scripts) == 2 and len(hostile.styles) == 1
        assert not any(attributes.get("id") == "evil" for _, attributes in hostile.tags)
        assert hostile.policy["script-src"] == parts.policy["script-src"]


def test_hostile_texts_arrive_as_they_were() -> None:
    report, turns = hostile_run()
    content = parts_of(report, turns).json["data-turns"]
    rows = [dict(zip(content["fields"], row, strict=True)) for row in content["turns"]]
    half_pairs = re.compile("[\ud800-\udfff]")
    for row, turn in zip(rows, turns, strict=True):
        assert row["question"] == half_pairs.sub("\ufffd", turn.question)
        assert row["gold"] == half_pairs.sub("\ufffd", turn.gold_sql)
        assert content["dbs"][row["db"]] == half_pairs.sub("\ufffd", turn.db_id)
        assert row["goldResult"][1][0][0] == row["question"]


def test_a_template_of_jinja_in_a_question_is_not_run() -> None:
    shown = parts_of(*RUN, title="{{ 7 * 7 }}").shown()
    assert "{{ 7 * 7 }}" in shown and " 49 " not in shown


# What stands in its head


def test_scores_stand_with_interval_count_and_meaning(parts: PageParts) -> None:
    report, shown = RUN[0], parts.shown()
    for figure in ("execution_accuracy", "interaction_match_ex", "exact_set_match", *SMALL_TILES):
        assert say("zh", f"figure.{figure}") in shown
        assert say("zh", f"figure.{figure}.what") in shown
        assert f"{getattr(report, figure) * 100:.1f}" in shown
    low, high = report.intervals["execution_accuracy"]
    assert f"95% 区间 {low * 100:.1f}%–{high * 100:.1f}%" in shown
    right = sum(t.result.ex == 1 for t in RUN[1])
    assert f"{right} / {report.num_turns} 轮" in shown


@pytest.mark.parametrize("history", ["gold", None])
def test_history_stands_beside_the_score_with_what_it_means(history: History | None) -> None:
    report, turns = RUN
    shown = parts_of(report.model_copy(update={"history": history}), turns).shown()
    assert say("zh", f"history.{history or 'unknown'}.what") in shown


def test_em_of_our_own_is_shown_large_where_the_official_grammar_takes_no_gold() -> None:
    report = RUN[0].model_copy(update={"exact_set_match": None})
    assert [tile.figure for tile in big_tiles(report)][2] == "exact_set_match_own"
    assert {t.figure for t in [*big_tiles(report), *small_tiles(report)]} == {
        *SMALL_TILES,
        *FIGURES,
        "interaction_match_ex",
    }
    assert say("zh", "nothing") in parts_of(report, RUN[1]).shown()


def test_official_em_is_a_share_of_the_turns_whose_gold_its_grammar_takes() -> None:
    report, turns = scored_run(400)
    tile = big_tiles(report)[2]
    assert tile.all == report.num_turns_em < report.num_turns
    assert tile.right == sum(t.result.em == 1 for t in turns if t.result.ex is not None)


def test_facts_are_shown_in_words_the_page_knows_or_as_they_are() -> None:
    shown = parts_of(*RUN, facts={"model": "Llama-3-8B", "GPU": "A10"}).shown()
    assert "模型 Llama-3-8B".replace(" ", "") in shown.replace(" ", "") and "GPUA10" in shown.replace(" ", "")


def test_what_makes_the_score_less_than_it_seems_is_listed_with_its_count() -> None:
    turns = RUN[1]
    missing = tuple(f"缺{n}" for n in range(70))
    changes: dict[str, Any] = {
        "num_gold_failed": 1,
        "gold_failed": {"坏题": "no such column: 出版社"},
        "missing_predictions": missing,
        "unknown_predictions": ("多题",),
        "num_gold_rejected": 3,
        "num_predictions_rejected": 12_345,
        "rejections": {"column alias": {"gold": 3, "predicted": 12_345}},
        "warnings": dict.fromkeys(WARNINGS, 8),
    }
    shown = parts_of(make_report(turns, **changes), turns).shown()
    assert say("zh", "alert.gold_failed", n=1) in shown and "坏题 no such column: 出版社" in shown
    assert say("zh", "alert.missing", n=70) in shown and "缺49" in shown and "缺50" not in shown
    assert say("zh", "alert.more", n=20) in shown
    assert say("zh", "alert.unknown", n=1) in shown and "多题" in shown
    assert say("zh", "alert.rejected", gold="3", predicted="12,345") in shown and "column alias" in shown
    for warning in WARNINGS:
        assert f"{say('zh', f'warning.{warning}')}: 8" in shown


def test_a_run_without_anything_to_warn_of_has_no_warnings() -> None:
    turns = [t for t in make_turns(40) if t.result.verdict == "right" and not t.result.warnings]
    turns = [t.model_copy(update={"measurement": None}) for t in turns]
    report = make_report(turns, unknown_predictions=(), num_gold_rejected=0, num_predictions_rejected=0, rejections={})
    assert say("zh", "alerts") not in parts_of(report, turns).shown()


def test_databases_stand_worst_first_and_link_to_their_turns(parts: PageParts) -> None:
    rows = [attributes for tag, attributes in parts.tags if tag == "tr" and "data-ex" in attributes]
    shares = [float(attributes["data-ex"] or "nan") for attributes in rows]
    assert shares == sorted(shares) and len(rows) == len(RUN[0].by_db)
    links = {attributes.get("href") for tag, attributes in parts.tags if tag == "a"}
    assert {filter_link(db=db) for db in RUN[0].by_db} <= links


def test_verdicts_are_counted_explained_and_linked(parts: PageParts) -> None:
    shown = parts.shown()
    links = {attributes.get("href") for tag, attributes in parts.tags if tag == "a"}
    for verdict, n in RUN[0].verdicts.items():
        if n and verdict != "right":
            assert say("zh", f"verdict.{verdict}.what") in shown
            assert f"#verdict={verdict}" in links


def test_a_report_without_turns_or_figures_is_still_a_page() -> None:
    nothing: dict[str, Any] = {**dict.fromkeys(Score.model_fields), "num_turns": 0, "num_turns_em": 0, "intervals": {}}
    report = make_report([], by_db={"空库": Score.model_validate(nothing)}, unknown_predictions=())
    found = parts_of(report, [])
    assert say("zh", "speed.none") in found.shown()
    assert found.json["data-charts"] == {"zh": {}, "en": {}}


# Words


def test_every_word_has_both_languages_with_the_same_holes() -> None:
    for key, (chinese, english) in page_words().items():
        holes = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in (chinese, english)]
        assert chinese and english and holes[0] == holes[1], key


def test_all_verdicts_warnings_levels_and_figures_have_words() -> None:
    explained = [f"verdict.{v}" for v in VERDICTS] + [f"warning.{w}" for w in WARNINGS]
    explained += [f"figure.{f}" for f in (*FIGURES, *SMALL_TILES)]
    wanted = {*explained, *(f"{key}.what" for key in explained), *(f"figure.{f}.short" for f in FIGURES)}
    wanted |= (
        {f"hardness.{h}" for h in HARDNESSES} | {f"turn.{g}" for g in TURN_GROUPS} | {f"family.{f}" for f in FAMILIES}
    )
    assert wanted <= page_words().keys()


def test_every_verdict_is_in_one_family() -> None:
    assert Counter(v for verdicts in FAMILIES.values() for v in verdicts) == Counter(VERDICTS)


def test_every_word_that_the_script_or_a_template_says_exists() -> None:
    said = set()
    for path in TEMPLATES.glob("*.j*"):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".js":
            said |= set(re.findall(r"""\bt\("([^"]+)\"""", text)) | set(
                re.findall(r'(?:sqlBlock|resultTable)\("([^"]+)"', text)
            )
        elif path.suffix == ".jinja":
            said |= set(re.findall(r"""\bword\("([^"~]+)"\s*[,)]""", text)) | set(
                re.findall(r'named\(\w+="([^"~]+)"\)', text)
            )
    assert len(said) > 60
    assert said <= page_words().keys()


def test_files_of_the_page_are_short_enough_to_read() -> None:
    files = sorted(TEMPLATES.iterdir())
    assert len(files) > 15
    assert [f.name for f in files if f.read_text(encoding="utf-8").count("\n") > 400] == []


# Charts


def rows_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for rows in spec["datasets"].values() for row in rows]


@pytest.mark.parametrize("language", PAGE_LANGUAGES)
def test_the_curve_holds_every_turn_with_its_interval(language: Any) -> None:
    report, turns = RUN
    rows = rows_of(chart_specs(report, turns, None, language)["by_turn"])
    ex = {r["filter"]: r for r in rows if r["figure"] == "EX"}
    assert set(ex) == {f"turn={g}" for g, score in report.by_turn.items() if score.num_turns}
    for group, score in report.by_turn.items():
        row = ex[f"turn={group}"]
        assert (row["value"], row["turns"]) == (score.execution_accuracy, score.num_turns)
        assert (row["low"], row["high"]) == score.intervals["execution_accuracy"]


def test_a_group_without_turns_is_not_drawn_and_a_run_without_measurements_has_no_chart_of_speed() -> None:
    turns = [t for t in make_turns(80, with_measurements=False) if t.turn_index < 2]
    specs = chart_specs(make_report(turns), turns, measured_speed(turns), "en")
    assert {row["name"] for row in rows_of(specs["by_turn"])} == {"Turn 1", "Turn 2"}
    assert set(specs) == {"by_turn", "by_hardness", "first_wrong_turn", "verdicts_by_turn"}


def test_charts_share_out_every_turn_and_every_interaction() -> None:
    report, turns = scored_run(300)
    specs = chart_specs(report, turns, measured_speed(turns), "en")
    assert sum(row["count"] for row in rows_of(specs["verdicts_by_turn"])) == 300
    assert sum(row["count"] for row in rows_of(specs["first_wrong_turn"])) == report.num_interactions
    timed = [t for t in turns if t.measurement]
    assert sum(row["count"] for row in rows_of(specs["latency"])) == len(timed)


def test_labels_of_the_curve_keep_clear_of_each_other_and_of_the_axis() -> None:
    report, turns = RUN
    low = {"execution_accuracy": 0.05, "exact_set_match": 0.0, "exact_set_match_own": 0.0, "num_turns": 9}
    groups = {"1": report.by_turn["1"], "2": report.by_turn["1"].model_copy(update=low)}
    rows = rows_of(chart_specs(report.model_copy(update={"by_turn": groups}), turns, None, "en")["by_turn"])
    places = {(row["name"], row["figure"]): (row["place"], row["few"]) for row in rows if row["figure"] != "EM (own)"}
    assert places[("Turn 1", "EX")] == ("above", False) and places[("Turn 1", "EM")] == ("below", False)
    assert places[("Turn 2", "EX")] == ("top", True) and places[("Turn 2", "EM")] == ("above", True)


# Speed, by hand


def turn_that_took(latency_s: float, turn_index: int, prompt: int, cached: int) -> TurnDetail:
    m = Measurement(db_id="d", question_id="q", latency_s=latency_s, prompt_tokens=prompt, cached_tokens=cached)
    return make_turns(1)[0].model_copy(update={"measurement": m, "turn_index": turn_index})


def test_speed_of_ten_turns_by_hand() -> None:
    turns = [turn_that_took(n / 10, n % 2, 100, 10 * n) for n in range(1, 11)]  # 0.1 s to 1.0 s
    speed = measured_speed(turns)
    assert speed is not None
    assert (speed.median_s, speed.p90_s, speed.p99_s) == (0.5, 0.9, 1.0)
    assert (speed.num_turns, speed.prompt_tokens, speed.cached_tokens) == (10, 1000, 550)
    assert [(t.group, t.num_turns, t.prompt, t.cached) for t in speed.by_turn] == [("1", 5, 100, 60), ("2", 5, 100, 50)]
    assert sum(b.num_turns for b in speed.bins) == 10 and speed.bins[-1].high == 1.0


def test_a_long_tail_falls_into_the_last_bin() -> None:
    turns = [turn_that_took(1.0, 0, 100, 0)] * 199 + [turn_that_took(500.0, 0, 100, 0)]
    speed = measured_speed(turns)
    assert speed is not None and speed.bins[-1].high == pytest.approx(1.0)
    assert speed.bins[-1].num_turns == 200


def test_turns_that_were_never_sent_or_not_timed_do_not_count_as_fast() -> None:
    turns = [turn_that_took(x, 0, 100, 0) for x in (0.0, float("nan"), float("inf"), 2.0)]
    speed = measured_speed(turns)
    assert speed is not None and speed.median_s == 2.0
    json.dumps(turns_content(turns), allow_nan=False)
    assert measured_speed([]) is None


# The data of the turns


def test_turns_are_carried_with_all_that_the_page_shows() -> None:
    _, turns = RUN
    content = turns_content(turns)
    for row, turn in zip(content["turns"], turns, strict=True):
        found = dict(zip(content["fields"], row, strict=True))
        result = turn.result
        assert content["verdicts"][found["verdict"]] == result.verdict
        assert [content["warnings"][n] for n in found["warnings"]] == list(result.warnings)
        assert content["hardness"][found["hardness"]] == result.hardness
        flags = (result.ex, result.ex_keep_distinct, result.ex_strict, result.ex_bird, result.em, result.em_own)
        assert tuple(found[k] for k in ("ex", "keepDistinct", "strict", "bird", "em", "emOwn")) == flags


def test_equal_results_are_carried_once_and_endless_sql_is_cut() -> None:
    same = ResultPreview(columns=("a",), rows=(("1",),), num_rows=1, num_columns=1)
    turn = make_turns(1)[0]
    long = turn.model_copy(update={"predicted_sql": "x" * 100_000, "gold_result": same, "predicted_result": same})
    [row] = turns_content([long])["turns"]
    found = dict(zip(turns_content([long])["fields"], row, strict=True))
    assert found["predictedResult"] == 1
    assert found["predicted"] == ["x" * MAX_SQL_CHARACTERS, 100_000 - MAX_SQL_CHARACTERS]
    [row] = turns_content([long.model_copy(update={"gold_result": None, "predicted_result": None})])["turns"]
    assert dict(zip(turns_content([long])["fields"], row, strict=True))["predictedResult"] is None


def test_a_page_of_five_thousand_turns_stays_small_enough_to_send() -> None:
    content = turns_content(make_turns(5000))
    assert len(json.dumps(content, ensure_ascii=False).encode()) < 5_000_000


def test_links_carry_any_name() -> None:
    assert filter_link(verdict="family:stopped") == "#verdict=family:stopped"
    assert filter_link(db="购&书=#") == "#db=%E8%B4%AD%26%E4%B9%A6%3D%23"
    assert filter_link(at="半\ud83d") == "#at=%E5%8D%8A%EF%BF%BD"
