"""Lists: pages, fields, filters."""

from typing import Any

import pytest

from apps.organizations.models import Membership
from tests import factories
from tests.factories import Cast
from tests.rest.conftest import Api

pytestmark = pytest.mark.django_db


def walk(api: Api, path: str, **query: Any) -> list[dict[str, Any]]:
    """Every item of a list, page by page."""
    items: list[dict[str, Any]] = []
    token = ""
    for _ in range(50):
        page = api.get(path, page_token=token, **query).json()
        items += page["items"]
        token = page["next_page_token"]
        if not token:
            return items
    raise AssertionError("the list does not end")


def test_pages_of_any_size_together_are_the_list_once(api: Api, acme: Cast) -> None:
    for _ in range(5):
        factories.device(acme.id, "same name")
    whole = api.get("devices").json()["items"]
    assert len(whole) == 7
    for size in (1, 2, 3, 7, 8):
        assert walk(api, "devices", page_size=size) == whole


def test_a_page_survives_rows_that_come_and_go(api: Api, acme: Cast) -> None:
    first = api.get("devices", page_size=1).json()
    factories.device(acme.id, "aaa comes before the first page's end")
    second = api.get("devices", page_size=1, page_token=first["next_page_token"]).json()
    assert [d["name"] for d in first["items"] + second["items"]] == ["acme-one", "acme-two"]


@pytest.mark.parametrize("size", ["1000000000", "9" * 400])
def test_a_huge_page_size_is_read_as_the_largest(api: Api, size: str) -> None:
    assert api.get("devices", page_size=size).status_code == 200


@pytest.mark.parametrize("size", ["-1", "x", "1.5", "\x00", ""])
def test_a_bad_page_size_is_400(api: Api, size: str) -> None:
    assert api.get("devices", page_size=size).json()["code"] == "invalid_request"


@pytest.mark.parametrize("token", ["x", "AAAA", "W10", "%00", "e30", "a" * 1000, "ü"])
def test_a_token_that_the_list_did_not_give_out_is_400(api: Api, token: str) -> None:
    response = api.get("devices", page_token=token)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_page_token")


def test_a_token_of_another_list_is_400(api: Api, acme: Cast) -> None:
    token = api.get("devices", page_size=1).json()["next_page_token"]
    response = api.get("audit-entries", page_token=token)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_page_token")


def test_a_token_of_another_organization_shows_nothing_of_it(
    api: Api, acme: Cast, charlie_member: Membership, api_of: Any
) -> None:
    token = api_of(charlie_member).get("devices", page_size=1).json()["next_page_token"]
    names = {d["name"] for d in api.get("devices", page_token=token).json()["items"]}
    assert names <= {"acme-one", "acme-two"}


def test_only_the_fields_that_are_asked_for(api: Api, acme: Cast) -> None:
    items = api.get("devices", fields="name,id").json()["items"]
    assert items[0] == {"name": "acme-one", "id": str(acme.device.id)}
    assert api.get(f"devices/{acme.device.id}", fields="name").json() == {"name": "acme-one"}


def test_unknown_parameters_and_fields_are_400(api: Api) -> None:
    for query in ({"fields": "colour"}, {"colour": "red"}, {"lifecycle": "asleep"}):
        response = api.get("devices", **query)
        assert (response.status_code, response.json()["code"]) == (400, "invalid_request")


def test_filters_narrow_the_list(api: Api, acme: Cast) -> None:
    tagged = factories.device(acme.id, "tagged", tags=["lab"], state=factories.online())
    ids = [str(tagged.id)]
    for query in ({"tag": "lab"}, {"connectivity": "online"}, {"search": "tagg"}):
        assert [d["id"] for d in api.get("devices", **query).json()["items"]] == ids
    in_group = api.get("devices", group_id=str(acme.group.id)).json()["items"]
    assert [d["id"] for d in in_group] == [str(acme.device.id)]


def test_both_spellings_of_an_address_answer(api: Api, acme: Cast) -> None:
    assert api.get("devices/").json() == api.get("devices").json()
    made = api.post("device-groups/", name="with a slash")
    assert made.status_code == 201


def test_an_unchanged_answer_costs_no_body(api: Api, acme: Cast) -> None:
    first = api.get("devices")
    again = api.client.get(
        "/api/v1/devices", headers={**api.headers, "If-None-Match": first["ETag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
