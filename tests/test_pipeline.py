from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from t2s.dataset import read_interactions
from t2s.errors import SettingsError
from t2s.pipeline import load_steps
from t2s.pipeline_config import PipelineConfig
from tests.small_dataset import write_dataset

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.timeout(600)  # two jobs are two processes each: 8 s on an idle machine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset, a table of right answers, and settings files of two steps."""
    dataset = write_dataset(tmp_path / "data", num_databases=2, interactions_per_database=3)
    answers = {turn.question: turn.gold_sql for one in read_interactions(str(dataset)) for turn in one.turns}
    (tmp_path / "answers.json").write_text(json.dumps(answers, ensure_ascii=False), encoding="utf-8")
    predict = {
        "dataset_uri": str(dataset),
        "run_uri": "elsewhere",
        "engine": {"kind": "scripted", "scripted": {"answers_uri": str(tmp_path / "answers.json")}},
        "cache_dir": str(tmp_path / "cache"),
        "shard_turns": 3,
        "max_interactions": 1,
    }
    (tmp_path / "predict.yaml").write_text(json.dumps(predict), encoding="utf-8")
    evaluate = {"gold_uri": str(dataset), "run_uri": "elsewhere", "num_workers": 1}
    (tmp_path / "evaluate.yaml").write_text(json.dumps(evaluate), encoding="utf-8")
    return tmp_path


def steps(folder: Path, **of_predict: Any) -> list[dict[str, Any]]:
    predict = {"run_uri": "${run_uri}/scripted", **of_predict}
    return [
        {"name": "predict", "job": "predict", "config": str(folder / "predict.yaml"), "set": predict},
        {
            "name": "evaluate",
            "job": "evaluate",
            "config": str(folder / "evaluate.yaml"),
            "set": {"run_uri": "${steps.predict.run_uri}"},
        },
    ]


def start(
    folder: Path, content: list[dict[str, Any]], *words: str, compare: Sequence[str] = ()
) -> subprocess.Popen[str]:
    path = folder / "pipeline.yaml"
    whole = {"run_uri": str(folder / "run"), "steps": content, "compare": compare}
    path.write_text(json.dumps(whole), encoding="utf-8")
    command = [sys.executable, str(ROOT / "jobs" / "pipeline.py"), str(path), *words]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(folder: Path, content: list[dict[str, Any]], *words: str, compare: Sequence[str] = ()) -> tuple[int, str, str]:
    process = start(folder, content, *words, compare=compare)
    try:
        out, err = process.communicate(timeout=250)
    finally:
        process.kill()
    return process.returncode, out, err


def test_steps_run_in_order_and_finished_ones_are_gone_over(folder: Path) -> None:
    code, out, err = run(folder, steps(folder))
    assert code == 0, err
    assert "18 turns, 0 with an error" in out
    assert "step 2 of 2, evaluate: done in " in err
    report = json.loads((folder / "run" / "scripted" / "report.json").read_bytes())
    assert report["execution_accuracy"] == 1.0
    code, out, err = run(folder, steps(folder))
    assert (code, out) == (0, "")
    assert "nothing to do: all 2 steps are finished" in err


def test_the_end_is_what_came_of_it_and_where_it_is(folder: Path) -> None:
    (folder / "none.json").write_text("{}", encoding="utf-8")
    unknown = {"engine.scripted.answers_uri": str(folder / "none.json"), "max_error_rate": 1}
    before, after = steps(folder, **{**unknown, "run_uri": "${run_uri}/before"}), steps(folder)
    before[0]["name"], before[1]["name"] = "before", "score_before"
    before[1]["set"] = {"run_uri": "${steps.before.run_uri}"}
    code, out, err = run(folder, [*before, *after], compare=["score_before", "evaluate"])
    assert code == 0, err
    end = out[out.rindex("difference") :].splitlines()
    (line,) = [line for line in end if line.startswith("EX ")]
    assert line.split()[:2] == ["EX", "0.0"] and "100.0 %" in line
    assert f"report of evaluate:     {folder}/run/scripted/report.html" in end
    assert end[-1].startswith("time: ") and "score_before" in end[-1]
    comparison = json.loads((folder / "run" / "comparison.json").read_bytes())
    assert comparison["against_base"][0]["differences"]["execution_accuracy"]["value"] == 1.0
    code, out, err = run(folder, [*before, *after], compare=["score_before", "evaluate"])
    assert code == 0 and "nothing to do: all 4 steps are finished" in err
    assert out.splitlines()[-len(end) + 1 :] == end[1:], "what came of it is shown again"


