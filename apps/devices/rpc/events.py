"""The stream of device events: committed rows, soon after commit."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import needs, require_somewhere
from apps.core.ids import parse_uuid
from apps.core.public import id_of, timestamp
from apps.core.rpc import current_actor, orm
from apps.core.streams import follow
from apps.devices.permissions import VIEW_DEVICES
from apps.devices.public import device_messages
from apps.devices.selectors import get_device, list_devices_by_id
from apps.devices.types import DeviceEvent
from apps.events.selectors import list_events_after
from apps.organizations.selectors import refreshed
from fleetd.pb.public.v1 import fleet_pb2 as pb

OVERLAP = timedelta(seconds=5)
"""Ids are given before commit: an event may appear behind one that was seen already. Each read
goes back by this much, and what it knows from the last read is not told again."""
BATCH = 500


@needs(VIEW_DEVICES)
async def stream_device_events(
    self: object, request: pb.StreamDeviceEventsRequest, ctx: object
) -> AsyncIterator[pb.StreamDeviceEventsResponse]:
    """What happens to the devices that the caller may see, from now on."""
    actor = current_actor()
    reader = await orm(actor, Reader.starting_now, actor, request.device_id)
    topic = reader.topic
    async for response in follow(actor.organization_id, topic, reader.read):
        yield response


@dataclass(slots=True)
class Reader:
    """Where one stream stands."""

    actor: Actor
    device_id: UUID | None
    window_start: UUID
    known: set[UUID] = field(default_factory=set)
    sequence: int = 0

    @classmethod
    def starting_now(cls, actor: Actor, device_id: str) -> "Reader":
        """A stream for one device, or for all where none is named. The caller may see it."""
        require_somewhere(actor, VIEW_DEVICES)
        wanted = id_of(device_id) if device_id else None
        if wanted is not None:
            get_device(actor, wanted)
        reader = cls(actor, wanted, first_id_at(clock.now() - OVERLAP))
        reader._new_rows()  # what is there already is not told
        return reader

    @property
    def topic(self) -> str:
        """The topic whose hints say that there may be something new."""
        if self.device_id is not None:
            return f"device.{self.device_id}"
        return f"org.{self.actor.organization_id}.devices"

    def read(self) -> list[pb.StreamDeviceEventsResponse]:
        """Events that were not sent before, each with its device as it is now.

        Of devices out of reach nothing is told. The stream of one device ends with its sight.
        """
        self.actor = refreshed(self.actor)
        require_somewhere(self.actor, VIEW_DEVICES)
        if self.device_id is not None:
            get_device(self.actor, self.device_id)
        rows = self._new_rows()
        ids = {device_id for row in rows if (device_id := _device_id(row)) is not None}
        devices = list_devices_by_id(self.actor, ids) if ids else []
        messages = {m.id: m for m in device_messages(self.actor, devices)}
        return [self._response(row, messages) for row in rows if str(_device_id(row)) in messages]

    def _new_rows(self) -> list[Any]:
        """Rows of the window that the last read did not see; then moves the window on."""
        rows, after = [], self.window_start
        while True:
            found = list_events_after(self.actor, after, types=_types(), limit=BATCH)
            rows += found
            if len(found) < BATCH:
                break
            after = found[-1].id
        new = [row for row in rows if row.id not in self.known and self._is_wanted(row)]
        self.known = {row.id for row in rows}
        self.window_start = max(self.window_start, first_id_at(clock.now() - OVERLAP))
        return new

    def _is_wanted(self, row: Any) -> bool:
        return self.device_id is None or _device_id(row) == self.device_id

    def _response(self, row: Any, messages: dict[str, pb.Device]) -> pb.StreamDeviceEventsResponse:
        self.sequence += 1
        device_id = str(_device_id(row))
        return pb.StreamDeviceEventsResponse(
            id=str(row.id),
            sequence=self.sequence,
            time=timestamp(row.created_at),
            type=row.type,
            device_id=device_id,
            device=messages[device_id],
        )


def first_id_at(moment: datetime) -> UUID:
    """The smallest UUIDv7 of a moment."""
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | 0x2 << 62)


def _device_id(row: Any) -> UUID | None:
    return parse_uuid(row.payload.get("device_id"))


def _types() -> tuple[str, ...]:
    return tuple(kind.type for kind in DeviceEvent.__subclasses__() if kind.type)
