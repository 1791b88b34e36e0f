"""What a device says about itself."""

import pytest

from apps.core.actors import Actor, system_actor
from apps.core.errors import NotFound, PermissionDenied
from apps.core.ids import uuid7
from apps.devices.domain.states import Lifecycle
from apps.devices.models import Device
from apps.devices.services.devices import record_inventory
from apps.devices.types import Facts
from apps.enrollment.selectors import device_actor
from tests import factories
from tests.devices.support import actions, events
from tests.enrollment.conftest import CALL
from tests.factories import Cast

pytestmark = pytest.mark.usefixtures("in_acme")
FACTS = Facts(
    os_name="Debian",
    kernel="6.12",
    serial="S-1",
    details={"cpu_count": 4, "memory_bytes": 2**40, "ip_addresses": ["192.0.2.4"]},
    installed={"app": "1.0"},
)


def test_facts_are_stored_and_published_once(acme: Cast) -> None:
    actor = device_actor(acme.id, acme.device.id, CALL)
    for _ in range(2):
        record_inventory(actor, acme.device.id, FACTS)
    stored = Device.objects.for_org(acme.id).get(id=acme.device.id)
    assert (stored.os_name, stored.kernel, stored.serial) == ("Debian", "6.12", "S-1")
    assert stored.inventory["memory_bytes"] == 2**40
    assert stored.installed == {"app": "1.0"}
    assert stored.name == "acme-one"
    assert len(events(acme.id, "updated")) == 1
    assert actions(acme.id) == []


def test_hostile_facts_are_stored_literally_but_bounded(acme: Cast) -> None:
    nasty = Facts(
        os_name="{{7*7}} ' OR 1=1; ../\n" + "x" * 500,
        kernel="\x00",
        details={"\x00": "\x00" * 5000, **{f"k{n}": [n] * 1000 for n in range(500)}},
    )
    record_inventory(system_actor(acme.id), acme.device.id, nasty)
    stored = Device.objects.for_org(acme.id).get(id=acme.device.id)
    assert stored.os_name.startswith("{{7*7}} ' OR 1=1; ../\n")
    assert len(stored.os_name) == 200
    assert len(stored.inventory) == 300
    assert all(len(v) <= 1024 for v in stored.inventory.values())


def test_a_decommissioned_device_keeps_its_history(acme: Cast) -> None:
    old = factories.device(acme.id, lifecycle=Lifecycle.DECOMMISSIONED)
    record_inventory(system_actor(acme.id), old.id, FACTS)
    assert Device.objects.for_org(acme.id).get(id=old.id).os_name == ""


def test_a_device_reports_for_itself_only(acme: Cast, alice: Actor) -> None:
    actor = device_actor(acme.id, acme.devices[0].id, CALL)
    with pytest.raises(PermissionDenied):
        record_inventory(actor, acme.devices[1].id, FACTS)
    with pytest.raises(PermissionDenied):
        record_inventory(alice, acme.devices[0].id, FACTS)


def test_missing_and_foreign_devices_are_not_found(acme: Cast, globex: Cast) -> None:
    for device_id in (globex.device.id, uuid7()):
        with pytest.raises(NotFound):
            record_inventory(system_actor(acme.id), device_id, FACTS)
