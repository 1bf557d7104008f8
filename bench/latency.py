"""A server that seems far away: `python -m bench.latency HOST:PORT MILLISECONDS`.

Listens on a free port of this machine, which it prints, and passes all bytes on both ways. Each
question and its answer take so many milliseconds more, however many are under way, and so does
making a connection; what flows is not made slower. Runs until it is ended.
"""

import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import trio

from tests.servers import LOOPBACK, S3Server

_UNDER_WAY = 64
"pieces that are delayed at once, each way of a connection: more than fills the delay"


@contextmanager
def distant(server: S3Server, milliseconds: float) -> Iterator[S3Server]:
    """The same server behind a process that delays; that ends with the block."""
    address = urllib.parse.urlsplit(server.endpoint).netloc
    command = [sys.executable, "-m", "bench.latency", address, str(milliseconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            yield replace(server, endpoint=f"http://{LOOPBACK}:{port}")
        finally:
            process.terminate()


async def _serve(host: str, port: int, delay: float) -> None:
    """Pass connections on, with `delay` seconds for each round trip."""

    async def connection(near: trio.SocketStream) -> None:
        # The handshake is over before a proxy can see it: its round trip is made up for here.
        await trio.sleep(delay)
        try:
            async with (
                near,
                await trio.open_tcp_stream(host, port) as far,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(_pass_on, near, far, delay / 2)
                nursery.start_soon(_pass_on, far, near, delay / 2)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, ExceptionGroup):
            return  # either side went away: the other has heard of it

    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    print(listener.socket.getsockname()[1], flush=True)
    await trio.serve_listeners(connection, [listener])


async def _pass_on(source: trio.SocketStream, target: trio.SocketStream, delay: float) -> None:
    """Send on what comes, each piece `delay` seconds after it came, and then the end."""
    put, take = trio.open_memory_channel[tuple[float, bytes]](_UNDER_WAY)

    async def read() -> None:
        async with put:
            async for piece in source:
                await put.send((trio.current_time() + delay, piece))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        async for due, piece in take:
            await trio.sleep_until(due)
            await target.send_all(piece)
        await target.send_eof()


def main() -> None:
    host, _, port = sys.argv[1].partition(":")
    trio.run(partial(_serve, host, int(port), float(sys.argv[2]) / 1000))


if __name__ == "__main__":
    main()
