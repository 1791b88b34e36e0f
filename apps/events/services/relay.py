"""Delivering events to subscribers: at least once, each on its own."""

from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog
from django.db import transaction

from apps.core import clock
from apps.core.actors import Actor
from apps.events.models import OutboxEvent
from apps.events.types import Event

log = structlog.get_logger(__name__)

BATCH = 200
MAX_ATTEMPTS = 5
KEPT = timedelta(days=30)

Subscriber = Callable[[Actor, Any], None]

_SUBSCRIBERS: dict[str, list[Subscriber]] = defaultdict(list)


def subscribe(*kinds: type[Event]) -> Callable[[Subscriber], Subscriber]:
    """Registers a reaction to events. It gets the system actor and must bear being repeated."""

    def decorate(function: Subscriber) -> Subscriber:
        for kind in kinds:
            _SUBSCRIBERS[kind.type].append(function)
        return function

    return decorate


def relay_outbox(actor: Actor) -> list[Event]:
    """Delivers one batch of the organization's waiting events and returns those delivered.

    An event whose subscriber fails is tried again later, with growing pauses, and parked with its
    error after five attempts; the events behind it do not wait. Safe to run in parallel.
    """
    at = clock.now()
    waiting = OutboxEvent.objects.for_org(actor.organization_id).filter(
        delivered_at=None, parked_at=None, next_attempt_at__lte=at
    )
    rows = list(waiting.select_for_update(skip_locked=True).order_by("id")[:BATCH])
    delivered = [(row, event) for row in rows if (event := _deliver(actor, row)) is not None]
    OutboxEvent.objects.for_org(actor.organization_id).filter(
        id__in=[row.id for row, _ in delivered]
    ).update(delivered_at=at)
    return [event for _, event in delivered]


def purge_outbox(actor: Actor) -> int:
    """Deletes delivered events older than thirty days; returns how many."""
    rows = OutboxEvent.objects.for_org(actor.organization_id)
    old = rows.filter(created_at__lt=clock.now() - KEPT).exclude(delivered_at=None)
    count: int = old.delete()[0]
    return count


def _deliver(actor: Actor, row: OutboxEvent) -> Event | None:
    """Runs all subscribers of one event in a savepoint; None when one of them failed."""
    try:
        event = Event.restore(row.type, row.payload)
        with transaction.atomic():
            for subscriber in _SUBSCRIBERS[row.type]:
                subscriber(actor, event)
    except Exception as error:  # noqa: BLE001 - whatever a subscriber raises, the others go on
        _postpone(row, error)
        return None
    return event


def _postpone(row: OutboxEvent, error: Exception) -> None:
    row.attempts += 1
    row.last_error = f"{type(error).__name__}: {error}"[:500]
    row.next_attempt_at = clock.now() + timedelta(seconds=2**row.attempts)
    if row.attempts >= MAX_ATTEMPTS:
        row.parked_at = clock.now()
    row.save(update_fields=["attempts", "last_error", "next_attempt_at", "parked_at"])
    log.error("event_not_delivered", type=row.type, attempts=row.attempts, error=row.last_error)
