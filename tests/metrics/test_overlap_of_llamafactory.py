"""LLaMA-Factory's own class in its own environment against ours; it takes half a minute to import."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from t2s.environments import find, repository_root
from t2s.errors import MissingExtra
from t2s.metrics.bleu import bleu_4
from t2s.metrics.rouge import rouge_l
from tests.metrics.overlap_pairs import MEAN_BLEU_4, MEAN_ROUGE_L, PAIRS

pytestmark = [pytest.mark.train, pytest.mark.timeout(600)]

NUM_REFERENCE_PAIRS = 400  # of each folder

# Reads pairs of gold and predicted text, says what the class says. A token is a character. What the class needs and the
# environment lacks (LLaMA-Factory leaves its metrics' packages to the user) is behind the environment's own packages.
PROGRAM = """
import json, sys
sys.path.append(sys.argv[1])
import numpy as np
from llamafactory.train.sft.metric import ComputeSimilarity

class Characters:
    pad_token_id = 0
    def batch_decode(self, rows, skip_special_tokens):
        return ["".join(chr(number) for number in row if number) for row in rows]

class Pair:
    def __init__(self, gold, predicted):
        self.predictions = np.array([[*map(ord, predicted), -100]])
        self.label_ids = np.array([[*map(ord, gold), -100, -100]])

similarity = ComputeSimilarity(Characters())
for gold, predicted in json.load(open(sys.argv[2], encoding="utf-8")):
    similarity(Pair(gold, predicted), compute_result=False)
kept = {name: similarity.score_dict[name] for name in ("bleu-4", "rouge-l")}
json.dump(kept | {"means": similarity._dump()}, open(sys.argv[3], "w"))
"""


def ask_llamafactory(pairs: list[tuple[str, str]], folder: Path) -> dict[str, Any]:
    try:
        python = find("train", repository_root()).python
    except MissingExtra as error:
        pytest.skip(str(error))
    packages = folder / "packages"
    packages.mkdir()
    for name in ("jieba", "nltk", "rouge_chinese", "joblib", "defusedxml"):
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.submodule_search_locations, f"this environment lacks {name}: make setup-dev"
        place = Path(spec.submodule_search_locations[0])
        for path in (place, *place.parent.glob(f"{name}-*.dist-info")):
            (packages / path.name).symlink_to(path)
    (folder / "pairs.json").write_text(json.dumps(pairs), encoding="utf-8")
    words = [str(python), "-c", PROGRAM, str(packages), str(folder / "pairs.json"), str(folder / "said.json")]
    # Jieba's cache goes into a folder of this test: the machine's own one may hold anybody's.
    environment = os.environ | {"TMPDIR": str(folder), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads((folder / "said.json").read_bytes())
    return said


def assert_equal(pairs: list[tuple[str, str]], said: dict[str, Any]) -> None:
    for name, ours in (("bleu-4", bleu_4), ("rouge-l", rouge_l)):
        scores = [100 * ours(*pair) for pair in pairs]
        assert scores == pytest.approx(said[name], abs=1e-4)
        assert sum(scores) / len(scores) == pytest.approx(said["means"][name], abs=1e-4)


def test_the_figures_written_down_are_those_of_the_class(tmp_path: Path) -> None:
    pairs = [(pair.gold, pair.predicted) for pair in PAIRS]
    said = ask_llamafactory(pairs, tmp_path)
    assert said["bleu-4"] == [pair.bleu_4 for pair in PAIRS]
    assert said["rouge-l"] == [pair.rouge_l for pair in PAIRS]
    assert said["means"]["bleu-4"] == pytest.approx(MEAN_BLEU_4, abs=1e-9)
    assert said["means"]["rouge-l"] == pytest.approx(MEAN_ROUGE_L, abs=1e-9)
    assert_equal(pairs, said)


def test_predictions_of_real_models_have_the_figures_of_the_class(shared: Path, tmp_path: Path) -> None:
    pairs: list[tuple[str, str]] = []
    for folder in sorted(path for path in (shared / "reference").iterdir() if (path / "gold.json").is_file()):
        gold = json.loads((folder / "gold.json").read_bytes())
        gold_sql = {turn["question_id"]: turn["query"] for one in gold for turn in one["interaction"]}
        predicted = [turn for one in json.loads((folder / "predictions.json").read_bytes()) for turn in one]
        pairs += [(gold_sql[turn["question_id"]], turn["query"]) for turn in predicted[:NUM_REFERENCE_PAIRS]]
    assert len(pairs) == 4 * NUM_REFERENCE_PAIRS
    assert_equal(pairs, ask_llamafactory(pairs, tmp_path))
