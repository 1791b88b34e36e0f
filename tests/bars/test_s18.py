"""S18: limits and audit go by the socket's address, and hold across server processes."""

import json

import pytest

from apps.audit.models import AuditEntry
from apps.core.limits import forget
from apps.core.tenancy import tenant
from tests import factories
from tests.core.test_addresses import GARBAGE
from tests.web_server import WebServer

LIMITS = {"FLEETD_LIMIT_UNAUTHENTICATED": "20", "FLEETD_LIMIT_ADDRESS": "1000"}
INVENTED = ["X-Forwarded-For", "True-Client-IP", "X-Real-IP", "Forwarded", "CF-Connecting-IP"]
FAKE_KEY = "Authorization: Bearer fld_pat_0000000000000000000000000000000000000000_000000"
RPC = "POST /public.v1.FleetService/ListDevices HTTP/1.1"
JSON = "Content-Type: application/json"


def _get(server, *headers):
    return server.send("GET /api/v1/devices HTTP/1.1", *headers)


def _rpc(server, *headers):
    return server.send(RPC, JSON, "Content-Length: 2", *headers, body=b"{}")


@pytest.fixture
def own_budgets(redis_url):
    """Other tests call from this address too: nothing is spent before, and nothing after."""
    _forget_all()
    yield
    _forget_all()


def _forget_all():
    for name in ("address", "unauthenticated", "bad_credential"):
        forget(name, "127.0.0.1")


@pytest.mark.django_db(transaction=True)
def test_s18_limits_hold_across_processes_whatever_headers_say(own_budgets, alice_member, tmp_path):
    """Given two server processes and no trusted proxy, when an address calls with made-up tokens
    and rotating or broken address headers, then both together let through what one limit allows,
    over REST and RPC, and somebody with a key is served all the while."""
    key = f"Authorization: Bearer {factories.api_key(alice_member)}"
    with (
        WebServer(tmp_path / "one", **LIMITS) as one,
        WebServer(tmp_path / "two", **LIMITS) as two,
    ):
        statuses = []
        for number in range(60):
            header = f"{INVENTED[number % len(INVENTED)]}: 203.0.113.{number}"
            call = _rpc if number % 3 == 0 else _get
            statuses.append(call((one, two)[number % 2], header, FAKE_KEY)[0])
        assert set(statuses) == {401, 429}
        assert 20 <= statuses.count(401) <= 24  # the budget refills while the calls go on
        for server in (one, two):
            assert _get(server, key)[0] == 200
            assert _rpc(server, key)[0] == 200
        for garbage in GARBAGE:
            if garbage.isprintable() and garbage.isascii():
                status, _ = _get(one, key, f"X-Forwarded-For: {garbage}")
                assert status == 200, garbage
        status, answer = _get(two, FAKE_KEY)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert status == 429
        assert b"retry-after: " in head.lower()
        assert b'"unauthenticated";q=20;w=60' in head
        assert json.loads(body)["code"] == "too_many_requests"


@pytest.mark.django_db(transaction=True)
def test_s18_the_audit_trail_names_the_socket(client, alice_member, bob_member, settings):
    """Given no trusted proxy, when somebody is refused who sends address headers, then the audit
    entry names the socket; with one trusted proxy, the first address from the right."""
    headers = {
        "Authorization": f"Bearer {factories.api_key(bob_member)}",
        "X-Forwarded-For": "6.6.6.6, 203.0.113.7",
    }
    for trusted in (0, 1, 2, 3):
        settings.TRUSTED_PROXIES = trusted
        answer = client.post(
            "/api/v1/device-groups", {"name": "x"}, "application/json", headers=headers
        )
        assert answer.status_code == 403
    with tenant(bob_member.organization_id):
        rows = AuditEntry.objects.for_org(bob_member.organization_id).filter(result="denied")
        found = [row.address for row in rows.order_by("sequence")]
    assert found == ["127.0.0.1", "203.0.113.7", "6.6.6.6", "127.0.0.1"]
