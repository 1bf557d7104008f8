"""A store in an S3 bucket, over boto3.

Endpoint, region, credentials and proxies come from where boto3 looks for them: environment,
profile, configuration file, metadata service. With an endpoint of one's own boto3 puts the bucket
into the path, unless the profile says `addressing_style = virtual`.
"""

import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from hashlib import md5

from snapfs.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectTooShortError,
    PutConflictError,
    StoreError,
    StoreUnavailableError,
)
from snapfs.stores.base import Listed
from snapfs.stores.names import check_name, check_range, is_name
from snapfs.stores.paging import PAGE
from snapfs.stores.s3_client import Got, Item, Page, S3Client, S3Settings, make_client
from snapfs.stores.s3_errors import (
    CONDITION_FAILED,
    CONFLICT,
    Refusal,
    foreign_errors,
    refusal_error,
    refusal_of,
    transport_error,
)

_PARTIAL_CONTENT = 206


class Bucket:
    """Objects of a bucket whose keys begin with `prefix/`, or all where the prefix is empty.

    Safe to call from many threads. boto3 is imported and the client made at first use, as both take
    a part of a second.
    """

    def __init__(
        self, bucket: str, prefix: str = "", *, settings: S3Settings | None = None
    ) -> None:
        self._bucket = bucket
        self._base = f"{prefix}/" if prefix else ""
        self._settings = settings or S3Settings()
        self._client: S3Client | None = None
        self._making_client = threading.Lock()

    @property
    def url(self) -> str:
        """As `Verbs.url`."""
        return f"s3://{self._bucket}/{self._base}".rstrip("/")

    @property
    def at_once(self) -> int:
        """As `Verbs.at_once`."""
        return self._settings.connections

    def close(self) -> None:
        """As `Verbs.close`."""
        if self._client is not None:
            self._client.close()

    def get(self, name: str, *, start: int = 0, length: int | None = None) -> bytes:
        """As `Verbs.get`."""
        check_range(start, length)
        check_name(name)
        asked = _range_header(start, length)
        with self._calling(name) as client:
            answer = client.get_object(Bucket=self._bucket, Key=self._base + name, **asked)
            with closing(answer["Body"]) as body:
                if asked:
                    self._check_range(name, answer, start, length)
                data = body.read()
        if len(data) != answer["ContentLength"]:
            raise StoreUnavailableError(f"{self.url}/{name}: the answer was cut short")
        return data

    def _check_range(self, name: str, answer: Got, start: int, length: int | None) -> None:
        """Look, before anything is read, whether what comes is what was asked for."""
        comes = answer["ContentLength"]
        whole = answer["ResponseMetadata"]["HTTPStatusCode"] != _PARTIAL_CONTENT
        if whole and (start or comes != length):
            raise StoreError(f"{self.url}: the server does not give ranges of objects")
        if length is not None and comes != length:
            raise ObjectTooShortError(f"{self.url}/{name}: has only {start + comes} bytes")

    def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        """As `Verbs.put`."""
        check_name(name)
        condition = {"IfNoneMatch": "*"} if if_absent else {}

        def conditional(refusal: Refusal, place: str) -> StoreError | None:
            if if_absent and refusal.status == CONDITION_FAILED:
                return ObjectExistsError(f"{place}: exists already")
            if if_absent and refusal.status == CONFLICT:
                return PutConflictError(f"{place}: another put was under way")
            return None

        # Some servers store an empty object when a writer dies before the first byte of its body,
        # and do not look whether the body is the one that was signed. Its MD5 they all compare.
        digest = b64encode(md5(data, usedforsecurity=False).digest()).decode()
        with self._calling(name, special=conditional) as client:
            client.put_object(
                Bucket=self._bucket,
                Key=self._base + name,
                Body=data,
                ContentMD5=digest,
                **condition,
            )

    def pages(self, prefix: str, *, after: str = "") -> Iterator[Sequence[Listed]]:
        """As `Verbs.pages`. Each is asked for by name: a token might expire meanwhile."""
        last = self._base + after
        more = True
        while more:
            page = self._page(prefix, last)
            items = page.get("Contents", ())
            keys = [item["Key"] for item in items]
            more = page.get("IsTruncated", False)
            # Catching up relies on the order, and this loop on getting on.
            unordered = any(b <= a for a, b in zip([last, *keys], keys, strict=False))
            if unordered or (more and not keys):
                raise StoreError(f"{self.url}: the server does not list in order of names")
            last = keys[-1] if keys else last
            if found := self._listed(items):
                yield found

    def _page(self, prefix: str, after_key: str) -> Page:
        # Some servers take an empty StartAfter for a name.
        after = {"StartAfter": after_key} if after_key else {}
        with self._calling(prefix) as client:
            return client.list_objects_v2(
                Bucket=self._bucket, Prefix=self._base + prefix, MaxKeys=PAGE, **after
            )

    def _listed(self, items: Sequence[Item]) -> Sequence[Listed]:
        skip = len(self._base)
        return tuple(
            Listed(item["Key"][skip:], item["Size"], item["LastModified"].timestamp())
            for item in items
            if is_name(item["Key"][skip:])
        )

    def delete(self, name: str) -> None:
        """As `Verbs.delete`."""
        check_name(name)
        try:
            with self._calling(name) as client:
                client.delete_object(Bucket=self._bucket, Key=self._base + name)
        except ObjectNotFoundError:
            return  # S3 itself never says so, some servers do

    def sweep(self, *, before: float) -> int:
        """As `Verbs.sweep`: a put is one request, and appears whole or leaves nothing."""
        return 0

    @contextmanager
    def _calling(
        self, name: str, *, special: Callable[[Refusal, str], StoreError | None] | None = None
    ) -> Iterator[S3Client]:
        """Give the client, and translate what its calls raise; `special` is asked first."""
        place = f"{self.url}/{name}"
        try:
            yield self._connected()
        except foreign_errors() as error:
            refusal = refusal_of(error)
            if refusal is None:
                raise transport_error(error, place=place) from error
            if special is not None and (told := special(refusal, place)) is not None:
                raise told from error
            raise refusal_error(refusal, place=place, bucket=self._bucket) from error

    def _connected(self) -> S3Client:
        with self._making_client:
            if self._client is None:
                try:
                    self._client = make_client(self._settings)
                except ValueError as error:
                    raise StoreError(
                        f"{self.url}: {error}", hint="See AWS_ENDPOINT_URL."
                    ) from error
            return self._client


def _range_header(start: int, length: int | None) -> dict[str, str]:
    if length is None:
        return {"Range": f"bytes={start}-"} if start else {}
    return {"Range": f"bytes={start}-{start + length - 1}"}
