"""Reading what happened."""

from uuid import UUID

from django.db.models.fields.json import KeyTextTransform

from apps.core.actors import Actor
from apps.events.models import OutboxEvent


def list_events_after(
    actor: Actor, after: UUID | None, *, types: tuple[str, ...], limit: int = 100
) -> list[OutboxEvent]:
    """Events of these types after the one with id `after`, oldest first, for streams.

    The caller checks that the actor may read what the events are about.
    """
    rows = OutboxEvent.objects.for_org(actor.organization_id).filter(type__in=types)
    if after is not None:
        rows = rows.filter(id__gt=after)
    return list(rows.order_by("id")[:limit])


def list_device_events(
    actor: Actor, device_id: UUID, *, types: tuple[str, ...], limit: int = 30
) -> list[OutboxEvent]:
    """The newest events of these types about one device, newest first, for its timeline.

    They are kept for thirty days. The caller checks that the actor may read of the device.
    """
    rows = OutboxEvent.objects.for_org(actor.organization_id).filter(
        payload__has_key="device_id", type__in=types
    )
    about = rows.annotate(about=KeyTextTransform("device_id", "payload"))
    return list(about.filter(about=str(device_id)).order_by("-id")[:limit])
