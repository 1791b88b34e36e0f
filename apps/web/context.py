"""What every page's frame needs: navigation, the organization, the person's organizations."""

from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise, SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from apps.core.actors import Actor
from apps.devices.selectors import count_pending_devices
from apps.organizations.people import recent_memberships
from apps.organizations.services.organizations import may_create_organizations
from apps.web.permissions import OPEN_ADMIN
from apps.web.settings_area import settings_sections

MAX_ELSEWHERE = 6


@dataclass(frozen=True, slots=True)
class Place:
    """One place in the navigation; shown to those who hold `permission` anywhere."""

    name: str
    icon: str
    word: str | Promise
    key: str
    permission: str


@dataclass(frozen=True, slots=True)
class Item:
    """A place as the page shows it."""

    url: str
    icon: str
    word: str | Promise
    key: str
    is_current: bool
    count: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Places under one heading."""

    heading: str | Promise
    items: list[Item] = field(default_factory=list)


PLACES: tuple[tuple[str | Promise, tuple[Place, ...]], ...] = (
    ("", (Place("dashboard", "layout-dashboard", _("Dashboard"), "h", "devices.view_devices"),)),
    (
        _("Fleet"),
        (
            Place("devices", "devices-2", _("Devices"), "d", "devices.view_devices"),
            Place("device-groups", "folders", _("Groups"), "o", "devices.view_device_groups"),
            Place(
                "enrollment-tokens",
                "plug-connected",
                _("Enrollment"),
                "e",
                "enrollment.view_enrollment_tokens",
            ),
        ),
    ),
    (
        _("Software"),
        (
            Place("artifacts", "package", _("Artifacts"), "a", "updates.view_artifacts"),
            Place("releases", "versions", _("Releases"), "l", "updates.view_releases"),
            Place("rollouts", "rocket", _("Rollouts"), "r", "updates.view_rollouts"),
        ),
    ),
    (
        _("Record"),
        (Place("audit-entries", "shield-check", _("Audit trail"), "u", "audit.view_entries"),),
    ),
    (
        _("Organization"),
        (Place("settings", "settings", _("Settings"), "s", "organizations.view_organization"),),
    ),
)


def shell(request: HttpRequest) -> dict[str, Any]:
    """The context processor. Looked up only where a template asks, so that errors need nothing."""
    return {"shell": SimpleLazyObject(lambda: _shell_or_nothing(request))}


def _shell_or_nothing(request: HttpRequest) -> dict[str, Any]:
    """An error page is shown also where the database is what has failed."""
    try:
        return _shell(request)
    except DatabaseError:
        return {}


def _shell(request: HttpRequest) -> dict[str, Any]:
    actor: Actor | None = getattr(request, "actor", None) or None
    if actor is None or actor.user_id is None:
        return {}
    memberships = recent_memberships(actor.user_id)
    organizations = [m.organization for m in memberships]
    current = next((o for o in organizations if o.id == actor.organization_id), None)
    may_keep = actor.has_perm("organizations.cancel_organization_deletion")
    return {
        "organization": current,
        "organizations": organizations,
        # All of them, whatever was asked for: that one is listed says nothing about an object.
        "elsewhere": [each for each in organizations if each is not current][:MAX_ELSEWHERE],
        "navigation": _navigation(request, actor),
        "settings": SimpleLazyObject(lambda: settings_sections(actor)),
        "switch_url": reverse("organization-switch"),
        "keep_url": reverse("organization-keep") if may_keep else "",
        "may_create": SimpleLazyObject(lambda: _may_create(request)),
        "may_open_admin": actor.has_perm(OPEN_ADMIN.name),
        "sign_out_url": reverse("account_logout"),
    }


def _may_create(request: HttpRequest) -> bool:
    """Whether the person may make a further organization."""
    user: Any = request.user
    return bool(user.is_authenticated and may_create_organizations(user))


def _navigation(request: HttpRequest, actor: Actor) -> list[Group]:
    groups = []
    for heading, places in PLACES:
        items = [
            item
            for place in places
            if actor.may_somewhere(place.permission) and (item := _item(request, actor, place))
        ]
        if items:
            groups.append(Group(heading, items))
    return groups


def _item(request: HttpRequest, actor: Actor, place: Place) -> Item | None:
    try:
        url = reverse(place.name)
    except NoReverseMatch:
        return None
    here = request.path == url or (url != "/" and request.path.startswith(f"{url}/"))
    count = count_pending_devices(actor) if place.name == "devices" else 0
    return Item(url, place.icon, place.word, place.key, here, count)
