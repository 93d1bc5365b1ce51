"""The official grammar's parser; the package's first lines say what it takes and what it lets pass."""

from __future__ import annotations

from typing import cast

from t2s.sql.official.diagnosis import reason_for_column, reason_for_end, reason_for_operator, reason_for_table
from t2s.sql.official.query import (
    EVERY_COLUMN,
    Column,
    ColumnUse,
    Condition,
    Conditions,
    Connector,
    Expression,
    Query,
    Selected,
    Value,
)
from t2s.sql.official.rejection import Reason, Rejected, reject
from t2s.sql.official.schema import OfficialSchema
from t2s.sql.official.tokens import END, Token, tokenize

# The official program has no limit but its interpreter's: about 300 subqueries deep.
MAX_CHARS = 100_000
MAX_DEPTH = 50

_CLAUSES = frozenset(("select", "from", "where", "group", "order", "limit", "intersect", "union", "except"))
_ENDS_A_CLAUSE = _CLAUSES | {")", ";"}
_ENDS_A_CONDITION = _ENDS_A_CLAUSE | {"join", "on", "as"}
_ENDS_A_COLUMN_VALUE = _CLAUSES | {",", ")", "and", "join", "on", "as"}
_AGGREGATES = frozenset(("max", "min", "count", "sum", "avg"))
_ARITHMETIC = frozenset("+-*/")
_COMPARISONS = frozenset(("not", "between", "=", ">", "<", ">=", "<=", "!=", "in", "like", "is", "exists"))


def parse(sql: str, schema: OfficialSchema) -> Query | Reason:
    """Parse SQL; the query, or why the grammar does not take it. Never raises, whatever the text."""
    if len(sql) > MAX_CHARS:
        return "too long"
    try:
        return _Parser(tokenize(sql, quotes_any_name=schema.quotes_any_name), schema).statement()
    except Rejected as rejected:
        return rejected.reason


