"""S47: what is no proper request gets the proper refusal, at every address, and quickly."""

import json
import statistics
import time
from typing import Any

import pytest
from django.test import Client

from fleetd.rpc.registry import SERVICES, Door, at_door
from tests import factories
from tests.isolation.world import NOBODY, Route, routes

pytestmark = pytest.mark.django_db

ROUTES = routes()
WRITES = [r for r in ROUTES if r.method in ("POST", "PUT", "PATCH")]
# Their bodies are files, not JSON.
UPLOADS = ("api/v1/artifacts", "api/v1/artifact-uploads/<ident:id>")
CODES = {400, 401, 403, 404, 405, 409, 411, 412, 413, 415, 422, 431}
SLOW_SECONDS = 0.1

BAD_BODIES: dict[str, tuple[bytes, str, set[int]]] = {
    "wrong type": (b"<a/>", "application/xml", {415}),
    "no type": (b"{}", "", {415}),
    "a form": (b"a=b", "application/x-www-form-urlencoded", {415}),
    "truncated": (b'{"name": "x', "application/json", {400}),
    "cut in a character": (b'{"name": "\xc3', "application/json", {400}),
    "the same key twice": (b'{"name": "a", "name": "b"}', "application/json", {400}),
    "a list": (b"[]", "application/json", {400}),
    "a number": (b"7", "application/json", {400}),
    "NUL": (b'{"name": "a\\u0000"}', "application/json", {400}),
    "NaN": (b'{"name": NaN}', "application/json", {400}),
    "deep": (b'{"a":' * 1000 + b"1" + b"}" * 1000, "application/json", {400}),
    "deeper": (b"[" * 1_000_000, "application/json", {400}),
    "many keys": (
        json.dumps({f"k{n}": n for n in range(60_000)}).encode(),
        "application/json",
        {400},
    ),
    "a long text": (json.dumps({"name": "x" * 1_000_000}).encode(), "application/json", {400}),
    "a long number": (b'{"name": ' + b"9" * 5000 + b"}", "application/json", {400}),
}
HEADERS = [
    {"Fleetd-Organization": "x" * 65_000},
    {"Authorization": "Bearer " + "x" * 65_000},
    {"Authorization": "Basic " + "x" * 200},
    {"Authorization": "Bearer"},
    {"X-API-Key": "x" * 65_000},
    {"If-Match": "x" * 65_000},
    {"Cookie": "sessionid=" + "x" * 65_000},
]


@pytest.fixture
def caller(alice_member: Any, settings: Any, tmp_path: Any) -> Client:
    """Somebody who may do everything."""
    settings.STORAGE_URL = f"file://{tmp_path}"
    key = factories.api_key(alice_member)
    return Client(raise_request_exception=False, headers={"Authorization": f"Bearer {key}"})


def _is_proper(answer: Any) -> None:
    assert answer.status_code in CODES, (answer.status_code, answer.content[:300])
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"]
    assert b"Traceback" not in answer.content


def _address(route: Route) -> str:
    return "/api/v1/" + route.at(**dict.fromkeys(route.parameters, NOBODY))


@pytest.mark.parametrize("kind", BAD_BODIES)
def test_s47_a_body_that_is_none_is_refused_everywhere(caller: Client, kind: str) -> None:
    """Given every address that takes a body, when its type is wrong, or it is truncated, doubled,
    nested or out of measure, then the refusal is the right one, and half of them take no tenth of
    a second."""
    body, content_type, expected = BAD_BODIES[kind]
    took = []
    addresses = [route for route in WRITES if route.path not in UPLOADS]
    for route in addresses if len(body) < 50_000 else addresses[::8]:
        began = time.thread_time()
        answer = caller.generic(route.method, _address(route), body, content_type)
        took.append(time.thread_time() - began)
        assert answer.status_code in expected, (str(route), answer.status_code, answer.content)
        _is_proper(answer)
    assert statistics.median(took) < SLOW_SECONDS


def test_s47_no_body_at_all_is_no_bug(caller: Client) -> None:
    """Given every address that takes a body, when there is none, then the answer is no bug."""
    for route in WRITES:
        answer = caller.generic(route.method, _address(route), b"", "application/json")
        assert answer.status_code < 500, (str(route), answer.content)


def test_s47_a_method_that_is_not_there_is_refused_with_those_that_are(caller: Client) -> None:
    """Given every address, when a method is used that it does not have, then 405 names the others;
    without a credential 401 says nothing."""
    methods: dict[str, set[str]] = {}
    for route in ROUTES:
        methods.setdefault(_address(route), set()).add(route.method)
    for address, known in methods.items():
        for method in {"PUT", "PATCH", "DELETE", "POST", "PROPFIND"} - known:
            answer = caller.generic(method, address)
            assert answer.status_code == 405, (method, address, answer.status_code)
            assert known <= set(answer["Allow"].replace(" ", "").split(","))
            _is_proper(answer)


@pytest.mark.parametrize("headers", HEADERS, ids=lambda h: next(iter(h)))
def test_s47_a_header_out_of_measure_is_refused(caller: Client, headers: dict[str, str]) -> None:
    """Given every address that reads, when a header is absurd, then the answer is no bug."""
    for route in ROUTES:
        if route.method == "GET":
            answer = caller.get(_address(route), headers=headers)
            assert answer.status_code < 500, (str(route), answer.content)


async def test_s47_a_head_of_64_kilobytes_is_refused_at_every_door(redis_url: str) -> None:
    """Given REST, pages, Connect and enrollment, when headers have 64 kB together, or an address
    has, then 431 or 414 comes before anything is looked up."""
    import httpx

    from fleetd.asgi import application

    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    paths = ["/api/v1/devices", "/devices", "/admin/", "/nothing"]
    paths += [
        f"/{s.name}/{s.descriptor.methods[0].name}" for s in SERVICES if s in at_door(Door.WEB)
    ]
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as web:
        for path in paths:
            large = await web.get(path, headers={"X-Large": "x" * 65_536})
            many = await web.get(path, headers={f"X-{n}": "x" for n in range(200)})
            long = await web.get(path + "?q=" + "x" * 65_000)
            assert (large.status_code, many.status_code, long.status_code) == (431, 431, 414), path
            assert large.headers["content-type"] == "application/problem+json"
