"""The agents' port: a device of ours speaks of the deployments and devices of theirs."""

from typing import Any

import grpc
import grpc.aio

from fleetd.isolation.answers import difference
from fleetd.isolation.report import DoorReport
from fleetd.isolation.web_calls import nobody
from fleetd.isolation.world import World
from fleetd.pb.internal.agent.v1 import agent_pb2 as pb

CONNECT = "/internal.agent.v1.AgentService/Connect"
ANSWER_SECONDS = 5.0


async def walk_agent(world: World, report: DoorReport, port: int) -> None:
    """Reports on deployments with every foreign id; each must end like one that never was."""
    report.begin("AgentService/Connect deployment_report")
    expected = await _report_on(world, report, port, nobody())
    for kind, value in world.theirs.ids.items():
        if value.isdigit():
            continue  # the proto takes UUIDs only, whoever's they are
        got = await _report_on(world, report, port, value)
        where = f"AgentService/Connect deployment_report.deployment_id = {kind}"
        if got != expected:
            report.leak(where, difference(got, expected))


async def _report_on(
    world: World, report: DoorReport, port: int, deployment_id: str
) -> tuple[str, str]:
    """How the stream of our device ends when it reports on a deployment."""
    report.calls += 1
    async with _channel(world, port) as channel:
        stream = channel.stream_stream(
            CONNECT,
            request_serializer=pb.ConnectRequest.SerializeToString,
            response_deserializer=pb.ConnectResponse.FromString,
        )(timeout=ANSWER_SECONDS)
        said: list[str] = []
        try:
            await stream.write(pb.ConnectRequest(sequence=1, hello=_hello()))
            told = pb.DeploymentReport(
                deployment_id=deployment_id, report_sequence=7, step=pb.DEPLOYMENT_STEP_DOWNLOADING
            )
            await stream.write(pb.ConnectRequest(sequence=2, deployment_report=told))
            async for response in stream:
                if response.WhichOneof("payload") == "acknowledgement":
                    said.append(str(response.acknowledgement))
        except grpc.aio.AioRpcError as error:
            said.append(f"{error.code().name} {error.details()}")
        marks = world.marks_in("\n".join(said), frozenset({deployment_id}))
        if marks:
            report.leak("AgentService/Connect", f"shows {', '.join(marks[:3])}")
        return "ended", "\n".join(said).replace(deployment_id, "_")


def _hello() -> pb.Hello:
    return pb.Hello(agent_version="1.0", boot_id="boot-1")


def _channel(world: World, port: int) -> Any:
    machine = world.ours.furnished.machine
    credentials = grpc.ssl_channel_credentials(
        machine.root_pem.encode(), machine.key_pem.encode(), machine.chain_pem.encode()
    )
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials)
