"""A question's meaning, `Query`, and its SQL in the field's usual style.

    Query(门店, columns=(店名,), conds=(城市 = 上海,), order=(面积, desc), limit=1)
    -> SELECT 店名 FROM 门店 WHERE 城市 = '上海' ORDER BY 面积 DESC LIMIT 1

Identifiers are quoted only where SQLite, or a careful reader, needs it; strings are in single quotes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from scripts.sample.model import Attr, Entity, Value

# Words of SQLite's grammar that may not stand bare as a name (https://sqlite.org/lang_keywords.html). We quote all of
# them: some would be accepted in some places, but nobody should have to know where.
KEYWORDS = frozenset(
    """abort action add after all alter always analyze and as asc attach autoincrement before begin between by cascade
    case cast check collate column commit conflict constraint create cross current current_date current_time
    current_timestamp database default deferrable deferred delete desc detach distinct do drop each else end escape
    except exclude exclusive exists explain fail filter first following for foreign from full generated glob group
    groups having if ignore immediate in index indexed initially inner insert instead intersect into is isnull join key
    last left like limit match materialized natural no not nothing notnull null nulls of offset on or order others outer
    over partition plan pragma preceding primary query raise range recursive references regexp reindex release rename
    replace restrict returning right rollback row rows savepoint select set table temp temporary then ties to
    transaction trigger unbounded union unique update using vacuum values view virtual when where window with
    without""".split()
)


def identifier(name: str) -> str:
    """The name as it stands in SQL: bare where it is letters, digits and underscores only and no keyword."""
    plain = all(c.isalpha() or c == "_" or (c.isdecimal() and c.isascii()) for c in name)
    if plain and not name[0].isdecimal() and name.lower() not in KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def literal(value: Value) -> str:
    """The value as it stands in SQL."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "NULL" if value is None else str(value)


Op = Literal["=", "<>", ">", "<", ">=", "<=", "LIKE", "IN", "IS NULL", "IS NOT NULL"]


@dataclass(frozen=True)
class Cond:
    """`attr op value` and how it is said.

    Attributes:
        value: What SQL compares with: literals, or a whole subquery where `raw` is set.
        mod: As a modifier without 的: 「面积超过300平方米」.
        short: As an ellipsis: 「超过300平方米」, 「上海」.
        phrase: What has this condition alone, where that can be said better than with `mod`: 「上海的门店」.
    """

    attr: Attr
    op: Op
    values: tuple[Value, ...] = ()
    mod: str = ""
    short: str = ""
    raw: str = ""
    phrase: str = ""


@dataclass(frozen=True)
class Measure:
    """What is counted or computed: COUNT(*) where there is no attribute."""

    function: Literal["COUNT", "AVG", "SUM", "MAX", "MIN"]
    attr: Attr | None = None


COUNT = Measure("COUNT")


@dataclass(frozen=True)
class Query:
    """What a question means.

    Attributes:
        form: list (rows of `columns`), count, measure (`measures` over all rows), group (`measures` per `group`),
            distinct (different values of `columns[0]`), count_distinct.
        order: (attribute or measure, descending).
        having: (operator, number) on the first measure.
        show: Of a group: both, its value alone (「哪个城市最多？」) or the measures alone (「具体是多少？」).
    """

    entity: Entity
    form: Literal["list", "count", "measure", "group", "distinct", "count_distinct"] = "list"
    columns: tuple[Attr, ...] = ()
    conds: tuple[Cond, ...] = ()
    order: tuple[Attr | Measure, bool] | None = None
    limit: int | None = None
    offset: int = 0
    measures: tuple[Measure, ...] = ()
    group: Attr | None = None
    having: tuple[str, int] | None = None
    show: Literal["both", "group", "measures"] = "both"

    @property
    def is_set(self) -> bool:
        """A list without a limit: the things that have all conditions."""
        return self.form == "list" and self.limit is None and not self.is_lookup

    @property
    def is_top(self) -> bool:
        """One thing, by its rank."""
        return self.form == "list" and self.limit == 1

    @property
    def is_lookup(self) -> bool:
        """One thing, by its name."""
        return self.form == "list" and any(
            c.attr.kind == "name" and c.op == "=" and not c.attr.path for c in self.conds
        )

    def but(self, **changes: object) -> Query:
        """A copy with changes."""
        return replace(self, **changes)  # type: ignore[arg-type]


