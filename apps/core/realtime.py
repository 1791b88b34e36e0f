"""Real-time hints: what changed, on which topic, in which order. Readers re-read.

A hint is not the truth and may be lost; each topic counts its hints, so that a reader notices a gap
and re-reads. The last hints of a topic are kept for a while in Valkey, so that a reader that comes
back replays them. Sending never fails the caller.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError

from apps.core.ids import uuid7
from apps.core.transactions import after_commit

log = structlog.get_logger(__name__)

GATEWAY_CHANNEL = "fleetd:gateway"
KEPT_HINTS = 200
KEPT_SECONDS = 600

# Takes the next number of a topic and keeps the hint, in one step. A topic's first number is the
# time in milliseconds: when Valkey has lost the last one, the next is larger all the same, and a
# reader notices the gap instead of taking new hints for old ones.
_APPEND = """
local seq
if redis.call('EXISTS', KEYS[1]) == 1 then
  seq = redis.call('INCR', KEYS[1])
else
  local now = redis.call('TIME')
  seq = now[1] * 1000 + math.floor(now[2] / 1000)
  redis.call('SET', KEYS[1], string.format('%.0f', seq))
end
redis.call('EXPIRE', KEYS[1], 86400)
redis.call('RPUSH', KEYS[2], string.format('%.0f', seq) .. ' ' .. ARGV[1])
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[2]), -1)
redis.call('EXPIRE', KEYS[2], tonumber(ARGV[3]))
return seq
"""

_client: Any = None


def group_name(organization_id: UUID, topic: str) -> str:
    """The channel group of one organization's topic: two organizations never share one."""
    return f"o{organization_id.hex}.{topic}"


def send_hint(organization_id: UUID, topic: str, kind: str, data: dict[str, Any]) -> None:
    """Announces a change that is committed. From a thread; loses the hint if Valkey is away."""
    try:
        envelope = _number(organization_id, topic, _envelope(topic, kind, data))
        layer = get_channel_layer()
        message = {"type": "hint", "envelope": envelope}
        async_to_sync(layer.group_send)(group_name(organization_id, topic), message)
    except (RedisError, OSError) as error:
        log.warning("hint_not_sent", topic=topic, error=str(error))


def hints_since(organization_id: UUID, topic: str, since: int) -> list[dict[str, Any]] | None:
    """The kept hints after number `since`, or None where some are missing: re-read then."""
    last, kept = _kept(group_name(organization_id, topic))
    if since == last:
        return []
    missed = [hint for hint in kept if hint["seq"] > since]
    complete = since < last and len(missed) == last - since
    return missed if complete else None


def last_sequence(organization_id: UUID, topic: str) -> int:
    """The number of the topic's newest hint, 0 where there was none."""
    return int(_redis().get(f"hint-seq:{group_name(organization_id, topic)}") or 0)


class HintSender:
    """Sends many hints from an event loop, and only where somebody listens."""

    def __init__(self) -> None:
        self._client: Any = AsyncRedis.from_url(
            settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=1
        )

    async def watched_topics(self) -> dict[UUID, set[str]]:
        """The topics that have a subscriber now, by organization; none where Valkey is away."""
        found: dict[UUID, set[str]] = {}
        try:
            channels = await self._client.pubsub_channels(f"{_channel_prefix()}o*")
        except (RedisError, OSError) as error:
            log.warning("watched_topics_unknown", error=str(error))
            return found
        for channel in channels:
            name = channel.decode().removeprefix(_channel_prefix())
            organization, _, topic = name[1:].partition(".")
            found.setdefault(UUID(organization), set()).add(topic)
        return found

    async def send(
        self, organization_id: UUID, hints: Sequence[tuple[str, str, dict[str, Any]]]
    ) -> None:
        """Announces changes that are committed: topic, kind and data of each."""
        layer = get_channel_layer()
        try:
            for envelope in await self._number(organization_id, hints):
                group = group_name(organization_id, envelope["topic"])
                await layer.group_send(group, {"type": "hint", "envelope": envelope})
        except (RedisError, OSError) as error:
            log.warning("hints_not_sent", count=len(hints), error=str(error))

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _number(
        self, organization_id: UUID, hints: Sequence[tuple[str, str, dict[str, Any]]]
    ) -> list[dict[str, Any]]:
        envelopes = [_envelope(*hint) for hint in hints]
        async with self._client.pipeline(transaction=False) as pipeline:
            for envelope in envelopes:
                group = group_name(organization_id, envelope["topic"])
                keys = [f"hint-seq:{group}", f"hints:{group}"]
                text = orjson.dumps(envelope)
                pipeline.eval(_APPEND, 2, *keys, text, KEPT_HINTS, KEPT_SECONDS)
            numbers = await pipeline.execute()
        return [{**e, "seq": int(n)} for e, n in zip(envelopes, numbers, strict=True)]


def notify_gateways(kind: str, **fields: Any) -> None:
    """Tells every agent gateway, after commit, what to look at now; fields are ids and texts.

    Gateways look by themselves every few seconds, so a notice that is lost costs only time.
    """
    text = orjson.dumps({"kind": kind, **fields}, default=str)
    after_commit(lambda: _publish(text))


def _channel_prefix() -> str:
    """What the channel layer puts before the name of a group."""
    config: Any = settings.CHANNEL_LAYERS["default"]["CONFIG"]
    return f"{config['prefix']}__group__"


def _publish(text: bytes) -> None:
    try:
        _redis().publish(GATEWAY_CHANNEL, text)
    except (RedisError, OSError) as error:
        log.warning("gateways_not_notified", error=str(error))


def _envelope(topic: str, kind: str, data: dict[str, Any]) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"id": str(uuid7()), "time": now, "topic": topic, "type": kind, "data": data}


def _number(organization_id: UUID, topic: str, envelope: dict[str, Any]) -> dict[str, Any]:
    group = group_name(organization_id, topic)
    text = orjson.dumps(envelope)
    keys = [f"hint-seq:{group}", f"hints:{group}"]
    sequence = _redis().eval(_APPEND, 2, *keys, text, KEPT_HINTS, KEPT_SECONDS)
    return {**envelope, "seq": int(sequence)}


def _kept(group: str) -> tuple[int, list[dict[str, Any]]]:
    client = _redis()
    last = int(client.get(f"hint-seq:{group}") or 0)
    kept = []
    for entry in client.lrange(f"hints:{group}", 0, -1):
        number, _, text = entry.partition(b" ")
        kept.append({**orjson.loads(text), "seq": int(number)})
    return last, kept


def valkey() -> Any:
    """The client of hints and wake-ups. Raises `RedisError` and `OSError` where Valkey is away."""
    return _redis()


def _redis() -> Any:
    """One client per process, with short time limits: a hint is never worth waiting for."""
    global _client
    if _client is None:
        _client = Redis.from_url(
            settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=1, health_check_interval=30
        )
    return _client
