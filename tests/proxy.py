"""An HTTP proxy that stands between a client and a real S3 server, and fails as it is told.

with proxy(server.endpoint) as between:
    between.queue(Failure(kind=Kind.RESET_AFTER, method="PUT", path="/log/"))
"""

import enum
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.servers import LOOPBACK, S3Server, s3_error

_STALL = 30.0
"seconds for which a request goes without an answer, unless the proxy ends before"
_RESET = struct.pack("ii", 1, 0)
"linger for no time: closing sends a reset instead of an end"
_HOP_BY_HOP = frozenset({"connection", "expect", "keep-alive", "transfer-encoding"})


class Kind(enum.Enum):
    """What happens to a request."""

    RESET_BEFORE = "the connection is reset, and the server never hears of it"
    RESET_AFTER = "the server does it, and the answer is lost"
    STALL_BEFORE = "nothing is answered, and the server never hears of it"
    STALL_AFTER = "the server does it, and nothing is answered"
    SLOW_DOWN = "503 SlowDown"
    ERROR_AFTER = "the server does it, and the answer is 500 InternalError"
    CUT_BODY = "half of the answer's body comes, and then a reset"
    END_BODY = "half of the answer's body comes, and then the end"
    EMPTY_UPLOAD = "the server gets the headers, and then the connection ends on both sides"
    DELAYED = "the connection is reset, and the server hears of it after the next few requests"


_UNSENT = frozenset(
    {Kind.RESET_BEFORE, Kind.STALL_BEFORE, Kind.SLOW_DOWN, Kind.EMPTY_UPLOAD, Kind.DELAYED}
)
_UNANSWERED = frozenset({Kind.RESET_AFTER, Kind.STALL_AFTER, Kind.ERROR_AFTER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What happens to one request, the first whose method and path fit."""

    kind: Kind
    method: str
    path: str = ""
    "part of the path, or of the query"
    skip: int = 0
    "requests that fit and are let through before"


@dataclass(slots=True)
class Proxy:
    """The proxy: failures that are queued strike one request each, in any order."""

    endpoint: str
    upstream: tuple[str, int]
    hits: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    _queued: list[Failure] = field(default_factory=list)
    _skipped: dict[int, int] = field(default_factory=dict)
    _delayed: "list[tuple[int, Request]]" = field(default_factory=list)
    _requests: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def queue(self, *failures: Failure) -> None:
        """Let these strike, each one request."""
        self._queued.extend(failures)

    def server(self, real: S3Server) -> S3Server:
        """The server behind it, as a client sees it."""
        return S3Server(self.endpoint, real.bucket)

    def assert_all_hit(self) -> None:
        """Fails where a queued failure has not struck: the test did not test it."""
        assert not self._queued, f"failures that never struck: {self._queued}"

    def take(self, request: "Request") -> Kind | None:
        """What happens to this request."""
        with self._lock:
            self._requests += 1
            for at, failure in enumerate(self._queued):
                if failure.method != request.method or failure.path not in request.path:
                    continue
                skipped = self._skipped[id(failure)] = self._skipped.get(id(failure), 0) + 1
                if skipped > failure.skip:
                    self.hits += 1
                    return self._queued.pop(at).kind
        return None

    def delay(self, request: "Request", *, requests: int = 4) -> None:
        """Send it on once so many others have come."""
        with self._lock:
            self._delayed.append((self._requests + requests, request))

    def send_delayed(self, *, all_of_them: bool = False) -> None:
        """Send on what has waited long enough."""
        with self._lock:
            due = [item for item in self._delayed if all_of_them or item[0] <= self._requests]
            self._delayed = [item for item in self._delayed if item not in due]
        for _, request in due:
            with suppress(OSError, HTTPException):
                request.send(self.upstream)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def send(self, upstream: tuple[str, int]) -> tuple[HTTPResponse, bytes]:
        """Send it on; the answer and its body. Raises OSError, HTTPException."""
        with closing(self._connect(upstream)) as connection:
            connection.endheaders(self.body)
            answer = connection.getresponse()
            return answer, answer.read()

    def send_headers(self, upstream: tuple[str, int]) -> None:
        """Send the headers on and end the connection; wait until the server is done with it."""
        with closing(self._connect(upstream)) as connection:
            connection.endheaders()
            connection.sock.shutdown(socket.SHUT_WR)
            with suppress(HTTPException):
                connection.getresponse().read()

    def _connect(self, upstream: tuple[str, int]) -> HTTPConnection:
        connection = HTTPConnection(*upstream, timeout=_STALL)
        connection.putrequest(self.method, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers:
            if name.lower() not in _HOP_BY_HOP:
                connection.putheader(name, value)
        return connection


@contextmanager
def proxy(endpoint: str) -> Iterator[Proxy]:
    """A proxy before the server at `endpoint`, which lives as long as the `with`."""
    server = urlsplit(endpoint)
    assert server.hostname is not None
    assert server.port is not None
    upstream = server.hostname, server.port

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            _Exchange(self, between).run()

        do_PUT = do_DELETE = do_HEAD = do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that goes away is what this is about."""

    with Server((LOOPBACK, 0), Handler) as http:
        between = Proxy(f"http://{LOOPBACK}:{http.server_address[1]}", upstream)
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield between
        finally:
            between.ended.set()
            http.shutdown()
            thread.join()


class _Exchange:
    """One request and what is answered."""

    def __init__(self, handler: BaseHTTPRequestHandler, between: Proxy) -> None:
        self._handler = handler
        self._between = between
        length = int(handler.headers.get("Content-Length") or 0)
        self._request = Request(
            handler.command,
            handler.path,
            tuple(handler.headers.items()),
            handler.rfile.read(length),
        )

    def run(self) -> None:
        """Answer the request, or fail as told."""
        self._between.send_delayed()
        kind = self._between.take(self._request)
        if kind is Kind.DELAYED:
            self._between.delay(self._request)
        if kind is Kind.EMPTY_UPLOAD:
            self._request.send_headers(self._between.upstream)
        if kind not in _UNSENT:
            answer, body = self._request.send(self._between.upstream)
            if kind not in _UNANSWERED:
                self._answer(answer, body, cut=kind is not None)
        self._end(kind)

    def _end(self, kind: Kind | None) -> None:
        match kind:
            case (
                Kind.RESET_BEFORE
                | Kind.RESET_AFTER
                | Kind.CUT_BODY
                | Kind.EMPTY_UPLOAD
                | Kind.DELAYED
            ):
                self._reset()
            case Kind.STALL_BEFORE | Kind.STALL_AFTER:
                self._between.ended.wait(_STALL)
            case Kind.SLOW_DOWN:
                self._refuse(503, "SlowDown")
            case Kind.ERROR_AFTER:
                self._refuse(500, "InternalError")
        self._handler.close_connection |= kind is not None

    def _answer(self, answer: HTTPResponse, body: bytes, *, cut: bool) -> None:
        handler = self._handler
        handler.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP | {"content-length"}:
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2] if cut else body)
        handler.wfile.flush()

    def _refuse(self, status: int, code: str) -> None:
        canned = s3_error(status, code)
        handler = self._handler
        handler.send_response_only(status, code)
        handler.send_header("Content-Length", str(len(canned.body)))
        handler.end_headers()
        handler.wfile.write(canned.body)

    def _reset(self) -> None:
        connection = self._handler.connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        # At once, and not after the end that the server would send first.
        os.close(connection.detach())
