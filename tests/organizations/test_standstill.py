"""Suspending and resuming an organization: owners read, everything else waits, nothing is lost."""

from uuid import UUID

import pytest

from apps.agents import backend
from apps.core.actors import Actor
from apps.core.authz import Role, declared
from apps.core.errors import (
    NotFound,
    OrganizationDeleting,
    OrganizationSuspended,
    PermissionDenied,
    WrongState,
)
from apps.core.ids import uuid7
from apps.core.tenancy import tenant
from apps.devices.services.devices import update_device
from apps.organizations import tasks as organization_tasks
from apps.organizations.models import Membership, Organization
from apps.organizations.selectors import get_organization, refreshed
from apps.organizations.services.organizations import resume_organization, suspend_organization
from apps.updates import tasks as update_tasks
from tests import factories
from tests.factories import Cast
from tests.organizations.support import as_now, entries, set_status
from tests.rest.conftest import Api

SUSPEND = "organizations.suspend_organization"


@pytest.fixture
def operator_of_it_all(globex: Cast) -> Actor:
    """A superuser, who belongs to globex."""
    person = factories.user("root@platform.test", is_superuser=True)
    return factories.actor(factories.membership(globex.id, person, Role.VIEWER))


def test_a_superuser_suspends_any_organization(acme: Cast, operator_of_it_all: Actor) -> None:
    with tenant(operator_of_it_all.organization_id):
        for _ in range(2):
            changed = suspend_organization(operator_of_it_all, acme.id, reason=" unpaid ")
    assert (changed.status, changed.status_reason) == ("suspended", "unpaid")
    (entry,) = entries(acme, SUSPEND)
    assert entry.changes == {"status": ["active", "suspended"], "reason": "unpaid"}
    assert entry.actor_label == "root@platform.test"


def test_resuming_undoes_it(acme: Cast, operator_of_it_all: Actor) -> None:
    with tenant(operator_of_it_all.organization_id):
        suspend_organization(operator_of_it_all, acme.id)
        for _ in range(2):
            changed = resume_organization(operator_of_it_all, acme.id)
    assert (changed.status, changed.status_reason) == ("active", "")
    assert len(entries(acme, "organizations.resume_organization")) == 1


def test_an_owner_suspends_nothing(acme: Cast, globex: Cast, alice: Actor) -> None:
    with tenant(acme.id):
        with pytest.raises(PermissionDenied):
            suspend_organization(alice, acme.id)
        for other in (globex.id, uuid7()):
            with pytest.raises(NotFound):
                suspend_organization(alice, other)
            with pytest.raises(NotFound):
                resume_organization(alice, other)
    assert Organization.objects.filter(status="active").count() == 2


def test_what_is_being_deleted_is_neither_suspended_nor_resumed(
    acme: Cast, operator_of_it_all: Actor
) -> None:
    set_status(acme, "deleting", deletes_at="2126-01-01T00:00:00Z")
    with tenant(operator_of_it_all.organization_id):
        with pytest.raises(WrongState):
            suspend_organization(operator_of_it_all, acme.id)
        with pytest.raises(WrongState):
            resume_organization(operator_of_it_all, acme.id)


def test_a_missing_organization_is_not_found(operator_of_it_all: Actor) -> None:
    with tenant(operator_of_it_all.organization_id), pytest.raises(NotFound):
        suspend_organization(operator_of_it_all, uuid7())


def test_owners_read_and_change_nothing(acme: Cast, alice_member: Membership) -> None:
    set_status(acme, "suspended")
    owner = as_now(alice_member)
    assert all(
        name.partition(".")[2].startswith(("view_", "explain_", "export_"))
        for name in owner.permissions
    )
    with tenant(acme.id):
        assert get_organization(owner, acme.id).status == "suspended"
        with pytest.raises(OrganizationSuspended):
            update_device(owner, acme.device.id, name="new")


def test_nobody_else_does_anything(acme: Cast, bob_member: Membership) -> None:
    set_status(acme, "suspended")
    bob = as_now(bob_member)
    assert not bob.permissions
    with tenant(acme.id), pytest.raises(OrganizationSuspended):
        get_organization(bob, acme.id)


def test_keys_and_open_streams_hear_of_it(
    acme: Cast, alice: Actor, alice_member: Membership
) -> None:
    key = factories.api_key(alice_member)
    set_status(acme, "suspended")
    response = Api(key).patch(f"devices/{acme.device.id}", name="new")
    assert (response.status_code, response.json()["code"]) == (409, "organization_suspended")
    assert Api(key).get("devices").status_code == 200
    with tenant(acme.id):
        assert not refreshed(alice).has_perm("devices.update_device")


def test_while_it_is_deleted_owners_look_on_export_and_cancel(
    acme: Cast, alice_member: Membership
) -> None:
    set_status(acme, "deleting", deletes_at="2126-01-01T00:00:00Z")
    owner = as_now(alice_member)
    assert owner.permissions == {
        "organizations.view_organization",
        "organizations.cancel_organization_deletion",
        "organizations.export_organization",
    }
    with tenant(acme.id), pytest.raises(OrganizationDeleting):
        update_device(owner, acme.device.id, name="new")


def test_no_right_that_changes_something_is_left(acme: Cast, alice_member: Membership) -> None:
    set_status(acme, "suspended")
    left = as_now(alice_member).permissions
    assert left <= {name for name in declared() if ".view_" in name or ".e" in name}


def test_rollouts_wait_and_go_on(acme: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    advanced: list[str] = []
    monkeypatch.setattr(
        "apps.updates.tasks.advance_rollout", lambda actor, id: advanced.append(str(id))
    )
    rollout_id = str(uuid7())
    set_status(acme, "suspended")
    update_tasks.advance(str(acme.id), rollout_id=rollout_id)
    assert not advanced
    set_status(acme, "active")
    update_tasks.advance(str(acme.id), rollout_id=rollout_id)
    assert advanced == [rollout_id]


def test_an_export_goes_on_while_everything_waits(
    acme: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[UUID] = []
    monkeypatch.setattr(
        "apps.organizations.tasks.continue_export",
        lambda actor: asked.append(actor.organization_id),
    )
    set_status(acme, "suspended")
    organization_tasks.export(str(acme.id))
    assert asked == [acme.id]


def test_devices_are_told_to_wait(acme: Cast) -> None:
    set_status(acme, "suspended")
    with tenant(acme.id):
        assert backend.is_waiting(acme.id)
        (answer,) = backend.authenticate(acme.id, [_Certificate()])  # type: ignore[list-item]
    assert (answer.code, answer.kind) == ("organization_suspended", "unavailable")  # type: ignore[union-attr]
    assert answer.retry_after_seconds  # type: ignore[union-attr]


class _Certificate:
    """What a device shows; it is not looked at."""

    spiffe_id = serial = ""
