"""Whatever is sent, nobody gets an internal error for it, and no library's text."""

import asyncio
import gzip
import random
import struct
from typing import Any

import grpc
import grpc.aio
import pytest

from fleetd.pb.internal.agent.v1 import agent_pb2
from tests.rpc.doors import Doors

ENROLL = "internal.agent.v1.EnrollmentService/Enroll"
HEALTH = "internal.health.v1.HealthService/Check"
LIST = "public.v1.FleetService/ListDevices"
SEED = 20_261_123
BINARY = {"content-type": "application/proto"}
JSON = {"content-type": "application/json"}


def rubbish() -> list[bytes]:
    """Random bytes, and a real message cut off and flipped at random places."""
    dice = random.Random(SEED)
    request = agent_pb2.EnrollRequest(
        token="fld_enr_x", csr_pem="x" * 300, hardware_id="h", inventory={"facts": {"a": "b"}}
    )
    real = request.SerializeToString()
    found = [dice.randbytes(dice.randrange(1, 200)) for _ in range(40)]
    found += [real[: dice.randrange(len(real))] for _ in range(20)]
    for _ in range(40):
        copy = bytearray(real)
        copy[dice.randrange(len(copy))] = dice.randrange(256)
        found.append(bytes(copy))
    return found


async def test_rubbish_on_the_web_port_is_the_clients_fault(doors: Doors) -> None:
    for body in rubbish():
        for headers in (BINARY, JSON):
            got = await doors.web.post(f"/{ENROLL}", content=body, headers=headers)
            assert 400 <= got.status_code < 500, (body, got.text)
            assert "unmarshal" not in got.text
            assert got.headers["request-id"]


async def test_rubbish_on_the_grpc_port_is_the_clients_fault(doors: Doors) -> None:
    call = doors.channel.unary_unary(f"/{HEALTH}")
    allowed = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}
    for body in rubbish():
        sent = call(body)
        assert await sent.code() in allowed
        assert "Error" not in (await sent.details() or "")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'"x"',
        b"[" * 100_000,
        b'{"inventory":' * 5000,
        b'{"inventory":{"facts":{"a":' + b"[" * 5000 + b"]" * 5000 + b"}}}",
        b'{"inventory":{"memoryBytes":"99999999999999999999999999"}}',
        b'{"inventory":{"memoryBytes":1e400}}',
        b'{"inventory":{"cpuCount":-1}}',
        b'{"token":"\\ud800","csrPem":"x","hardwareId":"h"}',
        b'{"token":"a\\u0000b","csrPem":"x","hardwareId":"h"}',
        b'{"token":{"$gt":""},"csrPem":"x","hardwareId":"h"}',
        b'{"token":"a","token":"b"}',
        b"\xff\xfe{}",
    ],
)
async def test_json_that_makes_no_sense_is_refused(doors: Doors, text: bytes) -> None:
    got = await doors.web.post(f"/{ENROLL}", content=text, headers=JSON)
    assert got.status_code in (400, 401), got.text
    assert "Traceback" not in got.text


async def test_nul_is_named_as_what_is_wrong(doors: Doors) -> None:
    request = {"token": "t", "csrPem": "x", "hardwareId": "h", "inventory": {"osName": "a\0"}}
    got = await doors.web.post(f"/{ENROLL}", json=request)
    assert got.status_code == 400
    assert "inventory.os_name" in got.json()["message"]


async def test_what_is_too_large_is_refused(doors: Doors) -> None:
    large = agent_pb2.EnrollRequest(token="x" * (5 * 1024 * 1024)).SerializeToString()
    got = await doors.web.post(f"/{ENROLL}", content=large, headers=BINARY)
    assert (got.status_code, got.headers["fleetd-code"]) == (429, "too_many_requests")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await doors.channel.unary_unary(f"/{HEALTH}")(large)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_small_body_that_unpacks_to_a_huge_one_is_refused(doors: Doors) -> None:
    bomb = gzip.compress(b"\0" * (64 * 1024 * 1024))
    headers = {**BINARY, "content-encoding": "gzip"}
    got = await doors.web.post(f"/{ENROLL}", content=bomb, headers=headers)
    assert got.status_code == 429


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {"content-type": "application/grpc-web+proto"}),
        (b"\x00\x00\x00\x00\x05ab", {"content-type": "application/grpc-web+proto"}),
        (struct.pack(">BI", 0, 2**32 - 1), {"content-type": "application/grpc-web+proto"}),
        (b"\xff" * 20, {"content-type": "application/grpc-web+proto"}),
        (b"{}", {"content-type": "application/json", "connect-timeout-ms": "soon"}),
        (b"{}", {"content-type": "application/json", "content-encoding": "br"}),
        (b"{}", {"content-type": "text/plain"}),
        (b"{}", {"content-type": ""}),
    ],
)
async def test_a_broken_envelope_is_not_our_failure(
    doors: Doors, body: bytes, headers: dict[str, str]
) -> None:
    got = await doors.web.post(f"/{ENROLL}", content=body, headers=headers)
    assert got.status_code in (200, 400, 401, 415, 429, 501), got.text
    assert got.headers.get("grpc-status", "3") not in ("2", "13")
    assert b"grpc-status: 13" not in got.content
    assert b"grpc-status: 2\r" not in got.content


async def test_compression_that_nobody_agreed_on_is_not_our_failure(doors: Doors) -> None:
    packed = gzip.compress(b"{}")
    body = b"\x01" + struct.pack(">I", len(packed)) + packed
    headers = {"content-type": "application/grpc-web+proto"}
    got = await doors.web.post(f"/{ENROLL}", content=body, headers=headers)
    assert "grpc-status: 13" not in got.text + str(got.headers)
    assert "grpc-status: 3" in got.text or got.headers.get("grpc-status") == "3"


async def test_native_grpc_on_the_web_port_is_sent_away(doors: Doors) -> None:
    for kind in ("application/grpc", "application/grpc+proto", "Application/gRPC"):
        got = await doors.web.post(f"/{LIST}", content=b"", headers={"content-type": kind})
        assert got.status_code == 415


async def test_headers_and_queries_that_are_no_text_are_refused(doors: Doors) -> None:
    got = await doors.web.post(f"/{ENROLL}", content=b"{}", headers=[(b"x-odd", b"\xff\xfe")])
    assert got.status_code == 400
    got = await doors.web.get(f"/{LIST}?encoding=json&message=%ff%fe&base64=1&connect=v1")
    assert 400 <= got.status_code < 500


async def test_a_body_that_never_ends_is_given_up(doors: Doors, settings: Any) -> None:
    settings.BODY_SECONDS = 0.2

    async def drip() -> Any:
        while True:
            yield b"x"
            await asyncio.sleep(0.05)

    got = await doors.web.post(f"/{ENROLL}", content=drip(), headers=BINARY)
    assert got.status_code == 408
