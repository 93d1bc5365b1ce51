"""A page as one file: its parts put together so that nothing in it can run but what we wrote.

Everything shown comes from a model, a database or a user, so none of it is ever markup: templates escape, JSON stands
in elements that no browser runs, each `<` of it as an escape, the page's script only sets texts, and a
Content-Security-Policy lets nothing run or load but the scripts and the style whose digests it lists; Trusted Types
refuse HTML made from text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from t2s.report.words import page_words, say, template_text

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

_SURROGATE = re.compile("[\ud800-\udfff]")


def render(template: str, styles: Sequence[str], scripts: Sequence[str], content: Mapping[str, Any]) -> str:
    """A page from a template over layout.jinja.

    Args:
        template: Its name in templates/.
        styles: Files of templates/, put together in this order.
        scripts: The same.
        content: What the template names; `page_data` becomes JSON elements with these keys as ids, `vega`, where it is
            there, a script that the page runs when it draws its first chart.
    """
    from markupsafe import Markup

    style = "\n".join(template_text(name) for name in styles)
    start = template_text("start.js")
    script = "(() => {\n'use strict';\n" + "\n".join(template_text(name) for name in scripts) + "\n})();"
    vega = content.get("vega", "")
    page = (
        _environment()
        .get_template(template)
        .render(
            **{key: value for key, value in content.items() if key not in ("page_data", "vega")},
            csp=_policy([start, script, *([vega] if vega else [])], style),
            style=Markup(style),
            start=Markup(start),
            script=Markup(script),
            vega=Markup(vega),
            page_data={key: Markup(_json(value)) for key, value in content["page_data"].items()},
        )
    )
    # A file name or a value of SQLite may hold half a character pair, which UTF-8 cannot write.
    return _SURROGATE.sub("\ufffd", page)


def filter_link(**filters: str) -> str:
    """The part of the page's address that shows the turns that fit: `#verdict=no_sql&db=%E8%B4%AD…`."""
    return "#" + "&".join(
        f"{key}={quote(_SURROGATE.sub(chr(0xFFFD), value), safe=':')}" for key, value in filters.items()
    )


def _policy(scripts: Sequence[str], style: str) -> str:
    hashes = " ".join(_digest(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src {_digest(style)}; img-src data:; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types default"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(template_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(word=_word, named=_named, known=page_words().__contains__, link=filter_link)
    environment.filters.update(percent=_percent, number=_number)
    return environment


def _word(key: str, **values: object) -> Markup:
    """A word that the page's script can say in the other language."""
    from markupsafe import Markup

    given = {name: str(value) for name, value in values.items()}
    kept = Markup(' data-values="{}"').format(json.dumps(given, ensure_ascii=False)) if given else Markup()
    return Markup('<span data-w="{}"{}>{}</span>').format(key, kept, say("zh", key, **given))


def _named(**attributes: str) -> Markup:
    """Attributes that are words: `named(title="…", aria_label="…")`, with keys of words.json."""
    from markupsafe import Markup

    pairs = [(name.replace("_", "-"), key) for name, key in attributes.items()]
    shown = Markup(" ").join(Markup('{}="{}"').format(Markup(name), say("zh", key)) for name, key in pairs)
    return shown + Markup(' data-wa="{}"').format(" ".join(f"{name}:{key}" for name, key in pairs))


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value * 100:.{digits}f}"


def _number(value: float) -> str:
    return f"{value:,}"
