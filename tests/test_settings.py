from __future__ import annotations

import itertools
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from t2s.errors import SettingsError
from t2s.settings import EvaluateSettings, JobSettings, PredictSettings, peek, ray_token, secret_values, variables_set

NEEDED = ("dataset_uri=data/test.json", "run_uri=runs/x", "engine.model_uri=models/m")


@pytest.fixture(autouse=True)
def _no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("T2S_"):
            monkeypatch.delenv(name)


def yaml_file(folder: Path, text: str) -> str:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def problems(*argv: str, settings: type[JobSettings] = PredictSettings) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings.load(argv)
    assert caught.value.exit_code == 2
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


SOURCES = ("default", "yaml", "variable", "argument")  # lowest first


@pytest.mark.parametrize(("low", "high"), list(itertools.combinations(SOURCES, 2)))
@pytest.mark.parametrize("key", ["shard_turns", "engine.generation.max_tokens", "vllm.max_num_seqs"])
def test_of_two_sources_the_higher_one_wins(
    low: str, high: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = list(NEEDED)
    for source, value in ((low, 11), (high, 22)):
        if source == "yaml":
            *blocks, last = key.split(".")
            text = "".join(f"{'  ' * depth}{block}:\n" for depth, block in enumerate(blocks))
            argv.insert(0, yaml_file(tmp_path, f"{text}{'  ' * len(blocks)}{last}: {value}\n"))
        elif source == "variable":
            monkeypatch.setenv("T2S_" + key.replace(".", "__").upper(), str(value))
        elif source == "argument":
            argv.append(f"{key}={value}")
    settings = PredictSettings.load(argv)
    found = {
        "shard_turns": settings.shard_turns,
        "engine.generation.max_tokens": settings.engine.generation.max_tokens,
        "vllm.max_num_seqs": settings.engine.vllm.get("max_num_seqs"),
    }
    assert found[key] == 22


def test_sources_complete_each_other_inside_one_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = yaml_file(
        tmp_path, "engine:\n  generation:\n    temperature: 0.5\n    top_p: 0.9\nvllm:\n  dtype: float32\n"
    )
    monkeypatch.setenv("T2S_ENGINE__GENERATION__TOP_P", "0.8")
    monkeypatch.setenv("T2S_VLLM", "{block_size: 32}")
    settings = PredictSettings.load([config, *NEEDED, "engine.generation.seed=7", "vllm.max_num_seqs=4"])
    generation = settings.engine.generation
    assert (generation.temperature, generation.top_p, generation.seed) == (0.5, 0.8, 7)
    assert settings.engine.vllm == {"dtype": "float32", "block_size": 32, "max_num_seqs": 4}


def test_values_of_arguments_and_variables_are_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T2S_ENGINE__GENERATION__STOP", '[";", "。"]')
    monkeypatch.setenv("T2S_RETRY_ERRORS", "true")
    settings = PredictSettings.load(
        [*NEEDED, "limit=", "engine.generation.temperature=1e-3", "vllm={a: {b: [1, null]}}"]
    )
    assert settings.engine.generation.stop == (";", "。")
    assert settings.retry_errors is True
    assert settings.limit is None
    assert settings.engine.generation.temperature == 0.001
    assert settings.engine.vllm == {"a": {"b": [1, None]}}


def test_a_date_or_an_exponent_in_yaml_is_what_the_user_means(tmp_path: Path) -> None:
    config = yaml_file(tmp_path, "run_uri: 2026-11-05\nvllm:\n  rope_theta: 1e6\n  small: 2.5E-4\n")
    settings = PredictSettings.load([config, "dataset_uri=d", "engine.model_uri=m"])
    assert settings.run_uri == "2026-11-05"
    assert settings.engine.vllm == {"rope_theta": 1_000_000.0, "small": 0.00025}


def test_all_that_is_wrong_is_reported_at_once_with_key_wanted_found_and_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = yaml_file(
        tmp_path, "run_uri: 7\nengine:\n  kind: vlm\n  model_uri: m\nvllm:\n  tensor_parallel_size: two\n"
    )
    monkeypatch.setenv("T2S_LIMIT", "0")
    monkeypatch.setenv("T2S_ENGNE__KIND", "vllm")
    found = problems(config, "shard_turn=5", "engine.generation.top_p=2", "ray.wait_for_resources_s=soon", "history=[")
    assert set(found) == {
        "history: wanted a YAML value, found '[' (argument history=[): expected the node content, but found "
        "'<stream end>'; quote it",
        "dataset_uri: wanted a value, found none; set it in "
        f"{config}, by the argument dataset_uri=… or the variable T2S_DATASET_URI",
        f"run_uri: wanted a valid string, found 7 ({config}:1)",
        f"engine.kind: wanted 'vllm', 'transformers' or 'scripted', found 'vlm' ({config}:3)",
        "engine.generation.top_p: wanted less than or equal to 1, found 2 (argument engine.generation.top_p=2)",
        "limit: wanted greater than 0, found 0 (variable T2S_LIMIT)",
        "ray.wait_for_resources_s: wanted a valid number, unable to parse string as a number, found 'soon' "
        "(argument ray.wait_for_resources_s=soon)",
        "shard_turn: wanted a known key, found an unknown one (argument shard_turn=5); did you mean shard_turns?",
        "engne: wanted a known key, found an unknown one (variable T2S_ENGNE__KIND); did you mean engine?",
        f"vllm.tensor_parallel_size: wanted a whole number of GPUs, at least 1, found 'two' ({config}:6)",
    }
    assert len(found) == 10


def test_an_unknown_key_in_a_block_suggests_the_whole_key(tmp_path: Path) -> None:
    config = yaml_file(tmp_path, "engine:\n  generation:\n    max_token: 3\n")
    (found,) = problems(config, *NEEDED)
    assert found.endswith("did you mean engine.generation.max_tokens?")


def test_every_engine_but_the_scripted_one_needs_a_model() -> None:
    (found,) = problems("dataset_uri=d", "run_uri=r", "engine.kind=transformers")
    assert found.startswith("engine.model_uri: wanted a model folder or the word sample")
    assert PredictSettings.load(["dataset_uri=d", "run_uri=r", "engine.kind=scripted"]).engine.model_uri is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("limit: [1\n", ":2:1: wanted YAML, found: expected ',' or ']', but got '<stream end>'"),
        ("- a\n", ": wanted `key: value` lines, found ['a']"),
        ("limit: 3\nlimit: 4\n", "limit: wanted once, found twice ("),
    ],
)
def test_a_file_that_is_not_settings_is_one_line_with_the_place(text: str, expected: str, tmp_path: Path) -> None:
    config = yaml_file(tmp_path, text)
    (found,) = problems(config, *NEEDED)
    assert expected in found
    assert config in found


