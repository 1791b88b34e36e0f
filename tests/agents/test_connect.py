"""A device's stream: how it begins, what it keeps up to date, how it ends."""

import asyncio

import pytest

from apps.agents.options import Options
from apps.core.rpc import orm
from apps.devices.models import Device, DeviceState
from fleetd.pb.internal.agent.v1 import agent_pb2 as pb
from fleetd.rpc.server import Servers
from tests.agents.conftest import with_options
from tests.agents.harness import Line, Machine, line, until


async def state_of(machine: Machine) -> DeviceState:
    organization_id = machine.device.organization_id
    rows = DeviceState.objects.for_org(organization_id)
    return await orm(organization_id, lambda: rows.get(device_id=machine.id))


async def test_a_device_is_welcomed_and_online(gateway: Servers, first: Machine) -> None:
    async with line(gateway.agent_port, first) as stream:
        welcome = await stream.hello()
        assert welcome.device_id == str(first.id)
        assert welcome.heartbeat_interval_seconds == 1
        state = await state_of(first)
        assert (state.connectivity, state.boot_id) == ("online", "boot-1")
        assert state.ip_address == "127.0.0.1"


async def test_the_newest_heartbeat_is_stored(gateway: Servers, first: Machine) -> None:
    async with line(gateway.agent_port, first) as stream:
        await stream.hello()
        for number in range(50):
            await stream.beat(cpu_ratio=number / 100)

        async def newest() -> bool:
            return (await state_of(first)).cpu_ratio == pytest.approx(0.49)

        await until(newest)


async def test_an_inventory_is_stored_before_it_is_acknowledged(
    gateway: Servers, first: Machine
) -> None:
    async with line(gateway.agent_port, first) as stream:
        await stream.hello()
        inventory = pb.Inventory(os_name="Debian", kernel="6.1", installed={"app": "1.0"})
        sent = await stream.send(inventory=inventory)
        answer = (await stream.receive("acknowledgement")).acknowledgement
        rows = Device.objects.for_org(first.device.organization_id)
        stored = await orm(first.device.organization_id, lambda: rows.get(id=first.id))
        assert answer.sequence == sent
        assert (stored.os_name, stored.kernel) == ("Debian", "6.1")


async def test_a_device_that_says_goodbye_is_offline_at_once(
    gateway: Servers, first: Machine
) -> None:
    async with line(gateway.agent_port, first) as stream:
        await stream.hello()
        await stream.send(goodbye=pb.Goodbye(reason="rebooting"))
        assert (await stream.ending())[0] == "OK"

    async def offline() -> bool:
        state = await state_of(first)
        return state.connectivity == "offline" and "rebooting" in state.disconnect_reason

    await until(offline)


async def test_a_lost_connection_leaves_the_verdict_to_the_deadline(
    gateway: Servers, first: Machine
) -> None:
    async with line(gateway.agent_port, first) as stream:
        await stream.hello()

    async def noted() -> bool:
        return (await state_of(first)).disconnected_at is not None

    await until(noted)
    assert (await state_of(first)).connectivity == "online"


async def test_the_newest_stream_wins_and_the_older_is_told(
    gateway: Servers, first: Machine
) -> None:
    async with line(gateway.agent_port, first) as older, line(gateway.agent_port, first) as newer:
        await older.hello()
        await newer.hello()
        assert await older.ending() == ("ABORTED", "stream_replaced")
        await newer.beat(cpu_ratio=0.875)

        async def stored() -> bool:
            return (await state_of(first)).cpu_ratio == 0.875

        await until(stored)
        assert len(gateway.gateway.sessions) == 1


async def test_a_stream_begins_with_hello_and_soon(gateway: Servers, first: Machine) -> None:
    async with line(gateway.agent_port, first) as stream:
        await stream.beat()
        assert await stream.ending() == ("INVALID_ARGUMENT", "hello_expected")
    async with line(gateway.agent_port, first) as stream:
        assert await stream.ending() == ("INVALID_ARGUMENT", "hello_expected")
    async with line(gateway.agent_port, first) as stream:
        await stream.hello()
        await stream.send(hello=pb.Hello())
        assert await stream.ending() == ("INVALID_ARGUMENT", "hello_expected")


async def test_sequence_numbers_grow(gateway: Servers, first: Machine) -> None:
    async with line(gateway.agent_port, first) as stream:
        await stream.hello()
        stream.sequence = 0
        await stream.beat()
        assert await stream.ending() == ("INVALID_ARGUMENT", "wrong_sequence")


@pytest.mark.parametrize(
    "payload",
    [
        {"heartbeat": pb.Heartbeat(cpu_ratio=1.5)},
        {"heartbeat": pb.Heartbeat(memory_ratio=float("nan"))},
        {"heartbeat": pb.Heartbeat(uptime_seconds=2**63)},
        {"heartbeat": pb.Heartbeat(temperature_celsius=-300)},
        {"inventory": pb.Inventory(hostname="a\0b")},
        {"inventory": pb.Inventory(facts={"k": "v\0"})},
        {"inventory": pb.Inventory(cpu_count=2**31)},
        {"deployment_report": pb.DeploymentReport(deployment_id="x", report_sequence=1, step=1)},
        {"deployment_report": pb.DeploymentReport(report_sequence=0)},
        {},
    ],
)
async def test_a_bad_message_ends_its_own_stream_only(
    gateway: Servers, first: Machine, second: Machine, payload: dict[str, object]
) -> None:
    async with line(gateway.agent_port, first) as bad, line(gateway.agent_port, second) as good:
        await good.hello()
        await bad.hello()
        await bad.send(**payload)
        assert await bad.ending() == ("INVALID_ARGUMENT", "invalid_request")
        await good.beat(cpu_ratio=0.75)

        async def stored() -> bool:
            return (await state_of(second)).cpu_ratio == 0.75

        await until(stored)


async def test_what_is_no_message_ends_the_stream(gateway: Servers, first: Machine) -> None:
    for rubbish in (b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", b"\x12\x05ab"):
        async with line(gateway.agent_port, first) as stream:
            await stream.hello()
            await stream.call.write(rubbish)
            assert await stream.ending() == ("INVALID_ARGUMENT", "invalid_request")


async def test_a_message_that_is_too_large_is_refused(gateway: Servers, first: Machine) -> None:
    async with line(gateway.agent_port, first) as stream:
        await stream.hello()
        await stream.call.write(b"\x0a" + b"a" * (5 * 1024 * 1024))
        assert (await stream.ending())[0] == "RESOURCE_EXHAUSTED"


async def test_public_credentials_are_refused_on_the_agent_port(
    gateway: Servers, first: Machine
) -> None:
    async with first.channel(gateway.agent_port) as channel:
        stream = Line(channel, metadata=(("authorization", "Bearer fld_pat_x"),))
        assert (await stream.ending())[0] == "UNAUTHENTICATED"


class TestLimits:
    """Numbers that are small enough to reach."""

    @pytest.fixture
    def options(self) -> Options:
        """Few messages a second."""
        return with_options(messages_per_second=20.0, message_burst=5)

    async def test_a_device_that_talks_too_much_is_read_slowly(
        self, gateway: Servers, first: Machine
    ) -> None:
        loop = asyncio.get_running_loop()
        async with line(gateway.agent_port, first) as stream:
            await stream.hello()
            began = loop.time()
            for _ in range(25):
                await stream.beat()
            sent = await stream.send(inventory=pb.Inventory(os_name="Debian"))
            assert (await stream.receive("acknowledgement")).acknowledgement.sequence == sent
            assert loop.time() - began > 0.8
