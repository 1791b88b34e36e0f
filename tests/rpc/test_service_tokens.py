"""Internal services take service tokens only, public ones never do (both ways)."""

from datetime import timedelta

import pytest
import time_machine

from apps.accounts.models import ServiceToken
from apps.accounts.services.service_tokens import create_service_token, revoke_service_token
from apps.accounts.services.tokens import issue_tokens
from apps.core import clock
from apps.core.actors import Call, SignIn, Source
from apps.core.errors import InvalidRequest
from apps.core.rpc import orm
from apps.organizations.models import Membership
from fleetd.pb.internal.fleetd.v1 import access_pb2
from fleetd.pb.public.v1 import auth_pb2
from tests import factories
from tests.factories import Cast
from tests.rpc.doors import PROTOCOLS, Answer, Doors

INTROSPECT = "internal.fleetd.v1.AccessService/Introspect"
CALL = Call(Source.RPC, "192.0.2.7", "r-1")


@pytest.fixture
def service(transactional_db: None) -> str:
    return create_service_token(name="gateway", lifetime=timedelta(days=1)).secret


@pytest.fixture
def key(alice_member: Membership) -> str:
    return factories.api_key(alice_member, networks=["192.0.2.0/24"])


def access_token(member: Membership) -> str:
    sign_in = SignIn(clock.now(), frozenset({"password"}))
    pair = issue_tokens(member.user, organization_id=None, sign_in=sign_in, call=CALL)
    return pair.access_token


async def introspect(doors: Doors, bearer: str, credential: str, address: str = "") -> Answer:
    request = access_pb2.IntrospectRequest(credential=credential, address=address)
    headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
    answer = access_pb2.IntrospectResponse
    return await doors.call("grpc", INTROSPECT, request, answer, headers)


async def test_a_service_learns_what_a_credential_stands_for(
    doors: Doors, service: str, key: str, acme: Cast, alice_member: Membership
) -> None:
    token = await orm(None, access_token, alice_member)
    for credential, kind in ((key, "api_key"), (token, "user")):
        found = (await introspect(doors, service, credential, "192.0.2.7")).response
        assert (found.active, found.kind) == (True, kind)
        assert found.subject == str(alice_member.user_id)
        assert found.organization_slug == "acme"
        assert "devices.view_devices" in found.permissions
        assert found.expires_at.seconds > 0


async def test_of_a_credential_that_is_no_good_nothing_is_said(
    doors: Doors, service: str, key: str
) -> None:
    nothing = access_pb2.IntrospectResponse()
    for credential, address in (("nonsense", ""), (key, "198.51.100.7"), (key[:-1], "192.0.2.7")):
        assert (await introspect(doors, service, credential, address)).response == nothing


async def test_public_credentials_open_no_internal_service(
    doors: Doors, key: str, alice_member: Membership
) -> None:
    token = await orm(None, access_token, alice_member)
    for bearer in ("", key, token, "fld_svc_" + "a" * 32 + "_000000"):
        assert (await introspect(doors, bearer, key)).status == "UNAUTHENTICATED"


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_service_tokens_open_no_public_service(
    doors: Doors, protocol: str, service: str
) -> None:
    for headers in ({"authorization": f"Bearer {service}"}, {"x-api-key": service}):
        answer = await doors.call(
            protocol,
            "public.v1.AuthService/GetMe",
            auth_pb2.GetMeRequest(),
            auth_pb2.GetMeResponse,
            headers,
        )
        assert (answer.status, answer.code) == ("UNAUTHENTICATED", "invalid_token")


async def test_internal_services_are_not_on_the_web_port(doors: Doors, service: str) -> None:
    headers = {"authorization": f"Bearer {service}"}
    assert (await doors.web.post(f"/{INTROSPECT}", json={}, headers=headers)).status_code == 404


async def test_ended_tokens_open_nothing(doors: Doors, service: str, key: str) -> None:
    with time_machine.travel(clock.now() + timedelta(days=2), tick=True):
        assert (await introspect(doors, service, key)).status == "UNAUTHENTICATED"
    token_id = await orm(None, lambda: ServiceToken.objects.get().id)
    for _ in range(2):
        await orm(None, revoke_service_token, token_id)
    assert (await introspect(doors, service, key)).status == "UNAUTHENTICATED"


@pytest.mark.django_db
def test_service_tokens_are_hashed_and_end_within_a_year() -> None:
    made = create_service_token(name="x", lifetime=timedelta(days=366))
    assert made.secret not in str(list(ServiceToken.objects.values()))
    for name, days in (("", 1), ("x" * 101, 1), ("x", 0), ("x", 367)):
        with pytest.raises(InvalidRequest):
            create_service_token(name=name, lifetime=timedelta(days=days))


async def test_a_service_asks_whether_somebody_may(
    doors: Doors, service: str, acme: Cast, globex: Cast, bob_member: Membership
) -> None:
    async def may(permission: str, device_id: str, organization_id: str = "") -> Answer:
        request = access_pb2.CheckAccessRequest(
            organization_id=organization_id or str(acme.id),
            user_id=str(bob_member.user_id),
            permission=permission,
            device_id=device_id,
        )
        method = "internal.fleetd.v1.AccessService/CheckAccess"
        headers = {"authorization": f"Bearer {service}"}
        return await doors.call("grpc", method, request, access_pb2.CheckAccessResponse, headers)

    device = str(acme.device.id)
    seen = (await may("devices.view_devices", device)).response
    assert (seen.allowed, list(seen.because)) == (True, ["role viewer in the organization"])
    refused = (await may("devices.update_device", device)).response
    assert not refused.allowed
    assert refused.because
    assert (await may("devices.view_devices", str(globex.device.id))).status == "NOT_FOUND"
    assert (await may("devices.view_devices", device, str(globex.id))).status == "NOT_FOUND"
    assert (await may("devices.fly", device)).status == "INVALID_ARGUMENT"
