"""Trainings without Ray: what a worker does, and nothing around it, each in a process of its own. Merges, too.

    python -m tests.training.one_worker        reads a line for each: {"settings": {…}, "stop_at": 7, "output": FILE}
                                                                  or {"merge": {…}, "output": FILE}
                                                                  or {"publish": {…}, "output": FILE}

Importing torch and LLaMA-Factory takes ten seconds, so it is done once; each training is a fork. It writes what the
worker reports into FILE, a JSON object a line, and last how it ended. `stop_at` requests a stop after that step.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any, TextIO

from t2s import process_env
from t2s.errors import T2SError
from t2s.training.merge_config import MergeConfig
from t2s.training.publish_config import PublishConfig
from t2s.training.ranks import Ranks
from t2s.training.train_config import TrainConfig
from t2s.training.train_progress import StepReport


class WritingLink:
    """Writes reports; asks for a stop after a step."""

    def __init__(self, output: TextIO, stop_at: int | None) -> None:
        self._output, self._stop_at = output, stop_at
        self.stop_requested = False

    def report(self, report: StepReport) -> None:
        """One line."""
        self._output.write(json.dumps(report._asdict()) + "\n")
        self.stop_requested = self._stop_at is not None and report.step >= self._stop_at


def work(request: dict[str, Any]) -> None:
    """Plan and train with one worker, or merge."""
    from t2s.training.llamafactory_run import run_training
    from t2s.training.merge_adapter import merge_adapter
    from t2s.training.publish_adapter import publish_adapter
    from t2s.training.train_plan import make_train_plan

    with open(request["output"], "w", encoding="utf-8") as output:
        link = WritingLink(output, request.get("stop_at"))
        end = {"error": "", "message": ""}
        try:
            if "merge" in request:
                merge_adapter(MergeConfig.model_validate(request["merge"]))
                return
            if "publish" in request:
                publish_adapter(PublishConfig.model_validate(request["publish"]))
                return
            settings = request["settings"]
            plan = make_train_plan(TrainConfig.model_validate(settings), settings, use_gpu=False)
            run_training(plan.task, Ranks(), link)
        except T2SError as error:
            end = {"error": type(error).__name__, "message": str(error)}
        except BaseException:
            end = {"error": "unexpected", "message": traceback.format_exc()}
        finally:
            output.write(json.dumps(end, ensure_ascii=False) + "\n")


def main() -> None:
    """Serve requests until standard input ends."""
    process_env.prepare_training_libraries()
    import llamafactory.train.tuner  # noqa: F401

    import t2s.training.callback  # noqa: F401

    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            work(json.loads(line))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
