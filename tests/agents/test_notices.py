"""What gateways tell each other and those who watch, and life without Valkey."""

import pytest
from channels.layers import get_channel_layer

from apps.core.actors import Actor
from apps.core.ids import uuid7
from apps.core.realtime import group_name
from fleetd.rpc import server
from fleetd.rpc.server import Servers
from tests.agents.harness import Machine, line, until
from tests.agents.work import roll_out


async def test_the_newest_stream_wins_across_gateways(gateway: Servers, first: Machine) -> None:
    other = await server.start(gateway.gateway.options)
    try:
        async with line(gateway.agent_port, first) as older, line(other.agent_port, first) as newer:
            await older.hello()
            await newer.hello()
            assert await older.ending() == ("ABORTED", "stream_replaced")
            assert len(other.gateway.sessions) == 1
    finally:
        await server.stop(other)


async def test_an_older_stream_elsewhere_is_left_alone(gateway: Servers, first: Machine) -> None:
    before = uuid7()
    async with line(gateway.agent_port, first) as stream:
        await stream.hello()
        organization_id = first.device.organization_id
        pairs = [[str(first.id), str(before)], "rubbish", ["x"], [str(first.id), None], 7]
        gateway.gateway._notice("sessions", organization_id, {"sessions": pairs})
        gateway.gateway._notice("sessions", organization_id, {})
        for text in (b"", b"[]", b"{", b'{"kind":"sessions","organization_id":"x"}'):
            gateway.gateway.notices._take(text)
        odd = b'{"kind":"sessions","organization_id":"%s","sessions":7}'
        gateway.gateway.notices._take(odd % str(organization_id).encode())
        session = gateway.gateway.sessions.get(first.id)
        assert session is not None
        assert not session.is_ended


async def test_who_watches_a_device_sees_its_numbers_move(
    gateway: Servers, first: Machine, second: Machine
) -> None:
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(group_name(first.device.organization_id, f"device.{first.id}"), channel)
    async with line(gateway.agent_port, first) as stream, line(gateway.agent_port, second) as other:
        await stream.hello()
        await other.hello()
        await other.beat(cpu_ratio=0.25)
        await stream.beat(cpu_ratio=0.75)
        envelope = (await layer.receive(channel))["envelope"]
    assert envelope["type"] == "devices.state.changed"
    (state,) = envelope["data"]["devices"]
    assert (state["id"], state["cpu_ratio"]) == (str(first.id), 0.75)
    assert state["connectivity"] == "online"
    await layer.flush()


class TestWithoutValkey:
    """Hints and wake-ups are lost; the work is found by looking."""

    @pytest.fixture(autouse=True)
    def _no_valkey(self, settings: object) -> None:
        settings.REDIS_URL = "redis://127.0.0.1:1/0"  # type: ignore[attr-defined]

    async def test_devices_still_get_their_work(
        self, gateway: Servers, first: Machine, alice: Actor
    ) -> None:
        async with line(gateway.agent_port, first) as stream:
            await stream.hello()
            await stream.beat()
            rollout = await roll_out(alice, [first])
            offer = (await stream.receive("deployment_offer")).deployment_offer
            assert offer.rollout_id == str(rollout.id)

            async def flushed() -> bool:
                return gateway.gateway.beats._pending == {}

            await until(flushed)
