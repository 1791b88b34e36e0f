"""Keyset pages."""

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.errors import InvalidPageToken, InvalidRequest
from apps.core.pagination import PageRequest, paginate
from apps.devices.models import Device
from tests import factories
from tests.factories import Cast


def token_of(values: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode().rstrip("=")


def pages(cast: Cast, order_by: list[str], size: int) -> list[str]:
    rows, token, seen = Device.objects.for_org(cast.id), "", []
    while True:
        page = paginate(rows, PageRequest(size, token), order_by=order_by)
        assert len(page.items) <= size
        seen += [d.name for d in page.items]
        if not (token := page.next_page_token):
            return seen


@pytest.mark.usefixtures("in_acme")
@pytest.mark.parametrize(
    "order_by", [["name", "id"], ["-name", "-id"], ["-id"], ["lifecycle", "-id"]]
)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pages_join_to_the_whole_list(acme: Cast, order_by: list[str], size: int) -> None:
    for name in ("b", "a", "b", "ü", ""):
        factories.device(acme.id, name)
    whole = [d.name for d in Device.objects.for_org(acme.id).order_by(*order_by)]
    assert pages(acme, order_by, size) == whole


@pytest.mark.usefixtures("in_acme")
@pytest.mark.parametrize(
    "token",
    [
        "x",
        "AAAA",
        token_of("text"),
        token_of([["name", "id"], ["a"]]),
        token_of([["name", "id"], ["a", "no uuid"]]),
        token_of([["name", "id"], ["a\x00", "018f3f2e-0000-7000-8000-000000000001"]]),
        token_of([["id", "name"], ["a", "b"]]),
        token_of([["name", "id"], [{}, []]]),
        token_of([["name", "id"], ["a", None]]),
        token_of([["name", "id"], [{"a": 1}, "018f3f2e-0000-7000-8000-000000000001"]]),
    ],
)
def test_a_token_from_elsewhere_is_refused(acme: Cast, token: str) -> None:
    with pytest.raises(InvalidPageToken):
        paginate(Device.objects.for_org(acme.id), PageRequest(10, token), order_by=["name", "id"])


def test_a_token_of_another_organization_shows_nothing_of_it(acme: Cast, globex: Cast) -> None:
    from apps.core.tenancy import tenant

    with tenant(globex.id):
        page = paginate(Device.objects.for_org(globex.id), PageRequest(1), order_by=["name", "id"])
    with tenant(acme.id):
        rows = Device.objects.for_org(acme.id)
        token = page.next_page_token
        assert token
        assert paginate(rows, PageRequest(10, token), order_by=["name", "id"]).items == []


@given(st.text())
def test_no_token_is_a_bug(token: str) -> None:
    from apps.core.pagination import _decode

    try:
        _decode(token, ["id"])
    except InvalidPageToken:
        return


@pytest.mark.parametrize(
    ("asked", "size"), [(None, 50), ("", 50), (0, 50), (7, 7), ("7", 7), (10**9, 1000)]
)
def test_sizes_are_coerced(asked: object, size: int) -> None:
    assert PageRequest.of(asked).size == size


@pytest.mark.parametrize("asked", ["x", -1, "1e3", 1.5, "0x10"])
def test_bad_sizes_are_refused(asked: object) -> None:
    with pytest.raises(InvalidRequest):
        PageRequest.of(asked)
