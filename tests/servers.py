"""S3 servers for tests: real ones as processes, and one that answers what it is told."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LOOPBACK = "127.0.0.1"
ACCESS_KEY = "test-key"
SECRET_KEY = "test-secret-of-some-length"
BUCKET = "snapfs-test"

READY_WITHIN = 60.0
"seconds"


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server with one empty bucket."""

    endpoint: str
    bucket: str = BUCKET

    @property
    def environment(self) -> dict[str, str]:
        """What boto3 needs to find it, and to find nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextmanager
def seaweedfs(folder: Path) -> Iterator[S3Server]:
    """SeaweedFS with its data in the folder. Takes about a second to start, and two to stop."""
    names = ("s3", "filer", "master", "volume", "admin")
    options = [f"{name}.port{kind}" for name in names for kind in ("", ".grpc")]
    ports = dict(zip(options, free_ports(len(options)), strict=True))
    command = [
        program("weed"),
        "mini",
        f"-dir={folder}",
        f"-admin.dataDir={folder / 'admin'}",
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        f"-bucket={BUCKET}",
        *(f"-{option}={port}" for option, port in ports.items()),
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-webdav=false",
        "-admin.ui=false",
        "-master.telemetry=false",
    ]
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    server = S3Server(f"http://{LOOPBACK}:{ports['s3.port']}")
    try:
        with process(command, folder=folder, environment=keys) as running:
            _wait_until_it_stores(server, running, folder)
            yield server
    finally:
        _remove_sockets(set(ports.values()))


@contextmanager
def rclone(folder: Path) -> Iterator[S3Server]:
    """rclone's S3 server over a directory. It ignores the condition of conditional puts."""
    (folder / "data" / BUCKET).mkdir(parents=True)
    (port,) = free_ports(1)
    command = [
        program("rclone"),
        "serve",
        "s3",
        f"--addr={LOOPBACK}:{port}",
        f"--auth-key={ACCESS_KEY},{SECRET_KEY}",
        f"--config={folder / 'rclone.conf'}",
        f"--cache-dir={folder / 'cache'}",
        str(folder / "data"),
    ]
    server = S3Server(f"http://{LOOPBACK}:{port}")
    with process(command, folder=folder, environment={}) as running:
        _wait_until_it_stores(server, running, folder)
        yield server


@contextmanager
def process(
    command: Sequence[str], *, folder: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives as long as the `with`. Its output goes to `output` in the folder."""
    settings = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment}
    with (
        open(folder / "output", "wb") as output,
        subprocess.Popen(command, env=settings, cwd=folder, stdout=output, stderr=output) as run,
    ):
        try:
            yield run
        finally:
            run.terminate()
            try:
                run.wait(timeout=15)
            except subprocess.TimeoutExpired:
                run.kill()


def program(name: str) -> str:
    """A program that a Python package brought, beside the interpreter."""
    return str(Path(sys.executable).parent / name)


def free_ports(number: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(number)
        ]
        return [listener.getsockname()[1] for listener in listeners]


def _wait_until_it_stores(server: S3Server, running: subprocess.Popen[bytes], folder: Path) -> None:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.session.Session().client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5),
    )
    deadline = time.monotonic() + READY_WITHIN
    while True:
        try:
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"1")
            client.delete_object(Bucket=BUCKET, Key="ready")
            client.close()
            return
        except (BotoCoreError, ClientError) as error:
            if running.poll() is not None or time.monotonic() > deadline:
                output = (folder / "output").read_text(errors="replace")
                raise RuntimeError(f"the S3 server is not ready: {error}\n{output}") from error
        time.sleep(0.1)


def _remove_sockets(ports: set[int]) -> None:
    """SeaweedFS leaves sockets of fixed names, which end in its port, behind."""
    for path in Path("/tmp").glob("seaweedfs-*.sock"):
        port = re.search(r"(\d+)\.sock$", path.name)
        if port and int(port[1]) in ports:
            with suppress(FileNotFoundError):
                path.unlink()


@dataclass(frozen=True, slots=True)
class Canned:
    """An answer to one request."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    claims: int | None = None
    "the Content-Length to send, where it is to be a lie"
    stalls: bool = False
    "send the headers, and then nothing until the server ends"


def s3_error(status: int, code: str) -> Canned:
    """An error as S3 sends it."""
    xml = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>canned</Message></Error>"
    return Canned(status, xml.encode(), {"Content-Type": "application/xml"})


@dataclass(slots=True)
class CannedServer:
    """An S3 server that answers each request with `answer`, and notes them."""

    endpoint: str
    answer: Canned = field(default_factory=Canned)
    requests: list[tuple[str, str]] = field(default_factory=list)
    "method and path"
    digests: list[str | None] = field(default_factory=list)
    "the Content-MD5 of each request"
    ended: threading.Event = field(default_factory=threading.Event)


@contextmanager
def canned_server() -> Iterator[CannedServer]:
    """A `CannedServer` that lives as long as the `with`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer_request(self, server)

        do_PUT = do_DELETE = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as http:
        server = CannedServer(f"http://{LOOPBACK}:{http.server_address[1]}")
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            http.shutdown()
            thread.join()


def answer_request(handler: BaseHTTPRequestHandler, server: CannedServer) -> None:
    """Read the request, and send what was canned."""
    handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    server.requests.append((handler.command, handler.path))
    server.digests.append(handler.headers.get("Content-MD5"))
    answer = server.answer
    handler.send_response(answer.status)
    length = len(answer.body) if answer.claims is None else answer.claims
    for name, value in {"Content-Length": str(length), **answer.headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(answer.body)
    handler.close_connection = True
    if answer.stalls:
        handler.wfile.flush()
        server.ended.wait()
