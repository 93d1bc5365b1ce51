"""What a predict run will do, fixed before anything starts: the shards, and a digest of all that decides the answers.

The digest covers dataset, databases, model (its chat template with it), adapter, prompt, history, sampling, those
engine options that can change an answer, and the cut into shards. A `run_uri` belongs to the first plan that claims
it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.dataset import Databases, find_databases, read_dataset
from t2s.errors import DatasetError, PlanMismatch
from t2s.interaction import Interaction
from t2s.ledger import ShardLedger, retry_name
from t2s.model_folder import resolve_model
from t2s.predict_config import PredictConfig
from t2s.prompt import PromptTemplate
from t2s.shard import Shard, cut, plan_order
from t2s.storage import Store
from t2s.training.trained import check_trained

PLAN_KEY = "predict/plan.json"

OPERATIONAL_OPTIONS = frozenset(
    {
        "gpu_memory_utilization", "tensor_parallel_size", "pipeline_parallel_size", "max_num_seqs", "block_size",
        "max_num_batched_tokens", "enable_prefix_caching", "enforce_eager", "disable_log_stats",
        "kv_cache_memory_bytes", "cpu_offload_gb", "swap_space", "max_parallel_loading_workers", "load_format",
        "download_dir",
    }
)  # fmt: skip
"""vLLM options that say how fast, not what: a run may go on with others of these than it began with."""


@dataclass(frozen=True)
class Plan:
    """A run's work.

    Attributes:
        interactions: In the dataset's order.
        shards: In plan order; together they hold every interaction once.
        parts: What decides the answers, by name, each as a digest or a short text.
        digest: Of `parts`.
        model_path: The local model folder; None for the scripted engine.
    """

    interactions: list[Interaction]
    shards: list[Shard]
    parts: dict[str, str]
    digest: str
    databases: Databases
    model_path: Path | None

    @property
    def num_turns(self) -> int:
        """Rows that the run will have."""
        return sum(shard.num_turns for shard in self.shards)


def make_plan(config: PredictConfig) -> Plan:
    """Read and check everything that a run needs, and cut it into shards. Starts no engine, writes nothing.

    Raises:
        InputError: Anything that is wrong with settings, dataset, databases or model.
    """
    dataset = read_dataset(config.dataset_uri, limit=config.limit)
    interactions = dataset.interactions
    _demand_questions(interactions, config.dataset_uri)
    if config.history == "gold":
        _demand_gold(interactions, config.dataset_uri)
    databases = find_databases(config.databases_uri, Path(config.cache_dir), config.cache_max_bytes)
    db_ids = sorted({interaction.db_id for interaction in interactions})
    databases.check(db_ids)
    shards = cut(plan_order(interactions), config.shard_turns)
    parts = {
        "dataset": dataset.digest if config.limit is None else f"{dataset.digest}, first {config.limit}",
        "databases": _digest([[db_id, databases.digest(db_id)] for db_id in db_ids]),
        "prompt": PromptTemplate(config.prompt).digest,
        "history": config.history,
        "generation": config.engine.generation.model_dump_json(),
        "engine": config.engine.kind,
        "shards": f"{len(shards)} of about {config.shard_turns} turns, cut between databases",
    }
    model_path = None
    if config.engine.kind == "scripted":
        scripted = config.engine.scripted
        parts["model"] = _digest([scripted.answers_uri, scripted.die_on, scripted.fail_on])
    else:
        model = resolve_model(config.engine.model_uri, config.models_dir, config.cache_dir, config.cache_max_bytes)
        model_path, parts["model"] = model.path, model.digest
        adapter = None
        if config.engine.adapter_uri is not None:
            adapter = resolve_model(
                config.engine.adapter_uri, config.models_dir, config.cache_dir, config.cache_max_bytes
            )
            parts["adapter"] = adapter.digest
        check_trained(config.engine, model, adapter, parts["prompt"])
        if config.engine.kind == "vllm":
            options = {key: value for key, value in config.engine.vllm.items() if key not in OPERATIONAL_OPTIONS}
            parts["engine_options"] = json.dumps(options, sort_keys=True, ensure_ascii=False)
    return Plan(interactions, shards, parts, _digest(parts), databases, model_path)


def claim_plan(store: Store, plan: Plan) -> None:
    """Make the run_uri this plan's; `PlanMismatch` if it is another's, naming what differs."""
    wanted = {"digest": plan.digest, "parts": plan.parts}
    if store.create(PLAN_KEY, json.dumps(wanted, ensure_ascii=False, indent=1).encode()):
        return
    check_plan(store, plan)


def check_plan(store: Store, plan: Plan) -> bool:
    """Whether the run_uri has a plan already; `PlanMismatch` if it is another than this."""
    if not store.exists(PLAN_KEY):
        return False
    data = store.read(PLAN_KEY)
    try:
        found: dict[str, Any] = json.loads(data)
        digest, parts = found["digest"], dict(found["parts"])
    except (ValueError, KeyError, TypeError) as error:
        raise PlanMismatch(
            f"{store.uri}/{PLAN_KEY}: wanted a plan, found {data[:80]!r}: use another run_uri"
        ) from error
    if digest != plan.digest:
        names = sorted(parts.keys() | plan.parts.keys())
        changed = [
            f"{name} ({str(parts.get(name))[:40]} there, {str(plan.parts.get(name))[:40]} now)"
            for name in names
            if parts.get(name) != plan.parts.get(name)
        ]
        raise PlanMismatch(
            f"{store.uri} holds predictions of another plan; different: {'; '.join(changed)}. "
            "Use another run_uri, or the settings and data that it was begun with"
        )
    return True


def unfinished(ledger: ShardLedger, shards: list[Shard]) -> list[Shard]:
    """The shards, and halves of shards, that are not committed, in plan order."""
    names = ledger.done_names()
    return [piece for shard in shards for piece in _unfinished_pieces(ledger, shard, names)]


def _unfinished_pieces(ledger: ShardLedger, shard: Shard, names: set[str]) -> list[Shard]:
    if shard.name not in names:
        return [shard]
    if not ledger.done(shard.name).split:
        return []
    return [piece for half in shard.halves() for piece in _unfinished_pieces(ledger, half, names)]


def retries(ledger: ShardLedger, shards: list[Shard]) -> list[Shard]:
    """For each committed shard with errors, a shard of the interactions to do again.

    Whole interactions are done again: what a failed turn answers now is history for the turns after it.
    """
    names = ledger.done_names()
    again = []
    for shard in shards:
        failed = {row.interaction_id for row in ledger.read_rows(shard.name, names) if row.error is not None}
        if failed:
            generation = 1
            while retry_name(shard.name, generation) in names:
                generation += 1
            interactions = tuple(one for one in shard.interactions if one.interaction_id in failed)
            again.append(Shard(name=retry_name(shard.name, generation), interactions=interactions))
    return again


def _demand_questions(interactions: list[Interaction], dataset_uri: str) -> None:
    for interaction in interactions:
        for turn in interaction.turns:
            if not turn.question.strip():
                raise DatasetError(
                    f"{dataset_uri}: wanted a question to answer, found an empty one: {turn.question_id} of "
                    f"{interaction.db_id}; this is a gold file that is good for evaluate alone"
                )


def _demand_gold(interactions: list[Interaction], dataset_uri: str) -> None:
    for interaction in interactions:
        for turn in interaction.turns:
            if turn.gold_sql is None:
                raise DatasetError(
                    f"{dataset_uri}: history: gold wants gold SQL for every turn, found none for question "
                    f"{turn.question_id} of {interaction.db_id}; use history: predicted"
                )


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
