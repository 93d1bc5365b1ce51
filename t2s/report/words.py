"""The words of the report page in Chinese and English: `templates/words.json`, one line a word.

    "verdict.no_such_column": ["没有这个列", "no such column"],
    "count.turns": ["{n} 轮", "{n} turns"],

`{n}` is filled in, here for charts and on the page by templates/words.js.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Final, Literal, get_args

from t2s.verdict import Verdict

PageLanguage = Literal["zh", "en"]
PAGE_LANGUAGES: Final[tuple[PageLanguage, ...]] = get_args(PageLanguage)

Family = Literal["right", "other_result", "does_not_run", "stopped", "no_answer", "not_scored"]
FAMILIES: Final[dict[Family, tuple[Verdict, ...]]] = {
    "right": ("right",),
    "other_result": (
        "wrong_table",
        "wrong_column",
        "extra_or_missing_column",
        "wrong_join",
        "wrong_condition",
        "wrong_value",
        "wrong_aggregation",
        "wrong_order_or_limit",
        "wrong_distinct",
        "wrong_structure",
        "empty_result",
        "unexplained",
    ),
    "does_not_run": (
        "no_such_table",
        "no_such_column",
        "ambiguous_column",
        "syntax_error",
        "wrong_function",
        "other_error",
    ),
    "stopped": ("timeout", "refused", "too_large", "crashed"),
    "no_answer": ("no_sql", "engine_error", "missing"),
    "not_scored": ("gold_failed",),
}
"""Verdicts that the page shows together, each verdict in one."""


def template_text(name: str) -> str:
    """A file of templates/, as text."""
    return resources.files("t2s.report").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def page_words() -> dict[str, tuple[str, str]]:
    """Every word: key -> (Chinese, English)."""
    return {key: (chinese, english) for key, (chinese, english) in json.loads(template_text("words.json")).items()}


def say(language: PageLanguage, key: str, **values: object) -> str:
    """The word of a language, its `{name}`s filled in.

    Raises:
        KeyError: There is no such word, or it wants a value that is not given.
    """
    return page_words()[key][PAGE_LANGUAGES.index(language)].format(**values)
