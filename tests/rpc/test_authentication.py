"""Who may call what, with which credential."""

import pytest
from django.test import override_settings

from apps.accounts.services.api_keys import revoke_api_key
from apps.core.actors import Actor
from apps.core.rpc import orm
from apps.organizations.models import Membership
from apps.organizations.selectors import actor_for_api_key
from apps.organizations.services.authentication import forget_callers
from fleetd.pb.internal.health.v1 import health_pb2
from fleetd.pb.public.v1 import auth_pb2
from tests import factories
from tests.factories import Cast
from tests.rpc.doors import PROTOCOLS, Answer, Doors

GET_ME = "public.v1.AuthService/GetMe"
HEALTH = "internal.health.v1.HealthService/Check"


@pytest.fixture
def key(alice_member: Membership) -> str:
    """An API key of alice."""
    return factories.api_key(alice_member)


async def me(doors: Doors, protocol: str, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await doors.call(
        protocol, GET_ME, auth_pb2.GetMeRequest(), auth_pb2.GetMeResponse, named
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_api_key_says_who_calls(doors: Doors, protocol: str, key: str, acme: Cast) -> None:
    for headers in ({"authorization": f"Bearer {key}"}, {"x_api_key": key}):
        answer = await me(doors, protocol, **headers)
        assert answer.status == "OK"
        assert answer.response.email == "alice@acme.test"
        assert answer.response.organization_id == str(acme.id)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_nobody_is_let_in_without_a_credential(doors: Doors, protocol: str) -> None:
    answer = await me(doors, protocol)
    assert (answer.status, answer.code) == ("UNAUTHENTICATED", "unauthenticated")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_credential_of_another_kind_is_refused(
    doors: Doors, protocol: str, key: str
) -> None:
    other = key[:-1] + ("a" if key[-1] != "a" else "b")
    for headers in (
        {"authorization": f"Basic {key}"},
        {"authorization": key},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {key.replace('_pat_', '_enr_')}"},
        {"authorization": f"Bearer {other}"},
        {"authorization": f"Bearer {key}", "x_api_key": other},
    ):
        answer = await me(doors, protocol, **headers)
        assert answer.status == "UNAUTHENTICATED", headers


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_key_works_in_its_own_organization_only(
    doors: Doors, protocol: str, key: str, acme: Cast, globex: Cast
) -> None:
    for own in (acme.organization.slug, str(acme.id)):
        assert (await me(doors, protocol, x_api_key=key, fleetd_organization=own)).status == "OK"
    for other in (globex.organization.slug, str(globex.id), "nowhere"):
        answer = await me(doors, protocol, x_api_key=key, fleetd_organization=other)
        assert (answer.status, answer.code) == ("UNAUTHENTICATED", "no_organization")


async def test_a_revoked_key_is_refused_once_it_is_forgotten(
    doors: Doors, key: str, alice: Actor
) -> None:
    assert (await me(doors, "grpc", x_api_key=key)).status == "OK"
    found = await orm(None, actor_for_api_key, key, alice.call)
    await orm(alice, revoke_api_key, alice, found.id)
    forget_callers()
    assert (await me(doors, "grpc", x_api_key=key)).code == "invalid_api_key"


async def test_a_key_that_was_just_used_is_not_looked_up_again(
    doors: Doors, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await me(doors, "connect-json", x_api_key=key)).status == "OK"
    monkeypatch.setattr("apps.organizations.services.authentication._look_up", None)
    assert (await me(doors, "connect-json", x_api_key=key)).status == "OK"


async def test_internal_services_refuse_public_credentials(doors: Doors, key: str) -> None:
    request = health_pb2.CheckRequest()
    without = await doors.call("grpc", HEALTH, request, health_pb2.CheckResponse)
    assert without.response.status == health_pb2.SERVING_STATUS_SERVING
    for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}):
        answer = await doors.call("grpc", HEALTH, request, health_pb2.CheckResponse, headers)
        assert answer.status == "UNAUTHENTICATED"


async def test_internal_services_are_not_on_the_web_port(doors: Doors) -> None:
    for path in (f"/{HEALTH}", "/internal.agent.v1.AgentService/RenewCertificate"):
        assert (await doors.web.post(path, json={})).status_code == 404


async def test_health_says_what_is_missing(doors: Doors) -> None:
    with override_settings(REDIS_URL="redis://127.0.0.1:1/0"):
        answer = await doors.call(
            "grpc", HEALTH, health_pb2.CheckRequest(), health_pb2.CheckResponse
        )
    found = {d.name: d.status for d in answer.response.dependencies}
    assert found["valkey"] == health_pb2.SERVING_STATUS_NOT_SERVING
    assert found["postgresql"] == health_pb2.SERVING_STATUS_SERVING
    assert answer.response.status == health_pb2.SERVING_STATUS_SERVING
