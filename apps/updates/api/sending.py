"""Sending the bytes of an artifact: whole or one range, in constant memory."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from apps.core.errors import NotFound
from apps.core.rest.problems import Problem, problem_response
from apps.updates.domain.ranges import ByteRange, NotSatisfiable, is_same, parse_range

CHUNK_BYTES = 256 * 1024
CONTENT_TYPE = "application/octet-stream"


def send_file(request: HttpRequest, path: Path, sha256: str, size: int) -> HttpResponseBase:
    """Answers GET and HEAD with Range, If-Range and If-None-Match (RFC 9110).

    Django's own file response is not used: served through ASGI it reads the whole file into
    memory. Raises `NotFound` where the file is gone.
    """
    if not path.is_file():
        raise NotFound("The file of this artifact is gone from the storage.")
    etag = f'"{sha256}"'
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
    chunks = _chunks(path, sent)
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


async def _chunks(path: Path, part: ByteRange) -> AsyncIterator[bytes]:
    """The bytes, read in threads: the event loop never waits for the disk."""
    file = await asyncio.to_thread(path.open, "rb", buffering=0)
    try:
        await asyncio.to_thread(file.seek, part.first)
        left = part.length
        while left and (chunk := await asyncio.to_thread(file.read, min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk
    finally:
        file.close()
