"""Which team owns a device group."""

from uuid import UUID

from apps.audit.services.entries import record
from apps.core.actors import Actor
from apps.core.authz import Permission, require, require_at_least
from apps.core.errors import NotFound
from apps.devices.access import held_through_team
from apps.devices.errors import SmartGroupGivesNoRights
from apps.devices.models import DeviceGroup
from apps.devices.permissions import GIVE_GROUP_TO_TEAM, TAKE_GROUP_FROM_TEAM
from apps.devices.selectors.places import place_of_group
from apps.devices.types import DeviceGroupChanged
from apps.events.services.outbox import publish
from apps.teams.models import Team


def give_group_to_team(actor: Actor, group_id: UUID, team_id: UUID) -> DeviceGroup:
    """Makes a team the owner of a group: its members act on the group's devices from now on.

    A team that owned it before loses it. Idempotent. Raises `RightsExceedOwn` where the team's
    people would hold more on the group than the caller does, `SmartGroupGivesNoRights`.
    """
    group = _locked(actor, group_id, GIVE_GROUP_TO_TEAM)
    if group.is_smart:
        raise SmartGroupGivesNoRights
    teams = Team.objects.for_org(actor.organization_id).select_for_update(no_key=True)
    team: Team | None = teams.filter(id=team_id).first()
    if team is None:
        raise NotFound("There is no such team.")
    if group.team_id == team.id:
        return group
    names = held_through_team(actor.organization_id, team.id)
    require_at_least(actor, names, place_of_group(group))
    return _set_team(actor, GIVE_GROUP_TO_TEAM, group, team)


def take_group_from_team(actor: Actor, group_id: UUID) -> DeviceGroup:
    """Makes a group nobody's: only what holds in the organization or on the group reaches it.

    Idempotent.
    """
    group = _locked(actor, group_id, TAKE_GROUP_FROM_TEAM)
    if group.team_id is None:
        return group
    return _set_team(actor, TAKE_GROUP_FROM_TEAM, group, None)


def _set_team(
    actor: Actor, permission: Permission, group: DeviceGroup, team: Team | None
) -> DeviceGroup:
    before = group.team.name if group.team else None
    group.team = team
    group.save(update_fields=["team"])
    record(actor, permission.name, group, changes={"team": [before, team.name if team else None]})
    publish(actor, DeviceGroupChanged(group_id=group.id))
    return group


def _locked(actor: Actor, group_id: UUID, permission: Permission) -> DeviceGroup:
    rows = DeviceGroup.objects.for_org(actor.organization_id).select_for_update(
        no_key=True, of=("self",)
    )
    group: DeviceGroup | None = rows.filter(id=group_id).select_related("team").first()
    if group is None:
        raise NotFound("There is no such device group.")
    require(actor, permission)
    return group
