"""A fixed interaction of three turns, as ids: two environments that render it alike render every prompt alike.

    train:    probe(ChatTokenizer(base model)) -> digest, into the adapter's manifest
    predict:  the same in its own environment, with its own transformers; another digest is refused

The ids are those of each turn's prompt and of the whole with its last answer; the stop ids belong to them, since an
answer that never ends is as wrong as one to another prompt.
"""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

from t2s.engine import Message
from t2s.engine.chat import ChatTokenizer

PROBE: tuple[Message, ...] = (
    {
        "role": "system",
        "content": (
            'CREATE TABLE 城市 (\n  城市id INTEGER PRIMARY KEY, -- 例: 1, 2\n  "注册资本（万）" REAL\n);\n\n'
            "只写一条 SQL。"
        ),
    },
    {"role": "user", "content": "哪个城市的人口最多？"},
    {"role": "assistant", "content": "select 名称 from 城市 order by 人口 desc limit 1"},
    {"role": "user", "content": "它位于哪个省份？ 12345 it's"},
    {"role": "assistant", "content": "select T2.名称 from 城市 as T1 join 省份 as T2 on T1.省份id = T2.省份id"},
    {"role": "user", "content": "那里有几个城市？"},
    {"role": "assistant", "content": "select count(*) from 城市 where 省份id = 'it''s'"},
)


class Probe(NamedTuple):
    """What the probe gave.

    Attributes:
        ids: Of the prompts of turns 1 to 3, then of all seven messages.
        stop_ids: Ids that end an answer, sorted.
    """

    ids: tuple[tuple[int, ...], ...]
    stop_ids: tuple[int, ...]

    @property
    def digest(self) -> str:
        """Sha256 (hex) of all ids."""
        return hashlib.sha256(json.dumps([self.ids, self.stop_ids]).encode()).hexdigest()


def probe(chat: ChatTokenizer) -> Probe:
    """Render the fixed interaction with a freshly loaded tokenizer."""
    prompts = [tuple(chat.encode(PROBE[:end])) for end in (2, 4, 6)]
    return Probe((*prompts, tuple(chat.encode_whole(PROBE))), chat.stop_token_ids)
