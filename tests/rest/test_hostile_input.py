"""Whatever is sent, the answer is a correct 4xx and never a 500, and nothing changes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core.ids import uuid7
from tests.isolation.world import BODIES, Route, routes
from tests.rest.conftest import Api

pytestmark = pytest.mark.django_db

ROUTES = routes()
WRITES = [r for r in ROUTES if r.method in ("POST", "PATCH")]
READS = [r for r in ROUTES if r.method == "GET"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
CALM = settings(
    max_examples=40,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> None:
    """Artifacts lie in a folder of the test's own."""
    settings.STORAGE_URL = f"file://{tmp_path}"


def at(route: Route, text: str) -> str:
    """The address with this text where ids stand."""
    return route.at(**dict.fromkeys(route.parameters, text))


def check(response: Any) -> None:
    """Not our fault, and said in the right form."""
    assert response.status_code < 500, response.content
    if response.status_code >= 400:
        assert response["Content-Type"] == "application/problem+json"
        assert response.json()["code"]


@CALM
@given(data=st.data())
def test_random_json_in_every_field(api: Api, data: st.DataObject) -> None:
    route = data.draw(st.sampled_from(WRITES))
    body = dict(BODIES.get(route.handler.__name__, {}))
    operation = getattr(route.handler, "operation", None)
    names = list(operation.request_class.DESCRIPTOR.fields_by_name) if operation else ["name"]
    for name in data.draw(st.lists(st.sampled_from(names or ["name"]), max_size=3)):
        body[name] = data.draw(JSON)
    check(api.send(route.method, at(route, str(uuid7())), json.dumps(body).encode()))


@CALM
@given(data=st.data())
def test_random_bytes_as_a_body(api: Api, data: st.DataObject) -> None:
    route = data.draw(st.sampled_from([r for r in WRITES if r.path != "api/v1/artifacts"]))
    body = data.draw(st.binary(min_size=1, max_size=200))
    content_type = data.draw(
        st.sampled_from(
            [
                "application/json",
                "text/plain",
                "multipart/form-data",
                "application/json; charset=x",
                "/",
            ]
        )
    )
    path = f"/api/v1/{at(route, str(uuid7()))}"
    check(api.client.generic(route.method, path, body, content_type, headers=api.headers))


@CALM
@given(data=st.data())
def test_random_queries(api: Api, data: st.DataObject) -> None:
    route = data.draw(st.sampled_from(READS))
    operation = getattr(route.handler, "operation", None)
    names = list(operation.request_class.DESCRIPTOR.fields_by_name) if operation else []
    query = data.draw(
        st.dictionaries(st.sampled_from([*names, "fields", "x"]), st.text(max_size=40), max_size=3)
    )
    check(api.get(at(route, str(uuid7())), **query))


@CALM
@given(data=st.data())
def test_random_text_where_ids_stand(api: Api, data: st.DataObject) -> None:
    route = data.draw(st.sampled_from([r for r in ROUTES if r.parameters]))
    text = data.draw(st.text(min_size=1, max_size=60))
    path = f"/api/v1/{at(route, text)}"
    check(api.client.generic(route.method, path, b"{}", "application/json", headers=api.headers))


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST", "TRACE", "PROPFIND", "X"])
def test_methods_that_are_not_there(api: Api, method: str) -> None:
    response = api.client.generic(method, "/api/v1/members", b"", headers=api.headers)
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("route", WRITES, ids=str)
def test_an_empty_body_is_never_a_bug(api: Api, route: Route) -> None:
    check(api.send(route.method, at(route, str(uuid7())), b""))


@pytest.mark.parametrize(
    "headers",
    [
        {"Fleetd-Organization": "x" * 60_000},
        {"Fleetd-Organization": "\x00"},
        {"Authorization": "Bearer " + "x" * 60_000},
        {"Authorization": "Bearer \x00"},
        {"X-API-Key": "ü"},
        {"Range": "bytes=" + "9" * 5000 + "-"},
        {"If-None-Match": "x" * 60_000},
        {"Content-Length": "x"},
        {"Content-Length": "-1"},
        {"Host": "evil.example"},
        {"Cookie": "sessionid=\x00; csrftoken=" + "x" * 5000},
    ],
)
def test_strange_headers(api: Api, headers: dict[str, str]) -> None:
    check(api.client.get("/api/v1/devices", headers={**api.headers, **headers}))
