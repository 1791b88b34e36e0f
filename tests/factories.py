"""Builds rows for tests. Nothing else in tests/ does.

Functions for tenant rows enter `tenant()` themselves; they nest where it is open already.
"""

from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType

from apps.accounts.domain import secrets
from apps.accounts.models import ApiKey, User
from apps.core import clock
from apps.core.actors import Actor, ActorKind, Call, Source, system_actor
from apps.core.authz import Role
from apps.core.tenancy import tenant
from apps.devices.domain.states import Connectivity, Lifecycle
from apps.devices.models import (
    Device,
    DeviceGroup,
    DeviceGroupGrant,
    DeviceState,
    GroupMember,
)
from apps.devices.services.counts import count_moves
from apps.organizations.models import CustomRole, Membership, Organization
from apps.teams.models import Team, TeamGrant, TeamMember

PASSWORD = "correct horse battery staple"
_numbers = count(1)


@dataclass(frozen=True)
class Cast:
    """An organization of the cast, with its two devices and its group of the first one."""

    organization: Organization
    devices: tuple[Device, Device]
    group: DeviceGroup

    @property
    def id(self) -> UUID:
        """The organization's id."""
        return self.organization.id

    @property
    def device(self) -> Device:
        """The first device."""
        return self.devices[0]


def user(email: str = "", **fields: Any) -> User:
    """A person who signs in with `PASSWORD`."""
    return User.objects.create_user(
        email or f"person{next(_numbers)}@example.com", PASSWORD, **fields
    )


def organization(name: str = "") -> Organization:
    """An organization without anybody in it. Like an installation's first one it is on trial."""
    name = name or f"Organization {next(_numbers)}"
    slug = name.lower().replace(" ", "-")
    return Organization.objects.create(
        name=name, slug=slug, created_at=clock.now(), settings={"updates.allow_unsigned": True}
    )


def membership(organization_id: UUID, person: User, role: Role) -> Membership:
    """A person's membership."""
    with tenant(organization_id):
        row = Membership(
            organization_id=organization_id, user=person, role=role, created_at=clock.now()
        )
        row.save(force_insert=True)
    return row


def actor(member: Membership, source: Source = Source.REST) -> Actor:
    """The member as a caller."""
    return Actor(
        kind=ActorKind.USER,
        organization_id=member.organization_id,
        label=member.user.email,
        call=Call(source, "192.0.2.1", "request-1"),
        id=member.user_id,
        user_id=member.user_id,
        role=member.role,
        permissions=member.role_permissions,
    )


def api_key(member: Membership, *, scopes: tuple[str, ...] = (), **fields: Any) -> str:
    """A key of the member; the answer is its secret."""
    secret = secrets.new_secret(secrets.API_KEY)
    at = clock.now()
    values = {"created_at": at, "expires_at": at + timedelta(days=1), **fields}
    with tenant(member.organization_id):
        ApiKey(
            organization_id=member.organization_id,
            user_id=member.user_id,
            name="test",
            prefix=secrets.shown_prefix(secret),
            secret_hash=secrets.secret_hash(secret),
            scopes=list(scopes),
            **values,
        ).save(force_insert=True)
    return secret


def device(
    organization_id: UUID,
    name: str = "",
    *,
    lifecycle: Lifecycle = Lifecycle.ACTIVE,
    state: dict[str, Any] | None = None,
    **fields: Any,
) -> Device:
    """A device with its state, counted in the totals. `state` sets fields of the state."""
    number = next(_numbers)
    live = {"connectivity": Connectivity.NEVER_SEEN.value, **(state or {})}
    values = {
        "name": name or f"device-{number}",
        "hardware_id": f"hardware-{number}",
        "created_at": clock.now(),
        **fields,
    }
    with tenant(organization_id):
        row = Device(organization_id=organization_id, lifecycle=lifecycle.value, **values)
        row.save(force_insert=True)
        DeviceState(device=row, organization_id=organization_id, **live).save(force_insert=True)
        place = (lifecycle.value, str(live["connectivity"]))
        count_moves(system_actor(organization_id), [(None, place)])
    return row


def online(heartbeat_seconds: int = 60) -> dict[str, Any]:
    """State of a device that spoke just now."""
    at = clock.now()
    return {
        "connectivity": Connectivity.ONLINE.value,
        "connected_at": at,
        "last_seen_at": at,
        "offline_at": at + timedelta(seconds=3 * heartbeat_seconds),
        "heartbeat_seconds": heartbeat_seconds,
    }


def group(organization_id: UUID, name: str = "", *members: Device, tag: str = "") -> DeviceGroup:
    """A group: of these devices, or of all with a tag."""
    with tenant(organization_id):
        row = DeviceGroup(
            organization_id=organization_id,
            name=name or f"group-{next(_numbers)}",
            tag=tag,
            created_at=clock.now(),
        )
        row.save(force_insert=True)
        for member in members:
            GroupMember(organization_id=organization_id, group=row, device=member).save(
                force_insert=True
            )
    return row


def custom_role(organization_id: UUID, name: str, *permissions: str) -> CustomRole:
    """A role of the organization's own."""
    with tenant(organization_id):
        row = CustomRole(
            organization_id=organization_id,
            name=name,
            permissions=list(permissions),
            created_at=clock.now(),
        )
        row.save(force_insert=True)
    return row


def team(organization_id: UUID, name: str = "", *owned: DeviceGroup) -> Team:
    """A team that owns these groups."""
    with tenant(organization_id):
        row = Team(
            organization_id=organization_id,
            name=name or f"team-{next(_numbers)}",
            created_at=clock.now(),
        )
        row.save(force_insert=True)
        for each in owned:
            each.team = row
            each.save(update_fields=["team"])
    return row


def team_member(
    of: Team, person: User, role: Role | str, custom_role: CustomRole | None = None
) -> TeamMember:
    """A person in a team."""
    with tenant(of.organization_id):
        row = TeamMember(
            organization_id=of.organization_id,
            team=of,
            user=person,
            role=role,
            custom_role=custom_role,
            created_at=clock.now(),
        )
        row.save(force_insert=True)
    return row


def object_grant(on: Team | DeviceGroup, person: User, *names: str) -> None:
    """Rights of one person on a team or a device group."""
    model = TeamGrant if isinstance(on, Team) else DeviceGroupGrant
    kind = ContentType.objects.get_for_model(type(on))
    with tenant(on.organization_id):
        for row in Permission.objects.filter(content_type=kind, codename__in=names):
            model(
                organization_id=on.organization_id, user=person, permission=row, content_object=on
            ).save(force_insert=True)


def cast(name: str) -> Cast:
    """An organization with two devices and a group of the first."""
    made = organization(name)
    slug = made.slug
    devices = (device(made.id, f"{slug}-one"), device(made.id, f"{slug}-two"))
    return Cast(made, devices, group(made.id, f"{slug}-group", devices[0]))
