"""One line for each call, whatever its protocol; refusals of known callers are audited once."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc.aio
import pytest
from asgiref.sync import sync_to_async
from django.test import Client

from apps.audit.models import AuditEntry
from apps.audit.types import Answered
from apps.core.ids import uuid7
from apps.core.tenancy import tenant
from apps.organizations.models import Membership
from fleetd.pb.public.v1 import fleet_pb2 as pb
from tests import factories
from tests.audit.conftest import Calls
from tests.factories import Cast
from tests.rpc.doors import PROTOCOLS, Doors

FIELDS = {
    "source", "method", "route", "object_id", "status", "code", "result", "organization_id",
    "actor_kind", "actor_id", "actor", "address", "request_id", "duration_ms",
}  # fmt: skip
STREAM = "/public.v1.FleetService/StreamDeviceEvents"


def sign_in(member: Membership) -> Client:
    client = Client()
    client.force_login(member.user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def refusals(organization_id: Any) -> list[tuple[str, str]]:
    with tenant(organization_id):
        rows = AuditEntry.objects.for_org(organization_id).filter(result="denied")
        return list(rows.order_by("sequence").values_list("action", "source"))


def only(lines: list[dict[str, Any]]) -> dict[str, Any]:
    (line,) = lines
    assert {*line} >= FIELDS
    return line


def test_a_rest_call_has_its_line(acme: Cast, alice_member: Membership, calls: Calls) -> None:
    key = factories.api_key(alice_member)
    answer = Client().get(
        f"/api/v1/devices/{acme.device.id}?fields=id", headers={"Authorization": f"Bearer {key}"}
    )
    line = only(calls())
    assert line["source"], line["method"] == ("rest", "GET")
    assert line["route"] == "/api/v1/devices/<ident:id>"
    assert line["object_id"] == str(acme.device.id)
    assert (line["status"], line["code"], line["result"]) == ("200", "ok", "ok")
    assert (line["organization_id"], line["actor_kind"]) == (str(acme.id), "api_key")
    assert line["request_id"] == answer["Request-Id"]
    assert line["address"] == "127.0.0.1"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("devices", "401", "unauthenticated"), ("nothing", "404", "not_found")],
)
def test_a_call_of_nobody_has_its_line(calls: Calls, path: str, status: str, code: str) -> None:
    Client().get(f"/api/v1/{path}")
    line = only(calls())
    assert (line["status"], line["code"], line["actor_id"]) == (status, code, "")


def test_pages_and_the_admin_have_their_lines(
    acme: Cast, alice_member: Membership, calls: Calls
) -> None:
    client = sign_in(alice_member)
    client.get(f"/devices/{acme.device.id}")
    client.get(f"/admin/devices/device/{acme.device.id}/change/")
    client.get(f"/devices/{uuid7()}")
    page, admin, missing = calls()
    assert (page["source"], page["route"]) == ("ui", "/devices/<uuid:device_id>")
    assert (admin["source"], admin["actor"]) == ("admin", "alice@acme.test")
    assert {page["object_id"], admin["object_id"]} == {str(acme.device.id)}
    assert (missing["status"], missing["code"]) == ("404", "not_found")


def test_secrets_do_not_reach_the_line(acme: Cast, alice_member: Membership, calls: Calls) -> None:
    key = factories.api_key(alice_member)
    Client().get(f"/api/v1/devices/{key}?token={key}", headers={"X-API-Key": key})
    Client().post("/accounts/login", {"login": "a@b.c", "password": "hunter2 is long"})
    text = str(calls())
    assert len(calls()) == 2
    assert key not in text
    assert "hunter2" not in text


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_rpc_has_its_line(
    doors: Doors, protocol: str, acme: Cast, alice_member: Membership, calls: Calls
) -> None:
    key = await sync_to_async(factories.api_key)(alice_member)
    name = "public.v1.FleetService/GetDevice"
    request = pb.GetDeviceRequest(id=str(acme.device.id))
    headers = {"x-api-key": key}
    answer = await doors.call(protocol, name, request, pb.GetDeviceResponse, headers)
    line = only(calls())
    assert (line["source"], line["method"], line["route"]) == ("rpc", "RPC", name)
    assert (line["object_id"], line["status"], line["code"]) == (str(acme.device.id), "ok", "ok")
    assert (line["organization_id"], line["actor_kind"]) == (str(acme.id), "api_key")
    await doors.call(protocol, name, request, pb.GetDeviceResponse, {"x-api-key": "no key"})
    assert calls()[1]["status"] == "unauthenticated"
    assert (calls()[1]["result"], calls()[1]["actor_id"]) == ("denied", "")
    assert answer.status == "OK"


async def test_a_stream_has_its_line_when_it_ends_and_its_refusal_is_audited(
    doors: Doors, acme: Cast, alice_member: Membership, calls: Calls
) -> None:
    narrow = await sync_to_async(factories.api_key)(alice_member, scopes=("audit.view_entries",))
    call = doors.channel.unary_stream(
        STREAM,
        request_serializer=pb.StreamDeviceEventsRequest.SerializeToString,
        response_deserializer=pb.StreamDeviceEventsResponse.FromString,
    )
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call(pb.StreamDeviceEventsRequest(), metadata=(("x-api-key", narrow),)).read()
    assert failure.value.code() is grpc.StatusCode.PERMISSION_DENIED
    line = only(calls())
    assert (line["method"], line["route"]) == ("RPC stream", STREAM.removeprefix("/"))
    assert (line["status"], line["result"]) == ("permission_denied", "denied")
    assert await sync_to_async(refusals)(acme.id) == [("devices.view_devices", "rpc")]
    wide = await sync_to_async(factories.api_key)(alice_member)
    opened = call(pb.StreamDeviceEventsRequest(), metadata=(("x-api-key", wide),))
    await opened.initial_metadata()
    opened.cancel()
    async with asyncio.timeout(5):
        while len(calls()) < 2:
            await asyncio.sleep(0.01)
    assert calls()[1]["code"] == "cancelled"


@pytest.mark.django_db(transaction=True)
async def test_a_socket_has_its_line_and_its_refusals_are_audited_once(
    acme: Cast,
    globex: Cast,
    bob_member: Membership,
    cookie_of: Callable[[Membership], str],
    socket_of: Callable[..., Any],
    calls: Calls,
) -> None:
    cookie = await sync_to_async(cookie_of)(bob_member)
    socket = socket_of(cookie)
    await socket.connect()
    topic = f"org.{acme.id}.audit"
    for _ in range(3):
        answer = await socket.says(op="subscribe", topic=topic)
        assert answer == {"op": "error", "topic": topic, "code": "not_found"}
    await socket.says(op="subscribe", topic=f"device.{globex.device.id}")
    async with asyncio.timeout(5):
        while len(calls()) < 3:
            await asyncio.sleep(0.01)
    opened, audit, foreign = calls()
    assert (opened["method"], opened["route"], opened["code"]) == ("WS", "/ws/v1", "ok")
    assert (audit["route"], audit["code"]) == ("org.<id>.audit", "permission_denied")
    assert (foreign["route"], foreign["object_id"]) == ("device.<id>", str(globex.device.id))
    assert foreign["code"] == "not_found"
    assert {line["actor"] for line in calls()} == {"bob@acme.test"}
    assert await sync_to_async(refusals)(acme.id) == [("audit.view_entries", "ui")]


async def test_a_foreign_page_has_its_line(
    acme: Cast,
    bob_member: Membership,
    cookie_of: Callable[[Membership], str],
    socket_of: Callable[..., Any],
    calls: Calls,
) -> None:
    cookie = await sync_to_async(cookie_of)(bob_member)
    await socket_of(cookie, "https://evil.example").connect()
    assert (only(calls())["code"], calls()[0]["result"]) == ("foreign_origin", "denied")


def test_each_refused_page_is_audited_once(acme: Cast, bob_member: Membership) -> None:
    client = sign_in(bob_member)
    chosen = [str(device.id) for device in acme.devices]
    values = {"action": "quarantine_device", "confirmed": "1", "reason": "x"}
    client.get("/audit")
    client.get("/admin/audit/auditentry/")
    client.post("/admin/devices/device/", {**values, "_selected_action": chosen})
    assert refusals(acme.id) == [
        ("audit.view_entries", "ui"),
        ("permission_denied", "admin"),
        ("devices.quarantine_device", "admin"),
    ]


async def test_what_is_refused_unread_has_its_line(
    doors: Doors, socket_of: Callable[..., Any], calls: Calls
) -> None:
    await doors.web.post(STREAM, headers={"content-type": "application/grpc"}, content=b"")
    await socket_of("", path="/ws/v2").connect()
    rpc, socket = calls()
    assert (rpc["status"], rpc["code"]) == ("415", "unsupported_media_type")
    assert (socket["method"], socket["status"], socket["result"]) == ("WS", "4404", "denied")


@pytest.mark.django_db
async def test_a_body_that_is_too_long_has_its_line(calls: Calls, settings: Any) -> None:
    from httpx import ASGITransport, AsyncClient

    from apps.web.bodies import with_body_limit

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    transport = ASGITransport(with_body_limit(reads))
    async with AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.post("/api/v1/devices", content=b"x" * 1_000_000)
    line = only(calls())
    assert (answer.status_code, line["status"], line["code"]) == (413, "413", "body_too_large")
    assert line["request_id"] == answer.headers["request-id"]


@pytest.mark.parametrize(
    ("status", "code", "result"),
    [
        ("200", "ok", "ok"), ("302", "ok", "ok"), ("ok", "ok", "ok"), ("101", "ok", "ok"),
        ("403", "permission_denied", "denied"), ("302", "mfa_required", "denied"),
        ("429", "", "denied"), ("409", "wrong_state", "failed"), ("500", "", "error"),
        ("internal", "internal_error", "error"), ("invalid_argument", "x", "failed"),
    ],
)  # fmt: skip
def test_results(status: str, code: str, result: str) -> None:
    assert Answered("GET", "/", status, code).result == result
