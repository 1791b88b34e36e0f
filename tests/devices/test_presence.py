"""When devices could be reached is remembered where connectivity changes, and nowhere else."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from apps.core import clock
from apps.core.actors import ActorKind, system_actor
from apps.core.ids import uuid7
from apps.devices.models import Device, DevicePresence
from apps.devices.services import live, presence
from apps.devices.services.devices import decommission_device
from apps.devices.types import Closing
from tests.devices.test_live import at, beat, hello
from tests.factories import Cast

pytestmark = pytest.mark.usefixtures("in_acme")


def spans(device: Device, since: datetime) -> list[tuple[int, int | None]]:
    """Whole seconds after `since` at which the device came and went."""
    rows = DevicePresence.objects.for_org(device.organization_id).filter(device_id=device.id)
    return [
        (round((a - since).total_seconds()), b and round((b - since).total_seconds()))
        for a, b in rows.order_by("online_at").values_list("online_at", "offline_at")
    ]


def goodbye(device: Device, session: Any, *, is_graceful: bool = True) -> None:
    live.close_sessions(device.organization_id, [Closing(device.id, session, "", is_graceful)])


def sweep(device: Device) -> int:
    return live.sweep_offline(system_actor(device.organization_id))


def test_a_device_is_remembered_from_its_hello_to_its_goodbye(acme: Cast) -> None:
    start = clock.now()
    with at(0, start):
        session = hello(acme.device)
    with at(50, start):
        beat(acme.device, session)
    assert spans(acme.device, start) == [(0, None)]
    with at(60, start):
        goodbye(acme.device, session)
    with at(600, start):
        hello(acme.device)
    assert spans(acme.device, start) == [(0, 60), (600, None)]


def test_a_device_that_falls_silent_was_there_until_it_last_spoke(acme: Cast) -> None:
    start = clock.now()
    with at(0, start):
        session = hello(acme.device)
    with at(100, start):
        beat(acme.device, session)
    with at(400, start):
        assert sweep(acme.device) == 1
        assert sweep(acme.device) == 0
    assert spans(acme.device, start) == [(0, 100)]
    with at(500, start):
        beat(acme.device, session)
    assert spans(acme.device, start) == [(0, 100), (500, None)]


def test_a_lost_connection_ends_when_it_was_lost_unless_the_device_is_back_in_time(
    acme: Cast,
) -> None:
    start = clock.now()
    with at(0, start):
        session = hello(acme.device)
    with at(20, start):
        goodbye(acme.device, session, is_graceful=False)
    with at(40, start):
        session = hello(acme.device)
    assert spans(acme.device, start) == [(0, None)]
    with at(90, start):
        goodbye(acme.device, session, is_graceful=False)
    with at(400, start):
        sweep(acme.device)
    assert spans(acme.device, start) == [(0, 90)]


def test_what_a_killed_gateway_left_open_ends_when_the_device_last_spoke(acme: Cast) -> None:
    """Nothing noted an end and no sweep ran: the whole platform was away."""
    start = clock.now()
    with at(0, start):
        session = hello(acme.device)
    with at(70, start):
        beat(acme.device, session)
    with at(5000, start):
        hello(acme.device)
    assert spans(acme.device, start) == [(0, 70), (5000, None)]


def test_degraded_devices_are_there_all_the_same(acme: Cast) -> None:
    start = clock.now()
    with at(0, start):
        session = hello(acme.device)
    with at(10, start):
        assert beat(acme.device, session, disk_ratio=0.99)
    with at(20, start):
        assert beat(acme.device, session, disk_ratio=0.1)
    assert spans(acme.device, start) == [(0, None)]


def test_a_decommissioned_device_is_gone(acme: Cast, alice: Any) -> None:
    start = clock.now()
    with at(0, start):
        hello(acme.device)
    with at(30, start):
        decommission_device(alice, acme.device.id, reason="")
    assert spans(acme.device, start) == [(0, 30)]


def test_many_devices_take_as_many_statements_as_one(
    acme: Cast, django_assert_num_queries: Any
) -> None:
    openings = [live.Opening(device.id, uuid7(), 60) for device in acme.devices]
    with django_assert_num_queries(2):
        for write in (presence.begin_presence, presence.end_presence):
            write(acme.id, [opening.device_id for opening in openings])


def test_what_is_older_than_thirty_days_goes_and_what_reaches_into_them_stays(acme: Cast) -> None:
    now = clock.now()
    days = [(-50, -40), (-40, -31), (-31, -29), (-2, -1), (-40, None)]
    _remember(acme.device, [(now + timedelta(a), b and now + timedelta(b)) for a, b in days])
    assert presence.remove_old_presence(system_actor(acme.id)) == 2
    assert presence.remove_old_presence(system_actor(acme.id)) == 0
    kept = DevicePresence.objects.for_org(acme.id).filter(device_id=acme.device.id).count()
    assert kept == 3


def test_of_a_restless_device_only_the_newest_rows_stay(
    acme: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "MAXIMUM_PER_DEVICE", 3)
    now = clock.now()
    hours = [now - timedelta(hours=n) for n in range(9, 1, -1)]
    _remember(acme.device, [(hour, hour + timedelta(minutes=1)) for hour in hours])
    calm = acme.devices[1]
    _remember(calm, [(hour, hour + timedelta(minutes=1)) for hour in hours[:3]])
    assert presence.remove_old_presence(system_actor(acme.id)) == 5
    assert [a for a, _ in spans(acme.device, hours[-3])] == [0, 3600, 7200]
    assert len(spans(calm, now)) == 3


def test_people_do_not_clear_away(alice: Any) -> None:
    assert alice.kind is not ActorKind.SYSTEM
    with pytest.raises(Exception, match="permission"):
        presence.remove_old_presence(alice)


def _remember(device: Device, rows: Any) -> None:
    DevicePresence.objects.for_org(device.organization_id).bulk_create(
        DevicePresence(
            organization_id=device.organization_id,
            device_id=device.id,
            online_at=online_at,
            offline_at=offline_at,
        )
        for online_at, offline_at in rows
    )
