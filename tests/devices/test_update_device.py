"""Renaming and tagging a device."""

from typing import Any

import pytest

from apps.audit.models import AuditEntry
from apps.core.actors import Actor
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.core.ids import uuid7
from apps.devices.errors import DeviceIsDecommissioned
from apps.devices.models import Device
from apps.devices.services.devices import decommission_device, update_device
from tests.devices.support import actions, events, roll_back
from tests.factories import Cast

pytestmark = pytest.mark.usefixtures("in_acme")
ACTION = "devices.update_device"


def test_name_and_tags_change(acme: Cast, erin: Actor) -> None:
    update_device(erin, acme.device.id, name=" press 4 ", add_tags=["B=2", "a"])
    device = update_device(erin, acme.device.id, add_tags=["c"], remove_tags=["A"])
    assert (device.name, device.tags) == ("press 4", ["b=2", "c"])
    stored = Device.objects.for_org(acme.id).get(id=device.id)
    assert (stored.name, stored.tags) == ("press 4", ["b=2", "c"])


def test_it_is_audited_with_before_and_after_and_published(acme: Cast, erin: Actor) -> None:
    update_device(erin, acme.device.id, name="press 4")
    entry = AuditEntry.objects.for_org(acme.id).get(action=ACTION)
    assert entry.changes == {"name": ["acme-one", "press 4"]}
    assert (entry.actor_label, entry.object_id) == ("erin@acme.test", str(acme.device.id))
    assert events(acme.id, "updated") == [{"device_id": str(acme.device.id)}]


def test_the_same_again_changes_nothing(acme: Cast, erin: Actor) -> None:
    for _ in range(2):
        update_device(erin, acme.device.id, name="press 4", add_tags=["a"])
    assert actions(acme.id) == [ACTION]


@pytest.mark.parametrize(
    "values",
    [
        {"name": ""},
        {"name": "x" * 201},
        {"name": "two\nlines"},
        {"name": "nul\x00"},
        {"add_tags": ["with space"]},
        {"add_tags": ["x" * 65]},
        {"add_tags": [""]},
        {"add_tags": [f"t{n}" for n in range(51)]},
    ],
)
def test_bad_values_are_refused_and_change_nothing(
    acme: Cast, erin: Actor, values: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest) as failure:
        update_device(erin, acme.device.id, **values)
    assert failure.value.fields[0].field in values
    assert Device.objects.for_org(acme.id).get(id=acme.device.id).name == "acme-one"


def test_a_decommissioned_device_stays_as_it_was(acme: Cast, erin: Actor) -> None:
    decommission_device(erin, acme.device.id, reason="")
    with pytest.raises(DeviceIsDecommissioned):
        update_device(erin, acme.device.id, name="press 4")


def test_a_viewer_cannot(acme: Cast, bob: Actor) -> None:
    with pytest.raises(PermissionDenied) as failure:
        update_device(bob, acme.device.id, name="press 4")
    assert failure.value.data == {"permission": ACTION}


def test_missing_and_foreign_devices_are_not_found(globex: Cast, erin: Actor) -> None:
    for device_id in (globex.device.id, uuid7()):
        with pytest.raises(NotFound):
            update_device(erin, device_id, name="press 4")


def test_nothing_remains_of_a_roll_back(acme: Cast, erin: Actor) -> None:
    roll_back(acme.id, lambda: update_device(erin, acme.device.id, name="press 4"))
    assert actions(acme.id) == []
    assert events(acme.id) == []
