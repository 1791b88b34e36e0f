"""Events: stored with the change, delivered at least once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import pytest
import time_machine

from apps.core import clock
from apps.core.actors import Actor, system_actor
from apps.core.ids import uuid7
from apps.events.models import OutboxEvent
from apps.events.selectors import list_events_after
from apps.events.services import relay
from apps.events.services.outbox import publish
from apps.events.types import Event
from tests.devices.support import roll_back
from tests.factories import Cast

pytestmark = pytest.mark.usefixtures("in_acme")


@dataclass(frozen=True, kw_only=True)
class Happened(Event):
    """An event of these tests."""

    type: ClassVar[str] = "tests.thing.happened.v1"

    thing_id: UUID
    number: int = 0
    note: str = ""

    def topics(self, organization_id: UUID) -> tuple[str, ...]:
        return (f"thing.{self.thing_id}",)


class Subscriber:
    """Remembers what it got; fails while it is told to."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.failing: set[int] = set()

    def __call__(self, actor: Actor, event: Happened) -> None:
        if event.number in self.failing:
            raise RuntimeError("cannot now")
        self.got.append(event.number)


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    found = Subscriber()
    relay.subscribe(Happened)(found)
    yield found
    relay._SUBSCRIBERS[Happened.type].remove(found)


def publish_numbers(cast: Cast, *numbers: int) -> None:
    publish(system_actor(cast.id), *[Happened(thing_id=uuid7(), number=n) for n in numbers])


def run(cast: Cast) -> list[Event]:
    return relay.relay_outbox(system_actor(cast.id))


def waiting(cast: Cast) -> int:
    return int(OutboxEvent.objects.for_org(cast.id).filter(delivered_at=None).count())


def test_events_are_delivered_in_order_and_once_where_all_goes_well(
    acme: Cast, subscriber: Subscriber
) -> None:
    publish_numbers(acme, 1, 2, 3)
    assert [e.number for e in run(acme)] == [1, 2, 3]  # type: ignore[attr-defined]
    assert run(acme) == []
    assert subscriber.got == [1, 2, 3]


def test_what_is_rolled_back_was_never_published(acme: Cast, subscriber: Subscriber) -> None:
    roll_back(acme.id, lambda: publish_numbers(acme, 1))
    run(acme)
    assert subscriber.got == []


def test_an_event_comes_back_as_it_was(acme: Cast) -> None:
    event = Happened(thing_id=uuid7(), number=7, note="ü")
    publish(system_actor(acme.id), event)
    assert run(acme) == [event]


def test_a_relay_that_dies_delivers_again(acme: Cast, subscriber: Subscriber) -> None:
    publish_numbers(acme, 1)
    roll_back(acme.id, lambda: run(acme))
    run(acme)
    assert subscriber.got == [1, 1]


def test_a_failing_event_does_not_hold_up_the_others(acme: Cast, subscriber: Subscriber) -> None:
    subscriber.failing = {1}
    publish_numbers(acme, 1, 2)
    run(acme)
    assert subscriber.got == [2]
    assert waiting(acme) == 1
    assert run(acme) == []  # not before its pause is over
    subscriber.failing = set()
    with time_machine.travel(clock.now() + timedelta(seconds=3), tick=False):
        run(acme)
    assert subscriber.got == [2, 1]


def test_after_five_failures_an_event_is_parked_with_its_error(
    acme: Cast, subscriber: Subscriber
) -> None:
    subscriber.failing = {1}
    publish_numbers(acme, 1)
    at = clock.now()
    for attempt in range(8):
        with time_machine.travel(at + timedelta(minutes=5 * attempt), tick=False):
            run(acme)
    row = OutboxEvent.objects.for_org(acme.id).get()
    assert (row.attempts, row.parked_at is not None) == (5, True)
    assert row.last_error == "RuntimeError: cannot now"


def test_what_a_failing_subscriber_wrote_is_undone(acme: Cast, subscriber: Subscriber) -> None:
    def write(actor: Actor, event: Happened) -> None:
        publish_numbers(acme, 99)

    relay._SUBSCRIBERS[Happened.type].insert(0, write)
    subscriber.failing = {1}
    publish_numbers(acme, 1)
    try:
        run(acme)
    finally:
        relay._SUBSCRIBERS[Happened.type].remove(write)
    assert OutboxEvent.objects.for_org(acme.id).count() == 1


def test_an_event_of_a_version_that_is_gone_is_parked_not_lost(acme: Cast) -> None:
    publish_numbers(acme, 1)
    OutboxEvent.objects.for_org(acme.id).update(type="tests.thing.gone.v0")
    assert run(acme) == []
    assert "KeyError" in OutboxEvent.objects.for_org(acme.id).get().last_error


def test_streams_read_on_from_where_they_were(acme: Cast) -> None:
    actor = system_actor(acme.id)
    publish_numbers(acme, 1)
    last = list_events_after(actor, None, types=(Happened.type,))[-1].id
    publish_numbers(acme, 2, 3)
    rows = list_events_after(actor, last, types=(Happened.type,))
    assert [r.payload["number"] for r in rows] == [2, 3]
    assert list_events_after(actor, last, types=("other",)) == []


def test_old_delivered_events_are_deleted_and_others_kept(acme: Cast) -> None:
    publish_numbers(acme, 1, 2)
    run(acme)
    publish_numbers(acme, 3)
    with time_machine.travel(clock.now() + timedelta(days=31), tick=False):
        assert relay.purge_outbox(system_actor(acme.id)) == 2
    assert waiting(acme) == 1


def test_the_relay_of_one_organization_leaves_the_others_alone(
    acme: Cast, subscriber: Subscriber
) -> None:
    publish_numbers(acme, 1)
    assert relay.relay_outbox(system_actor(uuid7())) == []
    assert subscriber.got == []


def test_publishing_wakes_the_relay_after_commit(
    acme: Cast,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    woken: list[str] = []
    monkeypatch.setattr("apps.core.tasks.send", lambda name, *_: woken.append(name))
    with django_capture_on_commit_callbacks(execute=True):
        publish_numbers(acme, 1)
        assert woken == []
    assert woken == ["events.relay_outbox"]
