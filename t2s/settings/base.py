"""What every job's settings have: loaded from four places, all that is wrong told at once.

    python jobs/predict.py configs/predict_sample.yaml engine.kind=scripted limit=3

    key.path=value arguments  >  T2S_ variables (T2S_ENGINE__KIND=scripted)  >  the YAML file  >  defaults

Values of arguments and variables are YAML (`limit=null`, `engine.generation.stop=[";"]`). Unknown keys are refused; all
that is wrong is reported at once, a line each: key, value wanted, value found, where it was written. Relative paths are
relative to the working directory. Secrets are no settings: boto3 and Ray read theirs from the environment themselves;
no other module of ours does.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from t2s import layers as sources
from t2s import setting_keys
from t2s.dataset import default_databases_uri
from t2s.errors import SettingsError
from t2s.layers import KeyPath, Layer

PREFIX = "T2S_"

_SECRET_NAME = re.compile(r"(SECRET|TOKEN|PASSWORD|SECRET_ACCESS_KEY|SECRET_KEY|API_KEY)$")

_LAYERS: ContextVar[tuple[Layer, ...]] = ContextVar("layers", default=())


class JobSettings(BaseSettings):
    """What every job can be told.

    `load` reads argument, environment and file; building an object directly takes the given values alone.

    Attributes:
        run_uri: The run that the job belongs to; its manifest and status go there.
        log_level: Least severe level that is logged.
        image_digest: Digest of the container image, set in it as T2S_IMAGE_DIGEST; goes into the manifest.
        dry_run: Say what would happen and end; `--dry-run` sets it.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, case_sensitive=True, protected_namespaces=())

    job: ClassVar[str]
    blocks: ClassVar[Mapping[str, KeyPath]] = {}
    """Top-level blocks that are written short: `vllm:` stands for `engine.vllm`."""
    derived: ClassVar[Mapping[str, str]] = {}
    """Keys that `completed` fills in, and in words from what."""

    run_uri: str
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    image_digest: str | None = None
    dry_run: bool = False

    @classmethod
    def load(cls, argv: Sequence[str] | None = None) -> Self:
        """Load `[CONFIG.yaml] [key.path=value ...] [--dry-run]`; None: this process's own arguments.

        Raises:
            SettingsError: Lists everything that is wrong, a line each.
        """
        arguments = sources.split_arguments(sys.argv[1:] if argv is None else argv)
        problems = list(arguments.problems)
        overrides = sources.argument_layer(arguments.overrides)
        if "--dry-run" in arguments.flags:
            overrides.values["dry_run"] = True
            overrides.sources[("dry_run",)] = "argument --dry-run"
        found = [overrides, sources.environment_layer(cls._own_variables(os.environ))]
        if arguments.config is not None:
            found.append(sources.yaml_layer(Path(arguments.config)))
        for layer in found:
            problems += layer.problems
        for block, target in cls.blocks.items():
            found = [sources.moved(layer, block, target) for layer in found]
        token = _LAYERS.set(tuple(found))
        try:
            settings = cls()
        except ValidationError as error:
            file_unread = bool(found[-1].problems) and not found[-1].values
            for detail in error.errors():
                # What could not be read would be reported once more, as missing.
                written = any(detail["loc"] in layer.sources for layer in found)
                is_echo = written and detail["type"] == "missing"
                if not (is_echo or (file_unread and not written)):
                    problems.append(cls._line(detail, found, arguments.config))
        finally:
            _LAYERS.reset(token)
        if problems:
            head = "1 setting is" if len(problems) == 1 else f"{len(problems)} settings are"
            raise SettingsError(f"{head} wrong, nothing was started:\n" + "\n".join(f"  {line}" for line in problems))
        return settings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The order of precedence, highest first."""
        return (init_settings, *(_LayerSource(settings_cls, layer) for layer in _LAYERS.get()))

    @model_validator(mode="wrap")
    @classmethod
    def _all_errors_at_once(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        # Pydantic comes to what concerns several fields only once each of them is right; users get both at once.
        if isinstance(data, Mapping):
            data = cls.completed(cls._unfolded(data))
        across = list(cls.across_fields(data)) if isinstance(data, Mapping) else []
        try:
            result = handler(data)
        except ValidationError as error:
            across = [*(_again(detail) for detail in error.errors()), *across]
        if across:
            raise ValidationError.from_exception_data(cls.__name__, across)
        return result

    @classmethod
    def _unfolded(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        layer = Layer(dict(values), {}, [])
        for block, target in cls.blocks.items():
            layer = sources.moved(layer, block, target)
        return layer.values

    @classmethod
    def completed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values with the defaults that follow from other values."""
        return dict(values)

    @classmethod
    def across_fields(cls, values: Mapping[str, Any]) -> Iterator[InitErrorDetails]:
        """Errors that concern more than one field; `values` is not validated yet."""
        return iter(())

    def resolved(self) -> dict[str, Any]:
        """All values as JSON has them, as a user would write them; holds no secret. Goes into the manifest."""
        values = self.model_dump(mode="json")
        for block, target in self.blocks.items():
            parent = values
            for key in target[:-1]:
                parent = parent[key]
            values[block] = parent.pop(target[-1])
        return values

    @classmethod
    def help(cls) -> str:
        """The command line, and every key with its default."""
        defaults = {".".join(cls._shown(path)): default for path, default in setting_keys.defaults(cls)}
        keys = "\n".join(f"  {key} = {default}" for key, default in {**defaults, **cls.derived}.items())
        return (
            f"usage: python jobs/{cls.job}.py CONFIG.yaml [key.path=value ...] [--dry-run]\n"
            f"  e.g. python jobs/{cls.job}.py configs/{cls.job}_sample.yaml --dry-run\n\n"
            f"precedence: key.path=value > {PREFIX}KEY__PATH variables > CONFIG.yaml > defaults; values are YAML\n\n"
            f"{keys}"
        )

    @classmethod
    def knows(cls, path: KeyPath) -> bool:
        """Whether `path` is a setting or a block of this job."""
        if path[0] in cls.blocks:
            return True
        return setting_keys.knows(cls, path)

    @classmethod
    def _own_variables(cls, environment: Mapping[str, str]) -> dict[str, str]:
        # All jobs of a container share one environment: what only another job knows is none of this one's business.
        from t2s.settings import JOB_SETTINGS

        others = [other for other in JOB_SETTINGS.values() if other is not cls]
        return {
            name: value
            for name, value in environment.items()
            if name.startswith(PREFIX)
            and (cls.knows(path := sources.variable_path(name)) or not any(other.knows(path) for other in others))
        }

    @classmethod
    def _line(cls, detail: Any, layers: Sequence[Layer], config: str | None) -> str:
        path: KeyPath = tuple(str(part) for part in detail["loc"])
        shown = cls._shown(path)
        where = sources.source_of(layers, path)
        if detail["type"] == "missing":
            variable = PREFIX + "__".join(shown).upper()
            places = f"the argument {'.'.join(shown)}=… or the variable {variable}"
            return f"{'.'.join(shown)}: wanted a value, found none; set it in {config or 'a YAML file'}, by {places}"
        origin = f" ({where})" if where else ""
        if detail["type"] == "extra_forbidden":
            parent = setting_keys.model_at(cls, path[:-1])
            choices = [*(parent.model_fields if parent else ()), *(cls.blocks if len(path) == 1 else ())]
            near = sources.did_you_mean(path[-1], choices, lambda key: ".".join((*cls._shown(path[:-1]), key)))
            return f"{'.'.join(shown)}: wanted a known key, found an unknown one{origin}{near}"
        wanted = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        wanted = re.sub(r"a valid dictionary or instance of \w+", "a block of keys", wanted)
        return f"{'.'.join(shown)}: wanted {wanted}, found {detail['input']!r}{origin}"

    @classmethod
    def _shown(cls, path: KeyPath) -> KeyPath:
        for block, target in cls.blocks.items():
            if path[: len(target)] == target:
                return (block, *path[len(target) :])
        return path


