"""What prepare leaves behind, for whoever trains on it.

train.json, test.json            the users' layout, with queries
sft/train.jsonl, test.jsonl      examples; sft/dataset_info.json tells LLaMA-Factory how to read them
sft/llamafactory.json            the upstream keys that must go with them
prepare/statistics.json, .png    what was counted
prepare/done.json                written last: all of the above is there and whole
"""

from __future__ import annotations

from typing import Any

from t2s.errors import DatasetError
from t2s.interaction import Record
from t2s.prepare_config import ExampleForm
from t2s.prompt import History, PromptConfig
from t2s.storage import Store, open_store
from t2s.training.sft import Part

PLAN_KEY = "prepare/plan.json"
DONE_KEY = "prepare/done.json"
SFT_FOLDER = "sft"


class Prepared(Record):
    """`prepare/done.json`.

    Attributes:
        plan_digest: Of all that decided the content.
        digest: Of what is trained and tested on: `folder_digest` over `files` without the statistics.
        files: Sha256 (hex) of every object, by its key.
        num_examples: For each part; test is absent where nothing was held out.
        example_form, history: As set; the history for each part.
        prompt, prompt_digest: How prompts are worded; predict must have the same.
        tokenizer_digest: Of the files that counted tokens; "characters" without a model.
        max_model_len_tokens: Context that prompts were pruned to; None: not pruned.
        llamafactory: Upstream keys that must go with the examples: dataset, eval_dataset, mask_history, …
    """

    plan_digest: str
    digest: str
    files: dict[str, str]
    num_examples: dict[Part, int]
    example_form: ExampleForm
    history: dict[Part, History]
    prompt: PromptConfig
    prompt_digest: str
    tokenizer_digest: str
    max_model_len_tokens: int | None
    llamafactory: dict[str, Any]


def read_prepared(output_uri: str) -> Prepared:
    """Read what prepare left at `output_uri`; the files themselves are below it, by `Prepared.files`.

    Raises:
        DatasetError: Nothing that is whole.
        StorageError: The store failed or refused.
    """
    store = open_store(output_uri)
    found = find_prepared(store)
    if found is None:
        what = "one that has begun and not ended" if store.exists(PLAN_KEY) else f"no {DONE_KEY}"
        raise DatasetError(f"{output_uri}: wanted the folder of a prepare job, found {what}; run prepare first")
    return found


def find_prepared(store: Store) -> Prepared | None:
    """What is there, whole; None where the mark is absent or one of its files is."""
    if not store.exists(DONE_KEY):
        return None
    try:
        prepared = Prepared.model_validate_json(store.read(DONE_KEY))
    except ValueError as error:
        raise DatasetError(
            f"{store.uri}/{DONE_KEY}: wanted prepare's own mark, found another form ({str(error).splitlines()[0]}); "
            "was it made by another version? Prepare into another output_uri"
        ) from error
    return prepared if all(store.exists(key) for key in prepared.files) else None