def test_a_file_that_is_not_utf8_is_refused_and_a_bom_is_not(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes("run_uri: 城市\n".encode("gbk"))
    (found,) = problems(str(path), *NEEDED)
    assert found == f"{path}: wanted UTF-8, found byte 0xb3 at 9"
    path.write_bytes("run_uri: 城市\n".encode("utf-8-sig"))
    assert PredictSettings.load([str(path), NEEDED[0], NEEDED[2]]).run_uri == "城市"


def test_a_missing_file_is_the_only_complaint_and_names_similar_ones(tmp_path: Path) -> None:
    (tmp_path / "predict_sample.yaml").touch()
    (found,) = problems(str(tmp_path / "predict_simple.yaml"))
    assert found.endswith(f"wanted a settings file, found none; did you mean {tmp_path}/predict_sample.yaml?")


def test_two_files_and_unknown_flags_are_refused() -> None:
    found = problems("a.yaml", "b.yaml", "--dryrun", *NEEDED)
    assert "wanted one settings file and key=value arguments, found 2: a.yaml b.yaml" in found
    assert "--dryrun: wanted --dry-run or --help, found another flag" in found


def test_dry_run_is_a_flag_and_a_setting() -> None:
    assert PredictSettings.load([*NEEDED, "--dry-run"]).dry_run
    assert not PredictSettings.load(NEEDED).dry_run


def test_a_variable_of_another_job_is_no_error_but_an_unknown_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T2S_ENGINE__KIND", "scripted")
    monkeypatch.setenv("T2S_VLLM__DTYPE", "float32")
    settings = EvaluateSettings.load(["gold_uri=data/gold.json", "run_uri=runs/x"])
    assert settings.predictions_uri == "runs/x/predictions.json"
    monkeypatch.setenv("T2S_ENGINE__KINDS", "scripted")
    (found,) = problems("gold_uri=data/gold.json", "run_uri=runs/x", settings=EvaluateSettings)
    assert "variable T2S_ENGINE__KINDS" in found


@pytest.mark.parametrize(
    ("dataset_uri", "databases_uri"),
    [
        ("data/test_data/test.json", "data/test_data/database"),
        ("data/test_data", "data/test_data/database"),
        ("data/test_data/", "data/test_data/database"),
        ("test.json", "./database"),
        ("s3://team/chase/dev.json", "s3://team/chase/database"),
    ],
)
def test_databases_stand_beside_the_dataset_unless_given(dataset_uri: str, databases_uri: str) -> None:
    argv = [f"dataset_uri={dataset_uri}", "run_uri=r", "engine.model_uri=m"]
    assert PredictSettings.load(argv).databases_uri == databases_uri
    assert PredictSettings.load([*argv, "databases_uri=elsewhere"]).databases_uri == "elsewhere"
    assert EvaluateSettings.load([f"gold_uri={dataset_uri}", "run_uri=r"]).databases_uri == databases_uri


@pytest.mark.parametrize(
    ("arguments", "gpus"),
    [
        ((), 1),
        (("vllm.tensor_parallel_size=2",), 2),
        (("vllm.tensor_parallel_size=2", "vllm.pipeline_parallel_size=2"), 4),
        (("vllm.tensor_parallel_size=2", "engine.kind=transformers"), 1),
        (("engine.kind=scripted",), 0),
        (("ray.num_gpus_per_engine=0",), 0),
    ],
)
def test_the_parallel_sizes_of_vllm_reserve_as_many_gpus(arguments: tuple[str, ...], gpus: float) -> None:
    assert PredictSettings.load([*NEEDED, *arguments]).num_gpus_per_engine == gpus


def test_resolved_settings_make_the_same_settings_again_and_show_vllm_as_users_write_it() -> None:
    settings = PredictSettings.load([*NEEDED, "vllm.dtype=float32", "limit=3"])
    resolved = settings.resolved()
    assert resolved["vllm"] == {"dtype": "float32"}
    assert "vllm" not in resolved["engine"]
    assert PredictSettings(**resolved) == settings


def test_settings_survive_the_way_to_another_process() -> None:
    settings = PredictSettings.load([*NEEDED, "vllm.dtype=float32"])
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_settings_that_are_built_directly_ignore_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T2S_LIMIT", "3")
    settings = EvaluateSettings(gold_uri="g", run_uri="r", databases_uri="d", predictions_uri="p")
    assert settings.dry_run is False
    assert (
        PredictSettings.model_validate({"dataset_uri": "d", "run_uri": "r", "engine": {"kind": "scripted"}}).limit
        is None
    )
    with pytest.raises(ValidationError, match="frozen"):
        settings.run_uri = "other"  # type: ignore[misc]


def test_help_names_every_key_with_its_default() -> None:
    text = PredictSettings.help()
    assert "  dataset_uri = (must be set)\n" in text
    assert "  engine.generation.max_tokens = 256\n" in text
    assert '  engine.kind = "vllm"\n' in text
    assert "  databases_uri = (database/ beside the dataset)\n" in text
    assert "  vllm = {}\n" in text
    assert "python jobs/predict.py CONFIG.yaml [key.path=value ...]" in text


def test_secrets_are_found_by_the_names_of_their_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-token-text")
    monkeypatch.setenv("SOME_PASSWORD", "short")
    (tmp_path / "token").write_text("token-in-a-file\n", encoding="utf-8")
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    assert {"wJalrXUtnFEMI", "session-token-text", "token-in-a-file"} <= set(secret_values())
    assert "short" not in secret_values()
    assert ray_token() == "token-in-a-file"
    assert variables_set("AWS_SECRET_ACCESS_KEY", "NOT_THERE_AT_ALL") == {
        "AWS_SECRET_ACCESS_KEY": True,
        "NOT_THERE_AT_ALL": False,
    }


def test_peek_shows_file_and_variables_without_judging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T2S_RUN_URI", "from-variable")
    config = yaml_file(tmp_path, "run_uri: from-file\nunknown: {a: 1}\n")
    assert peek(config) == {"run_uri": "from-variable", "unknown": {"a": 1}}
    assert peek(None) == {"run_uri": "from-variable"}


def test_importing_settings_imports_nothing_heavy() -> None:
    heavy = ("ray", "boto3", "torch", "vllm", "transformers")
    code = f"import sys, t2s.settings; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