class _Parser:
    """One pass over the tokens. Each method reads at `position` and leaves it behind what it has read."""

    def __init__(self, tokens: list[Token], schema: OfficialSchema) -> None:
        self.length = len(tokens)
        self.tokens = [*tokens, END, END]
        self.schema = schema
        self.position = 0
        self.depth = 0
        self.shared_aliases: set[str] = set()
        self.aliases = self._aliases()

    def _aliases(self) -> dict[str, str]:
        """Alias -> what stands before its AS: a table's name if it is a table's alias."""
        aliases: dict[str, str] = {}
        for position, token in enumerate(self.tokens):
            if token.word == "as":
                target, alias = self.tokens[position - 1].path, self.tokens[position + 1].path
                if self.tokens[position + 1] is END:
                    reject("syntax")
                if len(alias) == 1:
                    if aliases.get(alias[0], ".".join(target)) != ".".join(target):
                        self.shared_aliases.add(alias[0])
                    aliases[alias[0]] = ".".join(target)
        if not aliases.keys().isdisjoint(self.schema.tables):
            reject("alias of a table's name")
        return aliases

    @property
    def word(self) -> str:
        return self.tokens[self.position].word

    def _accept(self, word: str) -> bool:
        if self.tokens[self.position].word == word:
            self.position += 1
            return True
        return False

    def _expect(self, word: str, otherwise: Reason) -> None:
        if not self._accept(word):
            reject(otherwise)

    def statement(self) -> Query:
        """The whole text; what follows the statement is ignored."""
        words = [self.tokens[0].word, self.tokens[1].word]
        if words[0] != "select" and words != ["(", "select"]:
            reject("WITH" if words[0] == "with" else "no SELECT")
        return self._query()

    def _query(self) -> Query:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            reject("too deep")
        in_brackets = self._accept("(")
        select = self.position
        self._find_from()
        tables, joined_on, scope = self._from()
        after_from, self.position = self.position, select
        distinct, selected = self._select(scope)
        self.position = after_from
        where = self._conditions(scope) if self._accept("where") else ()
        group_by = self._group_by(scope)
        having = self._conditions(scope) if self._accept("having") else ()
        direction, order_by = self._order_by(scope)
        has_limit = self._limit()
        self._semicolons()
        if in_brackets:
            self._expect(")", "syntax")
        self._semicolons()
        operation = self.word
        combined: dict[str, Query] = {}
        if operation in ("intersect", "union", "except"):
            self.position += 1
            if self.word == "all":
                reject("UNION ALL")
            combined[operation] = self._query()
        self.depth -= 1
        return Query(
            distinct=distinct,
            selected=selected,
            tables=tables,
            joined_on=joined_on,
            where=where,
            group_by=group_by,
            having=having,
            direction=direction,
            order_by=order_by,
            has_limit=has_limit,
            intersect=combined.get("intersect"),
            union=combined.get("union"),
            except_=combined.get("except"),
        )

    def _find_from(self) -> None:
        """Go to the next FROM, wherever it is: the columns before it can only be read once its tables are known."""
        while self.position < self.length:
            if self._accept("from"):
                return
            self.position += 1
        reject("no FROM")

    def _from(self) -> tuple[tuple[str | Query, ...], Conditions, list[str]]:
        """Tables and subqueries, all conditions after ON, and the tables that columns are looked up in."""
        tables: list[str | Query] = []
        conditions: list[Condition | Connector] = []
        scope: list[str] = []
        while self.position < self.length:
            in_brackets = self._accept("(")
            if self.word == "select":
                tables.append(self._query())
            else:
                joins = self._accept("join")
                table = self._table(first=joins or not tables)
                tables.append(table)
                scope.append(table)
            if self._accept("on"):
                if conditions:
                    conditions.append("and")
                conditions.extend(self._conditions(scope))
            if in_brackets:
                self._expect(")", "brackets")
            if self.word in _ENDS_A_CLAUSE:
                break
        return tuple(tables), tuple(conditions), scope

    def _table(self, *, first: bool) -> str:
        token = self.tokens[self.position]
        table = self._table_called(token.path[0]) if len(token.path) == 1 else None
        if table is None:
            reject(reason_for_table(self.tokens, self.position, first))
        self.position += 1
        if self.word == "as":
            self.position += 2
        return table

    def _table_called(self, name: str) -> str | None:
        name = self.aliases.get(name, name)
        return name if name in self.schema.tables else None

    def _select(self, scope: list[str]) -> tuple[bool, tuple[Selected, ...]]:
        if not self._accept("select"):
            reject("no SELECT")
        distinct = self._accept("distinct")
        selected = []
        while self.position < self.length and self.word not in _CLAUSES:
            aggregate = ""
            if self.word in _AGGREGATES:
                aggregate = self.word
                self.position += 1
            selected.append(Selected(aggregate, self._expression(scope)))
            self._accept(",")
        return distinct, tuple(selected)

    def _expression(self, scope: list[str]) -> Expression:
        in_brackets = self._accept("(")
        left = self._column_use(scope)
        operator, right = "", None
        if self.word in _ARITHMETIC:
            operator = self.word
            self.position += 1
            right = self._column_use(scope)
        if in_brackets:
            self._expect(")", "brackets")
        return Expression(operator, left, right)

    def _column_use(self, scope: list[str]) -> ColumnUse:
        in_brackets = self._accept("(")
        if self.word in _AGGREGATES:  # with a second bracket of its own it is not closed: `((max(a)))` is not taken
            aggregate = self.word
            self.position += 1
            self._expect("(", "unknown column")
            distinct = self._accept("distinct")
            column = self._column(scope)
            self._expect(")", "function")
            return ColumnUse(aggregate, column, distinct)
        distinct = self._accept("distinct")
        column = self._column(scope)
        if in_brackets:
            self._expect(")", "brackets")
        return ColumnUse("", column, distinct)

    def _column(self, scope: list[str]) -> Column:
        column = self._column_at(self.position, scope)
        if column is None:
            path = self.tokens[self.position].path
            if len(path) == 2 and path[0] in self.shared_aliases:
                reject("alias of two tables")
            reject(reason_for_column(self.tokens, self.position))
        self.position += 1
        return column

    def _column_at(self, position: int, scope: list[str]) -> Column | None:
        """The column that a token names; rejects one of an unknown table."""
        token = self.tokens[position]
        if token.word == "*":
            return EVERY_COLUMN
        match token.path:
            case (name,):
                columns = (self.schema.tables[table].get(name) for table in scope)
                return next((column for column in columns if column), None)
            case (alias, name) if name and not _is_number(token.word):
                table = self._table_called(alias)
                if table is None:
                    reject("unknown table")
                return self.schema.tables[table].get(name)
        return None

    def _conditions(self, scope: list[str]) -> Conditions:
        conditions: list[Condition | Connector] = []
        while self.position < self.length:
            left = self._expression(scope)
            negated = self._accept("not")
            operator = self.word
            if operator not in _COMPARISONS:
                reject(reason_for_operator(self.tokens, self.position))
            self.position += 1
            value = self._value(scope)
            second = None
            if operator == "between":
                self._expect("and", "syntax")
                second = self._value(scope)
            conditions.append(Condition(negated, operator, left, value, second))
            if self.word in _ENDS_A_CONDITION or self.position >= self.length:
                break
            if self.word not in ("and", "or"):
                reject(reason_for_operator(self.tokens, self.position))
            conditions.append(cast(Connector, self.word))
            self.position += 1
        return tuple(conditions)

    def _value(self, scope: list[str]) -> Value:
        in_brackets = self._accept("(")
        token = self.tokens[self.position]
        value: Value
        if token.word == "select":
            value = self._query()
        elif token.value is not None and (token.names is None or self._column_at(self.position, scope) is None):
            value = token.value
            self.position += 1
        elif _is_number(token.word):
            value = float(token.word)
            self.position += 1
        else:
            return self._column_as_value(scope, in_brackets)
        if in_brackets:
            self._expect(")", reason_for_end(self.tokens, self.position))
        return value

    def _column_as_value(self, scope: list[str], in_brackets: bool) -> ColumnUse:
        """A bare column, with what follows it swallowed; neither brackets nor an aggregate."""
        if self.word in _AGGREGATES:
            reject("aggregate as value")
        distinct = self._accept("distinct")
        column = self._column(scope)
        if in_brackets:
            reject(reason_for_end(self.tokens, self.position))
        while self.position < self.length and self.word not in _ENDS_A_COLUMN_VALUE:
            self.position += 1
        return ColumnUse("", column, distinct)

    def _group_by(self, scope: list[str]) -> tuple[ColumnUse, ...]:
        group_by: list[ColumnUse] = []
        if not self._accept("group"):
            return ()
        self._expect("by", "syntax")
        while self.position < self.length and self.word not in _ENDS_A_CLAUSE:
            group_by.append(self._column_use(scope))
            if not self._accept(","):
                break
        return tuple(group_by)

    def _order_by(self, scope: list[str]) -> tuple[str, tuple[Expression, ...]]:
        if not self._accept("order"):
            return "", ()
        self._expect("by", "syntax")
        direction = "asc"
        order_by: list[Expression] = []
        while self.position < self.length and self.word not in _ENDS_A_CLAUSE:
            order_by.append(self._expression(scope))
            if self.word in ("asc", "desc"):
                direction = self.word
                self.position += 1
            if not self._accept(","):
                break
        return direction, tuple(order_by)

    def _limit(self) -> bool:
        if not self._accept("limit"):
            return False
        if self.position >= self.length:
            reject("syntax")
        self.position += 1
        return True

    def _semicolons(self) -> None:
        while self._accept(";"):
            pass


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
