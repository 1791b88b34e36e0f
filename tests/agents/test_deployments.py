"""Work reaches devices, and what they say about it is stored once."""

import asyncio
import uuid

from apps.audit.models import AuditEntry
from apps.core.actors import Actor
from apps.core.rpc import orm
from apps.updates.services.rollouts import cancel_rollout
from fleetd.pb.internal.agent.v1 import agent_pb2 as pb
from fleetd.rpc.server import Servers
from tests.agents.harness import Line, Machine, line
from tests.agents.work import deployment, report, roll_out


async def offered(stream: Line) -> pb.DeploymentOffer:
    return (await stream.receive("deployment_offer")).deployment_offer


async def acknowledged(stream: Line, message: pb.DeploymentReport) -> pb.Acknowledgement:
    sent = await stream.send(deployment_report=message)
    while True:
        answer = (await stream.receive("acknowledgement")).acknowledgement
        if answer.sequence >= sent:
            return answer


async def test_a_connected_device_is_offered_a_new_rollout(
    gateway: Servers, first: Machine, alice: Actor
) -> None:
    async with line(gateway.agent_port, first) as stream:
        await stream.hello()
        rollout = await roll_out(alice, [first])
        offer = await offered(stream)
        assert offer.rollout_id == str(rollout.id)
        assert [c.name for c in offer.components] == ["app"]
        assert (await deployment(alice, offer.deployment_id)).state == "offered"


async def test_a_device_that_comes_later_gets_what_waits_for_it(
    gateway: Servers, first: Machine, alice: Actor
) -> None:
    rollout = await roll_out(alice, [first])
    async with line(gateway.agent_port, first) as stream:
        await stream.hello()
        assert (await offered(stream)).rollout_id == str(rollout.id)


async def test_a_device_that_comes_back_is_offered_the_same_again(
    gateway: Servers, first: Machine, alice: Actor
) -> None:
    await roll_out(alice, [first])
    async with line(gateway.agent_port, first) as stream:
        await stream.hello()
        before = await offered(stream)
    async with line(gateway.agent_port, first) as stream:
        await stream.hello()
        assert (await offered(stream)).deployment_id == before.deployment_id


async def test_a_finished_device_is_offered_the_next_rollout(
    gateway: Servers, first: Machine, alice: Actor
) -> None:
    await roll_out(alice, [first], "one")
    second = await roll_out(alice, [first], "two")
    async with line(gateway.agent_port, first) as stream:
        await stream.hello()
        offer = await offered(stream)
        done = report(offer.deployment_id, 1, pb.DEPLOYMENT_STEP_SUCCEEDED)
        assert (await acknowledged(stream, done)).is_terminal
        assert (await offered(stream)).rollout_id == str(second.id)


async def test_a_report_is_in_the_database_when_it_is_acknowledged(
    gateway: Servers, first: Machine, alice: Actor
) -> None:
    await roll_out(alice, [first])
    async with line(gateway.agent_port, first) as stream:
        await stream.hello()
        offer = await offered(stream)
        message = report(offer.deployment_id, 1, pb.DEPLOYMENT_STEP_INSTALLING)
        answer = await acknowledged(stream, message)
        assert (answer.deployment_id, answer.report_sequence) == (offer.deployment_id, 1)
        assert not answer.is_terminal
        stored = await deployment(alice, offer.deployment_id)
        assert (stored.state, stored.report_sequence) == ("installing", 1)
        again = await acknowledged(stream, message)
        assert (again.report_sequence, again.is_terminal) == (1, False)


async def test_a_cancelled_rollout_is_withdrawn_from_its_devices(
    gateway: Servers, first: Machine, alice: Actor
) -> None:
    rollout = await roll_out(alice, [first])
    async with line(gateway.agent_port, first) as stream:
        await stream.hello()
        offer = await offered(stream)
        await orm(alice, cancel_rollout, alice, rollout.id)
        told = (await stream.receive("deployment_cancellation")).deployment_cancellation
        assert told.deployment_id == offer.deployment_id


async def test_a_device_cannot_speak_for_another_one(
    gateway: Servers, first: Machine, second: Machine, foreign: Machine, alice: Actor
) -> None:
    await roll_out(alice, [second])
    async with line(gateway.agent_port, second) as stream:
        await stream.hello()
        offer = await offered(stream)
    for impostor, names in (
        (first, offer.deployment_id),
        (foreign, offer.deployment_id),
        (first, str(uuid.uuid4())),
    ):
        async with line(gateway.agent_port, impostor) as stream:
            await stream.hello()
            message = report(names, 1, pb.DEPLOYMENT_STEP_FAILED)
            await stream.send(deployment_report=message)
            assert await stream.ending() == ("PERMISSION_DENIED", "not_your_deployment")
        organization_id = impostor.device.organization_id
        rows = AuditEntry.objects.for_org(organization_id).filter(result="denied")
        entries = await orm(organization_id, lambda found=rows: list(found))
        assert any(names in str(e.changes) and str(impostor.id) in str(e.changes) for e in entries)
    assert (await deployment(alice, offer.deployment_id)).state == "offered"


async def test_reports_of_many_devices_are_committed_together(
    gateway: Servers, fleet: list[Machine], alice: Actor
) -> None:
    await roll_out(alice, fleet)
    async with asyncio.TaskGroup() as group:
        for machine in fleet:
            group.create_task(_work_through(gateway.agent_port, machine, alice))


async def _work_through(port: int, machine: Machine, alice: Actor) -> None:
    steps = [
        pb.DEPLOYMENT_STEP_DOWNLOADING,
        pb.DEPLOYMENT_STEP_DOWNLOADED,
        pb.DEPLOYMENT_STEP_INSTALLING,
        pb.DEPLOYMENT_STEP_VERIFYING,
        pb.DEPLOYMENT_STEP_SUCCEEDED,
    ]
    async with line(port, machine) as stream:
        await stream.hello()
        offer = await offered(stream)
        for number, step in enumerate(steps, 1):
            answer = await acknowledged(stream, report(offer.deployment_id, number, step))
            assert answer.is_terminal is (step == pb.DEPLOYMENT_STEP_SUCCEEDED)
        assert (await deployment(alice, offer.deployment_id)).state == "succeeded"
