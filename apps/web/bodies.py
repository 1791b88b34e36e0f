"""A limit on bodies before Django spools them: it keeps whatever comes, on disk, before any view.

Only uploads of callers who are known may be long.
"""

import json
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from apps.core.actors import Call, Source
from apps.core.errors import FleetdError
from apps.core.rest.problems import CONTENT_TYPE, TYPE_BASE
from apps.core.rpc import orm
from apps.organizations.services.authentication import authenticate_caller, presented_credential
from apps.web import callers
from apps.web.middleware import BODY_SLACK, UPLOADS


@dataclass(frozen=True, slots=True)
class Limit:
    """How long a body may be, and what is said about a longer one."""

    size: int
    status: int = 413
    code: str = "body_too_large"
    title: str = "Too large"
    detail: str = "The body is longer than this request may have."


class BodyTooLarge(Exception):
    """More bytes came than this request may have."""


def with_body_limit(application: Any) -> Any:
    """The ASGI application that reads at most as much as a request may have."""

    async def limited(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        limit = await _limit(scope)
        left = limit.size

        async def receive_some() -> Any:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise BodyTooLarge
            return message

        try:
            await application(scope, receive_some, send)
        except BodyTooLarge:
            await _refuse(scope, send, limit)

    return limited


async def _limit(scope: Any) -> Limit:
    small = Limit(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + BODY_SLACK)
    if scope["method"] != "POST" or not UPLOADS.fullmatch(scope["path"]):
        return small
    if await orm(None, _is_known, scope):
        return Limit(settings.ARTIFACT_MAX_BYTES + BODY_SLACK)
    return Limit(
        small.size, 401, "unauthenticated", "Sign in first", "Sign in, or send an API key."
    )


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


async def _refuse(scope: Any, send: Any, limit: Limit) -> None:
    document = {
        "type": TYPE_BASE + limit.code,
        "title": limit.title,
        "status": limit.status,
        "detail": limit.detail,
        "instance": scope["path"],
        "code": limit.code,
        "request_id": "",
        "errors": [],
    }
    headers = [(b"content-type", CONTENT_TYPE.encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": limit.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(document).encode()})
