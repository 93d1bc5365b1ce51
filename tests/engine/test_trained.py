"""Predict's check of what was trained, in predict's own environment and with its own transformers."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from t2s.engine import EngineConfig
from t2s.engine.chat import ChatTokenizer
from t2s.errors import ModelError
from t2s.model_folder import resolve_model
from t2s.predict_config import PredictConfig
from t2s.storage.cache import CachedFolder
from t2s.training.adapter import MANIFEST_NAME, AdapterManifest, BaseModelRef
from t2s.training.probe import PROBE, probe
from t2s.training.trained import check_trained
from tests.engine.llama3 import write_llama3_tokenizer
from tests.engine.test_adapter import adapter as write_adapter

ROOT = Path(__file__).resolve().parents[2]
PROMPT_DIGEST = "5" * 64
PROBING = """
import sys
from t2s.engine.chat import ChatTokenizer
from t2s.training.probe import probe
import transformers
print(transformers.__version__, *(probe(ChatTokenizer(folder)).digest for folder in sys.argv[1:]))
"""

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def llama3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama3_tokenizer(tmp_path_factory.mktemp("llama3"))


def copy_of_tokenizer(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.safetensors")))


def test_both_environments_render_the_probe_alike(sample_model: Path, llama3_folder: Path) -> None:
    other = ROOT / ".venvs" / "train" / "bin" / "python"
    if not other.exists():
        pytest.skip("needs the train environment: make setup-train")
    folders = [str(sample_model), str(llama3_folder)]
    done = subprocess.run([other, "-c", PROBING, *folders], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    version, *digests = done.stdout.split()
    assert digests == [probe(ChatTokenizer(folder)).digest for folder in folders]
    import transformers

    assert version != transformers.__version__, "the two environments have one version now: nothing was compared"


def test_the_probe_sees_a_template_a_stop_token_and_a_tokenizer_that_are_others(
    sample_model: Path, tmp_path: Path
) -> None:
    wanted = probe(ChatTokenizer(str(sample_model)))
    assert [len(ids) for ids in wanted.ids] == sorted(len(ids) for ids in wanted.ids)

    template = copy_of_tokenizer(sample_model, tmp_path / "template")
    text = (template / "chat_template.jinja").read_text(encoding="utf-8")
    (template / "chat_template.jinja").write_text(text.replace("<|im_end|>", " <|im_end|>"), encoding="utf-8")
    assert probe(ChatTokenizer(str(template))).digest != wanted.digest

    stop = copy_of_tokenizer(sample_model, tmp_path / "stop")
    (stop / "generation_config.json").write_text('{"eos_token_id": [0, 2]}', encoding="utf-8")
    found = probe(ChatTokenizer(str(stop)))
    assert found.ids == wanted.ids and found.digest != wanted.digest

    tokenizer = copy_of_tokenizer(sample_model, tmp_path / "tokenizer")
    content = json.loads((tokenizer / "tokenizer.json").read_bytes())
    content["model"]["merges"] = content["model"]["merges"][:2000]
    (tokenizer / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    assert probe(ChatTokenizer(str(tokenizer))).ids != wanted.ids
    assert [one["role"] for one in PROBE].count("assistant") == 3


class TestPredict:
    """What `make_plan` does with an adapter beside the small real model."""

    @pytest.fixture(scope="class")
    def model(self, sample_model: Path, tmp_path_factory: pytest.TempPathFactory) -> CachedFolder:
        return resolve_model(str(sample_model), "models", str(tmp_path_factory.mktemp("cache")))

    @pytest.fixture
    def trained(self, model: CachedFolder, tmp_path: Path) -> Any:
        """Writes an adapter whose manifest says what the keywords say, and right things else."""

        def write(**changes: Any) -> CachedFolder:
            folder = write_adapter(tmp_path / "adapter", 0.0)
            found = resolve_model(str(folder), "models", str(tmp_path / "cache"))
            values: dict[str, Any] = {
                "kind": "adapter",
                "digest": found.digest,
                "base_model": BaseModelRef(uri="sample", digest=model.digest),
                "prompt": None,
                "prompt_digest": PROMPT_DIGEST,
                "probe_digest": probe(ChatTokenizer(str(model.path))).digest,
                "template": "smollm2",
                "data_digest": None,
                "plan_digest": None,
                "settings": {},
                "metrics": {},
                "packages": {},
                "created_at": "2026-11-24T04:25:00+00:00",
            }
            record = AdapterManifest.model_validate(values | changes)
            (folder / MANIFEST_NAME).write_text(record.model_dump_json(), encoding="utf-8")
            return found

        return write

    def test_an_adapter_of_this_model_prompt_and_template_is_taken(self, model: CachedFolder, trained: Any) -> None:
        check_trained(EngineConfig(model_uri="sample", adapter_uri="a"), model, trained(), PROMPT_DIGEST)

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"base_model": {"uri": "models/other", "digest": "c" * 64}}, "models/other"),
            ({"prompt_digest": "6" * 64}, "another prompt"),
            ({"probe_digest": "7" * 64}, "chat template"),
            ({"kind": "model"}, "set engine.model_uri"),
        ],
    )
    def test_one_of_another_is_refused(
        self, model: CachedFolder, trained: Any, changes: dict[str, Any], told: str
    ) -> None:
        with pytest.raises(ModelError, match=told):
            check_trained(EngineConfig(model_uri="sample", adapter_uri="a"), model, trained(**changes), PROMPT_DIGEST)

    def test_a_warning_will_do_where_it_is_asked_for(self, model: CachedFolder, trained: Any) -> None:
        engine = EngineConfig(model_uri="sample", adapter_uri="a", adapter_check="warn")
        check_trained(engine, model, trained(prompt_digest="6" * 64), PROMPT_DIGEST)

    def test_the_plan_refuses_before_anything_is_started(
        self, trained: Any, sample_model: Path, tmp_path: Path
    ) -> None:
        from t2s.plan import make_plan
        from tests.small_dataset import write_dataset

        trained(base_model={"uri": "models/other", "digest": "c" * 64})
        dataset = write_dataset(tmp_path / "dataset")
        config = PredictConfig(
            dataset_uri=str(dataset),
            databases_uri=str(dataset.parent / "database"),
            run_uri=str(tmp_path / "run"),
            engine=EngineConfig(model_uri=str(sample_model), adapter_uri=str(tmp_path / "adapter")),
            cache_dir=str(tmp_path / "cache"),
        )
        with pytest.raises(ModelError, match="models/other"):
            make_plan(config)
