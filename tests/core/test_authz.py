"""Rights and roles."""

import pytest

from apps.core.actors import Actor, system_actor
from apps.core.authz import Role, declare, declared, permissions_of, require
from apps.core.errors import PermissionDenied
from apps.core.ids import uuid7
from apps.devices.permissions import REGISTER_DEVICE, UPDATE_DEVICE, VIEW_DEVICES
from tests.factories import Cast


def test_a_right_is_declared_once() -> None:
    with pytest.raises(RuntimeError):
        declare(VIEW_DEVICES.name, "again", ())


def test_names_are_app_and_verb_and_noun() -> None:
    apps = {
        *("audit", "accounts", "organizations", "teams", "devices"),
        *("enrollment", "updates", "events", "web"),
    }
    for name in declared():
        app, _, rest = name.partition(".")
        assert app in apps
        assert "_" in rest


def test_stronger_roles_hold_what_weaker_ones_hold() -> None:
    chain = (Role.VIEWER, Role.OPERATOR, Role.ADMIN, Role.OWNER)
    for weak, strong in zip(chain, chain[1:], strict=False):
        assert permissions_of(weak) <= permissions_of(strong)


def test_no_role_holds_the_platforms_own_rights() -> None:
    assert not any(REGISTER_DEVICE.name in permissions_of(role) for role in Role)
    require(system_actor(uuid7()), REGISTER_DEVICE)


def test_an_auditor_reads_the_trail_and_no_devices() -> None:
    held = permissions_of(Role.AUDITOR)
    assert "audit.view_entries" in held
    assert VIEW_DEVICES.name not in held


def test_narrowing_never_adds(acme: Cast, bob: Actor) -> None:
    narrow = bob.narrowed(frozenset({UPDATE_DEVICE.name, VIEW_DEVICES.name}))
    assert narrow.permissions == {VIEW_DEVICES.name}
    with pytest.raises(PermissionDenied) as failure:
        require(narrow, UPDATE_DEVICE)
    assert failure.value.data == {"permission": UPDATE_DEVICE.name}
