"""A device's page tells what happened to it, in order, and nothing of other devices."""

from django.test import Client

from apps.core.actors import Actor, system_actor
from apps.core.tenancy import tenant
from apps.devices.services.devices import quarantine_device
from apps.devices.types import DeviceOffline, DeviceOnline
from apps.events.services.outbox import publish
from apps.organizations.models import Membership
from tests.factories import Cast


def test_connections_and_what_people_did_stand_in_one_timeline(
    acme: Cast, alice: Actor, alice_member: Membership
) -> None:
    first, second = (device.id for device in acme.devices)
    with tenant(acme.id):
        system = system_actor(acme.id)
        publish(system, DeviceOnline(device_id=first, connectivity="online"))
        publish(system, DeviceOffline(device_id=first, reason="no heartbeat since 12:00:00"))
        publish(system, DeviceOffline(device_id=second, reason="unplugged by the cat"))
        quarantine_device(alice, first, reason="smells of smoke")
    browser = Client()
    browser.force_login(alice_member.user)
    page = browser.get(f"/devices/{first}").content.decode()
    timeline = page.split('<ol class="timeline">')[1].split("</ol>")[0]
    order = [timeline.index(w) for w in ("Quarantined device", "no heartbeat since", "Online")]
    assert order == sorted(order)
    assert "unplugged by the cat" not in page
