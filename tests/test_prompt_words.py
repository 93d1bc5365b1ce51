from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError

from t2s.errors import SettingsError
from t2s.prompt import Exchange, PromptConfig, PromptTemplate
from tests.test_prompt import CITIES, CITIES_TEXT


def own(folder: Path, text: str, name: str = "mine.jinja") -> PromptConfig:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return PromptConfig(template_uri=str(path))


def test_users_can_put_their_own_words_in_place_of_some_of_ours(tmp_path: Path) -> None:
    config = own(
        tmp_path,
        "{% macro system(schema) %}{{ schema }}\n只写 SQL。{% endmacro %}\n{% macro no_sql() %}无{% endmacro %}",
    )
    template = PromptTemplate(config)
    assert template.system("CREATE TABLE t (a);") == "CREATE TABLE t (a);\n只写 SQL。"
    messages = template.messages("s", [Exchange("一", "")], "二")
    assert [message["content"] for message in messages] == ["s", "一", "无", "二"]
    assert template.schema_text(CITIES) == CITIES_TEXT, "note is still ours"


def test_users_can_word_the_comments_of_columns_and_a_line_break_in_them_does_no_harm(tmp_path: Path) -> None:
    config = own(
        tmp_path,
        "{% macro note(comment, examples, is_view) %}\n{{ comment }}\n{{ examples | length }} 个{% endmacro %}",
    )
    text = PromptTemplate(config).schema_text(CITIES)
    assert "名称 TEXT, -- 全称 2 个\n" in text
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(text)


def test_a_folder_of_templates_is_asked_for_the_language(tmp_path: Path) -> None:
    own(tmp_path, "{% macro user(question) %}问：{{ question }}{% endmacro %}", "zh.jinja")
    template = PromptTemplate(PromptConfig(template_uri=f"{tmp_path}/"))
    assert template.messages("s", [], "一")[-1]["content"] == "问：一"
    with pytest.raises(SettingsError, match=r"found no .*en\.jinja"):
        PromptTemplate(PromptConfig(template_uri=str(tmp_path), language="en"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{# 一 #}\n{% macro system(schema_text) %}\n{{ schema_text \n{% endmacro %}", r"mine\.jinja, line \d: "),
        ("\n\n{% macro system(schema_text) %}{{ schema_text }}", r"mine\.jinja, line 3: Unexpected end of template"),
        (
            "{% macro system(s) %}\n{{ s }}\n{{ schema_txt }}\n{% endmacro %}",
            r"mine\.jinja, line 3: 'schema_txt' is undefined",
        ),
        ("{% macro system(s) %}\n{{ s + 1 }}{% endmacro %}", r"mine\.jinja, line 2: .*str"),
        ("{% macro system() %}x{% endmacro %}", r"mine\.jinja: .*takes not more than 0 argument"),
        ("{% macro system(s) %}只写 SQL。{% endmacro %}", r"mine\.jinja: wanted a macro system whose text holds all"),
        ("{% macro user(q) %}{{ q[:2] }}{% endmacro %}", r"mine\.jinja: wanted a macro user whose text holds all"),
        (
            "{{ 1 }}",
            r"mine\.jinja: wanted a template that defines at least one of the macros system, user, no_sql, note",
        ),
        (
            "{% macro user(q) %}{{ q }}{{ [1, 2] | random }}{% endmacro %}",
            r"mine\.jinja, line 1: No filter named 'random'",
        ),
        ("{% macro user(q) %}{{ q.__class__.__mro__ }}{{ q }}{% endmacro %}", r"mine\.jinja, line 1: .*unsafe"),
    ],
)
def test_a_template_that_is_not_right_is_refused_with_file_and_line(tmp_path: Path, text: str, wanted: str) -> None:
    with pytest.raises(SettingsError, match=wanted) as caught:
        PromptTemplate(own(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_template_that_is_absent_or_not_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"prompt\.template_uri: .*found no .*absent\.jinja"):
        PromptTemplate(PromptConfig(template_uri=str(tmp_path / "absent.jinja")))
    (tmp_path / "gbk.jinja").write_bytes("{# 中文 #}".encode("gbk"))
    with pytest.raises(SettingsError, match=r"gbk\.jinja: wanted UTF-8, found the byte 0xd6 at offset 3"):
        PromptTemplate(PromptConfig(template_uri=str(tmp_path / "gbk.jinja")))


def test_the_digest_changes_with_words_and_options_and_not_with_the_place(tmp_path: Path) -> None:
    text = "{% macro no_sql() %}无{% endmacro %}"
    configs = [
        PromptConfig(),
        PromptConfig(language="en"),
        PromptConfig(examples_per_column=2),
        PromptConfig(example_max_chars=41),
        own(tmp_path, text),
        own(tmp_path, text + " ", "other.jinja"),
    ]
    digests = [PromptTemplate(config).digest for config in configs]
    assert len(set(digests)) == len(digests)
    assert all(len(digest) == 64 for digest in digests)
    assert PromptTemplate(own(tmp_path, text, "moved.jinja")).digest == digests[4]


@pytest.mark.parametrize(
    "values",
    [{"language": "fr"}, {"examples_per_column": -1}, {"example_max_chars": 0}, {"example_max_chars": 201}, {"x": 1}],
)
def test_options_out_of_range_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PromptConfig.model_validate(values)