def joined(links: dict[tuple[str, str], tuple[str, str]], query: Query) -> tuple[str, dict[tuple[str, ...], str]]:
    """The FROM clause, and the prefix of a column by its path of foreign keys.

    `links` is {(table, foreign key column): (other table, other column)}.
    """
    paths: list[tuple[str, ...]] = []
    used = [*query.columns, *(c.attr for c in query.conds), *(m.attr for m in query.measures if m.attr)]
    if query.group:
        used.append(query.group)
    if query.order:
        key = query.order[0]
        by = key.attr if isinstance(key, Measure) else key
        used += [by] if by else []
    for attr in used:
        for n in range(1, len(attr.path) + 1):
            if attr.path[:n] not in paths:
                paths.append(attr.path[:n])
    if not paths:
        return identifier(query.entity.table), {(): ""}
    tables: dict[tuple[str, ...], str] = {(): query.entity.table}
    aliases: dict[tuple[str, ...], str] = {(): "T1"}
    sql = f"{identifier(query.entity.table)} AS T1"
    for number, path in enumerate(paths, start=2):
        other, key_column = links[tables[path[:-1]], path[-1]]
        tables[path], aliases[path] = other, f"T{number}"
        left = f"{aliases[path[:-1]]}.{identifier(path[-1])}"
        sql += f" JOIN {identifier(other)} AS T{number} ON {left} = T{number}.{identifier(key_column)}"
    return sql, {path: alias + "." for path, alias in aliases.items()}


def to_sql(links: dict[tuple[str, str], tuple[str, str]], query: Query) -> str:
    """The query in SQL."""
    tables, prefix = joined(links, query)

    def column(attr: Attr) -> str:
        return prefix[attr.path] + identifier(attr.column)

    def measure(m: Measure) -> str:
        return f"{m.function}({column(m.attr) if m.attr else '*'})"

    def condition(cond: Cond) -> str:
        if cond.op in ("IS NULL", "IS NOT NULL"):
            return f"{column(cond.attr)} {cond.op}"
        if cond.raw:
            right = cond.raw
        elif cond.op == "IN":
            right = "(" + ", ".join(literal(v) for v in cond.values) + ")"
        else:
            right = literal(cond.values[0])
        return f"{column(cond.attr)} {cond.op} {right}"

    if query.form == "count":
        selected = "COUNT(*)"
    elif query.form == "measure":
        selected = ", ".join(measure(m) for m in query.measures)
    elif query.form == "count_distinct":
        selected = f"COUNT(DISTINCT {column(query.columns[0])})"
    elif query.form == "group":
        assert query.group is not None
        group, measures = [column(query.group)], [measure(m) for m in query.measures]
        selected = ", ".join({"both": group + measures, "group": group, "measures": measures}[query.show])
    else:
        selected = ("DISTINCT " if query.form == "distinct" else "") + ", ".join(column(c) for c in query.columns)
    sql = f"SELECT {selected} FROM {tables}"
    if query.conds:
        sql += " WHERE " + " AND ".join(condition(c) for c in query.conds)
    if query.group:
        sql += f" GROUP BY {column(query.group)}"
        if query.having:
            sql += f" HAVING {measure(query.measures[0])} {query.having[0]} {query.having[1]}"
    if query.order:
        key, descending = query.order
        sql += f" ORDER BY {measure(key) if isinstance(key, Measure) else column(key)}{' DESC' if descending else ''}"
    if query.limit is not None:
        sql += f" LIMIT {query.limit}" + (f" OFFSET {query.offset}" if query.offset else "")
    return sql
