"""The four levels, counted by hand: parts / nested / several, as hardness.py names them."""

from __future__ import annotations

import pytest

from t2s.metrics.hardness import hardness
from t2s.sql.official.parser import parse
from t2s.sql.official.query import Query
from t2s.verdict import Hardness
from tests.sql.official.databases import EN, ZH

JOIN = "singer AS T1 JOIN song AS T2 ON T1.Singer_ID = T2.Singer_ID"


@pytest.mark.parametrize(
    ("sql", "counts", "level"),
    [
        ("SELECT Name FROM singer", "0/0/0", "easy"),
        ("SELECT count(*) FROM singer", "0/0/0: one aggregate is not several", "easy"),
        ("SELECT Name FROM singer WHERE Age > 3", "1/0/0", "easy"),
        ("SELECT Name FROM singer LIMIT 3", "1/0/0", "easy"),
        ("SELECT T1.Name FROM " + JOIN, "1/0/0", "easy"),
        ("SELECT count(*) FROM (SELECT Name FROM singer WHERE Age > 1 OR Age < 9)", "0/0/0: not in FROM", "easy"),
        ("SELECT Name, Age FROM singer", "0/0/1: columns", "medium"),
        ("SELECT max(Age), min(Age) FROM singer", "0/0/2: columns, aggregates", "medium"),
        ("SELECT Name FROM singer ORDER BY Age LIMIT 1", "2/0/0", "medium"),
        ("SELECT Name FROM singer WHERE Name LIKE 'x'", "2/0/0: WHERE, LIKE", "medium"),
        ("SELECT Name FROM singer WHERE Age > 1 AND Age < 9", "1/0/1: conditions", "medium"),
        ("SELECT Name FROM singer WHERE Age > 1 OR Age < 9", "2/0/1: WHERE, OR; conditions", "medium"),
        ("SELECT max(Age) FROM singer WHERE Age NOT LIKE 'x'", "2/0/1: NOT counts as an aggregate", "medium"),
        ("SELECT max(Age), Name FROM singer WHERE Age NOT LIKE 'x'", "2/0/2", "extra"),
        ("SELECT max(Age), Name FROM singer WHERE Age LIKE 'x'", "2/0/1: without NOT", "medium"),
        ("SELECT Age, Name FROM singer GROUP BY Age, Name", "1/0/2", "medium"),
        ("SELECT max(Age), Name FROM singer GROUP BY Age, Name", "1/0/2", "medium"),
        ("SELECT max(Age), min(Age) FROM singer GROUP BY Age, Name", "1/0/3", "hard"),
        ("SELECT max(Age), min(Age) FROM singer GROUP BY Age, Name LIMIT 1", "2/0/3", "hard"),
        ("SELECT Name FROM singer WHERE Age > 3 ORDER BY Age LIMIT 1", "3/0/0", "hard"),
        ("SELECT Name, Age FROM singer WHERE Age > 3 AND Age < 9 ORDER BY Age LIMIT 1", "3/0/2", "hard"),
        ("SELECT max(Age), min(Age) FROM singer WHERE Age > 3 AND Age < 9 ORDER BY Age LIMIT 1", "3/0/3", "extra"),
        ("SELECT T1.Name FROM " + JOIN + " WHERE Age > 3 GROUP BY T1.Name ORDER BY count(*)", "4/0/0", "extra"),
        ("SELECT Name FROM singer WHERE Age = (SELECT max(Age) FROM singer)", "1/1/0", "hard"),
        ("SELECT Name FROM singer WHERE Age IN (SELECT Age FROM singer WHERE Age > 1 OR Age < 9)", "1/1/0", "hard"),
        ("SELECT Name FROM singer UNION SELECT Title FROM song WHERE Sales > 1 OR Sales < 0", "0/1/0", "hard"),
        ("SELECT Name, Age FROM singer INTERSECT SELECT Name, Age FROM singer", "0/1/1", "extra"),
        ("SELECT Name FROM singer WHERE Age = (SELECT max(Age) FROM singer) LIMIT 1", "2/1/0", "extra"),
        ("SELECT Age FROM singer WHERE Age > (SELECT 1 FROM song)", "not taken", "unknown"),
        ("SELECT Age FROM singer WHERE Age > (SELECT Sales FROM song) EXCEPT SELECT Sales FROM song", "1/2/0", "extra"),
        ("SELECT Name FROM singer WHERE Age BETWEEN 1 AND (SELECT max(Age) FROM singer)", "1/1/0", "hard"),
        ("SELECT Age FROM singer GROUP BY Age HAVING count(*) > (SELECT max(Age) FROM singer)", "1/1/0", "hard"),
        ("SELECT max(Age) FROM singer GROUP BY Age HAVING count(*) > 1 AND Age < 9", "1/0/1: AND counts", "medium"),
        ("SELECT Age FROM singer GROUP BY Age HAVING max(Age) > 1", "1/0/0: those in HAVING do not count", "easy"),
        ("SELECT Age FROM singer GROUP BY Age HAVING Age LIKE 'x'", "2/0/0: but LIKE does", "medium"),
        ("SELECT Age FROM singer JOIN song ON Age LIKE 'x'", "2/0/0: in ON, too", "medium"),
        ("SELECT max(Age) FROM singer GROUP BY max(Age)", "1/0/1: in GROUP BY", "medium"),
        ("SELECT Age FROM singer ORDER BY max(Age) - min(Age)", "1/0/1: two in ORDER BY", "medium"),
        ("SELECT Age FROM singer WHERE Age > 1 ORDER BY", "2/0/0: present, though empty", "medium"),
        ("select 书名 from 图书", "0/0/0", "easy"),
        ('select 书名 , "定价（元）" from 图书 order by "定价（元）" desc', "1/0/1", "medium"),
        ('select 书名 from 图书 where "定价（元）" = (select max("定价（元）") from 图书)', "1/1/0", "hard"),
    ],
)  # fmt: skip
def test_a_query_has_its_level(sql: str, counts: str, level: Hardness) -> None:
    query = parse(sql, ZH if any(ord(sign) > 127 for sign in sql) else EN)
    assert (hardness(query) if isinstance(query, Query) else "unknown") == level, counts
