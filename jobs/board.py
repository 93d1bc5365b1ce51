"""LLaMA Board: LLaMA-Factory's own web page, with our examples and a train config's settings in its fields.

Here:    t2s board configs/train_sample.yaml
         python jobs/board.py configs/train_sample.yaml port=7861
Reads:   dataset_uri (prepare's output), model_uri
Writes:  {run_uri}/board/ (the page's own files, what is trained there)
Exit:    0 ended by Ctrl-C; 1 failed; 2 settings or input wrong, or the port is taken
"""

from __future__ import annotations

from t2s.job import StopSignal, run_job
from t2s.settings.train import BoardSettings
from t2s.training.board import serve


def main(settings: BoardSettings, stop: StopSignal) -> None:
    """Serve until Ctrl-C."""
    stop.looks_itself = True
    serve(settings, stop.wait, lambda line: print(line, flush=True))


if __name__ == "__main__":
    run_job(BoardSettings, main)
