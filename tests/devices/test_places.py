"""Where devices stand, and that what is kept of it is right, whoever writes."""

import threading

import pytest
from django.db import connection, connections

from apps.core.actors import Actor
from apps.core.rights import NOWHERE, Place
from apps.core.tenancy import tenant
from apps.devices.models import Device
from apps.devices.selectors.places import place_of, place_of_group
from apps.devices.services.devices import update_device
from apps.devices.services.groups import (
    add_devices_to_group,
    create_device_group,
    delete_device_group,
    remove_devices_from_group,
)
from tests import factories
from tests.factories import Cast


def kept(device: Device) -> list[object]:
    """The groups that the device's row says it is in."""
    rows = Device.objects.for_org(device.organization_id)
    return list(rows.values_list("group_ids", flat=True).get(id=device.id))


@pytest.mark.usefixtures("in_acme")
def test_a_device_stands_in_its_groups_and_their_teams(acme: Cast, alice: Actor) -> None:
    one, two = acme.devices
    assert place_of(two) == NOWHERE
    tagged = create_device_group(alice, name="tagged", tag="lab")
    team = factories.team(acme.id, "lab", tagged)
    update_device(alice, one.id, add_tags=["lab"])
    assert place_of(one) == Place(frozenset({acme.group.id, tagged.id}), frozenset({team.id}))
    tagged.refresh_from_db()
    assert place_of_group(tagged) == Place(frozenset({tagged.id}), frozenset({team.id}))


@pytest.mark.usefixtures("in_acme")
def test_a_device_keeps_the_groups_that_it_was_put_into(acme: Cast, alice: Actor) -> None:
    one, two = acme.devices
    ids = [one.id, two.id]
    other = create_device_group(alice, name="other")
    add_devices_to_group(alice, other.id, ids)
    add_devices_to_group(alice, other.id, ids)
    assert (kept(one), kept(two)) == ([acme.group.id, other.id], [other.id])
    remove_devices_from_group(alice, acme.group.id, ids)
    assert kept(one) == [other.id]
    delete_device_group(alice, other.id)
    assert (kept(one), kept(two)) == ([], [])


@pytest.mark.django_db(transaction=True)
def test_two_groups_at_once_lose_neither(acme: Cast, alice: Actor) -> None:
    ids = [device.id for device in acme.devices]
    groups = [factories.group(acme.id) for _ in range(4)]
    started, failures = threading.Barrier(len(groups)), []

    def put(group_id: object) -> None:
        try:
            started.wait()
            with tenant(acme.id):
                add_devices_to_group(alice, group_id, ids)
        except Exception as error:  # noqa: BLE001 - shown by the test
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=put, args=[group.id]) for group in groups]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures
    with tenant(acme.id):
        assert sorted(kept(acme.devices[1])) == sorted(group.id for group in groups)


@pytest.mark.django_db
def test_operators_of_tags_and_groups_may_use_indexes_under_row_security() -> None:
    """Without the mark every search for a tag or group reads all devices of the organization."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT oid::regprocedure::text FROM pg_proc WHERE proleakproof"
            " AND proname IN ('arrayoverlap', 'arraycontains') ORDER BY 1"
        )
        found = [name for (name,) in cursor.fetchall()]
    assert found == ["arraycontains(anyarray,anyarray)", "arrayoverlap(anyarray,anyarray)"]
