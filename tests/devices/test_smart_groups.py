"""Smart groups: their devices are those that match a filter, and they decide about no rights."""

import threading
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction

from apps.core.actors import Actor
from apps.core.authz import Role
from apps.core.errors import FleetdError, InvalidRequest, NotFound, PermissionDenied
from apps.core.filters import FilterError
from apps.core.ids import uuid7
from apps.core.pagination import PageRequest
from apps.core.tenancy import tenant
from apps.devices.access import GrantObject
from apps.devices.errors import (
    DeviceGroupFollowsFilter,
    DeviceGroupInUse,
    DeviceGroupNameTaken,
    DeviceGroupNotSmart,
    SmartGroupGivesNoRights,
)
from apps.devices.models import DeviceGroup
from apps.devices.selectors import count_group_devices, list_devices, resolve_target
from apps.devices.selectors.filtering import shown_filters
from apps.devices.selectors.places import place_of
from apps.devices.selectors.previews import preview_device_group
from apps.devices.services.devices import update_device
from apps.devices.services.grants import grant_access
from apps.devices.services.groups import (
    add_devices_to_group,
    create_device_group,
    delete_device_group,
    remove_devices_from_group,
    update_device_group,
)
from apps.devices.services.ownership import give_group_to_team
from apps.enrollment.services.tokens import create_enrollment_token
from tests import factories
from tests.devices.support import actions, events
from tests.factories import Cast

in_acme = pytest.mark.usefixtures("in_acme")


def members(actor: Actor, group: DeviceGroup) -> list[str]:
    return [d.name for d in list_devices(actor, PageRequest(), group_id=group.id).items]


def smart(actor: Actor, name: str, filter: str) -> DeviceGroup:
    return create_device_group(actor, name=name, filter=filter)


@in_acme
def test_membership_follows_the_filter(acme: Cast, erin: Actor) -> None:
    group = smart(erin, "lab", 'tags:lab name="acme-*"')
    assert (group.filter, group.is_smart, group.is_static) == (
        'tags:"lab" AND name = "acme-*"', True, False,
    )  # fmt: skip
    assert members(erin, group) == []
    update_device(erin, acme.device.id, add_tags=["lab"])
    assert members(erin, group) == ["acme-one"]
    assert count_group_devices(erin, [group.id, acme.group.id]) == {group.id: 1, acme.group.id: 1}
    assert list(resolve_target(erin, group_ids=[group.id])) == [acme.device]
    assert resolve_target(erin, group_ids=[group.id], filter='name = "acme-two"').count() == 2
    update_device(erin, acme.device.id, remove_tags=["lab"])
    assert members(erin, group) == []


@in_acme
def test_a_group_is_of_one_kind(acme: Cast, erin: Actor) -> None:
    with pytest.raises(InvalidRequest):
        create_device_group(erin, name="both", tag="lab", filter="tags:lab")
    with pytest.raises(DeviceGroupNotSmart):
        update_device_group(erin, acme.group.id, filter="tags:lab")
    group = smart(erin, "lab", "tags:lab")
    with pytest.raises(FilterError):
        update_device_group(erin, group.id, filter="")
    for change in (add_devices_to_group, remove_devices_from_group):
        with pytest.raises(DeviceGroupFollowsFilter):
            change(erin, group.id, [acme.device.id])
    with pytest.raises(IntegrityError), transaction.atomic():
        DeviceGroup.objects.for_org(acme.id).filter(id=group.id).update(tag="lab")


@in_acme
def test_an_edit_is_previewed_and_done_once(acme: Cast, erin: Actor) -> None:
    group = smart(erin, "some", 'name = "acme-one"')
    seen = preview_device_group(erin, filter='name = "acme-two"', group_id=group.id)
    assert (seen.device_count, seen.entering_count, seen.leaving_count) == (1, 1, 1)
    assert [d.name for d in seen.entering + seen.leaving] == ["acme-two", "acme-one"]
    assert preview_device_group(erin, filter="name:acme").entering_count == 2
    for _ in range(2):
        update_device_group(erin, group.id, name="others", filter='name = "acme-two"')
    assert members(erin, group) == ["acme-two"]
    assert actions(acme.id) == ["devices.create_device_group", "devices.update_device_group"]
    assert len(events(acme.id, "group.changed")) == 2


@in_acme
def test_filters_speak_of_groups_by_id_and_show_their_names(acme: Cast, erin: Actor) -> None:
    group = smart(erin, "rest", 'NOT group = "acme-group"')
    assert group.filter == f'NOT group = "{acme.group.id}"'
    assert members(erin, group) == ["acme-two"]
    update_device_group(erin, acme.group.id, name='the "first"')
    assert shown_filters(acme.id, [group]) == {group.id: r'NOT group = "the \"first\""'}
    again = update_device_group(erin, group.id, filter=shown_filters(acme.id, [group])[group.id])
    assert again.filter == group.filter
    with pytest.raises(DeviceGroupInUse) as raised:
        delete_device_group(erin, acme.group.id)
    assert raised.value.data == {"groups": ["rest"]}
    delete_device_group(erin, group.id)
    delete_device_group(erin, acme.group.id)


