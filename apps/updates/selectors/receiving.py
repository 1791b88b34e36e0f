"""Which devices a rollout begins with: those onto which its release fits, that do not have it yet,
and that nothing holds back.

It is one rule: as a query for starts and previews, and for one device in `domain.eligibility`. A
test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import and_
from uuid import UUID

from django.db.models import Q, QuerySet

from apps.devices.models import Device
from apps.updates.domain.eligibility import (
    ALREADY_INSTALLED,
    CONFLICTS,
    NOT_COMPATIBLE,
    PINNED,
    QUARANTINED,
    REQUIRES,
    STEPPING_STONE,
)
from apps.updates.domain.holds import HoldKind
from apps.updates.models import DeviceHold, Release
from apps.updates.selectors.fitting import Fit, fit_of


@dataclass(frozen=True, slots=True)
class Receiving:
    """What has to hold for a device, beside that a target means it."""

    organization_id: UUID
    fit: Fit

    @property
    def installs(self) -> Mapping[str, str]:
        """What a device has installed that needs the release no more."""
        return dict.fromkeys(self.fit.release.components, self.fit.release.version)

    def conditions(self, now: datetime) -> dict[str, Q]:
        """What has to hold, by the code of the reason where it does not, in their order."""
        fit = self.fit.conditions(now)
        lacks_it = ~Q(installed__contains=self.installs) if self.installs else Q()
        return {
            NOT_COMPATIBLE: fit[NOT_COMPATIBLE],
            ALREADY_INSTALLED: lacks_it,
            REQUIRES: fit[REQUIRES],
            CONFLICTS: fit[CONFLICTS],
            STEPPING_STONE: fit[STEPPING_STONE],
            PINNED: ~self._held(HoldKind.PINNED, now),
            QUARANTINED: ~self._held(HoldKind.QUARANTINED, now),
        }

    def q(self, now: datetime) -> Q:
        """The devices for which all of it holds."""
        return reduce(and_, self.conditions(now).values())

    def is_on(self, device: Device) -> bool:
        """Whether exactly this release is installed: the condition of the query, for one device."""
        return bool(self.installs) and self.installs.items() <= device.installed.items()

    def _held(self, kind: HoldKind, now: datetime) -> Q:
        held = holds_at(self.organization_id, now).filter(kind=kind.value)
        return Q(id__in=held.values("device_id"))


def receiving(release: Release) -> Receiving:
    """What decides which devices get a release; its components should be prefetched."""
    return Receiving(release.organization_id, fit_of(release))


def holds_at(organization_id: UUID, now: datetime) -> QuerySet[DeviceHold]:
    """The holds that nobody has ended and whose own end has not come."""
    rows = DeviceHold.objects.for_org(organization_id).filter(ended_at=None)
    found: QuerySet[DeviceHold] = rows.filter(Q(until=None) | Q(until__gt=now))
    return found
