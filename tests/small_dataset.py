"""A small dataset in the users' layout, for tests that are about something else than its content."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path


def write_dataset(
    folder: Path, num_databases: int = 3, interactions_per_database: int = 8, num_turns: int = 3, gold: bool = True
) -> Path:
    """Write `<folder>/data.json` and `<folder>/database/`; databases take turns in the file. Returns the JSON file."""
    (folder / "database").mkdir(parents=True, exist_ok=True)
    for number in range(num_databases):
        connection = sqlite3.connect(folder / "database" / f"城市{number}.sqlite")
        connection.executescript(
            "CREATE TABLE 城市 (编号 INTEGER PRIMARY KEY, 名称 TEXT, 人口 INTEGER);"
            f"INSERT INTO 城市 VALUES (1, '甲{number}', 10), (2, '乙{number}', 20), (3, '丙{number}', 30);"
        )
        connection.close()
    entries = []
    for index in range(interactions_per_database):
        for number in range(num_databases):
            turns = [
                {
                    "question_id": f"q-{number}-{index}-{turn}",
                    "question": f"第{index}组第{turn}问：人口超过{turn * 10}的城市有几个？",
                    "query": f"SELECT count(*) FROM 城市 WHERE 人口 > {turn * 10}",
                }
                for turn in range(num_turns)
            ]
            if not gold:
                for entry in turns:
                    del entry["query"]
            entries.append({"db_list": [f"城市{number}"], "interaction": turns})
    path = folder / "data.json"
    path.write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    return path
