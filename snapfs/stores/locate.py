"""From what a user writes to a store. What only some stores need is loaded for those alone."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from snapfs.errors import UsageError

if TYPE_CHECKING:
    from snapfs.stores.base import Store, Verbs
    from snapfs.stores.policy import RetryPolicy

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")

FORMS = "Write /path, path, file:///path or s3://bucket/prefix (and ./a:b for a path with a colon)."


@dataclass(frozen=True, slots=True)
class DirectoryLocation:
    """A directory; a relative path is relative to wherever the program runs."""

    path: Path

    @property
    def url(self) -> str:
        return str(self.path)

    @property
    def store_url(self) -> str:
        """What the store there calls itself."""
        return self.path.absolute().as_uri()


@dataclass(frozen=True, slots=True)
class S3Location:
    """A bucket, and what its keys begin with; the prefix has no slash at either end."""

    bucket: str
    prefix: str = ""

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def store_url(self) -> str:
        """What the store there calls itself."""
        return self.url


Location = DirectoryLocation | S3Location


def parse_url(text: str | None, default: Path) -> Location:
    """What a user wrote, or the default directory where they wrote nothing.

    Raises UsageError, which lists the forms.
    """
    if not text:
        return DirectoryLocation(default)
    scheme = _SCHEME.match(text)
    if scheme is None:
        return DirectoryLocation(Path(text))
    kind, rest = scheme[1].lower(), text[scheme.end() :]
    if kind == "file":
        return _file_location(text, rest)
    if kind == "s3":
        return _s3_location(text, rest)
    raise UsageError(f"{text}: there are no repositories at {kind}:", hint=FORMS)


def verbs_at(location: Location) -> "Verbs":
    """What the store there can do. Reaches for nothing yet, so nothing is raised."""
    match location:
        case DirectoryLocation(path):
            from snapfs.stores.files import Files

            return Files(path)
        case S3Location(bucket, prefix):
            from snapfs.stores.bucket import Bucket

            return Bucket(bucket, prefix)


def open_store(verbs: "Verbs", *, policy: "RetryPolicy | None" = None) -> "Store":
    """The store of these verbs, with retries. Reaches for nothing yet, so nothing is raised."""
    from snapfs.stores.retrying import Retrying
    from snapfs.stores.threaded import ThreadedStore

    return Retrying(ThreadedStore(verbs), policy=policy)


async def create_place(location: Location) -> None:
    """Make the directory for a new repository. A bucket is its owner's to make.

    Raises StoreError.
    """
    if isinstance(location, DirectoryLocation):
        import trio

        from snapfs.stores.files import Files

        await trio.to_thread.run_sync(Files.create, location.path, abandon_on_cancel=True)


def _file_location(text: str, rest: str) -> DirectoryLocation:
    host, slash, path = rest.removeprefix("//").partition("/")
    if not rest.startswith("//") or host not in {"", "localhost"} or not slash:
        raise UsageError(f"{text}: is not the URL of a directory of this machine", hint=FORMS)
    return DirectoryLocation(Path("/" + unquote(path)))


def _s3_location(text: str, rest: str) -> S3Location:
    bucket, _, prefix = rest.removeprefix("//").partition("/")
    if not rest.startswith("//") or not bucket:
        raise UsageError(f"{text}: names no bucket", hint=FORMS)
    return S3Location(bucket, prefix.strip("/"))
