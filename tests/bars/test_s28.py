"""S28: a redirect never leaves this site.

Given `next`, when it is absolute, `//host`, `/\\host`, tab-encoded, or a look-alike of an allowed
host, then the redirect stays local.
"""

from urllib.parse import urljoin, urlsplit

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core.web import is_local_path
from apps.organizations.models import Membership
from tests.accounts.people import forget_attempts, sign_in

HERE = "http://testserver"
FOREIGN = [
    "https://evil.example",
    "http://testserver.evil.example/",
    "http://testserver@evil.example/",
    "http://evil.example/testserver",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/\x00/evil.example",
    "http:///evil.example",
    "http:evil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "data:text/html,hello",
    "//testserver:80@evil.example",
    "/%09/evil.example/../..//evil.example",
    "http://localhost/",
    "http://testserver/",
]
PIECES = ["/", "\\", "//", "http:", "https:", "evil.example", "testserver", "@", ".", "..", "\t"]
PIECES += ["\n", "\r", " ", "?next=", "#", "%2f", "%5c", ":", "devices", "\u3002", "\uff0f", "a"]

addresses = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join), st.text(max_size=30)
)


def lands_here(location: str) -> bool:
    """Where a browser goes: it drops tabs and line ends, and reads a backslash as a slash."""
    as_read = location.strip(" ").translate({9: None, 10: None, 13: None}).replace("\\", "/")
    target = urlsplit(urljoin(f"{HERE}/accounts/login", as_read))
    return (target.scheme, target.netloc) == ("http", "testserver")


@given(addresses)
@settings(max_examples=500, deadline=None)
def test_s28_what_counts_as_a_local_path_is_read_as_one(address: str) -> None:
    if is_local_path(address):
        assert lands_here(address)
        assert urlsplit(address).netloc == ""


@pytest.mark.parametrize("address", FOREIGN)
def test_s28_foreign_addresses_are_no_local_paths(address: str) -> None:
    assert not is_local_path(address) or lands_here(address)


def test_s28_ordinary_paths_are() -> None:
    assert all(is_local_path(p) for p in ("/", "/devices?filter=a%20b", "/audit#x", "/a//b"))


@given(addresses)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_s28_signing_in_stays_here(bob_member: Membership, address: str) -> None:
    forget_attempts()
    client = Client()
    form = {"login": bob_member.user.email, "password": "correct horse battery staple"}
    response = client.post("/accounts/login", {**form, "next": address})
    assert response.status_code == 302
    assert lands_here(response["Location"])
    out = client.post("/accounts/logout", {"next": address})
    assert lands_here(out["Location"])


@pytest.mark.parametrize("address", FOREIGN)
def test_s28_every_page_that_sends_on_stays_here(bob_member: Membership, address: str) -> None:
    forget_attempts()
    client, _ = sign_in(bob_member.user.email)
    asked = [
        client.get("/accounts/login", {"next": address}),
        client.get("/accounts/access", {"next": address}),
        client.post(
            "/organization/switch",
            {"organization": str(bob_member.organization_id), "next": address},
        ),
        client.post(
            "/accounts/confirm", {"password": "correct horse battery staple", "next": address}
        ),
        client.post("/accounts/logout", {"next": address}),
    ]
    for response in asked:
        assert response.status_code < 500
        if response.status_code in (301, 302, 303):
            assert lands_here(response["Location"]), response["Location"]
