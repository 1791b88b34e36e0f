"""A gateway that stops sends its devices elsewhere and loses nothing."""

import time

import httpx

from apps.core.actors import Actor
from apps.core.rpc import orm
from apps.devices.models import DeviceState
from apps.updates.models import Deployment
from fleetd.pb.internal.agent.v1 import agent_pb2 as pb
from fleetd.rpc import server
from fleetd.rpc.server import Servers
from tests.agents.harness import Machine, Process, free_port, line
from tests.agents.work import report, roll_out


async def test_devices_are_told_to_reconnect_and_what_they_said_is_stored(
    gateway: Servers, first: Machine, alice: Actor
) -> None:
    await roll_out(alice, [first])
    async with line(gateway.agent_port, first) as stream:
        await stream.hello()
        offer = (await stream.receive("deployment_offer")).deployment_offer
        message = report(offer.deployment_id, 1, pb.DEPLOYMENT_STEP_DOWNLOADING)
        await stream.send(deployment_report=message)
        await stream.beat(cpu_ratio=0.625)
        await stream.receive("acknowledgement")
        await server.stop(gateway)
        told = (await stream.receive("reconnect")).reconnect
        assert 1 <= told.retry_after_seconds <= 60
        assert (await stream.ending())[0] == "OK"
    states = DeviceState.objects.for_org(alice.organization_id)
    state = await orm(alice, lambda: states.get(device_id=first.id))
    assert state.cpu_ratio == 0.625
    # It comes back in a moment: nobody has to see it go.
    assert (state.connectivity, state.disconnected_at) == ("online", None)
    rows = Deployment.objects.for_org(alice.organization_id)
    assert (await orm(alice, lambda: rows.get(id=offer.deployment_id))).report_sequence == 1


def test_a_gateway_process_shows_its_counters_and_stops_soon_after_it_is_asked_to(
    first: Machine,
) -> None:
    metrics = f"127.0.0.1:{free_port()}"
    process = Process(FLEETD_GATEWAY_METRICS_LISTEN=metrics)
    shown = httpx.get(f"http://{metrics}/metrics").text
    assert "fleetd_agent_streams 0.0" in shown
    began = time.monotonic()
    assert process.stop() == 0
    assert time.monotonic() - began < 8
