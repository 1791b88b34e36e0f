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

from apps.core.filters import Filter, parse
from apps.core.filters.lexer import quoted
from apps.devices.filters import DEVICE_FIELDS, DeviceContext
from apps.devices.models import Device
from apps.updates.domain.eligibility import (
    ALREADY_INSTALLED,
    CONFLICTS,
    LATER_INSTALLED,
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
    allows_downgrade: bool = False

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
            LATER_INSTALLED: self._has_no_later(now),
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

    def has_later(self, device: Device, now: datetime) -> bool:
        """Whether going to the release would be going back: the condition, for one device."""
        context = DeviceContext(now)
        return any(newer.matches(device, context) for newer in self._newer())

    def _has_no_later(self, now: datetime) -> Q:
        context = DeviceContext(now)
        return reduce(and_, (~newer.to_q(context) for newer in self._newer()), Q())

    def _newer(self) -> list[Filter]:
        """A later version of each component; nothing where older ones are allowed."""
        names = () if self.allows_downgrade else self.installs
        wanted = quoted(self.fit.release.version)
        return [parse(f"version({quoted(n)}) > {wanted}", DEVICE_FIELDS) for n in names]

    def _held(self, kind: HoldKind, now: datetime) -> Q:
        held = holds_at(self.organization_id, now).filter(kind=kind.value)
        return Q(id__in=held.values("device_id"))


def receiving(release: Release, *, allows_downgrade: bool = False) -> Receiving:
    """What decides which devices get a release; its components should be prefetched."""
    return Receiving(release.organization_id, fit_of(release), allows_downgrade)


def holds_at(organization_id: UUID, now: datetime) -> QuerySet[DeviceHold]:
    """The holds that nobody has ended and whose own end has not come."""
    rows = DeviceHold.objects.for_org(organization_id).filter(ended_at=None)
    found: QuerySet[DeviceHold] = rows.filter(Q(until=None) | Q(until__gt=now))
    return found
