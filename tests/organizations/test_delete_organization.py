"""Asking for an organization's deletion, and thinking better of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from apps.core import clock
from apps.core.actors import Actor, Source, system_actor
from apps.core.authz import Role
from apps.core.errors import (
    InvalidRequest,
    NotFound,
    OrganizationSuspended,
    PermissionDenied,
    RecentSignInRequired,
)
from apps.core.ids import uuid7
from apps.core.tenancy import tenant
from apps.organizations.errors import NameDoesNotMatch
from apps.organizations.models import Membership, Organization
from apps.organizations.services.deletion import (
    cancel_organization_deletion,
    delete_organization,
    purge_organization,
)
from tests import factories
from tests.devices.support import events
from tests.factories import Cast
from tests.organizations.support import as_now, entries, fresh, set_status
from tests.rest.conftest import Api

ACTION = "organizations.delete_organization"
in_acme = pytest.mark.usefixtures("in_acme")
TYPED = {"name": "Acme", "reason": "moved away"}


@in_acme
def test_an_owner_asks_and_the_time_of_grace_begins(
    acme: Cast, alice: Actor, settings: Any
) -> None:
    settings.ORGANIZATION_GRACE_DAYS = 3
    for _ in range(2):
        asked = delete_organization(fresh(alice), acme.id, **TYPED)
    assert asked.status == "deleting"
    assert asked.deletes_at is not None
    assert timedelta(days=2.9) < asked.deletes_at - clock.now() <= timedelta(days=3)
    (entry,) = entries(acme, ACTION)
    assert entry.changes["reason"] == "moved away"
    assert len(events(acme.id, "deletion_requested")) == 1


@in_acme
def test_it_takes_the_name_and_a_reason(acme: Cast, alice: Actor) -> None:
    for name in ("", "acme", "Acme Inc"):
        with pytest.raises(NameDoesNotMatch):
            delete_organization(fresh(alice), acme.id, name=name, reason="x")
    for reason in ("", "  ", "x" * 201):
        with pytest.raises(InvalidRequest):
            delete_organization(fresh(alice), acme.id, name="Acme", reason=reason)
    assert Organization.objects.get(id=acme.id).status == "active"
    assert not entries(acme, ACTION)


@in_acme
def test_it_takes_a_fresh_sign_in_and_no_key(
    acme: Cast, alice: Actor, alice_member: Membership
) -> None:
    old = fresh(alice)
    assert old.sign_in is not None
    stale = replace(old, sign_in=replace(old.sign_in, at=clock.now() - timedelta(hours=2)))
    for actor in (stale, replace(old, sign_in=None)):
        with pytest.raises(RecentSignInRequired):
            delete_organization(actor, acme.id, **TYPED)
    by_key = Api(factories.api_key(alice_member)).post(f"organizations/{acme.id}:delete", **TYPED)
    assert (by_key.status_code, by_key.json()["code"]) == (403, "permission_denied")


@in_acme
def test_an_administrator_cannot_and_foreign_ones_are_not_found(
    acme: Cast, globex: Cast, alice: Actor
) -> None:
    admin = factories.actor(factories.membership(acme.id, factories.user(), Role.ADMIN))
    with pytest.raises(PermissionDenied):
        delete_organization(fresh(admin), acme.id, **TYPED)
    for other in (globex.id, uuid7()):
        with pytest.raises(NotFound):
            delete_organization(fresh(alice), other, name="Globex", reason="x")
        with pytest.raises(NotFound):
            cancel_organization_deletion(alice, other)


@in_acme
def test_cancelling_keeps_everything(
    acme: Cast, alice: Actor, alice_member: Membership, bob_member: Membership
) -> None:
    delete_organization(fresh(alice), acme.id, **TYPED)
    assert not as_now(bob_member).permissions
    with pytest.raises(Exception, match="being deleted"):
        cancel_organization_deletion(as_now(bob_member), acme.id)
    for _ in range(2):
        kept = cancel_organization_deletion(as_now(alice_member), acme.id)
    assert (kept.status, kept.deletes_at, kept.status_reason) == ("active", None, "")
    assert as_now(bob_member).has_perm("devices.view_devices")
    assert len(entries(acme, "organizations.cancel_organization_deletion")) == 1


@in_acme
def test_a_suspension_is_not_ended_by_cancelling(acme: Cast, alice: Actor) -> None:
    set_status(acme, "suspended")
    with pytest.raises(OrganizationSuspended):
        cancel_organization_deletion(alice, acme.id)


@in_acme
def test_nothing_is_erased_before_its_time(acme: Cast, alice: Actor) -> None:
    assert not purge_organization(system_actor(acme.id))
    delete_organization(fresh(alice), acme.id, **TYPED)
    assert not purge_organization(system_actor(acme.id))
    assert Organization.objects.filter(id=acme.id).exists()


def test_a_page_asks_for_the_password_itself(acme: Cast, alice: Actor) -> None:
    by_page = replace(fresh(alice, Source.UI), sign_in=None)
    with tenant(acme.id):
        assert delete_organization(by_page, acme.id, **TYPED).status == "deleting"
