"""S15, streams and sockets: what is open follows the rights of now.

Given an open gRPC stream and an open socket of somebody whose rights hold in some device groups
only, when the role is lowered, the team membership removed, the group taken from the team, or the
device leaves the group, then within 5 s the stream ends or narrows, the socket's topics close, and
the page is told to read again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from asgiref.sync import sync_to_async

from apps.core import streams
from apps.core.realtime import send_hint
from apps.core.tenancy import tenant
from apps.devices.services.devices import update_device
from apps.devices.services.groups import remove_devices_from_group
from apps.organizations.services.authentication import forget_callers
from apps.web.realtime import consumer
from fleetd.pb.public.v1 import fleet_pb2
from tests import factories
from tests.doors.limited import Limited, make_limited
from tests.rpc.conftest import doors  # noqa: F401
from tests.rpc.doors import Doors
from tests.web.conftest import cookie_of, socket_of  # noqa: F401

SERVICE = "public.v1.FleetService"
Opened = Callable[..., Any]


@pytest.fixture
def world(transactional_db: None, settings: Any, tmp_path: Path) -> Limited:
    """Acme with two teams."""
    forget_callers()
    return make_limited(settings, tmp_path)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams look again every 100 ms instead of every 4 s."""
    monkeypatch.setattr(streams, "POLL_SECONDS", 0.1)


@pytest.fixture
async def stream(doors: Doors, world: Limited, quick: None) -> AsyncIterator[Opened]:  # noqa: F811
    """Opens a person's stream over gRPC; the answer is the call, which has begun."""
    calls: list[Any] = []

    async def open_stream(person: str, name: str = "StreamDeviceEvents", **fields: Any) -> Any:
        key = await sync_to_async(factories.api_key)(world.people[person])
        call = doors.channel.unary_stream(
            f"/{SERVICE}/{name}",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=getattr(fleet_pb2, f"{name}Response").FromString,
        )(getattr(fleet_pb2, f"{name}Request")(**fields), metadata=(("x-api-key", key),))
        calls.append(call)
        await asyncio.sleep(0)
        return call

    yield open_stream
    for call in calls:
        call.cancel()


async def do(world: Limited, work: Callable[[], Any]) -> None:
    """Some work in the organization, committed."""

    def run() -> None:
        with tenant(world.organization_id):
            work()

    await sync_to_async(run)()


async def change(world: Limited, what: str) -> None:
    """What takes mia's sight of d-one, or of everything, away."""
    member, group = world.members["mia-one"], world.groups["g1"]
    owner = await sync_to_async(world.actor)("oona")

    def lower() -> None:
        member.role = "auditor"
        member.save(update_fields=["role"])

    def take() -> None:
        group.team = None
        group.save(update_fields=["team"])

    works: dict[str, Callable[[], Any]] = {
        "role lowered": lower,
        "out of the team": member.delete,
        "group taken from the team": take,
        "device out of the group": lambda: remove_devices_from_group(
            owner, group.id, [world.devices["d-one"].id]
        ),
    }
    await do(world, works[what])


CHANGES = ["role lowered", "out of the team", "group taken from the team"]
DEVICE_CHANGES = [*CHANGES, "device out of the group"]


def test_s15_nothing_that_is_open_looks_away_for_longer_than_five_seconds() -> None:
    assert streams.POLL_SECONDS <= 4
    assert consumer.RECHECK_SECONDS <= 4


async def _ends(call: Any) -> str:
    """The status with which a stream ends, whatever it still tells before."""
    try:
        while await asyncio.wait_for(call.read(), 5) is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as failure:
        return str(failure.code().name)
    return "OK"


@pytest.mark.parametrize("what", DEVICE_CHANGES)
async def test_s15_the_stream_of_one_device_ends_with_its_sight(
    stream: Opened, world: Limited, what: str
) -> None:
    call = await stream("mia", device_id=str(world.devices["d-one"].id))
    await call.initial_metadata()
    await change(world, what)
    assert await _ends(call) in ("NOT_FOUND", "PERMISSION_DENIED")


@pytest.mark.parametrize("what", CHANGES)
async def test_s15_the_stream_of_a_rollout_ends_with_its_sight(
    stream: Opened, world: Limited, what: str
) -> None:
    rollout_id = str(world.rollouts["r-one"].id)
    call = await stream("mia", "StreamRolloutEvents", rollout_id=rollout_id, after_sequence=99)
    await call.initial_metadata()
    await change(world, what)
    assert await _ends(call) in ("NOT_FOUND", "PERMISSION_DENIED")


