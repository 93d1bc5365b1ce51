"""What a scored run looks like: the record behind `report.json`, its JSON Schema, and a table for the terminal."""

from __future__ import annotations

from t2s.report.record import TURN_GROUPS, VERDICTS, QuestionResult, Report, Score, Verdict, report_schema
from t2s.report.terminal import print_report

REPORT_KEY = "report.json"

__all__ = [
    "REPORT_KEY",
    "TURN_GROUPS",
    "VERDICTS",
    "QuestionResult",
    "Report",
    "Score",
    "Verdict",
    "print_report",
    "report_schema",
]
