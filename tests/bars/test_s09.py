"""S09 P0: rights are never merged across groups.

Given a user who is viewer on group 1 and operator on group 2, when acting on a group-1 device, then
denied; a device in both groups gets the union for that device only; hypothesis compares with a
30-line reference model over random role/group/team trees. Here with the database: what lists show,
what services do and what the explanation says are all compared with the model.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from apps.core.actors import Actor
from apps.core.authz import Role, permissions_of
from apps.core.errors import FleetdError, NotFound, PermissionDenied
from apps.core.pagination import PageRequest
from apps.devices.models import Device, DeviceGroup
from apps.devices.selectors import list_device_groups, list_devices
from apps.devices.services.devices import update_device
from apps.devices.services.groups import add_devices_to_group
from apps.enrollment.models import EnrollmentToken
from apps.enrollment.selectors import list_enrollment_tokens
from apps.enrollment.services.tokens import create_enrollment_token
from apps.organizations.models import Membership
from apps.teams.models import Team
from apps.updates.selectors.deployments import list_deployments
from apps.updates.selectors.rollouts import list_rollouts
from apps.updates.services.rollouts import cancel_rollout, start_rollout
from apps.updates.types import Target
from apps.web.access import explain_access
from tests import factories
from tests.factories import Cast
from tests.teams.support import now, person
from tests.updates.conftest import make_release, make_rollout

VIEW, UPDATE = "devices.view_devices", "devices.update_device"
GROUPS, ROLLOUTS = "devices.view_device_groups", "updates.view_rollouts"
DEPLOYMENTS, TOKENS = "updates.view_deployments", "enrollment.view_enrollment_tokens"
CANCEL = "updates.cancel_rollout"
RIGHTS = [VIEW, UPDATE, GROUPS, ROLLOUTS, DEPLOYMENTS, TOKENS, CANCEL]
TAGS = ["", "", "t=1", "t=2"]  # of the four groups: two are static
EVERYWHERE = frozenset(range(len(TAGS)))  # where the fifth device always is
EVERY = PageRequest(size=1000)


@dataclass
class World:
    """What stays the same: devices, groups, teams, rollouts and tokens of acme."""

    member: Membership
    owner: Actor
    devices: list[Device]
    groups: list[DeviceGroup]
    teams: list[Team]
    rollouts: dict[UUID, frozenset[int]] = field(default_factory=dict)
    tokens: dict[UUID, frozenset[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Tree:
    """What is drawn: who owns which group, where devices are, and what the person holds."""

    owners: tuple[int | None, ...]
    places: tuple[frozenset[int], ...]
    organization: frozenset[str]
    in_teams: dict[int, frozenset[str]]
    on_teams: dict[int, frozenset[str]]
    on_groups: dict[int, frozenset[str]]


# --- the reference model ---


def in_group(tree: Tree, right: str, group: int) -> bool:
    """Whether the person holds a right on one group, which is never asked of two at once."""
    owner = tree.owners[group]
    return (
        right in tree.organization
        or right in tree.on_groups.get(group, ())
        or (owner is not None and right in tree.in_teams.get(owner, ()))
        or (owner is not None and right in tree.on_teams.get(owner, ()))
    )


def on_device(tree: Tree, right: str, device: int) -> bool:
    return right in tree.organization or any(in_group(tree, right, g) for g in tree.places[device])


def on_all(tree: Tree, right: str, groups: frozenset[int]) -> bool:
    """For what concerns all of its groups at once: rollouts and tokens."""
    if not groups:
        return right in tree.organization
    return all(in_group(tree, right, group) for group in groups)


def somewhere(tree: Tree, right: str) -> bool:
    held = [*tree.in_teams.values(), *tree.on_teams.values(), *tree.on_groups.values()]
    return right in tree.organization or any(right in names for names in held)


# --- the database ---

rights = st.frozensets(st.sampled_from(RIGHTS), max_size=4)
trees = st.builds(
    Tree,
    owners=st.tuples(*[st.sampled_from([None, 0, 1, 2])] * len(TAGS)),
    places=st.tuples(*[st.frozensets(st.sampled_from(range(len(TAGS))))] * 4).map(
        lambda drawn: (*drawn, EVERYWHERE)
    ),
    organization=st.one_of(st.just(frozenset()), st.just(frozenset()), rights),
    in_teams=st.dictionaries(st.sampled_from(range(3)), rights, max_size=2),
    on_teams=st.dictionaries(st.sampled_from(range(3)), rights, max_size=1),
    on_groups=st.dictionaries(st.sampled_from(range(len(TAGS))), rights, max_size=2),
)


@pytest.fixture
def world(acme: Cast, alice: Actor, in_acme: None, tmp_path: Any, settings: Any) -> World:
    settings.STORAGE_URL = f"file://{tmp_path}"
    devices = [*acme.devices, factories.device(acme.id), factories.device(acme.id)]
    groups = [factories.group(acme.id, f"group {n}", tag=tag) for n, tag in enumerate(TAGS)]
    tags = [tag for tag in TAGS if tag]
    devices.append(factories.device(acme.id, "everywhere", tags=tags))
    for group in groups[:2]:
        add_devices_to_group(alice, group.id, [devices[-1].id])
    teams = [factories.team(acme.id) for _ in range(3)]
    made = World(person(acme.id, "ana@acme.test"), alice, devices, groups, teams)
    release = make_release(alice)
    for named in ([], [0], [2], [0, 1], [1, 3]):
        ids = [groups[n].id for n in named]
        rollout = make_rollout(alice, release, target=Target(group_ids=tuple(ids)))
        made.rollouts[rollout.id] = frozenset(named)
        token = create_enrollment_token(alice, name="t", group_ids=ids)
        made.tokens[token_of(token).id] = frozenset(named)
    start_rollout(alice, next(iter(made.rollouts)))  # to everything: one deployment per device
    return made


def token_of(made: Any) -> EnrollmentToken:
    return getattr(made, "token", made)


def grow(world: World, tree: Tree) -> Actor:
    """Makes the database like the tree; the person as a door would build them."""
    organization_id, user = world.owner.organization_id, world.member.user
    for group, owner in zip(world.groups, tree.owners, strict=True):
        group.team = None if owner is None else world.teams[owner]
        group.save(update_fields=["team"])
    for n, group in enumerate(world.groups):
        inside = [d for d, places in zip(world.devices, tree.places, strict=True) if n in places]
        if not group.tag and inside:
            add_devices_to_group(world.owner, group.id, [d.id for d in inside])
    for device, places in zip(world.devices, tree.places, strict=True):
        tags = [TAGS[n] for n in sorted(places) if TAGS[n]]
        Device.objects.for_org(organization_id).filter(id=device.id).update(tags=tags)
    own = factories.custom_role(organization_id, "here", *tree.organization)
    Membership.objects.for_org(organization_id).filter(id=world.member.id).update(
        role="custom", custom_role=own
    )
    for n, names in tree.in_teams.items():
        role = factories.custom_role(organization_id, f"in {n}", *names)
        factories.team_member(world.teams[n], user, "custom", role)
    for n, names in tree.on_teams.items():
        factories.object_grant(world.teams[n], user, *names)
    for n, names in tree.on_groups.items():
        factories.object_grant(world.groups[n], user, *names)
    return now(world.member)


def seen(rows: Callable[[], Any]) -> set[UUID]:
    """What a list shows; who holds the right nowhere is refused, and sees nothing."""
    try:
        return {row.id for row in rows().items}
    except PermissionDenied:
        return set()


def outcome(work: Callable[[], object]) -> str:
    """What a service did, undone."""
    mark = transaction.savepoint()
    try:
        work()
    except PermissionDenied:
        return "denied"
    except NotFound:
        return "missing"
    except FleetdError as error:
        return error.code
    finally:
        transaction.savepoint_rollback(mark)
    return "done"


def expected(tree: Tree, right: str, sight: str, holds: Callable[[str], bool]) -> str:
    """What a service should do: refused by name what is in sight, not found what is not."""
    if holds(right):
        return "done"
    if holds(sight) or not (somewhere(tree, right) or somewhere(tree, sight)):
        return "denied"
    return "missing"


def named(rows: dict[UUID, frozenset[int]], tree: Tree, right: str) -> set[UUID]:
    return {row_id for row_id, groups in rows.items() if on_all(tree, right, groups)}


def check(world: World, tree: Tree, actor: Actor) -> None:
    devices = list(enumerate(world.devices))
    assert seen(lambda: list_devices(actor, EVERY)) == {
        d.id for n, d in devices if on_device(tree, VIEW, n)
    }
    shown = seen(lambda: list_device_groups(actor, EVERY))
    assert shown & {g.id for g in world.groups} == {
        g.id for n, g in enumerate(world.groups) if in_group(tree, GROUPS, n)
    }
    assert seen(lambda: list_rollouts(actor, EVERY)) == named(world.rollouts, tree, ROLLOUTS)
    assert seen(lambda: list_enrollment_tokens(actor, EVERY)) == named(world.tokens, tree, TOKENS)
    assert deployed(actor) == {d.id for n, d in devices if on_device(tree, DEPLOYMENTS, n)}
    for n, device in devices:
        did = outcome(lambda each=device: update_device(actor, each.id, name="renamed"))
        assert did == expected(tree, UPDATE, VIEW, lambda right, n=n: on_device(tree, right, n))
        assert explained(world, "device", device.id, UPDATE) == on_device(tree, UPDATE, n)
    for rollout_id, groups in list(world.rollouts.items())[1:]:
        did = outcome(lambda each=rollout_id: cancel_rollout(actor, each))
        hoped = expected(tree, CANCEL, ROLLOUTS, lambda right, g=groups: on_all(tree, right, g))
        assert (did if did in ("denied", "missing") else "done") == hoped
        assert explained(world, "rollout", rollout_id, CANCEL) == on_all(tree, CANCEL, groups)
    for n, group in enumerate(world.groups):
        assert explained(world, "device_group", group.id, UPDATE) == in_group(tree, UPDATE, n)


def deployed(actor: Actor) -> set[UUID]:
    try:
        return {row.device_id for row in list_deployments(actor, EVERY).items}
    except PermissionDenied:
        return set()


def explained(world: World, kind: str, object_id: UUID, right: str) -> bool:
    found = explain_access(
        world.owner,
        user_id=world.member.user_id,
        kind=kind,
        object_id=object_id,
        permission=right,
    )
    (item,) = found.items
    assert item.because
    return item.allowed


@given(tree=trees)
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking asks a database for minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_s09_lists_services_and_explanations_equal_the_model(world: World, tree: Tree) -> None:
    mark = transaction.savepoint()
    try:
        check(world, tree, grow(world, tree))
    finally:
        transaction.savepoint_rollback(mark)


def roles(names: Iterable[Role]) -> Iterator[frozenset[str]]:
    return (permissions_of(role) for role in names)


def test_s09_viewer_here_and_operator_there_is_no_operator_here(world: World) -> None:
    viewer, operator = roles([Role.VIEWER, Role.OPERATOR])
    empty: frozenset[int] = frozenset()
    tree = Tree(
        owners=(0, 1, None, None),
        places=(frozenset({0}), frozenset({1}), frozenset({0, 1}), empty, EVERYWHERE),
        organization=frozenset(),
        in_teams={0: viewer, 1: operator},
        on_teams={},
        on_groups={},
    )
    actor = grow(world, tree)
    outcomes = [
        outcome(lambda each=device: update_device(actor, each.id, name="renamed"))
        for device in world.devices
    ]
    assert outcomes == ["denied", "done", "done", "missing", "done"]
    check(world, tree, actor)
