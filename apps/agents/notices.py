"""Notices from other processes: what to look at now. Losing one costs seconds, not work."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
import structlog
from django.conf import settings
from redis.asyncio import Redis
from redis.exceptions import RedisError

from apps.core.ids import parse_uuid
from apps.core.realtime import GATEWAY_CHANNEL

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 15.0
Notice = dict[str, Any]


class Notices:
    """Listens on the gateways' channel and speaks on it; goes on without Valkey."""

    def __init__(self, handle: Callable[[str, UUID, Notice], None], on_gap: Callable[[], None]):
        self._handle = handle
        self._on_gap = on_gap
        self._client = Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=2, health_check_interval=30
        )

    async def run(self) -> None:
        """Listens until cancelled. After each gap the gateway looks at everything itself."""
        delay = RETRY_SECONDS
        while True:
            try:
                async with self._client.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(GATEWAY_CHANNEL)
                    delay = RETRY_SECONDS
                    self._on_gap()
                    async for message in channel.listen():
                        self._take(message["data"])
            except (RedisError, OSError) as error:
                log.warning("notices_interrupted", error=type(error).__name__)
            await asyncio.sleep(delay)
            delay = min(2 * delay, MAX_RETRY_SECONDS)

    async def publish(self, kind: str, organization_id: UUID, **fields: Any) -> None:
        """Tells the other gateways; best effort."""
        text = orjson.dumps(
            {"kind": kind, "organization_id": organization_id, **fields}, default=str
        )
        try:
            await self._client.publish(GATEWAY_CHANNEL, text)
        except (RedisError, OSError) as error:
            log.warning("notice_not_sent", kind=kind, error=type(error).__name__)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    def _take(self, text: bytes) -> None:
        try:
            notice = orjson.loads(text)
            organization_id = parse_uuid(notice["organization_id"])
            kind = str(notice["kind"])
        except (ValueError, TypeError, KeyError):
            log.warning("notice_not_understood")
            return
        if organization_id is None:
            return
        try:
            self._handle(kind, organization_id, notice)
        except Exception as error:  # a notice is never worth the listener's life
            log.error("notice_failed", kind=kind, exc_info=error)


def uuid_pairs_in(notice: Notice, name: str) -> list[tuple[UUID, UUID]]:
    """The pairs of ids under `name`, without what is none."""
    found = []
    for item in notice.get(name) or ():
        ids = [parse_uuid(part) for part in item] if isinstance(item, list) else []
        if len(ids) == 2 and ids[0] is not None and ids[1] is not None:
            found.append((ids[0], ids[1]))
    return found
