"""Reading answers that are sent in parts."""

from typing import Any

from asgiref.sync import async_to_sync


def body_of(response: Any) -> bytes:
    """The whole body. Files are sent by asynchronous iterators, which ASGI reads as they come."""
    return async_to_sync(_joined)(response) if response.streaming else bytes(response.content)


async def _joined(response: Any) -> bytes:
    return b"".join([chunk async for chunk in response.streaming_content])
