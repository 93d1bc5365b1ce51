"""The job prepare: from a dataset to examples that LLaMA-Factory trains on, and to a test part that training never saw.

`prepare` plans, claims the `output_uri`, and then goes over the dataset once: gold SQL runs in the sandbox some
interactions ahead, examples are rendered and written into files on this node, and everything is uploaded together at
the end, so that whatever is refused on the way leaves nothing behind. Memory holds the dataset, and nothing that grows
beside it but the examples' lengths.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import gc
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from t2s.errors import DatasetError, InputError, SettingsError
from t2s.plan_claim import claim, is_claimed
from t2s.prepare_config import PrepareConfig
from t2s.sql.extract import extract_sql
from t2s.storage import Store, open_store
from t2s.storage.cache import folder_digest
from t2s.training import chart
from t2s.training.gold import Checked, GoldRunner
from t2s.training.hardness import HardnessOf
from t2s.training.prepare_plan import PreparePlan, make_prepare_plan
from t2s.training.prepared import DONE_KEY, PLAN_KEY, SFT_FOLDER, Prepared, find_prepared
from t2s.training.sft import (
    DATASET_INFO_NAME,
    LLAMAFACTORY_NAME,
    PARTS,
    Example,
    ExampleMaker,
    Part,
    UsersWriter,
    dataset_info,
    file_name,
    llamafactory_keys,
)
from t2s.training.statistics import PartCounter, Statistics, bin_width, what_is_cut

logger = logging.getLogger(__name__)

STATISTICS_KEY = "prepare/statistics.json"
CHART_KEY = "prepare/statistics.png"

_BATCH = 256  # interactions whose gold runs while the ones before them are rendered
_CUTOFF_STEP = 128
_MAX_TAKEN = 100_000  # gold occurs again in sets with several databases an entry; reading one takes half a millisecond
_NUM_NAMED = 10


class Watcher(Protocol):
    """Shows how far the job is; turns are counted."""

    def begin(self, total_turns: int, done_turns: int) -> None:
        """Work starts; with nothing to do, both are the same."""

    def advance(self, done_turns: int, total_turns: int) -> None:
        """So many turns are done."""

    def end(self) -> None:
        """Work is over, well or not."""


class Outcome(NamedTuple):
    """What a prepare job comes to: the mark that it left, and what it counted."""

    prepared: Prepared
    statistics: Statistics


def prepare(config: PrepareConfig, watcher: Watcher) -> Outcome:
    """Run the job to its end; a second call with the same settings does nothing.

    Raises:
        InputError: Settings or input are wrong, a part is empty, examples would be cut, or the output_uri is another's;
            no file was written, and the output_uri is free for other settings.
        StorageError: A store failed or refused.
        SandboxError: Worker processes cannot be started.
    """
    store = open_store(config.output_uri)
    plan = make_prepare_plan(config)
    # 100,000 interactions are two million objects that stay: each full collection would walk them all.
    gc.freeze()
    if is_claimed(store, PLAN_KEY, plan.parts):
        found = find_prepared(store)
        if found is not None:
            logger.info("nothing to do: %s is complete", store.uri)
            watcher.begin(plan.num_turns, plan.num_turns)
            watcher.end()
            return Outcome(found, Statistics.model_validate_json(store.read(STATISTICS_KEY)))
    else:
        _refuse_others_files(store)
    chart.demand_packages()
    store.probe()
    claim(store, PLAN_KEY, plan.parts)
    watcher.begin(plan.num_turns, 0)
    try:
        with _workspace(config) as folder:
            statistics = _write(config, plan, folder, watcher)
            watcher.end()
            _refuse_what_is_wrong(config, plan, statistics)
            return Outcome(_upload(config, plan, statistics, folder, store), statistics)
    except InputError:
        store.delete(PLAN_KEY)  # nothing was uploaded: other settings may have the folder
        raise
    finally:
        watcher.end()


def _refuse_others_files(store: Store) -> None:
    """Never write over what is not ours: an output_uri that is the dataset's own folder has a train.json, too."""
    keys = [f"{part}.json" for part in PARTS] + [f"{SFT_FOLDER}/{file_name(part)}" for part in PARTS]
    for key in [*keys, f"{SFT_FOLDER}/{DATASET_INFO_NAME}"]:
        if store.exists(key):
            raise DatasetError(
                f"{store.uri}: wanted a folder to write into, found {key}, which prepare did not write; use another "
                "output_uri"
            )


