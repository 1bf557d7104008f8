"""Helpers: what is said to them comes as it was sent, and their end is told."""

import os
import random
import socket
import stat
import threading
from pathlib import Path

import msgspec
import pytest

from snapfs.jobs import helper
from snapfs.jobs.helper import Helper
from snapfs.jobs.restore.messages import Found, Made, Outcome, Outcomes
from snapfs.model.finding import Trouble


def test_messages_come_as_they_were_sent() -> None:
    """With more pieces, and more bytes, than one call sends."""
    chance = random.Random(2)
    pieces = [chance.randbytes(chance.randrange(5000)) for _ in range(1500)]
    answer = Outcomes(
        (Outcome((Made(),), 2**64 - 1, 2**63), Outcome((Found(Trouble.DAMAGED, b"x"),)))
    )
    one, other = socket.socketpair()
    with one, other, open(os.devnull, "rb") as null:
        sender = threading.Thread(target=helper.send, args=(one, answer, pieces, [null.fileno()]))
        sender.start()
        descriptors: list[int] = []
        data, contents = helper.receive(other, descriptors, bytearray(100), most=1)
        sender.join()
        assert msgspec.msgpack.decode(data, type=Outcomes) == answer
        assert contents == b"".join(pieces)
        assert [stat.S_ISCHR(os.fstat(each).st_mode) for each in descriptors] == [True]
        for each in descriptors:
            os.close(each)
        buffer = bytearray(b"." * 100)
        helper.send(one, answer, [b"short"])
        assert helper.receive(other, None, buffer)[1] == b"short"
        assert buffer[:6] == b"short."


@pytest.mark.parametrize("sent", [b"", b"abc", helper._HEADER.pack(10, 0) + b"123"])
def test_the_other_side_is_gone(sent: bytes) -> None:
    one, other = socket.socketpair()
    with one:
        other.sendall(sent)
        other.close()
        with pytest.raises(helper.EndedError):
            helper.receive(one)
        with pytest.raises(helper.EndedError):
            helper.send(one, Outcomes(()))


def test_one_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket can fail, for want of memory, while the helper waits for what comes."""
    monkeypatch.setattr(helper, "_PATIENCE", 0.1)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    running = Helper("tests.jobs.lingering")
    running.begin()
    assert running.how_it_ended() == "ended with signal 9"


def test_one_that_ended_says_how() -> None:
    running = Helper("tests.jobs.nowhere")
    running.begin()
    assert running.how_it_ended() == "ended with status 1"
    running.end()
