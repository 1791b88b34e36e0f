"""Publishing events."""

from apps.core import clock
from apps.core.actors import Actor
from apps.core.tasks import wake
from apps.events.models import OutboxEvent
from apps.events.types import Event

RELAY_TASK = "events.relay_outbox"


def publish(actor: Actor, *events: Event) -> None:
    """Stores events in the caller's transaction and wakes the relay after commit.

    Nothing leaves the process if the transaction rolls back; nothing is lost if the wake-up is.
    """
    at = clock.now()
    OutboxEvent.objects.for_org(actor.organization_id).bulk_create(
        [
            OutboxEvent(
                organization_id=actor.organization_id,
                type=event.type,
                payload=event.payload(),
                created_at=at,
                next_attempt_at=at,
            )
            for event in events
        ]
    )
    wake(RELAY_TASK, actor)
