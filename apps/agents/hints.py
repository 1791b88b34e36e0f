"""Live hints: who watches a device sees its numbers move, at most once a second."""

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.agents.options import Options
from apps.core import clock
from apps.core.realtime import HintSender
from apps.devices.domain import connectivity as rules
from apps.devices.types import Beat

KIND = "devices.state.changed"


class Hints:
    """Gathers what was flushed and tells those who watch, once a second and topic."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._sender = HintSender()
        self._pending: dict[UUID, dict[UUID, tuple[Beat, datetime]]] = {}

    def note(self, organization_id: UUID, beats: list[Beat]) -> None:
        """These states are stored now."""
        now = clock.now()
        pending = self._pending.setdefault(organization_id, {})
        for beat in beats:
            pending[beat.device_id] = (beat, now)

    async def run(self) -> None:
        """Sends until cancelled."""
        while True:
            await asyncio.sleep(self._options.hint_seconds)
            await self.send()

    async def close(self) -> None:
        """Closes the connections."""
        await self._sender.close()

    async def send(self) -> None:
        """Sends what has gathered to the topics that somebody watches."""
        gathered, self._pending = self._pending, {}
        if not gathered:
            return
        watched = await self._sender.watched_topics()
        for organization_id, states in gathered.items():
            topics = watched.get(organization_id, set())
            hints = [*self._for_list(organization_id, states, topics)]
            hints += [
                (topic, KIND, {"devices": [_state(*states[device_id])]})
                for device_id in states
                if (topic := f"device.{device_id}") in topics
            ]
            if hints:
                await self._sender.send(organization_id, hints)

    def _for_list(
        self, organization_id: UUID, states: dict[UUID, tuple[Beat, datetime]], topics: set[str]
    ) -> list[tuple[str, str, dict[str, Any]]]:
        """One hint for the list of devices. A large fleet's is cut: the page reads again."""
        topic = f"org.{organization_id}.devices"
        if topic not in topics:
            return []
        newest = list(states.values())[-self._options.hint_devices :]
        data = {"devices": [_state(*s) for s in newest], "is_complete": len(newest) == len(states)}
        return [(topic, KIND, data)]


def _state(beat: Beat, seen_at: datetime) -> dict[str, Any]:
    return {
        "id": str(beat.device_id),
        "connectivity": rules.connected_as(beat.clock_skew_seconds, beat.disk_ratio).value,
        "last_seen_at": seen_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "cpu_ratio": round(beat.cpu_ratio, 4),
        "memory_ratio": round(beat.memory_ratio, 4),
        "disk_ratio": round(beat.disk_ratio, 4),
        "temperature_celsius": beat.temperature_celsius,
        "uptime_seconds": beat.uptime_seconds,
    }
