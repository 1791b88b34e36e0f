"""Which releases and which devices carry a piece of software."""

from dataclasses import dataclass
from functools import reduce
from operator import or_
from uuid import UUID

from django.db.models import Q

from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import invalid
from apps.core.pagination import Page, PageRequest, paginate
from apps.devices.domain.states import Lifecycle
from apps.devices.models import Device
from apps.devices.permissions import VIEW_DEVICES
from apps.devices.selectors.places import within
from apps.updates.models import Component, Release, ReleasePackage
from apps.updates.permissions import VIEW_RELEASES
from apps.updates.selectors.releases import get_release

MAX_CARRIERS = 500


@dataclass(frozen=True, slots=True)
class Carrier:
    """A device with the releases on it that carry the package, as `name version`."""

    device: Device
    releases: tuple[str, ...]


def list_release_packages(
    actor: Actor, release_id: UUID, page: PageRequest
) -> Page[ReleasePackage]:
    """What a release's bill of materials names, by name."""
    release = get_release(actor, release_id)
    rows = ReleasePackage.objects.for_org(actor.organization_id).filter(release_id=release.id)
    return paginate(rows, page, order_by=["name", "id"])


def list_package_devices(actor: Actor, page: PageRequest, *, package: str) -> Page[Carrier]:
    """The devices in sight that have a release with this package installed, by name.

    A device has a release when all of its components are installed in its version. Raises
    `InvalidRequest` without a package, and where more than 500 releases carry it.
    """
    require(actor, VIEW_RELEASES)
    carriers = _installed_with(actor, _checked(package))
    rows = within(actor, VIEW_DEVICES, Device.objects.for_org(actor.organization_id))
    rows = rows.exclude(lifecycle=Lifecycle.DECOMMISSIONED)
    conditions = (Q(installed__contains=installed) for installed in carriers.values())
    rows = rows.filter(reduce(or_, conditions)) if carriers else rows.none()
    found = paginate(rows, page, order_by=["name", "id"])
    items = [Carrier(device, _releases_on(device, carriers)) for device in found.items]
    return Page(items, found.next_page_token)


def _installed_with(actor: Actor, package: str) -> dict[str, dict[str, str]]:
    """What devices with a release that carries the package have installed, by release."""
    named = ReleasePackage.objects.for_org(actor.organization_id).filter(name=package)
    releases = Release.objects.for_org(actor.organization_id).filter(
        id__in=named.values("release_id")
    )
    found = {r.id: r for r in releases.order_by("-id")[: MAX_CARRIERS + 1]}
    if len(found) > MAX_CARRIERS:
        message = "More than 500 releases carry it: look at single releases."
        raise invalid("package", "too_many_releases", message)
    installed: dict[str, dict[str, str]] = {}
    parts = Component.objects.for_org(actor.organization_id).filter(release_id__in=found)
    for release_id, name in parts.values_list("release_id", "name"):
        release = found[release_id]
        installed.setdefault(str(release), {})[name] = release.version
    return installed


def _releases_on(device: Device, carriers: dict[str, dict[str, str]]) -> tuple[str, ...]:
    have = device.installed.items()
    return tuple(name for name, wanted in carriers.items() if wanted.items() <= have)


def _checked(package: str) -> str:
    if not package.strip():
        raise invalid("package", "package_missing", "Say which package.")
    return package.strip()[:200]
