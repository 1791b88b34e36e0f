"""Server streams: committed rows soon after commit, and an end for those who lost their right."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from asgiref.sync import sync_to_async

from apps.core import streams
from apps.core.authz import Role
from apps.core.ids import uuid7
from apps.core.realtime import send_hint
from apps.core.tenancy import tenant
from apps.devices.rpc.events import Reader
from apps.devices.services.devices import quarantine_device, release_device
from apps.organizations.models import Membership
from apps.updates.services.rollouts import pause_rollout, resume_rollout, start_rollout
from fleetd.pb.public.v1 import fleet_pb2
from tests import factories
from tests.factories import Cast
from tests.rpc.doors import Doors
from tests.updates.conftest import make_release, make_rollout

Opened = Callable[..., Any]
SERVICE = "public.v1.FleetService"


@pytest.fixture
def key(transactional_db: None, alice_member: Membership) -> str:
    return factories.api_key(alice_member)


@pytest.fixture
def rollout_id(
    transactional_db: None, alice_member: Membership, settings: Any, tmp_path: Path
) -> str:
    """A running rollout of acme."""
    settings.STORAGE_URL = f"file://{tmp_path}"
    actor = factories.actor(alice_member)
    with tenant(actor.organization_id):
        return str(start_rollout(actor, make_rollout(actor, make_release(actor)).id).id)


@pytest.fixture
async def opened(doors: Doors, key: str) -> AsyncIterator[Opened]:
    """Opens a stream over gRPC; all are closed at the end."""
    calls: list[Any] = []

    def make(name: str, **fields: Any) -> Any:
        request = getattr(fleet_pb2, f"{name}Request")(**fields)
        call = doors.channel.unary_stream(
            f"/{SERVICE}/{name}",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=getattr(fleet_pb2, f"{name}Response").FromString,
        )(request, metadata=(("x-api-key", key),), timeout=30)
        calls.append(call)
        return call

    yield make
    for call in calls:
        call.cancel()


@pytest.fixture
def has_begun(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Waits until a stream of device events has fixed from when on it tells."""
    begun = threading.Event()
    original = Reader.starting_now

    def starting_now(*args: Any) -> Reader:
        reader = original(*args)
        begun.set()
        return reader

    monkeypatch.setattr(Reader, "starting_now", starting_now)

    async def wait() -> None:
        assert await asyncio.to_thread(begun.wait, 10)

    return wait


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers look again every 100 ms, hint or not."""
    monkeypatch.setattr(streams, "POLL_SECONDS", 0.1)


async def do(cast: Cast, service: Any, *args: Any, **fields: Any) -> None:
    """A service in acme, by alice's colleague."""

    def run() -> None:
        with tenant(cast.id):
            service(*args, **fields)

    await sync_to_async(run)()


async def next_of(call: Any) -> Any:
    return await asyncio.wait_for(call.read(), 10)


async def test_device_events_arrive_once_in_order_with_the_device_as_it_is(
    opened: Opened, quick: None, has_begun: Any, acme: Cast, alice_member: Membership
) -> None:
    actor = factories.actor(alice_member)
    await do(acme, quarantine_device, actor, acme.devices[1].id, reason="before the stream")
    call = opened("StreamDeviceEvents")
    await has_begun()
    for operation, fields in ((quarantine_device, {"reason": "r"}), (release_device, {})):
        await do(acme, operation, actor, acme.device.id, **fields)
    first, second = await next_of(call), await next_of(call)
    kinds = [first.type, second.type]
    assert kinds == ["devices.device.quarantined.v1", "devices.device.released.v1"]
    assert (first.sequence, second.sequence) == (1, 2)
    assert first.device.id == str(acme.device.id)
    assert second.device.lifecycle == fleet_pb2.LIFECYCLE_ACTIVE
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call.read(), 0.5)


async def test_a_stream_of_one_device_hears_of_that_one_only(
    opened: Opened, quick: None, has_begun: Any, acme: Cast, alice_member: Membership
) -> None:
    actor = factories.actor(alice_member)
    call = opened("StreamDeviceEvents", device_id=str(acme.device.id))
    await has_begun()
    for device in reversed(acme.devices):
        await do(acme, quarantine_device, actor, device.id, reason="r")
    assert (await next_of(call)).device_id == str(acme.device.id)


async def test_a_hint_is_faster_than_the_safety_net(
    opened: Opened,
    has_begun: Any,
    acme: Cast,
    alice_member: Membership,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "POLL_SECONDS", 60)
    call = opened("StreamDeviceEvents", device_id=str(acme.device.id))
    await has_begun()
    actor = factories.actor(alice_member)
    await do(acme, quarantine_device, actor, acme.device.id, reason="r")
    reading = asyncio.ensure_future(call.read())
    while not reading.done():  # as often as the relay likes
        await sync_to_async(send_hint)(acme.id, f"device.{acme.device.id}", "x", {})
        await asyncio.wait([reading], timeout=0.2)
    assert reading.result().type == "devices.device.quarantined.v1"


async def test_a_rollouts_log_comes_from_the_number_on_that_was_asked_for(
    opened: Opened, quick: None, acme: Cast, alice_member: Membership, rollout_id: str
) -> None:
    actor = factories.actor(alice_member)
    call = opened("StreamRolloutEvents", rollout_id=rollout_id, after_sequence=1)
    begun = await next_of(call)
    assert (begun.event.sequence, begun.event.type) == (2, "started")
    await do(acme, pause_rollout, actor, rollout_id)
    await do(acme, resume_rollout, actor, rollout_id)
    seen = []
    while "resumed" not in seen:
        response = await next_of(call)
        seen.append(response.event.type)
    assert seen[-2:] == ["paused", "resumed"]


async def test_a_lost_right_ends_the_stream(
    opened: Opened, quick: None, acme: Cast, alice_member: Membership
) -> None:
    call = opened("StreamDeviceEvents")
    await call.initial_metadata()

    def demote() -> None:
        alice_member.role = Role.AUDITOR
        alice_member.save(update_fields=["role"])

    await do(acme, demote)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await next_of(call)
    assert failure.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_revoked_membership_ends_the_stream(
    opened: Opened, quick: None, acme: Cast, alice_member: Membership, rollout_id: str
) -> None:
    call = opened("StreamRolloutEvents", rollout_id=rollout_id, after_sequence=99)
    await call.initial_metadata()
    await do(acme, alice_member.delete)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await next_of(call)
    assert failure.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("name", "field"), [("StreamDeviceEvents", "device_id"), ("StreamRolloutEvents", "rollout_id")]
)
async def test_what_is_not_there_cannot_be_followed(
    opened: Opened, globex: Cast, name: str, field: str
) -> None:
    for value in (str(uuid7()), str(globex.device.id), "nonsense"):
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await next_of(opened(name, **{field: value}))
        assert failure.value.code() is grpc.StatusCode.NOT_FOUND
