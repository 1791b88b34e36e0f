"""The OpenAPI document is true: generated requests never break anything, every answer fits."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import Client
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from apps.core.authz import declared
from apps.organizations.models import Membership
from apps.web.api.views import build_document
from tests import factories
from tests.isolation.world import routes

schema = schemathesis.openapi.from_dict(build_document())
schema.app = get_wsgi_application()
# A few in the ordinary suite; more where somebody asks for them.
EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "3"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> None:
    """Artifacts lie in a folder of the test's own."""
    settings.STORAGE_URL = f"file://{tmp_path}"


@pytest.fixture
def one_connection() -> Iterator[None]:
    """Requests over WSGI stay in the test's transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def key(alice_member: Membership) -> str:
    return factories.api_key(alice_member)


@pytest.mark.django_db
@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_to_a_generated_request_fits_the_document(
    case: Any, key: str, one_connection: None
) -> None:
    case.call_and_validate(headers={"Authorization": f"Bearer {key}"}, checks=CHECKS)


def test_every_route_is_described_with_the_permission_that_it_needs() -> None:
    document = build_document()
    described = {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    for route in routes():
        path = "/" + re.sub(r"<ident:(\w+)>", r"{\1}", route.path)
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
    }


def test_the_document_and_its_page_are_served_without_a_credential(client: Client) -> None:
    assert client.get("/api/v1/openapi.json").json()["info"]["title"] == "fleetd"
    page = client.get("/api/v1/docs")
    assert page.status_code == 200
    assert b"<script>" not in page.content
    assert b"style=" not in page.content
    assert b"http" not in page.content.replace(b"http-equiv", b"")
