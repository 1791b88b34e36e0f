"""S15, the part of browsers: what ends a person's access ends their open pages.

Given live sessions and websockets of a user, when the user is disabled, removed from the
organization, changes the password or has a role lowered, then the next call within 5 s reflects it.
Tokens, refresh tokens and API keys are in test_s15.py.
"""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.core.authz import Role
from apps.core.errors import FleetdError
from apps.core.rpc import orm
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from apps.organizations.services.accounts import disable_user, enable_user, reset_second_factors
from apps.web.realtime import consumer
from tests import factories
from tests.accounts.people import demand, entries, forget_attempts, sign_in, with_app
from tests.factories import PASSWORD
from tests.web.conftest import cookie_of, socket_of  # noqa: F401 - fixtures

NEW = "another password that is long enough"


@pytest.fixture(autouse=True)
def fresh_limits() -> None:
    """Attempts of other tests do not count."""
    forget_attempts()


def is_open(client: Client, page: str = "/devices") -> bool:
    """Whether the session still answers pages."""
    return client.get(page).status_code == 200


def test_s15_disabling_ends_every_session_at_once(bob_member: Membership) -> None:
    one, _ = sign_in(bob_member.user.email)
    two, _ = sign_in(bob_member.user.email)
    disable_user(None, bob_member.user_id)
    assert not is_open(one)
    assert not is_open(two)
    assert one.get("/api/v1/devices").status_code == 401
    assert "sessionid" not in sign_in(bob_member.user.email)[0].cookies
    (entry,) = entries(bob_member, "organizations.disable_user")
    assert (entry.actor_kind, entry.object_label) == ("system", bob_member.user.email)


def test_s15_enabling_again_brings_no_session_back(bob_member: Membership) -> None:
    client, _ = sign_in(bob_member.user.email)
    disable_user(None, bob_member.user_id)
    enable_user(None, bob_member.user_id)
    assert not is_open(client)
    assert sign_in(bob_member.user.email)[1].status_code == 302


def test_s15_a_new_password_ends_all_other_sessions(bob_member: Membership) -> None:
    here, _ = sign_in(bob_member.user.email)
    there, _ = sign_in(bob_member.user.email)
    version = User.objects.get(pk=bob_member.user_id).access_version
    changed = here.post("/accounts/password", {"current": PASSWORD, "password": NEW})
    assert changed.status_code == 302
    assert is_open(here)
    assert not is_open(there)
    assert User.objects.get(pk=bob_member.user_id).access_version == version + 1
    assert len(entries(bob_member, "accounts.change_password")) == 1


def test_s15_a_session_ended_from_the_list_is_over(bob_member: Membership) -> None:
    here, _ = sign_in(bob_member.user.email)
    there, _ = sign_in(bob_member.user.email)
    page = here.get("/accounts/")
    other = next(s for s in page.context["sessions"] if not s["is_current"])
    assert here.post(f"/accounts/sessions/{other['id']}/end").status_code == 302
    assert is_open(here)
    assert not is_open(there)
    assert len(entries(bob_member, "accounts.end_session")) == 1


def test_s15_sessions_of_others_cannot_be_ended(
    bob_member: Membership, alice_member: Membership
) -> None:
    bob, _ = sign_in(bob_member.user.email)
    alice, _ = sign_in(alice_member.user.email)
    hers = alice.get("/accounts/").context["sessions"][0]["id"]
    assert bob.post(f"/accounts/sessions/{hers}/end").status_code == 404
    assert is_open(alice)


def test_s15_signing_out_everywhere_ends_this_session_too(bob_member: Membership) -> None:
    here, _ = sign_in(bob_member.user.email)
    there, _ = sign_in(bob_member.user.email)
    here.post("/accounts/everywhere/end")
    assert not is_open(here)
    assert not is_open(there)


def test_s15_resetting_lost_factors_ends_what_was_open(bob_member: Membership) -> None:
    client, _ = sign_in(bob_member.user.email)
    with_app(bob_member.user)
    reset_second_factors(None, bob_member.user_id)
    assert not is_open(client)
    assert sign_in(bob_member.user.email)[1]["Location"] == "/"
    (entry,) = entries(bob_member, "organizations.reset_second_factors")
    assert entry.changes == {"factors": ["totp"]}


def test_s15_leaving_and_a_lower_role_show_at_the_next_page(erin_member: Membership) -> None:
    client, _ = sign_in(erin_member.user.email)
    assert is_open(client, "/rollouts")
    with tenant(erin_member.organization_id):
        Membership.objects.for_org(erin_member.organization_id).filter(id=erin_member.id).update(
            role=Role.AUDITOR
        )
    assert client.get("/devices").status_code == 403
    with tenant(erin_member.organization_id):
        erin_member.delete()
    assert client.get("/devices").status_code in (302, 401)


def test_s15_old_and_idle_sign_ins_end_as_the_organization_wants(bob_member: Membership) -> None:
    client, _ = sign_in(bob_member.user.email)
    demand(bob_member.organization, session_hours=1, idle_minutes=10)
    assert is_open(client)
    session = client.session
    records = session["account_authentication_methods"]
    session["account_authentication_methods"] = [{**r, "at": r["at"] - 3601} for r in records]
    session.save()
    over = client.get("/devices", follow=True)
    assert over.redirect_chain[-1][0] == "/accounts/login?next=%2Fdevices"
    assert not is_open(client)


@pytest.mark.parametrize(
    "end", ["disable", "password", "everywhere", "mfa"], ids=lambda name: f"by {name}"
)
async def test_s15_open_sockets_close(
    end: str,
    bob_member: Membership,
    cookie_of: Callable[..., str],  # noqa: F811 - the fixture
    socket_of: Callable[..., Any],  # noqa: F811 - the fixture
) -> None:
    socket = socket_of(await orm(None, cookie_of, bob_member))
    assert (await socket.connect())[0]
    assert (await socket.says(op="ping"))["op"] == "pong"
    await orm(None, end_access, end, bob_member)
    assert await socket.closes() == consumer.SIGNED_OUT


def end_access(how: str, member: Membership) -> None:
    """What an administrator, or the person elsewhere, does."""
    user = User.objects.get(pk=member.user_id)
    if how == "disable":
        disable_user(None, user.pk)
    elif how == "password":
        user.set_password(NEW)
        user.save()
    elif how == "everywhere":
        reset_second_factors(None, user.pk)
    else:
        demand(member.organization, require_mfa=True)


def test_s15_only_the_right_people_may_end_the_access_of_others(
    bob_member: Membership, alice_member: Membership
) -> None:
    owner = factories.actor(alice_member)
    for service in (disable_user, enable_user):
        with pytest.raises(FleetdError) as refused:
            service(owner, bob_member.user_id)
        assert refused.value.code == "permission_denied"
    # Acme is all that bob belongs to, so its owner may help him; not once he is elsewhere, too.
    with tenant(owner.organization_id):
        reset_second_factors(owner, bob_member.user_id)
    elsewhere = factories.organization()
    factories.membership(elsewhere.id, bob_member.user, Role.VIEWER)
    with pytest.raises(FleetdError) as refused, tenant(owner.organization_id):
        reset_second_factors(owner, bob_member.user_id)
    assert refused.value.code == "permission_denied"
    stranger = factories.user()
    with pytest.raises(FleetdError) as unknown, tenant(owner.organization_id):
        reset_second_factors(owner, stranger.pk)
    assert unknown.value.code == "not_found"
