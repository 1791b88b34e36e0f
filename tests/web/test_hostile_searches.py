"""What people type into searches may be anything; a page answers, and never breaks."""

import pytest
from django.test import Client

from apps.organizations.models import Membership
from tests.factories import Cast

SEARCHES = [
    "/devices?q=",
    "/device-groups?q=",
    "/audit?actor=",
    "/audit?q=",
    "/audit?action=",
    "/audit?object_id=",
    "/settings/members?q=",
    "/settings/members?role=",
    "/settings/teams?q=",
    "/settings/access?q=",
    "/settings/access?person=",
    "/settings/access?kind=",
]


@pytest.mark.parametrize("address", SEARCHES)
def test_a_search_for_what_no_text_can_hold_is_answered(
    address: str, acme: Cast, alice_member: Membership
) -> None:
    browser = Client(raise_request_exception=False)
    browser.force_login(alice_member.user)
    assert browser.get(f"{address}%00").status_code in {200, 400}


@pytest.mark.parametrize("address", SEARCHES)
def test_a_long_search_breaks_nothing(address: str, acme: Cast, alice_member: Membership) -> None:
    browser = Client(raise_request_exception=False)
    browser.force_login(alice_member.user)
    assert browser.get(address + "x" * 3000).status_code in {200, 400}