async def test_s15_the_stream_of_all_devices_tells_of_those_in_reach_as_it_is_now(
    stream: Opened, world: Limited
) -> None:
    owner = await sync_to_async(world.actor)("oona")

    async def rename(*names: str) -> None:
        for name in names:
            device_id = world.devices[name].id
            await do(world, lambda i=device_id, n=name: update_device(owner, i, name=f"{n}-x"))

    call = await stream("mia")
    await call.initial_metadata()
    heard = asyncio.ensure_future(call.read())
    while not heard.done():  # until the stream has fixed from when on it tells
        await do(
            world,
            lambda: update_device(owner, world.devices["d-both"].id, add_tags=[_fresh_tag()]),
        )
        await asyncio.wait([heard], timeout=0.2)
    await rename("d-none", "d-two", "d-one")
    seen = {(await asyncio.wait_for(heard, 5)).device.name}
    while "d-one-x" not in seen:
        seen.add((await asyncio.wait_for(call.read(), 5)).device.name)
    assert seen <= {"d-both", "d-one-x"}
    await change(world, "device out of the group")
    await asyncio.sleep(0.3)
    await do(world, lambda: update_device(owner, world.devices["d-one"].id, name="out of sight"))
    await rename("d-both")
    last = await asyncio.wait_for(call.read(), 5)
    while last.device.name == "d-both":
        last = await asyncio.wait_for(call.read(), 5)
    assert last.device.name == "d-both-x"


_tags = iter(range(10_000))


def _fresh_tag() -> str:
    return f"t{next(_tags)}"


async def _subscribed(socket: Any, *topics: str) -> None:
    assert (await socket.connect())[0]
    for topic in topics:
        assert (await socket.says(op="subscribe", topic=topic))["op"] == "subscribed", topic


async def _hears_until(socket: Any, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    while True:
        message: dict[str, Any] = await socket.hears(5)
        if wanted(message):
            return message


@pytest.mark.parametrize("what", DEVICE_CHANGES)
async def test_s15_the_topic_of_a_device_closes_with_its_sight(
    socket_of: Opened,  # noqa: F811
    cookie_of: Callable[..., str],  # noqa: F811
    world: Limited,
    what: str,
) -> None:
    topic = f"device.{world.devices['d-one'].id}"
    socket = socket_of(await sync_to_async(cookie_of)(world.people["mia"]))
    await _subscribed(socket, topic)
    await change(world, what)
    refused = await _hears_until(socket, lambda m: m.get("op") == "error")
    assert (refused["topic"], refused["code"]) == (topic, "not_found")


async def test_s15_open_lists_read_again_when_the_reach_is_another(
    socket_of: Opened,  # noqa: F811
    cookie_of: Callable[..., str],  # noqa: F811
    world: Limited,
) -> None:
    topic = f"org.{world.organization_id}.devices"
    socket = socket_of(await sync_to_async(cookie_of)(world.people["tom"]))
    await _subscribed(socket, topic)
    await change(world, "group taken from the team")
    again = await _hears_until(socket, lambda m: m.get("op") == "resync")
    assert again["topic"] == topic


async def test_s56_hints_say_nothing_of_devices_and_rollouts_out_of_reach(
    socket_of: Opened,  # noqa: F811
    cookie_of: Callable[..., str],  # noqa: F811
    world: Limited,
) -> None:
    org = f"org.{world.organization_id}"
    ids = {name: str(device.id) for name, device in world.devices.items()}
    rollouts = {name: str(rollout.id) for name, rollout in world.rollouts.items()}
    own = f"device.{ids['d-one']}"
    socket = socket_of(await sync_to_async(cookie_of)(world.people["mia"]))
    await _subscribed(socket, f"{org}.devices", f"{org}.summary", f"{org}.rollouts", own)
    for topic in (f"device.{ids['d-two']}", f"rollout.{rollouts['r-two']}", f"{org}.audit"):
        assert (await socket.says(op="subscribe", topic=topic))["code"] == "not_found"
    states = [{"id": i, "cpu_ratio": 0.5} for i in ids.values()]
    sent: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("devices", {"device_id": ids["d-two"], "name": "SECRET"}, {}),
        ("devices", {"device_id": ids["d-one"]}, {"device_id": ids["d-one"]}),
        ("summary", {"device_id": ids["d-none"], "reason": "SECRET"}, {}),
        ("rollouts", {"rollout_id": rollouts["r-all"]}, {}),
        ("rollouts", {"rollout_id": rollouts["r-one"]}, {"rollout_id": rollouts["r-one"]}),
        ("devices", {"group_id": str(world.groups["g2"].id)}, {}),
        (
            "devices",
            {"devices": states, "is_complete": True},
            {"devices": [states[0], states[2]], "is_complete": True},
        ),
    ]
    for part, data, expected in sent:
        await sync_to_async(send_hint)(world.organization_id, f"{org}.{part}", "kind", data)
        heard = await _hears_until(socket, lambda m: "op" not in m)
        assert heard["data"] == expected, part
        assert heard["type"] == ("kind" if expected else "changed")
    many = {"device_ids": [ids["d-one"], ids["d-two"]], "rollout_id": rollouts["r-all"]}
    await sync_to_async(send_hint)(world.organization_id, own, "kind", many)
    heard = await _hears_until(socket, lambda m: "op" not in m)
    assert heard["data"]["device_ids"] == [ids["d-one"]]
