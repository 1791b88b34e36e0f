"""internal.health.v1: what this process depends on, and whether it is there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from django.conf import settings
from django.db import connection
from google.protobuf.timestamp_pb2 import Timestamp
from redis.asyncio import Redis

from apps.core import clock
from apps.core.rpc import orm
from fleetd.pb.internal.health.v1 import health_pb2 as pb

CHECK_SECONDS = 2.0
WATCH_SECONDS = 5.0


async def check_database() -> None:
    """Raises unless PostgreSQL answers."""
    await orm(None, _select_one)


async def check_valkey() -> None:
    """Raises unless Valkey answers."""
    client = Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
    async with client:
        await client.ping()


def _select_one() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


# Without PostgreSQL a process cannot serve; without Valkey it can, later rather than sooner.
CHECKS: dict[str, tuple[Callable[[], Awaitable[None]], bool]] = {
    "postgresql": (check_database, True),
    "valkey": (check_valkey, False),
}


class HealthServicer:
    """Answers load balancers and our own processes."""

    async def check(self, request: pb.CheckRequest, ctx: Any) -> pb.CheckResponse:
        """What is there now."""
        dependencies, is_serving = await examine()
        return pb.CheckResponse(
            status=_status(is_serving), dependencies=dependencies, checked_at=_now()
        )

    async def watch(self, request: pb.WatchRequest, ctx: Any) -> AsyncIterator[pb.WatchResponse]:
        """What is there now, then each change."""
        last = None
        while True:
            dependencies, is_serving = await examine()
            seen = [(d.name, d.status) for d in dependencies]
            if seen != last:
                last = seen
                yield pb.WatchResponse(
                    status=_status(is_serving), dependencies=dependencies, checked_at=_now()
                )
            await asyncio.sleep(WATCH_SECONDS)


async def examine() -> tuple[list[pb.Dependency], bool]:
    """Every dependency with its state, and whether this process can serve."""
    dependencies, is_serving = [], True
    for name, (check, is_required) in CHECKS.items():
        detail = await _examine_one(check)
        dependencies.append(pb.Dependency(name=name, status=_status(not detail), detail=detail))
        is_serving = is_serving and not (detail and is_required)
    return dependencies, is_serving


async def _examine_one(check: Callable[[], Awaitable[None]]) -> str:
    """What is wrong, empty for nothing. Never the text of an exception: it may name hosts."""
    try:
        await asyncio.wait_for(check(), CHECK_SECONDS)
    except TimeoutError:
        return "does not answer in time"
    except Exception:  # noqa: BLE001  whatever it is, it is not there
        return "cannot be reached"
    return ""


def _status(is_serving: bool) -> pb.ServingStatus.ValueType:
    return pb.SERVING_STATUS_SERVING if is_serving else pb.SERVING_STATUS_NOT_SERVING


def _now() -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(clock.now())
    return stamp
