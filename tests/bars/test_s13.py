"""S13: steps of signing in that are skipped, repeated, empty or malformed never give a session.

Given each step of login, when steps are skipped, repeated, sent empty, or with a malformed cookie,
JSON or header, then never a session; status 4xx (or the same form again), never 5xx.
"""

import json
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.accounts.services.passwords import reset_link
from apps.organizations.models import Membership
from tests.accounts.people import WRONG, code, forget_attempts, sign_in, with_app

SECOND = "/accounts/login/second-step"
# Everything of the sign-in that takes a form or shows a page, with the fields that it reads.
STEPS: dict[str, tuple[str, ...]] = {
    "/accounts/login": ("login", "password", "next", "remember"),
    SECOND: ("code", "credential"),
    "/accounts/login/passkey": ("credential", "next"),
    "/accounts/login/password": ("password",),
    "/accounts/password/reset": ("email",),
    "/accounts/password/reset/0123456789abcdef0123456789abcdef-set-password": ("password1",),
    "/accounts/email/confirm/made-up:key": (),
    "/accounts/email/sent": (),
    "/accounts/inactive": (),
    "/accounts/confirm": ("password", "next"),
    "/accounts/confirm/code": ("code",),
    "/accounts/confirm/passkey": ("credential",),
    "/accounts/access": ("organization",),
    "/accounts/app": ("code",),
    "/accounts/passkeys/add": ("credential", "name"),
    "/accounts/recovery-codes": (),
    "/accounts/sessions/1/end": (),
    "/accounts/factors/1/remove": (),
}
MAX_EXAMPLES = 60
FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
binary = st.binary(max_size=12).map(lambda b: b.hex()) | st.sampled_from(["", "AA", "!!", "ww"])
credentials = st.one_of(
    json_values,
    st.fixed_dictionaries(
        {
            "id": binary,
            "rawId": binary,
            "type": st.sampled_from(["public-key", "", "x"]),
            "clientExtensionResults": json_values,
            "response": st.one_of(
                json_values,
                st.fixed_dictionaries(
                    {
                        "clientDataJSON": binary,
                        "authenticatorData": binary,
                        "attestationObject": binary,
                        "signature": binary,
                        "userHandle": binary | st.none(),
                    }
                ),
            ),
        }
    ),
).map(json.dumps)
texts = st.one_of(
    st.just(""),
    st.text(max_size=40),
    credentials,
    st.sampled_from(["bob@acme.test", "\x00", "a" * 5000, "000000", "../..", "١٢٣٤٥٦", "'--"]),
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "HTTP_COOKIE": st.text(
            st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=60
        ),
        "HTTP_ACCEPT": st.sampled_from(["application/json", "text/html", "", "x"]),
        "HTTP_X_REQUESTED_WITH": st.sampled_from(["XMLHttpRequest", "fleetd-live", ""]),
        "HTTP_HX_REQUEST": st.sampled_from(["true", "x"]),
        "HTTP_HX_CURRENT_URL": st.text(st.characters(codec="ascii", min_codepoint=32), max_size=30),
        "HTTP_REFERER": st.text(st.characters(codec="ascii", min_codepoint=32), max_size=30),
        "HTTP_AUTHORIZATION": st.text(st.characters(codec="ascii", min_codepoint=32), max_size=30),
        "HTTP_X_FORWARDED_FOR": st.sampled_from(["a", "1.2.3.4", "::1%eth0", "," * 50]),
        "HTTP_FLEETD_ORGANIZATION": st.sampled_from(["acme", "x", "\x7f"]),
    },
)


@pytest.fixture(autouse=True)
def fresh_limits() -> None:
    """Attempts of other tests do not count."""
    forget_attempts()


def has_session(client: Client) -> bool:
    """Whether anything behind the sign-in answers."""
    return client.get("/accounts/").status_code == 200


@given(
    path=st.sampled_from(sorted(STEPS)),
    values=st.lists(texts, min_size=4, max_size=4),
    left_out=st.integers(0, 15),
    method=st.sampled_from(["get", "post", "put", "delete", "head", "options"]),
    extra=headers,
)
@settings(max_examples=MAX_EXAMPLES, deadline=None, suppress_health_check=FIXTURES)
def test_s13_no_step_by_itself_opens_anything(
    bob_member: Membership,
    path: str,
    values: list[str],
    left_out: int,
    method: str,
    extra: dict[str, str],
) -> None:
    forget_attempts()
    client = Client(raise_request_exception=False)
    names = [n for number, n in enumerate(STEPS[path]) if not left_out >> number & 1]
    form = dict(zip(names, values, strict=False))
    response = getattr(client, method)(path, form, **extra)
    assert response.status_code < 500, (path, form)
    assert not has_session(client)


