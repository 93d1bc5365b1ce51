"""The GPU benchmark's parts, without a GPU: its test sets, its recording and replaying, its sweep, its simulation."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
from contextlib import closing
from pathlib import Path

import pytest

from scripts.bench.gpu_model import special_tokens
from scripts.bench.gpu_replay import Chain, Pass, Recorder, Request, SharedVllm, predict_pass, replay
from scripts.bench.gpu_report import Figures
from scripts.bench.gpu_simulated import DEVICES, count_text, simulate
from scripts.bench.gpu_sweep import PREDICT, SHUFFLED, WINDOW, Sweep
from scripts.bench.gpu_workload import SHAPES, Shape, Workload, write_workload
from t2s.dataset import find_databases, read_interactions
from t2s.engine import EngineConfig
from t2s.engine.chat import ChatTokenizer
from t2s.engine.scripted import ScriptedEngine
from t2s.prompt import PromptConfig, PromptTemplate
from t2s.sample_model import ensure_sample_model
from t2s.settings import PredictSettings
from t2s.shard import plan_order

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    return write_workload(tmp_path_factory.mktemp("sets") / "probe", SHAPES["probe"], 90, count_text)


def test_a_database_read_back_has_the_prefix_that_was_written_down(workload: Workload, tmp_path: Path) -> None:
    template = PromptTemplate(PromptConfig())
    databases = find_databases(str(workload.folder / "database"), cache_dir=tmp_path)
    assert set(databases.db_ids) == set(workload.prefix_tokens)
    for db_id, tokens in workload.prefix_tokens.items():
        assert count_text(template.schema_prompt(databases.path(db_id), db_id).system) == tokens


@pytest.mark.parametrize("name", SHAPES)
def test_prefixes_have_the_wanted_lengths(name: str, tmp_path: Path) -> None:
    shape = SHAPES[name]
    one_each = write_workload(tmp_path, shape, 40, count_text, interactions_per_database=1)
    found = list(one_each.prefix_tokens.values())
    assert len(found) == 40 and max(found) <= shape.most
    # The median of 40 draws lies within 2.4 standard errors of the distribution's own.
    spread = 1.25 * shape.sigma / 40**0.5 * 2.4
    assert 1 - spread < statistics.median(found) / shape.median < 1 + spread


def test_questions_and_answers_have_the_probes_lengths(workload: Workload) -> None:
    lengths = [count_text(question) for question in workload.answers]
    assert len(lengths) == 4 * workload.num_interactions, "each question is the only one of its words"
    assert min(lengths) >= 14 and max(lengths) <= 45
    assert min(workload.answers.values()) >= 12 and max(workload.answers.values()) <= 150
    assert 40 < statistics.mean(workload.answers.values()) < 52


def test_the_set_reads_as_a_dataset_whose_gold_runs_and_whose_databases_are_mixed(workload: Workload) -> None:
    interactions = read_interactions(str(workload.dataset))
    assert [len(one.turns) for one in interactions] == [4] * 90
    assert interactions != plan_order(interactions)
    for one in interactions[:20]:
        with closing(sqlite3.connect(workload.folder / "database" / f"{one.db_id}.sqlite")) as connection:
            for turn in one.turns:
                connection.execute(turn.gold_sql or "").fetchall()
                assert 0 <= workload.answers[turn.question] - count_text(turn.gold_sql or "") <= 20


def test_the_same_seed_gives_the_same_set_and_another_one_another(workload: Workload, tmp_path: Path) -> None:
    again = write_workload(tmp_path / "again", SHAPES["probe"], 90, count_text)
    other = write_workload(tmp_path / "other", SHAPES["probe"], 90, count_text, seed=1)
    assert again.dataset.read_bytes() == workload.dataset.read_bytes()
    assert other.dataset.read_bytes() != workload.dataset.read_bytes()


def test_special_tokens_stand_at_llama_3s_own_ids() -> None:
    ids = {token: 128_000 + index for index, token in enumerate(special_tokens())}
    assert len(ids) == 256
    assert [ids[f"<|{name}|>"] for name in ("begin_of_text", "end_of_text", "eot_id")] == [128_000, 128_001, 128_009]
    assert [ids[f"<|{name}_header_id|>"] for name in ("start", "end")] == [128_006, 128_007]
    assert ids["<|reserved_special_token_250|>"] == 128_255


def words(workload: Workload) -> list[str]:
    return [f"dataset_uri={workload.dataset}", "history=gold", "engine.kind=scripted", "shard_turns=50"]


def test_predict_is_recorded_by_interaction_in_plan_order_and_replays_as_it_was(workload: Workload) -> None:
    async def scenario() -> None:
        engine = ScriptedEngine(EngineConfig(kind="scripted"))
        recorder = Recorder(engine, await engine.start(), workload.answers)
        one = await predict_pass(words(workload), recorder)
        assert (one.interactions, one.turns) == (90, 360)
        assert one.plan_s > 0 and one.merge_s > 0 and one.seconds > one.plan_s + one.merge_s
        planned = plan_order(read_interactions(str(workload.dataset)))
        found = [[request.messages[-1]["content"] for request in chain] for chain in recorder.chains]
        assert found == [[turn.question for turn in interaction.turns] for interaction in planned]
        for interaction, chain in zip(planned, recorder.chains, strict=True):
            # `history: gold`: the answers that the model saw are the annotated ones.
            seen = [message["content"] for message in chain[-1].messages if message["role"] == "assistant"]
            assert seen == [turn.gold_sql for turn in interaction.turns[:-1]]
        again: list[Request] = []

        async def ask(request: Request) -> int:
            again.append(request)
            return (await engine.generate(request.messages)).cached_tokens

        repeated = await replay(ask, recorder.chains, 7)
        assert repeated.peak_running == 7
        assert (repeated.turns, repeated.prompt_tokens, repeated.output_tokens) == one[2:5]
        assert sorted(map(id, again)) == sorted(id(request) for chain in recorder.chains for request in chain)

    asyncio.run(scenario())


def chain_of(number: int) -> Chain:
    found = [Request([{"role": "user", "content": f"{number}/{turn}"}], 1) for turn in range(4)]
    for request in found:
        request.prompt_tokens = 100
    return found


@pytest.mark.parametrize("window", [1, 3, 100])
def test_a_replay_keeps_turns_in_order_and_the_window_full(window: int) -> None:
    async def scenario() -> None:
        asked: list[str] = []
        running: dict[str, int] = {}
        most = 0

        async def ask(request: Request) -> int:
            nonlocal most
            number, turn = request.messages[0]["content"].split("/")
            asked.append(number)
            assert asked.count(number) == int(turn) + 1
            running[number] = running.get(number, 0) + 1
            assert running[number] == 1, "one question at a time of an interaction"
            most = max(most, sum(running.values()))
            for _ in range(1 + int(number) % 3):
                await asyncio.sleep(0)
            running[number] -= 1
            return 25

        one = await replay(ask, [chain_of(number) for number in range(10)], window)
        assert len(asked) == one.turns == 40
        assert most == one.peak_running == min(window, 10)
        assert one.cached_tokens == 25 * 40, "none is lost where many add at once"

    asyncio.run(scenario())


def passes_of(rate: float, interactions: int = 400) -> Pass:
    return Pass(interactions / rate, interactions, 4 * interactions, 1000, 100, 500, 100.0, 120, 3)


def swept(deadline: float = float("inf"), windows: tuple[int, ...] = ()) -> tuple[Sweep, list[str]]:
    names: list[str] = []

    async def measure(what: str, window: int | None) -> Pass:
        names.append(what)
        if window is None:
            return passes_of(26.0)
        if what == SHUFFLED:
            return passes_of(13.0)
        return passes_of(27.0 - abs(window - 112) / 10)

    sweep = Sweep(measure, 400, 2, deadline, windows)
    asyncio.run(sweep.run())
    return sweep, names


def test_a_sweep_climbs_to_the_best_window_and_measures_both_its_neighbours() -> None:
    sweep, names = swept()
    assert sweep.best_window == 112
    assert {96, 112, 128} <= set(sweep.windows) and len(sweep.windows) <= 4
    assert names[0] == PREDICT and names.count(PREDICT) == 4 and names.count(f"{WINDOW}112") == 3
    assert sweep.ratios() == {
        "predict_over_best_window": round(26 / 27, 4),
        "predict_over_best_window_pairs": round(26 / 27, 4),
        "predict_over_shuffled": 2.0,
    }
    assert sweep.left_out == []


def test_a_sweep_without_time_measures_predict_alone_and_says_what_it_left_out() -> None:
    sweep, names = swept(deadline=0.0)
    assert names == [PREDICT]
    assert sweep.left_out == [f"{WINDOW}96", SHUFFLED]


def test_given_windows_are_measured_and_no_others() -> None:
    sweep, _ = swept(windows=(16, 112, 500, 600))
    assert set(sweep.windows) == {16, 112, 400}, "400 interactions are all there are"


def test_figures_are_written_after_each_pass_and_shown_as_a_table(tmp_path: Path) -> None:
    figures = Figures(tmp_path, {"device": "none"})
    figures.add("a10", "probe", f"{WINDOW}96", passes_of(20.0))
    assert len(json.loads((tmp_path / "gpu_bench.json").read_text("utf-8"))["passes"]) == 1
    figures.add("a10", "probe", PREDICT, passes_of(26.0))
    figures.add("a10", "probe", PREDICT, passes_of(24.0))
    figures.add("a10", "probe", PREDICT, passes_of(25.0))
    lines = figures.table().splitlines()
    row = next(line for line in lines if line.startswith(PREDICT))
    assert row.split()[2:4] == ["25.000", "100.00"] and row.endswith("26.00 24.00 25.00")
    assert lines.index(row) < next(index for index, line in enumerate(lines) if line.startswith(WINDOW))


def test_with_a_small_cache_the_gate_finds_what_a_sweep_finds_in_simulated_time(workload: Workload) -> None:
    # 90 interactions fill this cache three times over.
    sweep = asyncio.run(simulate(workload, DEVICES["H100"], 12_000))
    ours = sweep.passes[PREDICT][0]
    assert sweep.ratios()["predict_over_best_window"] >= 0.95
    assert sweep.ratios()["predict_over_shuffled"] >= 1.2
    assert (ours.preemptions or 0) <= 2
    assert max(sweep.windows) < 90, "the best window is one that the cache limits"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", SHAPES)
def test_with_an_a10s_cache_the_gate_reaches_the_best_window_for_every_length_of_schema(
    name: str, device: str, tmp_path: Path
) -> None:
    full = write_workload(tmp_path, SHAPES[name], 200 if name == "long" else 400, count_text)
    sweep = asyncio.run(simulate(full, DEVICES[device], 36_000))
    print(f"\n{device}, {name}: {sweep.ratios()}")
    assert sweep.ratios()["predict_over_best_window"] >= 0.95


@pytest.mark.engine
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")  # vLLM's and torch's own
def test_the_bare_engine_gets_the_token_ids_that_t2s_sent_and_answers_have_their_lengths(tmp_path: Path) -> None:
    model = str(ensure_sample_model(ROOT / "models"))
    tokenizer = ChatTokenizer(model)

    def count(text: str) -> int:
        return len(tokenizer.encode_text(text))

    few = write_workload(tmp_path, Shape(300, 0.1, 600), 4, count, interactions_per_database=2, longest_answer=14)
    engine_words = [f"dataset_uri={few.dataset}", "history=gold", f"engine.model_uri={model}"]

    async def scenario() -> None:
        shared = SharedVllm(PredictSettings.load([*engine_words, "run_uri=unused"]), model)
        try:
            info = await shared.start()
            recorder = Recorder(shared.engine, info, few.answers)
            ours = await predict_pass(engine_words, recorder)
            await shared.forget()
            bare = await replay(shared.ask, recorder.chains, 4)
            preemptions = shared.preemptions()
        finally:
            await shared.close()
        assert (bare.turns, bare.prompt_tokens, bare.output_tokens) == ours[2:5]
        assert ours.output_tokens == sum(few.answers.values())
        assert preemptions == 0
        # Each prompt but an interaction's first begins with the one before it, which the cache holds.
        for one in (ours, bare):
            assert one.cached_tokens > 0.5 * one.prompt_tokens
        for chain in recorder.chains:
            for request in chain:
                assert request.ids == tokenizer.encode(request.messages)
                assert request.num_tokens == few.answers[request.messages[-1]["content"]]

    asyncio.run(scenario())
