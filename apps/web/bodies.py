"""Limits on requests before Django spools them: it keeps whatever comes, on disk, before any view.

Only uploads of callers who are known may be long. Nobody may be endlessly slow.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson
from django.conf import settings

from apps.core.actors import Call, Source
from apps.core.errors import FleetdError
from apps.core.ids import uuid7
from apps.core.rest.problems import CONTENT_TYPE, TITLES, TYPE_BASE
from apps.core.rpc import orm
from apps.organizations.services.authentication import authenticate_caller, presented_credential
from apps.web import callers
from apps.web.middleware import BODY_SLACK, PART_BYTES, PARTS, UPLOADS
from apps.web.request_log import log_unread

MAX_HEADER_BYTES = 32 * 1024
MAX_HEADERS = 100
MAX_TARGET_BYTES = 8 * 1024
# A body may take its first seconds, and then as long as it needs at this rate.
SLOWEST_BYTES_PER_SECOND = 4 * 1024


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is said instead of an answer."""

    status: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Limit:
    """How long a body may be, and what is said about a longer one."""

    size: int
    refusal: Refusal = Refusal(413, "body_too_large", "The body is longer than it may be here.")


TOO_SLOW = Refusal(408, "request_timeout", "The request took too long to arrive.")
NOT_ENCODED = Refusal(415, "unsupported_encoding", "Send the body as it is, without encoding.")
TARGET_TOO_LONG = Refusal(414, "address_too_long", f"An address has {MAX_TARGET_BYTES} bytes.")
HEADERS_TOO_LARGE = Refusal(
    431, "headers_too_large", f"Headers have {MAX_HEADER_BYTES} bytes together."
)


class Refused(Exception):
    """The rest of the request is not read."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(refusal.code)


class Patience:
    """How long the body of one request may still take."""

    def __init__(self) -> None:
        self._began = asyncio.get_running_loop().time()
        self._bytes = 0

    @property
    def until(self) -> float:
        """The loop's time at which the next part must have come."""
        earned = self._bytes / SLOWEST_BYTES_PER_SECOND
        return self._began + float(settings.BODY_SECONDS) + earned

    def came(self, size: int) -> None:
        """A part has come."""
        self._bytes += size


def with_head_limits(application: Any) -> Any:
    """The ASGI application that is spared heads which are too large."""

    async def limited(scope: Any, receive: Any, send: Any) -> None:
        refusal = _refusal_of_head(scope) if scope["type"] == "http" else None
        if refusal is None:
            await application(scope, receive, send)
        else:
            await refuse(scope, send, refusal)

    return limited


def with_body_limit(application: Any) -> Any:
    """The ASGI application that reads at most as much as a request may have, in time."""

    async def limited(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        if _is_encoded(scope):
            await refuse(scope, send, NOT_ENCODED)
            return
        has_begun = False

        async def note(message: Any) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await application(scope, _bounded(receive, await _limit(scope)), note)
        except Refused as refused:
            if not has_begun:
                await refuse(scope, send, refused.refusal)

    return limited


def _bounded(receive: Callable[[], Any], limit: Limit) -> Callable[[], Any]:
    """Receives until the limit; raises `Refused`. After the body it only waits for the end."""
    patience, left, is_complete = Patience(), limit.size, False

    async def receive_some() -> Any:
        nonlocal left, is_complete
        if is_complete:
            return await receive()
        try:
            async with asyncio.timeout_at(patience.until):
                message = await receive()
        except TimeoutError:
            raise Refused(TOO_SLOW) from None
        size = len(message.get("body", b""))
        patience.came(size)
        left -= size
        if left < 0:
            raise Refused(limit.refusal)
        is_complete = not message.get("more_body", False)
        return message

    return receive_some


def _refusal_of_head(scope: Any) -> Refusal | None:
    target = len(scope.get("raw_path") or scope["path"]) + len(scope.get("query_string", b""))
    if target > MAX_TARGET_BYTES:
        return TARGET_TOO_LONG
    headers = scope["headers"]
    size = sum(len(name) + len(value) + 4 for name, value in headers)
    return HEADERS_TOO_LARGE if size > MAX_HEADER_BYTES or len(headers) > MAX_HEADERS else None


def _is_encoded(scope: Any) -> bool:
    """Whether a body would have to be unpacked: nobody here does."""
    encodings = [v.strip().lower() for name, v in scope["headers"] if name == b"content-encoding"]
    return any(encoding not in (b"", b"identity") for encoding in encodings)


async def _limit(scope: Any) -> Limit:
    small = Limit(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + BODY_SLACK)
    is_part = scope["method"] == "PATCH" and PARTS.fullmatch(scope["path"])
    if not is_part and (scope["method"] != "POST" or not UPLOADS.fullmatch(scope["path"])):
        return small
    if await orm(None, _is_known, scope):
        size = PART_BYTES if is_part else settings.ARTIFACT_MAX_BYTES
        return Limit(size + BODY_SLACK)
    unknown = Refusal(401, "unauthenticated", "Sign in, or send an API key.")
    return replace(small, refusal=unknown)


def _is_known(scope: Any) -> bool:
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    call = Call(Source.REST, callers.address_of(scope))
    try:
        credential = presented_credential(headers.get(b"authorization"), headers.get(b"x-api-key"))
        if credential:
            authenticate_caller(call, credential, headers.get(b"fleetd-organization", ""))
        else:
            callers.find_actor(scope)
    except FleetdError:
        return False
    return True


async def refuse(scope: Any, send: Any, refusal: Refusal) -> None:
    """Answers with a problem document and ends the connection: what follows is not read."""
    request_id = f"req_{uuid7().hex}"
    log_unread(scope, refusal.status, refusal.code, request_id)
    document = {
        "type": TYPE_BASE + refusal.code,
        "title": TITLES.get(refusal.status, "Error"),
        "status": refusal.status,
        "detail": refusal.detail,
        "instance": scope["path"][:200],
        "code": refusal.code,
        "request_id": request_id,
        "errors": [],
    }
    headers = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"cache-control", b"no-store"),
        (b"request-id", request_id.encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps(document)})
