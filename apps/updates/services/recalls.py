"""Taking releases back: no new rollout of a recalled one begins, those that run are stopped."""

from uuid import UUID

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import Permission, require
from apps.core.errors import NotFound
from apps.events.services.outbox import publish
from apps.updates.errors import RecalledRelease, ReleaseFilesRemoved, checked_reason
from apps.updates.models import Release
from apps.updates.permissions import DEPRECATE_RELEASE, RECALL_RELEASE
from apps.updates.selectors.releases import reread_release
from apps.updates.types import ReleaseDeprecated, ReleaseRecalled

MAX_REASON = 1000


def recall_release(actor: Actor, release_id: UUID, *, reason: str) -> Release:
    """Takes a release back for good: no rollout of it can be planned or started any more.

    Whoever runs rollouts hears `ReleaseRecalled`. Devices that have it keep it until something
    else is rolled out. Recalling again changes nothing, the first reason stays. Raises
    `InvalidRequest` without a reason.
    """
    release = _locked(actor, release_id, RECALL_RELEASE)
    if release.is_recalled:
        return reread_release(actor, release.id)
    release.recall_reason = _reason(reason)
    release.recalled_at = clock.now()
    release.recalled_by = actor.label
    release.save(update_fields=["recall_reason", "recalled_at", "recalled_by"])
    record(actor, RECALL_RELEASE.name, release, changes={"reason": release.recall_reason})
    publish(actor, ReleaseRecalled(release_id=release.id, reason=release.recall_reason))
    return reread_release(actor, release.id)


def deprecate_release(actor: Actor, release_id: UUID, *, reason: str) -> Release:
    """Advises against a release: it can be rolled out still, and everybody who plans that is told.

    Doing so again with another reason replaces the reason. Raises `InvalidRequest` without one.
    """
    release = _locked(actor, release_id, DEPRECATE_RELEASE)
    checked = _reason(reason)
    if release.deprecated_at is not None and release.deprecation_reason == checked:
        return reread_release(actor, release.id)
    release.deprecation_reason = checked
    release.deprecated_at = release.deprecated_at or clock.now()
    release.save(update_fields=["deprecation_reason", "deprecated_at"])
    record(actor, DEPRECATE_RELEASE.name, release, changes={"reason": checked})
    publish(actor, ReleaseDeprecated(release_id=release.id))
    return reread_release(actor, release.id)


def refuse_recalled(actor: Actor, release_id: UUID) -> None:
    """Raises `RecalledRelease`, or `ReleaseFilesRemoved`, for one that nothing may install.

    Until the transaction ends it is neither recalled nor removed. For the services that plan and
    start rollouts, which have asked for their own right.
    """
    rows = Release.objects.for_org(actor.organization_id).select_for_update(no_key=True)
    release: Release | None = rows.filter(id=release_id).first()
    if release is None:  # removed since it was looked up
        raise NotFound("There is no such release.")
    if release.is_recalled:
        raise RecalledRelease(data={"reason": release.recall_reason})
    if release.files_removed_at is not None:
        raise ReleaseFilesRemoved


def _locked(actor: Actor, release_id: UUID, permission: Permission) -> Release:
    rows = Release.objects.for_org(actor.organization_id).select_for_update(no_key=True)
    release: Release | None = rows.filter(id=release_id).first()
    if release is None:
        raise NotFound("There is no such release.")
    require(actor, permission)
    return release


def _reason(reason: str) -> str:
    return checked_reason(reason, most=MAX_REASON, is_one_line=False)
