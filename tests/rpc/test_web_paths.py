"""Where RPCs are on the web port, and what is left to Django."""

import base64

import pytest

from apps.organizations.models import Membership
from fleetd.pb.public.v1 import auth_pb2
from tests import factories
from tests.rpc.doors import Doors


@pytest.fixture
def key(alice_member: Membership) -> str:
    """An API key of alice."""
    return factories.api_key(alice_member)


async def test_a_package_prefix_may_stand_before_the_path(doors: Doors, key: str) -> None:
    headers = {"x-api-key": key}
    for prefix in ("", "/public/v1"):
        path = f"{prefix}/public.v1.AuthService/GetMe"
        got = await doors.web.post(path, json={}, headers=headers)
        assert got.json()["email"] == "alice@acme.test"
    got = await doors.web.post(
        "/internal/agent/v1/internal.agent.v1.EnrollmentService/Enroll", json={}
    )
    assert got.status_code == 400
    for path in (
        "/internal/agent/v1/public.v1.AuthService/GetMe",
        "/public/v1/AuthService/GetMe",
        "/public.v1.AuthService",
        "/",
    ):
        assert (await doors.web.post(path, json={}, headers=headers)).status_code == 404


async def test_reads_work_with_get_and_are_not_cached(doors: Doors, key: str) -> None:
    message = base64.urlsafe_b64encode(auth_pb2.GetMeRequest().SerializeToString()).decode()
    query = f"encoding=proto&base64=1&connect=v1&message={message}"
    got = await doors.web.get(f"/public.v1.AuthService/GetMe?{query}", headers={"x-api-key": key})
    assert auth_pb2.GetMeResponse.FromString(got.content).email == "alice@acme.test"
    assert got.headers["cache-control"] == "no-store"


async def test_methods_that_change_something_do_not_answer_get(doors: Doors, key: str) -> None:
    got = await doors.web.get(
        "/public.v1.AuthService/CreateApiKey?encoding=json&message={}", headers={"x-api-key": key}
    )
    assert got.status_code == 405


async def test_the_request_id_is_accepted_and_returned(doors: Doors, key: str) -> None:
    headers = {"x-api-key": key, "Request-Id": "trace-me-42"}
    got = await doors.web.post("/public.v1.AuthService/GetMe", json={}, headers=headers)
    assert got.headers["request-id"] == "trace-me-42"
