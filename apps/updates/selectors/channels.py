"""Which releases channels point at, and what a release's name with a channel or version means."""

from uuid import UUID

from django.db.models import QuerySet

from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import NotFound, invalid
from apps.core.pagination import Page, PageRequest, paginate
from apps.updates.domain.channels import split_name
from apps.updates.errors import UnknownRelease
from apps.updates.models import Release, ReleasePromotion
from apps.updates.permissions import VIEW_RELEASES

MOST_CHANNELS = 500


def list_release_channels(
    actor: Actor, page: PageRequest, *, name: str = "", with_history: bool = False
) -> Page[ReleasePromotion]:
    """What each channel points at, by names; of one release name where that is given.

    With `with_history` also what they pointed at before, the newest first.
    """
    require(actor, VIEW_RELEASES)
    rows = _promotions(actor)
    if name:
        rows = rows.filter(release_name=name[:100])
    if with_history:
        return paginate(rows, page, order_by=["-id"])
    rows = rows.filter(ended_at=None)
    return paginate(rows, page, order_by=["release_name", "channel", "id"])


def get_release_channel(actor: Actor, promotion_id: UUID) -> ReleasePromotion:
    """One channel, or one that was, by its id."""
    require(actor, VIEW_RELEASES)
    found: ReleasePromotion | None = _promotions(actor).filter(id=promotion_id).first()
    if found is None:
        raise NotFound("There is no such channel.")
    return found


def list_promotions_of(actor: Actor, release: Release) -> list[ReleasePromotion]:
    """The channels of a release's name as they are now, by name."""
    require(actor, VIEW_RELEASES)
    return list(open_promotions(actor, release.name).order_by("channel")[:MOST_CHANNELS])


def open_promotions(actor: Actor, name: str) -> QuerySet[ReleasePromotion]:
    """The channels of a release's name, for services that have asked for their right already."""
    return _promotions(actor).filter(release_name=name, ended_at=None)


def find_release(actor: Actor, text: str) -> tuple[UUID, str]:
    """The release that `name@version` or `name@channel` means, and the channel, or empty.

    Raises `UnknownRelease`, and `InvalidRequest` where a version is called like a channel.
    """
    require(actor, VIEW_RELEASES)
    name, word = split_name(text)
    promotion = open_promotions(actor, name).filter(channel=word).first()
    rows = Release.objects.for_org(actor.organization_id).filter(name=name, version=word)
    release_id: UUID | None = rows.values_list("id", flat=True).first()
    if promotion is not None and release_id not in (None, promotion.release_id):
        message = f"{text[:200]} is a version and a channel. Give the release's id."
        raise invalid("release", "ambiguous_release", message)
    if promotion is not None:
        return promotion.release_id, promotion.channel
    if release_id is None:
        raise UnknownRelease(f"There is no release {text[:200]}.")
    return release_id, ""


def _promotions(actor: Actor) -> QuerySet[ReleasePromotion]:
    rows: QuerySet[ReleasePromotion] = ReleasePromotion.objects.for_org(actor.organization_id)
    return rows.select_related("release")