@given(answer=texts, field=st.sampled_from(["code", "credential"]))
@settings(max_examples=20, deadline=None, suppress_health_check=FIXTURES)
def test_s13_the_second_step_takes_nothing_but_the_right_answer(
    bob_member: Membership, answer: str, field: str
) -> None:
    forget_attempts()
    with_app_once(bob_member)
    client, _ = sign_in(bob_member.user.email, client=Client(raise_request_exception=False))
    client.get(SECOND)  # shows the challenge of a passkey
    assert client.post(SECOND, {field: answer}).status_code < 500
    assert not has_session(client)


@given(challenge=st.booleans(), answer=credentials)
@settings(max_examples=30, deadline=None, suppress_health_check=FIXTURES)
def test_s13_a_passkey_that_is_none_opens_nothing(
    bob_member: Membership, challenge: bool, answer: str
) -> None:
    forget_attempts()
    client = Client(raise_request_exception=False)
    if challenge:
        assert client.get("/accounts/login/passkey", headers=JSON).status_code == 200
    response = client.post("/accounts/login/passkey", {"credential": answer})
    assert response.status_code == 302
    assert not has_session(client)


@given(body=st.binary(max_size=60), kind=st.sampled_from(["application/json", "text/plain", "x"]))
@settings(max_examples=20, deadline=None, suppress_health_check=FIXTURES)
def test_s13_bodies_of_other_kinds_open_nothing(
    bob_member: Membership, body: bytes, kind: str
) -> None:
    forget_attempts()
    for path in ("/accounts/login", SECOND, "/accounts/login/passkey"):
        client = Client(raise_request_exception=False)
        response = client.generic("POST", path, body, content_type=kind)
        assert response.status_code < 500, path
        assert not has_session(client)


@given(cookie=st.text(st.characters(codec="ascii", exclude_characters='";,\\ \r\n\t'), max_size=60))
@settings(max_examples=20, deadline=None, suppress_health_check=FIXTURES)
def test_s13_made_up_cookies_are_nobody(bob_member: Membership, cookie: str) -> None:
    forget_attempts()
    client = Client(raise_request_exception=False)
    for name in ("sessionid", "csrftoken", "fleetd_device", "messages"):
        client.cookies[name] = cookie
    assert not has_session(client)
    _, response = sign_in(bob_member.user.email, WRONG, client)
    assert response.status_code < 500
    assert not has_session(client)


def test_s13_steps_in_any_other_order(bob_member: Membership) -> None:
    with_app(bob_member.user)
    client = Client()
    assert client.post(SECOND, {"code": code()}).status_code == 302  # the code before the password
    assert not has_session(client)
    sign_in(bob_member.user.email, client=client)
    assert client.get("/devices").status_code == 302  # the second step left out
    assert client.post("/accounts/login/password", {"password": "x" * 40}).status_code == 302
    assert client.get("/accounts/inactive").status_code == 200
    assert not has_session(client)
    sign_in(bob_member.user.email, WRONG, client)  # the first step again, wrong
    assert not has_session(client)
    client.get("/accounts/logout")
    client.post("/accounts/logout")
    assert client.post(SECOND, {"code": code()}).status_code == 302  # after signing out
    assert not has_session(client)


def test_s13_the_first_step_of_one_and_the_second_of_another(
    bob_member: Membership, erin_member: Membership
) -> None:
    with_app(bob_member.user)
    client, _ = sign_in(bob_member.user.email)
    sign_in(erin_member.user.email, client=client)
    signed_in = client.get("/accounts/")
    assert signed_in.status_code in (200, 302)
    if signed_in.status_code == 200:
        assert signed_in.context["user"].email == erin_member.user.email


def test_s13_a_half_open_sign_in_ends_after_a_quarter_of_an_hour(bob_member: Membership) -> None:
    with_app(bob_member.user)
    client, _ = sign_in(bob_member.user.email)
    session = client.session
    session["account_login"]["initiated_at"] -= 15 * 60 + 1
    session.save()
    assert client.post(SECOND, {"code": code()})["Location"].startswith("/accounts/login")
    assert not has_session(client)


def test_s13_a_reset_link_works_once_and_cannot_be_altered(bob_member: Membership) -> None:
    link = reset_link(bob_member.user).removeprefix(django_settings.EXTERNAL_URL)
    for broken in (link[:-1], link + "a", link.replace("-", "-x", 1), link.upper()):
        assert Client(raise_request_exception=False).get(broken).status_code == 404
    for expected in (302, 404):
        client = Client()
        opened = client.get(link)
        assert opened.status_code == expected
        if expected == 302:
            form = {"password1": "another password that is long enough"}
            assert client.post(opened["Location"], form).status_code == 302
            assert client.post(opened["Location"], form).status_code == 404
            assert not has_session(client)


JSON: dict[str, Any] = {"Accept": "application/json"}


def with_app_once(member: Membership) -> None:
    """An app, unless an earlier example gave one."""
    if not member.user.authenticator_set.exists():
        with_app(member.user)
