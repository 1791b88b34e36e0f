"""Artifacts, releases and rollouts of acme, made through the services."""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

import pytest

from apps.core.actors import Actor, Source, system_actor
from apps.core.tenancy import tenant
from apps.organizations.storage import storage_root
from apps.updates.domain.plan import PhasePlan, Plan
from apps.updates.domain.states import Bucket, DeploymentState, bucket_of
from apps.updates.models import Artifact, Deployment, Phase, Release, Rollout
from apps.updates.selectors.artifacts import storage_name
from apps.updates.services.artifacts import store_artifact
from apps.updates.services.offers import apply_reports, claim_deployments
from apps.updates.services.planning import create_rollout
from apps.updates.services.releases import create_release
from apps.updates.services.rollouts import start_rollout
from apps.updates.services.scheduling import advance_rollout
from apps.updates.types import NewComponent, Offer, Report, ReportResult, Target
from tests import factories
from tests.factories import Cast


@pytest.fixture(autouse=True)
def storage(settings: object, tmp_path: Path) -> Path:
    """Artifacts of each test lie in a folder of its own."""
    root = tmp_path / "artifacts"
    settings.STORAGE_URL = f"file://{root}"
    return root


def file_path(artifact: Artifact) -> Path:
    """The file that holds an artifact's bytes, where they lie in files."""
    return storage_root() / storage_name(artifact.organization_id, artifact.sha256)


def make_release(actor: Actor, version: str = "1.0.0", content: bytes = b"echo hello\n") -> Release:
    """A release of one script."""
    artifact = store_artifact(actor, name="hello.sh", file=io.BytesIO(content))
    part = NewComponent(name="hello", kind="script", artifact_id=artifact.id)
    return create_release(actor, name="hello", version=version, components=[part])


def make_rollout(
    actor: Actor, release: Release, phase_percents: Sequence[int] = (), **values: object
) -> Rollout:
    """A draft for every active device."""
    if phase_percents:
        values["plan"] = Plan(tuple(PhasePlan(percent) for percent in phase_percents))
    values = {"name": "Say hello", "target": Target(), **values}
    return create_rollout(actor, release_id=release.id, **values)


@dataclass
class Fleet:
    """Acme with some devices more, and what devices and the platform do there."""

    organization_id: UUID
    device_ids: list[UUID]
    alice: Actor

    @property
    def system(self) -> Actor:
        """Gateways and the scheduler."""
        return system_actor(self.organization_id, source=Source.AGENT)

    def start(self, *, percents: tuple[int, ...] = (), version: str = "1.0.0") -> Rollout:
        """A running rollout to every device."""
        release = make_release(self.alice, version, content=f"echo {version}\n".encode())
        rollout = make_rollout(self.alice, release, phase_percents=percents)
        return start_rollout(self.alice, rollout.id)

    def claim(self, *device_ids: UUID) -> list[Offer]:
        """What these devices, or all, are handed."""
        return claim_deployments(self.system, list(device_ids or self.device_ids))

    def report(self, offer: Offer, sequence: int, step: str, **fields: object) -> ReportResult:
        """One report of the offer's device."""
        report = Report(offer.device_id, offer.deployment_id, sequence, step, **fields)
        return apply_reports(self.system, [report])[0]

    def finish(self, offers: list[Offer], step: str = "succeeded") -> None:
        """All offers end so."""
        reports = [Report(o.device_id, o.deployment_id, 1, step) for o in offers]
        apply_reports(self.system, reports)

    def advance(self, rollout: Rollout) -> Rollout:
        """The scheduler looks."""
        return advance_rollout(self.system, rollout.id)

    def deployment(self, offer: Offer) -> Deployment:
        """The row behind an offer."""
        return Deployment.objects.for_org(self.organization_id).get(id=offer.deployment_id)

    def phases(self, rollout: Rollout) -> list[Phase]:
        """The rollout's phases in order."""
        rows = Phase.objects.for_org(self.organization_id).filter(rollout_id=rollout.id)
        return list(rows.order_by("index"))


@pytest.fixture
def fleet(acme: Cast, alice: Actor, in_acme: None) -> Fleet:
    """Eight active devices in acme's open tenant."""
    more = [factories.device(acme.id) for _ in range(6)]
    return Fleet(acme.id, [d.id for d in (*acme.devices, *more)], alice)


@pytest.fixture
def release(alice: Actor, in_acme: None) -> Release:
    """A release of one script."""
    return make_release(alice)


def counts_of_rows(rollout: Rollout) -> dict[int, dict[str, int]]:
    """The counters of each phase, counted from the deployments themselves."""
    with tenant(rollout.organization_id):
        rows = Deployment.objects.for_org(rollout.organization_id).filter(
            rollout_id=rollout.id, is_retried=False
        )
        counted: dict[int, dict[str, int]] = {}
        for phase, state in rows.values_list("phase_index", "state"):
            numbers = counted.setdefault(phase, {b.value: 0 for b in Bucket})
            numbers[bucket_of(DeploymentState(state)).value] += 1
    return counted


def counts_of_phases(rollout: Rollout) -> dict[int, dict[str, int]]:
    """The counters of each phase that has devices, as they are kept."""
    with tenant(rollout.organization_id):
        rows = Phase.objects.for_org(rollout.organization_id).filter(rollout_id=rollout.id)
        return {p.index: asdict(p.counts) for p in rows if p.total}
