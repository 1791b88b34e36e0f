"""Server streams: what is committed, soon after it is, without holding anything while waiting."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar
from uuid import UUID

import structlog
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from apps.core.realtime import group_name
from apps.core.rpc import orm

log = structlog.get_logger(__name__)

T = TypeVar("T")

POLL_SECONDS = 4.0
"""How long a reader waits for a hint: the safety net, and how soon a lost right ends a stream."""
STREAM_SECONDS = 3600.0
"""How long a stream lasts at most; the client comes back with the last number it has seen."""


async def follow(
    organization_id: UUID, topic: str, read: Callable[[], Sequence[T]]
) -> AsyncIterator[T]:
    """What `read` finds, again and again: at once when the topic has a hint, else every 4 seconds.

    `read` runs in a thread inside the organization, in a transaction of its own; it checks the
    caller's rights each time and returns what is new.
    """
    ends_at = time.monotonic() + STREAM_SECONDS
    async with _listening(organization_id, topic) as heard:
        while time.monotonic() < ends_at:
            for item in await orm(organization_id, read):
                yield item
            await _wait(heard)


@asynccontextmanager
async def _listening(organization_id: UUID, topic: str) -> AsyncIterator[asyncio.Event]:
    """An event that is set by each hint of the topic. Without Valkey nothing sets it."""
    heard = asyncio.Event()
    task = asyncio.create_task(_listen(group_name(organization_id, topic), heard))
    try:
        yield heard
    finally:
        # The channel layer may swallow a cancellation that comes while it subscribes: ask again.
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=0.2)


async def _listen(group: str, heard: asyncio.Event) -> None:
    layer: Any = get_channel_layer()
    while True:
        try:
            channel = await layer.new_channel()
            try:
                await layer.group_add(group, channel)
                heard.set()  # what came before we listened is found by reading now
                while await layer.receive(channel):
                    heard.set()
            finally:
                await layer.group_discard(group, channel)
        except (RedisError, OSError) as error:
            log.warning("hints_not_heard", error=str(error))
            await asyncio.sleep(POLL_SECONDS)


async def _wait(heard: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(heard.wait(), POLL_SECONDS)
    heard.clear()
