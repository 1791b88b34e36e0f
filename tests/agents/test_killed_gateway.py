"""kill -9 of a gateway under load: what was acknowledged is stored, and counted once."""

import asyncio
from collections import Counter

import grpc.aio

from apps.core.actors import Actor
from apps.core.rpc import orm
from apps.events.models import OutboxEvent
from apps.updates.models import Deployment, Phase
from fleetd.pb.internal.agent.v1 import agent_pb2 as pb
from tests.agents.harness import Line, Machine, Process, line
from tests.agents.work import roll_out

PROGRESS = 25
KILLS_AFTER = (60, 200, 350)


class Worker:
    """A device that reports, remembers what was acknowledged, and sends the rest again."""

    def __init__(self, machine: Machine, total: "Counter[str]") -> None:
        self.machine = machine
        self.total = total
        self.deployment_id = ""
        self.acknowledged = 0
        self.is_done = False

    def report(self, number: int) -> pb.DeploymentReport:
        """Progress of the download, and success at last."""
        if number > PROGRESS:
            step = pb.DEPLOYMENT_STEP_SUCCEEDED
            return pb.DeploymentReport(
                deployment_id=self.deployment_id, report_sequence=number, step=step
            )
        return pb.DeploymentReport(
            deployment_id=self.deployment_id,
            report_sequence=number,
            step=pb.DEPLOYMENT_STEP_DOWNLOADING,
            progress_percent=number,
        )

    async def run(self, port: int) -> None:
        """Comes back until it is through."""
        while not self.is_done:
            try:
                async with line(port, self.machine) as stream:
                    await self._work(stream)
            except (grpc.aio.AioRpcError, grpc.aio.UsageError, AssertionError):
                await asyncio.sleep(0.1)
            except asyncio.InvalidStateError:
                await asyncio.sleep(0.1)

    async def _work(self, stream: Line) -> None:
        await stream.hello()
        offer = (await stream.receive("deployment_offer")).deployment_offer
        self.deployment_id = offer.deployment_id
        # Two on the way at a time, so that some are always in flight.
        sent = self.acknowledged
        while self.acknowledged <= PROGRESS:
            while sent < min(self.acknowledged + 2, PROGRESS + 1):
                sent += 1
                await stream.send(deployment_report=self.report(sent))
            answer = (await stream.receive("acknowledgement")).acknowledgement
            self.acknowledged = max(self.acknowledged, answer.report_sequence)
            self.total["acknowledged"] += 1
        self.is_done = True


async def test_every_acknowledged_report_is_stored_and_nothing_is_counted_twice(
    fleet: list[Machine], alice: Actor
) -> None:
    rollout = await roll_out(alice, fleet)
    total: Counter[str] = Counter()
    workers = [Worker(machine, total) for machine in fleet]
    process = await asyncio.to_thread(Process)
    tasks = [asyncio.create_task(worker.run(process.port)) for worker in workers]
    for threshold in KILLS_AFTER:
        while total["acknowledged"] < threshold:
            await asyncio.sleep(0.005)
        seen = {w.deployment_id: w.acknowledged for w in workers if w.acknowledged}
        process.kill()
        stored = await _stored(alice, list(seen))
        assert all(stored[key] >= number for key, number in seen.items())
        process = await asyncio.to_thread(Process, process.port)
    async with asyncio.timeout(120):
        await asyncio.gather(*tasks)
    await asyncio.to_thread(process.stop)

    rows = Deployment.objects.for_org(alice.organization_id).filter(rollout_id=rollout.id)
    states = await orm(alice, lambda: Counter(rows.values_list("state", flat=True)))
    assert states == {"succeeded": len(fleet)}
    phases = Phase.objects.for_org(alice.organization_id).filter(rollout_id=rollout.id)
    counted = await orm(alice, lambda: sum(phases.values_list("succeeded", flat=True)))
    assert counted == len(fleet)
    events = OutboxEvent.objects.for_org(alice.organization_id)
    finished = await orm(
        alice,
        lambda: Counter(
            e.payload["deployment_id"] for e in events.filter(type="updates.deployment.finished.v1")
        ),
    )
    assert finished == dict.fromkeys((w.deployment_id for w in workers), 1)


async def _stored(alice: Actor, deployment_ids: list[str]) -> dict[str, int]:
    rows = Deployment.objects.for_org(alice.organization_id).filter(id__in=deployment_ids)
    found = await orm(alice, lambda: list(rows.values_list("id", "report_sequence")))
    return {str(key): number for key, number in found}