def test_a_step_whose_settings_changed_runs_again_and_so_do_those_behind_it(folder: Path) -> None:
    run(folder, steps(folder))
    content = steps(folder)
    content[1]["set"]["limit"] = 2
    code, _, err = run(folder, content)
    assert code == 0, err
    assert "step 1 of 2, predict: finished before" in err and "step 2 of 2, evaluate: finished" not in err
    code, _, err = run(folder, steps(folder, log_level="WARNING"))
    assert code == 0 and "finished before" not in err


def test_a_step_that_fails_ends_the_pipeline_and_says_how_to_run_it_alone(folder: Path) -> None:
    (folder / "answers.json").write_text("{}", encoding="utf-8")
    code, out, err = run(folder, steps(folder))
    assert code == 1
    assert "error: step predict ended with exit code 1" in err and "t2s run predict" in err
    assert "evaluate" not in out and not (folder / "run" / "pipeline" / "predict.done").exists()


def test_a_stop_reaches_the_step_and_the_next_run_goes_on(folder: Path) -> None:
    slow = steps(folder, **{"engine.scripted.delay_s": 0.2})
    process = start(folder, slow)
    try:
        deadline = time.monotonic() + 120
        while not list(folder.glob("run/scripted/predictions/*.done")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=100)
    finally:
        process.kill()
    assert process.returncode == 3, err
    assert "error: stopped" in err
    before = {path: path.stat().st_mtime_ns for path in folder.glob("run/scripted/predictions/*.done")}
    assert 0 < len(before) < 6
    code, _, err = run(folder, slow)
    assert code == 0, err
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_what_would_run_can_be_seen_before(folder: Path) -> None:
    code, out, err = run(folder, steps(folder), "--dry-run")
    assert code == 0, err
    assert out.splitlines()[0].startswith("1. predict: predict ") and f"{folder}/run/scripted" in out
    assert not (folder / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"job": "predit"}, "step 2, evaluate: wanted one of .*, found predit; did you mean predict"),
        ({"job": "pipeline"}, "step 2, evaluate: wanted one of .*, found pipeline"),
        ({"name": "predict"}, "step 2, predict: wanted a name that no other step has"),
        ({"config": "nowhere.yaml"}, "step 2, evaluate: (?s:.*)nowhere.yaml"),
        ({"set": {"run_uri": "${steps.train.run_uri}"}}, r"step 2, evaluate: wanted .* \(earlier: predict\), found \$"),
        ({"set": {"run_uri": "${steps.predict.engine}"}}, r"found \$\{steps.predict.engine\}"),
        ({"set": {"limit": "few"}}, "step 2, evaluate: (?s:.*)limit"),
    ],
)
def test_what_is_wrong_in_any_step_is_told_before_the_first_starts(
    change: dict[str, Any], message: str, folder: Path
) -> None:
    content = steps(folder)
    content[1] |= change
    with pytest.raises(SettingsError, match=message):
        load_steps(PipelineConfig.model_validate({"steps": content}), str(folder / "run"))


def test_only_scored_runs_are_compared(folder: Path) -> None:
    config = PipelineConfig.model_validate({"steps": steps(folder), "compare": ["predict"]})
    with pytest.raises(SettingsError, match="compare: wanted names of evaluate steps, found predict"):
        load_steps(config, str(folder / "run"))
