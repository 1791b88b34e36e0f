"""How a release came onto devices: installations by day, from what devices reported."""

from dataclasses import dataclass
from datetime import UTC, date, timedelta
from uuid import UUID

from django.db.models import Count, Q
from django.db.models.functions import TruncDate

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require, require_somewhere
from apps.devices.selectors.places import within
from apps.updates.domain.states import DeploymentState
from apps.updates.models import Deployment, Rollout
from apps.updates.permissions import VIEW_DEPLOYMENTS, VIEW_RELEASES
from apps.updates.selectors.releases import reread_release

DAYS = 60


@dataclass(frozen=True, slots=True)
class AdoptionDay:
    """How many devices installed the release on a day (UTC)."""

    day: date
    devices: int


def list_adoption(actor: Actor, release_id: UUID) -> list[AdoptionDay]:
    """Devices in sight that installed a release, by day: from the first one on, at most 60 days.

    Days on which none did are in it. A device that installs it on two days counts on both. Raises
    `NotFound`.
    """
    require(actor, VIEW_RELEASES)
    require_somewhere(actor, VIEW_DEPLOYMENTS)
    release = reread_release(actor, release_id)
    # By rollouts, because deployments are found by these; a roll back installs other releases too.
    rollouts = Rollout.objects.for_org(actor.organization_id).filter(
        Q(release_id=release.id) | Q(rolls_back_id__isnull=False)
    )
    today = clock.now().astimezone(UTC).date()
    rows = Deployment.objects.for_org(actor.organization_id).filter(
        rollout_id__in=rollouts.values("id"),
        release_id=release.id,
        state=DeploymentState.SUCCEEDED.value,
    )
    days = (
        within(actor, VIEW_DEPLOYMENTS, rows, via="device")
        .annotate(day=TruncDate("finished_at", tzinfo=UTC))
        .filter(day__gt=today - timedelta(days=DAYS))
        .values("day")
        .annotate(devices=Count("device_id", distinct=True))
        .order_by("day")
    )
    counted = {each["day"]: each["devices"] for each in days}
    if not counted:
        return []
    first = min(counted)
    span = [first + timedelta(days=n) for n in range((today - first).days + 1)]
    return [AdoptionDay(day, counted.get(day, 0)) for day in span]
