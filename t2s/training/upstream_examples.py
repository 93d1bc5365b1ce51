"""Examples through LLaMA-Factory's own dataset code, for the check before the first step.

Of more than `MAX_EXAMPLES` some are looked at, evenly spread, the longest among them: what is wrong with a template is
wrong with every example.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from t2s.engine import Message
from t2s.engine.chat import ChatTokenizer
from t2s.errors import DatasetError, SettingsError
from t2s.training import llamafactory_args
from t2s.training.parity import Encoded, Training, check_parity
from t2s.training.sft import DATASET_INFO_NAME
from t2s.training.sft_folder import SftFolder, read_examples

MAX_EXAMPLES = 2000

_NO_CUT = 1 << 20


class Examined(NamedTuple):
    """What the check has found out about the training examples.

    Attributes:
        num_examples: All of them.
        num_tokens: Of all, uncut.
        longest_tokens: Of the longest one.
        num_cut: Examples longer than `cutoff_len` allows.
    """

    num_examples: int
    num_tokens: int
    longest_tokens: int
    num_cut: int


def examine(args: Mapping[str, Any], sft: SftFolder, chat: ChatTokenizer, *, allow_cut: bool) -> Examined:
    """Check that LLaMA-Factory trains on what predict uses, and that nothing is cut.

    Args:
        args: Checked and complete (`llamafactory_args.with_places`).
        sft: The examples.
        chat: The base model's own tokenizer and chat template.
        allow_cut: Examples longer than `cutoff_len` are no error.

    Raises:
        ParityError: It trains on something else.
        SettingsError: Examples would be cut, or upstream does not take the settings.
        DatasetError: LLaMA-Factory cannot read the examples.
    """
    examples = list(read_examples(sft.train_file))
    lengths = _lengths(examples, chat)
    limit = int(args["cutoff_len"]) - (1 if args.get("packing") or args.get("neat_packing") else 0)
    num_cut = sum(length > limit for length in lengths)
    if num_cut and not allow_cut:
        raise SettingsError(
            f"llamafactory.cutoff_len: wanted room for the longest example, {max(lengths)} tokens, found {limit}, "
            f"which would cut {num_cut} of {len(examples)} examples, and their SQL with them; set it to at least "
            f"{max(lengths) + int(args['cutoff_len']) - limit}, leave out long examples (prepare's cutoff_len), or set "
            "allow_cut=true"
        )
    chosen = _spread(lengths)
    training = Training(history=not args.get("mask_history", False), prompt=bool(args.get("train_on_prompt", False)))
    check_parity(encode_upstream(args, sft, chosen), [examples[index] for index in chosen], chat, training)
    return Examined(len(examples), sum(lengths), max(lengths), num_cut)


def encode_upstream(args: Mapping[str, Any], sft: SftFolder, chosen: Sequence[int] | None = None) -> list[Encoded]:
    """Input ids and labels as LLaMA-Factory makes them, unpacked and uncut.

    Args:
        args: Checked and complete.
        sft: The examples.
        chosen: Indices into the training examples, ascending; None: all.
    """
    apart: dict[str, Any] = {
        "packing": False,
        "neat_packing": False,
        "cutoff_len": _NO_CUT,
        "val_size": 0.0,
        "max_samples": None,
    }
    apart |= {"eval_dataset": None, "eval_strategy": "no", "do_eval": False, "load_best_model_at_end": False}
    with _part(sft, chosen) as folder, redirect_stdout(io.StringIO()):
        model_args, data_args, training_args, _, _ = llamafactory_args.parsed(
            {
                **args,
                **apart,
                "dataset_dir": str(folder),
                "output_dir": f"{folder}/output",
                "cache_dir": f"{folder}/cache",
            }
        )
        from datasets import disable_progress_bars  # type: ignore[import-not-found]
        from llamafactory.data import (
            get_dataset,
            get_template_and_fix_tokenizer,
        )
        from llamafactory.model import load_tokenizer

        disable_progress_bars()
        try:
            module = load_tokenizer(model_args)
            template = get_template_and_fix_tokenizer(module["tokenizer"], data_args)
            data = get_dataset(template, model_args, data_args, training_args, stage="sft", **module)["train_dataset"]
        except (ValueError, RuntimeError, OSError) as error:
            # Its name of a template is the user's, the files are prepare's.
            kind = SettingsError if "emplate" in str(error) else DatasetError
            raise kind(f"{sft.path}: LLaMA-Factory cannot use the examples: {llamafactory_args.flat(error)}") from error
        return [Encoded(row["input_ids"], row["labels"]) for row in data]


def _lengths(examples: Sequence[Sequence[Message]], chat: ChatTokenizer) -> list[int]:
    """Tokens of each example, the end of its answer included; the schemas' ids come from the tokenizer's cache."""
    header = chat.count(examples[0]) - len(chat.encode_whole(examples[0]))
    return [chat.count(messages) - header for messages in examples]


def _spread(lengths: Sequence[int]) -> list[int]:
    count = len(lengths)
    if count <= MAX_EXAMPLES:
        return list(range(count))
    longest = max(range(count), key=lengths.__getitem__)
    return sorted({longest, *(index * count // MAX_EXAMPLES for index in range(MAX_EXAMPLES))})


@contextmanager
def _part(sft: SftFolder, chosen: Sequence[int] | None) -> Iterator[Path]:
    """A folder with some of the examples, described as the whole is; upstream's own files go there too."""
    with tempfile.TemporaryDirectory(prefix="t2s-parity-") as name:
        folder, wanted = Path(name), None if chosen is None else set(chosen)
        info = json.loads((sft.path / DATASET_INFO_NAME).read_bytes())
        (folder / DATASET_INFO_NAME).write_text(json.dumps(info), encoding="utf-8")
        with sft.train_file.open("rb") as source, (folder / sft.train_file.name).open("wb") as target:
            target.writelines(line for index, line in enumerate(source) if wanted is None or index in wanted)
        yield folder
