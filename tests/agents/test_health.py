"""What load balancers are told on the gateway's ports."""

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fleetd.pb.internal.health.v1 import health_pb2 as internal
from fleetd.rpc import server
from fleetd.rpc.server import Servers
from tests.agents.harness import Machine, until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def standard(channel: grpc.aio.Channel) -> int:
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    return answer.status


async def test_both_ports_speak_both_kinds_of_health(gateway: Servers, first: Machine) -> None:
    plain = grpc.aio.insecure_channel(f"127.0.0.1:{gateway.grpc_port}")
    for opened in (plain, first.channel(gateway.agent_port)):
        async with opened as channel:
            assert await standard(channel) == SERVING
            check = channel.unary_unary(
                "/internal.health.v1.HealthService/Check",
                request_serializer=internal.CheckRequest.SerializeToString,
                response_deserializer=internal.CheckResponse.FromString,
            )
            answer = await check(internal.CheckRequest())
            assert {d.name for d in answer.dependencies} == {"postgresql", "valkey"}
            assert answer.status == internal.SERVING_STATUS_SERVING


class TestWithoutPostgresql:
    """A database that does not answer."""

    @pytest.fixture(autouse=True)
    def _away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def fail() -> None:
            raise ConnectionError

        monkeypatch.setattr(server, "HEALTH_SECONDS", 0.02)
        monkeypatch.setitem(server.examine.__globals__["CHECKS"], "postgresql", (fail, True))

    async def test_the_gateway_is_not_serving_after_a_while(self, gateway: Servers) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:

            async def refused() -> bool:
                return await standard(channel) == NOT_SERVING

            await until(refused)
