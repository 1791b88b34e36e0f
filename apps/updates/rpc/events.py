"""The stream of a rollout's log: from a sequence number on, then live."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from apps.core.actors import Actor
from apps.core.authz import needs
from apps.core.pagination import PageRequest
from apps.core.public import id_of
from apps.core.rpc import current_actor, orm
from apps.core.streams import follow
from apps.organizations.selectors import refreshed
from apps.updates.messages import event_message, rollout_message
from apps.updates.permissions import VIEW_ROLLOUTS
from apps.updates.selectors.rollouts import get_rollout, list_rollout_events
from fleetd.pb.public.v1 import fleet_pb2 as pb

BATCH = 200


@needs(VIEW_ROLLOUTS)
async def stream_rollout_events(
    self: object, request: pb.StreamRolloutEventsRequest, ctx: object
) -> AsyncIterator[pb.StreamRolloutEventsResponse]:
    """The rollout's log from a sequence number on, then live."""
    actor = current_actor()
    reader = await orm(actor, Reader.opened, actor, request.rollout_id, request.after_sequence)
    topic = f"rollout.{reader.rollout_id}"
    async for response in follow(actor.organization_id, topic, reader.read):
        yield response


@dataclass(slots=True)
class Reader:
    """Where one stream stands."""

    actor: Actor
    rollout_id: UUID
    sequence: int

    @classmethod
    def opened(cls, actor: Actor, rollout_id: str, after_sequence: int) -> "Reader":
        """A stream for a rollout that the caller may see."""
        rollout = get_rollout(actor, id_of(rollout_id))
        return cls(actor, rollout.id, min(after_sequence, 2**63 - 1))

    def read(self) -> list[pb.StreamRolloutEventsResponse]:
        """All entries after the last one that was sent; the last of them has the rollout."""
        self.actor = refreshed(self.actor)
        page = PageRequest(size=BATCH)
        found: list[pb.StreamRolloutEventsResponse] = []
        while True:
            events = list_rollout_events(
                self.actor, self.rollout_id, page, after_sequence=self.sequence
            ).items
            found += [pb.StreamRolloutEventsResponse(event=event_message(e)) for e in events]
            if events:
                self.sequence = events[-1].sequence
            if len(events) < BATCH:
                break
        if found:
            rollout = rollout_message(self.actor, get_rollout(self.actor, self.rollout_id))
            found[-1].rollout.CopyFrom(rollout)
        return found
