"""Reads an `sft/` folder with LLaMA-Factory's own code, as its trainer would, and says what came out.

    python -m tests.training.llamafactory_reader SFT_FOLDER MODEL_FOLDER OUTPUT.json

Writes for each part the length of every example, and the texts that carry loss, one for each stretch of labels.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

_IGNORED = -100


def main(sft_folder: str, model_folder: str, output: str) -> None:
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    arguments = json.loads(Path(sft_folder, "llamafactory.json").read_text(encoding="utf-8"))
    arguments |= {
        "stage": "sft",
        "do_train": True,
        "model_name_or_path": model_folder,
        "dataset_dir": sft_folder,
        "template": "smollm2",
        "finetuning_type": "lora",
        "output_dir": str(Path(output).parent / "trained"),
        "report_to": "none",
        "use_cpu": True,
    }
    model_args, data_args, training_args, _, _ = get_train_args(arguments)
    module = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(module["tokenizer"], data_args)
    found = get_dataset(template, model_args, data_args, training_args, stage="sft", **module)
    parts = {"train": found["train_dataset"], "test": found.get("eval_dataset")}
    read = {part: list(map(_read(module["tokenizer"]), rows)) for part, rows in parts.items() if rows is not None}
    Path(output).write_text(json.dumps(read, ensure_ascii=False), encoding="utf-8")


def _read(tokenizer: Any) -> Any:
    def read(row: Any) -> dict[str, Any]:
        pairs = zip(row["input_ids"], row["labels"], strict=True)
        stretches = [
            [token for token, _ in stretch]
            for has_loss, stretch in itertools.groupby(pairs, key=lambda pair: pair[1] != _IGNORED)
            if has_loss
        ]
        return {"length": len(row["input_ids"]), "loss": [tokenizer.decode(stretch) for stretch in stretches]}

    return read


if __name__ == "__main__":
    main(*sys.argv[1:])
