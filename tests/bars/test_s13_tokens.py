"""S13, programs: given each step of signing a program in, when steps are skipped, repeated, out of
order, sent empty, or with malformed values, headers and bodies, then never a token, and never 5xx.

The pages of the sign-in have test_s13.py.
"""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.accounts.domain import secrets
from apps.accounts.models import DeviceAuthorization, RefreshFamily
from apps.organizations.models import Membership
from tests.accounts.people import forget_attempts

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
FORM = "application/x-www-form-urlencoded"
TOKENS = (b"access_token", b"refresh_token", b"fld_ref_")
SETTINGS = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

junk = st.text(max_size=40) | st.sampled_from(
    ["", " ", "\x00", "null", "eyJ.e30.", "Bearer", "fld_ref_", "\ud83d\ude00", "a" * 5000]
)
well_formed = st.sampled_from(["ref", "dvc", "pat", "svc"]).map(secrets.new_secret)
value: st.SearchStrategy[Any] = st.one_of(
    junk,
    well_formed,
    st.none(),
    st.booleans(),
    st.integers(),
    st.lists(junk, max_size=2),
    st.dictionaries(junk, junk, max_size=2),
)
LOGIN_FIELDS = ("email", "password", "code", "organization", "client", "refresh_token", "x")
FORM_FIELDS = ("grant_type", "device_code", "refresh_token", "client_id", "token", "scope")


@pytest.fixture(autouse=True)
def _somebody(db: None, erin_member: Membership) -> None:
    """There is somebody whose account could be got into."""


def client() -> Client:
    forget_attempts()
    return Client(raise_request_exception=False)


def nothing_was_given(answer: Any) -> None:
    """A refusal, no token in it, no session with it."""
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.content)
    if answer.status_code != 429:
        assert not [word for word in TOKENS if b'"%s":' % word in answer.content]
    assert "sessionid" not in answer.cookies
    assert not RefreshFamily.objects.exists()


@SETTINGS
@given(
    st.sampled_from(["login", "refresh"]),
    st.dictionaries(st.sampled_from(LOGIN_FIELDS), value, max_size=5),
)
def test_s13_bodies_that_prove_nothing(path: str, body: dict[str, Any]) -> None:
    sent = json.dumps(body)
    nothing_was_given(client().post(f"/api/v1/auth/{path}", sent, "application/json"))


@SETTINGS
@given(
    st.sampled_from(["login", "refresh"]),
    st.binary(max_size=60) | st.sampled_from([b"", b"[]", b"null", b"{", b'{"email":', b"\xff"]),
    st.sampled_from(["application/json", FORM, "text/plain", "", "application/json; charset=x"]),
)
def test_s13_bodies_that_are_none(path: str, body: bytes, kind: str) -> None:
    answer = client().generic("POST", f"/api/v1/auth/{path}", body, content_type=kind)
    nothing_was_given(answer)


@SETTINGS
@given(
    st.sampled_from(["token", "revoke", "device_authorization"]),
    st.lists(st.tuples(st.sampled_from(FORM_FIELDS), junk | well_formed), max_size=5),
    st.sampled_from([DEVICE_GRANT, "refresh_token", "password", "authorization_code", ""]),
)
def test_s13_forms_that_prove_nothing(path: str, pairs: list[tuple[str, str]], grant: str) -> None:
    body = urlencode([("grant_type", grant), *pairs], errors="surrogatepass")
    answer = client().post(f"/oauth/{path}", body, FORM)
    assert answer.status_code < 500, answer.content
    assert b"access_token" not in answer.content
    assert "sessionid" not in answer.cookies
    assert not RefreshFamily.objects.exists()


HEADERS = ("Authorization", "X-API-Key", "Fleetd-Organization", "Cookie")
header_text = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60)
header = st.one_of(
    header_text,
    well_formed.map(lambda s: f"Bearer {s}"),
    well_formed,
    st.sampled_from(
        [
            "Bearer",
            "Bearer ",
            "bearer eyJhbGciOiJub25lIn0.e30.",
            "Basic YTpi",
            "sessionid=../../etc/passwd",
            "sessionid=\x7f; csrftoken=x",
            "Bearer " + "a" * 9000,
            "=;=;=",
        ]
    ),
)


@SETTINGS
@given(st.dictionaries(st.sampled_from(HEADERS), header, min_size=1, max_size=4))
def test_s13_headers_that_prove_nothing(headers: dict[str, str]) -> None:
    for method, path in (("GET", "auth/me"), ("POST", "auth/logout"), ("GET", "devices")):
        answer = client().generic(method, f"/api/v1/{path}", headers=headers)
        assert answer.status_code in (400, 401, 403, 429), (headers, answer.content)


def test_s13_steps_out_of_order() -> None:
    """Redeeming before anybody approved, refreshing with what is no token, approving nothing."""
    asked = client().post("/oauth/device_authorization", "client_id=x", FORM).json()
    for grant, name, text in (
        (DEVICE_GRANT, "device_code", asked["device_code"]),
        (DEVICE_GRANT, "device_code", asked["user_code"]),
        ("refresh_token", "refresh_token", asked["device_code"]),
        (DEVICE_GRANT, "refresh_token", asked["device_code"]),
    ):
        body = urlencode({"grant_type": grant, name: text})
        nothing_was_given(client().post("/oauth/token", body, FORM))
    decision = {"user_code": asked["user_code"], "decision": "approve"}
    answer = client().post("/device", decision)
    assert (answer.status_code, "/accounts/login" in answer["Location"]) == (302, True)
    assert DeviceAuthorization.objects.get().state == "pending"
    bearer = {"Authorization": f"Bearer {asked['device_code']}"}
    assert client().get("/api/v1/auth/me", headers=bearer).status_code == 401
