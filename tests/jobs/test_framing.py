"""Framing: messages come as they were sent, and an end of the other side is told."""

import os
import random
import socket
import stat
import threading

import msgspec
import pytest

from snapfs.jobs import framing
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
        sender = threading.Thread(target=framing.send, args=(one, answer, pieces, [null.fileno()]))
        sender.start()
        descriptors: list[int] = []
        data, contents = framing.receive(other, descriptors, bytearray(100), most=1)
        sender.join()
        assert msgspec.msgpack.decode(data, type=Outcomes) == answer
        assert contents == b"".join(pieces)
        assert [stat.S_ISCHR(os.fstat(each).st_mode) for each in descriptors] == [True]
        for each in descriptors:
            os.close(each)
        buffer = bytearray(b"." * 100)
        framing.send(one, answer, [b"short"])
        assert framing.receive(other, None, buffer)[1] == b"short"
        assert buffer[:6] == b"short."


@pytest.mark.parametrize("sent", [b"", b"abc", framing._HEADER.pack(10, 0) + b"123"])
def test_the_other_side_is_gone(sent: bytes) -> None:
    one, other = socket.socketpair()
    with one:
        other.sendall(sent)
        other.close()
        with pytest.raises(framing.EndedError):
            framing.receive(one)
        with pytest.raises(framing.EndedError):
            framing.send(one, Outcomes(()))
