"""How hard gold SQL is, as the field's evaluator sorts it; `t2s.metrics.hardness` has the rules."""

from __future__ import annotations

from collections.abc import Callable

from t2s.metrics.hardness import hardness
from t2s.schema import Schema
from t2s.sql.official.parser import parse
from t2s.sql.official.schema import OfficialSchema
from t2s.verdict import Hardness

_MAX_KNOWN = 100_000


class HardnessOf:
    """Levels of gold SQL; what occurs again is looked at once.

    Args:
        schema: Gives a database's schema.
    """

    def __init__(self, schema: Callable[[str], Schema]) -> None:
        self._schema = schema
        self._schemas: dict[str, OfficialSchema] = {}
        self._known: dict[tuple[str, str], Hardness] = {}

    def level(self, db_id: str, sql: str) -> Hardness:
        """The level of a query; "unknown" where the official grammar does not take it."""
        key = (db_id, sql)
        if key not in self._known:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            if db_id not in self._schemas:
                self._schemas[db_id] = OfficialSchema.from_schema(self._schema(db_id))
            query = parse(sql, self._schemas[db_id])
            self._known[key] = "unknown" if isinstance(query, str) else hardness(query)
        return self._known[key]
