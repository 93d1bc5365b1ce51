"""Rules that hold for the code as a whole: each is a function over a source tree that lists what breaks it.

tests/test_architecture.py runs every rule on this repository and on snippets that break it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import NamedTuple

# Imports point from a later line to the same or an earlier one, never back. A new module needs a place here.
LAYERS = [
    {"errors", "process_env"},
    {"interaction", "schema", "prediction", "verdict", "manifest", "shard", "storage"},
    {"dataset", "prompt", "prompts", "sql", "engine", "metrics", "model_folder", "sample_model"},
    {"training", "report", "download", "prepare", "evaluate", "evaluate_config"}
    | {"predicted_turns", "execution", "text_scorer", "text_scores", "scores", "compare", "models"}
    | {"prepare_config", "plan_claim", "pipeline_config"}
    | {
        "predict",
        "predict_config",
        "plan",
        "plan_report",
        "usage",
        "meter",
        "engine_account",
        "gpu_plan",
        "ledger",
        "admission",
        "answering",
        "runner",
        "merge",
        "progress",
    },
    {
        "cluster",
        "settings",
        "train",
        "train_report",
        "setting_keys",
        "layers",
        "job",
        "environments",
        "run_record",
        "run_status",
        "cli",
    }
    | {"pipeline"}
    | {"doctor", "doctor_check", "doctor_ray", "models"},
]
# An engine sees messages and returns text: of its own layer and the records it knows nothing.
ENGINE_KNOWS = {"errors", "process_env", "engine"}
ENGINE_EXCEPTIONS = {("t2s/engine/scripted.py", "storage"): "its answers are a file that the user names by a URI"}

# Heavy packages and the only files of t2s/ and jobs/ that may import them, also inside a function.
ENGINES = ("t2s/engine/*_engine.py", "t2s/training/*")
OWNERS = {
    "vllm": ENGINES,
    "torch": ENGINES,
    "llamafactory": ("t2s/training/*",),
    "ray": ("t2s/cluster/*",),
    "modelscope": ("t2s/download/modelscope_origin.py",),
    "modelscope_hub": ("t2s/download/modelscope_origin.py",),
    "huggingface_hub": ("t2s/download/huggingface_origin.py",),
    "boto3": ("t2s/storage/s3.py", "t2s/storage/s3_client.py"),
    "botocore": ("t2s/storage/s3.py", "t2s/storage/s3_client.py"),
}

MAX_LINES, MAX_JOB_LINES = 400, 59
READS_ENVIRONMENT = {
    "t2s/settings/base.py",
    "t2s/settings/download.py",
    "t2s/process_env.py",
    "t2s/engine/lifeline.py",
}
PRINTS = {"t2s/cli.py", "t2s/job.py"}
# Where an exception of any kind ends: whoever adds a line says why it may.
CATCHES_ALL = {
    "t2s/job.py": "the one error line and the exit code",
    "t2s/answering.py": "one bad row must not cost the others",
    "t2s/storage/s3.py": "carried to the thread that waits for the upload",
    "t2s/engine/transformers_engine.py": "whether the device is still usable cannot be told: the engine is dead",
    "t2s/cluster/shard_pool.py": "carried to the thread that waits for it",
    "t2s/cluster/engine_actor.py": "carried to the driver, which raises it",
    "t2s/cluster/launch.py": "carried to the launcher, which raises it",
}

# The words of README's table that are not ours, and ours. Those with an honest second meaning (query, step, batch) are
# left to the reader.
WORDS = {
    "conversation": "interaction",
    "dialogue": "interaction",
    "dialog": "interaction",
    "session": "interaction",
    "round": "turn",
    "utterance": "question",
    "response": "completion",
    "ddl": "schema",
    "chunk": "shard",
    "stage": "job",
    "experiment": "run",
    "backend": "engine",
}
PHRASES = {
    r"database_id": "db_id",
    r"query_id": "question_id",
    r"teacher_forc": "history: gold",
    r"joint_accuracy": "interaction_match",
    r"(?<!execution_)accuracy": "execution_accuracy",
}
OTHER_MEANINGS = {
    ("t2s/download/huggingface_origin.py", "chunk"): "its client's own",
    ("t2s/storage/s3.py", "session"): "boto3's own",
    ("t2s/storage/s3_client.py", "session"): "botocore's own",
    ("t2s/storage/s3.py", "response"): "botocore's own",
    ("t2s/sql/worker_process.py", "chunk"): "bytes as a pipe gives them",
}


class Source(NamedTuple):
    """A module: its path from the root, its text and its tree."""

    path: str
    text: str
    tree: ast.Module

    def at(self, node: ast.AST, finding: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {finding}"


@cache
def sources(root: Path, *folders: str) -> list[Source]:
    found = []
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            found.append(Source(path.relative_to(root).as_posix(), text, ast.parse(text)))
    return found


def imports(source: Source) -> Iterator[tuple[ast.AST, str]]:
    """Every imported module's dotted name, also inside functions and by `import_module("…")`."""
    package = source.path.removesuffix(".py").removesuffix("/__init__").split("/")
    if not source.path.endswith("/__init__.py"):
        package.pop()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func)
            if called in ("importlib.import_module", "import_module", "__import__"):
                yield node, str(node.args[0].value)


