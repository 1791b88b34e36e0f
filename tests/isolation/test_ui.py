"""The isolation matrix of the pages, generated from the addresses of the web UI."""

import re
from collections.abc import Iterator
from os.path import commonprefix
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from apps.core.ids import uuid7
from apps.core.web import OrgView
from apps.organizations.models import Membership
from tests.factories import Cast
from tests.isolation.world import checksums, furnish

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
FORM = {"name": "x", "reason": "x", "plan_hash": "0" * 64, "confirm": "x", "next": "/"}


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> None:
    """Artifacts lie in a folder of the test's own."""
    settings.STORAGE_URL = f"file://{tmp_path}"


def pages() -> list[tuple[str, str, list[str]]]:
    """Method, address and names of its ids, of every page that has ids in its address."""
    found = []
    for address, view in _views(get_resolver().url_patterns, "/"):
        names = re.findall(r"<uuid:(\w+)>", address)
        found += [(m, address, names) for m in ("get", "post") if names and hasattr(view, m)]
    return found


def _views(patterns: Any, prefix: str) -> Iterator[tuple[str, type[OrgView]]]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _views(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            view = getattr(pattern.callback, "view_class", None)
            if view is not None and issubclass(view, OrgView):
                yield path, view


def ask(client: Client, method: str, address: str, value: str) -> tuple[int, str]:
    """Status and page of an address with this id everywhere; what it did is taken back."""
    path = re.sub(r"<uuid:\w+>", value, address)
    client.cookies.pop("messages", None)  # what an earlier page had to say
    with transaction.atomic():
        response = getattr(client, method)(path, FORM if method == "post" else {})
        if response.status_code < 400:
            transaction.set_rollback(True)
    return response.status_code, _without_chance(response.content.decode(), value, response)


def difference(got: tuple[int, str], expected: tuple[int, str]) -> str:
    """Where two answers part."""
    start = len(commonprefix([got[1], expected[1]]))
    return f"{got[0]} {got[1][start - 20 : start + 60]!r}, not {expected[1][start : start + 60]!r}"


def _without_chance(text: str, value: str, response: Any) -> str:
    """A page without what differs between any two of them."""
    for known in (value, response.get("Request-Id", "-")):
        text = text.replace(known, "_")
    text = re.sub(r'"X-CSRFToken": "\w+"', "", text)
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", text)


@pytest.fixture
def browser(alice_member: Membership) -> Client:
    client = Client()
    client.force_login(alice_member.user, backend=BACKEND)
    return client


@pytest.mark.django_db
def test_a_page_of_another_organization_is_one_that_never_was(
    browser: Client,
    acme: Cast,
    globex: Cast,
    alice_member: Membership,
    charlie_member: Membership,
) -> None:
    own, foreign = furnish(acme, alice_member), furnish(globex, charlie_member)
    before = checksums(globex.id), checksums(acme.id)
    wrong, reached = [], set()
    for method, address, _ in pages():
        expected = ask(browser, method, address, str(uuid7()))
        if expected[0] != 404:
            wrong.append(f"{method} {address}: {expected[0]}")
        for kind, value in foreign.items():
            got = ask(browser, method, address, value)
            if got != expected:
                wrong.append(f"{method} {address} {kind}: {difference(got, expected)}")
        if any(ask(browser, method, address, value)[0] != 404 for value in own.values()):
            reached.add((method, address))
    assert wrong == []
    assert (checksums(globex.id), checksums(acme.id)) == before
    assert {(m, a) for m, a, _ in pages()} - reached == set()


def test_there_are_pages_to_look_at() -> None:
    assert len(pages()) > 15
