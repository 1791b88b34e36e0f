"""Filters of devices through every door: the same devices, the same refusals, the same limits."""

from typing import Any

import pytest

from apps.core.filters import FilterError
from apps.core.pagination import PageRequest
from apps.core.tenancy import tenant
from apps.devices.selectors import list_devices, resolve_target
from apps.devices.selectors.filtering import read_filter
from apps.organizations.models import Membership
from fleetd.pb.public.v1 import fleet_pb2
from tests import factories
from tests.doors.limited import Limited
from tests.doors.test_limited_reach import world  # noqa: F401
from tests.factories import Cast
from tests.rest.conftest import Api
from tests.rpc.doors import PROTOCOLS, Doors

HOSTILE = [
    "(" * 10_000,
    "a" * 10_000,
    "(" * 500 + "a" + ")" * 500,
    "name:\x00",
    "NOT " * 1000 + "a",
    "-" * 4000,
    '"' * 4095,
    "name = \U0010ffff\u202e🦊",
    "ⅷ > ８",
    "name = x) OR (1=1",
    'name = "x\'; DROP TABLE devices_device; --"',
    "labels.__class__ = x",
    "state__cpu_ratio > 0",
    "organization_id:*",
    "id = '00000000-0000-0000-0000-000000000000' OR NOT id = 1",
    "metrics.cpu_temp > 1e999",
    "memory > 999999999999999TiB",
    'last_seen > "9999-12-31T23:59:59-14:00"',
    'version("' + "9" * 300 + '") > "' + "9" * 300 + '"',
]


@pytest.fixture
def fleet(acme: Cast) -> Cast:
    """Devices to find, in an organization that has others besides."""
    for number in range(5):
        factories.device(
            acme.id,
            f"lab-{number}",
            tags=["lab"],
            installed={"app": f"{number}.10.0"},
            inventory={"facts": {"site": "oslo"}, "memory_bytes": str(4 * 2**30)},
            state=factories.online(),
        )
    return acme


FILTER = 'tags:"lab" AND version("app") >= "1.9" AND NOT name = "lab-4" memory >= 4GiB'
FOUND = ["lab-1", "lab-2", "lab-3"]


def names(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [item["name"] for item in answer.json()["items"]]


def test_rest_finds_by_filter(api: Api, fleet: Cast) -> None:
    assert names(api.get("devices", filter=FILTER)) == FOUND
    assert names(api.get("devices", filter=FILTER, tag="other")) == []
    assert names(api.get("devices", filter="  ")) == names(api.get("devices"))
    assert names(api.get("devices", filter='group = "acme-group"')) == ["acme-one"]


def test_pages_of_a_filter_join_and_belong_to_it(api: Api, fleet: Cast) -> None:
    seen, token = [], ""
    while True:
        answer = api.get("devices", filter=FILTER, page_size=2, page_token=token)
        seen += names(answer)
        if not (token := answer.json()["next_page_token"]):
            break
        first = token
    assert seen == FOUND
    for other in ("tags:lab", ""):
        answer = api.get("devices", filter=other, page_token=first)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_page_token")


def test_a_refusal_points_at_the_column(api: Api, fleet: Cast) -> None:
    answer = api.get("devices", filter='tags:"lab" AND conectivity = "offline"')
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, "invalid_filter")
    assert problem["metadata"] == {"column": 16, "end": 26, "suggestion": "connectivity"}
    assert problem["errors"][0]["pointer"] == "/filter"


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_filter_breaks_anything(api: Api, fleet: Cast, text: str) -> None:
    for answer in (
        api.get("devices", filter=text),
        api.get("device-groups:preview", filter=text),
        api.post("device-groups", name="hostile", filter=text),
    ):
        assert answer.status_code in (200, 201, 400), answer.content
        if answer.status_code == 400:
            assert answer.json()["code"] in ("invalid_filter", "invalid_request")


@pytest.mark.django_db(transaction=True)
async def test_every_protocol_takes_filters(doors: Doors, fleet: Cast, api: Api) -> None:
    headers = {"authorization": api.headers["Authorization"]}
    for protocol in PROTOCOLS:
        for text, expected in ((FILTER, FOUND), ("a OR", None)):
            answer = await doors.call(
                protocol,
                "public.v1.FleetService/ListDevices",
                fleet_pb2.ListDevicesRequest(filter=text),
                fleet_pb2.ListDevicesResponse,
                headers,
            )
            if expected is None:
                assert (answer.status, answer.code) == ("INVALID_ARGUMENT", "invalid_filter")
                assert (answer.metadata["column"], answer.metadata["end"]) == ("5", "5")
            else:
                assert [item.name for item in answer.response.items] == expected, protocol


def test_a_filter_narrows_what_somebody_sees_and_shows_no_more(world: Limited) -> None:  # noqa: F811
    """mia reaches g1 only; what stands elsewhere cannot be asked for, not even by what it lacks."""
    mia, oona = world.actor("mia"), world.actor("oona")
    with tenant(world.organization_id):
        for text in ("name:*", "NOT name:nothing", "-tags:nothing", 'group = "g1"', "d"):
            assert seen(mia, text) == ["d-both", "d-one"], text
        assert seen(mia, 'tags:"other"') == []
        assert seen(oona, 'group = "g2"') == ["d-both", "d-two"]
        assert [d.name for d in resolve_target(mia, filter="name:*").order_by("name")] == [
            "d-both",
            "d-one",
        ]


@pytest.mark.parametrize("text", ['group = "{}"', 'NOT group = "{}"', 'name:x OR group:"{}"'])
def test_a_group_out_of_sight_answers_like_none(world: Limited, text: str) -> None:  # noqa: F811
    """Neither its name nor its id is told from one that never was, nor suggested."""
    mia = world.actor("mia")
    hidden = world.groups["g2"]
    with tenant(world.organization_id):
        refusals = [
            refusal(mia, text.format(name)).replace(name, "…")
            for name in ("g2", "g9", str(hidden.id), str(hidden.id)[:-1] + "0")
        ]
        assert 'did you mean "g1"' in refusal(mia, text.format("g1x"))
        assert "did you mean" not in refusal(mia, text.format("g2x"))
        assert 'did you mean "g2"' in refusal(world.actor("oona"), text.format("g2x"))
        assert len({each.partition(" at ")[0] for each in refusals}) == 1


def test_groups_of_another_organization_answer_like_none(
    acme: Cast, globex: Cast, alice_member: Membership
) -> None:
    alice = factories.actor(alice_member)
    with tenant(acme.id):
        for name in ("globex-group", str(globex.group.id), "never"):
            assert "There is no device group" in refusal(alice, f'group = "{name}"')


def test_rights_are_needed_before_anything_is_read(fleet: Cast, api_of: Any) -> None:
    nobody = factories.membership(fleet.id, factories.user(), factories.Role.MEMBER)
    answer = api_of(nobody).get("devices", filter="not ( a filter")
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


def seen(actor: Any, text: str) -> list[str]:
    return [device.name for device in list_devices(actor, PageRequest(), filter=text).items]


def refusal(actor: Any, text: str) -> str:
    with pytest.raises(FilterError) as raised:
        read_filter(actor, text)
    return raised.value.message
