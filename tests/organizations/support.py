"""What tests of organizations look at."""

from dataclasses import replace
from typing import Any

from apps.audit.models import AuditEntry
from apps.core import clock
from apps.core.actors import Actor, Call, SignIn, Source
from apps.core.tenancy import tenant
from apps.organizations.models import Membership, Organization
from apps.organizations.selectors import actor_for_user
from tests.factories import Cast


def entries(organization: Cast | Organization, action: str = "") -> list[AuditEntry]:
    """The audit trail, oldest first."""
    with tenant(organization.id):
        rows = AuditEntry.objects.for_org(organization.id).order_by("sequence")
        return list(rows.filter(action=action) if action else rows)


def roles(organization: Cast) -> dict[str, str]:
    """Address to role of everybody in it."""
    with tenant(organization.id):
        rows = Membership.objects.for_org(organization.id).select_related("user")
        return {m.user.email: m.role for m in rows}


def fresh(actor: Actor, source: Source = Source.REST) -> Actor:
    """The actor, having signed in just now."""
    sign_in = SignIn(clock.now(), frozenset({"password"}))
    return replace(actor, sign_in=sign_in, call=replace(actor.call, source=source))


def as_now(member: Membership, source: Source = Source.REST) -> Actor:
    """The member with the rights of this moment, as a door would find them."""
    call = replace(fresh_call(), source=source)
    sign_in = SignIn(clock.now(), frozenset({"password"}))
    return actor_for_user(
        member.user, call, organization=str(member.organization_id), sign_in=sign_in
    )


def fresh_call() -> Call:
    """A call from an address of the documentation."""
    return Call(Source.REST, "192.0.2.1", "request-1")


def set_status(organization: Cast, status: str, **fields: Any) -> None:
    """Puts the organization into a status, as an operation would have."""
    Organization.objects.filter(id=organization.id).update(status=status, **fields)
    organization.organization.refresh_from_db()
