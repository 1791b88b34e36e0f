"""Lists cost the same number of queries however long they are."""

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.services.api_keys import create_api_key
from apps.core.authz import Role
from apps.core.tenancy import tenant
from apps.enrollment.services.tokens import create_enrollment_token
from apps.organizations.models import Membership
from apps.updates.services.rollouts import start_rollout
from tests import factories
from tests.isolation.world import Route, routes
from tests.rest.conftest import Api
from tests.updates.conftest import make_release, make_rollout

pytestmark = pytest.mark.django_db

# Not lists, or nothing that a key may ask for.
OTHERS = (
    "api/v1/auth/me",
    "api/v1/auth/sessions",
    "api/v1/device-groups:preview",
    "api/v1/package-devices",
)
LISTS = [r for r in routes() if r.method == "GET" and "<" not in r.path and r.path not in OTHERS]
MOST = 14


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> None:
    """Artifacts lie in a folder of the test's own."""
    settings.STORAGE_URL = f"file://{tmp_path}"


def add_one_of_everything(member: Membership, number: int) -> None:
    """One more item in every list."""
    actor = factories.actor(member)
    person = factories.user(f"person-{number}@acme.test")
    factories.membership(member.organization_id, person, Role.VIEWER)
    device = factories.device(member.organization_id, tags=[f"t{number}"])
    factories.group(member.organization_id, f"static {number}", device)
    factories.group(member.organization_id, f"tagged {number}", tag=f"t{number}")
    with tenant(member.organization_id):
        release = make_release(actor, f"{number}.0.0", f"echo {number}\n".encode())
        start_rollout(actor, make_rollout(actor, release).id)
        create_enrollment_token(actor, name=f"token {number}")
        create_api_key(actor, name=f"key {number}")


def count(api: Api, route: Route) -> int:
    """How many queries one request makes, transactions and settings aside."""
    with CaptureQueriesContext(connection) as captured:
        response = api.get(route.at())
    assert response.status_code == 200, str(route)
    return sum(
        1
        for query in captured
        if query["sql"].startswith("SELECT") and "set_config" not in query["sql"]
    )


def test_a_long_list_needs_no_more_queries_than_a_short_one(
    api: Api, alice_member: Membership
) -> None:
    api.get("auth/me")
    add_one_of_everything(alice_member, 1)
    short = {str(route): count(api, route) for route in LISTS}
    for number in range(2, 6):
        add_one_of_everything(alice_member, number)
    long = {str(route): count(api, route) for route in LISTS}
    assert {k: v for k, v in long.items() if v > short[k]} == {}
    assert {k: v for k, v in short.items() if v > MOST} == {}
