"""Where settings come from: a YAML file, `T2S_` variables and `key.path=value` arguments, each one `Layer`.

    configs/x.yaml   engine:                 T2S_ENGINE__KIND=scripted       engine.generation.max_tokens=64
                       kind: vllm

become nested values, {"engine": {"kind": "vllm"}}, and beside them where each value stands, {("engine", "kind"):
"configs/x.yaml:2"}, so that an error can name file and line, variable or argument. What cannot be read becomes a
problem line here and is reported together with everything else that is wrong.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

KeyPath = tuple[str, ...]

_ARGUMENT = re.compile(r"([A-Za-z_][\w-]*(?:\.[\w-]+)*)=(.*)", re.DOTALL)


class Layer(NamedTuple):
    """The values of one source.

    Attributes:
        values: Nested as the settings class is.
        sources: Key path -> where it was written, for every block and every value.
        problems: Finished lines about what could not be read at all.
    """

    values: dict[str, Any]
    sources: dict[KeyPath, str]
    problems: list[str]


class YamlLoader(yaml.SafeLoader):
    """YAML as users mean it: `1e-5` is a number, and `2026-11-05` is text (no setting is a date)."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own name and form
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


YamlLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d[\d_]*(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def parse_value(text: str) -> Any:
    """Parse the text of one argument or variable as YAML; raises `yaml.YAMLError`. Empty text is null."""
    return yaml.load(text, Loader=YamlLoader)


def yaml_layer(path: Path) -> Layer:
    """Read a settings file; each problem in it becomes a line with the place."""
    layer = Layer({}, {}, [])
    try:
        text = path.read_bytes().decode("utf-8-sig")
        node = yaml.compose(text, Loader=YamlLoader)
        values = yaml.load(text, Loader=YamlLoader)
    except FileNotFoundError:
        layer.problems.append(f"{path}: wanted a settings file, found none{_similar_files(path)}")
        return layer
    except OSError as error:
        layer.problems.append(f"{path}: wanted a settings file, found that it cannot be read: {error.strerror}")
        return layer
    except UnicodeDecodeError as error:
        layer.problems.append(f"{path}: wanted UTF-8, found byte 0x{error.object[error.start]:02x} at {error.start}")
        return layer
    except yaml.YAMLError as error:
        layer.problems.append(f"{path}{_place(error)}: wanted YAML, found: {_reason(error)}")
        return layer
    if values is None:
        return layer
    if not isinstance(values, dict):
        layer.problems.append(f"{path}: wanted `key: value` lines, found {values!r}")
        return layer
    layer.values.update(values)
    _note_places(node, (), path, layer)
    return layer


def environment_layer(variables: Mapping[str, str]) -> Layer:
    """Turn `T2S_ENGINE__KIND=vllm` into {"engine": {"kind": "vllm"}}; `variables` holds the `T2S_` ones alone."""
    layer = Layer({}, {}, [])
    # Sorted, so that T2S_ENGINE (a whole block) comes before T2S_ENGINE__KIND, which changes one value of it.
    for name in sorted(variables):
        _put(layer, variable_path(name), variables[name], f"variable {name}")
    return layer


def variable_path(name: str) -> KeyPath:
    """`T2S_ENGINE__KIND` -> ("engine", "kind")."""
    return tuple(name.removeprefix("T2S_").lower().split("__"))


def argument_layer(arguments: Iterable[str]) -> Layer:
    """Turn `engine.kind=vllm` into {"engine": {"kind": "vllm"}}; the last one of a key wins."""
    layer = Layer({}, {}, [])
    for argument in arguments:
        match = _ARGUMENT.fullmatch(argument)
        assert match, "split_arguments lets only key=value through"
        _put(layer, tuple(match[1].split(".")), match[2], f"argument {argument}")
    return layer


class Arguments(NamedTuple):
    """A job's command line: the settings file, `key.path=value` words, flags, and what is none of these."""

    config: str | None
    overrides: tuple[str, ...]
    flags: frozenset[str]
    problems: tuple[str, ...]


def split_arguments(argv: Sequence[str]) -> Arguments:
    """Sort the words of `CONFIG.yaml [key.path=value ...] [--dry-run] [--help]`, in any order."""
    configs = [word for word in argv if not word.startswith("-") and not _ARGUMENT.fullmatch(word)]
    flags = {"--help" if word == "-h" else word for word in argv if word.startswith("-")}
    problems = [
        f"{flag}: wanted --dry-run or --help, found another flag" for flag in sorted(flags - {"--dry-run", "--help"})
    ]
    if len(configs) > 1:
        problems.append(f"wanted one settings file and key=value arguments, found {len(configs)}: {' '.join(configs)}")
    overrides = tuple(word for word in argv if not word.startswith("-") and _ARGUMENT.fullmatch(word))
    return Arguments(configs[0] if configs else None, overrides, frozenset(flags), tuple(problems))


def moved(layer: Layer, block: str, target: KeyPath) -> Layer:
    """The same layer with the top-level `block` merged into the block at `target`, sources included."""
    if block not in layer.values or not isinstance(layer.values.get(target[0], {}), dict):
        return layer  # what stands at the target is wrong itself, and reported
    values = dict(layer.values)
    content = values.pop(block)
    sources = {target + path[1:] if path[0] == block else path: where for path, where in layer.sources.items()}
    return Layer(merged(values, nested(target, {} if content is None else content)), sources, layer.problems)


def nested(path: KeyPath, value: Any) -> dict[str, Any]:
    """{"a": {"b": value}} for ("a", "b")."""
    for key in reversed(path):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """`low` with `high` laid over it, block by block."""
    result = dict(low)
    for key, value in high.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def source_of(layers: Sequence[Layer], path: KeyPath) -> str | None:
    """Where the value at `path` was written; the layers stand highest first. None: nowhere."""
    for layer in layers:
        value: Any = layer.values
        for key in path:
            value = value.get(key, _ABSENT) if isinstance(value, dict) else _ABSENT
        if value is not _ABSENT:
            # A value inside a flow list or an alias has no place of its own: its block's will do.
            known = (layer.sources.get(path[:length]) for length in range(len(path), 0, -1))
            return next((place for place in known if place), None)
    return None


def did_you_mean(word: str, choices: Iterable[str], form: Callable[[str], str] = str) -> str:
    """`; did you mean engine?`, or "" where nothing is near."""
    near = difflib.get_close_matches(word, list(choices), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(form(match) for match in near)}?" if near else ""


_ABSENT = object()


def _put(layer: Layer, path: KeyPath, text: str, source: str) -> None:
    layer.sources[path] = source
    try:
        value = parse_value(text)
    except yaml.YAMLError as error:
        layer.problems.append(
            f"{'.'.join(path)}: wanted a YAML value, found {text!r} ({source}): {_reason(error)}; quote it"
        )
        return
    block = layer.values
    for length, key in enumerate(path[:-1], start=1):
        below = block.get(key)
        if not isinstance(below, dict):
            below = block[key] = {}
        block = below
        layer.sources[path[:length]] = source
    block[path[-1]] = value


def _note_places(node: yaml.Node | None, path: KeyPath, file: Path, layer: Layer) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for key_node, value_node in node.value:
        key = (*path, str(key_node.value))
        place = f"{file}:{key_node.start_mark.line + 1}"
        if key in layer.sources:
            layer.problems.append(f"{'.'.join(key)}: wanted once, found twice ({layer.sources[key]} and {place})")
        layer.sources[key] = place
        _note_places(value_node, key, file, layer)


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f":{mark.line + 1}:{mark.column + 1}" if mark else ""


def _reason(error: yaml.YAMLError) -> str:
    return str(getattr(error, "problem", None) or error).splitlines()[0]


def _similar_files(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (there is no folder {path.parent})"
    near = did_you_mean(
        path.name, (file.name for file in path.parent.glob("*.y*ml")), lambda name: str(path.parent / name)
    )
    return near
