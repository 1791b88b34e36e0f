"""Acme with people whose rights hold in some device groups only, and what they must come to.

Two teams own a group each: "one" owns the static group g1, "two" owns g2, which follows a tag. A
device stands in g1, in g2, in both, or in none. Names say where things stand.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from apps.core.actors import Actor, Call, Source
from apps.core.authz import Role
from apps.core.tenancy import tenant
from apps.devices.models import Device, DeviceGroup
from apps.enrollment.models import EnrollmentToken
from apps.enrollment.services.tokens import create_enrollment_token
from apps.organizations.models import Membership
from apps.organizations.selectors import actor_for_user
from apps.teams.models import Team, TeamMember
from apps.updates.models import Release, Rollout
from apps.updates.services.rollouts import start_rollout
from apps.updates.types import Target
from tests import factories
from tests.updates.conftest import make_release, make_rollout

DONE, DENIED, NOT_FOUND = "done", "permission_denied", "not_found"


@dataclass
class Limited:
    """The organization, its people and its things, by name."""

    organization_id: UUID
    people: dict[str, Membership] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    groups: dict[str, DeviceGroup] = field(default_factory=dict)
    teams: dict[str, Team] = field(default_factory=dict)
    members: dict[str, TeamMember] = field(default_factory=dict)
    tokens: dict[str, EnrollmentToken] = field(default_factory=dict)
    rollouts: dict[str, Rollout] = field(default_factory=dict)
    release: Release | None = None

    def actor(self, person: str) -> Actor:
        """The person as a caller, with the rights of now."""
        member = self.people[person]
        return actor_for_user(member.user, Call(Source.REST, "192.0.2.1", "request-1"))

    def thing(self, name: str) -> Any:
        """A device, group, token or rollout by its name."""
        for kind in (self.devices, self.groups, self.tokens, self.rollouts):
            if name in kind:
                return kind[name]
        raise KeyError(name)


def make_limited(settings: Any, tmp_path: Path) -> Limited:
    """Builds it; inside no tenant."""
    settings.STORAGE_URL = f"file://{tmp_path}"
    organization = factories.organization("Acme")
    world = Limited(organization.id)
    _make_devices(world)
    _make_people(world)
    with tenant(world.organization_id):
        _make_things(world, world.actor("oona"))
    return world


def _make_devices(world: Limited) -> None:
    own = world.organization_id
    tags = {"d-one": [], "d-two": ["two"], "d-both": ["two"], "d-none": ["other"]}
    for name, device_tags in tags.items():
        world.devices[name] = factories.device(
            own, name, tags=device_tags, state=factories.online(), installed={name: "1.0"}
        )
    devices = world.devices
    world.groups["g1"] = factories.group(own, "g1", devices["d-one"], devices["d-both"])
    world.groups["g2"] = factories.group(own, "g2", tag="two")
    world.groups["g3"] = factories.group(own, "g3", devices["d-none"])
    world.teams["one"] = factories.team(own, "one", world.groups["g1"])
    world.teams["two"] = factories.team(own, "two", world.groups["g2"])


def _make_people(world: Limited) -> None:
    """oona owns everything, ivan sees everything; the others are members with team roles.

    mia is operator of team one; tom is viewer of team one and operator of team two; dina is
    deployer of team two; nora is in no team.
    """
    roles = {"oona": Role.OWNER, "ivan": Role.VIEWER}
    for name in ("oona", "ivan", "mia", "tom", "dina", "nora"):
        person = factories.user(f"{name}@acme.test")
        role = roles.get(name, Role.MEMBER)
        world.people[name] = factories.membership(world.organization_id, person, role)
    for team, name, role in (
        ("one", "mia", Role.OPERATOR),
        ("one", "tom", Role.VIEWER),
        ("two", "tom", Role.OPERATOR),
        ("two", "dina", Role.DEPLOYER),
    ):
        person = world.people[name].user
        made = factories.team_member(world.teams[team], person, role)
        world.members[f"{name}-{team}"] = made


def _make_things(world: Limited, owner: Actor) -> None:
    g1, g2 = world.groups["g1"].id, world.groups["g2"].id
    for name, group_ids in {"t-one": [g1], "t-two": [g2], "t-both": [g1, g2], "t-none": []}.items():
        made = create_enrollment_token(owner, name=name, group_ids=group_ids)
        world.tokens[name] = made.token
    world.release = make_release(owner)
    targets = {
        "r-one": Target(group_ids=(g1,)),
        "r-two": Target(group_ids=(g2,)),
        "r-both": Target(group_ids=(g1, g2)),
        "r-tag": Target(tags=("two",)),
        "r-all": Target(),
    }
    for name, target in targets.items():
        world.rollouts[name] = make_rollout(owner, world.release, name=name, target=target)
    start_rollout(owner, world.rollouts["r-all"].id)
