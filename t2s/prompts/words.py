r"""The words of the prompt: Jinja macros, ours or the user's own.

    words = load_words("zh", None)
    words.system("CREATE TABLE 城市 (…);")     # "CREATE TABLE 城市 (…);\n\n以上是一个 SQLite 数据库的全部可用表…"

`zh.jinja` tells what each macro is for. A macro that the user's file does not define is taken from ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, Literal, NamedTuple

from t2s.dataset.location import split_uri
from t2s.errors import SettingsError
from t2s.storage import open_store

Language = Literal["zh", "en"]

MACROS = ("system", "user", "no_sql", "note")


class TemplateSource(NamedTuple):
    """A template's text and what to call it in messages."""

    name: str
    text: str


class Words:
    """Texts of the prompt, rendered by macros; leading and trailing blanks of what they give are cut.

    Args:
        sources: Templates, most important first; each macro comes from the first that defines it.

    Attributes:
        sources: Those of which a macro is used.
    """

    def __init__(self, sources: Sequence[TemplateSource]) -> None:
        self._macros: dict[str, Callable[..., str]] = {}
        self._names: dict[str, str] = {}
        self.sources: list[TemplateSource] = []
        for source in sources:
            module = _load(source)
            found = [name for name in MACROS if name not in self._macros and callable(getattr(module, name, None))]
            if not found and not self.sources:
                raise SettingsError(
                    f"{source.name}: wanted a template that defines at least one of the macros {', '.join(MACROS)}, "
                    "found none of them"
                )
            for name in found:
                self._macros[name] = getattr(module, name)
                self._names[name] = source.name
            if found:
                self.sources.append(source)

    def system(self, schema_text: str) -> str:
        """The system message for a schema."""
        return self._call("system", schema_text)

    def user(self, question: str) -> str:
        """A question as a user message."""
        return self._call("user", question)

    def no_sql(self) -> str:
        """What stands as the answer of a turn without SQL."""
        return self._call("no_sql")

    def note(self, comment: str, examples: Sequence[str], is_view: bool) -> str:
        """The SQL comment behind a column, table or view, on one line; "" for none."""
        return " ".join(self._call("note", comment, list(examples), is_view).splitlines())

    def source_of(self, macro: str) -> str:
        """Name of the template that a macro comes from."""
        return self._names[macro]

    def _call(self, macro: str, *arguments: object) -> str:
        return str(_guarded(self._names[macro], lambda: self._macros[macro](*arguments))).strip()


def load_words(language: Language, template_uri: str | None) -> Words:
    """Load the words of a language.

    Args:
        language: Which of ours.
        template_uri: The user's own: a `.jinja` file, or a folder that holds `<language>.jinja`; null for ours alone.

    Raises:
        SettingsError: No such template, or it is not right; names file and line.
        StorageError: The store failed or refused.
    """
    name = f"{language}.jinja"
    ours = TemplateSource(name, resources.files("t2s.prompts").joinpath(name).read_text(encoding="utf-8"))
    if template_uri is None:
        return Words([ours])
    folder, key = split_uri(template_uri)
    if not key.endswith(".jinja"):
        folder, key = template_uri.rstrip("/"), name
    store = open_store(folder)
    uri = f"{folder}/{key}"
    if not store.exists(key):
        raise SettingsError(f"prompt.template_uri: wanted a .jinja file or a folder with {name}, found no {uri}")
    try:
        text = store.read(key).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{uri}: wanted UTF-8, found the byte 0x{error.object[error.start]:02x} at offset {error.start}"
        ) from error
    return Words([TemplateSource(uri, text), ours])


def _load(source: TemplateSource) -> object:
    from jinja2 import FunctionLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        loader=FunctionLoader(lambda name: (source.text, source.name, None)),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Equal inputs must give equal prompts.
    environment.filters.pop("random")
    environment.globals.pop("lipsum")
    return _guarded(source.name, lambda: environment.get_template(source.name).module)


def _guarded(name: str, render: Callable[[], Any]) -> Any:
    """Run a template's code; whatever it raises becomes a `SettingsError` with the template's name and line."""
    from jinja2 import TemplateError, TemplateSyntaxError

    try:
        return render()
    except TemplateSyntaxError as error:
        raise SettingsError(f"{name}, line {error.lineno}: {error.message}") from error
    except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
        line = _line_of(error)
        raise SettingsError(f"{name}{'' if line is None else f', line {line}'}: {error}") from error


def _line_of(error: BaseException) -> int | None:
    """The line of the template in which an error happened; None if it happened before any (a macro's arguments)."""
    line = None
    trace = error.__traceback__
    while trace is not None:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            line = template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line
