"""The pages and the code say the same: files, commands, settings, words; and README says it in both languages."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from t2s.cli import app
from t2s.settings import JOB_SETTINGS, JobSettings
from tests.architecture import WORDS
from tests.pages import Page

ROOT = Path(__file__).resolve().parents[1]
ENGLISH = Page.read(ROOT / "README.md")
CHINESE = Page.read(ROOT / "README.zh-CN.md")
CONTRIBUTING = Page.read(ROOT / "CONTRIBUTING.md")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
PAGES = pytest.mark.parametrize("page", [ENGLISH, CHINESE, CONTRIBUTING], ids=lambda page: page.name)
READMES = pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=lambda page: page.name)


def tracked_files() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: nothing says which files are tracked")
    listed = subprocess.run(
        ["git", "-c", "core.quotePath=false", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    return [name for name in listed.stdout.decode().split("\0") if name]


def uncovered(tree: Iterable[str], files: Iterable[str]) -> list[str]:
    """Files that no line of the tree names; a folder without lines of its own stands for all in it."""
    lines = set(tree)
    whole = {
        line for line in lines if line.endswith("/") and not any(other.startswith(line) for other in lines - {line})
    }
    return [file for file in files if file not in lines and not any(file.startswith(folder) for folder in whole)]


def tree_problems(page: Page, files: list[str]) -> list[str]:
    tree = page.tree()
    problems = [f"{page.name}: the tree lacks {file}" for file in uncovered(tree, files)]
    for line, comment in tree.items():
        exists = any(file.startswith(line) for file in files) if line.endswith("/") else line in files
        if not exists:
            problems.append(f"{page.name}: the tree has {line}, which is no tracked file")
        if not comment:
            problems.append(f"{page.name}: the tree says nothing about {line}")
    return problems


@READMES
def test_the_tree_has_every_tracked_file_and_nothing_else(page: Page) -> None:
    assert tree_problems(page, tracked_files()) == []


def test_a_file_missing_from_the_tree_and_a_line_without_a_file_are_found() -> None:
    files = tracked_files()
    dropped = next(line for line in ENGLISH.tree() if line.startswith("t2s/") and line.endswith(".py"))
    assert set(uncovered(set(ENGLISH.tree()) - {dropped}, files)) - set(uncovered(ENGLISH.tree(), files)) == {dropped}
    assert any(dropped in problem for problem in tree_problems(ENGLISH, [f for f in files if f != dropped]))


def command_problem(command: str) -> str | None:
    """What is wrong with a command line of ours; None for a good one and for what is not ours."""
    words = command.split()
    if not words:
        return None
    if words[0] == "make":
        targets = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
        unknown = [target for target in targets if target not in TARGETS]
        return f"no target {unknown[0]} in the Makefile" if unknown else None
    if words[0] in ("t2s", ".venvs/core/bin/t2s") and len(words) > 1:
        commands = typer.main.get_command(app)
        assert isinstance(commands, TyperGroup)
        command_names = [w for w in words[1:2] if re.fullmatch(r"[a-z]+", w)]
        if not command_names:
            return None
        found = commands.commands.get(command_names[0])
        if found is None:
            return f"t2s has no command {words[1]}"
        options = {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)}
        unknown = [word for word in words[2:] if word.startswith("-") and word != "--" and word not in options]
        if unknown:
            return f"t2s {words[1]} has no option {unknown[0]}"
        if words[1] in ("run", "plan", "submit") and len(words) > 2 and words[2] not in (*JOB_SETTINGS, "JOB"):
            return f"no job {words[2]}"
    for word in words:
        if (
            not re.search("NAME|JOB", word)
            and re.fullmatch(r"(jobs|configs|scripts|t2s|tests)/[\w/.-]+\.\w+", word)
            and not (ROOT / word).exists()
        ):
            return f"no file {word}"
    return None


@PAGES
def test_every_command_of_the_page_exists(page: Page) -> None:
    commands = list(page.commands())
    assert sum(command.startswith("make ") for command in commands) > 1, "the search finds commands"
    assert [f"{command}: {problem}" for command in commands if (problem := command_problem(command))] == []


@pytest.mark.parametrize(
    "command",
    [
        "make no-such-target",
        "t2s predict configs/predict_sample.yaml",
        "t2s status runs/mine --no-such-option",
        "t2s run prediction configs/predict_sample.yaml",
        "t2s run predict configs/no_such_file.yaml",
        "python jobs/no_such_job.py",
    ],
)
def test_a_command_that_does_not_exist_is_found(command: str) -> None:
    assert command_problem(command)


@READMES
def test_every_target_job_config_and_command_is_on_the_page(page: Page) -> None:
    commands = typer.main.get_command(app)
    assert isinstance(commands, TyperGroup)
    configs = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "configs").rglob("*.yaml"))]
    jobs = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "jobs").glob("*.py"))]
    assert configs and jobs and len(TARGETS) > 8, "the search finds them"
    wanted = [
        *(f"make {target}" for target in TARGETS - {"help"}),
        *configs,
        *jobs,
        *(f"t2s {c}" for c in commands.commands),
    ]
    outside_tree = page.text.split("<!-- tree -->")[0]
    assert [thing for thing in wanted if not re.search(rf"{re.escape(thing)}(?![\w-])", outside_tree)] == []


def shown_defaults(settings: type[JobSettings]) -> dict[str, str | None]:
    """Key as users write it -> default as YAML has it, None for a value without a fixed one."""
    lines = re.findall(r"^  ([\w.]+) = (.+)$", settings.help(), re.MULTILINE)
    assert len(lines) > 5, "the search finds the settings"
    return {key: None if default.startswith("(") else default.strip('"') for key, default in lines}


@pytest.mark.parametrize("job", JOB_SETTINGS)
@READMES
def test_every_setting_is_on_the_page_with_its_default(page: Page, job: str) -> None:
    (table,) = page.section(job).tables()
    (common,) = page.section("every job" if page is ENGLISH else "所有作业").tables()
    rows = {key.strip("`"): default for key, default, _ in [*table[1:], *common[1:]]}
    wanted = shown_defaults(JOB_SETTINGS[job])
    problems = [f"{page.name} lacks {key}, default {default}" for key, default in wanted.items() if key not in rows]
    problems += [f"{page.name} has {key}, which {job} does not know" for key in rows if key not in wanted]
    problems += [
        f"{page.name} says {rows[key]} for {key}, whose default is {default}"
        for key, default in wanted.items()
        if key in rows and default is not None and rows[key] != f"`{default}`"
    ]
    assert problems == []
    assert {row[0].strip("`") for row in common[1:]} <= set(JobSettings.model_fields)


def test_the_ci_script_calls_the_test_command_of_the_page() -> None:
    assert any(block.text.strip() == "make test" for block in ENGLISH.blocks)
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_words_that_the_architecture_test_forbids_are_those_of_the_page() -> None:
    (table,) = ENGLISH.section("Words").tables()
    forbidden = {word for row in table[1:] for word in re.findall(r"\w+", row[2])}
    assert WORDS.keys() - {"dialog"} <= forbidden


def without_words(block_text: str, language: str) -> str:
    """A block without what is translated: comments."""
    return re.sub(r"\s*# .*", "", block_text) if language == "bash" else block_text


def test_both_languages_have_the_same_structure() -> None:
    assert [level for level, _ in CHINESE.headings()] == [level for level, _ in ENGLISH.headings()]
    assert list(CHINESE.tree()) == list(ENGLISH.tree())
    for english, chinese in zip(ENGLISH.tables(), CHINESE.tables(), strict=True):
        assert [len(row) for row in chinese] == [len(row) for row in english], english[0]
        for ours, theirs in zip(english[1:], chinese[1:], strict=True):
            if ours[0].startswith("`"):
                assert re.findall("`[^`]+`", theirs[0]) == re.findall("`[^`]+`", ours[0])
    assert re.findall("<!--.*?-->", CHINESE.text) == re.findall("<!--.*?-->", ENGLISH.text)


def test_both_languages_have_the_same_code_blocks() -> None:
    tree = "configs/"
    pairs = list(zip(ENGLISH.blocks, CHINESE.blocks, strict=True))
    assert len(pairs) > 5
    for english, chinese in pairs:
        assert chinese.language == english.language
        if f"\n{tree}" not in english.text:
            assert without_words(chinese.text, chinese.language) == without_words(english.text, english.language)


@PAGES
def test_every_link_of_the_page_leads_to_a_file(page: Page) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.prose)
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_every_direct_dependency_has_its_reason_in_contributing() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
    groups += project["dependency-groups"].values()
    direct = {re.split(r"[\[=<>~! ]", line)[0] for group in groups for line in group if isinstance(line, str)}
    (table,) = CONTRIBUTING.section("Dependencies").tables()
    explained = {name.strip() for row in table[1:] for name in re.sub(r"\[.*?\]", "", row[0]).split(",")}
    assert len(direct) > 15 and sorted(direct - explained) == []