@contextlib.contextmanager
def _workspace(config: PrepareConfig) -> Iterator[Path]:
    """A folder on this node for files of any size; always the same one, so that a killed job's leftovers go away."""
    name = hashlib.sha256(open_store(config.output_uri).uri.encode()).hexdigest()[:16]
    folder = Path(config.cache_dir).expanduser() / "prepare" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(
                f"output_uri: wanted a folder of this job's own, found that another prepare on this machine writes "
                f"{config.output_uri} now; wait for it, or use another"
            ) from error
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class _PartFiles:
    """The two files of a part, and its counter."""

    def __init__(self, folder: Path, part: Part, counter: PartCounter, opened: contextlib.ExitStack) -> None:
        self.part = part
        self.counter = counter
        self.users = UsersWriter(opened.enter_context((folder / f"{part}.json").open("wb")))
        opened.callback(self.users.close)
        self.examples: IO[bytes] = opened.enter_context((folder / file_name(part)).open("wb"))


def _write(config: PrepareConfig, plan: PreparePlan, folder: Path, watcher: Watcher) -> Statistics:
    """Go over the dataset once; files into `folder`."""
    maker = ExampleMaker(plan.template, plan.databases, config.example_form, plan.lengths.prompt, plan.budget_tokens)
    hardness_of = HardnessOf(lambda db_id: maker.schema(db_id).schema)
    taken = functools.lru_cache(maxsize=_MAX_TAKEN)(extract_sql)
    rewritten: list[str] = []
    num_rewritten = num_done = 0
    with contextlib.ExitStack() as opened:
        files = {
            part: _PartFiles(folder, part, PartCounter(part, plan.max_answer, plan.cut_above), opened)
            for part in plan.part_names
        }
        runner = opened.enter_context(GoldRunner(plan.databases, config.num_workers, config.limits))
        runner.start(plan.interactions[:_BATCH])
        for start in range(0, len(plan.interactions), _BATCH):
            runner.start(plan.interactions[start + _BATCH : start + 2 * _BATCH])
            for index in range(start, min(start + _BATCH, len(plan.interactions))):
                interaction = plan.interactions[index]
                checked = runner.check(interaction)
                _add(plan, index, files[plan.part(index)], maker, checked)
                if checked.interaction is not None:
                    turns = [(turn.question_id, turn.gold_sql or "") for turn in checked.interaction.turns]
                    files[plan.part(index)].counter.hardness(
                        hardness_of.level(interaction.db_id, sql) for _, sql in turns
                    )
                    others = [question_id for question_id, sql in turns if taken(sql) != sql.strip()]
                    num_rewritten += len(others)
                    rewritten += others[: _NUM_NAMED - len(rewritten)]
                num_done += len(interaction.turns)
                watcher.advance(num_done, plan.num_turns)
    return _statistics(config, plan, {part: one.counter for part, one in files.items()}, num_rewritten, rewritten)


def _add(
    plan: PreparePlan,
    index: int,
    files: _PartFiles,
    maker: ExampleMaker,
    checked: Checked,
) -> None:
    """Write one interaction into its part's files."""
    files.counter.checked(plan.interactions[index], checked)
    left = checked.interaction
    if left is None:
        return
    files.users.add(left)
    if files.part == "test" and index not in plan.measured:
        return
    history = plan.history[files.part]
    in_examples = 0
    for example in maker.examples(left, history, plan.past_sql(left, history)):
        files.examples.write(example.line())
        in_examples += len(example.question_ids)
        files.counter.example(example, plan.lengths.example(example.messages), _answers(plan, example))
    files.counter.too_long(len(left.turns) - in_examples)


def _answers(plan: PreparePlan, example: Example) -> list[int]:
    """Lengths of the answers that are trained on: as many of the last ones as the example has questions of its own."""
    answers = [message["content"] for message in example.messages if message["role"] == "assistant"]
    return [plan.lengths.answer(sql) for sql in answers[-len(example.question_ids) :]]


