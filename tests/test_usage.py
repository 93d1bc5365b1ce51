"""GPU-seconds of a run: from its engines' accounts into status, report and page."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from rich.console import Console

from t2s.engine import Completion, Engine, EngineConfig, EngineInfo, Message
from t2s.engine.scripted import ScriptedEngine
from t2s.engine_account import EngineAccount, TokenCost, token_cost
from t2s.evaluate import evaluate_run
from t2s.gpu_plan.devices import DEVICES
from t2s.job import StopSignal
from t2s.ledger import ShardLedger
from t2s.plan import PLAN_KEY, claim_plan, make_plan
from t2s.predict import predict, run_shards_local
from t2s.report import print_report, report_schema
from t2s.report.page import render_page
from t2s.run_record import RunRecord
from t2s.run_status import find_jobs, usage_of
from t2s.runner import ShardRunner
from t2s.settings import PredictSettings
from t2s.storage import Store, open_store
from t2s.usage import (
    USAGE_KEY,
    EngineUsage,
    RunUsage,
    read_engines,
    read_usage,
    run_usage,
    write_engine,
    write_usage,
)
from tests.report.page_data import scored_run
from tests.small_dataset import write_dataset

H100 = "NVIDIA H100 80GB HBM3"


def engine(name: str, **changes: Any) -> EngineUsage:
    values: dict[str, Any] = {
        "engine": name, "device": H100, "num_gpus": 1, "started_at": "2026-11-24T04:25:00+00:00", "load_s": 25.0,
        "prefill_s": 40.0, "decode_s": 60.0, "idle_s": 5.0, "num_requests": 10, "prompt_tokens": 1000,
        "flops": 0.3 * 100 * DEVICES["H100"].bf16_flops, "read_bytes": 0.7 * 100 * DEVICES["H100"].bandwidth,
    }  # fmt: skip
    return EngineUsage(**{**values, **changes})


def settings_of(tmp_path: Path, **changes: Any) -> PredictSettings:
    dataset = write_dataset(tmp_path / "data")
    values: dict[str, Any] = {
        "dataset_uri": str(dataset),
        "run_uri": str(tmp_path / "run"),
        "cache_dir": str(tmp_path / "cache"),
        "engine": {"kind": "scripted", "scripted": {"delay_s": 0.01}},
        "shard_turns": 20,
    }
    return PredictSettings(**{**values, **changes})


def run(settings: PredictSettings) -> None:
    with RunRecord(settings, settings.run_uri, plan_key=PLAN_KEY) as record:
        predict(settings, run_shards_local, StopSignal(), record)


class OnGpus:
    """The scripted engine, with two GPUs of a name."""

    def __init__(self, config: EngineConfig) -> None:
        self._engine = ScriptedEngine(config)

    async def start(self) -> EngineInfo:
        return (await self._engine.start())._replace(device=H100, num_gpus=2)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return self._engine.count_tokens(messages)

    async def generate(self, messages: Sequence[Message]) -> Completion:
        return await self._engine.generate(messages)

    async def close(self) -> None:
        await self._engine.close()


def test_a_runs_engines_are_summed_up_by_phase_times_their_gpus() -> None:
    usage = run_usage([engine("a"), engine("b", num_gpus=2, load_s=30.0)], price=36.0, currency="CNY")
    assert usage is not None and usage.gpu_seconds is not None
    assert usage.engine_seconds.load == 55 and usage.gpu_seconds.load == 85
    assert usage.gpu_seconds.prefill == 120 and usage.gpu_seconds.decode == 180 and usage.gpu_seconds.idle == 15
    assert usage.gpu_seconds.total == 400
    assert usage.cost == pytest.approx(4.0), "400 s at 36 an hour"
    assert usage.gpus == {H100: 3}
    assert "cost 4.00 CNY" in usage.line() and "400 GPU-seconds" in usage.line() and f"3 x {H100}" in usage.line()


def test_shares_of_the_limit_are_of_what_the_gpus_could_have_done_while_busy() -> None:
    usage = run_usage([engine("a"), engine("never answered", prefill_s=0, decode_s=0, num_requests=0, read_bytes=None)])
    assert usage is not None
    assert usage.flops_share == pytest.approx(0.3) and usage.bandwidth_share == pytest.approx(0.7)
    assert usage.cost is None


@pytest.mark.parametrize(
    "other",
    [{"device": "", "num_gpus": 0}, {"device": "NVIDIA Unheard 5"}, {"flops": None}, {"read_bytes": None}],
    ids=["on a CPU", "a GPU that nobody knows", "a model of no known size", "an engine without timestamps"],
)
def test_where_something_is_not_known_there_is_no_share(other: dict[str, Any]) -> None:
    usage = run_usage([engine("a", **other)], price=1.0)
    assert usage is not None and usage.flops_share is None and usage.bandwidth_share is None
    assert (usage.cost is None) == (other.get("num_gpus") == 0)


def test_a_token_costs_what_its_model_says(tmp_path: Path) -> None:
    config = {
        "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "intermediate_size": 14336, "vocab_size": 128256, "torch_dtype": "bfloat16",
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    cost = token_cost(tmp_path, {"kv_cache_dtype": "fp8"})
    assert cost is not None
    assert cost.token_flops == 2 * 6_979_321_856 and cost.kv_bytes == 65_536
    assert cost.weight_bytes == 2 * 8_030_261_248
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert token_cost(tmp_path, {}) is None


def test_a_run_leaves_its_seconds_in_the_store_and_the_status_reads_them(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, gpu_price_per_hour=10.0)
    run(settings)
    store = open_store(settings.run_uri)
    [found] = read_engines(store)
    assert found.num_requests == 72 and found.num_gpus == 0 and found.decode_s + found.prefill_s >= 0.03
    assert found.completion_tokens > 0 and found.flops is None
    usage = RunUsage.model_validate_json(store.read(USAGE_KEY))
    assert usage.num_engines == 1 and usage.gpu_seconds is None and usage.cost is None
    assert usage_of(store, find_jobs(store)) == usage
    assert usage.gpu_price_per_hour == 10.0, "the status takes the price from the manifest"


def test_an_engine_that_died_is_paid_for_beside_the_next(tmp_path: Path) -> None:
    scripted = {"process": True, "die_on": "第0组第0问"}
    run(settings_of(tmp_path, engine={"kind": "scripted", "scripted": scripted}, max_attempts=1, max_error_rate=1.0))
    assert len(read_engines(open_store(str(tmp_path / "run")))) > 1


async def through_runner(settings: PredictSettings) -> None:
    plan = make_plan(settings)
    claim_plan(open_store(settings.run_uri), plan)

    def on_gpus(config: EngineConfig, model: str | None, adapter: str | None) -> Engine:
        return OnGpus(config)

    runner = ShardRunner(settings, plan.digest, "a driver", make_engine=on_gpus)
    try:
        for shard in plan.shards:
            await runner.run(shard)
    finally:
        await runner.close()
    assert ShardLedger(open_store(settings.run_uri), plan.digest, "a reader").done_names()


def test_gpu_seconds_and_cost_stand_in_report_and_page(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, gpu_price_per_hour=3600.0, price_currency="USD")
    asyncio.run(through_runner(settings))
    run(settings)  # merges what is committed
    report = evaluate_run(
        gold_uri=settings.dataset_uri, run_uri=settings.run_uri, num_workers=1, cache_dir=tmp_path / "cache"
    )
    usage = report.usage
    assert usage is not None and usage.gpu_seconds is not None and usage.gpus == {H100: 2}
    assert usage.gpu_seconds.decode == pytest.approx(2 * usage.engine_seconds.decode)
    assert usage.cost == pytest.approx(usage.gpu_seconds.total, rel=0.001)
    written = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(report_schema()).validate(written)
    assert written["usage"]["cost"] == usage.cost
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert f"{usage.cost:,.2f} USD" in page
    console = Console(file=io.StringIO(), width=200)
    print_report(report, console)
    assert isinstance(console.file, io.StringIO)
    assert f"Took {usage.line()}" in console.file.getvalue()


def test_a_page_shows_the_shares_that_were_reached() -> None:
    report, turns = scored_run(40, seed=1)
    usage = run_usage([engine("a")], price=36.0)
    page = render_page(report.model_copy(update={"usage": usage}), turns, title="一次评测", facts={})
    for text in ("30.0%", "70.0%", "1.30 CNY", "GPU 秒数与费用"):
        assert text in page, text
    without = render_page(report, turns, title="一次评测", facts={})
    assert "GPU 秒数与费用</span></h3>" not in without


def test_usage_of_another_form_is_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = open_store(str(tmp_path))
    write_engine(store, engine("good"))
    store.write("predict/usage/other.json", b"{}")
    assert [one.engine for one in read_engines(store)] == ["good"]
    assert "predict/usage/other.json" in caplog.text
    assert read_usage(store, {}) is not None


def test_a_sum_that_stands_there_already_is_not_written_again(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    assert write_usage(store, None, "CNY") is None, "no engine, nothing to sum up"
    write_engine(store, engine("a"))
    assert write_usage(store, None, "CNY") is not None
    assert write_usage(store, None, "CNY") is None
    assert write_usage(store, 5.0, "CNY") is not None


def test_a_store_that_refuses_costs_the_account_and_not_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "predict").write_text("a file stands where the folder should be", encoding="utf-8")
    store: Store = open_store(str(tmp_path / "run"))
    cost = TokenCost(1.0, 1.0, 1.0, 1.0, 1.0)
    account = EngineAccount(store, EngineInfo("test", "1", 100, None, 1), 1.0, cost)
    asyncio.run(account.write())
    assert "usage is not written" in caplog.text