def peek(config: str | None) -> dict[str, Any]:
    """What file and environment say, laid over each other and not validated: for looking around before a run."""
    layers = [sources.environment_layer({name: os.environ[name] for name in os.environ if name.startswith(PREFIX)})]
    if config is not None:
        layers.append(sources.yaml_layer(Path(config)))
    problems = [problem for layer in layers for problem in layer.problems]
    if problems:
        raise SettingsError("\n".join(problems))
    values: dict[str, Any] = {}
    for layer in reversed(layers):
        values = sources.merged(values, layer.values)
    return values


def secret_values() -> tuple[str, ...]:
    """Values in the environment that must not reach a log, longest first: keys, tokens, passwords, by variable name.

    Shorter ones than 6 characters are left out: they would blot out ordinary words.
    """
    values = {value for name, value in os.environ.items() if _SECRET_NAME.search(name.upper()) and len(value) >= 6}
    token = ray_token()
    if token:
        values.add(token)
    return tuple(sorted(values, key=len, reverse=True))


def ray_token() -> str | None:
    """The cluster's token: RAY_AUTH_TOKEN, or the content of the file that RAY_AUTH_TOKEN_PATH names."""
    token = os.environ.get("RAY_AUTH_TOKEN")
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if not token and path and Path(path).is_file():
        token = Path(path).read_text(encoding="utf-8").strip()
    return token or None


def variables_set(*names: str) -> dict[str, bool]:
    """Which of these environment variables have a value; never the values."""
    return {name: bool(os.environ.get(name)) for name in names}


class _LayerSource(PydanticBaseSettingsSource):
    """One layer as pydantic-settings wants it."""

    def __init__(self, settings_cls: type[BaseSettings], layer: Layer) -> None:
        super().__init__(settings_cls)
        self._layer = layer

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """One field's value; pydantic-settings demands the method but asks `__call__`."""
        return self._layer.values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._layer.values


def with_databases(values: Mapping[str, Any], dataset_key: str) -> dict[str, Any]:
    """Fill in `databases_uri`: `database/` beside the dataset that `dataset_key` names, unless it is given."""
    result = dict(values)
    if result.get("databases_uri") is None:
        # Where the dataset itself is missing or wrong, that is the error to report, and not what follows from it.
        result["databases_uri"] = default_databases_uri(str(result.get(dataset_key)))
    return result


def setting_error(path: KeyPath, wanted: str, found: Any) -> InitErrorDetails:
    """An error for `across_fields`: which setting, what was wanted, what was found."""
    return InitErrorDetails(type=PydanticCustomError("across_fields", wanted), loc=path, input=found)


def _again(detail: Any) -> InitErrorDetails:
    kind = detail["type"]
    if kind == "across_fields":
        kind = PydanticCustomError("across_fields", detail["msg"])
    return InitErrorDetails(type=kind, loc=detail["loc"], input=detail["input"], ctx=detail.get("ctx", {}))