def _statistics(
    config: PrepareConfig,
    plan: PreparePlan,
    counters: Mapping[Part, PartCounter],
    num_rewritten: int,
    rewritten: Sequence[str],
) -> Statistics:
    longest = max(counter.longest for counter in counters.values())
    cutoff_len = config.cutoff_len
    if cutoff_len is None and plan.max_model_len_tokens is not None:
        cutoff_len = min(-(-(longest + 1) // _CUTOFF_STEP) * _CUTOFF_STEP, plan.max_model_len_tokens)
    width = bin_width(longest)
    return Statistics(
        dataset_uri=config.dataset_uri,
        model_uri=config.model_uri,
        example_form=config.example_form,
        history=plan.history,
        unit=plan.lengths.unit,
        max_model_len_tokens=plan.max_model_len_tokens,
        cutoff_len=cutoff_len,
        bin_width=width,
        databases_in_both=plan.split.databases_in_both,
        num_rewritten=num_rewritten,
        rewritten=tuple(rewritten),
        gold_failures=tuple(failure for counter in counters.values() for failure in counter.gold_failures),
        parts={part: counter.finish(width) for part, counter in counters.items()},
    )


def _refuse_what_is_wrong(config: PrepareConfig, plan: PreparePlan, statistics: Statistics) -> None:
    for part, counted in statistics.parts.items():
        if counted.num_examples == 0:
            failed = sum(counted.num_gold_failed.values())
            first = next((one for one in statistics.gold_failures if one.part == part), None)
            what = f"{failed} gold queries do not run" if failed else "no prompt fits the context"
            detail = f"; the first, {first.question_id} of {first.db_id}: {first.message}" if first else ""
            raise DatasetError(
                f"{config.dataset_uri}: wanted examples for the part {part}, found none: {what}{detail}; do "
                "dataset_uri and databases_uri belong together?"
            )
    cut = what_is_cut(statistics.parts)
    if cut.num_cut and not config.allow_cut:
        asked = "cutoff_len" if config.cutoff_len is not None else "max_model_len_tokens"
        shorter = "example_form: turn, or " if config.example_form == "interaction" else ""
        raise SettingsError(
            f"{asked}: wanted room for each of {cut.num_examples} examples, found {cut.num_cut} longer than "
            f"{plan.cut_above} tokens, the longest {cut.longest} (question_id {', '.join(cut.first[:3])}); set "
            f"{asked}={cut.longest + 1}, or let prompts be pruned sooner (max_model_len_tokens here, "
            f"vllm.max_model_len in predict), or have {shorter}allow_cut: true, which lets LLaMA-Factory cut them"
        )


def _upload(config: PrepareConfig, plan: PreparePlan, statistics: Statistics, folder: Path, store: Store) -> Prepared:
    """Everything into the store, the mark last."""
    keys = llamafactory_keys(config.example_form, plan.part_names, statistics.cutoff_len)
    written = {
        f"{SFT_FOLDER}/{DATASET_INFO_NAME}": _json(dataset_info(plan.part_names)),
        f"{SFT_FOLDER}/{LLAMAFACTORY_NAME}": _json(keys),
        STATISTICS_KEY: (statistics.model_dump_json(indent=1) + "\n").encode(),
        CHART_KEY: chart.statistics_png(statistics),
    }
    digests = {}
    for part in plan.part_names:
        digests[f"{part}.json"] = store.upload(folder / f"{part}.json", f"{part}.json")
        digests[f"{SFT_FOLDER}/{file_name(part)}"] = store.upload(
            folder / file_name(part), f"{SFT_FOLDER}/{file_name(part)}"
        )
    for key, data in written.items():
        store.write(key, data)
        digests[key] = hashlib.sha256(data).hexdigest()
    for_training = {key: digest for key, digest in digests.items() if key not in (STATISTICS_KEY, CHART_KEY)}
    prepared = Prepared(
        plan_digest=plan.digest,
        digest=folder_digest(for_training),
        files=digests,
        num_examples={part: counted.num_examples for part, counted in statistics.parts.items()},
        example_form=config.example_form,
        history=plan.history,
        prompt=config.prompt,
        prompt_digest=plan.template.digest,
        tokenizer_digest=plan.lengths.digest,
        max_model_len_tokens=plan.max_model_len_tokens,
        llamafactory=keys,
    )
    store.write(DONE_KEY, (prepared.model_dump_json(indent=1) + "\n").encode())
    logger.info("%s: %s examples", store.uri, " + ".join(str(number) for number in prepared.num_examples.values()))
    return prepared


def _json(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()
