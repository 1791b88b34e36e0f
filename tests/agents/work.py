"""A rollout for the machines of a test, made with the services that people use."""

import io
from collections.abc import Sequence
from uuid import UUID

from apps.core.actors import Actor
from apps.core.rpc import orm
from apps.updates.models import Deployment, Rollout
from apps.updates.services.artifacts import store_artifact
from apps.updates.services.planning import create_rollout, submit_rollout
from apps.updates.services.releases import create_release
from apps.updates.services.rollouts import start_rollout
from apps.updates.types import NewComponent, Target
from fleetd.pb.internal.agent.v1 import agent_pb2 as pb
from tests.agents.harness import Machine


async def roll_out(actor: Actor, machines: Sequence[Machine], name: str = "one") -> Rollout:
    """Plans and starts a rollout to exactly these machines."""
    return await orm(actor, _roll_out, actor, [m.id for m in machines], name)


def _roll_out(actor: Actor, device_ids: list[UUID], name: str) -> Rollout:
    content = io.BytesIO(name.encode())
    artifact = store_artifact(actor, name=name, file=content)
    component = NewComponent("app", "config", artifact.id, target="/etc/app.conf")
    release = create_release(actor, name=name, version="1.0.0", components=[component])
    target = Target(device_ids=tuple(device_ids))
    rollout = create_rollout(actor, name=name, release_id=release.id, target=target)
    submit_rollout(actor, rollout.id)
    return start_rollout(actor, rollout.id)


async def deployment(actor: Actor, deployment_id: str | UUID) -> Deployment:
    """The deployment as it is stored."""
    rows = Deployment.objects.for_org(actor.organization_id)
    found: Deployment = await orm(actor, lambda: rows.get(id=deployment_id))
    return found


def report(
    deployment_id: str, number: int, step: "pb.DeploymentStep.ValueType"
) -> pb.DeploymentReport:
    """One report."""
    return pb.DeploymentReport(deployment_id=deployment_id, report_sequence=number, step=step)
