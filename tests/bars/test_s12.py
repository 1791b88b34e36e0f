"""S12: no way in goes around the second factor that an organization asks for.

Given MFA required by the organization, when entering through password, password reset, API token
login, device-code/CLI login, admin login, WebSocket or API key, then every path demands it or
refuses.
"""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from apps.accounts.services.passwords import reset_link
from apps.accounts.services.tokens import issue_tokens
from apps.core import clock
from apps.core.actors import Call, SignIn, Source
from apps.core.authz import Role
from apps.core.errors import FleetdError
from apps.organizations.models import Membership
from apps.organizations.services.authentication import forget_callers
from apps.organizations.services.device_sign_in import begin_device_sign_in, redeem_device_code
from apps.web import callers
from tests import factories
from tests.accounts.people import (
    code,
    demand,
    entries,
    forget_attempts,
    sign_in,
    sign_in_with_app,
    with_app,
)
from tests.factories import PASSWORD, Cast
from tests.rest.conftest import Api


@pytest.fixture(autouse=True)
def asked(acme: Cast) -> None:
    """Acme asks everybody for a second factor."""
    forget_attempts()
    forget_callers()
    demand(acme.organization, require_mfa=True)


def is_led_to_enroll(client: Client, page: str = "/devices") -> bool:
    """Whether the page answers with the way to a second factor, and with nothing else."""
    response = client.get(page)
    return response.status_code == 302 and response["Location"].startswith("/accounts/access")


def scope_of(client: Client) -> dict[str, Any]:
    """What a socket of this browser shows."""
    cookie = f"sessionid={client.cookies['sessionid'].value}".encode()
    headers = [(b"host", b"testserver"), (b"cookie", cookie)]
    return {"headers": headers, "client": ("192.0.2.7", 4711)}


def test_s12_a_password_alone_is_led_to_enroll_and_can_do_nothing_else(
    bob_member: Membership,
) -> None:
    client, _ = sign_in(bob_member.user.email)
    for page in ("/", "/devices", "/api-keys", "/settings/security", "/audit", "/rollouts"):
        assert is_led_to_enroll(client, page), page
    assert client.post("/api-keys", {"name": "way around"}).status_code == 302
    assert client.get("/api/v1/devices").status_code == 403
    assert client.get("/api/v1/devices").json()["code"] == "mfa_required"
    page = client.get("/accounts/access")
    assert b"asks for a second factor" in page.content
    assert client.get("/accounts/app").status_code == 200


def test_s12_enrolling_opens_the_organization_at_once(bob_member: Membership) -> None:
    client, _ = sign_in(bob_member.user.email)
    with_app(bob_member.user)  # somewhere else: this session proved nothing
    assert is_led_to_enroll(client)
    assert b"Sign in again" in client.get("/accounts/access").content
    assert sign_in_with_app(bob_member.user.email).get("/devices").status_code == 200


def test_s12_other_organizations_go_on_working(bob_member: Membership) -> None:
    other = factories.organization("Initech")
    factories.membership(other.id, bob_member.user, Role.VIEWER)
    client, _ = sign_in(bob_member.user.email)
    assert is_led_to_enroll(client)
    assert b"Initech" in client.get("/accounts/access").content
    chosen = client.post("/accounts/access", {"organization": str(other.id)})
    assert chosen.status_code == 302
    assert client.get("/devices").status_code == 200
    back = client.post("/accounts/access", {"organization": str(bob_member.organization_id)})
    assert back.status_code == 404


def test_s12_a_password_reset_signs_nobody_in(bob_member: Membership) -> None:
    with_app(bob_member.user)
    client = Client()
    first = client.get(reset_link(bob_member.user).split("8080")[-1])
    new = "another password that is long enough"
    done = client.post(first["Location"], {"password1": new})
    assert (done.status_code, done["Location"]) == (302, "/accounts/password/reset/done")
    assert client.get("/devices")["Location"].startswith("/accounts/login")
    _, again = sign_in(bob_member.user.email, new, client)
    assert again["Location"] == "/accounts/login/second-step"


def test_s12_a_login_of_a_program_asks_for_the_code(bob_member: Membership) -> None:
    email = bob_member.user.email
    weak = Api().post("auth/login", email=email, password=PASSWORD)
    assert (weak.status_code, weak.json()["code"]) == (403, "mfa_required")
    with_app(bob_member.user)
    forget_attempts()
    bare = Api().post("auth/login", email=email, password=PASSWORD)
    assert (bare.status_code, bare.json()["code"]) == (401, "second_factor_required")
    wrong = Api().post("auth/login", email=email, password=PASSWORD, code="000000")
    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_second_factor")
    right = Api().post("auth/login", email=email, password=PASSWORD, code=code())
    assert right.status_code == 200, right.content
    token = right.json()["access_token"]
    assert Api(token).get("devices").status_code == 200


