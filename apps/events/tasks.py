"""The relay as a task."""

from apps.core.actors import Actor
from apps.core.authz import PLATFORM
from apps.core.realtime import send_hint
from apps.core.tasks import org_task, wake
from apps.core.transactions import after_commit
from apps.events.services.outbox import RELAY_TASK
from apps.events.services.relay import BATCH, purge_outbox, relay_outbox
from apps.events.types import Event


@org_task(RELAY_TASK, permission=PLATFORM, every_seconds=10)
def relay(actor: Actor) -> None:
    """Delivers waiting events, then sends one hint per topic that they touch."""
    events = relay_outbox(actor)
    if len(events) == BATCH:
        wake(RELAY_TASK, actor)
    after_commit(lambda: _send_hints(actor, events))


@org_task("events.purge_outbox", permission=PLATFORM, every_seconds=3600, at_standstill=True)
def purge(actor: Actor) -> None:
    """Deletes events that nobody will ask for any more."""
    purge_outbox(actor)


def _send_hints(actor: Actor, events: list[Event]) -> None:
    """One hint per topic, however many events touched it: readers re-read once."""
    latest: dict[str, Event] = {}
    for event in events:
        for topic in event.topics(actor.organization_id):
            latest[topic] = event
    for topic, event in latest.items():
        send_hint(actor.organization_id, topic, event.type, event.payload())
