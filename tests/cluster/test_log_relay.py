from __future__ import annotations

import logging
import pickle

import pytest

from t2s.cluster.log_relay import LogRelay, say_again


def test_a_record_crosses_as_text_with_its_arguments_and_traceback(caplog: pytest.LogCaptureFixture) -> None:
    relay = LogRelay("engine 5f2a")
    logger = logging.getLogger("t2s.somewhere_else")
    logger.addHandler(relay)
    logger.propagate = False
    try:
        try:
            raise ValueError("存储坏了")
        except ValueError:
            logger.exception("shard %d fails", 3)
    finally:
        logger.removeHandler(relay)
        logger.propagate = True
    taken = pickle.loads(pickle.dumps(relay.take()))
    assert relay.take() == []

    say_again(taken)
    [record] = caplog.records
    assert (record.name, record.levelname) == ("t2s.somewhere_else", "ERROR")
    assert record.getMessage().startswith("engine 5f2a: shard 3 fails")
    assert "ValueError: 存储坏了" in record.getMessage()


def test_what_this_process_does_not_log_is_not_said_again(caplog: pytest.LogCaptureFixture) -> None:
    record = logging.LogRecord("t2s.quiet", logging.DEBUG, "", 0, "nobody wants this", None, None)
    with caplog.at_level(logging.INFO, logger="t2s.quiet"):
        say_again([record])
    assert not caplog.records
