"""A schema as CREATE TABLE statements: what a model has read most of, and SQLite itself takes.

    CREATE TABLE 城市 ( -- 全国的城市
    城市id TEXT PRIMARY KEY, -- 例: 'c1', 'c2'
    所属省id INTEGER REFERENCES 省份(省份id),
    "人口（万）" NUMERIC -- 年末数; 例: 2189.3, 1560
    );

Tokens are money. Of Llama 3's, a database of CHASE-C takes 445 with three sample values a column and 154 with none.
Indentation would cost 33 more, foreign keys in lines of their own 28, sample values in columns that refer to others 94.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from t2s.prompts.words import Words
from t2s.schema import Column, ForeignKey, Schema, Table, quote_identifier

# Longest comment that is shown; a licence text in a CREATE statement is no help to a model.
_MAX_COMMENT_CHARS = 200
_PLAIN_TYPE = re.compile(r"[^\W\d]\w*(?: \w+)*(?: ?\( ?[+-]?\d+ ?(?:, ?[+-]?\d+ ?)?\))?")
_WORD = re.compile(r"[^\W\d]\w*")


def render_schema(
    schema: Schema, words: Words, tables: Collection[str] | None, *, num_examples: int, example_max_chars: int
) -> str:
    """Write a schema, deterministic to the byte.

    Args:
        schema: The database.
        words: Gives the comments behind columns and tables.
        tables: Names of the tables to show, in the database's order; None for all. Foreign keys to others are left out.
        num_examples: Most sample values of a column.
        example_max_chars: Longest sample value; longer ones are cut and end in "…".
    """
    shown = {table.name for table in schema.tables} if tables is None else set(tables)
    return "\n".join(
        _table_text(table, words, shown, num_examples, example_max_chars)
        for table in schema.tables
        if table.name in shown
    )


def _table_text(table: Table, words: Words, shown: Collection[str], num_examples: int, example_max_chars: int) -> str:
    keyed = sorted((column for column in table.columns if column.primary_key), key=lambda column: column.primary_key)
    foreign_keys = [key for key in table.foreign_keys if key.other_table in shown]
    lines: list[tuple[str, str]] = []
    for column in table.columns:
        own_keys = [key for key in foreign_keys if key.columns == (column.name,)]
        parts = [quote_identifier(column.name), _type_text(column.type)]
        parts += ["PRIMARY KEY"] if keyed == [column] else []
        parts += [_references(key) for key in own_keys]
        # A foreign key's values are those of the column that it refers to.
        examples = [] if own_keys else _examples(column, num_examples, example_max_chars)
        note = words.note(_short(column.comment), examples, False)
        lines.append((" ".join(part for part in parts if part), note))
    if len(keyed) > 1:
        lines.append((f"PRIMARY KEY ({_names([column.name for column in keyed])})", ""))
    lines += [
        (f"FOREIGN KEY ({_names(key.columns)}) {_references(key)}", "") for key in foreign_keys if len(key.columns) > 1
    ]
    body = [
        line + ("," if number < len(lines) else "") + (f" -- {note}" if note else "")
        for number, (line, note) in enumerate(lines, start=1)
    ]
    note = words.note(_short(table.comment), [], table.kind == "view")
    head = f"CREATE TABLE {quote_identifier(table.name)} (" + (f" -- {note}" if note else "")
    return "\n".join([head, *body, ");"])


def _examples(column: Column, num_examples: int, max_chars: int) -> list[str]:
    """Sample values as SQL literals; values that are equal once they are cut stand once."""
    literals: dict[str, None] = {}
    for value in column.examples:
        if isinstance(value, str):
            text = _harmless(value if len(value) <= max_chars else value[:max_chars] + "…")
            literals.setdefault("'" + text.replace("'", "''") + "'")
        else:
            literals.setdefault(str(value))
    return list(literals)[:num_examples]


def _type_text(declared: str) -> str:
    """A declared type as it can stand in a CREATE statement; odd ones (`我的,类型`) in quotes."""
    words = _WORD.findall(declared)
    if not declared or (_PLAIN_TYPE.fullmatch(declared) and all(quote_identifier(word) == word for word in words)):
        return declared
    return '"' + declared.replace('"', '""') + '"'


def _references(key: ForeignKey) -> str:
    return f"REFERENCES {quote_identifier(key.other_table)}({_names(key.other_columns)})"


def _names(names: Sequence[str]) -> str:
    return ", ".join(quote_identifier(name) for name in names)


def _short(comment: str) -> str:
    return _harmless(comment if len(comment) <= _MAX_COMMENT_CHARS else comment[:_MAX_COMMENT_CHARS] + "…")


def _harmless(text: str) -> str:
    # `<|eot_id|>` in a database would end the system message: tokenizers take it for their own sign.
    return text.replace("<|", "< |")
