from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from t2s.errors import SandboxError
from t2s.text_scorer import TextScorer
from t2s.text_scores import Sizes, TextPair, score_texts

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def pairs(tmp_path: Path) -> list[TextPair]:
    path = tmp_path / "城市.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE 城市 (名称 TEXT, 人口 INT);")
    gold = "SELECT 名称 FROM 城市 WHERE 人口 > {}"
    wrong = "SELECT 人口 FROM 城市 WHERE 人口 > {} ORDER BY 名称"
    texts = [(gold, gold, None), (gold, wrong, Sizes(1, 2, 1, 1)), (gold, "SELECT (", None)]
    return [
        TextPair(path, "城市", one.format(number), other.format(number), sizes)
        for number in range(40)
        for one, other, sizes in texts
    ]


def test_what_processes_beside_this_one_score_is_what_this_one_would(pairs: list[TextPair]) -> None:
    with TextScorer(num_workers=3, num_turns=10_000) as scorer:
        assert len(scorer.pids) == 2
        futures = [(future, keys) for future, keys in scorer.submit(pairs, range(len(pairs)))]
        found = {key: scores for future, keys in futures for key, scores in zip(keys, future.result(60), strict=True)}
        assert not scorer.help(), "nobody but the processes scored them"
    assert [found[index] for index in range(len(pairs))] == score_texts(pairs)
    assert {(scores.em, scores.verdict) for scores in found.values()} >= {(True, None)}
    for pid in scorer.pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_few_turns_start_no_process_and_are_scored_by_who_asks(pairs: list[TextPair]) -> None:
    with TextScorer(num_workers=8, num_turns=len(pairs)) as scorer:
        assert scorer.pids == []
        futures = [future for future, _ in scorer.submit(pairs, range(len(pairs)))]
        while scorer.help():
            pass
        assert [one for future in futures for one in future.result(0)] == score_texts(pairs)


def test_a_process_that_dies_is_an_error_and_the_rest_is_still_scored(pairs: list[TextPair]) -> None:
    with TextScorer(num_workers=2, num_turns=10_000) as scorer:
        os.kill(scorer.pids[0], signal.SIGKILL)
        futures = [future for future, _ in scorer.submit(pairs, range(len(pairs)))]
        with pytest.raises(SandboxError, match=r"a process that compares texts ended with -9"):
            futures[0].result(60)
        while scorer.help():
            pass
        assert all(future.exception(0) is None for future in futures[1:])


def test_the_processes_end_with_a_parent_that_is_killed() -> None:
    program = (
        "import time\n"
        "from t2s.text_scorer import TextScorer\n"
        "with TextScorer(3, 10_000) as scorer:\n"
        "    print(*scorer.pids, flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() and "Z" not in _state(pid) for pid in pids):
        assert time.monotonic() < deadline, f"{pids} live on"
        time.sleep(0.05)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