@in_acme
def test_no_group_leads_back_to_itself(acme: Cast, erin: Actor) -> None:
    one = smart(erin, "one", "tags:lab")
    two = smart(erin, "two", 'name:x OR group = "one"')
    three = smart(erin, "three", 'group = "two"')
    for target in ("one", "two", "three"):
        with pytest.raises(FilterError) as raised:
            update_device_group(erin, one.id, filter=f'tags:a OR group = "{target}"')
        assert raised.value.column == 11
    update_device_group(erin, two.id, filter="name:x")
    update_device_group(erin, one.id, filter='group = "two"')
    assert members(erin, three) == []


@in_acme
def test_groups_of_groups_stay_small(acme: Cast, erin: Actor) -> None:
    smart(erin, "g0", " ".join(["name:a"] * 90))
    for number in range(1, 4):
        text = " OR ".join([f'group = "g{number - 1}"'] * 3)
        if number < 3:
            smart(erin, f"g{number}", text)
    with pytest.raises(FilterError, match="more than 1000"):
        smart(erin, "g3", text)
    with pytest.raises(FilterError, match="more than 1000"):
        list_devices(erin, PageRequest(), filter=text)


@in_acme
def test_a_smart_group_gives_nobody_rights(acme: Cast, alice: Actor, bob_member: Any) -> None:
    """What a device says of itself would let those into its group act on it."""
    group = smart(alice, "claims", 'labels.team = "mine"')
    team = factories.team(acme.id, "mine")
    on = GrantObject("device_group", group.id)
    attempts = [
        lambda: give_group_to_team(alice, group.id, team.id),
        lambda: grant_access(alice, user_id=bob_member.user_id, on=on, role="admin"),
        lambda: grant_access(
            alice, user_id=bob_member.user_id, on=on, permissions=["devices.view_devices"]
        ),
    ]
    for attempt in attempts:
        with pytest.raises(SmartGroupGivesNoRights):
            attempt()
    with pytest.raises(DeviceGroupFollowsFilter):
        create_enrollment_token(alice, name="lab", group_ids=[group.id])
    with pytest.raises(IntegrityError), transaction.atomic():
        DeviceGroup.objects.for_org(acme.id).filter(id=group.id).update(team=team)
    assert actions(acme.id) == ["devices.create_device_group"]


@in_acme
def test_rights_written_past_the_services_reach_nothing(acme: Cast, alice: Actor) -> None:
    """Should a row slip in, the group still holds nobody for whom it could mean something."""
    group = smart(alice, "claims", "name:*")
    person = factories.user()
    factories.membership(acme.id, person, Role.MEMBER)
    factories.object_grant(group, person, "devices.view_devices", "devices.update_device")
    from apps.organizations.selectors import actor_for_user

    mallory = actor_for_user(person, alice.call)
    assert members(mallory, group) == []
    assert group.id not in place_of(acme.device).group_ids
    with pytest.raises(NotFound):
        update_device(mallory, acme.device.id, name="mine")


@in_acme
def test_one_needs_the_rights(acme: Cast, bob: Actor, erin: Actor) -> None:
    group = smart(erin, "lab", "tags:lab")
    for attempt in (
        lambda: smart(bob, "other", "tags:lab"),
        lambda: update_device_group(bob, group.id, name="mine"),
        lambda: update_device_group(bob, group.id, filter="name:*"),
        lambda: preview_device_group(bob.narrowed(frozenset()), filter="name:*"),
    ):
        with pytest.raises(PermissionDenied):
            attempt()
    for missing in (uuid7(), acme.group.id):
        with pytest.raises(FleetdError) as raised:
            preview_device_group(bob, filter="name:*", group_id=missing)
        assert raised.value.code == (
            "device_group_not_smart" if missing == acme.group.id else "not_found"
        )
    with pytest.raises(DeviceGroupNameTaken):
        update_device_group(erin, group.id, name="acme-group")


@in_acme
def test_another_organizations_group_is_out_of_reach(acme: Cast, globex: Cast, erin: Actor) -> None:
    for attempt in (
        lambda: update_device_group(erin, globex.group.id, name="mine"),
        lambda: preview_device_group(erin, filter="name:*", group_id=globex.group.id),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert preview_device_group(erin, filter="name:*").device_count == 2


@pytest.mark.django_db(transaction=True)
def test_two_saves_at_once_make_no_cycle_together(acme: Cast, erin: Actor) -> None:
    with tenant(acme.id):
        pair = [smart(erin, name, "tags:lab") for name in ("left", "right")]
    started, outcomes = threading.Barrier(2), []

    def point(group: DeviceGroup, other: str) -> None:
        try:
            started.wait()
            with tenant(acme.id):
                update_device_group(erin, group.id, filter=f'group = "{other}"')
            outcomes.append("saved")
        except FilterError:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=point, args=(group, other))
        for group, other in zip(pair, ("right", "left"), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["refused", "saved"]
