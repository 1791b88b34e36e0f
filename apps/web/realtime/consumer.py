"""`/ws/v1`: one socket per tab, many topics. It carries hints; what they are about is read again.

In: {"op": "subscribe", "topic", "since"?}, {"op": "unsubscribe", "topic"}, {"op": "ping"}.
Out: {"op": "subscribed", "topic", "seq"}, {"op": "resync", "topic", "seq"}, {"op": "pong"},
{"op": "error", "topic", "code"}, and hints {"id", "seq", "time", "type", "topic", "data"}.
"""

import asyncio
import time
from collections.abc import Hashable
from functools import partial
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from redis.exceptions import RedisError

from apps.audit.services.refusals import record_refusal
from apps.audit.services.request_log import log_call
from apps.audit.types import Answered
from apps.core.actors import Actor, Call, Source
from apps.core.errors import FleetdError, PermissionDenied
from apps.core.ids import uuid7
from apps.core.limits import LimitReached
from apps.core.realtime import group_name, hints_since, last_sequence
from apps.core.rpc import DATABASE_AWAY, orm
from apps.web import call_limits, callers
from apps.web.realtime.topics import (
    MAX_LENGTH,
    audible,
    bare,
    is_limited,
    reach_of,
    readable,
    refusal_of,
)

log = structlog.get_logger(__name__)

MAX_TOPICS = 200
MAX_FRAME = 64 * 1024
BURST = 500
PER_SECOND = 25
RECHECK_SECONDS = 4.0

SIGNED_OUT = 4401
TOO_FAST = 4429
NOT_TEXT = 1003
TOO_BIG = 1009


class Budget:
    """How many messages a client may still send: a bucket that fills at a steady rate."""

    def __init__(self) -> None:
        self._left = float(BURST)
        self._at = time.monotonic()

    def take(self) -> bool:
        """Whether one more is fine."""
        now = time.monotonic()
        self._left = min(BURST, self._left + (now - self._at) * PER_SECOND)
        self._at = now
        self._left -= 1
        return self._left >= 0


