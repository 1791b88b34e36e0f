"""Sending the bytes of an artifact: whole or one range, in constant memory."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from apps.core.errors import NotFound, Unavailable
from apps.core.rest.problems import Problem, problem_response
from apps.updates.domain.ranges import ByteRange, NotSatisfiable, is_same, parse_range
from apps.updates.selectors.artifacts import is_stored, open_stored

CHUNK_BYTES = 256 * 1024
CONTENT_TYPE = "application/octet-stream"
# What the document says of bytes, and of answers that are some.
BYTES = {"type": "string", "format": "binary"}
SENT = {(200, CONTENT_TYPE): BYTES, (206, CONTENT_TYPE): BYTES, 304: None}


def send_artifact(request: HttpRequest, artifact: Any) -> HttpResponseBase:
    """Answers GET and HEAD with Range, If-Range and If-None-Match (RFC 9110).

    Django's own file response is not used: served through ASGI it reads the whole file into
    memory. It asks the storage, so doors on the event loop call it in a thread. Raises `NotFound`
    where the file is gone, `Unavailable` where the storage does not answer.
    """
    if not _is_stored(artifact):
        raise NotFound("The file of this artifact is gone from the storage.")
    etag, size = f'"{artifact.sha256}"', artifact.size_bytes
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache, no-transform",
        "Content-Disposition": "attachment",
        "X-Content-Type-Options": "nosniff",
    }
    if is_same_content(request.headers.get("If-None-Match", ""), etag):
        return HttpResponse(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    try:
        part = _part(request, etag, size)
    except NotSatisfiable:
        return _no_such_bytes(request, size)
    if part is not None:
        headers["Content-Range"] = part.content_range
    sent = part or ByteRange(0, size - 1, size)
    headers["Content-Length"] = str(sent.length)
    status = HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT
    if request.method == "HEAD":
        return HttpResponse(b"", CONTENT_TYPE, status, headers=headers)
    chunks = _chunks(artifact, sent)
    return StreamingHttpResponse(chunks, status=status, content_type=CONTENT_TYPE, headers=headers)


def is_same_content(if_none_match: str, etag: str) -> bool:
    """Whether the client has this content already; weak tags compare by their text."""
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in tags or "*" in tags


def _part(request: HttpRequest, etag: str, size: int) -> ByteRange | None:
    """The range that is asked for; only GET knows ranges."""
    header = request.headers.get("Range", "")
    if request.method != "GET" or not header:
        return None
    return parse_range(header, size) if is_same(request.headers.get("If-Range", ""), etag) else None


def _no_such_bytes(request: HttpRequest, size: int) -> HttpResponse:
    headers = {"Content-Range": f"bytes */{size}"}
    message = f"The file has {size} bytes."
    return problem_response(
        request, Problem(416, "range_not_satisfiable", message, headers=headers)
    )


def _is_stored(artifact: Any) -> bool:
    try:
        return is_stored(artifact)
    except OSError as error:
        raise Unavailable("The artifact storage does not answer.") from error


async def _chunks(artifact: Any, part: ByteRange) -> AsyncIterator[bytes]:
    """The bytes, read in threads: the event loop never waits for a disk or another server."""
    file = await asyncio.to_thread(open_stored, artifact, part.first, part.length)
    try:
        left = part.length
        while left and (chunk := await asyncio.to_thread(file.read, min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk
    finally:
        file.close()
