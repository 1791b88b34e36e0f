"""Device groups."""

import pytest

from apps.core.actors import Actor
from apps.core.errors import InvalidRequest, NotFound, PermissionDenied
from apps.core.ids import uuid7
from apps.core.pagination import PageRequest
from apps.devices.domain.states import Lifecycle
from apps.devices.errors import (
    DeviceGroupFollowsTag,
    DeviceGroupNameTaken,
    DeviceIsDecommissioned,
)
from apps.devices.models import Device, DeviceGroup
from apps.devices.selectors import (
    count_group_devices,
    get_device_group,
    group_ids_of,
    list_device_groups,
    list_devices,
)
from apps.devices.services.groups import (
    add_devices_to_group,
    create_device_group,
    delete_device_group,
    remove_devices_from_group,
)
from tests import factories
from tests.devices.support import actions, events
from tests.factories import Cast

pytestmark = pytest.mark.usefixtures("in_acme")


def members(actor: Actor, group: DeviceGroup) -> list[str]:
    return [d.name for d in list_devices(actor, PageRequest(), group_id=group.id).items]


def test_a_static_group_holds_the_chosen_devices(acme: Cast, erin: Actor) -> None:
    group = create_device_group(erin, name="  north  ")
    add_devices_to_group(erin, group.id, [d.id for d in acme.devices])
    assert members(erin, group) == ["acme-one", "acme-two"]
    remove_devices_from_group(erin, group.id, [acme.devices[0].id])
    assert members(erin, group) == ["acme-two"]
    assert count_group_devices(erin, [group.id, acme.group.id]) == {group.id: 1, acme.group.id: 1}
    assert actions(acme.id) == [
        "devices.create_device_group",
        "devices.add_devices_to_group",
        "devices.remove_devices_from_group",
    ]
    assert len(events(acme.id, "devices.group.changed")) == 3


def test_a_tag_group_follows_its_tag(acme: Cast, erin: Actor) -> None:
    tagged = factories.device(acme.id, "tagged", tags=["site=berlin"])
    factories.device(acme.id, "old", tags=["site=berlin"], lifecycle=Lifecycle.DECOMMISSIONED)
    group = create_device_group(erin, name="berlin", tag="Site=Berlin")
    assert "tagged" in members(erin, group)
    assert count_group_devices(erin, [group.id]) == {group.id: 1}
    assert group_ids_of(erin, [tagged.id, acme.device.id]) == {
        tagged.id: [group.id],
        acme.device.id: [acme.group.id],
    }
    for change in (add_devices_to_group, remove_devices_from_group):
        with pytest.raises(DeviceGroupFollowsTag):
            change(erin, group.id, [acme.device.id])


def test_adding_and_removing_again_changes_nothing(acme: Cast, erin: Actor) -> None:
    add_devices_to_group(erin, acme.group.id, [acme.devices[0].id])
    remove_devices_from_group(erin, acme.group.id, [acme.devices[1].id])
    assert actions(acme.id) == []


def test_deleting_a_group_keeps_its_devices(acme: Cast, erin: Actor) -> None:
    delete_device_group(erin, acme.group.id)
    assert Device.objects.for_org(acme.id).count() == 2
    with pytest.raises(NotFound):
        get_device_group(erin, acme.group.id)


def test_names_are_unique_in_an_organization(acme: Cast, globex: Cast, erin: Actor) -> None:
    create_device_group(erin, name=globex.group.name)
    with pytest.raises(DeviceGroupNameTaken):
        create_device_group(erin, name=acme.group.name)


@pytest.mark.parametrize(("name", "tag"), [("", ""), ("x" * 101, ""), ("a\x00", ""), ("a", "b c")])
def test_bad_values_are_refused(erin: Actor, name: str, tag: str) -> None:
    with pytest.raises(InvalidRequest):
        create_device_group(erin, name=name, tag=tag)


def test_one_missing_or_foreign_device_refuses_all(acme: Cast, globex: Cast, erin: Actor) -> None:
    for missing in (globex.device.id, uuid7()):
        for change in (add_devices_to_group, remove_devices_from_group):
            with pytest.raises(NotFound):
                change(erin, acme.group.id, [acme.devices[1].id, missing])
    assert members(erin, acme.group) == ["acme-one"]


def test_a_decommissioned_device_joins_no_group(acme: Cast, erin: Actor) -> None:
    old = factories.device(acme.id, lifecycle=Lifecycle.DECOMMISSIONED)
    with pytest.raises(DeviceIsDecommissioned):
        add_devices_to_group(erin, acme.group.id, [old.id])


def test_viewers_read_only(acme: Cast, bob: Actor) -> None:
    assert [g.id for g in list_device_groups(bob, PageRequest()).items] == [acme.group.id]
    for attempt in (
        lambda: create_device_group(bob, name="x"),
        lambda: delete_device_group(bob, acme.group.id),
        lambda: add_devices_to_group(bob, acme.group.id, []),
        lambda: remove_devices_from_group(bob, acme.group.id, []),
    ):
        with pytest.raises(PermissionDenied):
            attempt()


def test_foreign_groups_are_not_found(globex: Cast, erin: Actor) -> None:
    for group_id in (globex.group.id, uuid7()):
        for attempt in (
            lambda id_=group_id: get_device_group(erin, id_),
            lambda id_=group_id: delete_device_group(erin, id_),
            lambda id_=group_id: add_devices_to_group(erin, id_, []),
            lambda id_=group_id: remove_devices_from_group(erin, id_, []),
            lambda id_=group_id: list_devices(erin, PageRequest(), group_id=id_),
        ):
            with pytest.raises(NotFound):
                attempt()