class LiveConsumer(AsyncWebsocketConsumer):
    """One tab's socket. Rights are checked at each subscription and again every four seconds."""

    actor: Actor
    reach: Hashable

    async def connect(self) -> None:
        """Refuses foreign pages at the handshake, and people who are not signed in after it.

        A browser sees the reason of a closed socket only once it was open.
        """
        self.topics: set[str] = set()
        self.unjoined: set[str] = set()
        self.budget = Budget()
        self.rechecking: asyncio.Task[None] | None = None
        self.refused_topics: set[str] = set()
        self.call = Call(Source.UI, callers.address_of(self.scope), f"req_{uuid7().hex}")
        if not callers.is_own_page(self.scope):
            self._log("WS", code="foreign_origin", status="403")
            await self.close(HTTPStatus.FORBIDDEN)
            raise StopConsumer
        await self.accept()
        try:
            await call_limits.spend_async(call_limits.of_socket(callers.address_of(self.scope)))
            self.actor = await orm(None, callers.find_actor, self.scope)
            self.reach = await orm(self.actor, reach_of, self.actor)
        except LimitReached as error:
            self._log("WS", code=error.code, status=str(TOO_FAST))
            await self.close(TOO_FAST)
            return
        except FleetdError as error:
            self._log("WS", code=error.code, status=str(SIGNED_OUT))
            await self.close(SIGNED_OUT)
            return
        self._log("WS", code="ok", status="101")
        self.rechecking = asyncio.create_task(self._recheck_forever())

    async def disconnect(self, code: int) -> None:
        """Leaves every group."""
        if self.rechecking is not None:
            self.rechecking.cancel()
            await asyncio.gather(self.rechecking, return_exceptions=True)
        for topic in list(self.topics):
            await self._leave(topic)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """One message of the client."""
        if self.rechecking is None:  # refused already; what was under way is not read
            return
        if not self.budget.take():
            await self.close(TOO_FAST)
        elif text_data is None:
            await self.close(NOT_TEXT)
        elif len(text_data) > MAX_FRAME:
            await self.close(TOO_BIG)
        else:
            await self._handle(text_data)

    async def hint(self, message: dict[str, Any]) -> None:
        """A hint from the channel layer."""
        envelope = message["envelope"]
        if envelope["topic"] in self.topics:
            await self._tell(envelope)

    async def _handle(self, text: str) -> None:
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            message = None
        if not isinstance(message, dict):
            await self._say({"op": "error", "topic": "", "code": "invalid_message"})
            return
        topic, since = message.get("topic", ""), message.get("since")
        operation = message.get("op")
        if operation == "ping":
            await self._say({"op": "pong"})
        elif not isinstance(topic, str) or len(topic) > MAX_LENGTH:
            await self._say({"op": "error", "topic": "", "code": "invalid_message"})
        elif operation == "subscribe":
            is_number = isinstance(since, int) and 0 <= since < 2**53
            await self._subscribe(topic, since if is_number else None)
        elif operation == "unsubscribe":
            await self._leave(topic)
        else:
            await self._say({"op": "error", "topic": topic, "code": "invalid_message"})

    async def _subscribe(self, topic: str, since: int | None) -> None:
        if topic not in self.topics and len(self.topics) >= MAX_TOPICS:
            await self._say({"op": "error", "topic": topic, "code": "too_many_topics"})
            return
        refused = await orm(self.actor, refusal_of, self.actor, topic)
        if refused is not None:
            await self._say({"op": "error", "topic": topic, "code": "not_found"})
            await self._note_refusal(topic, refused)
            return
        # Joined before the past is read: what falls between comes twice rather than never.
        self.topics.add(topic)
        await self._join(topic)
        sequence, missed = await orm(None, self._past, topic, since)
        await self._say({"op": "subscribed", "topic": topic, "seq": sequence})
        if since is not None and missed is None:
            await self._say({"op": "resync", "topic": topic, "seq": sequence})
        for envelope in missed or []:
            await self._tell(envelope)

    async def _note_refusal(self, topic: str, error: FleetdError) -> None:
        """Into the request log, and into the audit trail where a right is missing.

        Once per topic and socket: a page that asks again and again says nothing new.
        """
        if topic in self.refused_topics or len(self.refused_topics) >= MAX_TOPICS:
            return
        self.refused_topics.add(topic)
        kind, _, rest = topic.partition(".")
        identifier, _, part = rest.partition(".")
        route = f"{kind[:20]}.<id>{'.' if part else ''}{part[:20]}"
        self._log("WS subscribe", route=route, code=error.code, status="404", of=identifier)
        if isinstance(error, PermissionDenied):
            refusal = partial(record_refusal, self.actor, error, method="WS", topic=topic)
            await orm(self.actor, refusal)

    def _log(
        self, method: str, *, code: str, status: str, route: str = "/ws/v1", of: str = ""
    ) -> None:
        """The line of the request log."""
        actor = getattr(self, "actor", None)
        log_call(actor, self.call, Answered(method, route, status, code, of))

    def _past(self, topic: str, since: int | None) -> tuple[int, list[dict[str, Any]] | None]:
        """The topic's newest number, and the hints after `since` if all of them are kept."""
        organization_id = self.actor.organization_id
        try:
            missed = None if since is None else hints_since(organization_id, topic, since)
            return last_sequence(organization_id, topic), missed
        except (RedisError, OSError):
            return 0, None

    async def _join(self, topic: str) -> None:
        """Joins the group. Without Valkey the topic waits until it is back."""
        group = group_name(self.actor.organization_id, topic)
        try:
            await self.channel_layer.group_add(group, self.channel_name)
            self.unjoined.discard(topic)
        except (RedisError, OSError) as error:
            log.warning("topic_not_joined", topic=topic, error=str(error))
            self.unjoined.add(topic)

    async def _leave(self, topic: str) -> None:
        if topic not in self.topics:
            return
        self.topics.discard(topic)
        self.unjoined.discard(topic)
        group = group_name(self.actor.organization_id, topic)
        try:
            await self.channel_layer.group_discard(group, self.channel_name)
        except (RedisError, OSError) as error:
            log.warning("topic_not_left", topic=topic, error=str(error))

    async def _recheck_forever(self) -> None:
        """Ends the socket of somebody who may not read any more, topic by topic or as a whole."""
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            try:
                actor = await orm(None, callers.recheck, self.scope, self.actor)
                await self._apply(actor)
            except FleetdError:
                await self.close(SIGNED_OUT)
                return
            except Exception as error:  # noqa: BLE001 - database or browser away: ask again later
                log.warning("socket_not_rechecked", error=str(error))
                continue
            for topic in list(self.unjoined):
                await self._join(topic)
                if topic not in self.unjoined:
                    await self._say({"op": "resync", "topic": topic, "seq": 0})

    async def _apply(self, actor: Actor) -> None:
        """Closes the topics that the person may not hear any more.

        Rights in device groups end without a change of the person, when a device or a group goes:
        whoever has such is looked at each time. With other rights the pages read everything again.
        """
        reach = await orm(actor, reach_of, actor)
        is_other = reach != self.reach
        self.actor = actor
        if not is_other and not actor.grants:
            return
        heard = await orm(actor, audible, actor, frozenset(self.topics))
        self.reach = reach  # only now: what fails before is done again by the next look
        for topic in self.topics - heard:
            await self._leave(topic)
            await self._say({"op": "error", "topic": topic, "code": "not_found"})
        for topic in list(self.topics) if is_other else []:
            await self._say({"op": "resync", "topic": topic, "seq": 0})

    async def _tell(self, envelope: dict[str, Any]) -> None:
        """Passes a hint on, without what the person may not see."""
        if is_limited(self.actor, envelope["topic"]):
            try:
                envelope = await orm(self.actor, readable, self.actor, envelope)
            except DATABASE_AWAY:
                envelope = bare(envelope)
        await self._say(envelope)

    async def _say(self, message: dict[str, Any]) -> None:
        await self.send(text_data=orjson.dumps(message).decode())