@pytest.mark.parametrize(("methods", "status"), [({"password"}, 403), ({"passkey"}, 200)])
def test_s12_tokens_are_as_strong_as_the_sign_in_behind_them(
    bob_member: Membership, methods: set[str], status: int
) -> None:
    # The device flow hands out tokens for the approver's sign-in, in just this way.
    pair = issue_tokens(
        bob_member.user,
        organization_id=bob_member.organization_id,
        sign_in=SignIn(clock.now(), frozenset(methods)),
        call=Call(Source.REST, "192.0.2.1"),
        client="laptop",
    )
    assert Api(pair.access_token).get("devices").status_code == status


def test_s12_a_command_line_is_let_in_by_a_strong_sign_in_only(bob_member: Membership) -> None:
    call = Call(Source.REST, "192.0.2.1")
    weak, _ = sign_in(bob_member.user.email)
    asked = begin_device_sign_in(call, client="laptop")
    form = {
        "user_code": asked.user_code,
        "decision": "approve",
        "organization": str(bob_member.organization_id),
    }
    refused = weak.post("/device", form)
    assert (refused.status_code, refused["Location"][:16]) == (302, "/accounts/access")
    with pytest.raises(FleetdError) as pending:
        redeem_device_code(call, asked.device_code)
    assert pending.value.code == "authorization_pending"
    with_app(bob_member.user)
    strong = sign_in_with_app(bob_member.user.email)
    assert strong.post("/device", form).status_code == 200
    forget_attempts()
    with time_machine.travel(clock.now() + timedelta(seconds=10)):  # not too fast
        pair = redeem_device_code(call, asked.device_code)
        assert Api(pair.access_token).get("devices").status_code == 200


def test_s12_each_refusal_is_in_the_trail_once_a_minute(bob_member: Membership) -> None:
    client, _ = sign_in(bob_member.user.email)
    for _ in range(5):
        client.get("/devices")
        Api(factories.api_key(bob_member)).get("devices")
    said = [(entry.result, entry.changes) for entry in entries(bob_member)]
    assert said == [
        ("success", {"method": "password"}),
        ("denied", {"reason": "mfa_required"}),
    ]


def test_s12_the_admin_asks_too(alice_member: Membership) -> None:
    client, _ = sign_in(alice_member.user.email)
    assert is_led_to_enroll(client, "/admin/")
    assert is_led_to_enroll(client, "/admin/devices/device/")


def test_s12_the_admin_asks_by_its_own_setting(
    alice_member: Membership, acme: Cast, settings: Any
) -> None:
    demand(acme.organization, require_mfa=False)
    client, _ = sign_in(alice_member.user.email)
    assert client.get("/admin/").status_code == 200
    settings.ADMIN_REQUIRE_MFA = True
    refused = client.get("/admin/")
    assert (refused.status_code, refused["Location"][:10]) == (302, "/accounts/")
    assert client.get("/devices").status_code == 200
    with_app(alice_member.user)
    assert sign_in_with_app(alice_member.user.email).get("/admin/").status_code == 200


def test_s12_sockets_ask_when_they_open_and_while_they_are_open(
    bob_member: Membership, acme: Cast
) -> None:
    client, _ = sign_in(bob_member.user.email)
    with pytest.raises(FleetdError) as refused:
        callers.find_actor(scope_of(client))
    assert refused.value.code == "mfa_required"
    demand(acme.organization, require_mfa=False)
    actor = callers.find_actor(scope_of(client))
    demand(acme.organization, require_mfa=True)
    with pytest.raises(FleetdError) as ended:
        callers.recheck(scope_of(client), actor)
    assert ended.value.code == "mfa_required"


def test_s12_an_api_key_is_as_good_as_its_maker(bob_member: Membership) -> None:
    secret = factories.api_key(bob_member)
    refused = Api(secret).get("devices")
    assert (refused.status_code, refused.json()["code"]) == (403, "mfa_required")
    with_app(bob_member.user)
    forget_callers()
    assert Api(secret).get("devices").status_code == 200


def test_s12_a_session_that_no_sign_in_made_proves_nothing(bob_member: Membership) -> None:
    client = Client()
    client.force_login(bob_member.user)
    assert is_led_to_enroll(client)
