"""What a scored run looks like: the record behind `report.json`, its JSON Schema, a table and a page."""

from __future__ import annotations

from t2s.report.record import TURN_GROUPS, QuestionResult, Report, Score, report_schema
from t2s.report.terminal import print_report
from t2s.report.turn_detail import TURNS_KEY, TurnDetail

REPORT_KEY = "report.json"
PAGE_KEY = "report.html"

__all__ = [
    "PAGE_KEY",
    "REPORT_KEY",
    "TURNS_KEY",
    "TURN_GROUPS",
    "QuestionResult",
    "Report",
    "Score",
    "TurnDetail",
    "print_report",
    "report_schema",
]
