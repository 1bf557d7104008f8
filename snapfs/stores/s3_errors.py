"""From what boto3 raises to the errors of stores: what happened, and whether to try again."""

import ssl
from dataclasses import dataclass

from snapfs.errors import (
    ObjectNotFoundError,
    ObjectTooShortError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)

CONDITION_FAILED = 412
CONFLICT = 409

_BUSY_STATUS = frozenset({408, 425, 429})
_LASTING_STATUS = frozenset({501, 505})
"failures of a server that are its nature"
_BUSY_CODES = frozenset(
    {"InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown"}
)
_FULL_CODES = frozenset({"QuotaExceeded", "XMinioStorageFull", "XMinioStorageQuotaExceeded"})
_INSUFFICIENT_STORAGE = 507
_STALE_KEY_CODES = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})

_KEYS_HINT = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws with AWS_PROFILE."
)
_FORBIDDEN_HINT = (
    "Check the credentials and the bucket's policy: snapfs needs s3:GetObject, s3:PutObject,"
    " s3:DeleteObject and s3:ListBucket (without the last, absent objects look forbidden)."
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of the server that was no success."""

    status: int
    "of HTTP"
    code: str
    "S3's name for the error; the status again where the server gave none"
    message: str
    cut: bool = False
    "the server gave it, but the connection ended before it came"


def refusal_error(refusal: Refusal, *, place: str, bucket: str) -> StoreError:
    """What a refusal means for any verb. `place` is the object's URL."""
    what = f"{place}: {refusal.code} (status {refusal.status}) {refusal.message}".rstrip()
    if refusal.cut:
        return StoreUnavailableError(f"{what} (the answer was cut short)")
    if refusal.code == "NoSuchKey":
        return ObjectNotFoundError(f"{place}: no such object")
    if refusal.code == "NoSuchBucket":
        return StoreError(
            f"the bucket {bucket} does not exist",
            hint="Create it, or check its name, AWS_ENDPOINT_URL and the region.",
        )
    if refusal.code == "InvalidRange":
        return ObjectTooShortError(f"{place}: has fewer bytes than were asked for")
    if refusal.code in _FULL_CODES or refusal.status == _INSUFFICIENT_STORAGE:
        return StoreFullError(what)
    if _is_busy(refusal):
        return StoreUnavailableError(what)
    return StoreError(what, hint=_hint(refusal))


def _is_busy(refusal: Refusal) -> bool:
    if refusal.code in _BUSY_CODES or refusal.status in _BUSY_STATUS:
        return True
    return refusal.status >= 500 and refusal.status not in _LASTING_STATUS


def _hint(refusal: Refusal) -> str:
    if refusal.code == "RequestTimeTooSkewed":
        return "Set this machine's clock."
    if refusal.code in _STALE_KEY_CODES:
        return _KEYS_HINT
    if refusal.status in {401, 403}:
        return _FORBIDDEN_HINT
    if refusal.status in {301, 307, 400, 404, 405}:
        return "Check AWS_ENDPOINT_URL and the region: does an S3 server answer there?"
    return ""


def refusal_of(error: Exception) -> Refusal | None:
    """The server's answer, where the error is one."""
    from botocore.exceptions import ClientError

    if not isinstance(error, ClientError):
        return None
    details = error.response.get("Error", {})
    answer = error.response.get("ResponseMetadata", {})
    status, code = int(answer.get("HTTPStatusCode", 0)), str(details.get("Code", ""))
    headers = answer.get("HTTPHeaders", {})
    # botocore puts the status where it could not read the code.
    promised = "xml" in headers.get("content-type", "") and headers.get("content-length") != "0"
    return Refusal(status, code, str(details.get("Message", "")), promised and code == str(status))


def foreign_errors() -> tuple[type[Exception], ...]:
    """All that a call of boto3, or reading a body, raises for reasons outside this program."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    return (BotoCoreError, ClientError, ResponseParserError, HTTPError, OSError)


def transport_error(error: Exception, *, place: str) -> StoreError:
    """What it means that there was no answer, or not a whole one."""
    from botocore import exceptions as boto

    what = f"{place}: {error}"
    if isinstance(
        error,
        boto.NoCredentialsError
        | boto.PartialCredentialsError
        | boto.CredentialRetrievalError
        | boto.TokenRetrievalError
        | boto.NoAuthTokenError
        | boto.ProfileNotFound,
    ):
        return StoreError(what, hint=_KEYS_HINT)
    if _is_distrust(error):
        return StoreError(what, hint="Set AWS_CA_BUNDLE to the certificates of your own server.")
    if isinstance(error, boto.BotoCoreError) and not isinstance(
        error, boto.HTTPClientError | boto.ConnectionError | boto.IncompleteReadError
    ):
        return StoreError(what)
    return StoreUnavailableError(what)


def _is_distrust(error: BaseException | None) -> bool:
    """Whether somewhere below lies a certificate that was not accepted."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
