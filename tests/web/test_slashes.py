"""Addresses that people type with a slash at the end."""

import pytest
from django.test import Client


@pytest.mark.usefixtures("alice_member")
@pytest.mark.parametrize(
    ("typed", "page"),
    [("/devices/", "/devices"), ("/settings/?a=1&b=%2F", "/settings?a=1&b=%2F")],
)
def test_a_slash_too_many_leads_to_the_page(typed: str, page: str) -> None:
    response = Client().get(typed)
    assert (response.status_code, response["Location"]) == (301, page)


@pytest.mark.usefixtures("alice_member")
@pytest.mark.parametrize("typed", ["/nothing/", "/devices//", "/\\evil.test/"])
def test_nothing_else_leads_anywhere(typed: str) -> None:
    assert Client().get(typed).status_code == 404


@pytest.mark.usefixtures("alice_member")
def test_what_is_sent_is_not_sent_on() -> None:
    assert Client().post("/devices/").status_code in (403, 404)