def layer_of(part: str) -> int | None:
    return next((number for number, layer in enumerate(LAYERS) if part in layer), None)


def imports_that_point_outwards(root: Path) -> list[str]:
    wrong = []
    for source in sources(root, "t2s"):
        part = source.path.split("/")[1].removesuffix(".py")
        if part == "__init__":
            own = -1
        elif (found := layer_of(part)) is None:
            wrong.append(f"{source.path}: t2s.{part} has no place in LAYERS")
            continue
        else:
            own = found
        for node, module in imports(source):
            names = module.split(".")
            if names[0] != "t2s" or len(names) < 2:
                continue
            other = layer_of(names[1])
            if other is not None and other > own:
                wrong.append(source.at(node, f"layer {own} imports {module} of layer {other}"))
            known = names[1] in ENGINE_KNOWS or (source.path, names[1]) in ENGINE_EXCEPTIONS
            if part == "engine" and not known:
                wrong.append(source.at(node, f"an engine knows nothing of {module}"))
    return wrong


def imports_of_jobs(root: Path) -> list[str]:
    return [
        source.at(node, f"imports {module}: jobs are run, never imported")
        for source in sources(root, "t2s", "tests", "scripts")
        for node, module in imports(source)
        if module.split(".")[0] == "jobs"
    ]


def heavy_imports_outside_their_owners(root: Path) -> list[str]:
    return [
        source.at(node, f"imports {module}: only {' and '.join(OWNERS[package])} may")
        for source in sources(root, "t2s", "jobs")
        for node, module in imports(source)
        if (package := module.split(".")[0]) in OWNERS
        and not any(fnmatch(source.path, owner) for owner in OWNERS[package])
    ]


def files_too_long_or_without_a_subject(root: Path) -> list[str]:
    wrong = []
    for source in sources(root, "t2s", "jobs", "scripts", "tests"):
        lines, limit = source.text.count("\n"), MAX_JOB_LINES if source.path.startswith("jobs/") else MAX_LINES
        if lines > limit:
            wrong.append(f"{source.path}: {lines} lines, at most {limit}")
        if {"utils", "util", "helpers", "misc"} & set(source.path.removesuffix(".py").split("/")):
            wrong.append(f"{source.path}: a name that says nothing of what is in it")
    return wrong


def reads_of_the_environment(root: Path) -> list[str]:
    doors = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    wrong = []
    for source in sources(root, "t2s", "jobs"):
        if source.path in READS_ENVIRONMENT:
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and node.attr in doors and ast.unparse(node.value) == "os":
                wrong.append(source.at(node, f"os.{node.attr}: only {', '.join(sorted(READS_ENVIRONMENT))} may"))
            if isinstance(node, ast.ImportFrom) and node.module == "os" and doors & {a.name for a in node.names}:
                wrong.append(source.at(node, "takes the environment out of os"))
    return wrong


def prints_of_the_library(root: Path) -> list[str]:
    return [
        source.at(node, f"print: only {', '.join(sorted(PRINTS))} may; the library logs")
        for source in sources(root, "t2s")
        if source.path not in PRINTS
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def errors_swallowed(root: Path) -> list[str]:
    wrong = []
    for source in sources(root, "t2s", "jobs", "scripts"):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("contextlib.suppress", "suppress"):
                caught = {ast.unparse(argument) for argument in node.args}
            elif isinstance(node, ast.ExceptHandler) and not any(
                isinstance(inner, ast.Raise) for inner in ast.walk(node)
            ):
                caught = set(re.findall(r"\w+", ast.unparse(node.type))) if node.type else {"BaseException"}
            else:
                continue
            if caught & {"Exception", "BaseException"} and source.path not in CATCHES_ALL:
                wrong.append(source.at(node, "an exception of any kind ends here; CATCHES_ALL says where that may be"))
    return wrong


def mocks(root: Path) -> list[str]:
    wrong = []
    for source in sources(root, "tests"):
        wrong += [source.at(node, f"imports {m}") for node, m in imports(source) if re.match(r"(unittest\.)?mock\b", m)]
        wrong += [
            source.at(node, "monkeypatch.setattr: tests use real parts")
            for node in ast.walk(source.tree)
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "monkeypatch.setattr"
        ]
    return wrong


def defined_names(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node, node.name
        elif isinstance(node, ast.arg):
            yield node, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node, node.attr


def words_not_ours(root: Path) -> list[str]:
    wrong = []
    for source in sources(root, "t2s", "jobs", "scripts"):
        if source.path.startswith("scripts/sample/"):  # sixteen fields of life, with words of their own
            continue
        stem = source.path.split("/")[-1].removesuffix(".py")
        for node, name in [(source.tree, stem), *defined_names(source.tree)]:
            snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
            found = {w: WORDS[w] for part in snake.split("_") if (w := part.removesuffix("s")) in WORDS}
            found |= {match[0]: ours for phrase, ours in PHRASES.items() if (match := re.search(phrase, snake))}
            wrong += [
                source.at(node, f"{name}: we say {ours}, not {word}")
                for word, ours in found.items()
                if (source.path, word) not in OTHER_MEANINGS
            ]
    return wrong
