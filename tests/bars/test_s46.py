"""S46: generated requests never break the REST door, whoever sends them, and every answer fits."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from apps.core import clock
from apps.core.authz import CUSTOM, Role
from apps.core.tenancy import tenant
from apps.organizations.models import CustomRole
from apps.web.api.views import build_document
from tests import factories
from tests.factories import Cast

schema = schemathesis.openapi.from_dict(build_document())
schema.app = get_wsgi_application()
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
# Two of each operation in the ordinary suite, one by the owner and one by the role whose turn it
# is; FLEETD_BAR_EXAMPLES=500 for the whole bar, where every role sends so many.
ASKED = os.environ.get("FLEETD_BAR_EXAMPLES", "")
EXAMPLES = int(ASKED or 2)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
ROLES = [*(role.value for role in Role), CUSTOM]
_turns = itertools.cycle(ROLES)


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


def _key_of(cast: Cast, role: str) -> str:
    """A key of somebody who has this role; the custom one holds two rights of different apps."""
    if role != CUSTOM:
        return factories.api_key(factories.membership(cast.id, factories.user(), Role(role)))
    with tenant(cast.id):
        custom = CustomRole(
            organization_id=cast.id,
            name="Reader of some",
            created_at=clock.now(),
            permissions=["devices.view_devices", "updates.view_releases"],
        )
        custom.save(force_insert=True)
    member = factories.membership(cast.id, factories.user(), Role.MEMBER)
    member.role, member.custom_role = CUSTOM, custom
    with tenant(cast.id):
        member.save(update_fields=["role", "custom_role"])
    return factories.api_key(member)


@pytest.fixture
def keys(acme: Cast) -> dict[str, str]:
    """Keys by role; in the ordinary suite of the one whose turn it is, and of the owner."""
    roles = ROLES if ASKED else [Role.OWNER.value, next(_turns)]
    return {role: _key_of(acme, role) for role in dict.fromkeys(roles)}


@pytest.fixture
def in_turn(keys: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The keys one after the other, without end."""
    return itertools.cycle(keys.items())


@pytest.mark.django_db
@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_s46_every_answer_to_a_generated_request_fits_the_document(
    case: Any,
    keys: dict[str, str],
    in_turn: Iterator[tuple[str, str]],
    one_connection: None,
) -> None:
    """Given the OpenAPI document, when generated requests come from every role, then nothing
    breaks, and status, content type and body are those that the document names."""
    sent = keys.items() if ASKED else [next(in_turn)]
    for role, key in sent:
        # Whoever may do it is told what is wrong with a request; others only that they may not.
        checks = [*CHECKS, negative_data_rejection] if role == Role.OWNER.value else CHECKS
        case.call_and_validate(headers={"Authorization": f"Bearer {key}"}, checks=checks)
