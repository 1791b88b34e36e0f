"""Reading releases."""

from uuid import UUID

from django.db.models import Prefetch, Q, QuerySet

from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import NotFound
from apps.core.pagination import Page, PageRequest, checked_search, paginate
from apps.updates.models import (
    Component,
    Release,
    ReleasePackage,
    ReleasePromotion,
)
from apps.updates.permissions import (
    VIEW_RELEASES,
)


def list_releases(
    actor: Actor, page: PageRequest, *, package: str = "", search: str = ""
) -> Page[Release]:
    """The organization's releases with their components, newest first.

    With `package` only those whose bill of materials names it; with `search` only those whose name
    has these letters, whose version begins with them, or that a channel of this name points at.
    """
    require(actor, VIEW_RELEASES)
    rows = releases_with_components(actor)
    if search := checked_search(search).strip():
        rows = rows.filter(_is_like(actor, search))
    if package:
        named = ReleasePackage.objects.for_org(actor.organization_id).filter(name=package)
        rows = rows.filter(id__in=named.values("release_id"))
    return paginate(rows, page, order_by=["-id"])


def _is_like(actor: Actor, search: str) -> Q:
    promoted = ReleasePromotion.objects.for_org(actor.organization_id).filter(
        ended_at=None, channel=search
    )
    found = Q(name__icontains=search) | Q(version__istartswith=search)
    return found | Q(id__in=promoted.values("release_id"))


def get_release(actor: Actor, release_id: UUID) -> Release:
    """One release with its components and their artifacts."""
    require(actor, VIEW_RELEASES)
    return reread_release(actor, release_id)


def reread_release(actor: Actor, release_id: UUID) -> Release:
    """The same, for services that have asked for another permission already."""
    found: Release | None = releases_with_components(actor).filter(id=release_id).first()
    if found is None:
        raise NotFound
    return found


def components_of(actor: Actor) -> QuerySet[Component]:
    """The parts of releases with their artifacts, in their order."""
    rows = Component.objects.for_org(actor.organization_id)
    ordered: QuerySet[Component] = rows.select_related("artifact").order_by("position")
    return ordered


def releases_with_components(actor: Actor) -> QuerySet[Release]:
    """All releases with their components, artifacts and channels, for who has asked already."""
    rows: QuerySet[Release] = Release.objects.for_org(actor.organization_id)
    promotions = ReleasePromotion.objects.for_org(actor.organization_id).filter(ended_at=None)
    return rows.prefetch_related(
        Prefetch("components", queryset=components_of(actor)),
        Prefetch("promotions", promotions.order_by("channel"), to_attr="open_promotions"),
    )
