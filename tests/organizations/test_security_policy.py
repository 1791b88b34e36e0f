"""What a sign-in must be: the rule by itself, and the page that sets it."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from apps.accounts.models import RefreshFamily
from apps.accounts.services.tokens import issue_tokens
from apps.core import clock
from apps.core.actors import Call, SignIn, Source
from apps.core.errors import FleetdError
from apps.organizations.domain.policy import (
    UNKNOWN,
    Policy,
    check,
    check_key,
    is_in_networks,
    strictest_password_length,
)
from apps.organizations.models import Membership, Organization
from apps.organizations.selectors import actor_for_token
from tests.accounts.people import (
    demand,
    entries,
    forget_attempts,
    sign_in,
    sign_in_with_app,
    with_app,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
PAGE = "/settings/security"
FORM: dict[str, Any] = {
    "session_hours": "0",
    "idle_minutes": "0",
    "password_min_length": "12",
    "allowed_networks": "",
}


@pytest.fixture(autouse=True)
def fresh_limits() -> None:
    """Attempts of other tests do not count."""
    forget_attempts()


def signed(hours: float = 0, seen: float | None = None, *methods: str) -> SignIn:
    """A sign-in so many hours ago, last used so many minutes ago."""
    last = None if seen is None else NOW - timedelta(minutes=seen)
    return SignIn(NOW - timedelta(hours=hours), frozenset(methods or ("password",)), last)


def verdict(policy: Policy, sign_in: SignIn, address: str | None = "192.0.2.7") -> str:
    """The code of the refusal, empty where there is none."""
    try:
        check(policy, sign_in, address, NOW)
    except FleetdError as error:
        return error.code
    return ""


@pytest.mark.parametrize(
    ("policy", "sign_in", "expected"),
    [
        (Policy(), signed(1000), ""),
        (Policy(), UNKNOWN, ""),
        (Policy(requires_mfa=True), signed(), "mfa_required"),
        (Policy(requires_mfa=True), signed(0, None, "password", "totp"), ""),
        (Policy(requires_mfa=True), signed(0, None, "password", "recovery_code"), ""),
        (Policy(requires_mfa=True), signed(0, None, "passkey"), ""),
        (Policy(requires_mfa=True), signed(0, None, "password", "email_code"), "mfa_required"),
        (Policy(requires_mfa=True), UNKNOWN, "mfa_required"),
        (Policy(session_hours=8), signed(7.99), ""),
        (Policy(session_hours=8), signed(8), "session_expired"),
        (Policy(session_hours=8), UNKNOWN, "session_expired"),
        (Policy(idle_minutes=30), signed(5, 29), ""),
        (Policy(idle_minutes=30), signed(5, 30), "session_expired"),
        (Policy(idle_minutes=30), signed(0.4), ""),
        (Policy(idle_minutes=30), signed(0.5), "session_expired"),
        (Policy(allowed_networks=("192.0.2.0/24",)), signed(), ""),
        (Policy(allowed_networks=("198.51.100.0/24",)), signed(), "address_not_allowed"),
        # Several at once: the one first that the person cannot mend.
        (Policy(True, 1, 1, 12, ("198.51.100.0/24",)), signed(9), "address_not_allowed"),
        (Policy(True, 1), signed(9), "session_expired"),
    ],
)
def test_what_a_policy_says(policy: Policy, sign_in: SignIn, expected: str) -> None:
    assert verdict(policy, sign_in) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("192.0.3.7", False),
        ("2001:db8::5", True),
        ("2001:db9::5", False),
        ("fe80::1%eth0", False),
        ("", False),
        (None, False),
        ("somewhere", False),
    ],
)
def test_which_addresses_lie_in_the_networks(address: str | None, expected: bool) -> None:
    assert is_in_networks(address, ("192.0.2.0/24", "2001:db8::/32")) is expected


def test_keys_obey_networks_and_are_as_strong_as_their_maker() -> None:
    check_key(Policy(session_hours=1, idle_minutes=1), False, "192.0.2.7")
    check_key(Policy(requires_mfa=True), True, "192.0.2.7")
    for policy, has_factor in (
        (Policy(requires_mfa=True), False),
        (Policy(True, 0, 0, 0, ("10.0.0.0/8",)), True),
    ):
        with pytest.raises(FleetdError):
            check_key(policy, has_factor, "192.0.2.7")


def test_the_strictest_password_counts() -> None:
    assert strictest_password_length([Policy(password_min_length=n) for n in (12, 30, 8)]) == 30
    assert strictest_password_length([]) == 0


def stored(member: Membership) -> dict[str, Any]:
    settings = Organization.objects.get(id=member.organization_id).settings
    return {name: held for name, held in settings.items() if name.startswith("security.")}


def test_an_owner_sets_the_policy_and_it_is_recorded(alice_member: Membership) -> None:
    client, _ = sign_in(alice_member.user.email)
    form = {**FORM, "session_hours": "12", "allowed_networks": "127.0.0.0/8\n10.0.0.0/8"}
    response = client.post(PAGE, form)
    assert (response.status_code, response["Location"]) == (302, PAGE)
    assert stored(alice_member)["security.session_hours"] == 12
    (entry,) = entries(alice_member, "organizations.update_organization_settings")
    assert entry.changes["security.session_hours"] == [0, 12]
    assert b"127.0.0.0/8" in client.get(PAGE).content


def test_a_policy_that_shuts_its_author_out_is_not_stored(alice_member: Membership) -> None:
    client, _ = sign_in(alice_member.user.email)
    for change in ({"require_mfa": "on"}, {"allowed_networks": "198.51.100.0/24"}):
        response = client.post(PAGE, {**FORM, **change})
        assert response.status_code == 400
        assert b"shut you out" in response.content
        assert stored(alice_member) == {}
    with_app(alice_member.user)
    strong = sign_in_with_app(alice_member.user.email)
    assert strong.post(PAGE, {**FORM, "require_mfa": "on"}).status_code == 302
    assert strong.get("/devices").status_code == 200


def test_what_cannot_be_read_is_said_at_the_form(alice_member: Membership) -> None:
    client, _ = sign_in(alice_member.user.email)
    bad = {"session_hours": "many", "password_min_length": "3", "allowed_networks": "nowhere"}
    for name, value in bad.items():
        response = client.post(PAGE, {**FORM, name: value})
        assert response.status_code == 400, name
        assert stored(alice_member) == {}


def test_members_see_the_page_by_their_rights_only(
    bob_member: Membership, alice_member: Membership
) -> None:
    client, _ = sign_in(bob_member.user.email)
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE, FORM).status_code == 403


def test_the_policy_asks_who_it_is_first(alice_member: Membership) -> None:
    client = Client()
    client.force_login(alice_member.user)  # a session without a fresh proof
    response = client.post(PAGE, {**FORM, "session_hours": "12"})
    assert response["Location"].startswith("/accounts/confirm")
    assert stored(alice_member) == {}


def test_other_networks_are_refused_with_a_way_on(bob_member: Membership) -> None:
    demand(bob_member.organization, allowed_networks=["198.51.100.0/24"])
    client, _ = sign_in(bob_member.user.email)
    assert client.get("/devices")["Location"].startswith("/accounts/access")
    page = client.get("/accounts/access")
    assert b"cannot be reached from here" in page.content
    assert b"127.0.0.1" in page.content
    answer = client.get("/api/v1/devices")
    assert (answer.status_code, answer.json()["code"]) == (403, "address_not_allowed")
    assert client.get("/devices", REMOTE_ADDR="198.51.100.9").status_code == 200


def test_pages_that_fetch_themselves_keep_no_session_awake(bob_member: Membership) -> None:
    from allauth.usersessions.models import UserSession

    demand(bob_member.organization, idle_minutes=10)
    client, _ = sign_in(bob_member.user.email)
    rows = UserSession.objects.filter(user=bob_member.user)
    then = rows.get().last_seen_at - timedelta(minutes=5)
    rows.update(last_seen_at=then)
    client.get("/devices", headers={"X-Requested-With": "fleetd-live"})
    assert rows.get().last_seen_at == then
    client.get("/devices")
    assert rows.get().last_seen_at > then
    rows.update(last_seen_at=then - timedelta(minutes=10))
    assert client.get("/devices").status_code == 302
    assert rows.filter(last_seen_at__gt=then).count() == 0  # a refused call is no use


def test_programs_rest_from_the_end_of_their_token_on(bob_member: Membership) -> None:
    demand(bob_member.organization, idle_minutes=5)
    pair = issue_tokens(
        bob_member.user,
        organization_id=bob_member.organization_id,
        sign_in=SignIn(clock.now(), frozenset({"password"})),
        call=Call(Source.REST, "192.0.2.1"),
    )
    for minutes, code in ((9, ""), (14, ""), (16, "session_expired")):
        RefreshFamily.objects.update(last_used_at=clock.now() - timedelta(minutes=minutes))
        assert refusal_of(pair.family.id, bob_member) == code


def refusal_of(family_id: UUID, member: Membership) -> str:
    """What the policy has against a token of this sign-in."""
    claims = SimpleNamespace(
        session=family_id,
        subject=member.user_id,
        version=member.user.access_version,
        organization=member.organization_id,
    )
    try:
        actor_for_token(claims, Call(Source.REST, "192.0.2.1"))
    except FleetdError as error:
        return error.code
    return ""
