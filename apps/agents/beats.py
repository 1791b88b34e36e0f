"""Heartbeats: kept in memory, the newest of each device, and flushed in batches."""

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import Counter

from apps.agents.messages import beat_of
from apps.agents.options import Options
from apps.agents.session import Heard, Session
from apps.core.rpc import orm
from apps.devices.types import Beat
from fleetd.pb.internal.agent.v1 import agent_pb2 as pb

log = structlog.get_logger(__name__)

HEARTBEATS = Counter("fleetd_agent_heartbeats", "Heartbeats received")
ROWS = Counter("fleetd_agent_states_flushed", "Device states written")

MAX_BACK_OFF_SECONDS = 5.0
Pending = dict[UUID, tuple[Session, Heard]]


class Beats:
    """Takes heartbeats without touching the database and writes them every quarter of a second.

    While PostgreSQL is away the newest heartbeat of each device is kept, so memory is bounded by
    the number of devices. One flush per organization runs at a time.
    """

    def __init__(
        self,
        flush: Callable[[UUID, list[Beat]], Any],
        options: Options,
        on_flushed: Callable[[UUID, list[Beat]], None],
    ) -> None:
        self._flush = flush
        self._options = options
        self._on_flushed = on_flushed
        self._pending: dict[UUID, Pending] = {}
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._delays: dict[UUID, float] = {}
        self.received = 0
        self._counted = 0

    def take(self, session: Session, heartbeat: pb.Heartbeat) -> None:
        """Keeps a heartbeat; called for each, so it does next to nothing."""
        self.received += 1
        pending = self._pending.get(session.organization_id)
        if pending is None:
            pending = self._pending[session.organization_id] = {}
        pending[session.device_id] = (session, Heard(heartbeat, time.time()))

    async def run(self) -> None:
        """Flushes until cancelled."""
        while True:
            await asyncio.sleep(self._options.flush_seconds)
            self.start_flush()

    async def settle(self) -> None:
        """Writes what is there, once."""
        self.start_flush()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def start_flush(self) -> None:
        """Begins a flush of each organization that has heartbeats and no flush under way."""
        HEARTBEATS.inc(self.received - self._counted)
        self._counted = self.received
        for organization_id in [o for o in self._pending if o not in self._running]:
            pending = self._pending.pop(organization_id)
            task = asyncio.create_task(self._flush_organization(organization_id, pending))
            self._running[organization_id] = task

    async def _flush_organization(self, organization_id: UUID, pending: Pending) -> None:
        rows = list(pending.values())
        try:
            for start in range(0, len(rows), self._options.flush_rows):
                chunk = rows[start : start + self._options.flush_rows]
                # In the order of devices, as all writers lock rows.
                chunk.sort(key=lambda row: row[0].device_id)
                beats = [beat_of(session, heard) for session, heard in chunk]
                await orm(organization_id, self._flush, organization_id, beats)
                ROWS.inc(len(beats))
                self._on_flushed(organization_id, beats)
            self._delays.pop(organization_id, None)
        except Exception as error:  # noqa: BLE001  kept for the next flush
            log.warning("beats_not_flushed", devices=len(rows), error=type(error).__name__)
            self._put_back(organization_id, pending)
            delay = self._delays.get(organization_id, self._options.flush_seconds)
            self._delays[organization_id] = min(2 * delay, MAX_BACK_OFF_SECONDS)
            await asyncio.sleep(delay)
        finally:
            del self._running[organization_id]

    def _put_back(self, organization_id: UUID, pending: Pending) -> None:
        """What came meanwhile is newer."""
        self._pending[organization_id] = {**pending, **self._pending.get(organization_id, {})}
