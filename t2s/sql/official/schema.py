"""A database as official exact set match sees it: tables, columns, and which columns foreign keys make one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from t2s.schema import Schema
from t2s.sql.official.query import Column


@dataclass(frozen=True, eq=False)
class OfficialSchema:
    """Made once per database; can be pickled. Names are in lower case.

    Attributes:
        tables: Table -> column name -> column; no views, which the official program does not see.
        representatives: Column -> the one that stands for all that foreign keys tie it to; others have none.
        quotes_any_name: Whether the database has a name beyond ASCII. SQL that quotes names is to be expected then, and
            all its quoted names are read as such; elsewhere those alone that SQL cannot take bare.
    """

    tables: Mapping[str, Mapping[str, Column]]
    representatives: Mapping[Column, Column]
    quotes_any_name: bool

    @classmethod
    def from_schema(cls, schema: Schema) -> OfficialSchema:
        """Take what counts from a database's description.

        Foreign keys come from the official program's tables.json there, from the database itself here.
        """
        tables = {
            table.name.lower(): {
                column.name.lower(): Column(table.name.lower(), column.name.lower()) for column in table.columns
            }
            for table in schema.tables
            if table.kind == "table"
        }
        keys = (
            (Column(table.name.lower(), own.lower()), Column(key.other_table.lower(), other.lower()))
            for table in schema.tables
            for key in table.foreign_keys
            for own, other in zip(key.columns, key.other_columns, strict=True)
        )
        columns = [column for names in tables.values() for column in names.values()]
        return cls(
            tables=tables,
            representatives=_representatives(keys, columns),
            quotes_any_name=not all(name.isascii() for name in [*tables, *(column.name for column in columns)]),
        )


def _representatives(keys: Iterable[tuple[Column, Column]], columns: list[Column]) -> dict[Column, Column]:
    """Gather columns tied by foreign keys, and let the first of the database's columns stand for each group.

    `build_foreign_key_map` in taoyds/test-suite-sql-eval evaluation.py@893d0df, with its quirk: a key joins the first
    group that has one of its two columns, and groups that it thereby connects stay two.
    """
    groups: list[set[Column]] = []
    for pair in keys:
        group = next((group for group in groups if not group.isdisjoint(pair)), None)
        if group is None:
            group = set()
            groups.append(group)
        group.update(pair)
    order = {column: position for position, column in enumerate(columns)}
    found: dict[Column, Column] = {}
    for group in groups:
        first = min(group, key=lambda column: order.get(column, len(order)))
        found.update(dict.fromkeys(group, first))
    return found
