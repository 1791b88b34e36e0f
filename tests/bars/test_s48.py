"""S48: what is too long, too many or too slow is refused, and costs neither memory nor disk."""

import gzip
import os

import pytest

from tests import factories
from tests.web_server import WebServer

MIB = 1024 * 1024
HUGE = 200 * MIB
GROWTH = 64 * MIB
JSON = "Content-Type: application/json"
REST = "POST /api/v1/device-groups HTTP/1.1"
CONNECT = "POST /public.v1.FleetService/ListDevices HTTP/1.1"
ENROLL = "POST /internal.agent.v1.EnrollmentService/Enroll HTTP/1.1"
LOGIN = "POST /accounts/login HTTP/1.1"
UPLOAD = "POST /api/v1/artifacts HTTP/1.1"
DOORS = (REST, CONNECT, ENROLL, LOGIN, UPLOAD)


def _chunks(size: int) -> bytes:
    piece = b"100000\r\n" + b"[" * MIB + b"\r\n"
    return piece * (size // MIB) + b"0\r\n\r\n"


def _bomb() -> bytes:
    """10 GB of zeros in about 10 MB: gzip members one after the other are one stream."""
    return gzip.compress(bytes(64 * MIB), 9) * 160


def _parts(count: int) -> bytes:
    head = b'--B\r\nContent-Disposition: form-data; name="a%d"\r\n\r\n1\r\n'
    return b"".join(head % number for number in range(count)) + b"--B--\r\n"


def _spooled(server: WebServer) -> list[str]:
    """Temporary files: those with a name, and those that are open without one."""
    named = [str(path) for path in server.temporary.rglob("*") if path.is_file()]
    folder = f"/proc/{server.process.pid}/fd"
    opened = [os.readlink(f"{folder}/{number}") for number in os.listdir(folder)]
    return named + [path for path in opened if path.startswith(str(server.temporary))]


@pytest.mark.django_db(transaction=True)
def test_s48_no_body_costs_memory_disk_or_patience(redis_url, alice_member, tmp_path):
    """Given a running server, when bodies of 200 MB come with and without a length, a gzip bomb, a
    form of 10,000 parts, a body of ten bytes a second, a million brackets, then each is refused at
    every door, memory grows by less than 64 MiB and no temporary file remains."""
    key = f"Authorization: Bearer {factories.api_key(alice_member)}"
    with WebServer(tmp_path / "web", FLEETD_BODY_SECONDS="1") as server:
        for door in DOORS:
            server.send(door, JSON, key, "Content-Length: 2", body=b"{}")
        before = server.memory
        many = _parts(10_000)
        form = "Content-Type: multipart/form-data; boundary=B"
        deep = b"[" * 1_000_000
        bomb = _bomb()
        for door in DOORS:
            for who in ((), (key,)):
                if door is UPLOAD and who:
                    continue  # a known caller may upload as much as an artifact may have
                length = f"Content-Length: {HUGE}"
                status, _ = server.send(door, JSON, length, *who, body=b"x" * (8 * MIB))
                assert status in (401, 413, 429), (door, status)
                chunked = "Transfer-Encoding: chunked"
                status, _ = server.send(door, JSON, chunked, *who, body=_chunks(32 * MIB))
                assert status in (401, 413, 429), (door, status)
            # Enrollment takes tokens in the body and refuses keys before it reads anything.
            known = () if door is ENROLL else (key,)
            encoded = ("Content-Encoding: gzip", f"Content-Length: {len(bomb)}")
            status, _ = server.send(door, JSON, *known, *encoded, body=bomb)
            assert status in (413, 415, 429), (door, status)
            status, _ = server.send(door, JSON, *known, f"Content-Length: {len(deep)}", body=deep)
            assert 400 <= status < 500, (door, status)
            status, _ = server.send(
                door, JSON, *known, "Content-Length: 1000", drip=b"[", seconds=15
            )
            assert status == 408, (door, status)
            status, _ = server.send(door, form, *known, f"Content-Length: {len(many)}", body=many)
            assert 400 <= status < 500, (door, status)
            assert server.memory - before < GROWTH, door
            assert _spooled(server) == [], door
        cookie = "Cookie: csrftoken=" + "x" * 32
        for door in (LOGIN, UPLOAD):
            length = f"Content-Length: {len(many)}"
            status, _ = server.send(door, form, key, cookie, length, body=many)
            assert status == 413, (door, status)
        assert server.send("GET /api/v1/devices HTTP/1.1", key)[0] == 200


@pytest.mark.django_db(transaction=True)
def test_s48_heads_cost_no_memory_either(redis_url, tmp_path):
    """Given a running server, when a head of 100 MB comes, as one header, as many, or as an
    address, then it is refused or cut off, and memory grows by less than 64 MiB."""
    with WebServer(tmp_path / "web") as server:
        before = server.memory
        heads = [
            ("GET / HTTP/1.1", "X-Long: " + "a" * (100 * MIB)),
            ("GET / HTTP/1.1", *[f"X-{n}: {'a' * 1000}" for n in range(100_000)]),
            ("GET /?" + "a" * (100 * MIB) + " HTTP/1.1",),
        ]
        for head in heads:
            status, _ = server.send(*head)
            assert status == 0 or 400 <= status < 500, (head[0][:20], status)
            assert server.memory - before < GROWTH, head[0][:20]
        assert server.send("GET /healthz HTTP/1.1")[0] == 200
