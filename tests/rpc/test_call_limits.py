"""Calls are counted over RPC as everywhere, and say what is left."""

from typing import Any

import grpc
import grpc.aio
import pytest
from asgiref.sync import sync_to_async
from django.core.cache import cache

from apps.core import limits
from apps.organizations.models import Organization
from apps.web.organization_rules import forget_rules
from fleetd.pb.public.v1 import fleet_pb2
from fleetd.rpc import details
from tests import factories
from tests.rpc.doors import PROTOCOLS, Doors

LIST = "public.v1.FleetService/ListDevices"
ENROLL = "internal.agent.v1.EnrollmentService/Enroll"


@pytest.fixture(autouse=True)
def counted(redis_url: str) -> Any:
    """Valkey counts, from nothing; rules of organizations are read afresh."""
    cache.clear()
    limits._line.forget()
    forget_rules()
    yield
    cache.clear()
    forget_rules()


async def _key(member: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {await sync_to_async(factories.api_key)(member)}"}


async def _list(doors: Doors, protocol: str, headers: dict[str, str]) -> Any:
    request = fleet_pb2.ListDevicesRequest()
    return await doors.call(protocol, LIST, request, fleet_pb2.ListDevicesResponse, headers)


async def test_a_key_has_one_budget_for_all_protocols(doors: Doors, alice_member, settings):
    settings.LIMIT_API_KEY = 4
    headers = await _key(alice_member)
    said = [(await _list(doors, p, headers)).status for p in (*PROTOCOLS, *PROTOCOLS)]
    assert said == ["OK"] * 4 + ["RESOURCE_EXHAUSTED"] * 4
    assert (await _list(doors, "grpc", await _key(alice_member))).status == "OK"


async def test_headers_say_what_is_left(doors: Doors, alice_member, settings):
    settings.LIMIT_API_KEY = 2
    headers = {**await _key(alice_member), "content-type": "application/json"}
    answer = await doors.web.post(f"/{LIST}", content=b"{}", headers=headers)
    assert '"api_key";q=2;w=60' in answer.headers["ratelimit-policy"]
    assert '"api_key";r=1;t=30' in answer.headers["ratelimit"]
    assert '"organization"' in answer.headers["ratelimit"]
    await doors.web.post(f"/{LIST}", content=b"{}", headers=headers)
    refused = await doors.web.post(f"/{LIST}", content=b"{}", headers=headers)
    assert refused.status_code == 429
    assert refused.headers["fleetd-code"] == "too_many_requests"
    assert 25 <= int(refused.headers["retry-after"]) <= 30
    assert '"api_key";r=0' in refused.headers["ratelimit"]


async def test_grpc_says_when_to_come_back(doors: Doors, alice_member, settings):
    settings.LIMIT_API_KEY = 1
    metadata = tuple((await _key(alice_member)).items())
    call = doors.channel.unary_unary(f"/{LIST}")
    await call(b"", metadata=metadata)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(b"", metadata=metadata)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    trailers = dict(refused.value.trailing_metadata())
    packed = details.read_status(trailers["grpc-status-details-bin"])
    retry = [p for p in packed if p.type_url.endswith("google.rpc.RetryInfo")]
    assert 55 <= details.read_retry_seconds(retry[0]) <= 60


async def test_the_organizations_own_quota_counts(doors: Doors, alice_member, bob_member, acme):
    await Organization.objects.filter(id=acme.id).aupdate(
        settings={"quotas.requests_per_minute": 60}
    )
    alice, bob = await _key(alice_member), await _key(bob_member)
    said = [(await _list(doors, "connect-json", (alice, bob)[n % 2])).status for n in range(70)]
    assert said[:60] == ["OK"] * 60
    assert "RESOURCE_EXHAUSTED" in said[60:]


async def test_made_up_keys_cost_the_address_and_nobody_else(doors: Doors, alice_member, settings):
    settings.LIMIT_UNAUTHENTICATED = 5
    made_up = {"authorization": "Bearer fld_pat_made_up"}
    said = [(await _list(doors, "grpc-web", made_up)).status for _ in range(8)]
    assert said == ["UNAUTHENTICATED"] * 5 + ["RESOURCE_EXHAUSTED"] * 3
    assert (await _list(doors, "grpc-web", await _key(alice_member))).status == "OK"


async def test_enrollment_is_counted_where_it_is_refused(doors: Doors, settings):
    settings.LIMIT_UNAUTHENTICATED = 3
    body = {"token": "fld_enr_x", "csrPem": "x", "hardwareId": "h"}
    said = [(await doors.web.post(f"/{ENROLL}", json=body)).status_code for _ in range(6)]
    assert said[-1] == 429
