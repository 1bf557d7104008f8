"""Making a boto3 client with the settings that a store of immutable objects needs."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypedDict

if TYPE_CHECKING:
    from boto3.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """What of the client is ours to decide."""

    connections: int = 16
    "requests under way at once, each with a thread and a connection"
    connect_timeout: float = 10.0
    "seconds"
    read_timeout: float = 30.0
    "seconds without a byte after which a connection counts as dead"


class Body(Protocol):
    """The bytes of an object on their way."""

    def read(self) -> bytes: ...
    def close(self) -> None: ...


class Metadata(TypedDict):
    HTTPStatusCode: int


class Got(TypedDict):
    Body: Body
    ContentLength: int
    ResponseMetadata: Metadata


class Item(TypedDict):
    Key: str
    Size: int
    LastModified: datetime


class Page(TypedDict, total=False):
    Contents: Sequence[Item]
    IsTruncated: bool


class S3Client(Protocol):
    """The calls of a boto3 client that the store makes: boto3 itself has no types for them."""

    def get_object(self, **arguments: str) -> Got: ...
    def put_object(self, **arguments: str | bytes) -> object: ...
    def list_objects_v2(self, **arguments: str | int) -> Page: ...
    def delete_object(self, **arguments: str) -> object: ...
    def close(self) -> None: ...


def make_client(settings: S3Settings) -> S3Client:
    """A client for whatever the environment and the profile say.

    Raises botocore's errors, and ValueError for an endpoint that is no URL.
    """
    from boto3.session import Session  # 0.1 s that not every command need pay
    from botocore.config import Config

    session = Session()
    config = Config(
        max_pool_connections=settings.connections,
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        tcp_keepalive=True,
        # Retrying exists once, in the wrapper, which also knows what must not be sent twice.
        retries={"total_max_attempts": 1},
    )
    if not _chooses_checksums(session):
        # boto3 would add a CRC, sent as a trailer, which older servers refuse or store as content.
        # The store sends an MD5 instead: what is damaged on its way up is refused, and what is
        # damaged on its way down does not unseal.
        config = config.merge(
            Config(
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            )
        )
    client: S3Client = session.client("s3", config=config)
    return client


def _chooses_checksums(session: "Session") -> bool:
    """Whether the user decided: a bucket with Object Lock may demand checksums."""
    option = "request_checksum_calculation"
    return f"AWS_{option.upper()}" in os.environ or option in session._session.get_scoped_config()
