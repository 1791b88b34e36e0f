"""Many devices at once: only so many are let in at a time, the others are told when to come."""

import asyncio
import time
from uuid import UUID

import grpc.aio
import pytest

from apps.agents.identity import PeerCertificate
from apps.agents.options import Options
from fleetd.pb.internal.agent.v1 import agent_pb2 as pb
from fleetd.rpc.server import Servers
from tests.agents.conftest import with_options
from tests.agents.harness import Line, Machine, line


class TestStorm:
    """A gateway that lets two in at a time."""

    @pytest.fixture
    def options(self) -> Options:
        """Two at a time."""
        return with_options(admissions=2)

    async def test_devices_beyond_the_limit_are_told_to_come_back(
        self, gateway: Servers, fleet: list[Machine], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = gateway.gateway.backend.authenticate
        busiest = 0

        def slow(organization_id: UUID, presented: list[PeerCertificate]) -> object:
            nonlocal busiest
            busiest = max(busiest, len(presented))
            time.sleep(0.05)
            return real(organization_id, presented)

        monkeypatch.setattr(gateway.gateway._admissions, "_write", slow)
        refused = await asyncio.gather(*(self._arrive(gateway, m) for m in fleet))
        assert 1 <= busiest <= 2
        assert any(refused)
        assert len(gateway.gateway.sessions) == 0

    async def _arrive(self, gateway: Servers, machine: Machine) -> int:
        """Tries until it is in, as agents do; answers how often it was sent away."""
        times = 0
        async with asyncio.timeout(30), machine.channel(gateway.agent_port) as channel:
            while True:
                stream = Line(channel)
                try:
                    await stream.hello()
                except (AssertionError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    if await stream.call.code() is grpc.StatusCode.INTERNAL:
                        continue  # hello met the end of the stream: grpcio then drops its reason
                    trailers = dict(await stream.call.trailing_metadata() or ())
                    assert trailers["fleetd-code"] == "gateway_busy"
                    assert int(trailers["retry-after"]) >= 1
                    times += 1
                    await asyncio.sleep(0.05 * times)
                else:
                    stream.call.cancel()
                    break
        while gateway.gateway.sessions.get(machine.id) is not None:
            await asyncio.sleep(0.01)
        return times


class TestSlowReader:
    """A device that is sent more than it reads."""

    async def test_it_loses_its_stream(self, gateway: Servers, first: Machine) -> None:
        async with line(gateway.agent_port, first) as stream:
            await stream.hello()
            session = gateway.gateway.sessions.get(first.id)
            assert session is not None
            for _ in range(gateway.gateway.options.outgoing_messages + 1):
                session.send(pb.ConnectResponse(acknowledgement=pb.Acknowledgement(sequence=1)))
            assert await stream.ending() == ("RESOURCE_EXHAUSTED", "slow_reader")
