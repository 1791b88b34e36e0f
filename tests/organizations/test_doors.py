"""Giving a member another role through five doors: the same outcome, role and audit count."""

from collections.abc import Callable

import pytest
from asgiref.sync import async_to_sync
from django.test import Client

from apps.core.errors import FleetdError
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.organizations.services.authentication import forget_callers
from apps.organizations.services.members import change_member_role
from fleetd.pb.public.v1 import organization_pb2 as pb
from tests import factories
from tests.factories import Cast
from tests.organizations.support import as_now, entries, roles
from tests.rest.conftest import Api
from tests.rpc.conftest import open_doors

pytestmark = pytest.mark.django_db(transaction=True)

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
Door = Callable[[Membership, Membership, str], bool]


def by_service(member: Membership, target: Membership, role: str) -> bool:
    actor = as_now(member)
    try:
        with tenant(actor.organization_id):
            change_member_role(actor, target.id, role=role)
    except FleetdError:
        return False
    return True


def by_rest(member: Membership, target: Membership, role: str) -> bool:
    api = Api(factories.api_key(member))
    return bool(api.patch(f"members/{target.id}", role=role).status_code == 200)


def by_rpc(member: Membership, target: Membership, role: str) -> bool:
    request = pb.ChangeMemberRoleRequest(id=str(target.id), role=role)
    headers = {"authorization": f"Bearer {factories.api_key(member)}"}

    async def call() -> bool:
        async with open_doors() as doors:
            method = "public.v1.OrganizationService/ChangeMemberRole"
            kind = pb.ChangeMemberRoleResponse
            got = await doors.call("connect-json", method, request, kind, headers)
        return got.status == "OK"

    forget_callers()
    return async_to_sync(call)()


def by_ui(member: Membership, target: Membership, role: str) -> bool:
    client = Client()
    client.force_login(member.user, backend=BACKEND)
    return _is_done(client.post(f"/settings/members/{target.id}", {"role": role}, follow=True))


def by_admin(member: Membership, target: Membership, role: str) -> bool:
    client = Client()
    client.force_login(member.user, backend=BACKEND)
    values = {"action": "change_member_role", "_selected_action": str(target.id)}
    form = {**values, "confirmed": "yes", "index": "0", "role": role}
    return _is_done(client.post("/admin/organizations/membership/", form, follow=True))


def _is_done(response: object) -> bool:
    context = getattr(response, "context", None)
    levels = {m.level_tag for m in context["messages"]} if context else set()
    return levels == {"success"}


DOORS: dict[str, Door] = {
    "service": by_service,
    "rest": by_rest,
    "rpc": by_rpc,
    "ui": by_ui,
    "admin": by_admin,
}


@pytest.mark.parametrize("door", DOORS)
def test_every_door_does_and_refuses_the_same(
    door: str,
    acme: Cast,
    alice_member: Membership,
    bob_member: Membership,
    charlie_member: Membership,
) -> None:
    change = DOORS[door]
    assert change(alice_member, bob_member, "operator")
    assert not change(alice_member, alice_member, "viewer")  # the last owner
    assert not change(bob_member, bob_member, "owner")  # no right
    assert not change(charlie_member, bob_member, "viewer")  # another organization
    assert roles(acme) == {"alice@acme.test": "owner", "bob@acme.test": "operator"}
    done = [e for e in entries(acme, "organizations.change_member_role") if e.result == "success"]
    assert len(done) == 1
