"""The OpenAPI document tells all routes and their rights. Bar S46 checks that it is true."""

import re

from django.test import Client

from apps.core.authz import declared
from apps.web.api.views import build_document
from tests.isolation.world import routes


def test_every_route_is_described_with_the_permission_that_it_needs() -> None:
    document = build_document()
    described = {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    for route in routes():
        path = "/" + re.sub(r"<\w+:(\w+)>", r"{\1}", route.path)
        operation = described.pop((route.method, path))
        assert operation["x-permission"] == route.handler.permission.name
        assert operation["description"], path
    assert described == {}


def test_operations_have_names_of_their_own() -> None:
    document = build_document()
    names = [o["operationId"] for item in document["paths"].values() for o in item.values()]
    assert len(names) == len(set(names)) > 35
    assert document["openapi"].startswith("3.1")
    assert {o["x-permission"] for i in document["paths"].values() for o in i.values()} <= {
        *declared(),
        "signed_in",
        "open_to_all",
    }


def test_the_document_and_its_page_are_served_without_a_credential(client: Client) -> None:
    assert client.get("/api/v1/openapi.json").json()["info"]["title"] == "fleetd"
    page = client.get("/api/v1/docs")
    assert page.status_code == 200
    assert b"<script>" not in page.content
    assert b"style=" not in page.content
    assert b"http" not in page.content.replace(b"http-equiv", b"")
