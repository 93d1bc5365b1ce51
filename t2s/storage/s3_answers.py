"""What S3's answers mean: which of them pass, and what each other one tells its user to do.

403 SignatureDoesNotMatch    ->    AccessRefused("…: the secret does not belong to the access key; look at …")
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from t2s.errors import AccessRefused, ObjectMissing, StorageError

_TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}
# Codes that come with another status. The last two are AWS's answer to creations at the same moment.
_TRANSIENT_CODES = {"RequestTimeout", "Throttling", "SlowDown", "ConditionalRequestConflict", "OperationAborted"}

# Two ways in which a store says that `create` came too late (AWS and its kin; OSS).
_LOST_CODES = {"PreconditionFailed", "FileAlreadyExists"}

_OSS_DOMAIN = ".aliyuncs.com"

_REFUSALS = {
    "InvalidAccessKeyId": "it does not know the access key; look at AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL",
    "SignatureDoesNotMatch": "the secret does not belong to the access key; look at AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the token has expired; get a new AWS_SESSION_TOKEN",
    "InvalidToken": "it does not know the token; look at AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
}
_OTHER_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}


class Answer(NamedTuple):
    """An answer that is not the wanted one: HTTP status, S3's code ("404" where the server gave none) and message."""

    status: int
    code: str
    message: str

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.status in _TRANSIENT_STATUS or self.code in _TRANSIENT_CODES

    @property
    def has_lost(self) -> bool:
        """Whether the object was there before this creation."""
        return self.status == 412 or self.code in _LOST_CODES

    @property
    def is_bare(self) -> bool:
        """Whether it lacks S3's code, as every answer to HEAD does."""
        return not self.code or self.code.isdigit()


class Request(NamedTuple):
    """What was asked of whom: `action` is "read", "write", …; `key` is "" for the store as a whole; for `tried_s` s."""

    action: str
    uri: str
    key: str
    endpoint: str
    tried_s: float

    @property
    def thing(self) -> str:
        """The object, or the store."""
        return f"{self.uri}/{self.key}" if self.key else self.uri


def refusal(request: Request, answer: Answer) -> StorageError:
    """The error that tells the user what an answer means."""
    thing, action, endpoint = request.thing, request.action, request.endpoint
    said = f"{endpoint} answers {answer.status} {answer.code}".rstrip() + (
        f" ({answer.message})" * bool(answer.message)
    )
    if answer.code == "NoSuchBucket":
        return StorageError(
            f"{request.uri}: wanted its bucket at {endpoint}, found none; create it, or look at AWS_ENDPOINT_URL"
        )
    if answer.status == 404:
        return ObjectMissing(f"{thing}: wanted an object, found none; look at the path")
    if answer.code in _REFUSALS:
        return AccessRefused(f"{request.uri}: {endpoint} refuses ({answer.code}): {_REFUSALS[answer.code]}")
    if answer.code in _OTHER_REGION or answer.status == 301:
        return StorageError(f"{request.uri}: the bucket is in another region, {said}; look at AWS_DEFAULT_REGION")
    if answer.status in (401, 403):
        return AccessRefused(f"{thing}: may not {action} it, {said}; give the access key this right")
    if answer.may_pass:
        return StorageError(
            f"{thing}: cannot {action} it, {said}, tried for {request.tried_s:.0f} s; look at the server"
        )
    return StorageError(f"{thing}: cannot {action} it, {said}")


def no_answer(request: Request, reason: str) -> StorageError:
    """The error of a server that cannot be reached; `reason` is the system's own text."""
    return StorageError(
        f"{request.thing}: cannot {request.action} it, {request.endpoint} does not answer ({reason}), tried for "
        f"{request.tried_s:.0f} s; is it running, is AWS_ENDPOINT_URL right?"
    )


def no_credentials(request: Request) -> AccessRefused:
    """The error of a machine that has no credentials, or a key without its secret."""
    return AccessRefused(
        f"{request.uri}: wanted credentials for {request.endpoint}, found none or half of them; set AWS_ACCESS_KEY_ID "
        "and AWS_SECRET_ACCESS_KEY"
    )


def parsed_answer(parsed: Mapping[str, Any]) -> Answer:
    """The answer in what botocore has made of it."""
    error = parsed.get("Error", {})
    status = parsed.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return Answer(status, str(error.get("Code", "")), str(error.get("Message", "")))


def is_oss(endpoint: str) -> bool:
    """Whether it is Alibaba's OSS, which does some things its own way."""
    return (urlsplit(endpoint).hostname or "").endswith(_OSS_DOMAIN)


def forbid_overwrite(params: dict[str, Any], **_: Any) -> None:
    """Make a request to OSS create only; for botocore's event before a call."""
    params["headers"]["x-oss-forbid-overwrite"] = "true"


def version(item: Mapping[str, Any]) -> str:
    """What changes when a listed object does."""
    # JuiceFS's gateway gives no ETag unless told to keep them.
    tag: str = item.get("ETag", "").strip('"')
    return tag or item["LastModified"].isoformat()
